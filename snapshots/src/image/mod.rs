//! Snapshots: files that are whole or refused.
//!
//! A file is a header, blocks of records, and a footer that says how many of each there must be and
//! which txn the contents are as of. `write` makes one, `load` reads one, `transfer` moves one
//! between members, `codec` has the bytes of a record.

mod codec;
mod load;
mod transfer;
mod write;

use bytes::Bytes;
use conclave_protocol::{
    acl::Acl,
    ids::{Password, ServerId, SessionId},
    txn::{Entry, Owner},
    zxid::Zxid,
};

use crate::{StorageError, fs::Fs, name::Kind};

pub use load::ImageReader;
pub use transfer::{ImageReceiver, read_chunk};
pub use write::ImageWriter;

const MAGIC: [u8; 8] = *b"CNCLVSNP";
const VERSION: u32 = 1;

/// A block is full with this many bytes; one record may take it beyond.
const BLOCK_LEN_BYTES: usize = 64 << 10;

/// One piece of an image.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ImageRecord {
    /// A session that is open.
    Session(SessionRecord),
    /// An access control list, to be named by number.
    Acl {
        /// Its number.
        number: u32,
        /// The list.
        list: Vec<Acl>,
    },
    /// A znode.
    Node(NodeRecord),
    /// A txn that was applied while the znodes were walked, to be applied again over them.
    Txn(Entry),
}

/// A session that is open.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SessionRecord {
    /// Which.
    pub id: SessionId,
    /// Timeout granted, in milliseconds.
    pub timeout_ms: u32,
    /// Proof for a later attach.
    pub password: Password,
    /// The member it is connected to.
    pub owner: ServerId,
}

/// A znode.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NodeRecord {
    /// Its number in this image.
    pub number: u32,
    /// The number of its parent.
    pub parent: u32,
    /// The last part of its path.
    pub name: String,
    /// Data; null and empty are kept apart.
    pub data: Option<Bytes>,
    /// The number of its list.
    pub acl: u32,
    /// What keeps it.
    pub owner: Owner,
    /// Created by.
    pub czxid: Zxid,
    /// Data last changed by.
    pub mzxid: Zxid,
    /// Children last changed by.
    pub pzxid: Zxid,
    /// When it was created, ms since 1970.
    pub ctime_ms: i64,
    /// When its data was last changed, ms since 1970.
    pub mtime_ms: i64,
    /// Changes of the data.
    pub version: i32,
    /// Changes of the list.
    pub aversion: i32,
    /// Children ever created.
    pub created: i32,
}

/// A snapshot that is durable.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PathInfo {
    /// Path of the file.
    pub path: String,
    /// The last txn in it.
    pub zxid: Zxid,
    /// Length of the file in bytes.
    pub len_bytes: u64,
}

/// Returns the zxids of the snapshots in `dir`, by their names, ascending.
///
/// # Errors
///
/// [`StorageError`] when the folder cannot be read.
pub fn list<F: Fs>(fs: &F, dir: &str) -> Result<Vec<Zxid>, StorageError> {
    let names = fs.list(dir).map_err(|error| StorageError::io("list", dir, error))?;
    Ok(Kind::Snapshot.zxids(&names))
}

/// How many records of each kind an image has.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Counts {
    sessions: u64,
    acls: u64,
    nodes: u64,
    txns: u64,
}

impl Counts {
    const fn add(&mut self, record: &ImageRecord) {
        match record {
            ImageRecord::Session(_) => self.sessions += 1,
            ImageRecord::Acl { .. } => self.acls += 1,
            ImageRecord::Node(_) => self.nodes += 1,
            ImageRecord::Txn(_) => self.txns += 1,
        }
    }
}

/// What the last block says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Footer {
    end: Zxid,
    counts: Counts,
    /// Checksum over the checksums of all blocks before it.
    chain: u32,
}

const FOOTER_LEN_BYTES: usize = 45;

/// Length of the footer's block with its frame, in bytes.
const FOOTER_BLOCK_LEN_BYTES: usize = FOOTER_LEN_BYTES + crate::record::FRAME_LEN_BYTES;

/// First byte of a block of records.
const BLOCK_RECORDS: u8 = 1;

/// First byte of the footer.
const BLOCK_FOOTER: u8 = 2;
