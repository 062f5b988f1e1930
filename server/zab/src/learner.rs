//! A learner's side of discovery, synchronization and broadcast: promise, take over, follow.
//!
//! The order on disk is what a crash cannot betray: the promise before ACKEPOCH; the log before the
//! epoch, and the epoch before the ack of NEWLEADER; entries before their ack.

use alloc::vec::Vec;

use conclave_protocol::{
    ids::ServerId,
    peer::zab::{Epochs, Message, Standing},
    txn::Entry,
    zxid::{Epoch, Zxid},
};

use crate::{
    api::{Mark, Output, Role},
    engine::{Engine, Phase},
};

/// Ticks after which an unanswered FOLLOWERINFO is told again.
const RETELL_TICKS: u64 = 4;

/// Ticks after which a member that was elected and does not lead is given up.
const PATIENCE_TICKS: u64 = 20;

/// A member that follows or observes, or is about to.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Learning {
    pub(crate) leader: ServerId,
    pub(crate) stream: u64,
    stage: Stage,
    started_at: u64,
    heard_at: u64,
    retell_at: u64,
    epoch: Epoch,
    /// The last zxid acked on this stream.
    acked: Zxid,
}

/// How far a learner is.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
enum Stage {
    /// It waits for the leader's epoch.
    Discovery,
    /// Its promise is on its way to the disk.
    Promising { mark: Mark },
    /// It takes TRUNC, DIFF and SNAP.
    Synchronization,
    /// It fetches a snapshot.
    Fetching,
    /// All up to NEWLEADER is on its way to the disk.
    Logging { mark: Mark },
    /// The epoch is on its way to the disk.
    Entering { mark: Mark },
    /// It has acked NEWLEADER and waits for UPTODATE.
    Entered,
    /// It delivers what is committed; it serves once that is up to here.
    Following { serves_at: Zxid },
}

impl Stage {
    /// Returns whether NEWLEADER has come: what follows are proposals.
    const fn is_past_new_leader(self) -> bool {
        matches!(
            self,
            Self::Logging { .. } | Self::Entering { .. } | Self::Entered | Self::Following { .. }
        )
    }
}

impl Learning {
    /// Goes on after a snapshot was installed; false when it was fetched for another attempt.
    pub(crate) fn resume_sync(&mut self) -> bool {
        let was_fetching = self.stage == Stage::Fetching;
        if was_fetching {
            self.stage = Stage::Synchronization;
        }
        was_fetching
    }
}

impl Engine {
    /// Begins to follow `leader`.
    pub(crate) fn follow(&mut self, leader: ServerId, out: &mut Vec<Output>) {
        let stream = self.next_stream;
        self.next_stream += 1;
        self.phase = Phase::Learning(Learning {
            leader,
            stream,
            stage: Stage::Discovery,
            started_at: self.tick,
            heard_at: self.tick,
            retell_at: self.tick + RETELL_TICKS,
            epoch: Epoch::default(),
            acked: Zxid::ZERO,
        });
        self.notify_all(out);
        self.tell_leader(out);
    }

    fn tell_leader(&self, out: &mut Vec<Output>) {
        let Phase::Learning(Learning { leader, stream, .. }) = self.phase else { return };
        let Epochs { accepted, standing, .. } = self.epochs;
        let message = Message::FollowerInfo { stream, accepted, standing };
        out.push(Output::Send { to: leader, message });
    }

    pub(crate) fn on_learning_tick(&mut self, out: &mut Vec<Output>) {
        let tick = self.tick;
        let leads = self.leader_says_it_leads();
        let Phase::Learning(learning) = &mut self.phase else { return };
        let init_limit = u64::from(self.config.init_limit_ticks);
        let sync_limit = u64::from(self.config.sync_limit_ticks);
        let is_silent = learning.heard_at + sync_limit < tick;
        let is_late = learning.started_at + init_limit < tick;
        let is_given_up = match learning.stage {
            Stage::Discovery if !leads => learning.started_at + PATIENCE_TICKS < tick,
            Stage::Discovery | Stage::Promising { .. } => is_late,
            // A snapshot takes the time it takes; the leader is alive as long as it pings.
            Stage::Synchronization | Stage::Fetching | Stage::Following { .. } => is_silent,
            Stage::Logging { .. } | Stage::Entering { .. } | Stage::Entered => is_silent || is_late,
        };
        if is_given_up {
            return self.look(out);
        }
        if learning.stage == Stage::Discovery && tick >= learning.retell_at {
            learning.retell_at = tick + RETELL_TICKS;
            self.tell_leader(out);
        }
    }

