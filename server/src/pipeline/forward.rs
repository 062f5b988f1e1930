//! Stage 2: the member's own writes on their way to the leader, and who waits for each.

use std::{collections::HashMap, sync::Arc};

use conclave_protocol::{
    ids::{SessionId, Xid},
    opcode::OpCode,
    peer::forward::Forwarded,
};
use foldhash::fast::RandomState;

use crate::{lane::Connection, limit::Place};

/// Requests that one message to the leader carries at most.
pub const FORWARD_BATCH_MAX: usize = 1024;

/// Bytes of requests after which a message to the leader ends; a request is never split.
pub const FORWARD_LEN_BYTES: usize = 4 << 20;

/// A write that admit has numbered.
#[derive(Debug)]
pub struct Submission {
    /// Who waits for it.
    pub waiter: Waiter,
    /// The member's number of it.
    pub seq: u64,
    /// What goes to the leader.
    pub kind: Submitted,
}

/// What a submission asks of the leader.
#[derive(Debug)]
pub enum Submitted {
    /// A place in the order of txns.
    Write(Forwarded),
    /// A local session becomes one of the ensemble; nobody waits for it but what is behind it.
    Upgrade(Forwarded),
    /// The zxid that a read must have seen to be fresh.
    Sync,
}

/// The client that waits for an answer.
#[derive(Debug)]
pub struct Waiter {
    /// Its connection.
    pub connection: Arc<Connection>,
    /// The session it asked in.
    pub session: SessionId,
    /// Its number of the request.
    pub xid: Xid,
    /// What the answer looks like.
    pub shape: Shape,
    /// When the owner took it, in microseconds of its clock.
    pub since_us: u64,
    /// It is under way for as long as this lives.
    pub place: Place,
}

/// Which form an answer has, as far as the txn does not tell.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Shape {
    /// A connect reply; `has_read_only` is false for clients of 3.4, which do not know the byte.
    Connect {
        /// Whether the reply carries the readOnly byte.
        has_read_only: bool,
        /// The password the client is told, when the session is new or its own.
        password: conclave_protocol::ids::Password,
    },
    /// A closeSession: the connection ends with its answer.
    Close,
    /// One operation.
    One(OpCode),
    /// A multi of these operations.
    Multi(Vec<OpCode>),
    /// A sync: its lane knows the rest.
    Sync,
    /// A local session becomes one of the ensemble: nothing is answered.
    Upgrade,
}

/// Who waits for which number.
#[derive(Debug, Default)]
pub struct Waiting {
    waiters: HashMap<u64, Waiter, RandomState>,
}

impl Waiting {
    /// Notes who waits for `seq`.
    pub fn insert(&mut self, seq: u64, waiter: Waiter) {
        let before = self.waiters.insert(seq, waiter);
        assert!(before.is_none(), "numbers are never used twice");
    }

    /// Takes out who waits for `seq`; `None` when the client has gone meanwhile.
    pub fn remove(&mut self, seq: u64) -> Option<Waiter> {
        self.waiters.remove(&seq)
    }

    /// Forgets everyone: the outcome of what was in flight is not known any more.
    pub fn clear(&mut self) {
        self.waiters.clear();
    }

    /// Returns how many wait.
    pub fn count(&self) -> usize {
        self.waiters.len()
    }
}
