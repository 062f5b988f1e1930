//! Who waits for which change. A watch belongs to a connection and goes with it.
//!
//! A znode has two sides: its data side hears of the znode itself, its child side of its list of
//! children. On each side of a path a connection has at most one watch, as in ZooKeeper: a later
//! registration replaces the mode of the earlier one.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use conclave_protocol::{event::EventKind, path};
use parking_lot::Mutex;

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

/// Whether a watch survives its event.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Mode {
    Once,
    Persistent,
    Recursive,
}

/// All watches of a member.
///
/// One lock: it is held for a few lookups at a time, by readers that arm and by the owner that
/// fires. It is taken after the state's guard, and nothing is taken after it.
#[derive(Debug, Default)]
pub struct Watches {
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    data: SideTable,
    child: SideTable,
    /// Paths that a connection watches, so that it goes without a search.
    by_connection: HashMap<ConnId, BTreeSet<(Box<str>, bool)>>,
    /// Recursive watches: without any, the ancestors need no look.
    recursive: usize,
}

type SideTable = HashMap<Box<str>, BTreeMap<ConnId, Mode>>;

impl Watches {
    /// Arms a watch.
    pub fn arm(&self, conn: ConnId, path: &str, kind: WatchKind) {
        let mut table = self.table.lock();
        match kind {
            WatchKind::Data => table.arm(conn, path, Half::Data, Mode::Once),
            WatchKind::Child => table.arm(conn, path, Half::Child, Mode::Once),
            WatchKind::Persistent => {
                table.arm(conn, path, Half::Data, Mode::Persistent);
                table.arm(conn, path, Half::Child, Mode::Persistent);
            }
            WatchKind::PersistentRecursive => {
                table.arm(conn, path, Half::Data, Mode::Recursive);
                table.arm(conn, path, Half::Child, Mode::Recursive);
            }
        }
    }

    /// Removes a connection's watches of a path; returns whether there was one.
    pub fn disarm(&self, conn: ConnId, path: &str, side: Side) -> bool {
        let mut table = self.table.lock();
        let data = side != Side::Child && table.disarm(conn, path, Half::Data);
        let child = side != Side::Data && table.disarm(conn, path, Half::Child);
        data || child
    }

    /// Returns whether any connection watches a path.
    pub fn is_watched(&self, path: &str, side: Side) -> bool {
        let table = self.table.lock();
        (side != Side::Child && table.data.contains_key(path))
            || (side != Side::Data && table.child.contains_key(path))
    }

    /// Removes all watches of a connection.
    pub fn drop_connection(&self, conn: ConnId) {
        let mut table = self.table.lock();
        let Some(watched) = table.by_connection.remove(&conn) else { return };
        for (path, is_child) in watched {
            table.remove(conn, &path, if is_child { Half::Child } else { Half::Data });
        }
    }

    /// Returns who is to be told of a creation, in order.
    pub fn created(&self, path: &str) -> Vec<Fired> {
        let mut table = self.table.lock();
        let mut fired = table.fire_data(path, EventKind::NodeCreated);
        fired.extend(table.fire_parent(path));
        fired
    }

    /// Returns who is to be told of a deletion, in order.
    pub fn deleted(&self, path: &str) -> Vec<Fired> {
        let mut table = self.table.lock();
        let mut fired = table.fire_data(path, EventKind::NodeDeleted);
        // A connection that watches both sides is told once.
        let told: BTreeSet<ConnId> = fired.iter().map(|fired| fired.conn).collect();
        let by_child = table.fire(path, Half::Child, EventKind::NodeDeleted);
        fired.extend(by_child.into_iter().filter(|fired| !told.contains(&fired.conn)));
        fired.extend(table.fire_parent(path));
        fired
    }

    /// Returns who is to be told of a change of data, in order.
    pub fn data_changed(&self, path: &str) -> Vec<Fired> {
        self.table.lock().fire_data(path, EventKind::NodeDataChanged)
    }

