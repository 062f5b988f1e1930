//! The commands, a file for each family: their arguments, and what they do.

pub(super) mod acl;
pub(super) mod copy;
pub(super) mod data;
pub(super) mod edit;
pub(super) mod ensemble;
pub(super) mod list;
pub(super) mod quota;
pub(super) mod remove;
pub(super) mod search;
pub(super) mod session;
pub(super) mod subtree;
pub(super) mod top;
pub(super) mod txn;
pub(super) mod watch;

use std::ffi::OsString;

use conclave_protocol::{path, quota::is_at_or_below};

use super::{connection::Connection, printer::Printer, progress::Progress};
use crate::client::Client;

/// What a command works with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Context<'a> {
    pub(super) connection: &'a Connection,
    pub(super) printer: &'a Printer,
    pub(super) surroundings: &'a Surroundings,
}

/// What the shell was started in.
#[derive(Clone, Debug)]
pub(super) struct Surroundings {
    /// The editor to call, in the words of a shell.
    pub(super) editor: Option<OsString>,
    /// Whether somebody is there to be asked.
    pub(super) is_attended: bool,
}

impl Context<'_> {
    pub(super) const fn client(&self) -> &Client {
        &self.connection.client
    }

    /// Begins to show how far long work is, where somebody looks.
    pub(super) fn progress(&self, what: &'static str) -> Progress {
        Progress::begin(what, self.surroundings.is_attended)
    }
}

/// Reads a znode's path; a slash at its end is taken for a slip.
pub(super) fn znode_path(text: &str) -> Result<String, String> {
    let trimmed = match text.trim_end_matches('/') {
        "" if !text.is_empty() => "/",
        trimmed => trimmed,
    };
    match path::validate(trimmed) {
        Ok(()) => Ok(trimmed.to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Reads the path of a znode to create: behind a slash at its end a sequential one gets its number.
pub(super) fn new_path(text: &str) -> Result<String, String> {
    let path = znode_path(text)?;
    Ok(if text.ends_with('/') && path != "/" { format!("{path}/") } else { path })
}

/// Returns the path of a child.
pub(super) fn child(parent: &str, name: &str) -> String {
    format!("{}/{name}", parent.trim_end_matches('/'))
}

/// Returns whether a path of a client is the service's own, wherever its paths begin.
pub(super) fn is_system(client: &Client, path: &str) -> bool {
    client.root().as_str() == "/" && is_at_or_below(path, "/zookeeper")
}
