//! Broadcast, the leader's side: propose, count acks, commit; and the pings that prove the lead.

use alloc::vec::Vec;

use bytes::Bytes;
use conclave_protocol::{
    ids::ServerId,
    peer::zab::{Message, Standing},
    txn::Entry,
    zxid::Zxid,
};

use crate::{
    api::Output,
    engine::{Engine, Phase},
    leader::{Confirmation, Learner, LearnerStage},
    quorum,
};

impl Engine {
    /// Gives the txns their places in the order and proposes them to everyone.
    pub(crate) fn propose(&mut self, txns: Vec<Bytes>, out: &mut Vec<Output>) {
        let Phase::Leading(leading) = &self.phase else { return };
        let Some(epoch) = leading.established() else { return };
        let mut last = self.history.last();
        let mut entries = Vec::with_capacity(txns.len());
        let mut is_spent = false;
        for txn in txns {
            let next =
                if last.epoch() == epoch { last.successor() } else { Some(Zxid::new(epoch, 1)) };
            let Some(zxid) = next else {
                is_spent = true;
                break;
            };
            entries.push(Entry { zxid, txn });
            last = zxid;
        }
        if !entries.is_empty() {
            self.append(entries.clone(), out);
            let committed = self.committed;
            let Phase::Leading(leading) = &self.phase else { return };
            for (to, learner) in &leading.learners {
                if is_streaming(learner) {
                    let (stream, entries) = (learner.stream, entries.clone());
                    let message = Message::Propose { stream, entries, committed };
                    out.push(Output::Send { to: *to, message });
                }
            }
        }
        if is_spent {
            // The counter is used up: a new epoch has to begin.
            self.look(out);
        }
    }

    pub(crate) fn on_ack(
        &mut self,
        from: ServerId,
        zxid: Zxid,
        standing: Standing,
        out: &mut Vec<Output>,
    ) {
        let last = self.history.last();
        let Phase::Leading(leading) = &mut self.phase else { return };
        let Some(learner) = leading.learners.get_mut(&from) else { return };
        if learner.stage != LearnerStage::Following || zxid > last {
            return;
        }
        learner.acked = learner.acked.max(zxid);
        if standing == Standing::Whole {
            learner.standing = Standing::Whole;
        }
        self.advance_commit(out);
    }

    /// Commits what a quorum has on disk, and hands out what this member has too.
    pub(crate) fn advance_commit(&mut self, out: &mut Vec<Output>) {
        let Phase::Leading(leading) = &self.phase else { return };
        let Some(epoch) = leading.established() else { return };
        let mut reached = self.reached(|learner| learner.acked);
        reached.push(self.persisted);
        let upto = quorum::reached_by_quorum(self.config.voters.len(), reached);
        if let Some(upto) = upto.filter(|upto| *upto > self.committed) {
            assert_eq!(upto.epoch(), epoch, "all older entries were committed at the start");
            self.committed = upto;
            let Phase::Leading(leading) = &self.phase else { return };
            for (to, learner) in &leading.learners {
                if learner.stage == LearnerStage::Following {
                    let message = Message::Commit { stream: learner.stream, upto };
                    out.push(Output::Send { to: *to, message });
                }
            }
        }
        self.deliver(out);
    }

    /// Returns what each learner that counts to a quorum has reached.
    fn reached<T>(&self, of: impl Fn(&Learner) -> T) -> Vec<T> {
        let Phase::Leading(leading) = &self.phase else { return Vec::new() };
        leading
            .learners
            .iter()
            .filter(|(id, learner)| {
                self.config.voters.contains(id)
                    && learner.standing == Standing::Whole
                    && learner.stage == LearnerStage::Following
            })
            .map(|(_, learner)| of(learner))
            .collect()
    }

    pub(crate) fn ping_all(&mut self, out: &mut Vec<Output>) {
        let Phase::Leading(leading) = &mut self.phase else { return };
        leading.ping_round += 1;
        let round = leading.ping_round;
        for (to, learner) in &leading.learners {
            let message = Message::Ping { stream: learner.stream, round };
            out.push(Output::Send { to: *to, message });
        }
    }

    /// Starts a round of pings whose answers prove that no other leader was established before.
    pub(crate) fn confirm(&mut self, token: u64, out: &mut Vec<Output>) {
        let upto = self.committed;
        let Phase::Leading(leading) = &mut self.phase else { return };
        if leading.established().is_none() {
            return;
        }
        let round = leading.ping_round + 1;
        leading.confirmations.push(Confirmation { token, round, upto });
        self.ping_all(out);
        self.check_confirmations(out);
    }

    pub(crate) fn on_pong(&mut self, from: ServerId, round: u64, out: &mut Vec<Output>) {
        let Phase::Leading(leading) = &mut self.phase else { return };
        if round > leading.ping_round {
            return;
        }
        let Some(learner) = leading.learners.get_mut(&from) else { return };
        learner.ponged = learner.ponged.max(round);
        self.check_confirmations(out);
    }

    fn check_confirmations(&mut self, out: &mut Vec<Output>) {
        let mut reached = self.reached(|learner| learner.ponged);
        reached.push(u64::MAX);
        let Some(round) = quorum::reached_by_quorum(self.config.voters.len(), reached) else {
            return;
        };
        let Phase::Leading(leading) = &mut self.phase else { return };
        leading.confirmations.retain(|confirmation| {
            let Confirmation { token, round: needed, upto } = *confirmation;
            if needed <= round {
                out.push(Output::Confirmed { token, upto });
            }
            needed > round
        });
    }
}

const fn is_streaming(learner: &Learner) -> bool {
    matches!(learner.stage, LearnerStage::Syncing { .. } | LearnerStage::Following)
}
