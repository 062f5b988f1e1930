//! Reading a snapshot.

use bytes::Bytes;
use conclave_protocol::{jute::Reader, zxid::Zxid};

use super::{BLOCK_RECORDS, Counts, FOOTER_BLOCK_LEN_BYTES, Footer, ImageRecord, MAGIC, VERSION};
use crate::{
    StorageError,
    fs::{File, Fs},
    name::Kind,
    record::{self, FRAME_LEN_BYTES, HEADER_LEN_BYTES, HeaderError, Place},
};

/// Bytes of a file read at once, at least.
const READ_LEN_BYTES: usize = 1 << 20;

const HINT: &str = "an older snapshot or an established leader has to take its place";

/// A snapshot whose header and footer are sound; the blocks between are checked as they are read.
#[derive(Debug)]
pub struct ImageReader<F: Fs> {
    path: String,
    file: F::File,
    start: Zxid,
    footer: Footer,
    /// Where the footer begins, in bytes.
    footer_offset: u64,
}

impl<F: Fs> ImageReader<F> {
    /// Opens the snapshot of `end`.
    ///
    /// # Errors
    ///
    /// [`StorageError::Damaged`] when it is not whole.
    pub fn open(fs: &F, dir: &str, end: Zxid) -> Result<Self, StorageError> {
        Self::open_path(fs, Kind::Snapshot.path(dir, end), end)
    }

    pub(super) fn open_path(fs: &F, path: String, end: Zxid) -> Result<Self, StorageError> {
        let io = |error| StorageError::io("read", &path, error);
        let file = fs.open(&path).map_err(io)?;
        let len = file.len().map_err(io)?;
        let damaged = |offset, what: &str| {
            StorageError::damaged(&path, offset, end, format!("{what}; {HINT}"))
        };
        let mut header = [0; HEADER_LEN_BYTES];
        file.read_at(0, &mut header).map_err(io)?;
        let start = match record::read_header(&header, MAGIC, VERSION) {
            Ok(start) => Zxid(start),
            Err(HeaderError::Version(got)) => {
                return Err(StorageError::Version { file: path, got, known: VERSION });
            }
            Err(HeaderError::Bad) => return Err(damaged(0, "its header is not what was written")),
        };
        let footer_offset = len
            .checked_sub(FOOTER_BLOCK_LEN_BYTES as u64)
            .filter(|&offset| offset >= HEADER_LEN_BYTES as u64)
            .ok_or_else(|| damaged(len, "it ends early"))?;
        let mut block = [0; FOOTER_BLOCK_LEN_BYTES];
        file.read_at(footer_offset, &mut block).map_err(io)?;
        let place = Place { file: start.0, offset: footer_offset };
        let footer = record::payload(&block, place)
            .and_then(|payload| Footer::decode(payload).ok())
            .ok_or_else(|| damaged(footer_offset, "its footer is not what was written"))?;
        if footer.end != end || footer.end < start {
            return Err(damaged(footer_offset, "it is another snapshot than its name says"));
        }
        Ok(Self { path, file, start, footer, footer_offset })
    }

    /// Returns the zxid behind which the walk began.
    pub const fn start(&self) -> Zxid {
        self.start
    }

    /// Returns the last txn in it.
    pub const fn end(&self) -> Zxid {
        self.footer.end
    }

    /// Hands every record to `sink`, in the order they were put, and checks the whole file. Until
    /// it has returned, what was handed out may be wrong by omission.
    ///
    /// # Errors
    ///
    /// [`StorageError::Damaged`] with the offset of a bad block, or with what `sink` said.
    pub fn for_each(
        &self,
        mut sink: impl FnMut(ImageRecord) -> Result<(), String>,
    ) -> Result<(), StorageError> {
        let mut counts = Counts::default();
        let mut chain = crc32fast::Hasher::new();
        let mut buffer = Buffer::default();
        let mut offset = HEADER_LEN_BYTES as u64;
        while offset < self.footer_offset {
            let frame = self.read(&mut buffer, offset, FRAME_LEN_BYTES)?;
            let bad = || self.damaged(offset, "a block is not what was written");
            let len = record::claimed_len(frame).ok_or_else(bad)? + FRAME_LEN_BYTES;
            // Checked before it is read: it may be any number.
            if len as u64 > self.footer_offset - offset {
                return Err(bad());
            }
            let block = self.read(&mut buffer, offset, len)?;
            let place = Place { file: self.start.0, offset };
            let payload = record::payload(block, place).ok_or_else(bad)?;
            chain.update(&block[4..8]);
            let mut reader = Reader::new(Bytes::copy_from_slice(payload));
            if reader.u8() != Ok(BLOCK_RECORDS) {
                return Err(bad());
            }
            while reader.remaining() > 0 {
                let record = ImageRecord::decode(&mut reader)
                    .map_err(|error| self.damaged(offset, &error.to_string()))?;
                counts.add(&record);
                sink(record).map_err(|what| self.damaged(offset, &what))?;
            }
            offset += len as u64;
        }
        if counts != self.footer.counts || chain.finalize() != self.footer.chain {
            return Err(self.damaged(offset, "blocks are missing"));
        }
        Ok(())
    }

    /// Returns `len` bytes at `offset`, which are within the file.
    fn read<'a>(
        &self,
        buffer: &'a mut Buffer,
        offset: u64,
        len: usize,
    ) -> Result<&'a [u8], StorageError> {
        let is_there = offset >= buffer.offset
            && offset + len as u64 <= buffer.offset + buffer.bytes.len() as u64;
        if !is_there {
            buffer.bytes.resize(len.max(READ_LEN_BYTES), 0);
            let read = self
                .file
                .read_at(offset, &mut buffer.bytes)
                .map_err(|error| StorageError::io("read", &self.path, error))?;
            buffer.bytes.truncate(read);
            buffer.offset = offset;
        }
        let from = (offset - buffer.offset) as usize;
        buffer.bytes.get(from..from + len).ok_or_else(|| self.damaged(offset, "it ends early"))
    }

    fn damaged(&self, offset: u64, what: &str) -> StorageError {
        StorageError::damaged(&self.path, offset, self.footer.end, format!("{what}; {HINT}"))
    }
}

/// What was read ahead.
#[derive(Debug, Default)]
struct Buffer {
    bytes: Vec<u8>,
    /// Where it begins in the file, in bytes.
    offset: u64,
}
