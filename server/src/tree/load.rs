//! From a snapshot's records back to a tree. The records may come in any order; a znode whose
//! parent is not there was deleted while the walk went on, and is dropped.

use conclave_protocol::acl::Acl;
use conclave_snapshots::image::NodeRecord;
use thiserror::Error;

use super::{
    Tree,
    arena::{Arena, ROOT, Znode},
    len_bytes,
    list::AclTable,
};

/// A record's number may be so many times the records seen, and some: gaps are znodes that were
/// deleted, and a number beyond would only reserve memory.
const NUMBERS_PER_RECORD_MAX: u32 = 1024;

/// Slots that a small image may leave empty.
const NUMBERS_FREE_MAX: u32 = 1 << 22;

/// Why records make no tree.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum LoadTreeError {
    /// Two records have one number.
    #[error("two records have the number {0}")]
    Twice(u32),
    /// A number is out of all proportion to the records.
    #[error("record number {0} is absurd")]
    Number(u32),
    /// A record names an ACL that did not come before it.
    #[error("ACL {0} is unknown")]
    Acl(u32),
    /// No record is the root.
    #[error("there is no root")]
    NoRoot,
    /// Two children of one znode have one name.
    #[error("two children of {parent} have the same name")]
    Name {
        /// The parent's number.
        parent: u32,
    },
}

/// Gathers records.
#[derive(Debug)]
pub struct TreeLoader {
    seed: u64,
    lists: Vec<Vec<Acl>>,
    nodes: Vec<NodeRecord>,
}

impl TreeLoader {
    /// Starts with nothing; `seed` keys the tree's table.
    pub const fn new(seed: u64) -> Self {
        Self { seed, lists: Vec::new(), nodes: Vec::new() }
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
        self.lists.push(list);
        Ok(())
    }

    /// Takes a znode.
    ///
    /// # Errors
    ///
    /// [`LoadTreeError::Acl`] when its list is unknown.
    pub fn node(&mut self, node: NodeRecord) -> Result<(), LoadTreeError> {
        if node.acl as usize >= self.lists.len() {
            return Err(LoadTreeError::Acl(node.acl));
        }
        self.nodes.push(node);
        Ok(())
    }

    /// Links everything that the root reaches.
    ///
    /// # Errors
    ///
    /// [`LoadTreeError`] says what is wrong with the records.
    pub fn finish(self) -> Result<Tree, LoadTreeError> {
        let Self { seed, lists, nodes } = self;
        let count = u32::try_from(nodes.len()).unwrap_or(u32::MAX);
        let number_max = count.saturating_mul(NUMBERS_PER_RECORD_MAX).max(NUMBERS_FREE_MAX);
        let slots = match nodes.iter().map(|node| node.number).max() {
            Some(last) if last <= number_max => last + 1,
            Some(last) => return Err(LoadTreeError::Number(last)),
            None => return Err(LoadTreeError::NoRoot),
        };
        let mut links = Links::new(slots);
        let mut records: Vec<Option<NodeRecord>> = Vec::new();
        records.resize_with(slots as usize, || None);
        for node in nodes {
            let number = node.number;
            links.add(number, node.parent);
            if records[number as usize].replace(node).is_some() {
                return Err(LoadTreeError::Twice(number));
            }
        }
        let mut tree = Tree {
            arena: Arena::new(seed),
            acls: AclTable::default(),
            ephemerals: Default::default(),
            data_len_bytes: 0,
        };
        tree.arena.grow(slots);
        let root = records[ROOT as usize].take().ok_or(LoadTreeError::NoRoot)?;
        let znode = tree.znode(root, &lists);
        tree.arena.replace_root(znode);

        // Parents first, so that whatever the root does not reach is never placed.
        let mut open = vec![ROOT];
        while let Some(parent) = open.pop() {
            for number in links.children(parent) {
                let Some(record) = records[number as usize].take() else { continue };
                if tree.arena.child(parent, &record.name).is_some() {
                    return Err(LoadTreeError::Name { parent });
                }
                let owner = record.owner;
                let znode = tree.znode(record, &lists);
                tree.data_len_bytes += len_bytes(&znode.name, znode.data.as_deref());
                tree.arena.place(number, parent, znode);
                tree.note_owner(number, owner);
                open.push(number);
            }
        }
        tree.arena.collect_free();
        Ok(tree)
    }
}

impl Tree {
    fn znode(&mut self, record: NodeRecord, lists: &[Vec<Acl>]) -> Znode {
        Znode {
            name: record.name.into(),
            data: record.data.map(|data| Box::from(&data[..])),
            czxid: record.czxid,
            mzxid: record.mzxid,
            pzxid: record.pzxid,
            ctime_ms: record.ctime_ms,
            mtime_ms: record.mtime_ms,
            owner: record.owner,
            version: record.version,
            aversion: record.aversion,
            created: record.created,
            acl: self.acls.intern(&lists[record.acl as usize]),
            ..Znode::default()
        }
    }
}

/// Who says it is whose child: lists through two tables, without a vector for each znode.
struct Links {
    first: Vec<u32>,
    next: Vec<u32>,
}

const NONE: u32 = u32::MAX;

impl Links {
    fn new(slots: u32) -> Self {
        Self { first: vec![NONE; slots as usize], next: vec![NONE; slots as usize] }
    }

    fn add(&mut self, number: u32, parent: u32) {
        if number == ROOT || parent as usize >= self.first.len() {
            return;
        }
        self.next[number as usize] = self.first[parent as usize];
        self.first[parent as usize] = number;
    }

    fn children(&self, parent: u32) -> impl Iterator<Item = u32> {
        let linked = |number: u32| (number != NONE).then_some(number);
        let first = linked(self.first[parent as usize]);
        std::iter::successors(first, move |number| linked(self.next[*number as usize]))
    }
}
