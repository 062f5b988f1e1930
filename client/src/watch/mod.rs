//! Watches: what the client keeps of them, so that they are armed again on every new connection, and
//! what the caller holds.

use std::collections::BTreeMap;

use conclave_protocol::{
    event::{EventKind, WatchEvent},
    path,
};
use tokio::sync::mpsc;

/// Events that wait for a caller at most; one that is further behind loses its watch.
pub const EVENTS_MAX: usize = 1024;

/// Names a watch of this client.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct WatchId(pub u64);

/// What is watched.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum WatchKind {
    /// Once: the znode's data or deletion.
    Data,
    /// Once: the znode's creation, or what [`Self::Data`] hears when it is there.
    Exist,
    /// Once: the list of children.
    Child,
    /// The znode and its list of children, until the session ends.
    Persistent,
    /// The znode and all below it, until the session ends.
    Recursive,
}

impl WatchKind {
    /// Every kind.
    pub const ALL: [Self; 5] =
        [Self::Data, Self::Exist, Self::Child, Self::Persistent, Self::Recursive];

    /// Returns whether one event is all that a watch of this kind gives.
    pub const fn is_one_shot(self) -> bool {
        matches!(self, Self::Data | Self::Exist | Self::Child)
    }
}

/// Which watches of a znode are removed; the numbers are those on the wire.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(i32)]
pub enum Watched {
    /// Those of its list of children.
    Children = 1,
    /// Those of its data and its existence.
    Data = 2,
    /// All.
    Any = 3,
}

/// What a caller holds of a watch: the events come here.
#[derive(Debug)]
pub struct Watcher {
    pub(crate) events: mpsc::Receiver<WatchEvent>,
}

impl Watcher {
    /// Returns the next event; `None` when there will be none: a one-shot watch has fired, the
    /// session is over, or the caller fell [`EVENTS_MAX`] events behind.
    pub async fn event(&mut self) -> Option<WatchEvent> {
        self.events.recv().await
    }
}

/// The watches that the server is to have, by kind and path.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    watches: BTreeMap<(WatchKind, String), Vec<WatchId>>,
}

impl Registry {
    /// Notes a watch that the server has armed.
    pub fn add(&mut self, kind: WatchKind, path: String, id: WatchId) {
        self.watches.entry((kind, path)).or_default().push(id);
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
            _ => &[],
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

    /// Forgets all watches, and returns them.
    pub fn clear(&mut self) -> Vec<WatchId> {
        std::mem::take(&mut self.watches).into_values().flatten().collect()
    }

    /// Forgets the watches that `is_wanted` denies.
    pub fn retain(&mut self, mut is_wanted: impl FnMut(WatchId) -> bool) {
        self.watches.retain(|_, ids| {
            ids.retain(|id| is_wanted(*id));
            !ids.is_empty()
        });
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
}
