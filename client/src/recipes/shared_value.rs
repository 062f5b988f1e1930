//! A value that all see and any may change, if they have seen the newest.
//!
//! **Guarantees.** A change is made only to the version that the caller has seen. What is read is never older
//! than what this session has read or written before.
//!
//! **Failures.** A lost answer to a change is said ([`crate::ErrorKind::OutcomeUnknown`]): read again. The value
//! stays when all processes end.
//!
//! **Watches.** None; [`super::node_cache`] follows a value.

use bytes::Bytes;

use super::{RecipeError, patient};
use crate::{
    client::{Client, CreateMode, CreateOptions},
    error::ClientError,
};

/// A value at a path.
#[derive(Clone, Debug)]
pub struct SharedValue {
    client: Client,
    path: String,
}

/// A value and which one it is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Versioned {
    /// The value.
    pub value: Bytes,
    /// Which; changes with every change.
    pub version: i32,
}

impl SharedValue {
    /// Makes a value at a path.
    pub fn new(client: &Client, path: impl Into<String>) -> Self {
        Self { client: client.clone(), path: path.into() }
    }

    /// Returns the value; when there is none yet, `initial` is made it.
    ///
    /// # Errors
    ///
    /// Those of the session.
    pub async fn get_or(&self, initial: impl Into<Bytes>) -> Result<Versioned, RecipeError> {
        let initial = initial.into();
        let options = CreateOptions::new(CreateMode::Persistent).parents();
        loop {
            match patient(|| self.client.get_data(&self.path)).await {
                Ok((value, stat)) => return Ok(Versioned { value, version: stat.version }),
                Err(ClientError::NoNode) => {}
                Err(error) => return Err(error.into()),
            }
            match self.client.create_as(&self.path, initial.clone(), &options).await {
                Ok(_) | Err(ClientError::NodeExists | ClientError::ConnectionLoss) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Changes the value if it is still what the caller has seen; `None` when it is another by now.
    ///
    /// # Errors
    ///
    /// Those of the session; with [`crate::ErrorKind::OutcomeUnknown`] it may have been changed or not.
    pub async fn try_set(
        &self,
        seen: &Versioned,
        value: impl Into<Bytes>,
    ) -> Result<Option<Versioned>, RecipeError> {
        let value = value.into();
        match self.client.set_data(&self.path, value.clone(), Some(seen.version)).await {
            Ok(stat) => Ok(Some(Versioned { value, version: stat.version })),
            Err(ClientError::BadVersion | ClientError::NoNode) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
