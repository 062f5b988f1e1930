//! Reading the log, and telling a torn tail from damage.
//!
//! A record that cannot be read is a torn tail only if nothing proves that it was synced once: no
//! later segment, no record behind it that was written after that sync (each says what was synced
//! before it), and not the separate record of what was synced. Anything else is damage. Valid records
//! behind a torn one that prove nothing were written with it, reached the disk before it, and go
//! with it.

use std::io::ErrorKind;

use bytes::Bytes;
use conclave_protocol::{txn::Entry, zxid::Zxid};

use super::{
    Log,
    segment::{MAGIC, VERSION},
};
use crate::{
    StorageError,
    fs::{self, Fs},
    name::Kind,
    record::{self, FRAME_LEN_BYTES, HEADER_LEN_BYTES, HeaderError, Place},
};

/// Bytes of a segment that are looked at: a full one and a last batch.
const FILE_LEN_BYTES_MAX: u64 = 4 << 30;

/// How many epochs further on a record found behind a bad one may be: a filter, so that random
/// bytes need no checksum over all that follows them.
const EPOCHS_AHEAD_MAX: u32 = 1 << 16;

/// What to do about a damaged log.
const HINT_REPAIR: &str = "set it aside so that an established leader repairs this member";

/// What a replay found.
#[derive(Debug)]
pub(crate) struct Replay {
    /// The entries behind the base, without gaps.
    pub(crate) entries: Vec<Entry>,
    /// First zxids of the segments that stay, ascending.
    pub(crate) segments: Vec<Zxid>,
    /// The last entry, or the base.
    pub(crate) last: Zxid,
    /// What has to go from the end first.
    pub(crate) cut: Option<Cut>,
    /// Where the log ends: the file and the offset.
    pub(crate) end: Option<(String, u64)>,
}

/// A torn end.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Cut {
    /// The file keeps so many bytes; what goes is torn, or only reserved.
    Tail { path: String, len_bytes: u64, is_torn: bool },
    /// The file was being created and holds nothing.
    Creation { path: String },
}

