//! What goes into a replica and what comes out.

use bytes::Bytes;
use conclave_protocol::{
    ids::ServerId,
    peer::{PeerMessage, zab::Epochs},
    txn::Entry,
    zxid::Zxid,
};
use conclave_zab::Mark;

use crate::{pipeline::forward::Submission, state::State};

/// What a replica is told.
#[derive(Debug)]
pub enum Event {
    /// Time has passed: one engine tick.
    Tick {
        /// Monotonic, in milliseconds.
        now_ms: u64,
        /// Wall clock, in milliseconds since 1970.
        wall_ms: i64,
    },
    /// Writes and syncs of one connection, in its order.
    Submit(Vec<Submission>),
    /// A message of another member.
    Peer {
        /// Which.
        from: ServerId,
        /// What it says.
        message: PeerMessage,
    },
    /// A connection to another member is up.
    PeerUp(ServerId),
    /// The connection to another member is gone.
    PeerDown(ServerId),
    /// The store has carried out everything up to this mark.
    Persisted(Mark),
    /// The fetched snapshot is durable, the log is reset to it, and this is its state.
    Installed(Box<State>),
    /// The fetched snapshot was no good.
    InstallFailed,
    /// A snapshot is durable, or none could be taken.
    SnapshotDone(Option<Zxid>),
    /// The disk of the log has become nearly full, or has room again.
    Room {
        /// It is nearly full.
        is_short: bool,
    },
}

/// What a replica wants done.
#[derive(Debug)]
pub enum Effect {
    /// Send a message to another member; drop it when there is no connection.
    Send {
        /// To whom.
        to: ServerId,
        /// What.
        message: PeerMessage,
    },
    /// Work for the store, in order.
    Store(StoreCommand),
    /// Take a snapshot of the state in the background and tell how it went.
    StartSnapshot,
    /// Read a piece of a snapshot file and send it.
    SendChunk {
        /// To whom.
        to: ServerId,
        /// Which snapshot.
        zxid: Zxid,
        /// Where the piece begins, in bytes.
        offset: u64,
    },
    /// End the member: it cannot go on without telling another story than the others. Says why.
    Halt(String),
}

/// Work for the store. It is carried out in order; marks are answered by [`Event::Persisted`].
#[derive(Debug)]
pub enum StoreCommand {
    /// Append to the log and sync it.
    Append {
        /// To be answered.
        mark: Mark,
        /// What to append.
        entries: Vec<Entry>,
    },
    /// Drop what is behind `after` in the log.
    Truncate {
        /// To be answered.
        mark: Mark,
        /// The last entry that stays.
        after: Zxid,
    },
    /// Replace the epochs file.
    Epochs {
        /// To be answered.
        mark: Mark,
        /// The new contents.
        epochs: Epochs,
    },
    /// Write a piece of a snapshot that is being fetched.
    WriteChunk {
        /// Which snapshot.
        zxid: Zxid,
        /// Length of the whole file in bytes.
        len_bytes: u64,
        /// Where the piece begins, in bytes.
        offset: u64,
        /// The piece.
        data: Bytes,
    },
    /// Verify the fetched snapshot, make it the newest, reset the log to it, and load it.
    Install {
        /// Which snapshot.
        zxid: Zxid,
    },
}
