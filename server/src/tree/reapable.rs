//! A znode that goes by itself, as the search for those whose time has come sees it.

use conclave_protocol::txn::Owner;

use super::Tree;

/// A container or TTL znode.
#[derive(Clone, Copy, Debug)]
pub struct Reapable<'t> {
    tree: &'t Tree,
    slot: u32,
    /// Which of them, and how long it stays.
    pub owner: Owner,
    /// Children present.
    pub child_count: u32,
    /// Children ever created.
    pub created: i32,
    /// Time of the last data change, ms since 1970.
    pub mtime_ms: i64,
}

impl<'t> Reapable<'t> {
    pub(super) fn new(tree: &'t Tree, slot: u32) -> Self {
        let znode = tree.arena.get(slot);
        Self {
            tree,
            slot,
            owner: znode.owner(),
            child_count: znode.child_count,
            created: znode.created,
            mtime_ms: znode.mtime_ms,
        }
    }

    /// Returns its path.
    pub fn path(&self) -> String {
        self.tree.arena.path(self.slot)
    }
}

impl Tree {
    /// Returns a container or TTL znode; `None` when there is no such at `path`.
    pub fn find_reapable(&self, path: &str) -> Option<Reapable<'_>> {
        let slot = self.arena.find(path)?;
        self.reapable.contains(&slot).then(|| Reapable::new(self, slot))
    }
}
