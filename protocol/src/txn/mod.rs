//! The resolved, idempotent changes that are logged and broadcast. The byte layout is in
//! `snapshots/FORMAT.md`; a change of it needs a new version there.

mod codec;

use alloc::{string::String, vec::Vec};

use bytes::Bytes;

use crate::{
    acl::Acl,
    code::ErrorCode,
    ids::{Password, ServerId, SessionId, Xid},
    quota::Usage,
    zxid::Zxid,
};

/// A position of the log and the encoded [`Txn`] at it. The engine, the log and the wire move the
/// bytes as they are; only prepare encodes and only apply decodes.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Entry {
    /// Position in the total order.
    pub zxid: Zxid,
    /// The encoded txn.
    pub txn: Bytes,
}

/// Which waiting request a txn answers: the member that took it and that member's own count.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Origin {
    /// The member whose client asked.
    pub server: ServerId,
    /// That member's number of the request, never used twice by it; 0 when no client waits.
    pub seq: u64,
}

/// One txn: who asked, when, and what changes.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Txn {
    /// Where the answer goes.
    pub origin: Origin,
    /// The session that asked, or that is opened, attached or closed.
    pub session: SessionId,
    /// The client's number of the request.
    pub xid: Xid,
    /// Leader's wall clock when it was prepared, ms since 1970.
    pub time_ms: i64,
    /// What changes.
    pub change: Change,
    /// What quotas count after the change, where it is another number than before.
    pub usage: Vec<QuotaUsage>,
}

/// What the stats of a quota say from now on.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct QuotaUsage {
    /// The znode that the quota is on.
    pub covered: String,
    /// What there is of it and below.
    pub usage: Usage,
}

/// What a txn changes. All values are absolute, so that applying one twice is applying it once.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Change {
    /// Nothing: the request was refused.
    Error(ErrorCode),
    /// Nothing: the operation at `failed_op` of a multi was refused.
    MultiError {
        /// Index of the first operation that failed.
        failed_op: u32,
        /// Why it failed.
        code: ErrorCode,
    },
    /// A session begins, owned by the member of the origin.
    CreateSession {
        /// Timeout granted, in milliseconds.
        timeout_ms: u32,
        /// Proof for a later attach.
        password: Password,
    },
    /// A session moves to the member of the origin, its timeout negotiated anew.
    AttachSession {
        /// Timeout granted, in milliseconds.
        timeout_ms: u32,
    },
    /// A session ends, and its ephemerals with it.
    CloseSession,
    /// A znode appears.
    Create(CreateChange),
    /// A znode goes.
    Delete {
        /// Which.
        path: String,
    },
    /// A znode's data is replaced.
    SetData {
        /// Which.
        path: String,
        /// The new data; null and empty are kept apart.
        data: Option<Bytes>,
        /// The version after the change.
        version: i32,
    },
    /// A znode's ACL is replaced.
    SetAcl {
        /// Which.
        path: String,
        /// The new list.
        acl: Vec<Acl>,
        /// The aversion after the change.
        aversion: i32,
    },
    /// Nothing: a check that held. Its place in a multi has a result of its own.
    Check {
        /// Which znode was checked.
        path: String,
    },
    /// All of several changes, none of them a [`Self::Multi`], at one zxid.
    Multi(Vec<Self>),
}

/// The creation of a znode.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct CreateChange {
    /// The final path, sequence number included.
    pub path: String,
    /// Data; null and empty are kept apart.
    pub data: Option<Bytes>,
    /// Who may do what with it.
    pub acl: Vec<Acl>,
    /// What kind of znode.
    pub owner: Owner,
    /// Children ever created under the parent, this one included: its next sequence number.
    pub parent_created: i32,
}

/// What keeps a znode: nothing, a session, its children, or time.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Owner {
    /// Stays until it is deleted.
    #[default]
    Persistent,
    /// Goes with its session.
    Ephemeral(SessionId),
    /// Goes some time after its last child.
    Container,
    /// Goes when childless and unchanged for so many milliseconds (1 to 2^40 - 1).
    Ttl(u64),
}
