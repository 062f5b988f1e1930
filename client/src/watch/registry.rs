//! The watches that the server is to have: armed again on every new connection, and taken away when
//! nobody holds them any more.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use conclave_protocol::{
    event::{EventKind, WatchEvent},
    path,
};

use super::{WatchId, WatchKind, Watched};

/// The watches that the server is to have, by kind and path.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    watches: BTreeMap<(WatchKind, String), Vec<WatchId>>,
    /// Those that the server is being asked for, and how many at each path.
    expected: HashMap<WatchId, String>,
    expected_at: HashMap<String, usize>,
    /// Paths where the server still has a watch that nobody holds, as it cannot be taken away without
    /// others.
    left_over: BTreeSet<String>,
}

impl Registry {
    /// Notes that the server is being asked for a watch.
    pub fn expect(&mut self, path: &str, id: WatchId) {
        self.expected.insert(id, path.to_owned());
        *self.expected_at.entry(path.to_owned()).or_default() += 1;
    }

    /// Notes that the answer has come for a watch, or never will; returns whether it is still wanted.
    pub fn settle(&mut self, path: &str, id: WatchId) -> bool {
        if let Some(count) = self.expected_at.get_mut(path) {
            *count -= 1;
            if *count == 0 {
                self.expected_at.remove(path);
            }
        }
        self.expected.remove(&id).is_some()
    }

    /// Notes a watch that the server has armed.
    pub fn add(&mut self, kind: WatchKind, path: String, id: WatchId) {
        self.watches.entry((kind, path)).or_default().push(id);
    }

    /// Forgets a watch that its caller has dropped. Returns what the server is to be told to remove at
    /// its path: nothing while another watch would go with it.
    pub fn release(&mut self, kind: WatchKind, path: &str, id: WatchId) -> Option<Watched> {
        if self.expected.remove(&id).is_some() {
            return None;
        }
        // An exists of a znode that was there watches its data.
        let kinds: &[WatchKind] = match kind {
            WatchKind::Exist => &[WatchKind::Exist, WatchKind::Data],
            WatchKind::Data => &[WatchKind::Data],
            WatchKind::Child => &[WatchKind::Child],
            WatchKind::Persistent => &[WatchKind::Persistent],
            WatchKind::Recursive => &[WatchKind::Recursive],
        };
        let kind = kinds.iter().copied().find(|kind| {
            let ids = self.watches.get(&(*kind, path.to_owned()));
            ids.is_some_and(|ids| ids.contains(&id))
        })?;
        let ids = self.watches.get_mut(&(kind, path.to_owned()))?;
        ids.retain(|other| *other != id);
        if !ids.is_empty() {
            return None;
        }
        self.watches.remove(&(kind, path.to_owned()));
        if self.is_bare(path) {
            self.left_over.remove(path);
            return Some(Watched::Any);
        }
        let (watched, together): (_, &[WatchKind]) = match kind {
            WatchKind::Data | WatchKind::Exist => {
                (Watched::Data, &[WatchKind::Data, WatchKind::Exist])
            }
            WatchKind::Child => (Watched::Children, &[WatchKind::Child]),
            WatchKind::Persistent | WatchKind::Recursive => (Watched::Any, &WatchKind::ALL),
        };
        // A persistent watch would lose the half that has the same name.
        let mut others = together.iter().chain(&[WatchKind::Persistent, WatchKind::Recursive]);
        let takes_others = others.any(|kind| self.has(*kind, path));
        if takes_others || self.expected_at.contains_key(path) {
            self.left_over.insert(path.to_owned());
            return None;
        }
        Some(watched)
    }

    /// Returns whether the server has a watch at the path, and nobody holds any there.
    pub fn take_left_over(&mut self, path: &str) -> bool {
        self.left_over.contains(path) && self.is_bare(path) && self.left_over.remove(path)
    }

    fn has(&self, kind: WatchKind, path: &str) -> bool {
        self.watches.contains_key(&(kind, path.to_owned()))
    }

    fn is_bare(&self, path: &str) -> bool {
        !self.expected_at.contains_key(path)
            && !WatchKind::ALL.into_iter().any(|kind| self.has(kind, path))
    }

    /// Returns the watches of an event, in order of their ids; one-shot ones are gone with it.
    pub fn fire(&mut self, event: &WatchEvent) -> Vec<WatchId> {
        let Some(path) = event.path.as_str() else { return Vec::new() };
        let mut fired = Vec::new();
        let once: &[WatchKind] = match event.kind {
            EventKind::NodeCreated | EventKind::NodeDataChanged => {
                &[WatchKind::Data, WatchKind::Exist]
            }
            EventKind::NodeDeleted => &[WatchKind::Data, WatchKind::Exist, WatchKind::Child],
            EventKind::NodeChildrenChanged => &[WatchKind::Child],
            // The echo of a removal; who held the watch is told by its answer.
            _ => return Vec::new(),
        };
        for kind in once {
            fired.extend(self.watches.remove(&(*kind, path.to_owned())).unwrap_or_default());
        }
        fired.extend(self.at(WatchKind::Persistent, path));
        if event.kind != EventKind::NodeChildrenChanged {
            let mut above = Some(path);
            while let Some(ancestor) = above {
                fired.extend(self.at(WatchKind::Recursive, ancestor));
                above = path::parent(ancestor);
            }
        }
        fired.sort_unstable();
        fired.dedup();
        fired
    }

    fn at(&self, kind: WatchKind, path: &str) -> Vec<WatchId> {
        self.watches.get(&(kind, path.to_owned())).cloned().unwrap_or_default()
    }

