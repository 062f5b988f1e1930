//! A znode of ours in a line, and what it means to hold something by it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use conclave_protocol::{ids::SessionId, path, zxid::Zxid};

use super::{RecipeError, cleanup, patient};
use crate::{
    client::{Client, Created},
    error::ClientError,
    ops::{Op, OpOutcome},
};

/// An ephemeral znode of ours: removed when dropped.
#[derive(Debug)]
pub(super) struct Place {
    client: Client,
    path: String,
    czxid: Zxid,
    session: SessionId,
    is_gone: AtomicBool,
}

impl Place {
    pub(super) fn new(client: Client, created: Created) -> Self {
        let Created { path, stat } = created;
        let session = SessionId(stat.ephemeral_owner);
        Self { client, path, czxid: stat.czxid, session, is_gone: AtomicBool::new(false) }
    }

    pub(super) fn name(&self) -> &str {
        path::name(&self.path)
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Removes it and waits until it is gone.
    pub(super) async fn leave(&self) -> Result<(), RecipeError> {
        let left = cleanup::delete_and_wait(&self.client, &self.path).await;
        // Not before: a future that is dropped has not removed it for certain.
        self.is_gone.store(true, Ordering::Relaxed);
        Ok(left?)
    }

    /// Removes it in the background, also when others still hold it.
    pub(super) fn abandon(&self) {
        if !self.is_gone.swap(true, Ordering::Relaxed) {
            cleanup::delete(&self.client, &self.path);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.abandon();
    }
}

/// Why something is not held any more, or cannot be relied on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Lost {
    /// The session has lost its connection: it may have expired by now, and another may hold.
    Suspended,
    /// The session is over.
    SessionOver,
    /// Somebody has deleted the znode.
    Deleted,
}

/// Something that is held until this is dropped or released: a lock, a lease, the lead.
///
/// It is safe to rely on while [`Self::is_held`] says so, but no answer is safe for ever: between asking
/// and acting the process may have been paused. What must not be done by two is therefore done through
/// [`Self::write`], or by a storage that remembers the highest [`Self::fencing_token`] it has seen
/// and refuses lower ones.
#[derive(Clone, Debug)]
pub struct Held {
    place: Arc<Place>,
}

impl Held {
    pub(super) fn new(place: Arc<Place>) -> Self {
        Self { place }
    }

    /// Returns a number that grows from holder to holder: the zxid at which the znode was created.
    pub fn fencing_token(&self) -> Zxid {
        self.place.czxid
    }

    /// Returns the path of the znode that stands for it.
    pub fn path(&self) -> &str {
        &self.place.path
    }

    /// Returns whether the session that holds it has a connection now.
    pub fn is_held(&self) -> bool {
        self.state().is_none()
    }

    fn state(&self) -> Option<Lost> {
        let client = &self.place.client;
        let state = client.state();
        if state.is_over() || client.session_id() != self.place.session {
            Some(Lost::SessionOver)
        } else if !state.is_connected() {
            Some(Lost::Suspended)
        } else {
            None
        }
    }

    /// Waits until it cannot be relied on any more, and says why. One watch: on the own znode.
    pub async fn lost(&self) -> Lost {
        let client = &self.place.client;
        let mut states = client.states();
        loop {
            if let Some(lost) = self.state() {
                return lost;
            }
            states.mark_unchanged();
            let watching = async {
                match patient(|| client.exists_and_watch(&self.place.path)).await {
                    Ok((Some(_), mut watcher)) => drop(watcher.event().await),
                    Ok((None, _)) => return Some(Lost::Deleted),
                    Err(_) => std::future::pending().await,
                }
                None
            };
            tokio::select! {
                changed = states.changed() => if changed.is_err() {
                    return Lost::SessionOver;
                },
                lost = watching => if let Some(lost) = lost {
                    return lost;
                },
            }
        }
    }

    /// Returns the operation that makes a multi of the caller's own take effect only while this is held.
    pub fn check(&self) -> Op {
        Op::check(&self.place.path, -1)
    }

    /// Does all of several operations if this is still held when they take effect, and none otherwise:
    /// the check is part of the same multi. So a holder that was paused, and has been succeeded,
    /// changes nothing.
    ///
    /// # Errors
    ///
    /// [`RecipeError::Lost`] when it is not held any more; [`RecipeError::Multi`] when another operation
    /// was refused, numbered as given.
    pub async fn write(&self, ops: Vec<Op>) -> Result<Vec<OpOutcome>, RecipeError> {
        let guarded = std::iter::once(self.check()).chain(ops).collect();
        match self.place.client.multi(guarded).await {
            Ok(mut outcomes) => {
                outcomes.remove(0);
                Ok(outcomes)
            }
            Err(error) if error.index == Some(0) && error.error == ClientError::NoNode => {
                Err(RecipeError::Lost)
            }
            Err(mut error) => {
                error.index = error.index.and_then(|index| index.checked_sub(1));
                Err(RecipeError::Multi(error))
            }
        }
    }

    /// Gives it back and waits until the next can have it; with clones left, only this one ends. Dropping
    /// does the same without waiting.
    ///
    /// # Errors
    ///
    /// Those of the session; when that is over, it is given back all the same.
    pub async fn release(self) -> Result<(), RecipeError> {
        match Arc::into_inner(self.place) {
            Some(place) => place.leave().await,
            None => Ok(()),
        }
    }
}
