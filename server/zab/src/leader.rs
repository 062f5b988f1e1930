//! A leader before and around the broadcast: discovery of an epoch that a quorum promises,
//! synchronization until a quorum has its history, and its watch over the learners.

use alloc::{collections::BTreeMap, vec::Vec};

use conclave_protocol::{
    ids::ServerId,
    peer::zab::{Epochs, Message, Standing},
    zxid::{Epoch, Zxid},
};

use crate::{
    api::{Mark, Output, Role},
    engine::{Engine, Phase},
    quorum,
};

/// A member that leads or is about to.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Leading {
    pub(crate) stage: Stage,
    pub(crate) learners: BTreeMap<ServerId, Learner>,
    started_at: u64,
    next_heartbeat_at: u64,
    pub(crate) ping_round: u64,
    pub(crate) confirmations: Vec<Confirmation>,
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

/// A learner as its leader sees it.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Learner {
    pub(crate) stream: u64,
    pub(crate) standing: Standing,
    pub(crate) stage: LearnerStage,
    accepted: Epoch,
    pub(crate) heard_at: u64,
    /// Everything up to here is on its disk; counts once it is [`LearnerStage::Following`].
    pub(crate) acked: Zxid,
    pub(crate) ponged: u64,
}

/// How far a learner is.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum LearnerStage {
    /// It has told the epoch it has promised.
    Known,
    /// It was told the new epoch.
    Asked,
    /// It has promised the new epoch, just now or before, and told the end of its log.
    Promised { last: Zxid, is_fresh: bool },
    /// It fetches a snapshot.
    Fetching,
    /// The stream up to here, and NEWLEADER, is on its way.
    Syncing { upto: Zxid },
    /// It has acked NEWLEADER.
    Following,
}

impl Leading {
    /// Returns how many learners there are, and how many of them follow.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let is_following = |learner: &&Learner| learner.stage == LearnerStage::Following;
        (self.learners.len(), self.learners.values().filter(is_following).count())
    }

    pub(crate) fn forget(&mut self, learner: ServerId) {
        self.learners.remove(&learner);
    }

    /// Returns the epoch of an established leader.
    pub(crate) const fn established(&self) -> Option<Epoch> {
        match self.stage {
            Stage::Broadcast(epoch) => Some(epoch),
            _ => None,
        }
    }
}

