//! What the state will be when everything in flight is applied, as far as prepare needs it: the
//! leader judges a request by this, not by the tree alone.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use conclave_protocol::{
    acl::Acl,
    ids::{ServerId, SessionId},
    path,
    txn::Owner,
};
use foldhash::fast::RandomState;

use super::{overlay::Overlay, quota::Quotas};
use crate::{session::Session, state::State};

/// A znode as it will be.
#[derive(Clone, Debug, PartialEq)]
pub struct Future {
    /// Changes of the data.
    pub version: i32,
    /// Changes of the ACL.
    pub aversion: i32,
    /// Children ever created.
    pub created: i32,
    /// Children present.
    pub child_count: u32,
    /// What keeps it.
    pub owner: Owner,
    /// Length of the data, in bytes.
    pub data_len: usize,
    /// Who may do what.
    pub acl: Arc<[Acl]>,
}

/// A session as it will be: owner and password, or closed.
#[derive(Clone, Copy, Debug)]
enum FutureSession {
    Open(Session),
    Closed,
}

#[derive(Debug)]
struct SessionRecord {
    /// In-flight txns that touch it; at 0 the state itself tells the truth.
    in_flight: u32,
    future: FutureSession,
}

/// The overlay over the state. Lives as long as the lead does.
#[derive(Debug, Default)]
pub struct Outstanding {
    pub(super) znodes: Overlay<Option<Future>>,
    pub(super) quotas: Quotas,
    sessions: HashMap<SessionId, SessionRecord, RandomState>,
    /// How much each prepared and not yet applied txn touches, oldest first.
    in_flight: VecDeque<Touches>,
    current_session: Option<SessionId>,
}

#[derive(Debug)]
struct Touches {
    znodes: usize,
    quotas: usize,
    session: Option<SessionId>,
}

impl Outstanding {
    /// Returns the number of txns in flight.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Returns a znode as it will be, or `None` when there will be none.
    pub fn znode(&self, state: &State, path: &str) -> Option<Future> {
        if let Some(future) = self.znodes.find(path) {
            return future.clone();
        }
        let node = state.tree.node(path)?;
        Some(Future {
            version: node.version(),
            aversion: node.aversion(),
            created: node.created(),
            child_count: node.child_count(),
            owner: node.owner(),
            data_len: node.data_len(),
            acl: node.shared_acl(),
        })
    }

    /// Returns whether a txn in flight changes a znode or its children.
    pub fn touches(&self, path: &str) -> bool {
        self.znodes.find(path).is_some()
    }

    /// Sets what a znode will be after the txn being prepared.
    pub fn set_znode(&mut self, path: &str, future: Option<Future>) {
        self.znodes.set(path, future);
    }

    /// Returns the owner, password and timeout that an open session will have.
    pub fn session(&self, state: &State, id: SessionId) -> Option<Session> {
        match self.sessions.get(&id).map(|record| record.future) {
            Some(FutureSession::Open(session)) => Some(session),
            Some(FutureSession::Closed) => None,
            None => state.sessions.find(id).copied(),
        }
    }

    /// Sets what a session will be after the txn being prepared; `None` closes it.
    pub fn set_session(&mut self, id: SessionId, session: Option<Session>) {
        let future = session.map_or(FutureSession::Closed, FutureSession::Open);
        let record = self.sessions.entry(id).or_insert(SessionRecord { in_flight: 0, future });
        record.in_flight += 1;
        record.future = future;
        self.current_session = Some(id);
    }

    /// Returns the paths of a session's ephemerals as they will be, in order.
    pub fn ephemerals(&self, state: &State, id: SessionId) -> Vec<String> {
        let is_own = |future: &Option<Future>| {
            future.as_ref().is_some_and(|future| future.owner == Owner::Ephemeral(id))
        };
        let mut paths: Vec<String> = state
            .tree
            .ephemerals(id)
            .filter(|path| self.znodes.find(path).is_none_or(is_own))
            .collect();
        let known = paths.len();
        for (path, future) in self.znodes.iter() {
            let is_new = |path| paths[..known].binary_search_by(|known| (**known).cmp(path));
            if is_own(future) && is_new(path).is_err() {
                paths.push(path.to_owned());
            }
        }
        paths.sort_unstable();
        paths
    }

    /// Notes that a znode will be gone and its parent has a child less.
    pub fn remove_znode(&mut self, state: &State, path: &str) {
        self.set_znode(path, None);
        let parent = path::parent(path).expect("the root is never removed");
        if let Some(mut future) = self.znode(state, parent) {
            future.child_count = future.child_count.saturating_sub(1);
            self.set_znode(parent, Some(future));
        }
    }

    /// Takes back what the txn being prepared has set so far.
    pub fn undo(&mut self) {
        assert!(self.current_session.is_none(), "only requests on znodes are undone");
        self.znodes.undo();
        self.quotas.undo();
    }

    /// Ends the preparation of one txn: what it touched stays until [`Self::applied`].
    pub fn prepared(&mut self) {
        self.in_flight.push_back(Touches {
            znodes: self.znodes.prepared(),
            quotas: self.quotas.prepared(),
            session: self.current_session.take(),
        });
    }

    /// Notes that the oldest txn in flight is applied.
    pub fn applied(&mut self) {
        let Touches { znodes, quotas, session } =
            self.in_flight.pop_front().expect("a leader applies what it prepared, in order");
        self.znodes.applied(znodes);
        self.quotas.applied(quotas);
        if let Some(id) = session {
            let record = self.sessions.get_mut(&id).expect("in flight until now");
            record.in_flight -= 1;
            if record.in_flight == 0 {
                self.sessions.remove(&id);
            }
        }
    }

    /// Returns whether requests of `session` may still come from `server`.
    pub fn is_owned_by(&self, state: &State, session: SessionId, server: ServerId) -> Option<bool> {
        self.session(state, session).map(|found| found.owner == server)
    }
}
