//! Watch events: what a client is told without asking.

use crate::{
    jute::{DecodeError, Reader, Write},
    text::Text,
};

/// What happened.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[repr(i32)]
#[allow(missing_docs, reason = "the names are ZooKeeper's own and are all there is to say")]
pub enum EventKind {
    None = -1,
    NodeCreated = 1,
    NodeDeleted = 2,
    NodeDataChanged = 3,
    NodeChildrenChanged = 4,
    DataWatchRemoved = 5,
    ChildWatchRemoved = 6,
    PersistentWatchRemoved = 7,
}

impl EventKind {
    fn from_wire(kind: i32) -> Option<Self> {
        Some(match kind {
            -1 => Self::None,
            1 => Self::NodeCreated,
            2 => Self::NodeDeleted,
            3 => Self::NodeDataChanged,
            4 => Self::NodeChildrenChanged,
            5 => Self::DataWatchRemoved,
            6 => Self::ChildWatchRemoved,
            7 => Self::PersistentWatchRemoved,
            _ => return None,
        })
    }
}

/// The state of the connection an event came over.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[repr(i32)]
#[allow(missing_docs, reason = "the names are ZooKeeper's own and are all there is to say")]
pub enum KeeperState {
    Expired = -112,
    Disconnected = 0,
    SyncConnected = 3,
    AuthFailed = 4,
    ConnectedReadOnly = 5,
    SaslAuthenticated = 6,
    Closed = 7,
}

impl KeeperState {
    fn from_wire(state: i32) -> Option<Self> {
        Some(match state {
            -112 => Self::Expired,
            0 => Self::Disconnected,
            3 => Self::SyncConnected,
            4 => Self::AuthFailed,
            5 => Self::ConnectedReadOnly,
            6 => Self::SaslAuthenticated,
            7 => Self::Closed,
            _ => return None,
        })
    }
}

/// One event.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct WatchEvent {
    /// What happened.
    pub kind: EventKind,
    /// The state of the connection.
    pub state: KeeperState,
    /// To which znode.
    pub path: Text,
}

impl WatchEvent {
    /// Reads an event.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] for an unknown kind or state, or a record that ends early.
    pub fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let (kind, state) = (reader.i32()?, reader.i32()?);
        Ok(Self {
            kind: EventKind::from_wire(kind)
                .ok_or(DecodeError::Kind { what: "event", got: kind.into() })?,
            state: KeeperState::from_wire(state)
                .ok_or(DecodeError::Kind { what: "keeper state", got: state.into() })?,
            path: reader.text()?,
        })
    }

    /// Appends the event.
    pub fn encode(&self, out: &mut impl Write) {
        out.put_i32(self.kind as i32);
        out.put_i32(self.state as i32);
        out.put_text(&self.path);
    }
}
