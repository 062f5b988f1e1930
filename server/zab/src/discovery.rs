//! Discovery, the leader's side: an epoch that a quorum promises, and a history that is behind
//! nobody's in that quorum.
//!
//! The election should have found the best history, but votes can be old, and with links cut the
//! best history may be with a member that reaches no quorum and so cannot lead. As in the paper,
//! the leader then takes that history over before anything else.

use alloc::vec::Vec;

use conclave_protocol::{
    ids::ServerId,
    peer::zab::{Epochs, Message, Standing},
    txn::Entry,
    zxid::{Epoch, Zxid},
};

use crate::{
    api::Output,
    engine::{Engine, Phase},
    leader::Stage,
    learners::{Learner, LearnerStage},
};

impl Engine {
    pub(crate) fn on_follower_info(
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
        // An epoch that has no successor was promised to nobody: no such member can be taken in.
        let is_sound = accepted.successor().is_some();
        if !is_member || is_known || from == self.config.me || !is_sound {
            return;
        }
        if leading.stage.epoch().is_some_and(|epoch| epoch < accepted) {
            // It has promised a newer epoch to a leader that failed, and could never follow this
            // one: a yet newer epoch takes it in.
            return self.back_off(out);
        }
        if leading.adopting == Some(from) {
            return self.back_off(out);
        }
        leading.learners.insert(from, Learner::new(stream, standing, accepted, tick));
        self.progress_leading(out);
    }