    fn leader_says_it_leads(&self) -> bool {
        let Phase::Learning(learning) = &self.phase else { return false };
        let leading = conclave_protocol::peer::zab::Stance::Leading;
        self.heard.get(&learning.leader).is_some_and(|heard| heard.stance == leading)
    }

    pub(crate) fn on_leaders_message(
        &mut self,
        from: ServerId,
        message: Message,
        out: &mut Vec<Output>,
    ) {
        let tick = self.tick;
        let Phase::Learning(learning) = &mut self.phase else { return };
        if learning.leader != from || Some(learning.stream) != leader_stream(&message) {
            return;
        }
        learning.heard_at = tick;
        let (stage, stream) = (learning.stage, learning.stream);
        match message {
            Message::Ping { round, .. } => {
                out.push(Output::Send { to: from, message: Message::Pong { stream, round } });
            }
            Message::NewEpoch { epoch, .. } if stage == Stage::Discovery => {
                self.on_new_epoch(epoch, out);
            }
            Message::Snap { .. } if stage == Stage::Synchronization => {
                learning.stage = Stage::Fetching;
                self.is_fetching = true;
                out.push(Output::FetchImage { from });
            }
            Message::Trunc { after, .. } if stage == Stage::Synchronization => {
                self.on_trunc(after, out);
            }
            Message::Diff { entries, .. } if stage == Stage::Synchronization => {
                self.take_over(entries, out);
            }
            Message::NewLeader { epoch, .. } if stage == Stage::Synchronization => {
                if learning.epoch != epoch {
                    return self.look(out);
                }
                learning.stage = Stage::Logging { mark: self.marks.last() };
                self.progress_learning(out);
            }
            Message::UpToDate { committed, .. } if stage == Stage::Entered => {
                learning.stage = Stage::Following { serves_at: committed };
                self.learn_committed(committed);
                self.progress_learning(out);
            }
            Message::Propose { entries, committed, .. } if stage.is_past_new_leader() => {
                self.on_propose(entries, committed, out);
            }
            Message::Commit { upto, .. } if matches!(stage, Stage::Following { .. }) => {
                self.learn_committed(upto);
                self.progress_learning(out);
            }
            _ => {}
        }
    }

    fn on_new_epoch(&mut self, epoch: Epoch, out: &mut Vec<Output>) {
        if epoch < self.epochs.accepted {
            // Promised to a newer leader: this one is over.
            return self.look(out);
        }
        if epoch == self.epochs.accepted {
            // The promise was made before, perhaps to another one: it may not count again.
            return self.ack_epoch(epoch, false, out);
        }
        let mark = self.write_epochs(Epochs { accepted: epoch, ..self.epochs }, out);
        let Phase::Learning(learning) = &mut self.phase else { return };
        learning.epoch = epoch;
        learning.stage = Stage::Promising { mark };
        self.progress_learning(out);
    }

    fn ack_epoch(&mut self, epoch: Epoch, is_fresh: bool, out: &mut Vec<Output>) {
        let (current, last) = (self.epochs.current, self.history.last());
        let Phase::Learning(learning) = &mut self.phase else { return };
        learning.epoch = epoch;
        learning.stage = Stage::Synchronization;
        let (to, stream) = (learning.leader, learning.stream);
        let message = Message::AckEpoch { stream, current, last, is_fresh };
        out.push(Output::Send { to, message });
    }

    fn on_trunc(&mut self, after: Zxid, out: &mut Vec<Output>) {
        if after < self.delivered || !self.history.contains(after) {
            // No leader that a quorum chose asks this; do not harm what was delivered.
            return self.look(out);
        }
        self.truncate(after, out);
    }