    /// Forgets the watches of a path that a removeWatches of this number took away, and returns
    /// them; see [`Watched`]. A persistent one keeps its other half
    /// after all but [`Watched::Any`], so it stays.
    pub fn remove(&mut self, path: &str, kind: i32) -> Vec<WatchId> {
        let kinds: &[WatchKind] = match kind {
            _ if kind == Watched::Children as i32 => &[WatchKind::Child],
            _ if kind == Watched::Data as i32 => &[WatchKind::Data, WatchKind::Exist],
            _ if kind == Watched::Any as i32 => &WatchKind::ALL,
            _ => &[],
        };
        let mut removed = Vec::new();
        for kind in kinds {
            removed.extend(self.watches.remove(&(*kind, path.to_owned())).unwrap_or_default());
        }
        removed
    }

    /// Forgets all watches that were armed, and returns them.
    pub fn clear(&mut self) -> Vec<WatchId> {
        self.left_over.clear();
        std::mem::take(&mut self.watches).into_values().flatten().collect()
    }

    /// A new connection has none of those that nobody holds. Returns the watches that may have missed
    /// something meanwhile.
    pub fn reconnected(&mut self) -> Vec<WatchId> {
        self.left_over.clear();
        let persistent = self.watches.iter().filter(|((kind, _), _)| !kind.is_one_shot());
        persistent.flat_map(|(_, ids)| ids.iter().copied()).collect()
    }

    /// Iterates over kinds and paths, each once.
    pub fn iter(&self) -> impl Iterator<Item = (WatchKind, &str)> {
        self.watches.keys().map(|(kind, path)| (*kind, path.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use conclave_protocol::event::KeeperState;

    use super::*;

    fn event(kind: EventKind, path: &str) -> WatchEvent {
        WatchEvent { kind, state: KeeperState::SyncConnected, path: path.into() }
    }

    #[test]
    fn a_one_shot_watch_fires_once_and_a_persistent_one_stays() {
        let mut registry = Registry::default();
        registry.add(WatchKind::Data, "/a".to_owned(), WatchId(1));
        registry.add(WatchKind::Persistent, "/a".to_owned(), WatchId(2));
        let changed = event(EventKind::NodeDataChanged, "/a");
        assert_eq!(registry.fire(&changed), [WatchId(1), WatchId(2)]);
        assert_eq!(registry.fire(&changed), [WatchId(2)]);
    }

    #[test]
    fn a_recursive_watch_hears_of_descendants_but_not_of_lists() {
        let mut registry = Registry::default();
        registry.add(WatchKind::Recursive, "/a".to_owned(), WatchId(1));
        assert_eq!(registry.fire(&event(EventKind::NodeCreated, "/a/b/c")), [WatchId(1)]);
        assert_eq!(registry.fire(&event(EventKind::NodeChildrenChanged, "/a")), []);
        assert_eq!(registry.fire(&event(EventKind::NodeCreated, "/b")), []);
    }

    #[test]
    fn deletion_ends_the_watches_of_both_sides() {
        let mut registry = Registry::default();
        registry.add(WatchKind::Child, "/a".to_owned(), WatchId(1));
        registry.add(WatchKind::Exist, "/a".to_owned(), WatchId(2));
        let deleted = event(EventKind::NodeDeleted, "/a");
        assert_eq!(registry.fire(&deleted), [WatchId(1), WatchId(2)]);
        assert_eq!(registry.iter().count(), 0);
    }

    /// Goal: the server is told to remove a watch when the last that needs it is dropped, and never
    /// one that another still needs.
    #[test]
    fn what_nobody_holds_is_removed_and_nothing_else() {
        let mut registry = Registry::default();
        let path = || "/a".to_owned();
        registry.add(WatchKind::Data, path(), WatchId(1));
        registry.add(WatchKind::Data, path(), WatchId(2));
        registry.add(WatchKind::Child, path(), WatchId(3));
        assert_eq!(registry.release(WatchKind::Exist, "/a", WatchId(1)), None);
        assert_eq!(registry.release(WatchKind::Data, "/a", WatchId(2)), Some(Watched::Data));
        registry.add(WatchKind::Recursive, path(), WatchId(4));
        assert_eq!(registry.release(WatchKind::Child, "/a", WatchId(3)), None);
        assert!(!registry.take_left_over("/a"), "it would take the recursive one along");
        assert_eq!(registry.release(WatchKind::Recursive, "/a", WatchId(4)), Some(Watched::Any));
        assert!(!registry.take_left_over("/a"), "it has gone with the last");
    }

    #[test]
    fn a_watch_that_is_asked_for_is_not_removed_with_another() {
        let mut registry = Registry::default();
        registry.add(WatchKind::Data, "/a".to_owned(), WatchId(1));
        registry.expect("/a", WatchId(2));
        assert_eq!(registry.release(WatchKind::Data, "/a", WatchId(1)), None);
        assert_eq!(registry.release(WatchKind::Data, "/a", WatchId(2)), None);
        assert!(!registry.settle("/a", WatchId(2)), "it was dropped before its answer");
        assert!(registry.take_left_over("/a"));
        assert!(!registry.take_left_over("/a"));
    }

    #[test]
    fn the_echo_of_a_removal_is_nobodys_event() {
        let mut registry = Registry::default();
        registry.add(WatchKind::Recursive, "/".to_owned(), WatchId(1));
        assert_eq!(registry.fire(&event(EventKind::DataWatchRemoved, "/a")), []);
        assert_eq!(registry.fire(&event(EventKind::NodeDataChanged, "/a")), [WatchId(1)]);
    }
}