impl Engine {
    /// Begins to lead: the election was won.
    pub(crate) fn lead(&mut self, out: &mut Vec<Output>) {
        assert!(self.is_voter() && self.epochs.standing == Standing::Whole);
        self.phase = Phase::Leading(Leading {
            stage: Stage::Discovery,
            learners: BTreeMap::new(),
            started_at: self.tick,
            next_heartbeat_at: self.tick,
            ping_round: 0,
            confirmations: Vec::new(),
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
            Message::Installed { zxid, .. } => self.on_learner_installed(from, zxid, out),
            Message::AckNewLeader { .. } => self.on_ack_new_leader(from, out),
            Message::Ack { zxid, standing, .. } => self.on_ack(from, zxid, standing, out),
            Message::Pong { round, .. } => self.on_pong(from, round, out),
            _ => {}
        }
    }

    fn on_follower_info(
        &mut self,
        from: ServerId,
        stream: u64,
        accepted: Epoch,
        standing: Standing,
        out: &mut Vec<Output>,
    ) {
        let tick = self.tick;
        let is_member = self.config.voters.contains(&from) || self.config.observers.contains(&from);
        let Phase::Leading(leading) = &mut self.phase else { return };
        // The same attempt told again, as it was not answered yet.
        let is_known = leading.learners.get(&from).is_some_and(|known| known.stream == stream);
        if !is_member || is_known {
            return;
        }
        let epoch = match leading.stage {
            Stage::Discovery => None,
            Stage::Promising(epoch, _)
            | Stage::Promised(epoch)
            | Stage::Synchronization(epoch, _)
            | Stage::Broadcast(epoch) => Some(epoch),
        };
        if epoch.is_some_and(|epoch| epoch < accepted) {
            // It has promised a newer epoch to a leader that failed, and could never follow this
            // one: a yet newer epoch takes it in.
            return self.abdicate(out);
        }
        let stage = LearnerStage::Known;
        let acked = Zxid::ZERO;
        let learner =
            Learner { stream, standing, stage, accepted, heard_at: tick, acked, ponged: 0 };
        leading.learners.insert(from, learner);
        self.progress_leading(out);
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

    /// Draws the epoch once a quorum has told what it has promised.
    fn discover(&mut self, out: &mut Vec<Output>) {
        if !self.is_quorum_with(|_| true) {
            return;
        }
        let Phase::Leading(leading) = &self.phase else { return };
        let promised = leading.learners.values().map(|learner| learner.accepted);
        let newest =
            promised.max().map_or(self.epochs.accepted, |max| max.max(self.epochs.accepted));
        let epoch = newest.successor().expect("four billion elections outlast every ensemble");
        let epochs = Epochs { accepted: epoch, ..self.epochs };
        let mark = self.write_epochs(epochs, out);
        self.set_stage(Stage::Promising(epoch, mark));
    }

    /// Asks every learner that has not been asked yet to promise the epoch.
    fn ask_promises(&mut self, epoch: Epoch, out: &mut Vec<Output>) {
        let Phase::Leading(leading) = &mut self.phase else { return };
        for (to, learner) in &mut leading.learners {
            if learner.stage == LearnerStage::Known {
                learner.stage = LearnerStage::Asked;
                let message = Message::NewEpoch { stream: learner.stream, epoch };
                out.push(Output::Send { to: *to, message });
            }
        }
    }

    fn on_ack_epoch(
        &mut self,
        from: ServerId,
        current: Epoch,
        last: Zxid,
        is_fresh: bool,
        out: &mut Vec<Output>,
    ) {
        let own = (self.epochs.current, self.history.last());
        let is_whole_voter = self.config.voters.contains(&from);
        let Phase::Leading(leading) = &mut self.phase else { return };
        let is_established = leading.established().is_some();
        let Some(learner) = leading.learners.get_mut(&from) else { return };
        if learner.stage != LearnerStage::Asked {
            return;
        }
        let counts = is_whole_voter && learner.standing == Standing::Whole;
        if !is_established && counts && (current, last) > own {
            // It may have what was committed and we lack: it must lead, not we.
            return self.abdicate(out);
        }
        learner.stage = LearnerStage::Promised { last, is_fresh };
        let is_syncing = matches!(leading.stage, Stage::Synchronization(..) | Stage::Broadcast(_));
        if is_syncing {
            self.start_sync(from, last, out);
        }
        self.progress_leading(out);
    }

    /// A quorum has promised the epoch: nobody older can lead any more.
    fn synchronize_when_promised(&mut self, epoch: Epoch, out: &mut Vec<Output>) {
        let has_promised = |learner: &Learner| {
            matches!(learner.stage, LearnerStage::Promised { is_fresh: true, .. })
        };
        if !self.is_quorum_with(has_promised) {
            let has_answered =
                |learner: &Learner| matches!(learner.stage, LearnerStage::Promised { .. });
            if self.is_quorum_with(has_answered) {
                // Too many had made this promise before: another epoch is needed.
                self.abdicate(out);
            }
            return;
        }
        let epochs = Epochs { current: epoch, ..self.epochs };
        let mark = self.write_epochs(epochs, out);
        self.set_stage(Stage::Synchronization(epoch, mark));
        let Phase::Leading(leading) = &self.phase else { return };
        let promised: Vec<(ServerId, Zxid)> = leading
            .learners
            .iter()
            .filter_map(|(id, learner)| match learner.stage {
                LearnerStage::Promised { last, .. } => Some((*id, last)),
                _ => None,
            })
            .collect();
        for (learner, last) in promised {
            self.start_sync(learner, last, out);
        }
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
        for (to, learner) in &leading.learners {
            if learner.stage == LearnerStage::Following {
                let message =
                    Message::UpToDate { stream: learner.stream, committed: self.committed };
                out.push(Output::Send { to: *to, message });
            }
        }
        self.notify_all(out);
    }

    pub(crate) fn on_leading_tick(&mut self, out: &mut Vec<Output>) {
        let tick = self.tick;
        let sync_limit = u64::from(self.config.sync_limit_ticks);
        let Phase::Leading(leading) = &self.phase else { return };
        let is_late = match leading.stage {
            Stage::Broadcast(_) => {
                !self.is_quorum_with(|learner| learner.heard_at + sync_limit >= tick)
            }
            _ => tick > leading.started_at + u64::from(self.config.init_limit_ticks),
        };
        // The heartbeat is the work itself: a disk that stalls must not keep the lead.
        let is_stuck = self.marks.oldest_tick().is_some_and(|oldest| oldest + sync_limit < tick);
        if is_late || is_stuck || !self.has_quorum() {
            return self.look(out);
        }
        self.drop_lost_learners();
        let Phase::Leading(leading) = &mut self.phase else { return };
        if tick >= leading.next_heartbeat_at {
            leading.next_heartbeat_at = tick + u64::from(self.config.heartbeat_ticks);
            self.ping_all(out);
        }
    }

    /// Forgets learners that are silent, or so far behind that the window has left them: they
    /// notice by the silence, and join anew.
    fn drop_lost_learners(&mut self) {
        let (tick, base) = (self.tick, self.history.base());
        let sync_limit = u64::from(self.config.sync_limit_ticks);
        let Phase::Leading(leading) = &mut self.phase else { return };
        leading.learners.retain(|_, learner| {
            let is_silent = learner.heard_at + sync_limit < tick;
            let is_behind = learner.stage == LearnerStage::Following && learner.acked < base;
            !is_silent && !is_behind
        });
    }
}

const fn learner_stream(message: &Message) -> Option<u64> {
    match message {
        Message::AckEpoch { stream, .. }
        | Message::Installed { stream, .. }
        | Message::AckNewLeader { stream }
        | Message::Ack { stream, .. }
        | Message::Pong { stream, .. } => Some(*stream),
        _ => None,
    }
}
