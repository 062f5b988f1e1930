//! Stages 2 and 3 in the member: its own writes go to the leader, and the leader prepares all.

use conclave_protocol::{
    ids::ServerId,
    peer::{PeerMessage, forward::Forwarded},
    zxid::Zxid,
};
use conclave_zab::Input;

use super::{Effect, Replica};
use crate::{
    lane::Pending,
    pipeline::{
        forward::{FORWARD_BATCH_MAX, FORWARD_LEN_BYTES, Submission, Submitted, Waiter},
        reply,
    },
};

impl Replica {
    pub(super) fn on_submit(&mut self, submissions: Vec<Submission>, effects: &mut Vec<Effect>) {
        if self.leading.is_none() && self.leader().is_none() {
            // Nobody can order it now: the client learns that it does not know the outcome.
            for submission in submissions {
                submission.waiter.connection.cancelled.cancel();
            }
            return;
        }
        for Submission { mut waiter, seq, kind } in submissions {
            if waiter.connection.cancelled.is_cancelled() {
                // It was sent away, perhaps under an earlier leader: its client does not count on
                // what it had not been answered.
                continue;
            }
            waiter.since_us = self.time.now_us;
            if !matches!(kind, Submitted::Upgrade(_)) {
                self.waiting.insert(seq, waiter);
            }
            match kind {
                Submitted::Sync => match self.leader() {
                    Some(to) => {
                        effects.push(Effect::Send { to, message: PeerMessage::Sync { seq } });
                    }
                    None => self.on_sync_asked(self.shared.me, seq, effects),
                },
                Submitted::Write(request) | Submitted::Upgrade(request) => {
                    if self.leading.is_some() {
                        self.prepare(self.shared.me, request);
                    } else {
                        self.forwards.push(request);
                    }
                }
            }
        }
    }

    pub(super) fn flush_forwards(&mut self, effects: &mut Vec<Effect>) {
        let Some(to) = self.leader() else { return };
        let mut forwards = std::mem::take(&mut self.forwards).into_iter().peekable();
        while forwards.peek().is_some() {
            let (mut batch, mut len_bytes) = (Vec::new(), 0);
            while batch.len() < FORWARD_BATCH_MAX
                && len_bytes < FORWARD_LEN_BYTES
                && let Some(request) = forwards.next()
            {
                len_bytes += request.len_bytes();
                batch.push(request);
            }
            effects.push(Effect::Send { to, message: PeerMessage::Forward(batch) });
        }
    }

    pub(super) fn on_forwarded(&mut self, from: ServerId, requests: Vec<Forwarded>) {
        for request in requests {
            self.prepare(from, request);
        }
    }

    /// A follower's sync: the leader proves that it leads, which tells how far to wait.
    pub(super) fn on_sync_asked(&mut self, from: ServerId, seq: u64, effects: &mut Vec<Effect>) {
        let Some(leading) = &mut self.leading else { return };
        let token = leading.confirm(from, seq);
        self.engine_step(Input::Confirm { token }, effects);
    }

    pub(super) fn on_confirmed(&mut self, token: u64, upto: Zxid, effects: &mut Vec<Effect>) {
        let Some((from, seq)) = self.leading.as_mut().and_then(|leading| leading.confirmed(token))
        else {
            return;
        };
        if from == self.shared.me {
            self.on_synced(seq, upto);
        } else {
            let message = PeerMessage::Synced { seq, upto };
            effects.push(Effect::Send { to: from, message });
        }
    }

    /// A sync is confirmed: it is answered once everything up to `upto` is applied here.
    pub(super) fn on_synced(&mut self, seq: u64, upto: Zxid) {
        let Some(Waiter { connection, .. }) = self.waiting.remove(seq) else { return };
        for pending in &mut connection.lane().pending {
            if let Pending::Sync { seq: waiting, fresh_from, .. } = pending
                && *waiting == seq
            {
                *fresh_from = Some(upto);
            }
        }
        self.syncing.push(connection);
        self.drain_syncing();
    }

    /// Answers the syncs that this member is far enough for.
    pub(super) fn drain_syncing(&mut self) {
        if self.syncing.is_empty() {
            return;
        }
        let state = self.shared.state.read();
        self.syncing.retain(|connection| {
            reply::drain(connection, &state, &self.shared.watches);
            let is_waiting =
                |pending: &Pending| matches!(pending, Pending::Sync { fresh_from: Some(_), .. });
            connection.lane().pending.iter().any(is_waiting)
        });
    }
}
