//! Where a service is: instances register, clients pick one.
//!
//! **Guarantees.** As [`super::group`], of which a service's instances are one. What a client picks was registered
//! as far as its copy knows; picking costs no request.
//!
//! **Failures.** An instance that has died is picked until its session has expired. While the client's session
//! is suspended it picks from the last it knows.
//!
//! **Watches.** One recursive watch for each service that a client follows.
//!
//! **Others.** The layout is Curator's, `BASE/SERVICE/INSTANCE`; what an instance says is the caller's, also
//! whether that is Curator's JSON.

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

use super::{
    RecipeError,
    group::{Group, Members, Membership},
};
use crate::{client::Client, clock};

/// Which instance is picked.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Strategy {
    /// One after the other.
    #[default]
    RoundRobin,
    /// Any.
    Random,
    /// The same as long as it is there.
    Sticky,
}

/// Services below a path.
#[derive(Clone, Debug)]
pub struct Discovery {
    client: Client,
    base: String,
}

/// An instance of a service.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Instance {
    /// Its name.
    pub id: String,
    /// What it says: where it is.
    pub payload: Bytes,
}

/// A service that is followed.
#[derive(Debug)]
pub struct Service {
    members: Members,
    strategy: Strategy,
    turn: AtomicUsize,
    chosen: std::sync::Mutex<Option<String>>,
}

impl Discovery {
    /// Makes a directory of services at a path.
    pub fn new(client: &Client, base: impl Into<String>) -> Self {
        Self { client: client.clone(), base: base.into() }
    }

    /// Registers an instance until what this returns is dropped, or the session ends.
    ///
    /// # Errors
    ///
    /// Those of the session.
    pub async fn register(
        &self,
        service: &str,
        id: &str,
        payload: impl Into<Bytes>,
    ) -> Result<Membership, RecipeError> {
        self.group(service).join(id, payload).await
    }

    /// Returns the instances of a service, as they are now.
    ///
    /// # Errors
    ///
    /// Those of the session.
    pub async fn look_up(&self, service: &str) -> Result<Vec<Instance>, RecipeError> {
        let members = self.group(service).members().await?;
        Ok(members.into_iter().map(|(id, payload)| Instance { id, payload }).collect())
    }

    /// Follows a service.
    ///
    /// # Errors
    ///
    /// Those of the session.
    pub async fn follow(&self, service: &str, strategy: Strategy) -> Result<Service, RecipeError> {
        let members = self.group(service).follow().await?;
        // Clients begin at different instances.
        let turn = AtomicUsize::new((clock::seed() >> 10) as usize);
        Ok(Service { members, strategy, turn, chosen: std::sync::Mutex::default() })
    }

    fn group(&self, service: &str) -> Group {
        Group::new(&self.client, format!("{}/{service}", self.base))
    }
}

impl Service {
    /// Returns all instances, by name.
    pub fn instances(&self) -> Vec<Instance> {
        let members = self.members.current().into_iter();
        members.map(|(id, payload)| Instance { id, payload }).collect()
    }

    /// Picks an instance; `None` when there is none.
    pub fn pick(&self) -> Option<Instance> {
        let mut instances = self.instances();
        if instances.is_empty() {
            return None;
        }
        let index = match self.strategy {
            Strategy::RoundRobin => self.turn.fetch_add(1, Ordering::Relaxed),
            Strategy::Random => spread(self.turn.fetch_add(1, Ordering::Relaxed) as u64) as usize,
            Strategy::Sticky => return Some(self.stick(instances)),
        };
        Some(instances.swap_remove(index % instances.len()))
    }

    fn stick(&self, instances: Vec<Instance>) -> Instance {
        let mut chosen = self.chosen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let known = instances.iter().position(|instance| Some(&instance.id) == chosen.as_ref());
        let index = known
            .unwrap_or_else(|| spread(self.turn.fetch_add(1, Ordering::Relaxed) as u64) as usize);
        let mut instances = instances;
        let instance = instances.swap_remove(index % instances.len());
        *chosen = Some(instance.id.clone());
        instance
    }

    /// Waits until the instances are others than when this last returned.
    ///
    /// # Errors
    ///
    /// As [`Members::changed`].
    pub async fn changed(&mut self) -> Result<(), RecipeError> {
        self.members.changed().await
    }
}

/// Returns a number that looks like any: the mixing of splitmix64.
const fn spread(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
