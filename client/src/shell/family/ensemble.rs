//! `sync config reconfig version`: the ensemble itself.

use std::ffi::OsString;

use clap::Args;

use super::{Context, znode_path};
use crate::shell::{
    error::{ShellError, at},
    file,
    outcome::Outcome,
};

/// The znode that says who the members are; no chroot is put before it.
const CONFIG_PATH: &str = "/zookeeper/config";

/// Waits until this session's server has all that was committed.
#[derive(Args, Clone, Debug)]
pub(in crate::shell) struct Sync {
    #[arg(default_value = "/", value_parser = znode_path)]
    path: String,
}

impl Sync {
    pub(in crate::shell) async fn run(self, context: Context<'_>) -> Result<Outcome, ShellError> {
        context.client().sync(&self.path).await.map_err(at(&self.path))?;
        Ok(Outcome::Synced { path: self.path })
    }
}

/// Shows who the members are.
#[derive(Args, Clone, Copy, Debug)]
pub(in crate::shell) struct Config {
    /// Shows the stat too.
    #[arg(short)]
    stat: bool,
    /// Shows version and client addresses only.
    #[arg(short)]
    client: bool,
    /// Watches it.
    #[arg(short)]
    watch: bool,
}

impl Config {
    pub(in crate::shell) async fn run(self, context: Context<'_>) -> Result<Outcome, ShellError> {
        let (data, stat) = if self.watch {
            let watched = context.client().get_config_and_watch().await;
            let (found, watcher) = watched.map_err(at(CONFIG_PATH))?;
            context.connection.report(CONFIG_PATH, context.printer.format(), watcher);
            found
        } else {
            context.client().get_config().await.map_err(at(CONFIG_PATH))?
        };
        let lines = String::from_utf8_lossy(&data).into_owned();
        let stat = self.stat.then_some(stat);
        Ok(Outcome::Config { lines, is_brief: self.client, stat })
    }
}

/// Changes who the members are.
#[derive(Args, Clone, Debug)]
pub(in crate::shell) struct Reconfig {
    /// Shows the new stat too.
    #[arg(short)]
    stat: bool,
    /// Only if this is the version of the configuration.
    #[arg(short, value_name = "VERSION")]
    version: Option<i64>,
    /// The members are those of this file.
    #[arg(long, conflicts_with_all = ["members", "add", "remove"])]
    file: Option<OsString>,
    /// The members are these: server.ID=HOST:PORT:PORT;PORT,...
    #[arg(long, conflicts_with_all = ["add", "remove"])]
    members: Option<String>,
    /// These join: server.ID=HOST:PORT:PORT;PORT,...
    #[arg(long)]
    add: Vec<String>,
    /// Those with these numbers leave: ID,...
    #[arg(long, value_delimiter = ',')]
    remove: Vec<u8>,
}

impl Reconfig {
    pub(in crate::shell) async fn run(self, context: Context<'_>) -> Result<Outcome, ShellError> {
        let client = context.client();
        let members = match (&self.file, self.members) {
            (Some(file), _) => Some(read_members(&file::read(file)?)),
            (None, members) => members,
        };
        let changed = match members {
            Some(members) => client.reconfig_to(&[&members], self.version),
            None if self.add.is_empty() && self.remove.is_empty() => {
                let text = "reconfig needs -add, -remove, -members or -file";
                return Err(ShellError::Usage(text.to_owned()));
            }
            None => {
                let joining: Vec<&str> = self.add.iter().map(String::as_str).collect();
                client.reconfig(&joining, &self.remove, self.version)
            }
        };
        let (data, stat) = changed.await.map_err(at("reconfig"))?;
        let lines = String::from_utf8_lossy(&data).into_owned();
        Ok(Outcome::Config { lines, is_brief: false, stat: self.stat.then_some(stat) })
    }
}

/// Returns the members that a file names, as one list.
fn read_members(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let lines = text.lines().map(str::trim).filter(|line| line.starts_with("server."));
    lines.collect::<Vec<_>>().join(",")
}
