//! A lock that many readers share, or one writer has.
//!
//! **Guarantees.** While a writer has it nobody else does; readers share it; who came first is served
//! first, so that readers who come behind a waiting writer wait for it.
//!
//! **Failures.** As [`super::lock`].
//!
//! **Watches.** A writer watches the one before it. A reader watches the last writer before it: when that
//! leaves, the watches of all readers behind it fire, and all of them have the lock.
//!
//! **Others.** [`Layout::Curator`] is that of `InterProcessReadWriteLock`, [`Layout::Kazoo`] that of
//! `ReadLock` and `WriteLock`.

use std::sync::Arc;

use bytes::Bytes;

use super::{
    Held, Layout, RecipeError,
    line::{Line, Want},
};
use crate::client::Client;

/// A read-write lock at a path.
///
/// ```
/// # async fn example(client: conclave_client::Client) -> Result<(), conclave_client::recipes::RecipeError> {
/// use conclave_client::recipes::rw_lock::RwLock;
///
/// let lock = RwLock::new(&client, "/locks/catalogue");
/// let (one, other) = (lock.read().await?, lock.read().await?);
/// drop((one, other));
/// let alone = lock.write().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct RwLock {
    line: Line,
    data: Bytes,
}

impl RwLock {
    /// Makes a lock at a path, whose znode and parents are made when they are needed.
    pub fn new(client: &Client, path: impl Into<String>) -> Self {
        let line = Line { client: client.clone(), dir: path.into(), layout: Layout::default() };
        Self { line, data: Bytes::new() }
    }

    /// Sets whose names the znodes have.
    #[must_use]
    pub const fn layout(mut self, layout: Layout) -> Self {
        self.line.layout = layout;
        self
    }

    /// Sets what the own znode says: who this is.
    #[must_use]
    pub fn identifier(mut self, data: impl Into<Bytes>) -> Self {
        self.data = data.into();
        self
    }

    /// Waits until it may read. Dropping the future gives the place in line up.
    ///
    /// # Errors
    ///
    /// [`RecipeError::Lost`] when somebody deletes the own znode; those of the session.
    pub async fn read(&self) -> Result<Held, RecipeError> {
        self.wait(Want::Read).await
    }

    /// Waits until it may write. Dropping the future gives the place in line up.
    ///
    /// # Errors
    ///
    /// As [`Self::read`].
    pub async fn write(&self) -> Result<Held, RecipeError> {
        self.wait(Want::Write).await
    }

    /// Returns what the contenders' znodes say, in order.
    ///
    /// # Errors
    ///
    /// Those of the session.
    pub async fn contenders(&self) -> Result<Vec<Bytes>, RecipeError> {
        Ok(self.line.data().await?.into_iter().map(|(_, data)| data).collect())
    }

    async fn wait(&self, want: Want) -> Result<Held, RecipeError> {
        let place = self.line.join(want, &self.data).await?;
        self.line.wait_turn(&place, want, 1).await?;
        Ok(Held::new(Arc::new(place)))
    }
}
