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
    leader::Confirmation,
    learners::{Learner, LearnerStage},
    quorum,
    synchronization::batches,
};

/// Confirmations under way, at most; one more is refused by not being answered.
pub(crate) const CONFIRMATIONS_MAX: usize = 1 << 16;

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
            let Phase::Leading(leading) = &mut self.phase else { return };
            let pieces = batches(entries);
            let learners = leading.learners.iter_mut();
            for (to, learner) in learners.filter(|(_, learner)| learner.is_streaming()) {
                for entries in &pieces {
                    learner.backlog.push(entries);
                    let (stream, entries) = (learner.stream, entries.clone());
                    let message = Message::Propose { stream, entries, committed };
                    out.push(Output::Send { to: *to, message });
                }
            }
            leading.learners.retain(|_, learner| !learner.backlog.is_full());
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
        if self.ignore_ack(zxid) {
            return;
        }
        let Phase::Leading(leading) = &mut self.phase else { return };
        let Some(learner) = leading.learners.get_mut(&from) else { return };
        if learner.stage != LearnerStage::Following {
            return;
        }
        learner.acked = learner.acked.max(zxid);
        learner.backlog.ack(zxid);
        if standing == Standing::Whole {
            learner.standing = Standing::Whole;
        }
        self.advance_commit(out);
    }

    /// Returns whether an ack names no entry of this log: nobody can have been sent it.
    fn ignore_ack(&self, zxid: Zxid) -> bool {
        zxid > self.history.base() && !self.history.contains(zxid)
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

    /// Asks for a round of pings that starts after this moment: its answers prove that no other
    /// leader was established before. One such round is under way at a time; what is asked
    /// meanwhile shares the next.
    pub(crate) fn confirm(&mut self, token: u64, out: &mut Vec<Output>) {
        let upto = self.committed;
        let Phase::Leading(leading) = &mut self.phase else { return };
        if leading.established().is_none() || leading.confirmations.len() >= CONFIRMATIONS_MAX {
            return;
        }
        let round = leading.ping_round + 1;
        leading.confirmations.push(Confirmation { token, round, upto });
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

    /// Returns the newest round of pings that a quorum has answered.
    fn answered_round(&self) -> Option<u64> {
        let Phase::Leading(leading) = &self.phase else { return None };
        let mut reached = self.reached(|learner| learner.ponged);
        reached.push(leading.ping_round);
        quorum::reached_by_quorum(self.config.voters.len(), reached)
    }

    fn check_confirmations(&mut self, out: &mut Vec<Output>) {
        let Some(mut answered) = self.answered_round() else { return };
        self.admit_repaired(answered, out);
        let Phase::Leading(leading) = &self.phase else { return };
        let waits = leading.confirmations.iter().any(|it| it.round > leading.ping_round);
        if waits && answered == leading.ping_round {
            self.ping_all(out);
            // A leader that is a quorum by itself has been answered.
            answered = self.answered_round().unwrap_or(answered);
        }
        let Phase::Leading(leading) = &mut self.phase else { return };
        leading.confirmations.retain(|confirmation| {
            let Confirmation { token, round, upto } = *confirmation;
            if round <= answered {
                out.push(Output::Confirmed { token, upto });
            }
            round > answered
        });
    }
}

#[cfg(test)]
mod tests {
    use alloc::{vec, vec::Vec};

    use conclave_protocol::{
        peer::zab::Epochs,
        zxid::{Epoch, Zxid},
    };

    use super::*;
    use crate::{
        api::{Broadcast, Config, Input, Recovered, Role},
        history::History,
    };

    /// Returns the outputs of one step, its durable work done at once.
    fn step(engine: &mut Engine, input: Input) -> Vec<Output> {
        let mut all = Vec::new();
        engine.step(input, &mut all);
        let mut done = 0;
        while done < all.len() {
            let (Output::Persist { mark, .. } | Output::PersistEpochs { mark, .. }) = all[done]
            else {
                done += 1;
                continue;
            };
            engine.step(Input::Persisted { mark }, &mut all);
            done += 1;
        }
        all
    }

    fn alone() -> Engine {
        let me = ServerId(1);
        let config = Config {
            me,
            voters: [me].into(),
            observers: [].into(),
            init_limit_ticks: 10,
            sync_limit_ticks: 10,
            slow_disk_ticks: 4,
            heartbeat_ticks: 1,
            election_settle_ticks: 0,
            window_entries_max: 10,
            window_bytes_max: 1000,
        };
        let epochs = Epochs { accepted: Epoch(0), current: Epoch(0), standing: Standing::Whole };
        let recovered = Recovered { epochs, base: Zxid::ZERO, entries: Vec::new() };
        let mut engine = Engine::new(config, recovered);
        step(&mut engine, Input::Tick);
        assert_eq!(engine.role(), Role::Leading { epoch: Epoch(1) });
        engine
    }

    #[test]
    fn a_spent_counter_ends_the_reign_and_begins_a_new_epoch() {
        let mut engine = alone();
        let last = Zxid::new(Epoch(1), u32::MAX - 1);
        engine.history = History::new(last, Vec::new());
        (engine.persisted, engine.committed, engine.delivered) = (last, last, last);
        let txns = vec![Bytes::from_static(b"a"), Bytes::from_static(b"b")];
        let outputs = step(&mut engine, Input::Propose(txns));
        assert!(outputs.contains(&Output::Role(Role::Looking)), "no zxid is left for b");
        assert_eq!(engine.last_zxid(), Zxid::new(Epoch(1), u32::MAX), "a has the last one");
        step(&mut engine, Input::Tick);
        assert_eq!(engine.role(), Role::Leading { epoch: Epoch(2) });
        assert_eq!(engine.delivered(), Zxid::new(Epoch(1), u32::MAX));
        step(&mut engine, Input::Propose(vec![Bytes::from_static(b"b")]));
        assert_eq!(engine.delivered(), Zxid::new(Epoch(2), 1));
    }

    #[test]
    fn what_is_proposed_together_is_persisted_together() {
        let mut engine = alone();
        let txns = (0..10).map(|_| Bytes::from_static(b"x")).collect();
        let outputs = step(&mut engine, Input::Propose(txns));
        let writes: Vec<usize> = outputs
            .iter()
            .filter_map(|output| match output {
                Output::Persist { entries, .. } => Some(entries.len()),
                _ => None,
            })
            .collect();
        assert_eq!(writes, [10]);
    }

    #[test]
    fn a_proposal_of_nothing_does_nothing() {
        let mut engine = alone();
        assert!(step(&mut engine, Input::Propose(Vec::new())).is_empty());
    }
}
