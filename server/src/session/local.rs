//! Sessions that only this member knows: cheap to open, as no txn is needed, and gone with the member.
//! They can hold no ephemerals; one that wants to is made a session of the ensemble first.

use std::collections::HashMap;

use conclave_protocol::ids::{Password, SessionId};
use parking_lot::Mutex;

use super::Tracker;

/// Sessions closed in one turn at most.
const EXPIRE_BATCH_MAX: usize = 1000;

/// The local sessions of a member.
#[derive(Debug, Default)]
pub struct Locals {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    sessions: HashMap<SessionId, Local>,
    tracker: Tracker,
}

/// One local session.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Local {
    /// What a client must show to attach to it.
    pub password: Password,
    /// Silence after which it is closed, in milliseconds.
    pub timeout_ms: u32,
}

impl Locals {
    /// Opens a session, or attaches to it with a timeout negotiated anew.
    pub fn open(&self, id: SessionId, local: Local) {
        let mut inner = self.inner.lock();
        inner.tracker.track(id, local.timeout_ms);
        inner.sessions.insert(id, local);
    }

    /// Returns a session that is open.
    pub fn find(&self, id: SessionId) -> Option<Local> {
        self.inner.lock().sessions.get(&id).copied()
    }

    /// Notes that a session's client was heard; one of the ensemble's is ignored.
    pub fn touch(&self, id: SessionId) {
        self.inner.lock().tracker.touch(id);
    }

    /// Closes a session, and returns what it was.
    pub fn close(&self, id: SessionId) -> Option<Local> {
        let mut inner = self.inner.lock();
        inner.tracker.forget(id);
        inner.sessions.remove(&id)
    }

    /// Lets the time pass, and returns the sessions that it closed.
    pub fn advance(&self, now_ms: u64) -> Vec<SessionId> {
        let mut inner = self.inner.lock();
        let expired = inner.tracker.take_expired(now_ms, EXPIRE_BATCH_MAX);
        for id in &expired {
            inner.sessions.remove(id);
        }
        expired
    }

    /// Closes all of them.
    pub fn clear(&self) {
        let mut inner = self.inner.lock();
        inner.sessions.clear();
        inner.tracker = Tracker::default();
    }

    /// Returns how many there are.
    pub fn count(&self) -> usize {
        self.inner.lock().sessions.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: SessionId = SessionId(7);
    const LOCAL: Local = Local { password: Password([1; 16]), timeout_ms: 4000 };

    #[test]
    fn a_silent_session_is_gone_after_its_timeout() {
        let locals = Locals::default();
        assert_eq!(locals.advance(1000), []);
        locals.open(ID, LOCAL);
        assert_eq!(locals.advance(1001), []);
        assert_eq!(locals.advance(4999), []);
        locals.touch(ID);
        assert_eq!(locals.advance(5000), []);
        assert_eq!(locals.advance(8999), []);
        assert_eq!(locals.find(ID), Some(LOCAL));
        assert_eq!(locals.advance(9000), [ID]);
        assert_eq!(locals.find(ID), None);
    }

    #[test]
    fn a_session_of_the_ensemble_is_not_opened_by_a_touch() {
        let locals = Locals::default();
        locals.touch(ID);
        assert_eq!(locals.count(), 0);
        assert_eq!(locals.advance(u64::MAX), []);
    }
}
