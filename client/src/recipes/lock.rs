//! A lock: one holder at a time, first come first served.
//!
//! **Guarantees.** At most one holder whose session the ensemble still has; holders in the order in which
//! they came; a [`Held::fencing_token`] that grows from holder to holder; [`Held::write`], which takes
//! effect only while the lock is held.
//!
//! **Failures.** A holder whose session is suspended still has the lock until the session expires, and
//! cannot know when: [`Held::lost`] tells at once. When the session expires the next has the lock. One that
//! waits keeps its place over lost connections, and fails when its session is over. Dropping the future
//! that waits gives the place up.
//!
//! **Watches.** Each waiter watches the one before it: a release fires one watch.
//!
//! **Others.** [`Layout::Curator`] is that of `InterProcessMutex`, [`Layout::Kazoo`] that of `Lock`;
//! `extra_lock_patterns=["-lock-"]` lets kazoo's see both.

use std::{
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use bytes::Bytes;

use super::{
    Held, Layout, RecipeError,
    line::{Line, Want},
    place::Place,
};
use crate::client::Client;

/// A lock at a path; clones share what is held when it is [`Self::reentrant`].
///
/// ```
/// # async fn example(client: conclave_client::Client) -> Result<(), conclave_client::recipes::RecipeError> {
/// use conclave_client::{Op, recipes::lock::Lock};
///
/// let lock = Lock::new(&client, "/locks/report");
/// let held = lock.lock().await?;
/// held.write(vec![Op::set_data("/report", "mine", None)]).await?;
/// held.release().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Lock {
    line: Line,
    data: Bytes,
    /// The place that is held; none when it is not re-entrant.
    held: Option<Arc<Mutex<Weak<Place>>>>,
}

impl Lock {
    /// Makes a lock at a path, whose znode and parents are made when they are needed.
    pub fn new(client: &Client, path: impl Into<String>) -> Self {
        let line = Line { client: client.clone(), dir: path.into(), layout: Layout::default() };
        Self { line, data: Bytes::new(), held: None }
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

    /// Lets this handle and its clones have the lock again while they have it: it is given back when the
    /// last of what they hold is.
    #[must_use]
    pub fn reentrant(mut self) -> Self {
        self.held = Some(Arc::default());
        self
    }

    /// Waits until the lock is held. Dropping the future gives the place in line up.
    ///
    /// # Errors
    ///
    /// [`RecipeError::Lost`] when somebody deletes the own znode; those of the session.
    pub async fn lock(&self) -> Result<Held, RecipeError> {
        if let Some(held) = self.again() {
            return Ok(held);
        }
        let place = self.line.join(Want::Lock, &self.data).await?;
        self.line.wait_turn(&place, Want::Lock, 1).await?;
        Ok(self.hold(place))
    }

    /// Waits for the lock for a time; `None` when it was not to be had.
    ///
    /// # Errors
    ///
    /// As [`Self::lock`].
    pub async fn try_lock_for(&self, timeout: Duration) -> Result<Option<Held>, RecipeError> {
        match tokio::time::timeout(timeout, self.lock()).await {
            Ok(held) => held.map(Some),
            Err(_) => Ok(None),
        }
    }

    /// Takes the lock if nobody has it; without a connection it waits for one.
    ///
    /// # Errors
    ///
    /// As [`Self::lock`].
    pub async fn try_lock(&self) -> Result<Option<Held>, RecipeError> {
        if let Some(held) = self.again() {
            return Ok(Some(held));
        }
        let place = self.line.join(Want::Lock, &self.data).await?;
        if self.line.blocker(&place, Want::Lock, 1).await?.is_some() {
            place.leave().await?;
            return Ok(None);
        }
        Ok(Some(self.hold(place)))
    }

    /// Returns what the contenders' znodes say, the holder's first.
    ///
    /// # Errors
    ///
    /// Those of the session.
    pub async fn contenders(&self) -> Result<Vec<Bytes>, RecipeError> {
        Ok(self.line.data().await?.into_iter().map(|(_, data)| data).collect())
    }

    fn again(&self) -> Option<Held> {
        let held = self.held.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner);
        let held = Held::new(held.upgrade()?);
        held.is_held().then_some(held)
    }

    fn hold(&self, place: Place) -> Held {
        let place = Arc::new(place);
        if let Some(held) = &self.held {
            *held.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(&place);
        }
        Held::new(place)
    }
}
