//! A barrier: a gate that is closed for all, until it is opened for all.
//!
//! **Guarantees.** Who waits goes on only after the gate was seen open: when the znode was gone.
//!
//! **Failures.** The gate stays closed when who has closed it dies. Those that wait go on waiting over lost
//! connections, and fail when their session is over.
//!
//! **Watches.** Each that waits watches the gate's znode; opening it fires all, and all go on.
//!
//! **Others.** The layout is that of Curator's `DistributedBarrier` and kazoo's `Barrier`.

use super::{RecipeError, cleanup, patient};
use crate::{
    client::{Client, CreateMode, CreateOptions},
    error::{ClientError, ErrorKind},
};

/// A barrier at a path.
#[derive(Clone, Debug)]
pub struct Barrier {
    client: Client,
    path: String,
}

impl Barrier {
    /// Makes a barrier at a path; it is open until it is closed.
    pub fn new(client: &Client, path: impl Into<String>) -> Self {
        Self { client: client.clone(), path: path.into() }
    }

    /// Closes the gate, whether it was open or not.
    ///
    /// # Errors
    ///
    /// Those of the session.
    pub async fn close(&self) -> Result<(), RecipeError> {
        let options = CreateOptions::new(CreateMode::Persistent).parents();
        loop {
            match self.client.create_as(&self.path, "", &options).await {
                Ok(_) | Err(ClientError::NodeExists) => return Ok(()),
                Err(error) if error.kind() == ErrorKind::OutcomeUnknown => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Opens the gate, whether it was closed or not.
    ///
    /// # Errors
    ///
    /// Those of the session.
    pub async fn open(&self) -> Result<(), RecipeError> {
        Ok(cleanup::delete_and_wait(&self.client, &self.path).await?)
    }

    /// Waits until the gate is open.
    ///
    /// # Errors
    ///
    /// Those of the session.
    pub async fn wait(&self) -> Result<(), RecipeError> {
        // The read alone may be of a server that does not know yet that the gate was closed.
        patient(|| self.client.sync(&self.path)).await?;
        loop {
            match patient(|| self.client.get_data_and_watch(&self.path)).await {
                Ok((_, mut watcher)) => drop(watcher.event().await),
                Err(ClientError::NoNode) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }
}