/// Reads the entries behind `base` from the log in `dir`. Older segments need not be whole.
pub(crate) fn replay<F: Fs>(fs: &F, dir: &str, base: Zxid) -> Result<Replay, StorageError> {
    let names = fs.list(dir).map_err(|error| StorageError::io("list", dir, error))?;
    let segments = Kind::Log.zxids(&names);
    let start = segments.iter().rposition(|&first| first <= base).unwrap_or(0);
    let mut replay = Replay { entries: Vec::new(), segments, last: base, cut: None, end: None };
    for index in start..replay.segments.len() {
        let place = if index + 1 == replay.segments.len() { At::End } else { At::Middle };
        read_one(fs, dir, index, place, base, &mut replay)?;
    }
    if matches!(replay.cut, Some(Cut::Creation { .. })) {
        replay.segments.pop();
    }
    Ok(replay)
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum At {
    Middle,
    End,
}

fn read_one<F: Fs>(
    fs: &F,
    dir: &str,
    index: usize,
    at: At,
    base: Zxid,
    replay: &mut Replay,
) -> Result<(), StorageError> {
    let first = replay.segments[index];
    let path = Kind::Log.path(dir, first);
    let bytes = read_segment(fs, &path)?;
    let segment = SegmentBytes { bytes: &bytes, first };
    let damaged = |offset: usize, last: Zxid, what: &str| {
        StorageError::damaged(&path, offset as u64, last, format!("{what}; {HINT_REPAIR}"))
    };
    match record::read_header(&bytes, MAGIC, VERSION) {
        Ok(zxid) if zxid == first.0 => {}
        Err(HeaderError::Version(got)) => {
            return Err(StorageError::Version { file: path, got, known: VERSION });
        }
        // No record can be in a file whose header was never synced.
        _ if at == At::End && is_header_begun(&bytes, first) => {
            replay.end = Some((path.clone(), 0));
            replay.cut = Some(Cut::Creation { path });
            return Ok(());
        }
        _ => return Err(damaged(0, replay.last, "its header is not what was written")),
    }
    let mut end = HEADER_LEN_BYTES;
    let mut newest = None;
    while let Some(Record { zxid, synced, txn, end: next }) = segment.record(end) {
        let is_in_order = match newest {
            None => zxid == first,
            Some(newest) => Zxid::is_followed_by(newest, zxid),
        };
        // A new epoch may follow any entry; that the one it followed is missing, the record tells.
        let is_behind = replay.last.is_followed_by(zxid) && synced <= replay.last;
        if !is_in_order || (zxid > base && !is_behind) {
            return Err(damaged(end, replay.last, "entries before this one are missing"));
        }
        if zxid > base {
            replay.entries.push(Entry { zxid, txn: Bytes::copy_from_slice(txn) });
            replay.last = zxid;
        }
        (newest, end) = (Some(zxid), next);
    }
    replay.end = Some((path.clone(), end as u64));
    let rest = &bytes[end..];
    // Anything synced behind this proves that the bad record was.
    let newest = newest.unwrap_or(Zxid(first.0.saturating_sub(1)));
    match at {
        At::Middle if !rest.is_empty() => {
            Err(damaged(end, newest, "a record cannot be read, and a later segment follows"))
        }
        At::Middle => Ok(()),
        At::End if segment.find_later(end, |record| record.synced > newest).is_some() => Err(
            damaged(end, newest, "a record cannot be read, and was synced before those behind it"),
        ),
        At::End if end == HEADER_LEN_BYTES => {
            replay.cut = Some(Cut::Creation { path });
            Ok(())
        }
        At::End => {
            if !rest.is_empty() {
                let is_torn = rest.iter().any(|&byte| byte != 0);
                replay.cut = Some(Cut::Tail { path, len_bytes: end as u64, is_torn });
            }
            Ok(())
        }
    }
}

/// Returns whether a crash may have left this of a header that was being written. Whatever is longer
/// was more than that: space is reserved, and records are written, only behind a header that is synced.
fn is_header_begun(bytes: &[u8], first: Zxid) -> bool {
    let header = record::header(MAGIC, VERSION, first.0);
    let begun = bytes.iter().zip(&header).take_while(|(found, meant)| found == meant).count();
    bytes.len() <= HEADER_LEN_BYTES && bytes[begun..].iter().all(|&byte| byte == 0)
}

/// Reads a segment whole.
pub(super) fn read_segment<F: Fs>(fs: &F, path: &str) -> Result<Vec<u8>, StorageError> {
    fs.open(path).and_then(|file| fs::read_all(&file, FILE_LEN_BYTES_MAX)).map_err(|error| {
        match error.kind() {
            ErrorKind::FileTooLarge => {
                StorageError::damaged(path, 0, Zxid::ZERO, format!("{error}; {HINT_REPAIR}"))
            }
            _ => StorageError::io("read", path, error),
        }
    })
}

/// The contents of a segment.
#[derive(Clone, Copy)]
pub(super) struct SegmentBytes<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) first: Zxid,
}

/// A valid record.
pub(super) struct Record<'a> {
    pub(super) zxid: Zxid,
    /// Everything up to here was synced before the record was written.
    synced: Zxid,
    txn: &'a [u8],
    /// Where the record ends, in bytes.
    pub(super) end: usize,
}

