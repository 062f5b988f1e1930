//! Taking a snapshot: the tree is walked in slices under the shared guard while writes go on; then
//! what was applied meanwhile is added, so that the file is exact as of its last txn.

use conclave_protocol::zxid::Zxid;
use conclave_snapshots::{
    StorageError,
    fs::Fs,
    image::{ImageRecord, ImageWriter, SessionRecord},
};

use crate::{shared::Shared, tree::Walk};

/// Znodes copied under one guard: no request waits for more.
const SLICE_ZNODES: usize = 1000;

/// Writes a snapshot; `None` when the state was replaced by a fetched one meanwhile.
///
/// # Errors
///
/// [`StorageError`]: the log still has everything, and the next attempt may find room.
pub fn take<F: Fs>(fs: &F, dir: &str, shared: &Shared) -> Result<Option<Zxid>, StorageError> {
    let mut taking = Taking::begin(fs, dir, shared)?;
    loop {
        if let Progress::Over(end) = taking.advance(shared, SLICE_ZNODES)? {
            return Ok(end);
        }
    }
}

/// A snapshot that is being taken, slice by slice.
#[derive(Debug)]
pub struct Taking<F: Fs> {
    writer: Option<ImageWriter<F>>,
    walk: Walk,
}

/// How far a snapshot is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Progress {
    /// There is more to write.
    More,
    /// It is durable, and exact as of this txn; or was given up, as the state was replaced.
    Over(Option<Zxid>),
}

impl<F: Fs> Taking<F> {
    /// Begins a snapshot; one is taken at a time.
    ///
    /// # Errors
    ///
    /// [`StorageError`]: nothing is under way then.
    pub fn begin(fs: &F, dir: &str, shared: &Shared) -> Result<Self, StorageError> {
        let (walk, start, sessions) = begin(shared);
        let write = || -> Result<_, StorageError> {
            let mut writer = ImageWriter::create(fs, dir, start)?;
            for session in sessions {
                writer.put(&ImageRecord::Session(session))?;
            }
            Ok(writer)
        };
        let writer = write().inspect_err(|_| end(shared))?;
        Ok(Self { writer: Some(writer), walk })
    }

    /// Writes as many znodes, or the end. Writes of clients may come between two slices.
    ///
    /// # Errors
    ///
    /// [`StorageError`]: nothing is under way then.
    pub fn advance(&mut self, shared: &Shared, znodes: usize) -> Result<Progress, StorageError> {
        let progress = self.slice(shared, znodes);
        if !matches!(progress, Ok(Progress::More)) {
            end(shared);
        }
        progress
    }

    fn slice(&mut self, shared: &Shared, znodes: usize) -> Result<Progress, StorageError> {
        let Some(mut writer) = self.writer.take() else { return Ok(Progress::Over(None)) };
        let slice = {
            let state = shared.state.read();
            // A fetched snapshot has replaced the state: what is walked is not it any more.
            if state.tail.is_none() {
                return Ok(Progress::Over(None));
            }
            self.walk.slice(&state.tree, znodes)
        };
        if let Some(records) = slice {
            for record in &records {
                writer.put(record)?;
            }
            self.writer = Some(writer);
            return Ok(Progress::More);
        }
        let (tail, end) = {
            let mut state = shared.state.write();
            let tail = state.tail.as_mut().map(std::mem::take);
            let Some(tail) = tail else { return Ok(Progress::Over(None)) };
            (tail, state.last_applied)
        };
        for entry in tail {
            writer.put(&ImageRecord::Txn(entry))?;
        }
        writer.finish(end)?;
        Ok(Progress::Over(Some(end)))
    }
}

fn begin(shared: &Shared) -> (Walk, Zxid, Vec<SessionRecord>) {
    let mut state = shared.state.write();
    assert!(state.tail.is_none(), "one snapshot is taken at a time");
    state.tail = Some(Vec::new());
    let sessions = state
        .sessions
        .iter()
        .map(|(id, session)| SessionRecord {
            id,
            timeout_ms: session.timeout_ms,
            password: session.password,
            owner: session.owner,
        })
        .collect();
    let start = state.last_applied;
    (Walk::begin(&mut state.tree), start, sessions)
}

fn end(shared: &Shared) {
    let mut state = shared.state.write();
    if state.tail.take().is_some() {
        state.tree.end_walk();
    }
}
