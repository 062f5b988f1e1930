//! One leader among candidates.
//!
//! **Guarantees.** At most one leader whose session the ensemble still has, the longest waiting candidate
//! next. A [`Held`] stands for the lead: it says when the lead can no longer be relied on, at a suspension
//! already, its token grows from leader to leader, and its guarded write takes effect only while
//! it leads.
//!
//! **Failures.** When the leader's session expires, or it resigns, the next leads: after its session
//! timeout at the latest. A leader whose session is suspended and comes back in time still leads, with a
//! new [`Held`] of the same token.
//!
//! **Watches.** Each candidate watches the one before it: a change of leaders fires one watch.
//!
//! **Others.** [`Kind::Latch`] is Curator's `LeaderLatch`, [`Kind::Selector`] its
//! `LeaderSelector`, and [`Kind::Kazoo`] kazoo's `Election`.

use std::sync::Arc;

use bytes::Bytes;

use super::{
    Held, Layout, Lost, RecipeError,
    line::{Line, Want},
    place::Place,
};
use crate::client::Client;

/// With whom to stand for election.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Kind {
    /// Those of Curator's `LeaderLatch`.
    #[default]
    Latch,
    /// Those of Curator's `LeaderSelector`.
    Selector,
    /// Those of kazoo's `Election`.
    Kazoo,
}

/// An election at a path.
///
/// ```
/// # async fn work() {}
/// # async fn example(client: conclave_client::Client) -> Result<(), conclave_client::recipes::RecipeError> {
/// use conclave_client::recipes::election::Election;
///
/// let election = Election::new(&client, "/election").identifier("host-7");
/// // A latch: lead, and go on until the lead is lost.
/// let mut candidate = election.stand().await?;
/// let lead = candidate.lead().await?;
/// println!("leading until {:?}", lead.lost().await);
/// drop(candidate);
/// // A selector: a task that runs while it leads, and ends when it does not any more.
/// election.run(|_lead| work()).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Election {
    line: Line,
    want: Want,
    data: Bytes,
}

/// How a selector's task ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ended<T> {
    /// By itself.
    Done(T),
    /// It was dropped, because the lead was lost.
    Lost(Lost),
}

impl Election {
    /// Makes an election at a path, whose znode and parents are made when they are needed.
    pub fn new(client: &Client, path: impl Into<String>) -> Self {
        let line = Line { client: client.clone(), dir: path.into(), layout: Layout::default() };
        Self { line, want: Want::Latch, data: Bytes::new() }
    }

    /// Sets with whom it stands for election.
    #[must_use]
    pub const fn kind(mut self, kind: Kind) -> Self {
        (self.want, self.line.layout) = match kind {
            Kind::Latch => (Want::Latch, Layout::Curator),
            Kind::Selector => (Want::Lock, Layout::Curator),
            Kind::Kazoo => (Want::Lock, Layout::Kazoo),
        };
        self
    }

    /// Sets what the own znode says: who this is.
    #[must_use]
    pub fn identifier(mut self, data: impl Into<Bytes>) -> Self {
        self.data = data.into();
        self
    }

    /// Stands for election: a candidate until it is dropped.
    ///
    /// # Errors
    ///
    /// Those of the session.
    pub async fn stand(&self) -> Result<Candidate, RecipeError> {
        let place = self.line.join(self.want, &self.data).await?;
        Ok(Candidate { election: self.clone(), place: Arc::new(place) })
    }

    /// Stands for election, runs a task as soon as it leads, and resigns when the task has ended. The task
    /// is dropped when the lead is lost. Run it again to stand again, at the end of the line.
    ///
    /// # Errors
    ///
    /// Those of the session, and [`RecipeError::Lost`] when somebody deletes the own znode before it leads.
    pub async fn run<T, F>(&self, task: impl FnOnce(Held) -> F) -> Result<Ended<T>, RecipeError>
    where
        F: Future<Output = T>,
    {
        let mut candidate = self.stand().await?;
        let lead = candidate.lead().await?;
        let ended = tokio::select! {
            done = task(lead.clone()) => Ended::Done(done),
            lost = lead.lost() => Ended::Lost(lost),
        };
        drop(lead);
        candidate.resign().await?;
        Ok(ended)
    }

    /// Returns what the leader's znode says; `None` when nobody stands for election.
    ///
    /// # Errors
    ///
    /// Those of the session.
    pub async fn leader(&self) -> Result<Option<Bytes>, RecipeError> {
        Ok(self.candidates().await?.into_iter().next())
    }

    /// Returns what the candidates' znodes say, the leader's first.
    ///
    /// # Errors
    ///
    /// Those of the session.
    pub async fn candidates(&self) -> Result<Vec<Bytes>, RecipeError> {
        Ok(self.line.data().await?.into_iter().map(|(_, data)| data).collect())
    }
}

/// One that stands for election; resigns when dropped.
#[derive(Debug)]
pub struct Candidate {
    election: Election,
    place: Arc<Place>,
}

impl Candidate {
    /// Waits until it leads and has a connection. After the lead was lost by a suspension, waits until it
    /// leads again.
    ///
    /// # Errors
    ///
    /// [`RecipeError::Lost`] when the own znode is gone: stand again. Those of the session.
    pub async fn lead(&mut self) -> Result<Held, RecipeError> {
        let Election { line, want, .. } = &self.election;
        loop {
            line.client.connected().await?;
            line.wait_turn(&self.place, *want, 1).await?;
            let lead = Held::new(self.place.clone());
            if lead.is_held() {
                return Ok(lead);
            }
        }
    }

    /// Resigns, and waits until the next can lead. What [`Self::lead`] gave is then worth nothing.
    ///
    /// # Errors
    ///
    /// Those of the session.
    pub async fn resign(self) -> Result<(), RecipeError> {
        self.place.leave().await
    }
}

impl Drop for Candidate {
    fn drop(&mut self) {
        // Also when a lead is still held by somebody: it is told that its znode is gone.
        self.place.abandon();
    }
}
