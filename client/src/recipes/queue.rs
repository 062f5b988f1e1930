//! A queue: first in, first out, or by priority.
//!
//! **Guarantees.** An item is taken at most once. Of one priority the item that was put first is offered
//! first; a lower number goes before a higher.
//!
//! **Failures.** Who takes an item has it alone: when that process dies, or the answer to the taking is lost
//! ([`crate::ErrorKind::OutcomeUnknown`]), the item may be gone. A put whose answer is lost is not
//! repeated, and says so. Dropping the future of [`Queue::take`] while it waits takes nothing; while an
//! item is being taken, it may lose it, so select on [`Queue::wait`] instead.
//!
//! **Watches.** Those that wait at an empty queue stand in line, and the first watches it: a put fires one
//! watch.
//!
//! **Others.** The layout is that of kazoo's `Queue`, `entry-PRIORITY-NUMBER`. The line of those that wait is
//! at `PATH-waiting`. A queue of many thousand items is a task for another kind of system.

use bytes::Bytes;

use super::{RecipeError, lock::Lock, patient};
use crate::{
    client::{Client, CreateMode, CreateOptions},
    error::ClientError,
};

/// Priority of an item that is given none: kazoo's.
pub const PRIORITY_DEFAULT: u16 = 100;

/// The largest number that has a place in a name.
pub const PRIORITY_MAX: u16 = 999;

/// Begins an item's name.
const PREFIX: &str = "entry-";

/// A queue at a path.
#[derive(Clone, Debug)]
pub struct Queue {
    client: Client,
    dir: String,
    waiting: Lock,
}

impl Queue {
    /// Makes a queue at a path, whose znode and parents are made when they are needed.
    pub fn new(client: &Client, path: impl Into<String>) -> Self {
        let dir = path.into();
        Self { client: client.clone(), waiting: Lock::new(client, format!("{dir}-waiting")), dir }
    }

    /// Puts an item at the end.
    ///
    /// # Errors
    ///
    /// Those of the session; with [`crate::ErrorKind::OutcomeUnknown`] it may be there or not.
    pub async fn put(&self, item: impl Into<Bytes>) -> Result<(), RecipeError> {
        self.put_by_priority(item, PRIORITY_DEFAULT).await
    }

    /// Puts an item behind those of the same number, and before those of higher ones.
    ///
    /// # Errors
    ///
    /// As [`Self::put`]; [`ClientError::BadArguments`] beyond [`PRIORITY_MAX`].
    pub async fn put_by_priority(
        &self,
        item: impl Into<Bytes>,
        priority: u16,
    ) -> Result<(), RecipeError> {
        if priority > PRIORITY_MAX {
            return Err(ClientError::BadArguments.into());
        }
        let path = format!("{}/{PREFIX}{priority:03}-", self.dir);
        let options = CreateOptions::new(CreateMode::PersistentSequential).parents();
        self.client.create_as(&path, item, &options).await?;
        Ok(())
    }

    /// Takes the first item; waits for one when there is none.
    ///
    /// # Errors
    ///
    /// Those of the session; with [`crate::ErrorKind::OutcomeUnknown`] an item may be lost.
    pub async fn take(&self) -> Result<Bytes, RecipeError> {
        loop {
            if let Some(item) = self.try_take().await? {
                return Ok(item);
            }
            self.wait().await?;
        }
    }

    /// Takes the first item if there is one.
    ///
    /// # Errors
    ///
    /// As [`Self::take`].
    pub async fn try_take(&self) -> Result<Option<Bytes>, RecipeError> {
        loop {
            let names = self.items().await?;
            if names.is_empty() {
                return Ok(None);
            }
            for name in names {
                let path = format!("{}/{name}", self.dir);
                let item = match patient(|| self.client.get_data(&path)).await {
                    Ok((item, _)) => item,
                    // Another was faster.
                    Err(ClientError::NoNode) => continue,
                    Err(error) => return Err(error.into()),
                };
                match self.client.delete(&path, None).await {
                    Ok(()) => return Ok(Some(item)),
                    Err(ClientError::NoNode) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
    }

    /// Waits until there is an item, in line with others that wait. Another may be faster to take it.
    ///
    /// # Errors
    ///
    /// Those of the session.
    pub async fn wait(&self) -> Result<(), RecipeError> {
        let turn = self.waiting.lock().await?;
        loop {
            let listed = patient(|| self.client.get_children_and_watch(&self.dir)).await;
            match listed {
                Ok(((names, _), mut watcher)) => {
                    if names.iter().any(|name| name.starts_with(PREFIX)) {
                        break;
                    }
                    drop(watcher.event().await);
                }
                Err(ClientError::NoNode) => {
                    let options = CreateOptions::new(CreateMode::Persistent).parents();
                    match self.client.create_as(&self.dir, "", &options).await {
                        Ok(_) | Err(ClientError::NodeExists | ClientError::ConnectionLoss) => {}
                        Err(error) => return Err(error.into()),
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        turn.release().await
    }

    /// Returns how many items there are.
    ///
    /// # Errors
    ///
    /// Those of the session.
    pub async fn len(&self) -> Result<usize, RecipeError> {
        Ok(self.items().await?.len())
    }

    /// Returns whether there are no items.
    ///
    /// # Errors
    ///
    /// Those of the session.
    pub async fn is_empty(&self) -> Result<bool, RecipeError> {
        Ok(self.len().await? == 0)
    }

    /// Returns the names of the items, in their order: that of the text, as the numbers are of fixed length.
    async fn items(&self) -> Result<Vec<String>, RecipeError> {
        match patient(|| self.client.get_children(&self.dir)).await {
            Ok((names, _)) => {
                Ok(names.into_iter().filter(|name| name.starts_with(PREFIX)).collect())
            }
            Err(ClientError::NoNode) => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        }
    }
}
