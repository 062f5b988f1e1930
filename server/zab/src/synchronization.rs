//! Synchronization, the leader's side: what a learner is sent so that its log becomes this one.
//!
//! From the moment the stream to a learner is fixed, every later proposal goes to it behind that
//! stream: nothing is missing and nothing comes twice.

use alloc::vec::Vec;

use conclave_protocol::{ids::ServerId, peer::zab::Message, txn::Entry, zxid::Zxid};

use crate::{
    api::Output,
    engine::{Engine, Phase},
    history::Sync,
    leader::{LearnerStage, Stage},
};

/// Bytes of entries that one DIFF message carries; an entry is never split.
const DIFF_LEN_BYTES: usize = 4 << 20;

impl Engine {
    /// Sends a learner whose log ends at `last` all that makes it this log, and NEWLEADER.
    pub(crate) fn start_sync(&mut self, to: ServerId, last: Zxid, out: &mut Vec<Output>) {
        let upto = self.history.last();
        let sync = self.history.sync_from(last);
        let Phase::Leading(leading) = &mut self.phase else { return };
        let (Stage::Synchronization(epoch, _) | Stage::Broadcast(epoch)) = leading.stage else {
            return;
        };
        let Some(learner) = leading.learners.get_mut(&to) else { return };
        let stream = learner.stream;
        let after = match sync {
            Sync::Snap => {
                learner.stage = LearnerStage::Fetching;
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
            .is_some_and(|learner| learner.stage == LearnerStage::Fetching);
        if is_fetching {
            self.start_sync(from, zxid, out);
        }
    }

    pub(crate) fn on_ack_new_leader(&mut self, from: ServerId, out: &mut Vec<Output>) {
        let committed = self.committed;
        let Phase::Leading(leading) = &mut self.phase else { return };
        let is_established = leading.established().is_some();
        let Some(learner) = leading.learners.get_mut(&from) else { return };
        let LearnerStage::Syncing { upto } = learner.stage else { return };
        learner.stage = LearnerStage::Following;
        learner.acked = upto;
        if is_established {
            let message = Message::UpToDate { stream: learner.stream, committed };
            out.push(Output::Send { to: from, message });
        }
        self.progress_leading(out);
    }
}

fn batches(entries: Vec<Entry>) -> Vec<Vec<Entry>> {
    let mut batches = Vec::new();
    let (mut batch, mut len_bytes) = (Vec::new(), 0);
    for entry in entries {
        len_bytes += entry.txn.len();
        batch.push(entry);
        if len_bytes >= DIFF_LEN_BYTES {
            batches.push(core::mem::take(&mut batch));
            len_bytes = 0;
        }
    }
    if !batch.is_empty() {
        batches.push(batch);
    }
    batches
}
