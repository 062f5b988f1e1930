//! When each session expires, by the leader's monotonic clock. Only the leader's verdict counts,
//! and only through a close txn.

use std::collections::{BTreeSet, HashMap};

use conclave_protocol::ids::SessionId;

/// Deadlines of the open sessions.
#[derive(Clone, Debug, Default)]
pub struct Tracker {
    sessions: HashMap<SessionId, Deadline>,
    by_deadline: BTreeSet<(u64, SessionId)>,
}

#[derive(Clone, Copy, Debug)]
struct Deadline {
    timeout_ms: u32,
    at_ms: u64,
}

impl Tracker {
    /// Starts or restarts the clock of a session that may be silent for `timeout_ms`.
    pub fn track(&mut self, id: SessionId, timeout_ms: u32, now_ms: u64) {
        self.forget(id);
        let at_ms = now_ms + u64::from(timeout_ms);
        self.sessions.insert(id, Deadline { timeout_ms, at_ms });
        self.by_deadline.insert((at_ms, id));
    }

    /// Notes that a session's client was heard; unknown ones are ignored, as they may be closing.
    pub fn touch(&mut self, id: SessionId, now_ms: u64) {
        if let Some(Deadline { timeout_ms, .. }) = self.sessions.get(&id).copied() {
            self.track(id, timeout_ms, now_ms);
        }
    }

    /// Stops the clock of a session.
    pub fn forget(&mut self, id: SessionId) {
        if let Some(Deadline { at_ms, .. }) = self.sessions.remove(&id) {
            self.by_deadline.remove(&(at_ms, id));
        }
    }

    /// Takes out the sessions whose time is up, at most `count_max`, in order of their deadlines.
    pub fn take_expired(&mut self, now_ms: u64, count_max: usize) -> Vec<SessionId> {
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
        tracker.track(ID, 4000, 100);
        assert_eq!(tracker.take_expired(4099, 10), []);
        assert_eq!(tracker.take_expired(4100, 10), [ID]);
        assert_eq!(tracker.take_expired(9999, 10), []);
    }

    #[test]
    fn a_touch_moves_the_deadline() {
        let mut tracker = Tracker::default();
        tracker.track(ID, 4000, 0);
        tracker.touch(ID, 3000);
        assert_eq!(tracker.take_expired(4000, 10), []);
        assert_eq!(tracker.take_expired(7000, 10), [ID]);
    }

    #[test]
    fn a_forgotten_session_is_not_revived_by_a_late_touch() {
        let mut tracker = Tracker::default();
        tracker.track(ID, 4000, 0);
        tracker.forget(ID);
        tracker.touch(ID, 10);
        assert_eq!(tracker.take_expired(u64::MAX, 10), []);
    }
}
