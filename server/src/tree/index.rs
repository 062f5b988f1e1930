//! The table that finds a child by its parent and name. It holds slot numbers alone; the keys are
//! in the znodes.

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::FixedState;
use hashbrown::HashTable;

/// The table is many small ones, so that none takes long when it has to grow: nobody waits for a
/// million znodes to be hashed anew.
const SHARDS: usize = 256;

/// Bit of a hash that picks a shard; the tables themselves use those above and below.
const SHARD_SHIFT: u32 = 40;

/// Slots by (parent, name).
#[derive(Debug)]
pub(super) struct Index {
    shards: Box<[HashTable<u32>]>,
    keys: Keys,
}

/// The table's hash, keyed so that nobody can choose names that collide.
#[derive(Clone, Debug)]
pub(super) struct Keys(FixedState);

impl Keys {
    pub(super) fn hash(&self, parent: u32, name: &[u8]) -> u64 {
        let mut hasher = self.0.build_hasher();
        hasher.write_u32(parent);
        hasher.write(name);
        hasher.finish()
    }
}

impl Index {
    pub(super) fn new(seed: u64) -> Self {
        let shards = (0..SHARDS).map(|_| HashTable::new()).collect();
        Self { shards, keys: Keys(FixedState::with_seed(seed)) }
    }

    pub(super) fn keys(&self) -> Keys {
        self.keys.clone()
    }

    pub(super) fn find(&self, hash: u64, is_it: impl FnMut(&u32) -> bool) -> Option<u32> {
        self.shards[shard(hash)].find(hash, is_it).copied()
    }

    /// Adds a slot that is not in it; `rehash` gives the hash of any slot that is.
    pub(super) fn insert(&mut self, hash: u64, slot: u32, rehash: impl Fn(&u32) -> u64) {
        self.shards[shard(hash)].insert_unique(hash, slot, rehash);
    }

    pub(super) fn remove(&mut self, hash: u64, slot: u32) {
        self.shards[shard(hash)]
            .find_entry(hash, |other| *other == slot)
            .expect("a linked slot is in the table")
            .remove();
    }

    /// Makes room for so many slots in an empty table.
    pub(super) fn reserve(&mut self, slots: usize) {
        for shard in &mut self.shards {
            assert!(shard.is_empty(), "there is nothing to be hashed anew");
            shard.reserve(slots / SHARDS, |_| 0);
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(HashTable::len).sum()
    }
}

const fn shard(hash: u64) -> usize {
    (hash >> SHARD_SHIFT) as usize % SHARDS
}
