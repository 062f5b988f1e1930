//! What time alone brings about, and all lengths of time that are not configured. Time is counted
//! in ticks of whoever drives the engine, about 25 ms each.

use alloc::vec::Vec;

use conclave_protocol::zxid::Zxid;

use crate::{
    api::Output,
    engine::{Engine, Phase},
    follower,
    leader::Stage,
};

/// Ticks after which a looking member tells its vote again.
pub(crate) const RENOTIFY_TICKS: u64 = 20;

/// Ticks for which a member decides nothing and joins nobody after an attempt that failed for a
/// reason that may last.
pub(crate) const HOLD_TICKS: u64 = 4;

/// Ticks after which an unanswered FOLLOWERINFO is told again.
pub(crate) const RETELL_TICKS: u64 = 4;

/// Ticks after which a member that was elected and does not lead, or leads and is not followed, is
/// given up.
pub(crate) const PATIENCE_TICKS: u64 = 20;

impl Engine {
    /// Returns whether the disk has not answered for so long that this member should not lead: the
    /// heartbeat is the work itself.
    pub(crate) fn is_disk_stuck(&self) -> bool {
        let sync_limit = u64::from(self.config.sync_limit_ticks);
        self.marks.oldest_tick().is_some_and(|oldest| oldest + sync_limit < self.tick)
    }

    /// Returns whether this leader's disk alone is slow: for longer than its limit it is at something that a
    /// quorum has had on its disks for half of that. Where all disks are slow, nobody would do better.
    fn is_disk_slow(&mut self) -> bool {
        let (tick, limit) = (self.tick, u64::from(self.config.slow_disk_ticks));
        if limit >= u64::from(self.config.sync_limit_ticks) {
            // By then it is stuck, whatever the others' do.
            return false;
        }
        let committed = self.committed;
        let is_had = |end: Option<Zxid>| end.is_some_and(|end| end <= committed);
        let next = self.marks.pending.front().copied().filter(|(.., end)| is_had(*end));
        let Phase::Leading(leading) = &mut self.phase else { return false };
        let Some((mark, asked_at, _)) = next else {
            leading.overtaken = None;
            return false;
        };
        let noted = leading.overtaken.filter(|(noted, _)| *noted == mark);
        let (_, since) = *leading.overtaken.insert(noted.unwrap_or((mark, tick)));
        since + limit / 2 < tick && asked_at + limit < tick
    }

    pub(crate) fn on_looking_tick(&mut self, out: &mut Vec<Output>) {
        let tick = self.tick;
        let Phase::Looking(looking) = &mut self.phase else { return };
        if tick >= looking.renotify_at {
            looking.renotify_at = tick + RENOTIFY_TICKS;
            self.notify_all(out);
        }
        self.evaluate_votes(out);
    }

    pub(crate) fn on_leading_tick(&mut self, out: &mut Vec<Output>) {
        let tick = self.tick;
        let sync_limit = u64::from(self.config.sync_limit_ticks);
        let init_limit = u64::from(self.config.init_limit_ticks);
        self.drop_silent_learners(out);
        let Phase::Leading(leading) = &self.phase else { return };
        let is_late = if leading.established().is_some() {
            !self.is_quorum_with(|learner| learner.heard_at + sync_limit >= tick)
        } else {
            // Whoever claims to lead draws others in: it must not do so for long without a quorum.
            let is_alone = !self.is_quorum_with(|_| true);
            let limit = if is_alone { PATIENCE_TICKS.min(init_limit) } else { init_limit };
            tick > leading.started_at + limit
        };
        if is_late || self.is_disk_stuck() || !self.has_quorum() {
            return self.look(out);
        }
        if self.is_disk_slow() {
            // Its log is the longest, so it would be elected again.
            self.yields_until = tick + sync_limit;
            return self.look(out);
        }
        let Phase::Leading(leading) = &self.phase else { return };
        let is_outdone = matches!(leading.stage, Stage::Synchronization(..))
            && leading.learners.values().any(|learner| learner.is_ahead())
            && !self.is_quorum_with(|learner| !learner.is_ahead());
        if is_outdone {
            // Who promised is gone, and who came has more: the next election will see it.
            return self.back_off(out);
        }
        let Phase::Leading(leading) = &mut self.phase else { return };
        if tick >= leading.next_heartbeat_at {
            leading.next_heartbeat_at = tick + u64::from(self.config.heartbeat_ticks);
            self.ping_all(out);
        }
    }

    /// Forgets learners that are silent; if they live, they notice by the silence and join anew.
    fn drop_silent_learners(&mut self, out: &mut Vec<Output>) {
        let (tick, sync_limit) = (self.tick, u64::from(self.config.sync_limit_ticks));
        let Phase::Leading(leading) = &self.phase else { return };
        let silent: Vec<_> = leading
            .learners
            .iter()
            .filter(|(_, learner)| learner.heard_at + sync_limit < tick)
            .map(|(id, _)| *id)
            .collect();
        for learner in silent {
            self.forget_learner(learner, out);
        }
    }

    pub(crate) fn on_learning_tick(&mut self, out: &mut Vec<Output>) {
        use follower::Stage;
        let tick = self.tick;
        let has_begun = self.leader_says_it_leads();
        let Phase::Learning(learning) = &mut self.phase else { return };
        let init_limit = u64::from(self.config.init_limit_ticks);
        let sync_limit = u64::from(self.config.sync_limit_ticks);
        let is_silent = learning.heard_at + sync_limit < tick;
        let is_late = learning.started_at + init_limit < tick;
        let is_given_up = match learning.stage {
            Stage::Discovery if !has_begun => learning.started_at + PATIENCE_TICKS < tick,
            // A snapshot takes the time it takes; the leader is alive as long as it pings.
            Stage::Synchronization | Stage::Fetching | Stage::Following { .. } => is_silent,
            _ => is_silent || is_late,
        };
        if is_given_up {
            return self.give_up_leader(out);
        }
        if matches!(learning.stage, Stage::Following { .. }) && self.is_disk_stuck() {
            // Its clients would wait for their writes, and read what is old, for as long as that takes. It
            // joins again at once, and serves when its disk has ended what it is at.
            return self.look(out);
        }
        let Phase::Learning(learning) = &mut self.phase else { return };
        if learning.stage == Stage::Discovery && tick >= learning.retell_at {
            learning.retell_at = tick + RETELL_TICKS;
            self.tell_leader(out);
        }
    }
}