    /// Returns connections that watch, paths watched, and watches in all.
    pub fn summary(&self) -> (usize, usize, usize) {
        let table = self.table.lock();
        let paths: BTreeSet<&str> =
            table.data.keys().chain(table.child.keys()).map(|path| &**path).collect();
        let count = table.data.values().chain(table.child.values()).map(BTreeMap::len).sum();
        (table.by_connection.len(), paths.len(), count)
    }

    /// Returns the watches in all.
    pub fn count(&self) -> usize {
        let table = self.table.lock();
        table.by_connection.values().map(BTreeSet::len).sum()
    }
}

/// One side of a path.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Half {
    Data,
    Child,
}

impl Table {
    const fn side(&mut self, half: Half) -> &mut SideTable {
        match half {
            Half::Data => &mut self.data,
            Half::Child => &mut self.child,
        }
    }

    fn arm(&mut self, conn: ConnId, path: &str, half: Half, mode: Mode) {
        let side = self.side(half);
        let before = match side.get_mut(path) {
            Some(watching) => watching.insert(conn, mode),
            None => {
                side.insert(path.into(), BTreeMap::from([(conn, mode)]));
                None
            }
        };
        if before.is_none() {
            let watched = self.by_connection.entry(conn).or_default();
            watched.insert((path.into(), half == Half::Child));
        }
        self.recursive += usize::from(mode == Mode::Recursive);
        self.recursive -= usize::from(before == Some(Mode::Recursive));
    }

    fn disarm(&mut self, conn: ConnId, path: &str, half: Half) -> bool {
        let was_there = self.remove(conn, path, half);
        if was_there && let Some(watched) = self.by_connection.get_mut(&conn) {
            watched.remove(&(Box::from(path), half == Half::Child));
            if watched.is_empty() {
                self.by_connection.remove(&conn);
            }
        }
        was_there
    }

    fn remove(&mut self, conn: ConnId, path: &str, half: Half) -> bool {
        let side = self.side(half);
        let Some(watching) = side.get_mut(path) else { return false };
        let mode = watching.remove(&conn);
        if watching.is_empty() {
            side.remove(path);
        }
        self.recursive -= usize::from(mode == Some(Mode::Recursive));
        mode.is_some()
    }

    /// Tells the data side of `path`, and the recursive watches above it; each connection once.
    fn fire_data(&mut self, path: &str, kind: EventKind) -> Vec<Fired> {
        let mut fired = self.fire(path, Half::Data, kind);
        if self.recursive == 0 {
            return fired;
        }
        let mut told: BTreeSet<ConnId> = fired.iter().map(|fired| fired.conn).collect();
        let mut above = path::parent(path);
        while let Some(ancestor) = above {
            for (conn, mode) in self.data.get(ancestor).into_iter().flatten() {
                if *mode == Mode::Recursive && told.insert(*conn) {
                    fired.push(Fired { conn: *conn, kind, path: path.to_owned() });
                }
            }
            above = path::parent(ancestor);
        }
        fired.sort_by_key(|fired| fired.conn);
        fired
    }

    fn fire_parent(&mut self, path: &str) -> Vec<Fired> {
        let Some(parent) = path::parent(path) else { return Vec::new() };
        self.fire(parent, Half::Child, EventKind::NodeChildrenChanged)
    }

