//! How many operations may be under way.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use super::REQUESTS_MAX;

/// Counts the operations under way.
#[derive(Debug, Default)]
pub(super) struct Permits(Arc<AtomicUsize>);

/// The right to have one operation under way; given back when dropped.
#[derive(Debug)]
pub(crate) struct Permit(Arc<AtomicUsize>);

impl Permits {
    /// Returns a permit unless [`REQUESTS_MAX`] are out.
    pub(super) fn take(&self) -> Option<Permit> {
        if self.0.fetch_add(1, Ordering::Relaxed) < REQUESTS_MAX {
            return Some(Permit(self.0.clone()));
        }
        self.0.fetch_sub(1, Ordering::Relaxed);
        None
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
