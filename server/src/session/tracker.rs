//! When each session expires, by the leader's monotonic clock. Only the leader's verdict counts,
//! and only through a close txn.

use std::collections::{BTreeSet, HashMap, HashSet};

use conclave_protocol::ids::SessionId;
use foldhash::fast::RandomState;

/// Deadlines of the open sessions.
#[derive(Clone, Debug, Default)]
pub struct Tracker {
    sessions: HashMap<SessionId, Deadline, RandomState>,
    by_deadline: BTreeSet<(u64, SessionId)>,
    /// Heard since time was last told. When that was is not known, so their time counts from when
    /// it is told next: later than they were heard, never earlier.
    heard: HashSet<SessionId>,
}

#[derive(Clone, Copy, Debug)]
struct Deadline {
    timeout_ms: u32,
    /// `None` until time is told for the first time.
    at_ms: Option<u64>,
}

impl Tracker {
    /// Starts or restarts the clock of a session that may be silent for `timeout_ms`.
    pub fn track(&mut self, id: SessionId, timeout_ms: u32) {
        self.forget(id);
        self.sessions.insert(id, Deadline { timeout_ms, at_ms: None });
        self.heard.insert(id);
    }

    /// Notes that a session's client was heard; unknown ones are ignored, as they may be closing.
    pub fn touch(&mut self, id: SessionId) {
        if self.sessions.contains_key(&id) {
            self.heard.insert(id);
        }
    }

    /// Stops the clock of a session.
    pub fn forget(&mut self, id: SessionId) {
        self.heard.remove(&id);
        if let Some(Deadline { at_ms: Some(at_ms), .. }) = self.sessions.remove(&id) {
            self.by_deadline.remove(&(at_ms, id));
        }
    }

    /// Gives those that were heard their full time from now on.
    fn renew(&mut self, now_ms: u64) {
        for id in self.heard.drain() {
            let deadline = self.sessions.get_mut(&id).expect("a session that was heard is tracked");
            let at_ms = now_ms + u64::from(deadline.timeout_ms);
            if let Some(before_ms) = deadline.at_ms.replace(at_ms) {
                self.by_deadline.remove(&(before_ms, id));
            }
            self.by_deadline.insert((at_ms, id));
        }
    }

    /// Tells the time, and takes out the sessions whose time is up, at most `count_max`, in order of
    /// their deadlines.
    pub fn take_expired(&mut self, now_ms: u64, count_max: usize) -> Vec<SessionId> {
        self.renew(now_ms);
        let expired: Vec<SessionId> = self
            .by_deadline
            .iter()
            .take_while(|(at_ms, _)| *at_ms <= now_ms)
            .take(count_max)
            .map(|(_, id)| *id)
            .collect();
        for id in &expired {
            self.forget(*id);
        }
        expired
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: SessionId = SessionId(7);

    #[test]
    fn a_silent_session_expires_once_and_not_before_its_time() {
        let mut tracker = Tracker::default();
        tracker.track(ID, 4000);
        assert_eq!(tracker.take_expired(100, 10), []);
        assert_eq!(tracker.take_expired(4099, 10), []);
        assert_eq!(tracker.take_expired(4100, 10), [ID]);
        assert_eq!(tracker.take_expired(9999, 10), []);
    }

    #[test]
    fn a_touch_moves_the_deadline() {
        let mut tracker = Tracker::default();
        tracker.track(ID, 4000);
        assert_eq!(tracker.take_expired(0, 10), []);
        tracker.touch(ID);
        assert_eq!(tracker.take_expired(3000, 10), []);
        assert_eq!(tracker.take_expired(6999, 10), []);
        assert_eq!(tracker.take_expired(7000, 10), [ID]);
    }

    /// Goal: the tick by which a touch is dated never shortens the session. Method: a touch late
    /// between two ticks that a loaded machine made 90 ms apart; its client was heard at 89.
    #[test]
    fn a_touch_between_two_ticks_gives_the_full_timeout() {
        let mut tracker = Tracker::default();
        tracker.track(ID, 4000);
        assert_eq!(tracker.take_expired(0, 10), []);
        tracker.touch(ID);
        assert_eq!(tracker.take_expired(90, 10), []);
        assert_eq!(tracker.take_expired(89 + 4000, 10), []);
        assert_eq!(tracker.take_expired(90 + 4000, 10), [ID]);
    }

    #[test]
    fn a_forgotten_session_is_not_revived_by_a_late_touch() {
        let mut tracker = Tracker::default();
        tracker.track(ID, 4000);
        tracker.forget(ID);
        tracker.touch(ID);
        assert_eq!(tracker.take_expired(u64::MAX, 10), []);
    }
}
