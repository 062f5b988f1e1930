//! A leader: its stages from a won election to the broadcast, and what its learners tell it.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};

use conclave_protocol::{
    ids::ServerId,
    peer::zab::{Message, Standing},
    zxid::{Epoch, Zxid},
};

use crate::{
    api::{LearnerCounts, Mark, Output, Role},
    engine::{Engine, Phase},
    learners::{Learner, LearnerStage},
    quorum,
};

/// A member that leads or is about to.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Leading {
    pub(crate) stage: Stage,
    pub(crate) learners: BTreeMap<ServerId, Learner>,
    /// Current epoch and last zxid with which it stands for leader: nobody who counts before it is
    /// established may have more.
    pub(crate) claim: (Epoch, Zxid),
    /// The learner whose history is being taken over.
    pub(crate) adopting: Option<ServerId>,
    pub(crate) started_at: u64,
    pub(crate) next_heartbeat_at: u64,
    pub(crate) ping_round: u64,
    pub(crate) confirmations: Vec<Confirmation>,
    /// What this member's disk is at although a quorum has had it on theirs, and since when.
    pub(crate) overtaken: Option<(Mark, u64)>,
}

/// How far a leader is.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) enum Stage {
    /// It waits for a quorum to tell the epochs they have promised.
    Discovery,
    /// Its own promise is on its way to the disk.
    Promising(Epoch, Mark),
    /// It waits for a quorum to promise the epoch.
    Promised(Epoch),
    /// It waits for a quorum to have its history; its own epoch is on its way to the disk.
    Synchronization(Epoch, Mark),
    /// A quorum has its history: it is established.
    Broadcast(Epoch),
}

/// A read that waits for the leader to be confirmed.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Confirmation {
    pub(crate) token: u64,
    /// The round of pings that must be answered.
    pub(crate) round: u64,
    pub(crate) upto: Zxid,
}

impl Stage {
    /// Returns the epoch, once it is drawn.
    pub(crate) const fn epoch(self) -> Option<Epoch> {
        match self {
            Self::Discovery => None,
            Self::Promising(epoch, _)
            | Self::Promised(epoch)
            | Self::Synchronization(epoch, _)
            | Self::Broadcast(epoch) => Some(epoch),
        }
    }
}

impl Leading {
    /// Returns how many learners there are, and how many of them follow.
    pub(crate) fn counts(&self, voters: &BTreeSet<ServerId>) -> LearnerCounts {
        let synced = self.learners.iter().filter(|(_, it)| it.stage == LearnerStage::Following);
        let (synced_voters, synced_observers): (Vec<_>, Vec<_>) =
            synced.partition(|(id, _)| voters.contains(id));
        LearnerCounts {
            learners: self.learners.len(),
            synced_voters: synced_voters.len(),
            synced_observers: synced_observers.len(),
        }
    }

    /// Returns what the window has to reach back to for the sake of learners that fetch a snapshot.
    pub(crate) fn needed_from(&self) -> Option<Zxid> {
        self.learners.values().filter_map(Learner::needs_from).min()
    }

    /// Returns the epoch of an established leader.
    pub(crate) const fn established(&self) -> Option<Epoch> {
        match self.stage {
            Stage::Broadcast(epoch) => Some(epoch),
            _ => None,
        }
    }

    /// Stands with a history taken over: who has no more than that is not ahead any longer.
    pub(crate) fn adopt(&mut self, claim: (Epoch, Zxid)) {
        assert!(claim > self.claim, "only a greater history is taken over");
        self.claim = claim;
        self.adopting = None;
        for learner in self.learners.values_mut() {
            if let LearnerStage::Ahead { current, last, is_fresh } = learner.stage
                && (current, last) <= claim
            {
                learner.stage = LearnerStage::Promised { last, is_fresh };
            }
        }
    }
}

impl Engine {
    /// Begins to lead: the election was won.
    pub(crate) fn lead(&mut self, out: &mut Vec<Output>) {
        assert!(self.is_voter() && self.epochs.standing == Standing::Whole);
        assert!(!self.is_fetching, "its own log is known");
        self.phase = Phase::Leading(Leading {
            stage: Stage::Discovery,
            learners: BTreeMap::new(),
            claim: (self.epochs.current, self.history.last()),
            adopting: None,
            started_at: self.tick,
            next_heartbeat_at: self.tick,
            ping_round: 0,
            confirmations: Vec::new(),
            overtaken: None,
        });
        self.notify_all(out);
        self.progress_leading(out);
    }

    /// Returns whether this member and the learners that `counts` admits are a quorum. Who repairs
    /// its disk never counts.
    pub(crate) fn is_quorum_with(&self, counts: impl Fn(&Learner) -> bool) -> bool {
        let Phase::Leading(leading) = &self.phase else { return false };
        let learners = leading
            .learners
            .iter()
            .filter(|(_, learner)| learner.standing == Standing::Whole && counts(learner))
            .map(|(id, _)| *id);
        quorum::is_quorum(&self.config.voters, learners.chain([self.config.me]))
    }

