//! Stage 6: what a txn changed becomes events in the outboxes of those who watch, before any reply
//! could show the change: the caller still holds the state exclusively.

use std::collections::HashMap;

use conclave_protocol::{
    acl::{Acl, Perms},
    event::{KeeperState, WatchEvent},
    path,
};

use super::apply::{Applied, Touched};
use crate::{acl, shared::Shared, state::State, watch::Fired};

/// Lists that decide who hears of a change: of the znode and of its parent, where a later operation
/// of the same txn has deleted them. Otherwise they are still in the tree.
struct Lists<'a> {
    own: Option<&'a [Acl]>,
    parent: Option<&'a [Acl]>,
}

/// Fires the watches of an applied txn. An event is withheld from who may not read the znode.
pub fn notify(shared: &Shared, state: &State, applied: &Applied) {
    let lists = deleted_lists(&applied.touched);
    for (touched, lists) in applied.touched.iter().zip(lists) {
        let fired = match touched {
            Touched::Created { path } => shared.watches.created(path),
            Touched::DataChanged { path } => shared.watches.data_changed(path),
            Touched::Deleted { path, .. } => shared.watches.deleted(path),
        };
        tell(shared, state, path_of(touched), &lists, fired);
    }
}

fn path_of(touched: &Touched) -> &str {
    match touched {
        Touched::Created { path }
        | Touched::DataChanged { path }
        | Touched::Deleted { path, .. } => path,
    }
}

/// Returns the lists for each change. A list holds from its znode's creation to its deletion, so the
/// next deletion is the one that tells it.
fn deleted_lists(touched: &[Touched]) -> Vec<Lists<'_>> {
    let mut deleted: HashMap<&str, &[Acl]> = HashMap::new();
    let mut lists: Vec<Lists<'_>> = Vec::with_capacity(touched.len());
    for touched in touched.iter().rev() {
        if let Touched::Deleted { path, acl } = touched {
            deleted.insert(path, acl);
        }
        let list = |path| deleted.get(path).copied();
        let path = path_of(touched);
        lists.push(Lists { own: list(path), parent: path::parent(path).and_then(list) });
    }
    lists.reverse();
    lists
}

fn tell(shared: &Shared, state: &State, path: &str, lists: &Lists<'_>, fired: Vec<Fired>) {
    for Fired { conn, kind, path: event_path } in fired {
        let Some(connection) = shared.connections.get(&conn).map(|entry| entry.value().clone())
        else {
            continue;
        };
        let list = if event_path == path { lists.own } else { lists.parent };
        let list = list.or_else(|| state.tree.node(&event_path).map(|node| node.acl()));
        let identities = connection.identities.lock().clone();
        if list.is_some_and(|list| !acl::allows(list, &identities, Perms::READ)) {
            continue;
        }
        shared.metrics.watches_fired.increment(1);
        let event = WatchEvent {
            kind,
            state: KeeperState::SyncConnected,
            path: event_path.as_str().into(),
        };
        connection.event(&event);
    }
}
