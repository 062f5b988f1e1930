//! The table against a map of (connection, path, side) that follows the rules word by word.

use std::collections::{BTreeMap, BTreeSet};

use conclave_protocol::{event::EventKind, path};

use crate::watch::{ConnId, Fired, Side, WatchKind, Watches};

/// SplitMix64: a seed is a whole run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % bound as u64) as usize
    }
}

/// Kinds by (connection, path, whether it is the child side): what was registered last.
#[derive(Default)]
struct Model(BTreeMap<(ConnId, String, bool), WatchKind>);

impl Model {
    fn arm(&mut self, conn: ConnId, path: &str, kind: WatchKind) {
        for is_child in [false, true] {
            let is_meant = match kind {
                WatchKind::Data => !is_child,
                WatchKind::Child => is_child,
                WatchKind::Persistent | WatchKind::PersistentRecursive => true,
            };
            if is_meant {
                self.0.insert((conn, path.to_owned(), is_child), kind);
            }
        }
    }

    fn disarm(&mut self, conn: ConnId, path: &str, side: Side) -> bool {
        let before = self.0.len();
        self.0.retain(|key, _| !(key.0 == conn && key.1 == path && is_on(side, key.2)));
        self.0.len() < before
    }

    /// Who hears of `kind` on `sides` of `path`.
    fn fire(&mut self, path: &str, side: Side, kind: EventKind) -> Vec<Fired> {
        let is_list = kind == EventKind::NodeChildrenChanged;
        let mut told = BTreeSet::new();
        self.0.retain(|(conn, watched, is_child), watch| {
            let is_recursive = *watch == WatchKind::PersistentRecursive;
            let is_at = watched == path;
            let is_below = watched == "/" || path.starts_with(&format!("{watched}/"));
            let hears = if is_recursive { !is_list && (is_at || is_below) } else { is_at };
            if hears && is_on(side, *is_child) {
                told.insert(*conn);
                return matches!(watch, WatchKind::Persistent | WatchKind::PersistentRecursive);
            }
            true
        });
        told.into_iter().map(|conn| Fired { conn, kind, path: path.to_owned() }).collect()
    }

    fn fire_parent(&mut self, path: &str) -> Vec<Fired> {
        match path::parent(path) {
            Some(parent) => self.fire(parent, Side::Child, EventKind::NodeChildrenChanged),
            None => Vec::new(),
        }
    }
}

fn is_on(side: Side, is_child: bool) -> bool {
    match side {
        Side::Any => true,
        Side::Child => is_child,
        Side::Data => !is_child,
    }
}

/// Goal: any sequence of registrations, removals and changes is told as the rules say. Method:
/// many seeds, few connections and paths, so that everything overlaps.
#[test]
fn table_does_what_the_rules_say() {
    const PATHS: [&str; 9] = ["/", "/a", "/ab", "/a/b", "/a/c", "/a/b/c", "/a/b/c/d", "/b", "/b/a"];
    for seed in 0..300 {
        let (mut random, watches, mut model) = (Random(seed), Watches::default(), Model::default());
        for step in 0..300 {
            let what = format!("seed {seed}, step {step}");
            let conn = ConnId(random.below(4) as u64);
            let path = PATHS[random.below(PATHS.len())];
            let side = [Side::Child, Side::Data, Side::Any][random.below(3)];
            match random.below(12) {
                0..=4 => {
                    let kind = [
                        WatchKind::Data,
                        WatchKind::Child,
                        WatchKind::Persistent,
                        WatchKind::PersistentRecursive,
                    ][random.below(4)];
                    watches.arm(conn, path, kind);
                    model.arm(conn, path, kind);
                }
                5..=6 => {
                    let was_there = watches.disarm(conn, path, side);
                    assert_eq!(was_there, model.disarm(conn, path, side), "{what}");
                }
                7..=8 => {
                    let mut expected = model.fire(path, Side::Data, EventKind::NodeCreated);
                    expected.extend(model.fire_parent(path));
                    assert_eq!(watches.created(path), expected, "{what}");
                }
                9 => {
                    let mut expected = model.fire(path, Side::Any, EventKind::NodeDeleted);
                    expected.extend(model.fire_parent(path));
                    assert_eq!(watches.deleted(path), expected, "{what}");
                }
                10 => {
                    let expected = model.fire(path, Side::Data, EventKind::NodeDataChanged);
                    assert_eq!(watches.data_changed(path), expected, "{what}");
                }
                _ => {
                    watches.drop_connection(conn);
                    model.0.retain(|key, _| key.0 != conn);
                }
            }
            let is_watched = model.0.keys().any(|key| key.1 == path && is_on(side, key.2));
            assert_eq!(watches.is_watched(path, side), is_watched, "{what}");
            let pairs: BTreeSet<(ConnId, String)> =
                model.0.keys().map(|key| (key.0, key.1.clone())).collect();
            assert!(watches.listing().iter().eq(&pairs), "{what}");
            let connections: BTreeSet<ConnId> = pairs.iter().map(|pair| pair.0).collect();
            let paths: BTreeSet<&str> = pairs.iter().map(|pair| &*pair.1).collect();
            let summary = (connections.len(), paths.len(), model.0.len());
            assert_eq!((watches.summary(), watches.count()), (summary, model.0.len()), "{what}");
        }
    }
}
