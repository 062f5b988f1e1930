//! One file of the log while it is written.

use conclave_protocol::{txn::Entry, zxid::Zxid};

use crate::{
    StorageError,
    fs::{File, Fs},
    name::Kind,
    record::{self, HEADER_LEN_BYTES, Place},
};

pub(super) const MAGIC: [u8; 8] = *b"CNCLVLOG";
pub(super) const VERSION: u32 = 1;

/// A segment that takes records.
#[derive(Debug)]
pub(super) struct Segment<F: Fs> {
    path: String,
    file: F::File,
    /// Zxid of its first record, which names it.
    pub(super) first: Zxid,
    /// Where its last record ends, in bytes.
    pub(super) end: u64,
    /// Up to where space is reserved, in bytes; at least `end`.
    reserved: u64,
}

impl<F: Fs> Segment<F> {
    /// Creates a segment, its header and its name durable.
    pub(super) fn create(
        fs: &F,
        dir: &str,
        first: Zxid,
        reserve_bytes: u64,
    ) -> Result<Self, StorageError> {
        let path = Kind::Log.path(dir, first);
        let io = |what| move |error| (what, error);
        let create = || {
            let mut file = fs.create(&path).map_err(io("create"))?;
            file.write_at(0, &record::header(MAGIC, VERSION, first.0)).map_err(io("write"))?;
            file.sync().map_err(io("sync"))?;
            // The name counts only once the header is whole.
            fs.sync_dir(dir).map_err(io("sync the folder of"))?;
            Ok(file)
        };
        let file = create().map_err(|(what, error)| StorageError::io(what, &path, error))?;
        let end = HEADER_LEN_BYTES as u64;
        let mut segment = Self { path, file, first, end, reserved: end };
        segment.reserve(end, reserve_bytes)?;
        Ok(segment)
    }

    /// Returns the bytes that `entries` are at the end of this segment. Each says up to where the
    /// log is synced now: that proves later that what is before it is no torn tail.
    pub(super) fn encode(&self, entries: &[Entry], synced: Zxid) -> Vec<u8> {
        let len: usize = entries.iter().map(|entry| entry.txn.len() + 24).sum();
        let mut bytes = Vec::with_capacity(len);
        for entry in entries {
            let place = Place { file: self.first.0, offset: self.end + bytes.len() as u64 };
            record::frame(&mut bytes, place, |out| {
                out.extend_from_slice(&entry.zxid.0.to_be_bytes());
                out.extend_from_slice(&synced.0.to_be_bytes());
                out.extend_from_slice(&entry.txn);
            });
        }
        bytes
    }

    /// Writes at the end; durable after [`Self::sync`].
    pub(super) fn write(&mut self, bytes: &[u8], step_bytes: u64) -> Result<(), StorageError> {
        let end = self.end + bytes.len() as u64;
        self.reserve(end, step_bytes)?;
        self.file
            .write_at(self.end, bytes)
            .map_err(|e| StorageError::io("write", &self.path, e))?;
        self.end = end;
        self.reserved = self.reserved.max(end);
        Ok(())
    }

    /// Reserves space up to `end` and then to the next full step.
    fn reserve(&mut self, end: u64, step_bytes: u64) -> Result<(), StorageError> {
        if step_bytes == 0 || (end <= self.reserved && self.reserved > HEADER_LEN_BYTES as u64) {
            return Ok(());
        }
        let reserve = end.div_ceil(step_bytes) * step_bytes;
        match self.file.preallocate(reserve).map_err(|e| StorageError::io("reserve", &self.path, e))
        {
            Ok(()) => self.reserved = reserve,
            // A whole step does not fit; what is written now may.
            Err(StorageError::NoSpace { .. }) => return self.cut(),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Returns the space that is reserved and not yet written, in bytes.
    pub(super) const fn reserved_bytes(&self) -> u64 {
        self.reserved - self.end
    }

    /// Drops whatever lies behind the last record, durably.
    pub(super) fn cut(&mut self) -> Result<(), StorageError> {
        self.file.set_len(self.end).map_err(|e| StorageError::io("cut", &self.path, e))?;
        self.sync()?;
        self.reserved = self.end;
        Ok(())
    }

    /// Makes what was written durable.
    pub(super) fn sync(&mut self) -> Result<(), StorageError> {
        self.file.sync().map_err(|e| StorageError::sync(&self.path, e))
    }
}
