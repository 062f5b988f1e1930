//! The slots of the tree, their links, and the table that finds a child by its name.

use std::hash::{BuildHasher, Hasher};

use conclave_protocol::{txn::Owner, zxid::Zxid};
use hashbrown::HashTable;

/// The root's slot.
pub(super) const ROOT: u32 = 0;

/// No slot: the end of a list, the parent of the root.
pub(super) const NO_SLOT: u32 = u32::MAX;

/// One znode and its links.
#[derive(Debug)]
pub(super) struct Znode {
    pub(super) name: Box<str>,
    pub(super) data: Option<Box<[u8]>>,
    pub(super) czxid: Zxid,
    pub(super) mzxid: Zxid,
    pub(super) pzxid: Zxid,
    pub(super) ctime_ms: i64,
    pub(super) mtime_ms: i64,
    pub(super) owner: Owner,
    pub(super) version: i32,
    pub(super) aversion: i32,
    /// Children ever created.
    pub(super) created: i32,
    pub(super) child_count: u32,
    /// Number of its list in the table of ACLs.
    pub(super) acl: u32,
    pub(super) parent: u32,
    pub(super) first_child: u32,
    pub(super) next: u32,
    pub(super) previous: u32,
}

impl Default for Znode {
    fn default() -> Self {
        Self {
            name: Box::default(),
            data: None,
            czxid: Zxid::ZERO,
            mzxid: Zxid::ZERO,
            pzxid: Zxid::ZERO,
            ctime_ms: 0,
            mtime_ms: 0,
            owner: Owner::Persistent,
            version: 0,
            aversion: 0,
            created: 0,
            child_count: 0,
            acl: 0,
            parent: NO_SLOT,
            first_child: NO_SLOT,
            next: NO_SLOT,
            previous: NO_SLOT,
        }
    }
}

/// Slots, free slots, and who is whose child.
#[derive(Debug)]
pub(super) struct Arena {
    slots: Vec<Option<Box<Znode>>>,
    free: Vec<u32>,
    /// While a walk is under way, freed slots wait here: a number means one znode for all of it.
    quarantine: Option<Vec<u32>>,
    by_name: HashTable<u32>,
    seed: u64,
}

impl Arena {
    pub(super) fn new(seed: u64) -> Self {
        let root = Znode { data: Some(Box::default()), ..Znode::default() };
        Self {
            slots: vec![Some(Box::new(root))],
            free: Vec::new(),
            quarantine: None,
            by_name: HashTable::new(),
            seed,
        }
    }

    pub(super) fn get(&self, slot: u32) -> &Znode {
        self.slots[slot as usize].as_deref().expect("a linked slot is taken")
    }

    pub(super) fn get_mut(&mut self, slot: u32) -> &mut Znode {
        self.slots[slot as usize].as_deref_mut().expect("a linked slot is taken")
    }

    pub(super) fn root_mut(&mut self) -> &mut Znode {
        self.get_mut(ROOT)
    }

    pub(super) fn try_get(&self, slot: u32) -> Option<&Znode> {
        self.slots.get(slot as usize)?.as_deref()
    }

    pub(super) fn slot_count(&self) -> u32 {
        u32::try_from(self.slots.len()).expect("slots are numbered by u32")
    }

    pub(super) fn count(&self) -> usize {
        self.by_name.len() + 1
    }

    /// Iterates over the taken slots.
    pub(super) fn slots(&self) -> impl Iterator<Item = u32> {
        (0..self.slot_count()).filter(|slot| self.slots[*slot as usize].is_some())
    }

    /// Resolves a path name by name.
    pub(super) fn find(&self, path: &str) -> Option<u32> {
        if path == "/" {
            return Some(ROOT);
        }
        path.strip_prefix('/')?.split('/').try_fold(ROOT, |slot, name| self.child(slot, name))
    }

    pub(super) fn child(&self, parent: u32, name: &str) -> Option<u32> {
        let is_it = |slot: &u32| {
            let znode = self.get(*slot);
            znode.parent == parent && &*znode.name == name
        };
        self.by_name.find(hash(self.seed, parent, name), is_it).copied()
    }

    pub(super) fn children(&self, parent: u32) -> impl Iterator<Item = u32> {
        let linked = |slot: u32| (slot != NO_SLOT).then_some(slot);
        let first = linked(self.get(parent).first_child);
        std::iter::successors(first, move |slot| linked(self.get(*slot).next))
    }

