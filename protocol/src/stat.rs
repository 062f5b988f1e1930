//! What the service tells about a znode besides its data.

use crate::zxid::Zxid;

/// The eleven fields of a znode's Stat, in wire order (68 bytes).
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Stat {
    /// Zxid of the txn that created the znode.
    pub czxid: Zxid,
    /// Zxid of the txn that last changed its data.
    pub mzxid: Zxid,
    /// Creation time, ms since 1970.
    pub ctime_ms: i64,
    /// Time of the last data change, ms since 1970.
    pub mtime_ms: i64,
    /// Changes of the data.
    pub version: i32,
    /// Changes of the list of children: `2 * created - present` as clients see it.
    pub cversion: i32,
    /// Changes of the ACL.
    pub aversion: i32,
    /// Session of an ephemeral znode, otherwise 0.
    pub ephemeral_owner: i64,
    /// Length of the data in bytes; 0 for null data.
    pub data_length: i32,
    /// Children now.
    pub num_children: i32,
    /// Zxid of the txn that last added or removed a child.
    pub pzxid: Zxid,
}
