//! Requests under way, counted from their admission to their answer. Those that this member answers at
//! once, as most reads, are none.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::RequestLimits;

/// Lets requests in, and knows how many are.
#[derive(Debug)]
pub struct Gate {
    count: Arc<AtomicUsize>,
    high: usize,
    permits: Option<Arc<Semaphore>>,
}

/// The right of a connection's next request to be looked at, where there is a limit of those under way.
/// Who waits longest gets the next.
#[derive(Debug)]
pub struct Permit {
    _inner: OwnedSemaphorePermit,
}

/// A request under way; it is no more when this is dropped.
#[derive(Debug)]
pub struct Place {
    count: Arc<AtomicUsize>,
    _permit: Option<Permit>,
}

impl Gate {
    /// Makes one that lets in as many as the limits say.
    pub fn new(limits: &RequestLimits) -> Self {
        let max = limits.outstanding_max.min(Semaphore::MAX_PERMITS);
        Self {
            count: Arc::default(),
            high: limits.outstanding_high,
            permits: (max > 0).then(|| Arc::new(Semaphore::new(max))),
        }
    }

    /// Returns whether a connection that has a request under way must wait for its answer.
    pub fn is_high(&self) -> bool {
        self.high > 0 && self.count() >= self.high
    }

    /// Returns how many are under way.
    pub fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Returns whether every request needs a permit.
    pub const fn has_permits(&self) -> bool {
        self.permits.is_some()
    }

    /// Gives a permit that nobody waits for, if there is one.
    pub fn try_permit(&self) -> Option<Permit> {
        let inner = self.permits.clone()?.try_acquire_owned().ok()?;
        Some(Permit { _inner: inner })
    }

    /// Waits for a permit.
    ///
    /// # Panics
    ///
    /// When none is needed.
    pub async fn permit(&self) -> Permit {
        let permits = self.permits.clone().expect("permits are needed");
        Permit { _inner: permits.acquire_owned().await.expect("the gate is never closed") }
    }

    /// Lets a request in.
    pub fn enter(&self, permit: Option<Permit>) -> Place {
        self.count.fetch_add(1, Ordering::Relaxed);
        Place { count: self.count.clone(), _permit: permit }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_is_high_while_as_many_are_under_way() {
        let limits = RequestLimits { outstanding_high: 2, ..RequestLimits::default() };
        let gate = Gate::new(&limits);
        let first = gate.enter(None);
        assert!(!gate.is_high());
        let second = gate.enter(None);
        assert!(gate.is_high());
        drop(first);
        assert!(!gate.is_high());
        drop(second);
        assert!(!Gate::new(&RequestLimits::default()).is_high(), "0 is no limit");
    }

    #[test]
    fn a_permit_is_free_again_with_its_request() {
        let limits = RequestLimits { outstanding_max: 1, ..RequestLimits::default() };
        let gate = Gate::new(&limits);
        let place = gate.enter(gate.try_permit());
        assert!(gate.try_permit().is_none());
        drop(place);
        assert!(gate.try_permit().is_some());
    }
}
