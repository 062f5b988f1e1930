//! The znodes: a compact arena. A path is resolved name by name through one table keyed by (parent,
//! name) that stores nothing but slot numbers; children are a linked list through the slots.
//!
//! Everything here is idempotent, as a snapshot's tail replays txns over what they may have done
//! already: what cannot be done any more was undone by a later txn of the same tail, and is passed
//! over; counters only go up.

mod arena;
mod image;
mod list;
mod load;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use conclave_protocol::{
    acl::{Acl, Perms},
    ids::SessionId,
    path,
    stat::Stat,
    txn::{CreateChange, Owner},
    zxid::Zxid,
};

use self::{
    arena::{Arena, NO_SLOT, ROOT, Znode},
    list::AclTable,
};
pub use self::{
    image::Walk,
    load::{LoadTreeError, TreeLoader},
};

/// All znodes of a member.
#[derive(Debug)]
pub struct Tree {
    arena: Arena,
    acls: AclTable,
    ephemerals: BTreeMap<SessionId, BTreeSet<u32>>,
    /// Bytes of names and data.
    data_len_bytes: u64,
}

/// A look at one znode.
#[derive(Clone, Copy, Debug)]
pub struct Node<'t> {
    tree: &'t Tree,
    slot: u32,
    znode: &'t Znode,
}

/// What is left of a deleted znode: the list that decides who may hear of it.
#[derive(Debug)]
pub struct Deleted {
    /// Who could do what.
    pub acl: Vec<Acl>,
}

impl Tree {
    /// Returns the tree of a fresh ensemble: the root and the system's own znodes. `seed` keys the
    /// table, so that nobody can choose names that collide.
    pub fn new(seed: u64) -> Self {
        let mut tree = Self {
            arena: Arena::new(seed),
            acls: AclTable::default(),
            ephemerals: BTreeMap::new(),
            data_len_bytes: 0,
        };
        let open = tree.acls.intern(&[Acl::open()]);
        tree.arena.root_mut().acl = open;
        tree.plant("/zookeeper", &[Acl::open()], 0);
        tree.plant("/zookeeper/config", &[Acl::world(Perms::READ)], -1);
        tree.plant("/zookeeper/quota", &[Acl::open()], 0);
        tree
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
        Some(self.node_at(slot))
    }

