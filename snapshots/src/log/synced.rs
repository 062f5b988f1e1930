//! The separate record of how far the log was synced. A bad record before it is damage, however
//! near the end: it had been acked; one behind it may be torn.
//!
//! It is written after each sync and not synced itself, which would double the cost: the kill of a
//! process cannot take it away, and a loss of power can only make it older, hence weaker. It is
//! lowered durably before the log gets shorter, so that it is never ahead of the log.

use std::io::ErrorKind;

use conclave_protocol::zxid::Zxid;

use crate::{
    StorageError,
    fs::{self, File, Fs},
    name::SYNCED,
    record::{self, HEADER_LEN_BYTES},
};

const MAGIC: [u8; 8] = *b"CNCLSYNC";
const VERSION: u32 = 1;

/// Bytes of a file that are looked at.
const FILE_LEN_BYTES_MAX: u64 = 4096;

/// The record, open for writing.
#[derive(Debug)]
pub(crate) struct Synced<F: Fs> {
    path: String,
    file: F::File,
    /// Everything up to here is durable.
    pub(super) upto: Zxid,
}

impl<F: Fs> Synced<F> {
    /// Writes the record durably.
    pub(crate) fn create(fs: &F, dir: &str, zxid: Zxid) -> Result<Self, StorageError> {
        let path = path(dir);
        let file = match fs.open_write(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => fs.create(&path),
            result => result,
        };
        let file = file.map_err(|error| StorageError::io("open", &path, error))?;
        let mut synced = Self { path, file, upto: zxid };
        synced.set(zxid)?;
        fs.sync_dir(dir).map_err(|error| StorageError::io("sync", dir, error))?;
        Ok(synced)
    }

    /// Writes the record durably.
    pub(super) fn set(&mut self, zxid: Zxid) -> Result<(), StorageError> {
        self.upto = zxid;
        self.write(zxid)
            .and_then(|()| self.file.sync())
            .map_err(|error| StorageError::io("write", &self.path, error))
    }

    /// Writes the record as a hint that may get lost.
    pub(super) fn note(&mut self, zxid: Zxid) -> Result<(), StorageError> {
        self.upto = zxid;
        match self.write(zxid).map_err(|error| StorageError::io("write", &self.path, error)) {
            // Older is weaker, not wrong: no reason to stop a member whose log is durable.
            Err(StorageError::NoSpace { .. }) => Ok(()),
            result => result,
        }
    }

    fn write(&mut self, zxid: Zxid) -> std::io::Result<()> {
        self.file.write_at(0, &record::header(MAGIC, VERSION, zxid.0))
    }
}

/// Reads the record: what is surely on disk. Nothing is sure when it is gone or unreadable.
pub(crate) fn read_synced<F: Fs>(fs: &F, dir: &str) -> Result<Option<Zxid>, StorageError> {
    let path = path(dir);
    match fs.open(&path).and_then(|file| fs::read_all(&file, FILE_LEN_BYTES_MAX)) {
        Ok(bytes) if bytes.len() == HEADER_LEN_BYTES => {
            Ok(record::read_header(&bytes, MAGIC, VERSION).ok().map(Zxid))
        }
        Ok(_) => Ok(None),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == ErrorKind::FileTooLarge => Ok(None),
        Err(error) => Err(StorageError::io("read", &path, error)),
    }
}

/// Removes the record durably.
pub(crate) fn remove_synced<F: Fs>(fs: &F, dir: &str) -> Result<(), StorageError> {
    let path = path(dir);
    match fs.remove(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        result => result.map_err(|error| StorageError::io("remove", &path, error)),
    }?;
    fs.sync_dir(dir).map_err(|error| StorageError::io("sync", dir, error))
}

fn path(dir: &str) -> String {
    format!("{dir}/{SYNCED}")
}
