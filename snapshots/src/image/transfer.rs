//! Moving a snapshot between members. Neither believes what the other says about lengths.

use std::io::ErrorKind;

use bytes::Bytes;
use conclave_protocol::zxid::Zxid;

use super::{FOOTER_BLOCK_LEN_BYTES, ImageReader, PathInfo, write::publish};
use crate::{
    StorageError,
    fs::{File, Fs},
    name::{Kind, TEMPORARY_SUFFIX},
    record::HEADER_LEN_BYTES,
};

/// Length of a snapshot that is received, at most.
const IMAGE_LEN_BYTES_MAX: u64 = 1 << 40;

/// Bytes received between two syncs.
const SYNC_STEP_BYTES: u64 = 16 << 20;

/// Takes in a snapshot piece by piece under a temporary name, until it is whole and verified.
#[derive(Debug)]
pub struct ImageReceiver<F: Fs> {
    fs: F,
    dir: String,
    temporary: String,
    file: F::File,
    zxid: Zxid,
    len_bytes: u64,
    received: u64,
    synced: u64,
    is_finished: bool,
}

impl<F: Fs> ImageReceiver<F> {
    /// Starts to receive the snapshot of `zxid`, said to be `len_bytes` long. Reserves nothing.
    ///
    /// # Errors
    ///
    /// [`StorageError::Transfer`] for a length that no snapshot has.
    pub fn create(fs: &F, dir: &str, zxid: Zxid, len_bytes: u64) -> Result<Self, StorageError> {
        let temporary = format!("{dir}/fetch.{zxid}{TEMPORARY_SUFFIX}");
        let len_min = (HEADER_LEN_BYTES + FOOTER_BLOCK_LEN_BYTES) as u64;
        if !(len_min..=IMAGE_LEN_BYTES_MAX).contains(&len_bytes) {
            let reason = "no snapshot has the length announced";
            return Err(StorageError::Transfer { file: temporary, offset: 0, reason });
        }
        let file = fs.create(&temporary).map_err(|e| StorageError::io("create", &temporary, e))?;
        Ok(Self {
            fs: fs.clone(),
            dir: dir.to_owned(),
            temporary,
            file,
            zxid,
            len_bytes,
            received: 0,
            synced: 0,
            is_finished: false,
        })
    }

    /// Returns where the next piece begins, in bytes.
    pub const fn received(&self) -> u64 {
        self.received
    }

    /// Writes the next piece.
    ///
    /// # Errors
    ///
    /// [`StorageError::Transfer`] for a piece that is not the next or goes beyond the end.
    pub fn write_chunk(&mut self, offset: u64, data: &[u8]) -> Result<(), StorageError> {
        let misfit =
            |reason| Err(StorageError::Transfer { file: self.temporary.clone(), offset, reason });
        if offset != self.received {
            return misfit("it is not the next");
        }
        if data.is_empty() || data.len() as u64 > self.len_bytes - self.received {
            return misfit("it has not the length that is missing");
        }
        self.file
            .write_at(offset, data)
            .map_err(|e| StorageError::io("write", &self.temporary, e))?;
        self.received += data.len() as u64;
        if self.received - self.synced >= SYNC_STEP_BYTES {
            self.file.sync().map_err(|e| StorageError::sync(&self.temporary, e))?;
            self.synced = self.received;
        }
        Ok(())
    }

    /// Verifies the whole and gives it its name; it is durable when this returns.
    ///
    /// # Errors
    ///
    /// [`StorageError`]: nothing of it is used.
    pub fn finish(mut self) -> Result<PathInfo, StorageError> {
        if self.received != self.len_bytes {
            let (file, offset) = (self.temporary.clone(), self.received);
            return Err(StorageError::Transfer { file, offset, reason: "it is missing" });
        }
        self.file.sync().map_err(|e| StorageError::sync(&self.temporary, e))?;
        ImageReader::open_path(&self.fs, self.temporary.clone(), self.zxid)?
            .for_each(|_| Ok(()))?;
        let path = Kind::Snapshot.path(&self.dir, self.zxid);
        publish(&self.fs, &self.dir, &self.temporary, &path)?;
        self.is_finished = true;
        Ok(PathInfo { path, zxid: self.zxid, len_bytes: self.len_bytes })
    }
}

impl<F: Fs> Drop for ImageReceiver<F> {
    fn drop(&mut self) {
        if !self.is_finished {
            // Only for the room: recovery removes what is left of it.
            drop(self.fs.remove(&self.temporary));
        }
    }
}

/// Reads at most `len_max` bytes of the snapshot of `zxid` from `offset`, and returns the length of
/// the whole with them.
///
/// # Errors
///
/// [`StorageError::Transfer`] when `offset` is not within it.
pub fn read_chunk<F: Fs>(
    fs: &F,
    dir: &str,
    zxid: Zxid,
    offset: u64,
    len_max: usize,
) -> Result<(u64, Bytes), StorageError> {
    let path = Kind::Snapshot.path(dir, zxid);
    let io = |error| StorageError::io("read", &path, error);
    let file = fs.open(&path).map_err(io)?;
    let len_bytes = file.len().map_err(io)?;
    if offset >= len_bytes {
        let reason = "the snapshot ends before it";
        return Err(StorageError::Transfer { file: path, offset, reason });
    }
    let mut bytes = vec![0; (len_max as u64).min(len_bytes - offset) as usize];
    if file.read_at(offset, &mut bytes).map_err(io)? != bytes.len() {
        return Err(io(ErrorKind::UnexpectedEof.into()));
    }
    Ok((len_bytes, bytes.into()))
}
