//! A member that all tests share, and the shell as a process.

use std::{
    io::Write,
    process::{Command, Output, Stdio},
    sync::OnceLock,
};

use conclave_server::embedded::Embedded;
use serde_json::Value;
use tokio::runtime::Runtime;

/// Exit code, standard output, standard error.
pub(crate) type Ended = (i32, String, String);

/// The member; it ends with the process.
struct World {
    runtime: Runtime,
    ensemble: Embedded,
}

fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
        let runtime = runtime();
        let ensemble = runtime.block_on(Embedded::start()).unwrap();
        World { runtime, ensemble }
    })
}

pub(crate) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// Does something with the member's runtime.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    world().runtime.block_on(future)
}

/// A test's own part of the tree, which its shells have for root.
pub(crate) struct Corner {
    pub(crate) hosts: String,
}

impl Corner {
    pub(crate) fn new(name: &str) -> Self {
        let member = world().ensemble.connect_string();
        let created = ended(conclave(&["--server", &member, "create", &format!("/{name}")]));
        assert_eq!(created, said(&format!("Created /{name}\n")));
        Self { hosts: format!("{member}/{name}") }
    }

    /// Returns the command that runs the shell with these arguments.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        conclave(&[&["--server", self.hosts.as_str()], arguments].concat())
    }

    /// Runs the shell.
    pub(crate) fn shell(&self, arguments: &[&str]) -> Ended {
        ended(self.command(arguments))
    }

    /// Runs the shell, which must succeed, and returns what it prints.
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        let (code, out, error) = self.shell(arguments);
        assert_eq!((code, error.as_str()), (0, ""), "{arguments:?}: {out}");
        out
    }

    /// Runs the shell, which must succeed and print one line of JSON.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let out = self.ok(&[&["-o", "json"], arguments].concat());
        assert_eq!(out.matches('\n').count(), 1, "{out}");
        serde_json::from_str(&out).unwrap()
    }

    /// Runs the shell, which must fail with a code and say this.
    pub(crate) fn fails(&self, arguments: &[&str], code: i32, error: &str) {
        let ended = self.shell(arguments);
        assert_eq!(ended, (code, String::new(), format!("conclave: {error}\n")), "{arguments:?}");
    }

    /// Runs a script from standard input.
    pub(crate) fn script(&self, options: &[&str], lines: &[u8]) -> Ended {
        let mut child = self.command(options).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(lines).unwrap();
        text(child.wait_with_output().unwrap())
    }
}

/// Returns the command that runs the shell.
pub(crate) fn conclave(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_conclave"));
    command.arg("shell").args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

pub(crate) fn ended(mut command: Command) -> Ended {
    text(command.output().unwrap())
}

fn text(output: Output) -> Ended {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

pub(crate) fn said(text: &str) -> Ended {
    (0, text.to_owned(), String::new())
}
