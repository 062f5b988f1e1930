//! The znodes: a compact arena. A path is resolved name by name through one table keyed by (parent,
//! name) that stores nothing but slot numbers; children are a linked list through the slots.
//!
//! `znode` is one slot, `arena` the slots and their links, `index` the table, `list` the ACLs;
//! `node` is how a znode is read, `change` how txns change it, `image` and `load` are the way to a
//! snapshot and back. `reapable` and `quota` are what is kept of znodes that go by themselves, and of
//! those that limit others.

mod arena;
mod change;
mod image;
mod index;
mod list;
mod load;
mod node;
mod quota;
mod reapable;
mod znode;

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{Hash, Hasher},
};

use bytes::Bytes;
use conclave_protocol::{
    acl::{Acl, Perms},
    ids::SessionId,
    txn::{CreateChange, Owner},
    zxid::Zxid,
};

use self::{
    arena::{Arena, ROOT},
    list::AclTable,
    quota::Quotas,
    znode::Znode,
};
pub use self::{
    change::Deleted,
    image::Walk,
    load::{LoadTreeError, TreeLoader},
    node::Node,
    quota::Quota,
    reapable::Reapable,
};

/// All znodes of a member.
#[derive(Debug)]
pub struct Tree {
    arena: Arena,
    acls: AclTable,
    ephemerals: BTreeMap<SessionId, BTreeSet<u32>>,
    /// Containers and TTL znodes: so that looking for those whose time has come is no walk.
    reapable: BTreeSet<u32>,
    quotas: Quotas,
    /// Bytes of names and data.
    data_len_bytes: u64,
}

impl Tree {
    /// Returns the tree of a fresh ensemble: the root and the system's own znodes. `seed` keys the
    /// table, so that nobody can choose names that collide.
    pub fn new(seed: u64) -> Self {
        let mut tree = Self::with_root(seed, Znode::new("", Some(b""), Owner::Persistent));
        tree.arena.get_mut(ROOT).acl = tree.acls.intern(&[Acl::open()]);
        tree.plant("/zookeeper", &[Acl::open()], 0);
        tree.plant("/zookeeper/config", &[Acl::world(Perms::READ)], -1);
        tree.plant("/zookeeper/quota", &[Acl::open()], 0);
        tree
    }

    /// Returns a tree of a root that has no list yet.
    fn with_root(seed: u64, root: Znode) -> Self {
        Self {
            arena: Arena::new(seed, root),
            acls: AclTable::default(),
            ephemerals: BTreeMap::new(),
            reapable: BTreeSet::new(),
            quotas: Quotas::new(),
            data_len_bytes: 0,
        }
    }

    /// Adds a znode that was there before the first txn: its parent does not count it as created.
    fn plant(&mut self, path: &str, acl: &[Acl], aversion: i32) {
        let create = CreateChange {
            path: path.to_owned(),
            data: Some(Bytes::new()),
            acl: acl.to_vec(),
            owner: Owner::Persistent,
            parent_created: 0,
        };
        self.create(Zxid::ZERO, 0, &create).expect("the parent was planted before");
        let slot = self.arena.find(path).expect("planted just now");
        self.arena.get_mut(slot).aversion = aversion;
    }

    /// Returns a znode.
    pub fn node(&self, path: &str) -> Option<Node<'_>> {
        let slot = self.arena.find(path)?;
        Some(Node::new(self, slot))
    }

    /// Returns the number of znodes, the system's own included.
    pub const fn count(&self) -> usize {
        self.arena.count()
    }

    /// Returns the number of ephemeral znodes.
    pub fn ephemeral_count(&self) -> usize {
        self.ephemerals.values().map(BTreeSet::len).sum()
    }

    /// Returns the bytes of names and data, about.
    pub const fn data_len_bytes(&self) -> u64 {
        self.data_len_bytes
    }

    /// Returns the number of znodes below `path`, or `None` when there is none at it.
    pub fn count_descendants(&self, path: &str) -> Option<usize> {
        let top = self.arena.find(path)?;
        if top == ROOT {
            return Some(self.count() - 1);
        }
        let mut count = 0;
        let mut open = vec![top];
        while let Some(slot) = open.pop() {
            for child in self.arena.children(slot) {
                count += 1;
                open.push(child);
            }
        }
        Some(count)
    }

    /// Returns the paths of a session's ephemerals, in order.
    pub fn ephemerals(&self, session: SessionId) -> impl Iterator<Item = String> {
        let slots = self.ephemerals.get(&session).into_iter().flatten();
        let mut paths: Vec<String> = slots.map(|slot| self.arena.path(*slot)).collect();
        paths.sort_unstable();
        paths.into_iter()
    }

    /// Iterates over the containers and TTL znodes.
    pub fn reapable(&self) -> impl Iterator<Item = Reapable<'_>> {
        self.reapable.iter().map(|slot| Reapable::new(self, *slot))
    }

    /// Iterates over the sessions that have ephemerals.
    pub fn ephemeral_owners(&self) -> impl Iterator<Item = SessionId> {
        self.ephemerals.keys().copied()
    }

    /// Returns a digest of all znodes that does not depend on how they came to be.
    pub fn digest(&self) -> u64 {
        let digest_of = |slot: u32| {
            let node = Node::new(self, slot);
            let mut hasher = Fnv(0xcbf2_9ce4_8422_2325);
            self.arena.path(slot).hash(&mut hasher);
            node.data().hash(&mut hasher);
            node.acl().hash(&mut hasher);
            node.stat().hash(&mut hasher);
            node.owner().hash(&mut hasher);
            node.created().hash(&mut hasher);
            hasher.finish()
        };
        self.arena.slots().map(digest_of).fold(0, u64::wrapping_add)
    }
}

/// A hash that is the same on every member and version: FNV-1a.
struct Fnv(u64);

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
impl Tree {
    /// Panics unless what is kept twice agrees.
    pub(crate) fn check(&self) {
        self.arena.check();
        let mut uses: BTreeMap<u32, u32> = BTreeMap::new();
        let (mut owned, mut len_bytes) = (BTreeMap::<SessionId, BTreeSet<u32>>::new(), 0);
        let mut reapable = BTreeSet::new();
        for slot in 0..self.arena.slot_count() {
            let znode = self.arena.get(slot);
            if znode.place() != znode::Place::Vacant {
                *uses.entry(znode.acl).or_default() += 1;
            }
            if znode.place() == znode::Place::Taken {
                len_bytes += znode.len_bytes();
                match znode.owner() {
                    Owner::Persistent => {}
                    Owner::Ephemeral(session) => {
                        owned.entry(session).or_default().insert(slot);
                    }
                    Owner::Container | Owner::Ttl(_) => {
                        reapable.insert(slot);
                    }
                }
            }
        }
        assert!(self.acls.uses().eq(uses), "lists are used as often as counted");
        assert_eq!((&self.ephemerals, self.data_len_bytes), (&owned, len_bytes));
        assert_eq!(self.reapable, reapable);
        self.check_quotas();
    }
}