    pub(super) fn path(&self, slot: u32) -> String {
        if slot == ROOT {
            return "/".to_owned();
        }
        let mut names: Vec<&str> = Vec::new();
        let mut at = slot;
        while at != ROOT {
            let znode = self.get(at);
            names.push(&znode.name);
            at = znode.parent;
        }
        let len = names.iter().map(|name| name.len() + 1).sum();
        let mut path = String::with_capacity(len);
        for name in names.iter().rev() {
            path.push('/');
            path.push_str(name);
        }
        path
    }

    /// Puts a znode into a free slot below `parent`.
    pub(super) fn insert(&mut self, parent: u32, znode: Znode) -> u32 {
        // A walk under way must not meet a new znode in an old slot.
        let free = if self.quarantine.is_some() { None } else { self.free.pop() };
        let slot = free.unwrap_or_else(|| {
            let slot = self.slot_count();
            assert!(slot != NO_SLOT, "four billion znodes are more than memory holds");
            self.slots.push(None);
            slot
        });
        self.place(slot, parent, znode);
        slot
    }

    /// Puts a znode into this slot and links it below `parent`.
    pub(super) fn place(&mut self, slot: u32, parent: u32, mut znode: Znode) {
        znode.parent = parent;
        znode.next = self.get(parent).first_child;
        znode.previous = NO_SLOT;
        if znode.next != NO_SLOT {
            let next = znode.next;
            self.get_mut(next).previous = slot;
        }
        let key = hash(self.seed, parent, &znode.name);
        self.slots[slot as usize] = Some(Box::new(znode));
        let above = self.get_mut(parent);
        above.first_child = slot;
        above.child_count += 1;
        let (slots, seed) = (&self.slots, self.seed);
        self.by_name.insert_unique(key, slot, |slot| {
            let znode = slots[*slot as usize].as_deref().expect("a linked slot is taken");
            hash(seed, znode.parent, &znode.name)
        });
    }

    /// Takes a childless znode out, and returns its parent and what it was.
    pub(super) fn remove(&mut self, slot: u32) -> (u32, Znode) {
        let (parent, key) = {
            let znode = self.get(slot);
            assert!(znode.child_count == 0 && slot != ROOT, "only leaves are removed");
            (znode.parent, hash(self.seed, znode.parent, &znode.name))
        };
        self.by_name
            .find_entry(key, |other| *other == slot)
            .expect("a linked slot is in the table")
            .remove();
        let znode = *self.slots[slot as usize].take().expect("a linked slot is taken");
        if znode.previous == NO_SLOT {
            self.get_mut(parent).first_child = znode.next;
        } else {
            self.get_mut(znode.previous).next = znode.next;
        }
        if znode.next != NO_SLOT {
            self.get_mut(znode.next).previous = znode.previous;
        }
        self.get_mut(parent).child_count -= 1;
        self.quarantine.as_mut().unwrap_or(&mut self.free).push(slot);
        (parent, znode)
    }

    pub(super) fn begin_quarantine(&mut self) {
        assert!(self.quarantine.is_none(), "one walk at a time");
        self.quarantine = Some(Vec::new());
    }

    pub(super) fn end_quarantine(&mut self) {
        if let Some(freed) = self.quarantine.take() {
            self.free.extend(freed);
        }
    }

    /// Makes room for slots up to `count`, all free until placed; for loading.
    pub(super) fn grow(&mut self, count: u32) {
        if self.slots.len() < count as usize {
            self.slots.resize_with(count as usize, || None);
        }
    }

    /// Collects the slots that loading left empty.
    pub(super) fn collect_free(&mut self) {
        self.free = (0..self.slot_count())
            .rev()
            .filter(|slot| self.slots[*slot as usize].is_none())
            .collect();
    }

    pub(super) fn replace_root(&mut self, znode: Znode) {
        let root = self.get_mut(ROOT);
        let (first_child, child_count) = (root.first_child, root.child_count);
        *root = Znode { first_child, child_count, parent: NO_SLOT, ..znode };
    }
}

/// The table's hash, keyed so that nobody can choose names that collide.
fn hash(seed: u64, parent: u32, name: &str) -> u64 {
    let mut hasher = foldhash::fast::FixedState::with_seed(seed).build_hasher();
    hasher.write_u32(parent);
    hasher.write(name.as_bytes());
    hasher.finish()
}

/// A hash that is the same on every member and version: FNV-1a.
pub(super) fn fnv() -> impl Hasher {
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
    Fnv(0xcbf2_9ce4_8422_2325)
}
