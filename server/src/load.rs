//! From snapshot records to a state: the walk's records first, then the tail's txns over them.

use conclave_protocol::{txn::Txn, zxid::Zxid};
use conclave_snapshots::{
    StorageError,
    fs::Fs,
    image::{ImageReader, ImageRecord, SessionRecord},
    recover::ImageSink,
};
use thiserror::Error;

use crate::{
    pipeline::apply,
    session::Session,
    state::State,
    tree::{LoadTreeError, TreeLoader},
};

/// Why a snapshot does not become a state.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The file cannot be read or fails its checks.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// Its records make no tree.
    #[error("snapshot holds no tree: {0}")]
    Tree(#[from] LoadTreeError),
    /// A txn of its tail cannot be read.
    #[error("snapshot's tail holds no txn at {zxid}")]
    Txn {
        /// Where.
        zxid: Zxid,
    },
}

/// Loads the snapshot of `zxid`; `seed` keys the tree's hash table.
///
/// # Errors
///
/// [`LoadError`]; nothing of a bad snapshot is used.
pub fn load<F: Fs>(fs: &F, dir: &str, zxid: Zxid, seed: u64) -> Result<State, LoadError> {
    let mut loader = Loader::new(seed);
    let reader = ImageReader::open(fs, dir, zxid)?;
    reader.for_each(|record| loader.add(record))?;
    loader.finish(zxid)
}

/// Gathers the records of one snapshot.
#[derive(Debug)]
pub struct Loader {
    seed: u64,
    tree: TreeLoader,
    sessions: Vec<SessionRecord>,
    tail: Vec<conclave_protocol::txn::Entry>,
}

impl Loader {
    /// Starts with nothing.
    pub fn new(seed: u64) -> Self {
        Self { seed, tree: TreeLoader::new(seed), sessions: Vec::new(), tail: Vec::new() }
    }

    fn add(&mut self, record: ImageRecord) -> Result<(), String> {
        match record {
            ImageRecord::Session(session) => self.sessions.push(session),
            ImageRecord::Txn(entry) => self.tail.push(entry),
            ImageRecord::Acl { number, list } => {
                self.tree.acl(number, list).map_err(|error| error.to_string())?;
            }
            ImageRecord::Node(node) => {
                self.tree.node(node).map_err(|error| error.to_string())?;
            }
        }
        Ok(())
    }

    /// Returns the state as of `end`: an empty one when no record was added.
    ///
    /// # Errors
    ///
    /// [`LoadError`] when the records make no state.
    pub fn finish(self, end: Zxid) -> Result<State, LoadError> {
        let mut state = State::new(self.seed);
        if end == Zxid::ZERO {
            return Ok(state);
        }
        state.tree = self.tree.finish()?;
        for SessionRecord { id, timeout_ms, password, owner } in self.sessions {
            state.sessions.open(id, Session { timeout_ms, password, owner });
        }
        for entry in self.tail {
            let txn = Txn::decode(entry.txn).map_err(|_| LoadError::Txn { zxid: entry.zxid })?;
            apply::replay(&mut state, entry.zxid, txn);
        }
        state.last_applied = end;
        Ok(state)
    }
}

impl ImageSink for Loader {
    fn reset(&mut self) {
        *self = Self::new(self.seed);
    }

    fn record(&mut self, record: ImageRecord) -> Result<(), String> {
        self.add(record)
    }
}
