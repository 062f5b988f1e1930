//! What only a leader has: the overlay of outstanding changes, the clock over the sessions, the
//! txns that wait to be proposed, the confirmations under way.

use bytes::Bytes;
use conclave_protocol::{
    ids::{ServerId, SessionId},
    peer::forward::Forwarded,
    txn::Txn,
};

use super::{Confirmations, ReapSettings, Replica, Time, reap::Reaper};
use crate::{
    admin::LeaderReport,
    pipeline::{outstanding::Outstanding, prepare},
    session::Tracker,
    shared::Figures,
    state::State,
};

/// Sessions closed in one tick at most, so that a mass expiry does not hold up everyone else.
const EXPIRE_BATCH_MAX: usize = 1000;

/// A leader's own.
#[derive(Debug)]
pub(super) struct Leading {
    pub(super) outstanding: Outstanding,
    pub(super) tracker: Tracker,
    /// Encoded txns, until the next flush.
    pub(super) proposals: Vec<Bytes>,
    /// Where a txn is encoded before it is copied into what it needs; reused.
    encoded: Vec<u8>,
    confirmations: Confirmations,
    next_token: u64,
    since_ms: u64,
    pub(super) reaper: Reaper,
}

impl Leading {
    /// Begins a reign: every session has its full timeout again, as nobody can know what the old
    /// leader heard last.
    pub(super) fn new(state: &State, reap: ReapSettings, time: Time) -> Self {
        let now_ms = time.session_ms();
        let mut tracker = Tracker::default();
        for (id, session) in state.sessions.iter() {
            tracker.track(id, session.timeout_ms);
        }
        Self {
            outstanding: Outstanding::default(),
            tracker,
            proposals: Vec::new(),
            encoded: Vec::new(),
            confirmations: Confirmations::new(),
            next_token: 1,
            since_ms: now_ms,
            reaper: Reaper::new(reap, time.now_ms),
        }
    }

    pub(super) fn touch(&mut self, sessions: &[SessionId]) {
        for session in sessions {
            self.tracker.touch(*session);
        }
    }

    /// Draws a token for a confirmation that `from` waits for.
    pub(super) fn confirm(&mut self, from: ServerId, seq: u64) -> u64 {
        let token = self.next_token;
        self.next_token += 1;
        self.confirmations.insert(token, (from, seq));
        token
    }

    pub(super) fn confirmed(&mut self, token: u64) -> Option<(ServerId, u64)> {
        self.confirmations.remove(&token)
    }

    pub(super) fn propose(&mut self, txn: &Txn, figures: &Figures) {
        self.encoded.clear();
        txn.encode(&mut self.encoded);
        figures.note_proposal(self.encoded.len() as u64);
        self.proposals.push(Bytes::copy_from_slice(&self.encoded));
    }
}

impl Replica {
    /// Returns what only a leader has to tell of itself.
    pub fn leader_report(&self) -> Option<LeaderReport> {
        let leading = self.leading.as_ref()?;
        let counts = self.engine.learner_counts();
        Some(LeaderReport {
            learners: counts.learners as u64,
            synced_followers: counts.synced_voters as u64,
            synced_observers: counts.synced_observers as u64,
            pending_syncs: leading.confirmations.len() as u64,
            uptime_ms: self.time.session_ms().saturating_sub(leading.since_ms),
            proposal_sizes: *self.shared.figures.proposal_sizes.lock(),
        })
    }

    /// Stage 3: resolves a request of member `from`; ignored when this member does not lead, as
    /// the sender will notice by itself.
    pub(super) fn prepare(&mut self, from: ServerId, request: Forwarded) {
        let Some(leading) = &mut self.leading else { return };
        let state = self.shared.state.read();
        leading.tracker.touch(request.session);
        let wall_ms = self.time.wall_ms;
        let rules = self.shared.terms.rules;
        let txn = prepare::prepare(&mut leading.outstanding, &state, from, request, rules, wall_ms);
        leading.propose(&txn, &self.shared.figures);
    }

    /// Closes the sessions whose time is up.
    pub(super) fn expire_sessions(&mut self) {
        let Some(leading) = &mut self.leading else { return };
        let expired = leading.tracker.take_expired(self.time.session_ms(), EXPIRE_BATCH_MAX);
        if expired.is_empty() {
            return;
        }
        let state = self.shared.state.read();
        for session in expired {
            tracing::info!(%session, "session expired");
            self.shared.metrics.sessions_expired.increment(1);
            let txn = prepare::prepare_expiry(
                &mut leading.outstanding,
                &state,
                self.shared.me,
                session,
                self.time.wall_ms,
            );
            leading.propose(&txn, &self.shared.figures);
        }
    }
}
