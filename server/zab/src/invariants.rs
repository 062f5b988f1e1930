//! What holds after every step. An assertion that fails is our mistake, and the member stops
//! before it can do harm.

use crate::api::Role;
use crate::engine::{Engine, Phase};

impl Engine {
    /// Checks the invariants that one member can see.
    ///
    /// # Panics
    ///
    /// When one does not hold.
    pub fn check_invariants(&self) {
        let (base, last) = (self.history.base(), self.history.last());
        assert!(base <= self.delivered, "what is not delivered is kept");
        assert!(self.delivered <= self.committed, "only what is committed is delivered");
        assert!(self.delivered <= self.persisted, "only what is on disk is delivered");
        assert!(self.persisted <= last, "the disk has nothing that memory has not");
        assert!(self.committed <= last, "only what is logged is known to be committed");
        assert!(self.epochs.current <= self.epochs.accepted, "promised before followed");
        assert!(last.epoch() <= self.epochs.accepted, "nothing is logged of an epoch not promised");
        assert!(self.marks.durable <= self.marks.last());
        debug_assert!(self.history.is_gap_free());
        match &self.phase {
            Phase::Looking(_) => assert_eq!(self.role(), Role::Looking),
            Phase::Leading(_) => assert!(self.is_voter(), "observers never lead"),
            Phase::Learning(learning) => {
                assert_ne!(learning.leader, self.config.me, "nobody follows itself");
            }
        }
    }
}
