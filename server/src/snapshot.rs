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
    let (mut walk, start, sessions) = begin(shared);
    let result = write(fs, dir, shared, &mut walk, start, sessions);
    let mut state = shared.state.write();
    if state.tail.take().is_some() {
        state.tree.end_walk();
    }
    result
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

fn write<F: Fs>(
    fs: &F,
    dir: &str,
    shared: &Shared,
    walk: &mut Walk,
    start: Zxid,
    sessions: Vec<SessionRecord>,
) -> Result<Option<Zxid>, StorageError> {
    let mut writer = ImageWriter::create(fs, dir, start)?;
    for session in sessions {
        writer.put(&ImageRecord::Session(session))?;
    }
    loop {
        let slice = {
            let state = shared.state.read();
            // A fetched snapshot has replaced the state: what is walked is not it any more.
            if state.tail.is_none() {
                return Ok(None);
            }
            walk.slice(&state.tree, SLICE_ZNODES)
        };
        let Some(records) = slice else { break };
        for record in &records {
            writer.put(record)?;
        }
    }
    let (tail, end) = {
        let mut state = shared.state.write();
        let Some(tail) = state.tail.as_mut().map(std::mem::take) else { return Ok(None) };
        (tail, state.last_applied)
    };
    for entry in tail {
        writer.put(&ImageRecord::Txn(entry))?;
    }
    writer.finish(end)?;
    Ok(Some(end))
}
