//! A semaphore: at most so many holders.
//!
//! **Guarantees.** At most as many holders as leases; who came first is served first. All must use the same
//! number of leases; with different numbers each keeps to its own.
//!
//! **Failures.** As [`super::lock`]. A holder whose session expires gives its lease back.
//!
//! **Watches.** Those that wait stand in line for a lock; only its holder watches the leases. A release
//! fires one watch, and the lock's that follows another.
//!
//! **Others.** The layout is that of Curator's `InterProcessSemaphoreV2`: `locks` and `leases` below
//! the path. Kazoo's `Semaphore` has another that is not fair, and does not contend with this.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use super::{
    Held, Layout, RecipeError,
    line::{self, Line, Want},
    lock::Lock,
    patient,
};
use crate::{client::Client, error::ClientError};

/// A semaphore at a path.
///
/// ```
/// # async fn example(client: conclave_client::Client) -> Result<(), conclave_client::recipes::RecipeError> {
/// use conclave_client::recipes::semaphore::Semaphore;
///
/// let semaphore = Semaphore::new(&client, "/semaphores/licences", 5);
/// let lease = semaphore.acquire().await?;
/// lease.release().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Semaphore {
    lock: Lock,
    leases: Line,
    count: usize,
    data: Bytes,
}

impl Semaphore {
    /// Makes a semaphore of `count` leases at a path, whose znode and parents are made when they are
    /// needed.
    ///
    /// # Panics
    ///
    /// When there are no leases.
    pub fn new(client: &Client, path: impl Into<String>, count: usize) -> Self {
        assert!(count > 0, "a semaphore has leases");
        let path = path.into();
        let dir = format!("{path}/leases");
        Self {
            lock: Lock::new(client, format!("{path}/locks")),
            leases: Line { client: client.clone(), dir, layout: Layout::Curator },
            count,
            data: Bytes::new(),
        }
    }

    /// Sets what the own znode says: who this is.
    #[must_use]
    pub fn identifier(mut self, data: impl Into<Bytes>) -> Self {
        self.data = data.into();
        self
    }

    /// Waits until a lease is held. Dropping the future gives the place in line up.
    ///
    /// # Errors
    ///
    /// [`RecipeError::Lost`] when somebody deletes the own znode; those of the session.
    pub async fn acquire(&self) -> Result<Held, RecipeError> {
        let turn = self.lock.lock().await?;
        let place = self.leases.join(Want::Lease, &self.data).await?;
        loop {
            let listed = patient(|| self.leases.client.get_children_and_watch(&self.leases.dir));
            let ((names, _), mut watcher) = match listed.await {
                Ok(listed) => listed,
                Err(ClientError::NoNode) => return Err(RecipeError::Lost),
                Err(error) => return Err(error.into()),
            };
            let leases = line::contenders(&names);
            if !leases.iter().any(|lease| lease.name == place.name()) {
                return Err(RecipeError::Lost);
            }
            if leases.len() <= self.count {
                break;
            }
            // Nothing comes when the session is over; the next look says so.
            drop(watcher.event().await);
        }
        turn.release().await?;
        Ok(Held::new(Arc::new(place)))
    }

    /// Waits for a lease for a time; `None` when there was none.
    ///
    /// # Errors
    ///
    /// As [`Self::acquire`].
    pub async fn try_acquire_for(&self, timeout: Duration) -> Result<Option<Held>, RecipeError> {
        match tokio::time::timeout(timeout, self.acquire()).await {
            Ok(held) => held.map(Some),
            Err(_) => Ok(None),
        }
    }

    /// Returns what the holders' znodes say.
    ///
    /// # Errors
    ///
    /// Those of the session.
    pub async fn holders(&self) -> Result<Vec<Bytes>, RecipeError> {
        let mut all: Vec<Bytes> =
            self.leases.data().await?.into_iter().map(|(_, data)| data).collect();
        // One more may stand there, whose turn it is next.
        all.truncate(self.count);
        Ok(all)
    }
}
