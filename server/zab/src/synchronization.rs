//! Synchronization, the leader's side: what a learner is sent so that its log becomes this one.
//!
//! From the moment the stream to a learner is fixed, every later proposal goes to it behind that
//! stream: nothing is missing and nothing comes twice.

use alloc::vec::Vec;

use conclave_protocol::{
    ids::ServerId,
    peer::zab::{Message, Standing},
    txn::Entry,
    zxid::Zxid,
};

use crate::{
    api::Output,
    engine::{Engine, Phase},
    history::Sync,
    leader::Stage,
    learners::LearnerStage,
};

/// Bytes of entries after which a message ends; an entry is never split.
const MESSAGE_ENTRIES_LEN_BYTES: usize = 4 << 20;

impl Engine {
    /// Sends a learner whose log ends at `last` all that makes it this log, and NEWLEADER.
    pub(crate) fn start_sync(&mut self, to: ServerId, last: Zxid, out: &mut Vec<Output>) {
        let (base, upto) = (self.history.base(), self.history.last());
        let sync = self.history.sync_from(last);
        let Phase::Leading(leading) = &mut self.phase else { return };
        let (Stage::Synchronization(epoch, _) | Stage::Broadcast(epoch)) = leading.stage else {
            return;
        };
        let Some(learner) = leading.learners.get_mut(&to) else { return };
        let stream = learner.stream;
        let after = match sync {
            Sync::Snap => {
                // The snapshot that it gets will be no older than the window is now.
                learner.stage = LearnerStage::Fetching { from: base };
                out.push(Output::Send { to, message: Message::Snap { stream } });
                return;
            }
            Sync::Trunc(after) => {
                out.push(Output::Send { to, message: Message::Trunc { stream, after } });
                after
            }
            Sync::Diff(after) => after,
        };
        learner.stage = LearnerStage::Syncing { upto };
        for entries in batches(self.history.between(after, upto)) {
            out.push(Output::Send { to, message: Message::Diff { stream, entries } });
        }
        out.push(Output::Send { to, message: Message::NewLeader { stream, epoch } });
    }

    pub(crate) fn on_learner_installed(
        &mut self,
        from: ServerId,
        zxid: Zxid,
        out: &mut Vec<Output>,
    ) {
        let Phase::Leading(leading) = &self.phase else { return };
        let is_fetching = leading
            .learners
            .get(&from)
            .is_some_and(|learner| matches!(learner.stage, LearnerStage::Fetching { .. }));
        if is_fetching {
            self.start_sync(from, zxid, out);
        }
    }

    pub(crate) fn on_ack_new_leader(&mut self, from: ServerId, out: &mut Vec<Output>) {
        let Phase::Leading(leading) = &mut self.phase else { return };
        let round = leading.ping_round + 1;
        let Some(learner) = leading.learners.get_mut(&from) else { return };
        let LearnerStage::Syncing { upto } = learner.stage else { return };
        learner.acked = upto;
        learner.backlog.ack(upto);
        if learner.standing == Standing::Repairing {
            learner.stage = LearnerStage::Proving { round };
            return self.ping_all(out);
        }
        learner.stage = LearnerStage::Following;
        self.tell_up_to_date(from, out);
        self.progress_leading(out);
    }

    /// Lets learners go on whose disks were not whole, once a quorum has answered a round of pings
    /// that started after they came. What such a member had promised and acked before is
    /// forgotten, so a leader that was replaced with its help, and does not know it yet, must not
    /// take it in.
    pub(crate) fn admit_repaired(&mut self, answered: u64, out: &mut Vec<Output>) {
        let Phase::Leading(leading) = &mut self.phase else { return };
        if leading.established().is_none() {
            return;
        }
        let mut admitted = Vec::new();
        for (id, learner) in &mut leading.learners {
            if matches!(learner.stage, LearnerStage::Proving { round } if round <= answered) {
                learner.stage = LearnerStage::Following;
                admitted.push(*id);
            }
        }
        for learner in admitted {
            self.tell_up_to_date(learner, out);
        }
    }

    fn tell_up_to_date(&self, to: ServerId, out: &mut Vec<Output>) {
        let Phase::Leading(leading) = &self.phase else { return };
        let Some(learner) = leading.learners.get(&to) else { return };
        if leading.established().is_some() {
            let (stream, committed) = (learner.stream, self.committed);
            out.push(Output::Send { to, message: Message::UpToDate { stream, committed } });
        }
    }

    /// Tells a leader that takes over this member's history what it lacks.
    pub(crate) fn on_pull(&self, to: ServerId, stream: u64, last: Zxid, out: &mut Vec<Output>) {
        let mut after = match self.history.sync_from(last) {
            Sync::Snap => {
                out.push(Output::Send { to, message: Message::NoHistory { stream } });
                return;
            }
            Sync::Trunc(after) | Sync::Diff(after) => after,
        };
        let mut pieces = batches(self.history.between(after, self.history.last()));
        let last_piece = pieces.pop().unwrap_or_default();
        for entries in pieces {
            let next = entries.last().map_or(after, |entry| entry.zxid);
            let message = Message::History { stream, after, entries, is_last: false };
            out.push(Output::Send { to, message });
            after = next;
        }
        let message = Message::History { stream, after, entries: last_piece, is_last: true };
        out.push(Output::Send { to, message });
    }
}

/// Divides entries among messages.
pub(crate) fn batches(entries: Vec<Entry>) -> Vec<Vec<Entry>> {
    let mut batches = Vec::new();
    let (mut batch, mut len_bytes) = (Vec::new(), 0);
    for entry in entries {
        len_bytes += entry.txn.len();
        batch.push(entry);
        if len_bytes >= MESSAGE_ENTRIES_LEN_BYTES {
            batches.push(core::mem::take(&mut batch));
            len_bytes = 0;
        }
    }
    if !batch.is_empty() {
        batches.push(batch);
    }
    batches
}
