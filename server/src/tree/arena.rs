//! The slots of the tree and their links: children are a list through the slots.

use super::{
    index::Index,
    znode::{Place, Znode},
};

/// The root's slot.
pub(super) const ROOT: u32 = 0;

/// No slot: the end of a list, the parent of the root.
pub(super) const NO_SLOT: u32 = u32::MAX;

/// Slots are allocated by so many at once: a tree that grows is never copied.
const CHUNK_SLOTS: usize = 1024;

/// Slots, free slots, and who is whose child.
#[derive(Debug)]
pub(super) struct Arena {
    chunks: Vec<Vec<Znode>>,
    free: Vec<u32>,
    /// Znodes in the tree.
    count: usize,
    walk: Option<Quarantine>,
    index: Index,
}

/// What a walk under way keeps from changing.
#[derive(Debug)]
struct Quarantine {
    /// Slots below are walked: they keep what they hold, and free ones stay free.
    bound: u32,
    /// Slots below the bound whose znodes were deleted.
    ghosts: Vec<u32>,
    /// Free slots from the bound up, which the walk never sees.
    free: Vec<u32>,
}

impl Arena {
    /// Returns an arena that holds a root and nothing else.
    pub(super) fn new(seed: u64, root: Znode) -> Self {
        let mut arena = Self {
            chunks: Vec::new(),
            free: Vec::new(),
            count: 1,
            walk: None,
            index: Index::new(seed),
        };
        let slot = arena.push(root);
        assert!(slot == ROOT, "the first slot is the root's");
        arena
    }

    pub(super) fn get(&self, slot: u32) -> &Znode {
        &self.chunks[slot as usize / CHUNK_SLOTS][slot as usize % CHUNK_SLOTS]
    }

    pub(super) fn get_mut(&mut self, slot: u32) -> &mut Znode {
        &mut self.chunks[slot as usize / CHUNK_SLOTS][slot as usize % CHUNK_SLOTS]
    }

    /// Returns the number of slots, free ones included.
    pub(super) fn slot_count(&self) -> u32 {
        let Some(last) = self.chunks.last() else { return 0 };
        let count = (self.chunks.len() - 1) * CHUNK_SLOTS + last.len();
        u32::try_from(count).expect("push keeps to the numbers that a slot can have")
    }

    pub(super) const fn count(&self) -> usize {
        self.count
    }

    /// Iterates over the slots of the tree's znodes.
    pub(super) fn slots(&self) -> impl Iterator<Item = u32> {
        (0..self.slot_count()).filter(|slot| self.get(*slot).place() == Place::Taken)
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
            znode.parent == parent && znode.name_bytes() == name.as_bytes()
        };
        self.index.find(self.index.keys().hash(parent, name.as_bytes()), is_it)
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
            names.push(znode.name());
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

    /// Puts a znode into a free slot below `parent`, which has no child of that name.
    pub(super) fn insert(&mut self, parent: u32, mut znode: Znode) -> u32 {
        znode.parent = parent;
        // A walk under way must not meet a new znode.
        let free = match &mut self.walk {
            Some(walk) => walk.free.pop(),
            None => self.free.pop(),
        };
        let slot = match free {
            Some(slot) => {
                *self.get_mut(slot) = znode;
                slot
            }
            None => self.push(znode),
        };
        self.link(slot, parent);
        slot
    }

    /// Appends a slot that is not linked yet.
    pub(super) fn push(&mut self, znode: Znode) -> u32 {
        let slot = self.slot_count();
        assert!(slot < NO_SLOT, "four billion znodes are more than memory holds");
        match self.chunks.last_mut().filter(|chunk| chunk.len() < CHUNK_SLOTS) {
            Some(chunk) => chunk.push(znode),
            None => {
                let mut chunk = Vec::with_capacity(CHUNK_SLOTS);
                chunk.push(znode);
                self.chunks.push(chunk);
            }
        }
        slot
    }