    fn on_propose(&mut self, entries: Vec<Entry>, committed: Zxid, out: &mut Vec<Output>) {
        self.take_over(entries, out);
        let Phase::Learning(learning) = &self.phase else { return };
        if matches!(learning.stage, Stage::Following { .. }) {
            self.learn_committed(committed);
            self.progress_learning(out);
        }
    }

    /// Logs entries of the leader; a gap ends the attempt.
    fn take_over(&mut self, entries: Vec<Entry>, out: &mut Vec<Output>) {
        let accepted = self.epochs.accepted;
        let mut last = self.history.last();
        let is_run = entries.iter().all(|entry| {
            let follows = last.is_followed_by(entry.zxid) && entry.zxid.epoch() <= accepted;
            last = entry.zxid;
            follows
        });
        if !is_run {
            return self.look(out);
        }
        if !entries.is_empty() {
            self.append(entries, out);
        }
    }

    fn learn_committed(&mut self, upto: Zxid) {
        self.committed = self.committed.max(upto.min(self.history.last()));
    }

    /// Moves a learner to the stages that what it has stored allows, acks and delivers.
    pub(crate) fn progress_learning(&mut self, out: &mut Vec<Output>) {
        let durable = self.marks.durable;
        let Phase::Learning(learning) = &mut self.phase else { return };
        let epoch = learning.epoch;
        match learning.stage {
            Stage::Promising { mark } if mark <= durable => self.ack_epoch(epoch, true, out),
            Stage::Logging { mark } if mark <= durable => {
                let mark = self.write_epochs(Epochs { current: epoch, ..self.epochs }, out);
                let Phase::Learning(learning) = &mut self.phase else { return };
                learning.stage = Stage::Entering { mark };
            }
            Stage::Entering { mark } if mark <= durable => {
                learning.stage = Stage::Entered;
                let (to, stream) = (learning.leader, learning.stream);
                out.push(Output::Send { to, message: Message::AckNewLeader { stream } });
                self.ack(out);
            }
            Stage::Entered => self.ack(out),
            Stage::Following { .. } => {
                self.ack(out);
                self.deliver(out);
                self.serve_when_delivered(out);
            }
            _ => {}
        }
    }

    /// Acks what is on disk, once for each zxid.
    fn ack(&mut self, out: &mut Vec<Output>) {
        let (zxid, standing) = (self.persisted, self.epochs.standing);
        let Phase::Learning(learning) = &mut self.phase else { return };
        if zxid > learning.acked && standing == Standing::Whole {
            learning.acked = zxid;
            let (to, stream) = (learning.leader, learning.stream);
            out.push(Output::Send { to, message: Message::Ack { stream, zxid, standing } });
        }
    }

    fn serve_when_delivered(&mut self, out: &mut Vec<Output>) {
        let Phase::Learning(Learning { leader, epoch, stage, .. }) = &self.phase else { return };
        let Stage::Following { serves_at } = stage else { return };
        if self.delivered < *serves_at {
            return;
        }
        let (leader, epoch) = (*leader, *epoch);
        if self.epochs.standing == Standing::Repairing {
            // All that was committed when it joined is on its disk again, so it may count. A crash
            // before the epochs file says so only makes it be synchronised once more.
            self.write_epochs(Epochs { standing: Standing::Whole, ..self.epochs }, out);
            self.ack(out);
        }
        let role = if self.is_voter() {
            Role::Following { leader, epoch }
        } else {
            Role::Observing { leader, epoch }
        };
        self.set_role(role, out);
    }
}

const fn leader_stream(message: &Message) -> Option<u64> {
    match message {
        Message::NewEpoch { stream, .. }
        | Message::Snap { stream }
        | Message::Trunc { stream, .. }
        | Message::Diff { stream, .. }
        | Message::NewLeader { stream, .. }
        | Message::UpToDate { stream, .. }
        | Message::Propose { stream, .. }
        | Message::Commit { stream, .. }
        | Message::Ping { stream, .. } => Some(*stream),
        _ => None,
    }
}
