//! The write-ahead log: segments of records without gaps, each named by its first zxid.
//!
//! - `segment`: the file being written: its header, its reserved space, its end.
//! - `append`: appending, syncing, rolling.
//! - `truncate`: dropping entries from the end, from the front, and all of them.
//! - `replay`: reading, and telling a torn tail from damage.
//! - `synced`: the separate record of how far the log was synced.
//!
//! [`crate::recover`] opens a log.

mod append;
mod replay;
mod segment;
mod synced;
mod truncate;

use conclave_protocol::zxid::Zxid;

use crate::{StorageError, fs::Fs, name::Kind};

pub use replay::LogReader;
pub(crate) use replay::{Cut, Replay, replay};
use segment::Segment;
pub(crate) use synced::{Synced, read_synced, remove_synced};

/// How a log uses its disk.
#[derive(Clone, Copy, Debug)]
pub struct LogOptions {
    /// A segment this long is followed by a new one, in bytes.
    pub segment_len_bytes: u64,
    /// Space is reserved in steps of this, in bytes; 0 reserves none.
    pub preallocate_bytes: u64,
}

impl LogOptions {
    /// Sets the step of reserved space as the configuration gives it, in KiB.
    #[must_use]
    pub const fn pre_alloc_size_kib(mut self, pre_alloc_size_kib: u32) -> Self {
        self.preallocate_bytes = pre_alloc_size_kib as u64 * 1024;
        self
    }
}

/// Segments of 64 MiB, reserved at once.
impl Default for LogOptions {
    fn default() -> Self {
        Self { segment_len_bytes: 64 << 20, preallocate_bytes: 64 << 20 }
    }
}

/// A write-ahead log that is open for appending.
#[derive(Debug)]
pub struct Log<F: Fs> {
    fs: F,
    dir: String,
    options: LogOptions,
    /// First zxids of the segments that take nothing more, ascending.
    sealed: Vec<Zxid>,
    /// The segment that takes what is appended; none after a roll, until the next append.
    current: Option<Segment<F>>,
    /// The snapshot that the log goes on from: it has what older segments may lack.
    base: Zxid,
    /// The last entry appended, or what a new one must follow.
    last: Zxid,
    synced: Synced<F>,
    health: Health,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Health {
    Sound,
    /// A write or sync failed: nobody knows what is on the disk.
    Poisoned,
}

impl<F: Fs> Log<F> {
    /// Takes over recovered segments behind the snapshot of `base`; everything up to `last` is
    /// durable.
    pub(crate) fn open(
        fs: &F,
        dir: &str,
        synced_dir: &str,
        options: LogOptions,
        segments: Vec<Zxid>,
        base: Zxid,
        last: Zxid,
    ) -> Result<Self, StorageError> {
        assert!(segments.is_sorted(), "segments come in log order");
        let synced = Synced::create(fs, synced_dir, last)?;
        Ok(Self {
            fs: fs.clone(),
            dir: dir.to_owned(),
            options,
            sealed: segments,
            current: None,
            base,
            last,
            synced,
            health: Health::Sound,
        })
    }

    /// Returns the last entry's zxid; that of the snapshot when there is no entry behind it.
    pub const fn last_zxid(&self) -> Zxid {
        self.last
    }

    /// Returns the number of segments on disk.
    pub fn segment_count(&self) -> usize {
        self.sealed.len() + usize::from(self.current.is_some())
    }

    fn path(&self, first: Zxid) -> String {
        Kind::Log.path(&self.dir, first)
    }

    /// Runs a change of the disk; after one that failed the log takes no other.
    fn guard<T>(
        &mut self,
        change: impl FnOnce(&mut Self) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        if self.health == Health::Poisoned {
            return Err(StorageError::Poisoned);
        }
        // Poisoned until it has succeeded, so that no way out can forget it.
        self.health = Health::Poisoned;
        let result = change(self);
        if result.is_ok() {
            self.health = Health::Sound;
        }
        result
    }
}
