//! A look at one znode.

use std::sync::Arc;

use conclave_protocol::{acl::Acl, stat::Stat, txn::Owner};

use super::{Tree, znode::Znode};

/// A look at one znode.
#[derive(Clone, Copy, Debug)]
pub struct Node<'t> {
    tree: &'t Tree,
    slot: u32,
    znode: &'t Znode,
}

impl<'t> Node<'t> {
    pub(super) fn new(tree: &'t Tree, slot: u32) -> Self {
        Self { tree, slot, znode: tree.arena.get(slot) }
    }

    /// Returns the data; null and empty are kept apart.
    pub fn data(&self) -> Option<&'t [u8]> {
        self.znode.data()
    }

    /// Returns who may do what.
    pub fn acl(&self) -> &'t [Acl] {
        self.tree.acls.get(self.znode.acl)
    }

    /// Returns who may do what, to be kept.
    pub fn shared_acl(&self) -> Arc<[Acl]> {
        self.tree.acls.get(self.znode.acl).clone()
    }

    /// Returns what keeps it.
    pub const fn owner(&self) -> Owner {
        self.znode.owner()
    }

    /// Returns the changes of the data.
    pub const fn version(&self) -> i32 {
        self.znode.version
    }

    /// Returns the changes of the ACL.
    pub const fn aversion(&self) -> i32 {
        self.znode.aversion
    }

    /// Returns the number of children ever created: the next sequence number.
    pub const fn created(&self) -> i32 {
        self.znode.created
    }

    /// Returns the number of children present.
    pub const fn child_count(&self) -> u32 {
        self.znode.child_count
    }

    /// Returns the length of the data, in bytes.
    pub fn data_len(&self) -> usize {
        self.data().map_or(0, <[u8]>::len)
    }

    /// Iterates over the children's names, in no order.
    pub fn children(&self) -> impl Iterator<Item = &'t str> {
        let tree = self.tree;
        tree.arena.children(self.slot).map(|child| tree.arena.get(child).name())
    }

    /// Returns the stat as clients see it.
    pub fn stat(&self) -> Stat {
        let znode = self.znode;
        let data_length = znode.data().map_or(0, <[u8]>::len);
        let num_children = znode.child_count as i32;
        Stat {
            czxid: znode.czxid,
            mzxid: znode.mzxid,
            ctime_ms: znode.ctime_ms,
            mtime_ms: znode.mtime_ms,
            version: znode.version,
            cversion: znode.created.wrapping_mul(2).wrapping_sub(num_children),
            aversion: znode.aversion,
            ephemeral_owner: match znode.owner() {
                Owner::Ephemeral(session) => session.0,
                Owner::Persistent | Owner::Container | Owner::Ttl(_) => 0,
            },
            data_length: i32::try_from(data_length).expect("data is bounded by a frame"),
            num_children,
            pzxid: znode.pzxid,
        }
    }
}
