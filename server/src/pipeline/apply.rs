//! Stage 5: a committed txn changes the state. Cannot fail: whatever could was decided by prepare.
//!
//! A txn may meet a state that is later than its own when a snapshot's tail is replayed over a
//! fuzzy walk; then what cannot be done any more was undone later, and is passed over.

use conclave_protocol::{
    acl::Acl,
    code::ErrorCode,
    ids::SessionId,
    stat::Stat,
    txn::{Change, Entry, Origin, QuotaUsage, Txn},
    zxid::Zxid,
};

use crate::{session::Session, state::State};

/// What an applied txn did, for notify and reply.
#[derive(Debug)]
pub struct Applied {
    /// Position of the txn.
    pub zxid: Zxid,
    /// Who waits for the answer.
    pub origin: Origin,
    /// The session that asked, or that was opened, attached or closed.
    pub session: SessionId,
    /// What to answer.
    pub outcome: Outcome,
    /// What changed in the tree, in order, for the watches.
    pub touched: Vec<Touched>,
}

/// The answer-worthy part of one change.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The request was refused.
    Refused(ErrorCode),
    /// A multi was refused because of one of its operations.
    MultiRefused {
        /// Index of the first operation that failed.
        failed_op: u32,
        /// Why.
        code: ErrorCode,
    },
    /// A session was opened or attached with this timeout.
    SessionGranted {
        /// Milliseconds.
        timeout_ms: u32,
    },
    /// The session is closed.
    SessionClosed,
    /// A znode was created.
    Created {
        /// Its final path.
        path: String,
        /// Its state right after the change.
        stat: Stat,
    },
    /// A znode was deleted, or a check held.
    Done,
    /// Data or ACL was replaced.
    Changed(Stat),
    /// Every operation of a multi, in order.
    Multi(Vec<Self>),
}

/// One change that a watch may wait for.
#[derive(Debug)]
pub enum Touched {
    /// A znode was created.
    Created {
        /// Its path.
        path: String,
    },
    /// A znode was deleted.
    Deleted {
        /// Its path.
        path: String,
        /// The list it had, which decides who may hear of it.
        acl: Vec<Acl>,
    },
    /// A znode's data was replaced.
    DataChanged {
        /// Its path.
        path: String,
    },
}

/// Applies `txn`, the decoded form of `entry`, and moves the state's position to it.
pub fn apply(state: &mut State, entry: &Entry, txn: Txn) -> Applied {
    assert!(state.last_applied < entry.zxid, "txns are applied in order, none twice");
    let mut touched = Vec::new();
    let step = Step { zxid: entry.zxid, time_ms: txn.time_ms, origin: txn.origin };
    let outcome = step.change(state, txn.session, txn.change, &mut touched);
    set_usage(state, &txn.usage);
    state.last_applied = entry.zxid;
    if let Some(tail) = &mut state.tail {
        tail.push(entry.clone());
    }
    Applied { zxid: entry.zxid, origin: txn.origin, session: txn.session, outcome, touched }
}

/// Replays an entry of a snapshot's tail, whose effects may be there already.
pub fn replay(state: &mut State, zxid: Zxid, txn: Txn) {
    let step = Step { zxid, time_ms: txn.time_ms, origin: txn.origin };
    step.change(state, txn.session, txn.change, &mut Vec::new());
    set_usage(state, &txn.usage);
    state.last_applied = zxid;
}

/// Comes after the change, which may have written into the same stats.
fn set_usage(state: &mut State, usage: &[QuotaUsage]) {
    for QuotaUsage { covered, usage } in usage {
        state.tree.set_usage(covered, *usage);
    }
}

#[derive(Clone, Copy)]
struct Step {
    zxid: Zxid,
    time_ms: i64,
    origin: Origin,
}

impl Step {
    fn change(
        self,
        state: &mut State,
        session: SessionId,
        change: Change,
        touched: &mut Vec<Touched>,
    ) -> Outcome {
        let Self { zxid, time_ms, origin } = self;
        match change {
            Change::Error(code) => Outcome::Refused(code),
            Change::MultiError { failed_op, code } => Outcome::MultiRefused { failed_op, code },
            Change::CreateSession { timeout_ms, password } => {
                let opened = Session { timeout_ms, password, owner: origin.server };
                state.sessions.open(session, opened);
                Outcome::SessionGranted { timeout_ms }
            }
            Change::AttachSession { timeout_ms } => {
                state.sessions.attach(session, origin.server, timeout_ms);
                Outcome::SessionGranted { timeout_ms }
            }
            Change::CloseSession => {
                for (path, acl) in state.tree.close_session(zxid, session) {
                    touched.push(Touched::Deleted { path, acl });
                }
                state.sessions.close(session);
                Outcome::SessionClosed
            }
            Change::Create(create) => {
                let stat = state.tree.create(zxid, time_ms, &create).unwrap_or_default();
                let path = create.path;
                touched.push(Touched::Created { path: path.clone() });
                Outcome::Created { path, stat }
            }
            Change::Delete { path } => {
                if let Some(deleted) = state.tree.delete(zxid, &path) {
                    touched.push(Touched::Deleted { path, acl: deleted.acl });
                }
                Outcome::Done
            }
            Change::SetData { path, data, version } => {
                let stat = state.tree.set_data(zxid, time_ms, &path, data, version);
                touched.push(Touched::DataChanged { path });
                Outcome::Changed(stat.unwrap_or_default())
            }
            Change::SetAcl { path, acl, aversion } => {
                Outcome::Changed(state.tree.set_acl(&path, &acl, aversion).unwrap_or_default())
            }
            Change::Check { .. } => Outcome::Done,
            Change::Multi(changes) => Outcome::Multi(
                changes
                    .into_iter()
                    .map(|change| self.change(state, session, change, touched))
                    .collect(),
            ),
        }
    }
}
