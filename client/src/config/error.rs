//! Why a command on configuration failed, by who has to do something about it.

use std::{io, path::PathBuf};

use thiserror::Error;

use crate::error::{ClientError, MultiError};

/// Why a command failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The command was not understood: it says so itself.
    #[error("{0}")]
    Usage(String),
    /// What is wanted cannot be: the directory, a value, a name or a schema says why.
    #[error("{0}")]
    Invalid(String),
    /// Somebody else has changed what this would change, or is about to; look, and plan again.
    #[error("conflict: {0}")]
    Conflict(String),
    /// It was not confirmed.
    #[error("{0}")]
    Unconfirmed(String),
    /// The disk of this machine.
    #[error("{}: {error}", .path.display())]
    Disk {
        /// Where.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The service has refused something, or the session is over.
    #[error("{what}: {error}")]
    Service {
        /// What was asked of it.
        what: String,
        /// Why not.
        error: ClientError,
    },
    /// No member could be reached in time.
    #[error("{0}")]
    Unreachable(String),
}

impl ConfigError {
    /// Returns the exit code: 1 refused, 2 not understood, 3 no member reached.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Unreachable(_)
            | Self::Service {
                error:
                    ClientError::ConnectionLoss | ClientError::SessionExpired | ClientError::Closed,
                ..
            } => 3,
            Self::Service { error: ClientError::ConnectString(_), .. } => 2,
            _ => 1,
        }
    }

    /// Returns an error of the disk at a path.
    pub fn disk(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |error| Self::Disk { path, error }
    }

    /// Returns what the service said about something.
    pub fn service(what: impl Into<String>) -> impl FnOnce(ClientError) -> Self {
        let what = what.into();
        move |error| Self::Service { what, error }
    }

    /// Returns whether the service was out of reach, so that trying again may help.
    pub const fn is_away(&self) -> bool {
        self.exit_code() == 3
    }
}

impl From<MultiError> for ConfigError {
    fn from(error: MultiError) -> Self {
        Self::Service { what: error.to_string(), error: error.error }
    }
}