    /// Tells one side of one path, and removes the watches that are for once.
    fn fire(&mut self, path: &str, half: Half, kind: EventKind) -> Vec<Fired> {
        let Some(watching) = self.side(half).get(path) else { return Vec::new() };
        // A recursive watch hears of the znodes alone, by the data side.
        let hears = |mode: Mode| half == Half::Data || mode != Mode::Recursive;
        let all: Vec<(ConnId, Mode)> = watching
            .iter()
            .filter(|(_, mode)| hears(**mode))
            .map(|(conn, mode)| (*conn, *mode))
            .collect();
        all.into_iter()
            .map(|(conn, mode)| {
                if mode == Mode::Once {
                    self.disarm(conn, path, half);
                }
                Fired { conn, kind, path: path.to_owned() }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: ConnId = ConnId(1);
    const B: ConnId = ConnId(2);

    fn told(fired: Vec<Fired>) -> Vec<(u64, EventKind, String)> {
        fired.into_iter().map(|fired| (fired.conn.0, fired.kind, fired.path)).collect()
    }

    #[test]
    fn a_one_shot_watch_fires_once() {
        let watches = Watches::default();
        watches.arm(A, "/x", WatchKind::Data);
        let event = (1, EventKind::NodeDataChanged, "/x".to_owned());
        assert_eq!(told(watches.data_changed("/x")), [event]);
        assert_eq!(watches.data_changed("/x"), []);
        assert_eq!(watches.count(), 0);
    }

    #[test]
    fn deletion_is_told_once_to_who_watches_both_sides_and_before_the_parent() {
        let watches = Watches::default();
        watches.arm(A, "/x/y", WatchKind::Data);
        watches.arm(A, "/x/y", WatchKind::Child);
        watches.arm(B, "/x/y", WatchKind::Child);
        watches.arm(A, "/x", WatchKind::Child);
        assert_eq!(
            told(watches.deleted("/x/y")),
            [
                (1, EventKind::NodeDeleted, "/x/y".to_owned()),
                (2, EventKind::NodeDeleted, "/x/y".to_owned()),
                (1, EventKind::NodeChildrenChanged, "/x".to_owned()),
            ]
        );
    }

    #[test]
    fn a_persistent_watch_survives_and_hears_no_descendants() {
        let watches = Watches::default();
        watches.arm(A, "/x", WatchKind::Persistent);
        for _ in 0..2 {
            assert_eq!(told(watches.created("/x")), [(1, EventKind::NodeCreated, "/x".to_owned())]);
            let event = (1, EventKind::NodeChildrenChanged, "/x".to_owned());
            assert_eq!(told(watches.created("/x/y")), [event]);
        }
        assert_eq!(watches.created("/x/y/z"), []);
    }

    #[test]
    fn a_recursive_watch_tells_the_changed_path_once_and_no_lists() {
        let watches = Watches::default();
        watches.arm(A, "/", WatchKind::PersistentRecursive);
        watches.arm(A, "/x", WatchKind::PersistentRecursive);
        let event = (1, EventKind::NodeCreated, "/x/y".to_owned());
        assert_eq!(told(watches.created("/x/y")), [event]);
        let event = (1, EventKind::NodeDeleted, "/x/y".to_owned());
        assert_eq!(told(watches.deleted("/x/y")), [event]);
    }

    #[test]
    fn a_later_registration_replaces_the_mode() {
        let watches = Watches::default();
        watches.arm(A, "/x", WatchKind::Persistent);
        watches.arm(A, "/x", WatchKind::Data);
        assert_eq!(watches.data_changed("/x").len(), 1);
        assert_eq!(watches.data_changed("/x"), []);
        // The child side is persistent still.
        assert_eq!(watches.created("/x/y").len(), 1);
        assert_eq!(watches.created("/x/z").len(), 1);
    }

    #[test]
    fn a_connection_takes_its_watches_along() {
        let watches = Watches::default();
        watches.arm(A, "/x", WatchKind::PersistentRecursive);
        watches.arm(A, "/y", WatchKind::Child);
        watches.arm(B, "/y", WatchKind::Child);
        watches.drop_connection(A);
        assert_eq!(watches.summary(), (1, 1, 1));
        assert_eq!(watches.created("/x"), []);
        assert_eq!(watches.table.lock().recursive, 0);
    }

    #[test]
    fn half_of_a_persistent_watch_can_be_removed() {
        let watches = Watches::default();
        watches.arm(A, "/x", WatchKind::Persistent);
        assert!(watches.disarm(A, "/x", Side::Data));
        assert!(!watches.disarm(A, "/x", Side::Data));
        assert_eq!(watches.data_changed("/x"), []);
        assert_eq!(watches.created("/x/y").len(), 1);
        assert!(watches.disarm(A, "/x", Side::Any));
    }
}
