//! Recipes: what people build on a coordination service, ready made.
//!
//! | recipe | what it is |
//! |---|---|
//! | [`lock`] | one holder at a time, first come first served, with a fencing token |
//! | [`rw_lock`] | many readers or one writer |
//! | [`semaphore`] | at most so many holders |
//! | [`election`] | one leader: a latch, or a selector that runs a task while it leads |
//! | [`barrier`], [`double_barrier`] | a gate for all; a start and an end together |
//! | [`queue`] | first in first out, or by priority |
//! | [`counter`], [`shared_value`], [`id_generator`] | a number, a value, numbers that nobody gets twice |
//! | [`group`], [`discovery`] | who is there; where a service is |
//! | [`partitioner`] | a set divided among those who are there |
//! | [`node_cache`], [`tree_cache`] | a copy in memory that is kept up to date |
//!
//! What all have in common:
//!
//! - **A lost connection is no error** while the session lives: recipes look what has happened and go on.
//!   Where the outcome cannot be known ([`crate::ErrorKind::OutcomeUnknown`]), they say so.
//! - **What is held is held by an ephemeral znode**, so it goes with the session. A session that is
//!   suspended may have expired already without knowing: holders have a future (`lost`) that tells, and
//!   a token that servers and other storages can check.
//! - **Dropping a future that waits leaves nothing behind**: the znode that stood in line is removed, also
//!   when its creation was still under way. Dropping a guard releases it. Both go on in the background
//!   until they are done; [`crate::Client::close`] ends all at once.
//! - **No herds**: a release wakes those that can go on because of it, and no others. Each recipe says how
//!   many watches fire.
//! - **Layouts are those of Curator and kazoo** where there is one, so that their users contend with ours on
//!   the same path; see [`Layout`].

pub mod barrier;
mod cleanup;
pub mod counter;
pub mod discovery;
pub mod double_barrier;
pub mod election;
mod error;
pub mod group;
pub mod id_generator;
mod line;
pub mod lock;
pub mod node_cache;
pub mod partitioner;
mod place;
pub mod queue;
pub mod rw_lock;
pub mod semaphore;
pub mod shared_value;
pub mod tree_cache;

use crate::error::{ClientError, ErrorKind};

pub use self::{
    error::RecipeError,
    line::Layout,
    place::{Held, Lost},
};

/// Reads until the session answers: a read can always be repeated, and without a connection it waits.
async fn patient<T, F>(mut read: impl FnMut() -> F) -> Result<T, ClientError>
where
    F: Future<Output = Result<T, ClientError>>,
{
    loop {
        match read().await {
            Err(error) => match error.kind() {
                ErrorKind::OutcomeUnknown => {}
                ErrorKind::NotDone => tokio::time::sleep(REST).await,
                ErrorKind::SessionGone | ErrorKind::Refused => return Err(error),
            },
            answer => return answer,
        }
    }
}

/// Rest before what a server had no room for is tried again.
const REST: std::time::Duration = std::time::Duration::from_millis(50);
