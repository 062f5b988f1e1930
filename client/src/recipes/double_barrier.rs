//! A double barrier: so many begin together, and end together.
//!
//! **Guarantees.** [`DoubleBarrier::enter`] returns after so many have called it; [`DoubleBarrier::leave`]
//! after all of them have.
//!
//! **Failures.** One whose session expires before all have entered is not counted any more; one that dies
//! inside leaves by that. Dropping the future of either, or the barrier, leaves.
//!
//! **Watches.** Each watches the znode that says that all are there: its creation fires all, and all go on.
//! Leaving, each watches one: the first watches the last, and all others the first.
//!
//! **Others.** The layout is that of Curator's `DistributedDoubleBarrier` and kazoo's `DoubleBarrier`.

use bytes::Bytes;

use super::{RecipeError, cleanup, patient, place::Place};
use crate::{
    client::{Client, CreateMode, create::guid},
    error::{ClientError, ErrorKind},
};

/// Says that all are there.
const READY: &str = "ready";

/// One's part in a double barrier.
#[derive(Debug)]
pub struct DoubleBarrier {
    client: Client,
    dir: String,
    count: usize,
    place: Option<Place>,
}

impl DoubleBarrier {
    /// Makes a part in a barrier of `count` at a path, whose znode and parents are made when needed.
    pub fn new(client: &Client, path: impl Into<String>, count: usize) -> Self {
        Self { client: client.clone(), dir: path.into(), count, place: None }
    }

    /// Waits until all have entered.
    ///
    /// # Errors
    ///
    /// Those of the session.
    pub async fn enter(&mut self) -> Result<(), RecipeError> {
        let ready = format!("{}/{READY}", self.dir);
        // Watched before this one counts, so that it cannot come and go unseen.
        let (mut found, mut watcher) = patient(|| self.client.exists_and_watch(&ready)).await?;
        let path = format!("{}/{}", self.dir, guid());
        let created = cleanup::create_own(&self.client, &path, &Bytes::new()).await?;
        self.place = Some(Place::new(self.client.clone(), created));
        let (names, _) = patient(|| self.client.get_children(&self.dir)).await?;
        if names.iter().filter(|name| *name != READY).count() >= self.count {
            return self.say_ready(&ready).await;
        }
        while found.is_none() {
            if watcher.event().await.is_some() {
                return Ok(());
            }
            // The session is over, and says so.
            (found, watcher) = patient(|| self.client.exists_and_watch(&ready)).await?;
        }
        Ok(())
    }

    async fn say_ready(&self, ready: &str) -> Result<(), RecipeError> {
        loop {
            match self.client.create(ready, "", CreateMode::Persistent).await {
                Ok(_) | Err(ClientError::NodeExists) => return Ok(()),
                Err(error) if error.kind() == ErrorKind::OutcomeUnknown => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Waits until all have left. Without having entered it does nothing.
    ///
    /// # Errors
    ///
    /// Those of the session.
    pub async fn leave(&mut self) -> Result<(), RecipeError> {
        let Some(place) = self.place.take() else { return Ok(()) };
        cleanup::delete_and_wait(&self.client, &format!("{}/{READY}", self.dir)).await?;
        let mut place = Some(place);
        loop {
            let names = match patient(|| self.client.get_children(&self.dir)).await {
                Ok((names, _)) => names,
                Err(ClientError::NoNode) => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            let inside: Vec<String> = names.into_iter().filter(|name| name != READY).collect();
            let (Some(first), Some(last)) = (inside.first(), inside.last()) else { return Ok(()) };
            let is_first = place.as_ref().is_some_and(|place| place.name() == first);
            if is_first && first == last {
                return place.take().expect("it is the first").leave().await;
            }
            if !is_first && let Some(place) = place.take() {
                place.leave().await?;
            }
            let other = format!("{}/{}", self.dir, if is_first { last } else { first });
            match patient(|| self.client.get_data_and_watch(&other)).await {
                Ok((_, mut watcher)) => drop(watcher.event().await),
                Err(ClientError::NoNode) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}
