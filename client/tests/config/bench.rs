//! What the tests stand on: a member, a client, a folder, and the command.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use conclave_client::Client;
use conclave_server::embedded::Embedded;
use serde_json::Value;
use tempfile::TempDir;

/// Exit code, standard output, standard error.
pub(crate) type Ended = (i32, String, String);

/// Returns the command with arguments, and nothing of ours in its environment.
pub(crate) fn conclave(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_conclave"));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.env_remove("CONCLAVE_CONFIG_KEY").env("USER", "tester");
    command
}

/// Returns how a command has ended.
pub(crate) fn ended(output: Output) -> Ended {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// A member in this process, a client of it, and a folder for files.
pub(crate) struct Bench {
    pub(crate) member: Embedded,
    pub(crate) client: Client,
    pub(crate) folder: TempDir,
}

impl Bench {
    pub(crate) async fn new() -> Self {
        let member = Embedded::start().await.unwrap();
        let client = Client::connect(&member.connect_string()).await.unwrap();
        Self { member, client, folder: tempfile::tempdir().unwrap() }
    }

    /// Returns a path of the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Returns a path of the folder as an argument.
    pub(crate) fn arg(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// Makes the directory `name` hold these files and no others.
    pub(crate) fn directory(&self, name: &str, files: &[(&str, &str)]) -> String {
        let top = self.path(name);
        drop(fs::remove_dir_all(&top));
        fs::create_dir_all(&top).unwrap();
        for (file, data) in files {
            let path = top.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, data).unwrap();
        }
        self.arg(name)
    }

    /// Runs `conclave config` against the corner.
    pub(crate) fn run(&self, words: &[&str]) -> Ended {
        ended(self.command(words).output().unwrap())
    }

    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let hosts = self.member.connect_string();
        conclave(&[&["config", "--server", hosts.as_str()], words].concat())
    }

    /// Runs it, and it must end well.
    pub(crate) fn ok(&self, words: &[&str]) -> String {
        let (code, out, error) = self.run(words);
        assert_eq!(code, 0, "{words:?}: {out}{error}");
        out
    }

    /// Runs it, and it must be refused; returns why.
    pub(crate) fn refused(&self, words: &[&str]) -> String {
        let (code, out, error) = self.run(words);
        assert_eq!(code, 1, "{words:?}: {out}{error}");
        error
    }

    pub(crate) fn json(&self, words: &[&str]) -> Value {
        serde_json::from_str(&self.ok(&[words, &["-o", "json"]].concat())).unwrap()
    }

    pub(crate) async fn data(&self, path: &str) -> Option<String> {
        let data = self.client.get_data(path).await.ok()?.0;
        Some(String::from_utf8(data.to_vec()).unwrap())
    }
}

/// Returns all files of a directory with their bytes, in order.
pub(crate) fn files_of(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    let mut waiting = vec![directory.to_owned()];
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                waiting.push(entry.path());
            } else {
                let name = entry.path().strip_prefix(directory).unwrap().display().to_string();
                files.push((name, fs::read(entry.path()).unwrap()));
            }
        }
    }
    files.sort();
    files
}
