//! Who waits for which change. A watch belongs to a connection and goes with it.
//!
//! A znode has two sides: its data side hears of the znode itself, its child side of its list of
//! children. On each side of a path a connection has at most one watch, as in ZooKeeper: a later
//! registration replaces the mode of the earlier one.
//!
//! `shard` is a part of the table, `slab` the numbered places in it. A znode's events precede those
//! of its parent's list; which of them may be told, by the ACLs, is for the caller to decide.

mod shard;
mod slab;

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeSet,
    hash::BuildHasher,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use conclave_protocol::{event::EventKind, path};
use foldhash::fast::RandomState;
use parking_lot::{Mutex, MutexGuard};

use self::shard::{Mode, Modes, Shard};

/// A client's connection; never used twice by a running member.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ConnId(pub u64);

/// What a client asks to be told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum WatchKind {
    /// Once, of the znode's creation, change or deletion.
    Data,
    /// Once, of a change of the list of children, or the znode's deletion.
    Child,
    /// Both of these, until it is removed.
    Persistent,
    /// Of creation, change and deletion of the znode and all below it, until it is removed.
    PersistentRecursive,
}

impl WatchKind {
    /// Returns what it sets on which side.
    const fn modes(self) -> Modes {
        match self {
            Self::Data => Modes { data: Some(Mode::Once), child: None },
            Self::Child => Modes { data: None, child: Some(Mode::Once) },
            Self::Persistent => {
                Modes { data: Some(Mode::Persistent), child: Some(Mode::Persistent) }
            }
            Self::PersistentRecursive => {
                Modes { data: Some(Mode::Recursive), child: Some(Mode::Recursive) }
            }
        }
    }
}

/// Which watches of a path are meant.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Side {
    /// Those of the list of children.
    Child,
    /// Those of the znode.
    Data,
    /// Both.
    Any,
}

/// One event for one connection.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fired {
    /// Whom to tell.
    pub conn: ConnId,
    /// What happened.
    pub kind: EventKind,
    /// To which znode.
    pub path: String,
}

/// All watches of a member, spread over shards by their path.
///
/// A shard's lock is held for a few lookups, by readers that arm and by the owner that fires. It is
/// taken after the state's guard, one at a time, and nothing is taken after it.
#[derive(Debug)]
pub struct Watches {
    shards: Box<[Mutex<Shard>]>,
    hasher: RandomState,
    /// Sides with a recursive watch: without any, the ancestors need no look.
    recursive: Arc<AtomicUsize>,
}

/// Parts of the table: more than threads that arm at once.
const SHARDS: usize = 32;

/// Bit of a path's hash that picks a shard; the tables themselves use those above and below.
const SHARD_SHIFT: u32 = 40;

impl Default for Watches {
    fn default() -> Self {
        let (hasher, recursive) = (RandomState::default(), Arc::<AtomicUsize>::default());
        let shard = |_| Mutex::new(Shard::new(hasher.clone(), recursive.clone()));
        Self { shards: (0..SHARDS).map(shard).collect(), hasher: hasher.clone(), recursive }
    }
}

impl Watches {
    /// Arms a watch.
    pub fn arm(&self, conn: ConnId, path: &str, kind: WatchKind) {
        let (mut shard, hash) = self.shard(path);
        shard.arm(hash, conn, path, kind.modes());
    }

    /// Removes a connection's watches of a path; returns whether there was one.
    pub fn disarm(&self, conn: ConnId, path: &str, side: Side) -> bool {
        let (mut shard, hash) = self.shard(path);
        shard.disarm(hash, conn, path, side)
    }

    /// Returns whether any connection watches a path.
    pub fn is_watched(&self, path: &str, side: Side) -> bool {
        let (shard, hash) = self.shard(path);
        shard.is_watched(hash, path, side)
    }

    /// Removes all watches of a connection.
    pub fn drop_connection(&self, conn: ConnId) {
        for shard in &self.shards {
            shard.lock().drop_connection(conn);
        }
    }

    /// Returns who is to be told of a creation, in order.
    pub fn created(&self, path: &str) -> Vec<Fired> {
        let mut fired = self.fire(path, Side::Data, EventKind::NodeCreated);
        fired.extend(self.fire_parent(path));
        fired
    }

    /// Returns who is to be told of a deletion, in order: once, who watches both sides.
    pub fn deleted(&self, path: &str) -> Vec<Fired> {
        let mut fired = self.fire(path, Side::Any, EventKind::NodeDeleted);
        fired.extend(self.fire_parent(path));
        fired
    }

    /// Returns who is to be told of a change of data, in order.
    pub fn data_changed(&self, path: &str) -> Vec<Fired> {
        self.fire(path, Side::Data, EventKind::NodeDataChanged)
    }

    /// Returns connections that watch, paths watched, and watches in all.
    pub fn summary(&self) -> (usize, usize, usize) {
        let mut connections = BTreeSet::new();
        let (mut paths, mut count) = (0, 0);
        for shard in &self.shards {
            let shard = shard.lock();
            connections.extend(shard.connections());
            paths += shard.path_count();
            count += shard.count();
        }
        (connections.len(), paths, count)
    }

    /// Returns the watches in all: one for each side.
    pub fn count(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().count()).sum()
    }

    /// Returns which connection watches which path, in order.
    pub fn listing(&self) -> Vec<(ConnId, String)> {
        let mut pairs = Vec::new();
        for shard in &self.shards {
            let shard = shard.lock();
            pairs.extend(shard.pairs().map(|(conn, path)| (conn, path.to_owned())));
        }
        pairs.sort_unstable();
        pairs
    }

    fn shard(&self, path: &str) -> (MutexGuard<'_, Shard>, u64) {
        let hash = self.hasher.hash_one(path);
        let at = (hash >> SHARD_SHIFT) as usize % self.shards.len();
        (self.shards[at].lock(), hash)
    }

    fn fire_parent(&self, path: &str) -> Vec<Fired> {
        let Some(parent) = path::parent(path) else { return Vec::new() };
        self.fire(parent, Side::Child, EventKind::NodeChildrenChanged)
    }

    /// Tells the sides of `path`, and the recursive watches above it; each connection once. Takes
    /// away the watches that are for once.
    fn fire(&self, path: &str, side: Side, kind: EventKind) -> Vec<Fired> {
        let mut told = Vec::new();
        let (mut shard, hash) = self.shard(path);
        if kind == EventKind::NodeChildrenChanged {
            shard.fire_list(hash, path, &mut told);
            drop(shard);
        } else {
            shard.fire(hash, path, side, &mut told);
            drop(shard);
            // Armed under the state's guard, which the caller holds exclusively: no count is missed.
            let is_any_recursive = self.recursive.load(Ordering::Relaxed) > 0;
            let mut above = path::parent(path).filter(|_| is_any_recursive);
            while let Some(ancestor) = above {
                let (shard, hash) = self.shard(ancestor);
                shard.recursive(hash, ancestor, side, &mut told);
                above = path::parent(ancestor);
            }
        }
        told.sort_unstable();
        told.dedup();
        told.into_iter().map(|conn| Fired { conn, kind, path: path.to_owned() }).collect()
    }
}
