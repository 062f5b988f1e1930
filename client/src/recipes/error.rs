//! Why a recipe could not go on.

use thiserror::Error;

use crate::error::{ClientError, ErrorKind, MultiError};

/// Why a recipe could not go on.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum RecipeError {
    /// What was held, or stood in line, is no more: its znode was deleted. Nothing was done.
    #[error("not held any more")]
    Lost,
    /// An operation of a guarded write was refused; nothing was done.
    #[error(transparent)]
    Multi(MultiError),
    /// Data of others at the recipe's path is not what the recipe expects.
    #[error("data at {0} is not of this recipe")]
    Foreign(String),
    /// An operation failed.
    #[error(transparent)]
    Client(#[from] ClientError),
}

impl RecipeError {
    /// Returns what the error means for the caller.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Lost | Self::Foreign(_) => ErrorKind::Refused,
            Self::Multi(error) => error.kind(),
            Self::Client(error) => error.kind(),
        }
    }
}
