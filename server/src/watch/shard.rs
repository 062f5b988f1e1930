//! A part of the table of watches: those of some paths.
//!
//! A path is kept once, however many watch it. A watch is in two lists, of its path and of its
//! connection, so that both firing and dropping a connection touch nothing else.

use std::{
    collections::HashMap,
    hash::BuildHasher,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use super::{
    ConnId, Side,
    slab::{NONE, Slab},
};

/// Whether a watch survives its event, and how far it reaches.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Mode {
    Once,
    Persistent,
    /// Hears of the znodes below too, but of no list of children.
    Recursive,
}

/// What is armed on either side of a path.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Modes {
    pub(super) data: Option<Mode>,
    pub(super) child: Option<Mode>,
}

impl Modes {
    fn of(self, side: Side) -> impl Iterator<Item = Mode> {
        let data = self.data.filter(|_| side != Side::Child);
        let child = self.child.filter(|_| side != Side::Data);
        data.into_iter().chain(child)
    }

    fn has_recursive(self, side: Side) -> bool {
        self.of(side).any(|mode| mode == Mode::Recursive)
    }

    /// Returns these with those of `side` for which `is_kept` is false taken away.
    fn retain(self, side: Side, is_kept: impl Fn(Mode) -> bool) -> Self {
        let data = self.data.filter(|mode| side == Side::Child || is_kept(*mode));
        let child = self.child.filter(|mode| side == Side::Data || is_kept(*mode));
        Self { data, child }
    }
}

/// What a connection watches of a path.
#[derive(Debug)]
struct Watch {
    conn: ConnId,
    path: u32,
    modes: Modes,
    of_path: Links,
    of_connection: Links,
}

#[derive(Clone, Copy, Debug)]
struct Links {
    next: u32,
    previous: u32,
}

/// Which of its two lists.
#[derive(Clone, Copy)]
enum Chain {
    Path,
    Connection,
}

impl Watch {
    const fn links(&mut self, chain: Chain) -> &mut Links {
        match chain {
            Chain::Path => &mut self.of_path,
            Chain::Connection => &mut self.of_connection,
        }
    }
}

#[derive(Debug)]
struct WatchedPath {
    path: Box<str>,
    first: u32,
}

/// The watches of some paths.
#[derive(Debug)]
pub(super) struct Shard {
    watches: Slab<Watch>,
    paths: Slab<WatchedPath>,
    by_path: HashTable<u32>,
    /// Watches by connection and path.
    by_pair: HashTable<u32>,
    /// First watch of each connection.
    by_connection: HashMap<ConnId, u32, RandomState>,
    /// Sides armed.
    count: usize,
    hasher: RandomState,
    /// Sides armed with a recursive watch, in all shards.
    recursive: Arc<AtomicUsize>,
}

impl Shard {
    pub(super) fn new(hasher: RandomState, recursive: Arc<AtomicUsize>) -> Self {
        Self {
            watches: Slab::default(),
            paths: Slab::default(),
            by_path: HashTable::new(),
            by_pair: HashTable::new(),
            by_connection: HashMap::with_hasher(hasher.clone()),
            count: 0,
            hasher,
            recursive,
        }
    }

    /// Sets the modes that are given; the other side stays as it is.
    pub(super) fn arm(&mut self, hash: u64, conn: ConnId, path: &str, modes: Modes) {
        let path = self.find_path(hash, path).unwrap_or_else(|| self.add_path(hash, path));
        let at = self.find(conn, path).unwrap_or_else(|| self.add(conn, path));
        let before = self.watches.get(at).modes;
        let data = modes.data.or(before.data);
        self.set(at, Modes { data, child: modes.child.or(before.child) });
    }

    pub(super) fn disarm(&mut self, hash: u64, conn: ConnId, path: &str, side: Side) -> bool {
        let Some(path) = self.find_path(hash, path) else { return false };
        let Some(at) = self.find(conn, path) else { return false };
        let modes = self.watches.get(at).modes;
        let was_there = modes.of(side).next().is_some();
        self.set(at, modes.retain(side, |_| false));
        was_there
    }

    pub(super) fn is_watched(&self, hash: u64, path: &str, side: Side) -> bool {
        self.of_path(hash, path).any(|at| self.watches.get(at).modes.of(side).next().is_some())
    }

    pub(super) fn drop_connection(&mut self, conn: ConnId) {
        // Read again each time: the last one takes the entry along.
        while let Some(at) = self.by_connection.get(&conn).copied() {
            self.set(at, Modes::default());
        }
    }

    /// Tells the watches of `path`, and takes away those that are for once.
    pub(super) fn fire(&mut self, hash: u64, path: &str, side: Side, told: &mut Vec<ConnId>) {
        self.fire_where(hash, path, side, |_| true, told);
    }

    /// The same for its list of children, of which recursive watches do not hear.
    pub(super) fn fire_list(&mut self, hash: u64, path: &str, told: &mut Vec<ConnId>) {
        self.fire_where(hash, path, Side::Child, |mode| mode != Mode::Recursive, told);
    }

    fn fire_where(
        &mut self,
        hash: u64,
        path: &str,
        side: Side,
        hears: impl Fn(Mode) -> bool,
        told: &mut Vec<ConnId>,
    ) {
        let Some(path) = self.find_path(hash, path) else { return };
        let mut at = self.paths.get(path).first;
        while at != NONE {
            let watch = self.watches.get(at);
            let (next, modes) = (watch.of_path.next, watch.modes);
            if modes.of(side).any(&hears) {
                told.push(watch.conn);
                self.set(at, modes.retain(side, |mode| mode != Mode::Once));
            }
            at = next;
        }
    }

