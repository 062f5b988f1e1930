//! The open sessions, as every member knows them. Changed by txns alone.

use std::collections::BTreeMap;

use conclave_protocol::ids::{Password, ServerId, SessionId};

/// One open session.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Session {
    /// Silence after which the leader closes it, in milliseconds.
    pub timeout_ms: u32,
    /// What a client must show to attach to it.
    pub password: Password,
    /// The member its client is connected to, or was last.
    pub owner: ServerId,
}

/// All open sessions, in order of their ids.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Table {
    sessions: BTreeMap<SessionId, Session>,
}

impl Table {
    /// Returns an open session.
    pub fn find(&self, id: SessionId) -> Option<&Session> {
        self.sessions.get(&id)
    }

    /// Opens a session, or replaces it when a txn is replayed.
    pub fn open(&mut self, id: SessionId, session: Session) {
        self.sessions.insert(id, session);
    }

    /// Moves a session to `owner` with a timeout negotiated anew; returns false when it is closed.
    pub fn attach(&mut self, id: SessionId, owner: ServerId, timeout_ms: u32) -> bool {
        let Some(session) = self.sessions.get_mut(&id) else { return false };
        session.owner = owner;
        session.timeout_ms = timeout_ms;
        true
    }

    /// Closes a session; returns whether it was open.
    pub fn close(&mut self, id: SessionId) -> bool {
        self.sessions.remove(&id).is_some()
    }

    /// Returns the number of open sessions.
    pub fn count(&self) -> usize {
        self.sessions.len()
    }

    /// Iterates over the open sessions in order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = (SessionId, &Session)> {
        self.sessions.iter().map(|(id, session)| (*id, session))
    }
}
