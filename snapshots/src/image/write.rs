//! Writing a snapshot.

use conclave_protocol::zxid::Zxid;

use super::{
    BLOCK_LEN_BYTES, BLOCK_RECORDS, Counts, Footer, ImageRecord, MAGIC, PathInfo, VERSION,
};
use crate::{
    StorageError,
    fs::{File, Fs},
    name::{Kind, TEMPORARY_SUFFIX},
    record::{self, Place},
};

/// Bytes written between two syncs: what is held back to the end would stall the log's own sync.
const SYNC_STEP_BYTES: u64 = 16 << 20;

/// Writes one snapshot under a temporary name, until it is whole.
#[derive(Debug)]
pub struct ImageWriter<F: Fs> {
    fs: F,
    dir: String,
    temporary: String,
    file: F::File,
    start: Zxid,
    /// Encoded records that are not written yet.
    block: Vec<u8>,
    framed: Vec<u8>,
    offset: u64,
    synced: u64,
    counts: Counts,
    chain: crc32fast::Hasher,
    is_finished: bool,
}

impl<F: Fs> ImageWriter<F> {
    /// Starts a snapshot whose walk begins behind `start`.
    ///
    /// # Errors
    ///
    /// [`StorageError`]; nothing is left behind.
    pub fn create(fs: &F, dir: &str, start: Zxid) -> Result<Self, StorageError> {
        let temporary = format!("{dir}/walk.{start}{TEMPORARY_SUFFIX}");
        let file = fs.create(&temporary).map_err(|e| StorageError::io("create", &temporary, e))?;
        let mut writer = Self {
            fs: fs.clone(),
            dir: dir.to_owned(),
            temporary,
            file,
            start,
            block: Vec::with_capacity(BLOCK_LEN_BYTES + 4096),
            framed: Vec::with_capacity(BLOCK_LEN_BYTES + 4096),
            offset: 0,
            synced: 0,
            counts: Counts::default(),
            chain: crc32fast::Hasher::new(),
            is_finished: false,
        };
        writer.framed.extend_from_slice(&record::header(MAGIC, VERSION, start.0));
        writer.write_framed()?;
        Ok(writer)
    }

    /// Adds a record.
    ///
    /// # Errors
    ///
    /// [`StorageError`]: the snapshot is given up.
    pub fn put(&mut self, record: &ImageRecord) -> Result<(), StorageError> {
        self.counts.add(record);
        if self.block.is_empty() {
            self.block.push(BLOCK_RECORDS);
        }
        record.encode(&mut self.block);
        if self.block.len() >= BLOCK_LEN_BYTES { self.flush() } else { Ok(()) }
    }

    /// Completes the snapshot as of `end`; it is durable, and found by its name, when this returns.
    ///
    /// # Errors
    ///
    /// [`StorageError`]: there is no such snapshot, and older ones are as they were.
    ///
    /// # Panics
    ///
    /// When `end` is before the start of the walk.
    pub fn finish(mut self, end: Zxid) -> Result<PathInfo, StorageError> {
        assert!(self.start <= end, "the walk began at {:?}, behind {end:?}", self.start);
        self.flush()?;
        let footer = Footer { end, counts: self.counts, chain: self.chain.clone().finalize() };
        let place = Place { file: self.start.0, offset: self.offset };
        record::frame(&mut self.framed, place, |out| footer.encode(out));
        self.write_framed()?;
        self.file.sync().map_err(|e| StorageError::sync(&self.temporary, e))?;
        let path = Kind::Snapshot.path(&self.dir, end);
        publish(&self.fs, &self.dir, &self.temporary, &path)?;
        self.is_finished = true;
        Ok(PathInfo { path, zxid: end, len_bytes: self.offset })
    }

    fn flush(&mut self) -> Result<(), StorageError> {
        if self.block.is_empty() {
            return Ok(());
        }
        let place = Place { file: self.start.0, offset: self.offset };
        let block = &self.block;
        record::frame(&mut self.framed, place, |out| out.extend_from_slice(block));
        self.chain.update(&self.framed[4..8]);
        self.block.clear();
        self.write_framed()
    }

    fn write_framed(&mut self) -> Result<(), StorageError> {
        self.file
            .write_at(self.offset, &self.framed)
            .map_err(|e| StorageError::io("write", &self.temporary, e))?;
        self.offset += self.framed.len() as u64;
        self.framed.clear();
        if self.offset - self.synced >= SYNC_STEP_BYTES {
            self.file.sync().map_err(|e| StorageError::sync(&self.temporary, e))?;
            self.synced = self.offset;
        }
        Ok(())
    }
}

impl<F: Fs> Drop for ImageWriter<F> {
    fn drop(&mut self) {
        if !self.is_finished {
            // Only for the room: recovery removes what is left of it.
            drop(self.fs.remove(&self.temporary));
        }
    }
}

/// Gives a synced file its name, durably.
pub(super) fn publish<F: Fs>(
    fs: &F,
    dir: &str,
    temporary: &str,
    path: &str,
) -> Result<(), StorageError> {
    fs.rename(temporary, path).map_err(|e| StorageError::io("rename", temporary, e))?;
    fs.sync_dir(dir).map_err(|e| StorageError::sync(dir, e))
}
