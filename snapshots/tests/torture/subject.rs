//! A disk with more than 1 MiB of log or of snapshot. It is damaged in place, and recovery is asked what it
//! makes of that; as it refuses before it changes anything, taking the damage back is enough to go on.

use std::ops::Range;

use conclave_protocol::{peer::zab::Standing, txn::Entry, zxid::Zxid};
use conclave_snapshots::{
    epochs,
    fs::{CrashMode, FaultyFs, Fs},
    log::LogOptions,
    recover::{RecoverError, recover},
};

use crate::common::{DATA, EPOCHS, LOG, Random, Sink, entries_behind, open, open_aside, snapshot};

const OPTIONS: LogOptions = LogOptions { segment_len_bytes: 40 << 10, preallocate_bytes: 16 << 10 };

/// Bytes before the first record of a log, or block of a snapshot.
pub(crate) const HEADER_LEN: usize = 24;

/// Bytes of all files that are damaged, at least.
const LEN_MIN: usize = 1 << 20;

/// Entries of the last batch.
pub(crate) const LAST_BATCH_COUNT: usize = 4;

pub(crate) struct Subject {
    pub(crate) fs: FaultyFs,
    pristine: FaultyFs,
    pub(crate) history: Vec<Entry>,
    pub(crate) files: Vec<SubjectFile>,
}

/// A file as it was written.
#[derive(Clone)]
pub(crate) struct SubjectFile {
    pub(crate) path: String,
    pub(crate) bytes: Vec<u8>,
    /// Where each record or block begins, and where the last one ends.
    pub(crate) starts: Vec<usize>,
    /// In a snapshot header and footer are looked at first.
    pub(crate) is_snapshot: bool,
}

/// What must be said of a damage: the file and the offset; or nothing, as nobody reads there.
type Said = Option<(String, usize)>;

impl Subject {
    /// A log of several segments, the last with reserved space behind its end; it has all there is.
    pub(crate) fn log() -> Self {
        let fs = FaultyFs::new(1);
        let history = long_history();
        write_log(&fs, &history);
        Self::of(fs, history, LOG, "log.")
    }

    /// As [`Self::log`], with a snapshot in the place of all before the segment `index`: recovery begins
    /// there. The segments before it are still there, and not read.
    pub(crate) fn log_from(index: usize) -> Self {
        let Self { fs, history, files, .. } = Self::log();
        let first = files[index].path.strip_prefix("log/log.").unwrap();
        let first = Zxid(u64::from_str_radix(first, 16).unwrap());
        let base = history.partition_point(|entry| entry.zxid < first).saturating_sub(1);
        if index > 0 {
            snapshot(&fs, DATA, &history[base..=base]).unwrap();
        }
        Self::of(fs, history[base..].to_vec(), LOG, "log.")
    }

    /// The last segment of [`Self::log_from`], where the separate record of what was synced is lost.
    pub(crate) fn last_segment_without_synced() -> Self {
        let subject = Self::log_from(Self::log().files.len() - 1);
        for fs in [&subject.pristine, &subject.fs] {
            fs.remove("data/synced").unwrap();
        }
        subject
    }

    /// A snapshot, and a log that goes on from it: nothing else has what is in it.
    pub(crate) fn snapshot() -> Self {
        let fs = FaultyFs::new(1);
        let mut log = recover(&fs, DATA, LOG, OPTIONS, &mut Sink::default()).unwrap().log;
        epochs::write(&fs, DATA, EPOCHS).unwrap();
        let mut history = long_history();
        let behind = history.split_off(history.len() - 6);
        log.reset(snapshot(&fs, DATA, &history).unwrap()).unwrap();
        log.append(&behind).unwrap();
        log.sync().unwrap();
        history.extend(behind);
        Self::of(fs, history, DATA, "snapshot.")
    }

