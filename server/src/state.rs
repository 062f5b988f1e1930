//! The replicated state of a member: the tree and the sessions as of one zxid. Only apply changes
//! it, under the exclusive guard; reads share it.

use bytes::Bytes;
use conclave_protocol::{txn::Entry, zxid::Zxid};

use crate::{session::Table, tree::Tree};

/// Everything that txns change.
#[derive(Debug)]
pub struct State {
    /// The znodes.
    pub tree: Tree,
    /// The open sessions.
    pub sessions: Table,
    /// The newest txn that is applied.
    pub last_applied: Zxid,
    /// What `/zookeeper/config` tells as long as nobody has written to it: the members, as this one's
    /// configuration has them. Of a member without others it is empty.
    pub members: Bytes,
    /// Txns applied since a snapshot's walk began, while one is under way: its tail.
    pub tail: Option<Vec<Entry>>,
}

impl State {
    /// Returns the state of an empty member; `seed` keys the tree's hash table.
    pub fn new(seed: u64) -> Self {
        Self {
            tree: Tree::new(seed),
            sessions: Table::default(),
            last_applied: Zxid::ZERO,
            members: Bytes::new(),
            tail: None,
        }
    }

    /// Takes over what was loaded from a snapshot.
    pub fn install(&mut self, loaded: Self) {
        let members = std::mem::take(&mut self.members);
        *self = Self { members, ..loaded };
    }
}