    fn node_at(&self, slot: u32) -> Node<'_> {
        Node { tree: self, slot, znode: self.arena.get(slot) }
    }

    /// Returns the number of znodes, the system's own included.
    pub fn count(&self) -> usize {
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

    /// Iterates over the sessions that have ephemerals.
    pub fn ephemeral_owners(&self) -> impl Iterator<Item = SessionId> {
        self.ephemerals.keys().copied()
    }

    /// Adds a znode and returns its stat; `None` when its parent is gone.
    pub fn create(&mut self, zxid: Zxid, time_ms: i64, create: &CreateChange) -> Option<Stat> {
        let parent_path = path::parent(&create.path)?;
        let parent = self.arena.find(parent_path)?;
        let above = self.arena.get_mut(parent);
        above.created = above.created.max(create.parent_created);
        above.pzxid = above.pzxid.max(zxid);
        if let Some(slot) = self.arena.find(&create.path) {
            // Replayed over itself, or over a later one that the tail will bring about again.
            return Some(self.node_at(slot).stat());
        }
        let acl = self.acls.intern(&create.acl);
        let data = create.data.as_ref().map(|data| Box::from(&data[..]));
        self.data_len_bytes += len_bytes(path::name(&create.path), data.as_deref());
        let znode = Znode {
            name: path::name(&create.path).into(),
            data,
            czxid: zxid,
            mzxid: zxid,
            pzxid: zxid,
            ctime_ms: time_ms,
            mtime_ms: time_ms,
            owner: create.owner,
            acl,
            ..Znode::default()
        };
        let slot = self.arena.insert(parent, znode);
        self.note_owner(slot, create.owner);
        Some(self.node_at(slot).stat())
    }

    fn note_owner(&mut self, slot: u32, owner: Owner) {
        if let Owner::Ephemeral(session) = owner {
            self.ephemerals.entry(session).or_default().insert(slot);
        }
    }

    /// Removes a znode; `None` when it is gone already, or has children that a later txn removes.
    pub fn delete(&mut self, zxid: Zxid, path: &str) -> Option<Deleted> {
        let slot = self.arena.find(path)?;
        self.remove(zxid, slot)
    }

    fn remove(&mut self, zxid: Zxid, slot: u32) -> Option<Deleted> {
        if slot == ROOT || self.arena.get(slot).child_count > 0 {
            return None;
        }
        let (parent, znode) = self.arena.remove(slot);
        let above = self.arena.get_mut(parent);
        above.pzxid = above.pzxid.max(zxid);
        self.data_len_bytes -= len_bytes(&znode.name, znode.data.as_deref());
        if let Owner::Ephemeral(session) = znode.owner
            && let Some(slots) = self.ephemerals.get_mut(&session)
        {
            slots.remove(&slot);
            if slots.is_empty() {
                self.ephemerals.remove(&session);
            }
        }
        let acl = self.acls.get(znode.acl).to_vec();
        self.acls.release(znode.acl);
        Some(Deleted { acl })
    }

    /// Replaces a znode's data and returns its stat; `None` when it is gone.
    pub fn set_data(
        &mut self,
        zxid: Zxid,
        time_ms: i64,
        path: &str,
        data: Option<Bytes>,
        version: i32,
    ) -> Option<Stat> {
        let slot = self.arena.find(path)?;
        let znode = self.arena.get_mut(slot);
        let data: Option<Box<[u8]>> = data.map(|data| Box::from(&data[..]));
        self.data_len_bytes -= len_bytes("", znode.data.as_deref());
        self.data_len_bytes += len_bytes("", data.as_deref());
        znode.data = data;
        znode.version = version;
        znode.mzxid = zxid;
        znode.mtime_ms = time_ms;
        Some(self.node_at(slot).stat())
    }

    /// Replaces a znode's ACL and returns its stat; `None` when it is gone.
    pub fn set_acl(&mut self, path: &str, acl: &[Acl], aversion: i32) -> Option<Stat> {
        let slot = self.arena.find(path)?;
        let number = self.acls.intern(acl);
        let znode = self.arena.get_mut(slot);
        let before = std::mem::replace(&mut znode.acl, number);
        znode.aversion = aversion;
        self.acls.release(before);
        Some(self.node_at(slot).stat())
    }

    /// Removes a session's ephemerals, and returns their paths and lists in order of the paths.
    pub fn close_session(&mut self, zxid: Zxid, session: SessionId) -> Vec<(String, Vec<Acl>)> {
        let mut slots: Vec<(String, u32)> = self
            .ephemerals
            .get(&session)
            .into_iter()
            .flatten()
            .map(|slot| (self.arena.path(*slot), *slot))
            .collect();
        slots.sort_unstable();
        slots
            .into_iter()
            .filter_map(|(path, slot)| Some((path, self.remove(zxid, slot)?.acl)))
            .collect()
    }

    /// Returns a digest of all znodes that does not depend on how they came to be.
    pub fn digest(&self) -> u64 {
        let digest_of = |slot: u32| {
            let node = self.node_at(slot);
            let mut hasher = arena::fnv();
            use std::hash::{Hash, Hasher};
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

    /// Ends the walk that [`Walk::begin`] began.
    pub fn end_walk(&mut self) {
        self.arena.end_quarantine();
    }
}

impl<'t> Node<'t> {
    /// Returns the data; null and empty are kept apart.
    pub fn data(&self) -> Option<&'t [u8]> {
        self.znode.data.as_deref()
    }

    /// Returns who may do what.
    pub fn acl(&self) -> &'t [Acl] {
        self.tree.acls.get(self.znode.acl)
    }

    /// Returns what keeps it.
    pub const fn owner(&self) -> Owner {
        self.znode.owner
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

    /// Iterates over the children's names, in no order.
    pub fn children(&self) -> impl Iterator<Item = &'t str> {
        let tree = self.tree;
        tree.arena.children(self.slot).map(|child| &*tree.arena.get(child).name)
    }

    /// Returns the stat as clients see it.
    pub fn stat(&self) -> Stat {
        let znode = self.znode;
        let data_length = znode.data.as_ref().map_or(0, |data| data.len());
        let num_children = znode.child_count as i32;
        Stat {
            czxid: znode.czxid,
            mzxid: znode.mzxid,
            ctime_ms: znode.ctime_ms,
            mtime_ms: znode.mtime_ms,
            version: znode.version,
            cversion: znode.created.wrapping_mul(2).wrapping_sub(num_children),
            aversion: znode.aversion,
            ephemeral_owner: match znode.owner {
                Owner::Ephemeral(session) => session.0,
                Owner::Persistent | Owner::Container | Owner::Ttl(_) => 0,
            },
            data_length: i32::try_from(data_length).expect("data is bounded by a frame"),
            num_children,
            pzxid: znode.pzxid,
        }
    }
}

fn len_bytes(name: &str, data: Option<&[u8]>) -> u64 {
    (name.len() + data.map_or(0, <[u8]>::len)) as u64
}

const _: () = assert!(NO_SLOT != ROOT);