    fn of(fs: FaultyFs, history: Vec<Entry>, dir: &str, prefix: &str) -> Self {
        fs.crash(CrashMode::Keep);
        let names = fs.list(dir).unwrap();
        let mut files: Vec<SubjectFile> = names
            .iter()
            .filter(|name| name.starts_with(prefix))
            .map(|name| SubjectFile::read(&fs, format!("{dir}/{name}")))
            .collect();
        files.sort_by_key(|file| (file.path.len(), file.path.clone()));
        let len: usize = files.iter().map(|file| file.end()).sum();
        assert!(len >= LEN_MIN, "{len} bytes are too few");
        Self { pristine: fs.copy(1), fs, history, files }
    }

    /// Replaces bytes of a file, and returns whether recovery reported it, as it must where anything is
    /// read there; then everything is as it was.
    pub(crate) fn try_bytes(&mut self, index: usize, at: usize, new: &[u8]) -> bool {
        let file = &self.files[index];
        let old = file.bytes[at..at + new.len()].to_vec();
        let context = || format!("{} bytes at {at} of {}", new.len(), self.files[index].path);
        let said = file.said_of(at, new);
        let path = file.path.clone();
        self.fs.alter(&path, |bytes| bytes[at..at + new.len()].copy_from_slice(new));
        let reported = self.judge(said, &context);
        if reported {
            self.fs.alter(&path, |bytes| bytes[at..at + old.len()].copy_from_slice(&old));
        } else {
            self.fs = self.pristine.copy(1);
        }
        reported
    }

    /// Asks recovery, which must say what is damaged or serve everything.
    pub(crate) fn judge(&self, said: Said, context: &dyn Fn() -> String) -> bool {
        let calls = self.fs.call_count();
        match (open(&self.fs), said) {
            (Err(RecoverError::Damaged(damage)), Some((file, offset))) => {
                assert_eq!((damage.file, damage.offset), (file, offset as u64), "{}", context());
                assert_eq!(self.fs.call_count(), calls, "{}: it was changed", context());
                true
            }
            (Ok((_, found)), None) => {
                assert!(found == self.history, "{}: other entries", context());
                false
            }
            (result, said) => {
                let result = result.map(|(_, found)| found.len());
                panic!("{}: {result:?} where {said:?} is to be said", context())
            }
        }
    }

    /// As [`Self::judge`], and lets recovery set aside what is damaged: what is left is the truth as far
    /// as the damage, the bad copy is kept, and the member is marked as one to be repaired.
    pub(crate) fn judge_aside(&self, index: usize, at: usize, new: &[u8]) {
        let file = &self.files[index];
        let context = format!("{} bytes at {at} of {}", new.len(), file.path);
        let fs = self.pristine.copy(2);
        fs.alter(&file.path, |bytes| bytes[at..at + new.len()].copy_from_slice(new));
        let bad = fs.contents(&file.path).unwrap();
        let (recovered, found) = open_aside(&fs);
        assert!(found == self.history[..found.len()], "{context}");
        if file.said_of(at, new).is_none() {
            assert_eq!(found.len(), self.history.len(), "{context}");
            return;
        }
        assert!(!recovered.notes.is_empty(), "{context}");
        let standing = epochs::read(&fs, DATA).unwrap().unwrap().standing;
        assert_eq!(standing, Standing::Repairing, "{context}");
        let (dir, name) = file.path.split_once('/').unwrap();
        assert_eq!(fs.contents(&format!("{dir}/damaged.1/{name}")), Some(bad), "{context}");
        drop(recovered);
        assert!(open(&fs).unwrap().1 == found, "{context}");
    }

    /// Runs `judge` on a disk where a file is cut to `len`, from the whole length down.
    pub(crate) fn try_cuts(&mut self, index: usize, lens: impl Iterator<Item = usize>) -> u64 {
        let mut count = 0;
        let file = self.files[index].clone();
        for len in lens {
            let is_reported = {
                self.fs.alter(&file.path, |bytes| bytes.truncate(len));
                let said = self.said_of_cut(index, len);
                self.judge(said, &|| format!("{} cut to {len}", file.path))
            };
            if !is_reported {
                self.fs = self.pristine.copy(1);
            }
            count += 1;
        }
        self.fs = self.pristine.copy(1);
        count
    }

