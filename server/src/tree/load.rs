//! From a snapshot's records back to a tree. Znodes may come in any order, each after its list.
//! Whatever is wrong with the records is an error: nothing is guessed or left out.

use std::collections::HashMap;

use conclave_protocol::{acl::Acl, quota::LIMITS_NAME, txn::Owner};
use conclave_snapshots::image::NodeRecord;
use thiserror::Error;

use super::{
    Tree,
    arena::{NO_SLOT, ROOT},
    znode::Znode,
};

/// Why records make no tree.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum LoadTreeError {
    /// Two records have one number.
    #[error("two records have the number {0}")]
    Twice(u32),
    /// A list is out of order, or a znode names one that did not come before it.
    #[error("ACL {0} is unknown")]
    Acl(u32),
    /// A znode below the root has an empty name, or one with a slash.
    #[error("record {0} has a name that no path can hold")]
    NoName(u32),
    /// No record is the root.
    #[error("there is no root")]
    NoRoot,
    /// The root goes with a session.
    #[error("the root is ephemeral")]
    EphemeralRoot,
    /// A parent is not among the records.
    #[error("no record has the number {0}, which a child names as its parent")]
    NoParent(u32),
    /// Two children of one znode have one name.
    #[error("two children of {parent} have the same name")]
    Name {
        /// The parent's number.
        parent: u32,
    },
    /// Some znodes are each other's ancestors.
    #[error("{0} records are not below the root")]
    Cycle(usize),
}

/// Gathers records.
#[derive(Debug)]
pub struct TreeLoader {
    /// Znodes are in their slots, with the number of their parent in place of its slot.
    tree: Tree,
    /// Lists by their number in the image, each held once for as long as the loader needs it.
    lists: Vec<u32>,
    slots: Numbers,
}

impl TreeLoader {
    /// Starts with nothing; `seed` keys the tree's table.
    pub fn new(seed: u64) -> Self {
        let root = Znode::new("", None, Owner::Persistent);
        Self { tree: Tree::with_root(seed, root), lists: Vec::new(), slots: Numbers::default() }
    }

    /// Takes a list; lists are numbered from 0 in the order they come.
    ///
    /// # Errors
    ///
    /// [`LoadTreeError::Acl`] when it is out of order.
    pub fn acl(&mut self, number: u32, list: Vec<Acl>) -> Result<(), LoadTreeError> {
        if number as usize != self.lists.len() {
            return Err(LoadTreeError::Acl(number));
        }
        self.lists.push(self.tree.acls.intern(&list));
        Ok(())
    }

    /// Takes a znode.
    ///
    /// # Errors
    ///
    /// [`LoadTreeError`] when its list is unknown, its number taken, or its name impossible.
    pub fn node(&mut self, node: NodeRecord) -> Result<(), LoadTreeError> {
        let list = *self.lists.get(node.acl as usize).ok_or(LoadTreeError::Acl(node.acl))?;
        let is_root = node.number == ROOT;
        if !is_root && (node.name.is_empty() || node.name.contains('/')) {
            return Err(LoadTreeError::NoName(node.number));
        }
        let slot = if is_root { ROOT } else { self.tree.arena.slot_count() };
        if !self.slots.set(node.number, slot) {
            return Err(LoadTreeError::Twice(node.number));
        }
        self.tree.acls.retain(list);
        let name = if is_root { "" } else { &*node.name };
        let mut znode = Znode::new(name, node.data.as_deref(), node.owner);
        znode.czxid = node.czxid;
        znode.mzxid = node.mzxid;
        znode.pzxid = node.pzxid;
        znode.ctime_ms = node.ctime_ms;
        znode.mtime_ms = node.mtime_ms;
        znode.version = node.version;
        znode.aversion = node.aversion;
        znode.created = node.created;
        znode.acl = list;
        znode.parent = if is_root { NO_SLOT } else { node.parent };
        self.tree.data_len_bytes += znode.len_bytes();
        if is_root {
            *self.tree.arena.get_mut(ROOT) = znode;
        } else {
            self.tree.arena.push(znode);
        }
        Ok(())
    }

    /// Links all znodes.
    ///
    /// # Errors
    ///
    /// [`LoadTreeError`] says what is wrong with the records.
    pub fn finish(self) -> Result<Tree, LoadTreeError> {
        let Self { mut tree, lists, slots } = self;
        slots.find(ROOT).ok_or(LoadTreeError::NoRoot)?;
        if matches!(tree.arena.get(ROOT).owner(), Owner::Ephemeral(_)) {
            return Err(LoadTreeError::EphemeralRoot);
        }
        let slot_count = tree.arena.slot_count();
        tree.arena.reserve(slot_count as usize);
        let mut parents_came_first = true;
        // Looked at again when all are linked: their paths tell whether they are limits.
        let mut limits = Vec::new();
        for slot in ROOT + 1..slot_count {
            let znode = tree.arena.get(slot);
            let (owner, number) = (znode.owner(), znode.parent);
            let is_limits = znode.name_bytes() == LIMITS_NAME.as_bytes();
            let parent = slots.find(number).ok_or(LoadTreeError::NoParent(number))?;
            if tree.arena.child(parent, znode.name()).is_some() {
                return Err(LoadTreeError::Name { parent: number });
            }
            tree.arena.link(slot, parent);
            tree.note_owner(slot, owner);
            parents_came_first &= parent < slot;
            if is_limits {
                limits.push(slot);
            }
        }
        // Where slots only go down on the way up, every way ends at the root: no need to look.
        if !parents_came_first {
            match tree.count() - tree.count_reachable() {
                0 => {}
                lost => return Err(LoadTreeError::Cycle(lost)),
            }
        }
        for slot in limits {
            let path = tree.arena.path(slot);
            tree.note_quota(&path);
        }
        for list in lists {
            tree.acls.release(list);
        }
        Ok(tree)
    }
}

impl Tree {
    /// Counts the znodes that the root leads to; none can be met twice, as each is in one list.
    fn count_reachable(&self) -> usize {
        let (mut count, mut open) = (0, vec![ROOT]);
        while let Some(slot) = open.pop() {
            count += 1;
            open.extend(self.arena.children(slot));
        }
        count
    }
}

/// Slots by the numbers of records. Numbers have gaps, where znodes were deleted: a tree that was
/// large and is small now has few numbers far apart, so room is made by the page.
#[derive(Debug, Default)]
struct Numbers(HashMap<u32, Box<[u32; PAGE_LEN]>>);

/// Numbers of a page: at most so much is reserved for one record, four bytes each.
const PAGE_LEN: usize = 256;

impl Numbers {
    /// Notes the slot of a number; returns false when it has one.
    fn set(&mut self, number: u32, slot: u32) -> bool {
        let (page, at) = place(number);
        let page = self.0.entry(page).or_insert_with(|| Box::new([NO_SLOT; PAGE_LEN]));
        let is_free = page[at] == NO_SLOT;
        if is_free {
            page[at] = slot;
        }
        is_free
    }

    fn find(&self, number: u32) -> Option<u32> {
        let (page, at) = place(number);
        self.0.get(&page).map(|page| page[at]).filter(|slot| *slot != NO_SLOT)
    }
}

const fn place(number: u32) -> (u32, usize) {
    (number / PAGE_LEN as u32, number as usize % PAGE_LEN)
}
