//! Stage 6: what a txn changed becomes events in the outboxes of those who watch, before any reply
//! could show the change: the caller still holds the state exclusively.

use conclave_protocol::{
    acl::{Acl, Perms},
    event::{KeeperState, WatchEvent},
};

use super::apply::{Applied, Touched};
use crate::{acl, shared::Shared, state::State, watch::Fired};

/// Fires the watches of an applied txn. An event is withheld from who may not read the znode.
pub fn notify(shared: &Shared, state: &State, applied: &Applied) {
    for touched in &applied.touched {
        match touched {
            Touched::Created { path } => {
                tell(shared, state, path, None, shared.watches.created(path));
            }
            Touched::DataChanged { path } => {
                tell(shared, state, path, None, shared.watches.data_changed(path));
            }
            Touched::Deleted { path, acl } => {
                tell(shared, state, path, Some(acl), shared.watches.deleted(path));
            }
        }
    }
}

/// `acl` is the list that a deleted znode had; otherwise the znode itself tells.
fn tell(shared: &Shared, state: &State, path: &str, acl: Option<&[Acl]>, fired: Vec<Fired>) {
    for Fired { conn, kind, path: event_path } in fired {
        let Some(connection) = shared.connections.get(&conn).map(|entry| entry.value().clone())
        else {
            continue;
        };
        let is_own = event_path == path;
        let list = match acl {
            Some(list) if is_own => Some(list),
            _ => state.tree.node(&event_path).map(|node| node.acl()),
        };
        let identities = connection.identities.lock().clone();
        // A znode that a later operation of the same multi deleted can be told of by its event
        // alone; there is nothing left to read.
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
