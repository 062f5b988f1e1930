//! Stages 5 to 7 in the member: committed txns are applied, their watches fire, their clients are
//! answered, all under one guard for a batch.

use conclave_protocol::txn::{Entry, Txn};

use super::{Effect, Replica};
use crate::{
    pipeline::{
        apply::{self, Applied, Outcome},
        forward::{Shape, Waiter},
        notify, reply,
    },
    shared::Service,
};

impl Replica {
    pub(super) fn on_deliver(&mut self, entries: Vec<Entry>, effects: &mut Vec<Effect>) {
        let shared = self.shared.clone();
        let mut state = shared.state.write();
        for entry in &entries {
            // Every hop and disk has checked its checksum: it was written by a newer release.
            let txn = match Txn::decode(entry.txn.clone()) {
                Ok(txn) => txn,
                Err(error) => {
                    let zxid = entry.zxid;
                    self.is_halted = true;
                    shared.set_service(Service::None);
                    effects.push(Effect::Halt(format!("txn 0x{zxid} is not understood: {error}")));
                    return;
                }
            };
            let seq = txn.origin.seq;
            let is_mine = txn.origin.server == shared.me && seq != 0;
            let waiter = is_mine.then(|| self.waiting.remove(seq)).flatten();
            if let Some(waiter) = &waiter {
                reply::drain_up_to(waiter, seq, &state, &shared.watches);
            }
            let applied = apply::apply(&mut state, entry, txn);
            if let Some(leading) = &mut self.leading {
                leading.outstanding.applied();
            }
            self.on_session_change(
                &applied,
                waiter.as_ref(),
                state.sessions.find(applied.session).map(|s| s.timeout_ms),
            );
            notify::notify(&shared, &state, &applied);
            if let Some(waiter) = &waiter {
                reply::reply(waiter, &applied);
                let took_us = self.time.now_us.saturating_sub(waiter.since_us);
                shared.metrics.latency_ms.record(took_us as f64 / 1000.0);
                reply::drain(&waiter.connection, &state, &shared.watches);
            }
            self.since_snapshot.0 += 1;
            self.since_snapshot.1 += entry.txn.len() as u64;
        }
        drop(state);
        shared.metrics.txns_applied.increment(entries.len() as u64);
        self.drain_syncing();
        self.snapshot_when_due(effects);
    }

    fn on_session_change(
        &mut self,
        applied: &Applied,
        waiter: Option<&Waiter>,
        timeout_ms: Option<u32>,
    ) {
        let Applied { session, outcome, .. } = applied;
        match outcome {
            Outcome::SessionGranted { .. } => {
                if let Some((leading, timeout_ms)) = self.leading.as_mut().zip(timeout_ms) {
                    leading.tracker.track(*session, timeout_ms);
                }
                if let Some(waiter) = waiter {
                    self.shared.serve_session(*session, &waiter.connection);
                }
            }
            Outcome::SessionClosed => {
                if let Some(leading) = &mut self.leading {
                    leading.tracker.forget(*session);
                }
                let is_asked = waiter.is_some_and(|waiter| waiter.shape == Shape::Close);
                if !is_asked {
                    self.shared.end_session_here(*session);
                }
                self.shared.sessions.remove(session);
                self.shared.metrics.sessions_closed.increment(1);
            }
            Outcome::Refused(_) => {
                let is_attach =
                    waiter.filter(|waiter| matches!(waiter.shape, Shape::Connect { .. }));
                if is_attach.is_some() {
                    // As ZooKeeper does: who guesses at a session ends its connection too, and the
                    // owner comes back with the password.
                    self.shared.end_session_here(*session);
                }
            }
            _ => {}
        }
    }
}
