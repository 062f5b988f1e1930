//! Watches: what the client keeps of them, so that they are armed again on every new connection, and
//! what the caller holds.

pub(crate) mod mailbox;
mod registry;
mod watcher;

pub use self::{
    registry::Registry,
    watcher::{GapCause, Notice, Watcher},
};

/// Events that wait for a caller at most; one that is further behind finds a gap,
/// [`GapCause::Behind`].
pub const EVENTS_MAX: usize = 1024;

/// Names a watch of this client.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct WatchId(pub u64);

/// What is watched.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum WatchKind {
    /// Once: the znode's data or deletion.
    Data,
    /// Once: the znode's creation, or what [`Self::Data`] hears when it is there.
    Exist,
    /// Once: the list of children.
    Child,
    /// The znode and its list of children, until the session ends.
    Persistent,
    /// The znode and all below it, until the session ends.
    Recursive,
}

impl WatchKind {
    /// Every kind.
    pub const ALL: [Self; 5] =
        [Self::Data, Self::Exist, Self::Child, Self::Persistent, Self::Recursive];

    /// Returns whether one event is all that a watch of this kind gives.
    pub const fn is_one_shot(self) -> bool {
        matches!(self, Self::Data | Self::Exist | Self::Child)
    }
}

/// Which watches of a znode are removed; the numbers are those on the wire.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(i32)]
pub enum Watched {
    /// Those of its list of children.
    Children = 1,
    /// Those of its data and its existence.
    Data = 2,
    /// All.
    Any = 3,
}
