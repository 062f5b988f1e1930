//! Making the log shorter, in orders that a crash in between cannot betray.

use conclave_protocol::zxid::Zxid;

use super::{
    Log,
    replay::{self, Record, SegmentBytes},
};
use crate::{
    StorageError,
    fs::{File, Fs},
    record::HEADER_LEN_BYTES,
};

impl<F: Fs> Log<F> {
    /// Drops every entry behind `after`, durably. A crash in between leaves some of them, without
    /// gaps.
    ///
    /// # Errors
    ///
    /// Any poisons the log.
    pub fn truncate_after(&mut self, after: Zxid) -> Result<(), StorageError> {
        self.guard(|log| {
            if after >= log.last {
                return Ok(());
            }
            log.seal()?;
            // Lowered first: it must never claim what is about to go.
            log.synced.set(after)?;
            while log.sealed.last().is_some_and(|&first| first > after) {
                log.remove_newest()?;
            }
            let Some(&first) = log.sealed.last() else {
                log.last = after;
                return Ok(());
            };
            // Older segments that a crash within a reset left end before the snapshot's zxid.
            log.last = log.cut_behind(first, after)?.max(log.base.min(after));
            log.synced.set(log.last)
        })
    }

    /// Drops all entries after a snapshot up to `zxid` is durable that supersedes them. A crash in
    /// between leaves older ones, which recovery passes over.
    ///
    /// # Errors
    ///
    /// Any poisons the log.
    pub fn reset(&mut self, zxid: Zxid) -> Result<(), StorageError> {
        self.guard(|log| {
            log.seal()?;
            log.synced.set(zxid.min(log.last))?;
            while !log.sealed.is_empty() {
                log.remove_newest()?;
            }
            (log.base, log.last) = (zxid, zxid);
            log.synced.set(zxid)
        })
    }

    /// Removes the segments that hold nothing behind `zxid`, which a durable snapshot covers.
    ///
    /// # Errors
    ///
    /// Any poisons the log.
    pub fn purge_before(&mut self, zxid: Zxid) -> Result<(), StorageError> {
        self.guard(|log| {
            loop {
                let current = log.current.as_ref().map(|segment| segment.first);
                let next = log.sealed.get(1).copied().or(current);
                // All of a segment is before the first of the next.
                let is_spent = match next {
                    Some(next) => next <= zxid || zxid.successor() == Some(next),
                    None => log.last <= zxid,
                };
                if log.sealed.is_empty() || !is_spent {
                    return Ok(());
                }
                log.remove(log.sealed[0])?;
                log.sealed.remove(0);
            }
        })
    }

    /// Removes the newest segment; the ones before it still make a log without gaps.
    fn remove_newest(&mut self) -> Result<(), StorageError> {
        let Some(&first) = self.sealed.last() else { return Ok(()) };
        self.remove(first)?;
        self.sealed.pop();
        Ok(())
    }

    /// Removes a segment, durably.
    pub(super) fn remove(&mut self, first: Zxid) -> Result<(), StorageError> {
        let path = self.path(first);
        self.fs.remove(&path).map_err(|error| StorageError::io("remove", &path, error))?;
        self.fs.sync_dir(&self.dir).map_err(|error| StorageError::io("sync", &self.dir, error))
    }

    /// Cuts a sealed segment behind `after`, durably, and returns its last zxid. The file ends
    /// there, so that nothing cut off can be read again.
    fn cut_behind(&mut self, first: Zxid, after: Zxid) -> Result<Zxid, StorageError> {
        let path = self.path(first);
        let bytes = replay::read_segment(&self.fs, &path)?;
        let segment = SegmentBytes { bytes: &bytes, first };
        let (mut end, mut last) = (HEADER_LEN_BYTES, None);
        while end < bytes.len() {
            let Some(Record { zxid, end: next, .. }) = segment.record(end) else {
                let hint = "a record cannot be read; restart the member, which checks all";
                return Err(StorageError::damaged(&path, end as u64, first, hint));
            };
            if zxid > after {
                break;
            }
            (end, last) = (next, Some(zxid));
        }
        let last = last.expect("the first record of the segment is not behind the cut");
        self.fs
            .open_write(&path)
            .and_then(|mut file| file.set_len(end as u64).and_then(|()| file.sync()))
            .map_err(|error| StorageError::io("cut", &path, error))?;
        Ok(last)
    }
}
