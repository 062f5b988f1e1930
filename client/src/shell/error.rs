//! Why a command failed, and how that is said to people.

use std::time::Duration;

use conclave_protocol::path::parent;
use thiserror::Error;

use super::render::safe::safe;
use crate::{
    client::Client,
    error::{ClientError, MultiError},
};

/// How long the tree is asked for what is behind an error, at most.
const EXPLAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// Why a command failed.
#[derive(Clone, Debug, Error)]
pub(super) enum ShellError {
    /// The command cannot be meant so.
    #[error("{0}")]
    Usage(String),
    /// The shell, or something outside of the ensemble, refuses.
    #[error("{0}")]
    Refused(String),
    /// The server refused, or there was none.
    #[error("{path}: {error}")]
    Znode { path: String, doing: Doing, error: ClientError },
    /// A transaction was refused.
    #[error("{0}")]
    Multi(MultiError, Vec<String>),
    /// No member could be reached in time.
    #[error("no member could be reached within {0} ms")]
    Unreachable(u64),
    /// Ctrl-C.
    #[error("cancelled")]
    Cancelled,
    /// Whoever read the output wants no more.
    #[error("standard output is closed")]
    OutputClosed,
}

/// What was tried, where an error reads differently for it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Doing {
    Create,
    /// With the version that was expected.
    Change(Option<i32>),
    /// With the version that was expected.
    Delete(Option<i32>),
    /// With the version of the ACL that was expected.
    ChangeAcl(Option<i32>),
    Other,
}

impl ShellError {
    /// Returns the exit code of the command.
    pub(super) const fn code(&self) -> u8 {
        match self {
            Self::Usage(_) => USAGE,
            Self::Refused(_) => REFUSED,
            Self::Znode { error, .. } | Self::Multi(MultiError { error, .. }, _) => {
                if is_unreachable(error) {
                    UNREACHABLE
                } else {
                    REFUSED
                }
            }
            Self::Unreachable(_) => UNREACHABLE,
            Self::Cancelled => CANCELLED,
            Self::OutputClosed => 0,
        }
    }

    /// Says it in a sentence, and looks into the tree for the reason.
    pub(super) async fn explain(&self, client: Option<&Client>) -> String {
        let Self::Znode { path, doing, error } = self else { return self.plain() };
        let reason = async {
            let client = client.filter(|client| client.state().is_connected())?;
            match error {
                ClientError::NoNode => no_node(client, path, *doing).await,
                ClientError::NotEmpty => not_empty(client, path).await,
                ClientError::BadVersion => bad_version(client, path, *doing).await,
                ClientError::NoAuth => no_auth(client, path, *doing).await,
                _ => None,
            }
        };
        match tokio::time::timeout(EXPLAIN_TIMEOUT, reason).await {
            Ok(Some(text)) => text,
            _ => self.plain(),
        }
    }

    fn plain(&self) -> String {
        match self {
            Self::Znode { path, error, doing } => {
                let path = safe(path);
                match (error, doing) {
                    (ClientError::NoNode, Doing::Create) => {
                        format!("{path} cannot be created: its parent does not exist")
                    }
                    (ClientError::NoNode, _) => format!("{path} does not exist"),
                    (ClientError::NodeExists, _) => format!("{path} exists already"),
                    (ClientError::NotEmpty, _) => format!("{path} has children"),
                    (ClientError::NoChildrenForEphemerals, _) => {
                        format!("{path} cannot be created: its parent is ephemeral")
                    }
                    (ClientError::NoAuth, _) => format!("{path}: not allowed by its ACL"),
                    (error, _) => format!("{path}: {error}"),
                }
            }
            Self::Multi(MultiError { index: Some(index), error }, lines) => {
                let line = lines.get(*index).map_or("", String::as_str);
                format!("nothing was done: operation {} ({}): {error}", index + 1, safe(line))
            }
            other => other.to_string(),
        }
    }
}

/// Says where an error of the client happened.
pub(super) fn at(path: &str) -> impl Fn(ClientError) -> ShellError + '_ {
    doing(path, Doing::Other)
}

/// Says where, and at what, an error of the client happened.
pub(super) fn doing(path: &str, doing: Doing) -> impl Fn(ClientError) -> ShellError + '_ {
    move |error| ShellError::Znode { path: path.to_owned(), doing, error }
}

/// Returns whether it was not a server's answer.
pub(super) const fn is_unreachable(error: &ClientError) -> bool {
    matches!(error, ClientError::ConnectionLoss | ClientError::SessionExpired | ClientError::Closed)
}

async fn no_node(client: &Client, path: &str, doing: Doing) -> Option<String> {
    let mut missing = path.trim_end_matches('/').to_owned();
    let mut above = parent(&missing)?.to_owned();
    while client.exists(&above).await.ok()?.is_none() {
        (above, missing) = (parent(&above)?.to_owned(), above);
    }
    let (path, near, above) = (safe(path), parent(path), safe(&above));
    Some(match doing {
        Doing::Create if Some(missing.as_str()) == near => {
            format!("{path} cannot be created: its parent {missing} does not exist ({above} does)")
        }
        Doing::Create => {
            let near = safe(near.unwrap_or("/"));
            format!("{path} cannot be created: its parent {near} does not exist ({above} does)")
        }
        _ if near == Some(&above) => format!("{path} does not exist (its parent {above} does)"),
        _ => format!("{path} does not exist (nor does {}; {above} does)", safe(&missing)),
    })
}

async fn not_empty(client: &Client, path: &str) -> Option<String> {
    let children = client.exists(path).await.ok()??.num_children;
    let children = if children == 1 { "a child".into() } else { format!("{children} children") };
    Some(format!("{} has {children} (deleteall deletes them too)", safe(path)))
}

async fn bad_version(client: &Client, path: &str, doing: Doing) -> Option<String> {
    let stat = client.exists(path).await.ok()??;
    let (what, version, expected) = match doing {
        Doing::Change(Some(expected)) | Doing::Delete(Some(expected)) => {
            ("version", stat.version, expected)
        }
        Doing::ChangeAcl(Some(expected)) => ("ACL version", stat.aversion, expected),
        _ => return None,
    };
    Some(format!("{} has {what} {version}, not {expected}: it was changed meanwhile", safe(path)))
}

async fn no_auth(client: &Client, path: &str, doing: Doing) -> Option<String> {
    // Whoever wants to create or delete needs leave of the parent.
    let identities = client.who_am_i().await.ok()?;
    let names = identities.iter().filter_map(|info| {
        Some(format!("{}:{}", info.scheme.as_str()?, safe(info.user.as_str()?)))
    });
    let names: Vec<_> = names.collect();
    let is_of_parent = matches!(doing, Doing::Create | Doing::Delete(_));
    let place = if is_of_parent { "its parent's" } else { "its" };
    let path = safe(path);
    Some(format!(
        "{path}: not allowed by {place} ACL to {} (see getAcl, addauth)",
        names.join(", ")
    ))
}

/// Exit code when a server, or the shell itself, refused.
pub(super) const REFUSED: u8 = 1;

/// Exit code of what was not understood.
pub(super) const USAGE: u8 = 2;

/// Exit code when no member could be reached in time.
pub(super) const UNREACHABLE: u8 = 3;

/// Exit code after Ctrl-C, as shells have it.
pub(super) const CANCELLED: u8 = 130;
