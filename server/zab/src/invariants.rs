//! What holds after every step. An assertion that fails is our mistake, and the member stops
//! before it can do harm.

use conclave_protocol::peer::zab::Standing;

use crate::{
    api::Role,
    broadcast::CONFIRMATIONS_MAX,
    engine::{Engine, Phase},
    follower,
    leader::{self, Leading},
};

impl Engine {
    /// Checks the invariants that one member can see.
    ///
    /// # Panics
    ///
    /// When one does not hold.
    pub fn check_invariants(&self) {
        self.check_log();
        match &self.phase {
            Phase::Looking(_) => assert_eq!(self.role(), Role::Looking),
            Phase::Leading(leading) => self.check_leading(leading),
            Phase::Learning(learning) => self.check_learning(learning),
        }
    }

    fn check_log(&self) {
        let (base, last) = (self.history.base(), self.history.last());
        assert!(base <= self.delivered, "what is not delivered is kept");
        assert!(self.delivered <= self.committed, "only what is committed is delivered");
        assert!(self.delivered <= self.persisted, "only what is on disk is delivered");
        assert!(self.persisted <= last, "the disk has nothing that memory has not");
        assert!(self.committed <= last, "only what is logged is known to be committed");
        assert!(self.epochs.current <= self.epochs.accepted, "promised before followed");
        assert!(last.epoch() <= self.epochs.accepted, "nothing is logged of an epoch not promised");
        assert!(self.marks.durable <= self.marks.last(), "only what was asked is durable");
        if self.marks.pending.is_empty() {
            assert_eq!(self.persisted, last, "a disk with nothing to do has all there is");
        }
        // The only one that costs more than a comparison; `History::push` asserts the same of
        // each entry as it comes.
        debug_assert!(self.history.is_gap_free());
    }

    fn check_leading(&self, leading: &Leading) {
        assert!(self.is_voter(), "observers never lead");
        assert_eq!(self.epochs.standing, Standing::Whole, "who repairs its disk never leads");
        assert!(!self.is_fetching, "a leader knows its own log");
        assert!(!leading.learners.contains_key(&self.config.me), "nobody follows itself");
        assert!(leading.confirmations.len() <= CONFIRMATIONS_MAX);
        if let Some(epoch) = leading.stage.epoch() {
            assert_eq!(self.epochs.accepted, epoch, "a leader promises its own epoch first");
        }
        if leading.adopting.is_some() {
            let is_promised = matches!(leading.stage, leader::Stage::Promised(_));
            assert!(is_promised, "a history is taken over before anyone is synchronised with it");
        }
        let established = leading.established();
        if let Some(epoch) = established {
            assert_eq!(self.epochs.current, epoch, "a leader follows its own epoch");
            assert_eq!(self.role(), Role::Leading { epoch });
        } else {
            assert_eq!(self.role(), Role::Looking, "only an established leader leads");
            assert!(leading.confirmations.is_empty(), "only an established leader is confirmed");
        }
        for (id, learner) in &leading.learners {
            assert!(self.connected.contains(id), "learners are connected");
            assert!(learner.ponged <= leading.ping_round, "only what was asked is answered");
            assert!(learner.acked <= self.history.last(), "only what was proposed is acked");
            if learner.is_ahead() {
                assert!(established.is_none(), "nobody is ahead of an established leader");
            }
            if learner.is_streaming() || learner.needs_from().is_some() {
                let is_syncing = matches!(leading.stage, leader::Stage::Synchronization(..))
                    || established.is_some();
                assert!(is_syncing, "synchronised once a quorum has promised");
            }
        }
    }

    fn check_learning(&self, learning: &follower::Learning) {
        assert_ne!(learning.leader, self.config.me, "nobody follows itself");
        assert!(self.connected.contains(&learning.leader), "who is followed is connected");
        if learning.stage == follower::Stage::Fetching {
            assert!(self.is_fetching, "a fetch has an end");
        }
        match self.role() {
            Role::Looking => {}
            Role::Following { leader, epoch } | Role::Observing { leader, epoch } => {
                assert_eq!((leader, epoch), (learning.leader, learning.epoch));
                assert_eq!(self.epochs.current, epoch, "followed once the epoch is written");
                assert!(matches!(learning.stage, follower::Stage::Following { .. }));
            }
            Role::Leading { .. } => panic!("a learner does not lead"),
        }
    }
}