    pub(crate) fn on_learners_message(
        &mut self,
        from: ServerId,
        message: Message,
        out: &mut Vec<Output>,
    ) {
        let tick = self.tick;
        let Phase::Leading(leading) = &mut self.phase else { return };
        if let Message::FollowerInfo { stream, accepted, standing } = message {
            return self.on_follower_info(from, stream, accepted, standing, out);
        }
        let Some(learner) = leading.learners.get_mut(&from) else { return };
        if Some(learner.stream) != learner_stream(&message) {
            return;
        }
        learner.heard_at = tick;
        match message {
            Message::AckEpoch { current, last, is_fresh, .. } => {
                self.on_ack_epoch(from, current, last, is_fresh, out);
            }
            Message::History { after, entries, is_last, .. } => {
                self.on_history(from, after, entries, is_last, out);
            }
            Message::NoHistory { .. } => self.on_no_history(from, out),
            Message::Installed { zxid, .. } => self.on_learner_installed(from, zxid, out),
            Message::AckNewLeader { .. } => self.on_ack_new_leader(from, out),
            Message::Ack { zxid, standing, .. } => self.on_ack(from, zxid, standing, out),
            Message::Pong { round, .. } => self.on_pong(from, round, out),
            _ => {}
        }
    }

    /// Forgets a learner that is gone or has turned away.
    pub(crate) fn forget_learner(&mut self, learner: ServerId, out: &mut Vec<Output>) {
        let Phase::Leading(leading) = &mut self.phase else { return };
        leading.learners.remove(&learner);
        if leading.adopting == Some(learner) {
            // Its history was taken over in part: not worth standing with.
            self.back_off(out);
        }
    }

    /// Moves a leader to the stages that what it has heard and stored allows.
    pub(crate) fn progress_leading(&mut self, out: &mut Vec<Output>) {
        let Phase::Leading(leading) = &self.phase else { return };
        match leading.stage {
            Stage::Discovery => self.discover(out),
            Stage::Promising(epoch, mark) if mark <= self.marks.durable => {
                self.set_stage(Stage::Promised(epoch));
                self.progress_leading(out);
            }
            Stage::Promising(..) => {}
            Stage::Promised(epoch) => {
                self.ask_promises(epoch, out);
                self.synchronize_when_promised(epoch, out);
            }
            Stage::Synchronization(epoch, mark) => {
                self.ask_promises(epoch, out);
                self.establish_when_synchronised(epoch, mark, out);
            }
            Stage::Broadcast(epoch) => {
                self.ask_promises(epoch, out);
                self.advance_commit(out);
            }
        }
    }

    pub(crate) fn set_stage(&mut self, stage: Stage) {
        let Phase::Leading(leading) = &mut self.phase else { return };
        assert!(leading.stage < stage, "a leader goes forward or steps down");
        leading.stage = stage;
    }

    /// A quorum has this history on disk, this member included: all of it is committed.
    fn establish_when_synchronised(&mut self, epoch: Epoch, mark: Mark, out: &mut Vec<Output>) {
        let is_own_durable = mark <= self.marks.durable && self.persisted == self.history.last();
        let has_acked = |learner: &Learner| learner.stage == LearnerStage::Following;
        if !is_own_durable || !self.is_quorum_with(has_acked) {
            return;
        }
        self.set_stage(Stage::Broadcast(epoch));
        self.committed = self.history.last();
        self.deliver(out);
        assert_eq!(self.delivered, self.history.last(), "all of it is on this disk");
        self.set_role(Role::Leading { epoch }, out);
        let Phase::Leading(leading) = &self.phase else { return };
        let mut left_out = Vec::new();
        for (to, learner) in &leading.learners {
            match learner.stage {
                LearnerStage::Following => {
                    let (stream, committed) = (learner.stream, self.committed);
                    let message = Message::UpToDate { stream, committed };
                    out.push(Output::Send { to: *to, message });
                }
                LearnerStage::Ahead { last, .. } => left_out.push((*to, last)),
                _ => {}
            }
        }
        for (learner, last) in left_out {
            self.start_sync(learner, last, out);
        }
        self.notify_all(out);
    }
}

const fn learner_stream(message: &Message) -> Option<u64> {
    match message {
        Message::AckEpoch { stream, .. }
        | Message::History { stream, .. }
        | Message::NoHistory { stream }
        | Message::Installed { stream, .. }
        | Message::AckNewLeader { stream }
        | Message::Ack { stream, .. }
        | Message::Pong { stream, .. } => Some(*stream),
        _ => None,
    }
}
