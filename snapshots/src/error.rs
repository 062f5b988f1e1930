//! Why the disk let us down.

use std::io;

use conclave_protocol::zxid::Zxid;
use thiserror::Error;

/// What is wrong with a file, where, and what to do about it.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("{file} is damaged at offset {offset}, behind zxid 0x{zxid}: {hint}")]
pub struct Damage {
    /// Path of the file.
    pub file: String,
    /// Where its good part ends, in bytes.
    pub offset: u64,
    /// The last zxid known to be good before it.
    pub zxid: Zxid,
    /// What was found, and what to do.
    pub hint: String,
}

/// Why durable work failed. Ours, not a client's: nothing is retried as if it had not happened.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StorageError {
    /// The disk is full. A log is as it was before; once there is room the same call succeeds.
    #[error("no space left for {file}")]
    NoSpace {
        /// Path of the file that had to grow.
        file: String,
    },
    /// A call to the disk failed; after a write or sync nobody knows what is on it.
    #[error("cannot {what} {file}: {source}")]
    Io {
        /// What was tried, as a verb.
        what: &'static str,
        /// Path of the file or folder.
        file: String,
        /// Why it failed.
        source: io::Error,
    },
    /// An earlier write or sync of this log failed: what is on disk is found out by recovery only.
    #[error("the log failed earlier and takes nothing more")]
    Poisoned,
    /// A file is not what was written.
    #[error(transparent)]
    Damaged(#[from] Damage),
    /// A file was written by a version that this one does not know.
    #[error("{file} has format version {got}, and this program reads up to {known}")]
    Version {
        /// Path of the file.
        file: String,
        /// Its version.
        got: u32,
        /// The newest version read.
        known: u32,
    },
    /// A peer sent a snapshot in pieces that do not fit. The peer's fault.
    #[error("piece at byte {offset} of {file} does not fit: {reason}")]
    Transfer {
        /// Path of the file that was being received.
        file: String,
        /// Where the piece begins, in bytes.
        offset: u64,
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl StorageError {
    /// Names a failed call to the disk.
    pub(crate) fn io(what: &'static str, file: &str, source: io::Error) -> Self {
        let file = file.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::NoSpace { file },
            _ => Self::Io { what, file, source },
        }
    }

    /// Names a failed sync: also one for want of space leaves unknown what is on the disk.
    pub(crate) fn sync(file: &str, source: io::Error) -> Self {
        Self::Io { what: "sync", file: file.to_owned(), source }
    }

    /// Names damage of a file.
    pub(crate) fn damaged(file: &str, offset: u64, zxid: Zxid, hint: impl Into<String>) -> Self {
        Self::Damaged(Damage { file: file.to_owned(), offset, zxid, hint: hint.into() })
    }
}