    /// Draws the epoch once a quorum has told what it has promised.
    pub(crate) fn discover(&mut self, out: &mut Vec<Output>) {
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
    pub(crate) fn ask_promises(&mut self, epoch: Epoch, out: &mut Vec<Output>) {
        let Phase::Leading(leading) = &mut self.phase else { return };
        for (to, learner) in &mut leading.learners {
            if learner.stage == LearnerStage::Known {
                learner.stage = LearnerStage::Asked;
                let message = Message::NewEpoch { stream: learner.stream, epoch };
                out.push(Output::Send { to: *to, message });
            }
        }
    }

    pub(crate) fn on_ack_epoch(
        &mut self,
        from: ServerId,
        current: Epoch,
        last: Zxid,
        is_fresh: bool,
        out: &mut Vec<Output>,
    ) {
        let is_voter = self.config.voters.contains(&from);
        let Phase::Leading(leading) = &mut self.phase else { return };
        let is_established = leading.established().is_some();
        let Some(learner) = leading.learners.get_mut(&from) else { return };
        if learner.stage != LearnerStage::Asked {
            return;
        }
        let counts = is_voter && learner.standing == Standing::Whole;
        // Compared with what this leader stood for election with: its own current epoch may have
        // been raised since, and would outdo everyone's.
        if !is_established && counts && (current, last) > leading.claim {
            learner.stage = LearnerStage::Ahead { current, last, is_fresh };
        } else {
            learner.stage = LearnerStage::Promised { last, is_fresh };
            if matches!(leading.stage, Stage::Synchronization(..) | Stage::Broadcast(_)) {
                self.start_sync(from, last, out);
            }
        }
        self.progress_leading(out);
    }

    /// Goes on to synchronization once a quorum has promised the epoch: nobody older can lead any
    /// more. Who is ahead does not count; if there is no quorum without, its history is taken over.
    pub(crate) fn synchronize_when_promised(&mut self, epoch: Epoch, out: &mut Vec<Output>) {
        let has_promised = |learner: &Learner| {
            matches!(learner.stage, LearnerStage::Promised { is_fresh: true, .. })
        };
        if self.is_quorum_with(has_promised) {
            return self.synchronize(epoch, out);
        }
        let has_answered = |learner: &Learner| {
            learner.is_ahead() || matches!(learner.stage, LearnerStage::Promised { .. })
        };
        let is_hopeless = !self.is_quorum_with(|learner| !learner.has_stale_promise());
        if is_hopeless && self.is_quorum_with(has_answered) {
            // Too many had made this promise before: another epoch is needed.
            return self.back_off(out);
        }
        if !self.is_quorum_with(|learner| !learner.is_ahead()) {
            self.pull_history(out);
        }
    }

    fn synchronize(&mut self, epoch: Epoch, out: &mut Vec<Output>) {
        let Phase::Leading(leading) = &mut self.phase else { return };
        if leading.adopting.is_some() {
            // Its log is being made another's; when that is done this is asked again.
            return;
        }
        let promised: Vec<(ServerId, Zxid)> = leading
            .learners
            .iter()
            .filter_map(|(id, learner)| match learner.stage {
                LearnerStage::Promised { last, .. } => Some((*id, last)),
                _ => None,
            })
            .collect();
        // The log is on disk before the epoch is, as both are carried out in order.
        let mark = self.write_epochs(Epochs { current: epoch, ..self.epochs }, out);
        self.set_stage(Stage::Synchronization(epoch, mark));
        for (learner, last) in promised {
            self.start_sync(learner, last, out);
        }
    }

    /// Asks the learner with the best history for what this member lacks of it.
    fn pull_history(&mut self, out: &mut Vec<Output>) {
        let last = self.history.last();
        let Phase::Leading(leading) = &mut self.phase else { return };
        if leading.adopting.is_some() {
            return;
        }
        let ahead = leading.learners.iter().filter_map(|(id, learner)| match learner.stage {
            LearnerStage::Ahead { current, last, .. } => Some(((current, last), *id)),
            _ => None,
        });
        let Some((_, to)) = ahead.max() else { return };
        let Some(learner) = leading.learners.get(&to) else { return };
        out.push(Output::Send { to, message: Message::Pull { stream: learner.stream, last } });
        leading.adopting = Some(to);
    }

    /// Takes over a piece of the history asked for. What this member drops for it was counted by
    /// nobody: a leader that a quorum promised after it was logged had already left it out.
    pub(crate) fn on_history(
        &mut self,
        from: ServerId,
        after: Zxid,
        entries: Vec<Entry>,
        is_last: bool,
        out: &mut Vec<Output>,
    ) {
        let Phase::Leading(leading) = &self.phase else { return };
        if leading.adopting != Some(from) {
            return;
        }
        let told = leading.learners.get(&from).map(|learner| learner.stage);
        let Some(LearnerStage::Ahead { current, last, .. }) = told else { return };
        let is_sound = after >= self.delivered
            && self.history.contains(after)
            && self.is_run(after, &entries)
            && entries.last().is_none_or(|entry| entry.zxid <= last);
        if !is_sound {
            return self.back_off(out);
        }
        if after < self.history.last() {
            self.truncate(after, out);
        }
        if !entries.is_empty() {
            self.append(entries, out);
        }
        if !is_last {
            return;
        }
        if self.history.last() != last {
            return self.back_off(out);
        }
        let Phase::Leading(leading) = &mut self.phase else { return };
        leading.adopt((current, last));
        self.progress_leading(out);
    }

    /// What this member lacks is in the other's snapshot only: it fetches that, and stands for
    /// election again.
    pub(crate) fn on_no_history(&mut self, from: ServerId, out: &mut Vec<Output>) {
        let Phase::Leading(leading) = &self.phase else { return };
        if leading.adopting == Some(from) {
            self.is_fetching = true;
            out.push(Output::FetchImage { from });
            self.look(out);
        }
    }

    /// Returns whether `entries` can stand directly behind `after` in a log of this member.
    pub(crate) fn is_run(&self, after: Zxid, entries: &[Entry]) -> bool {
        let accepted = self.epochs.accepted;
        let mut last = after;
        entries.iter().all(|entry| {
            let follows = last.is_followed_by(entry.zxid) && entry.zxid.epoch() <= accepted;
            last = entry.zxid;
            follows
        })
    }
}