    /// Adds who watches `path` and all below it.
    pub(super) fn recursive(&self, hash: u64, path: &str, side: Side, told: &mut Vec<ConnId>) {
        let watches = self.of_path(hash, path).map(|at| self.watches.get(at));
        told.extend(
            watches.filter(|watch| watch.modes.has_recursive(side)).map(|watch| watch.conn),
        );
    }

    pub(super) const fn count(&self) -> usize {
        self.count
    }

    pub(super) fn path_count(&self) -> usize {
        self.paths.len()
    }

    pub(super) fn connections(&self) -> impl Iterator<Item = ConnId> {
        self.by_connection.keys().copied()
    }

    pub(super) fn pairs(&self) -> impl Iterator<Item = (ConnId, &str)> {
        self.watches.iter().map(|watch| (watch.conn, &*self.paths.get(watch.path).path))
    }

    fn of_path(&self, hash: u64, path: &str) -> impl Iterator<Item = u32> {
        let linked = |at: u32| (at != NONE).then_some(at);
        let first = self.find_path(hash, path).and_then(|path| linked(self.paths.get(path).first));
        std::iter::successors(first, move |at| linked(self.watches.get(*at).of_path.next))
    }

    fn find_path(&self, hash: u64, path: &str) -> Option<u32> {
        self.by_path.find(hash, |at| &*self.paths.get(*at).path == path).copied()
    }

    fn add_path(&mut self, hash: u64, path: &str) -> u32 {
        let at = self.paths.insert(WatchedPath { path: path.into(), first: NONE });
        let (paths, hasher) = (&self.paths, &self.hasher);
        self.by_path.insert_unique(hash, at, |at| hasher.hash_one(&*paths.get(*at).path));
        at
    }

    fn find(&self, conn: ConnId, path: u32) -> Option<u32> {
        let is_it = |at: &u32| {
            let watch = self.watches.get(*at);
            (watch.conn, watch.path) == (conn, path)
        };
        self.by_pair.find(self.hasher.hash_one((conn, path)), is_it).copied()
    }

    /// Adds a watch of nothing yet to both lists and the table.
    fn add(&mut self, conn: ConnId, path: u32) -> u32 {
        let links = Links { next: NONE, previous: NONE };
        let watch =
            Watch { conn, path, modes: Modes::default(), of_path: links, of_connection: links };
        let at = self.watches.insert(watch);
        let head = std::mem::replace(&mut self.paths.get_mut(path).first, at);
        self.link(Chain::Path, at, head);
        let head = self.by_connection.insert(conn, at).unwrap_or(NONE);
        self.link(Chain::Connection, at, head);
        let (watches, hasher) = (&self.watches, &self.hasher);
        self.by_pair.insert_unique(hasher.hash_one((conn, path)), at, |at| {
            let watch = watches.get(*at);
            hasher.hash_one((watch.conn, watch.path))
        });
        at
    }

    fn link(&mut self, chain: Chain, at: u32, next: u32) {
        self.watches.get_mut(at).links(chain).next = next;
        if next != NONE {
            self.watches.get_mut(next).links(chain).previous = at;
        }
    }

    /// Sets both sides; a watch with neither goes.
    fn set(&mut self, at: u32, modes: Modes) {
        let before = std::mem::replace(&mut self.watches.get_mut(at).modes, modes);
        self.count = self.count + modes.of(Side::Any).count() - before.of(Side::Any).count();
        let recursive =
            |modes: Modes| modes.of(Side::Any).filter(|mode| *mode == Mode::Recursive).count();
        self.recursive.fetch_add(recursive(modes), Ordering::Relaxed);
        self.recursive.fetch_sub(recursive(before), Ordering::Relaxed);
        if modes.of(Side::Any).next().is_none() {
            self.remove(at);
        }
    }

    fn remove(&mut self, at: u32) {
        let path = self.unlink(Chain::Path, at);
        let connection = self.unlink(Chain::Connection, at);
        let watch = self.watches.remove(at);
        let hash = self.hasher.hash_one((watch.conn, watch.path));
        let found = self.by_pair.find_entry(hash, |other| *other == at);
        found.expect("a watch is in the table").remove();
        match connection {
            Cut::Inside => {}
            Cut::Head(NONE) => {
                self.by_connection.remove(&watch.conn);
            }
            Cut::Head(next) => {
                self.by_connection.insert(watch.conn, next);
            }
        }
        match path {
            Cut::Inside => {}
            Cut::Head(NONE) => self.remove_path(watch.path),
            Cut::Head(next) => self.paths.get_mut(watch.path).first = next,
        }
    }

    fn unlink(&mut self, chain: Chain, at: u32) -> Cut {
        let Links { next, previous } = *self.watches.get_mut(at).links(chain);
        if next != NONE {
            self.watches.get_mut(next).links(chain).previous = previous;
        }
        if previous == NONE {
            return Cut::Head(next);
        }
        self.watches.get_mut(previous).links(chain).next = next;
        Cut::Inside
    }

    fn remove_path(&mut self, at: u32) {
        let WatchedPath { path, .. } = self.paths.remove(at);
        let found = self.by_path.find_entry(self.hasher.hash_one(&*path), |other| *other == at);
        found.expect("a watched path is in the table").remove();
    }
}

/// Where a list was cut.
enum Cut {
    /// At its head; the new head.
    Head(u32),
    Inside,
}

const _: () = assert!(size_of::<Option<Watch>>() == 32, "many connections have many watches");