impl<'a> SegmentBytes<'a> {
    /// Returns the record at `offset`, if it is valid.
    pub(super) fn record(self, offset: usize) -> Option<Record<'a>> {
        let place = Place { file: self.first.0, offset: offset as u64 };
        let payload = record::payload(self.bytes.get(offset..)?, place)?;
        let (zxid, rest) = payload.split_first_chunk()?;
        let (synced, txn) = rest.split_first_chunk()?;
        let end = offset + FRAME_LEN_BYTES + payload.len();
        let [zxid, synced] = [zxid, synced].map(|word| Zxid(u64::from_be_bytes(*word)));
        Some(Record { zxid, synced, txn, end })
    }

    /// Returns where behind `offset` a valid record begins that `is_wanted`.
    fn find_later(self, offset: usize, is_wanted: impl Fn(&Record) -> bool) -> Option<usize> {
        // What was reserved is zeros up to the end: nothing there.
        let end = self.bytes.iter().rposition(|&byte| byte != 0)? + 1;
        (offset..end).find(|&offset| {
            let word = self.bytes[offset..].get(FRAME_LEN_BYTES..FRAME_LEN_BYTES + 8);
            let Some(word) = word else { return false };
            let zxid = Zxid(u64::from_be_bytes(word.try_into().expect("eight bytes")));
            let is_plausible = zxid >= self.first
                && zxid.epoch().0 - self.first.epoch().0 <= EPOCHS_AHEAD_MAX
                && record::claimed_len(&self.bytes[offset..]).is_some();
            is_plausible && self.record(offset).is_some_and(|record| is_wanted(&record))
        })
    }
}

impl<F: Fs> Log<F> {
    /// Returns the entries behind `after`, in order, as far as they are appended now.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when the first segment cannot be read.
    pub fn read_from(&self, after: Zxid) -> Result<LogReader<F>, StorageError> {
        let mut segments = self.sealed.clone();
        segments.extend(self.current.as_ref().map(|segment| segment.first));
        let start = segments.iter().rposition(|&first| first <= after).unwrap_or(0);
        let mut reader = LogReader {
            fs: self.fs.clone(),
            paths: segments[start..].iter().map(|&first| (first, self.path(first))).collect(),
            bytes: Vec::new(),
            first: Zxid::ZERO,
            offset: 0,
            after,
            upto: self.last,
        };
        reader.paths.reverse();
        reader.open_next()?;
        Ok(reader)
    }
}

/// Iterates over entries on disk.
#[derive(Debug)]
pub struct LogReader<F: Fs> {
    fs: F,
    /// Segments to come, the next one last.
    paths: Vec<(Zxid, String)>,
    bytes: Vec<u8>,
    first: Zxid,
    offset: usize,
    after: Zxid,
    upto: Zxid,
}

impl<F: Fs> LogReader<F> {
    /// Returns whether there was another segment.
    fn open_next(&mut self) -> Result<bool, StorageError> {
        let Some((first, path)) = self.paths.pop() else { return Ok(false) };
        self.bytes = read_segment(&self.fs, &path)?;
        (self.first, self.offset) = (first, HEADER_LEN_BYTES);
        Ok(true)
    }

    fn read(&mut self) -> Result<Option<Entry>, StorageError> {
        while self.after < self.upto {
            let segment = SegmentBytes { bytes: &self.bytes, first: self.first };
            let Some(Record { zxid, txn, end, .. }) = segment.record(self.offset) else {
                if self.open_next()? {
                    continue;
                }
                let path = format!("log.{}", self.first);
                let hint = format!("an appended entry cannot be read; {HINT_REPAIR}");
                return Err(StorageError::damaged(&path, self.offset as u64, self.after, hint));
            };
            self.offset = end;
            if zxid > self.after {
                if !self.after.is_followed_by(zxid) {
                    let path = format!("log.{}", self.first);
                    let hint = format!("entries are missing; {HINT_REPAIR}");
                    return Err(StorageError::damaged(&path, end as u64, self.after, hint));
                }
                let entry = Entry { zxid, txn: Bytes::copy_from_slice(txn) };
                self.after = zxid;
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }
}

impl<F: Fs> Iterator for LogReader<F> {
    type Item = Result<Entry, StorageError>;

    fn next(&mut self) -> Option<Self::Item> {
        let result = self.read().transpose();
        if matches!(result, Some(Err(_))) {
            // Nothing behind an error is served.
            self.upto = self.after;
        }
        result
    }
}