    /// Makes the znode in `slot` a child of `parent`.
    pub(super) fn link(&mut self, slot: u32, parent: u32) {
        let next = self.get(parent).first_child;
        if next != NO_SLOT {
            self.get_mut(next).previous = slot;
        }
        let znode = self.get_mut(slot);
        znode.parent = parent;
        znode.next = next;
        znode.previous = NO_SLOT;
        let above = self.get_mut(parent);
        above.first_child = slot;
        above.child_count += 1;
        self.count += 1;

        let (chunks, keys) = (&self.chunks, self.index.keys());
        let rehash = |slot: &u32| {
            let znode = &chunks[*slot as usize / CHUNK_SLOTS][*slot as usize % CHUNK_SLOTS];
            keys.hash(znode.parent, znode.name_bytes())
        };
        self.index.insert(rehash(&slot), slot, rehash);
    }

    /// Takes a childless znode out of the tree; it stays in its slot until [`Self::vacate`].
    pub(super) fn unlink(&mut self, slot: u32) {
        let znode = self.get(slot);
        assert!(znode.child_count == 0 && slot != ROOT, "only leaves are removed");
        let (parent, next, previous) = (znode.parent, znode.next, znode.previous);
        let hash = self.index.keys().hash(parent, znode.name_bytes());
        self.index.remove(hash, slot);
        if previous == NO_SLOT {
            self.get_mut(parent).first_child = next;
        } else {
            self.get_mut(previous).next = next;
        }
        if next != NO_SLOT {
            self.get_mut(next).previous = previous;
        }
        self.get_mut(parent).child_count -= 1;
        self.count -= 1;
    }

    /// Empties the slot of a znode that was unlinked and returns what it held; `None` when a walk
    /// is yet to see it, so that it goes when the walk ends.
    pub(super) fn vacate(&mut self, slot: u32) -> Option<Znode> {
        match &mut self.walk {
            Some(walk) if slot < walk.bound => {
                walk.ghosts.push(slot);
                self.get_mut(slot).set_place(Place::Ghost);
                None
            }
            Some(walk) => {
                walk.free.push(slot);
                Some(std::mem::replace(self.get_mut(slot), Znode::vacant()))
            }
            None => {
                self.free.push(slot);
                Some(std::mem::replace(self.get_mut(slot), Znode::vacant()))
            }
        }
    }

    /// Keeps all slots there are as they are for a walk, and returns their number.
    pub(super) fn begin_quarantine(&mut self) -> u32 {
        assert!(self.walk.is_none(), "one walk at a time");
        let bound = self.slot_count();
        self.walk = Some(Quarantine { bound, ghosts: Vec::new(), free: Vec::new() });
        bound
    }

    /// Lets all slots be used again, and returns the znodes that were kept for the walk alone.
    pub(super) fn end_quarantine(&mut self) -> Vec<Znode> {
        let Some(Quarantine { ghosts, free, .. }) = self.walk.take() else { return Vec::new() };
        self.free.extend(free);
        ghosts.into_iter().filter_map(|slot| self.vacate(slot)).collect()
    }

    /// Makes room in the table for so many znodes; for loading.
    pub(super) fn reserve(&mut self, znodes: usize) {
        self.index.reserve(znodes);
    }
}

#[cfg(test)]
impl Arena {
    /// Panics unless every link, count and free slot agrees with the others.
    pub(super) fn check(&self) {
        let taken: Vec<u32> = self.slots().collect();
        assert_eq!((taken.len(), self.index.len()), (self.count, self.count - 1));
        for slot in taken {
            let mut previous = NO_SLOT;
            for child in self.children(slot) {
                let znode = self.get(child);
                assert_eq!((znode.parent, znode.previous), (slot, previous));
                assert_eq!(znode.place(), Place::Taken);
                assert_eq!(self.child(slot, znode.name()), Some(child));
                previous = child;
            }
            assert_eq!(self.children(slot).count(), self.get(slot).child_count as usize);
            assert_eq!(self.find(&self.path(slot)), Some(slot));
        }
        let mut empty = self.free.clone();
        if let Some(walk) = &self.walk {
            assert!(walk.free.iter().all(|slot| *slot >= walk.bound));
            assert!(walk.ghosts.iter().all(|slot| self.get(*slot).place() == Place::Ghost));
            empty.extend(walk.free.iter().chain(&walk.ghosts));
        }
        empty.sort_unstable();
        let not_taken =
            (0..self.slot_count()).filter(|slot| self.get(*slot).place() != Place::Taken);
        assert_eq!(empty, not_taken.collect::<Vec<u32>>());
    }
}