    pub(crate) fn said_of_cut(&self, index: usize, len: usize) -> Said {
        let file = &self.files[index];
        let at = |offset| Some((file.path.clone(), offset));
        if file.is_snapshot {
            let footer_len = file.bytes.len() - file.footer();
            return match len {
                0..HEADER_LEN => at(0),
                _ if len < HEADER_LEN + footer_len => at(len),
                _ => at(len - footer_len),
            };
        }
        match self.files.get(index + 1) {
            _ if len < HEADER_LEN => at(0),
            // Only the next segment tells that something is missing here.
            Some(next) if file.starts.contains(&len) => {
                (len < file.bytes.len()).then(|| (next.path.clone(), HEADER_LEN))
            }
            None if len >= file.end() => None,
            _ => at(file.start_before(len)),
        }
    }

    /// Returns the disk as it was.
    pub(crate) fn pristine(&self) -> FaultyFs {
        self.pristine.copy(1)
    }

    /// Returns where the last batch lies in the last file.
    pub(crate) fn last_batch(&self) -> Range<usize> {
        let file = self.files.last().unwrap();
        file.starts[file.starts.len() - 1 - LAST_BATCH_COUNT]..file.end()
    }
}

impl SubjectFile {
    fn read(fs: &FaultyFs, path: String) -> Self {
        let bytes = fs.contents(&path).unwrap();
        let mut starts = vec![HEADER_LEN];
        while let Some(frame) = bytes.get(starts[starts.len() - 1]..).and_then(|b| b.get(..4)) {
            let len = u32::from_be_bytes(frame.try_into().unwrap()) as usize;
            if len == 0 {
                break;
            }
            starts.push(starts[starts.len() - 1] + 8 + len);
        }
        let is_snapshot = path.contains("snapshot.");
        Self { path, bytes, starts, is_snapshot }
    }

    /// Returns where the last record ends.
    pub(crate) fn end(&self) -> usize {
        self.starts[self.starts.len() - 1]
    }

    fn footer(&self) -> usize {
        self.starts[self.starts.len() - 2]
    }

    /// Returns where the record begins that has the byte `at`.
    fn start_before(&self, at: usize) -> usize {
        self.starts[self.starts.partition_point(|&start| start <= at) - 1]
    }

    /// Returns what must be said when these bytes are in the place of those written.
    pub(crate) fn said_of(&self, at: usize, new: &[u8]) -> Said {
        let old = &self.bytes[at..at + new.len()];
        let differs = |range: Range<usize>| {
            let range = range.start.clamp(at, at + old.len())..range.end.clamp(at, at + old.len());
            range.clone().find(|&place| old[place - at] != new[place - at])
        };
        let said = |offset| Some((self.path.clone(), offset));
        if differs(0..HEADER_LEN).is_some() {
            return said(0);
        }
        if self.is_snapshot && differs(self.footer()..self.end()).is_some() {
            return said(self.footer());
        }
        differs(HEADER_LEN..self.end()).and_then(|place| said(self.start_before(place)))
    }
}

/// Returns entries of all lengths up to 2 KB.
fn long_history() -> Vec<Entry> {
    let mut history = entries_behind(Zxid::ZERO, 1650);
    let mut random = Random(3);
    for entry in &mut history {
        let len = if random.below(3) == 0 { random.below(60) } else { random.below(2000) };
        entry.txn = (0..len).map(|_| random.below(256) as u8).collect();
    }
    history
}

fn write_log(fs: &FaultyFs, history: &[Entry]) {
    let mut log = recover(fs, DATA, LOG, OPTIONS, &mut Sink::default()).unwrap().log;
    epochs::write(fs, DATA, EPOCHS).unwrap();
    let (before, last) = history.split_at(history.len() - LAST_BATCH_COUNT);
    for batch in before.chunks(7).chain([last]) {
        log.append(batch).unwrap();
        log.sync().unwrap();
    }
}
