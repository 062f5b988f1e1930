//! A learner's side of discovery, synchronization and broadcast: promise, take over, follow.
//!
//! The order on disk is what a crash cannot betray: the promise before ACKEPOCH; the log before the
//! epoch, and the epoch before the ack of NEWLEADER; entries before their ack.

use alloc::vec::Vec;

use conclave_protocol::{
    ids::ServerId,
    peer::zab::{Epochs, Message, Stance, Standing},
    txn::Entry,
    zxid::{Epoch, Zxid},
};

use crate::{
    api::{Mark, Output, Role},
    engine::{Engine, Phase},
    timeouts::RETELL_TICKS,
};

/// A member that follows or observes, or is about to.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Learning {
    pub(crate) leader: ServerId,
    pub(crate) stream: u64,
    pub(crate) stage: Stage,
    /// The leader's round of elections: if it looks in a later one, it has stopped.
    pub(crate) round: u64,
    pub(crate) started_at: u64,
    pub(crate) heard_at: u64,
    pub(crate) retell_at: u64,
    pub(crate) epoch: Epoch,
    /// The last zxid acked on this stream.
    acked: Zxid,
    /// Until this is durable a member whose disk was repaired does not count, and acks nothing.
    whole_at: Option<Mark>,
}

/// How far a learner is.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Stage {
    /// It waits for the leader's epoch.
    Discovery,
    /// Its promise is on its way to the disk; a fresh one was made just now.
    Promising { mark: Mark, is_fresh: bool },
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
        let round = self.heard.get(&leader).map_or(self.round, |heard| heard.round);
        self.phase = Phase::Learning(Learning {
            leader,
            stream,
            stage: Stage::Discovery,
            round,
            started_at: self.tick,
            heard_at: self.tick,
            retell_at: self.tick + RETELL_TICKS,
            epoch: Epoch::default(),
            acked: Zxid::ZERO,
            whole_at: None,
        });
        self.notify_all(out);
        self.tell_leader(out);
    }

    pub(crate) fn tell_leader(&self, out: &mut Vec<Output>) {
        let Phase::Learning(Learning { leader, stream, .. }) = self.phase else { return };
        let Epochs { accepted, standing, .. } = self.epochs;
        let message = Message::FollowerInfo { stream, accepted, standing };
        out.push(Output::Send { to: leader, message });
    }

    pub(crate) fn leader_says_it_leads(&self) -> bool {
        let Phase::Learning(learning) = &self.phase else { return false };
        self.heard.get(&learning.leader).is_some_and(|heard| heard.stance == Stance::Leading)
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
            Message::Pull { last, .. } if stage == Stage::Synchronization => {
                self.on_pull(from, stream, last, out);
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
                    return self.back_off(out);
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
            return self.back_off(out);
        }
        // A promise made before, perhaps to another leader, may not count again; it may still be on
        // its way to the disk.
        let is_fresh = epoch > self.epochs.accepted;
        let mark = if is_fresh {
            self.write_epochs(Epochs { accepted: epoch, ..self.epochs }, out)
        } else {
            self.marks.last()
        };
        let Phase::Learning(learning) = &mut self.phase else { return };
        learning.epoch = epoch;
        learning.stage = Stage::Promising { mark, is_fresh };
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
            return self.back_off(out);
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
        if !self.is_run(self.history.last(), &entries) {
            return self.back_off(out);
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
            Stage::Promising { mark, is_fresh } if mark <= durable => {
                self.ack_epoch(epoch, is_fresh, out);
            }
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

    /// Acks what is on disk, once for each zxid. A member that was repaired acks once the epochs
    /// file says so: after a crash it must still be able to vote for what it has acked.
    fn ack(&mut self, out: &mut Vec<Output>) {
        let (zxid, standing, durable) = (self.persisted, self.epochs.standing, self.marks.durable);
        let Phase::Learning(learning) = &mut self.phase else { return };
        let is_whole =
            standing == Standing::Whole && learning.whole_at.is_none_or(|mark| mark <= durable);
        if zxid > learning.acked && is_whole {
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
            // All that was committed when it joined is on its disk again, so it may count.
            let mark = self.write_epochs(Epochs { standing: Standing::Whole, ..self.epochs }, out);
            if let Phase::Learning(learning) = &mut self.phase {
                learning.whole_at = Some(mark);
            }
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
        | Message::Pull { stream, .. }
        | Message::Ping { stream, .. } => Some(*stream),
        _ => None,
    }
}
