//! Appending, syncing and rolling.

use conclave_protocol::{txn::Entry, zxid::Zxid};

use super::{Health, Log, segment::Segment};
use crate::{StorageError, fs::Fs};

impl<F: Fs> Log<F> {
    /// Appends entries in one write; durable after [`Self::sync`].
    ///
    /// # Errors
    ///
    /// [`StorageError::NoSpace`] leaves the log as it was, for the same call to be made again; after
    /// any other error the log is poisoned.
    ///
    /// # Panics
    ///
    /// When an entry does not follow the one before it, or is longer than a record may be.
    pub fn append(&mut self, entries: &[Entry]) -> Result<(), StorageError> {
        let mut last = self.last;
        for entry in entries {
            assert!(last.is_followed_by(entry.zxid), "{:?} does not follow {last:?}", entry.zxid);
            last = entry.zxid;
        }
        let Some(first) = entries.first() else { return self.guard(|_| Ok(())) };
        // A full disk is told apart inside, where what it left behind has been cut off again.
        let written = self.guard(|log| match log.write(first.zxid, entries) {
            Err(StorageError::NoSpace { file }) => {
                log.undo(first.zxid)?;
                Ok(Err(StorageError::NoSpace { file }))
            }
            Err(error) => Err(error),
            Ok(()) => Ok(Ok(())),
        })?;
        if written.is_ok() {
            self.last = last;
        }
        written
    }

    fn write(&mut self, first: Zxid, entries: &[Entry]) -> Result<(), StorageError> {
        let options = self.options;
        if self.current.as_ref().is_some_and(|segment| segment.end >= options.segment_len_bytes) {
            self.seal()?;
        }
        let segment = match &mut self.current {
            Some(segment) => segment,
            none => {
                none.insert(Segment::create(&self.fs, &self.dir, first, options.preallocate_bytes)?)
            }
        };
        let bytes = segment.encode(entries, self.synced.upto);
        segment.write(&bytes, options.preallocate_bytes)
    }

    /// Drops what a write for which there was no room has left.
    fn undo(&mut self, first: Zxid) -> Result<(), StorageError> {
        match &mut self.current {
            Some(segment) if segment.first != first => segment.cut(),
            // The segment was to begin with what did not fit.
            _ => {
                self.current = None;
                let path = self.path(first);
                if self.fs.exists(&path).map_err(|e| StorageError::io("look for", &path, e))? {
                    self.remove(first)?;
                }
                Ok(())
            }
        }
    }

    /// Makes everything appended durable.
    ///
    /// # Errors
    ///
    /// Any poisons the log: after a failed sync nobody knows what is on the disk.
    pub fn sync(&mut self) -> Result<(), StorageError> {
        self.guard(|log| {
            if let Some(segment) = &mut log.current {
                segment.sync()?;
            }
            log.synced.note(log.last)
        })
    }

    /// Ends the current segment, so that what is appended next begins a new one. Durable.
    ///
    /// # Errors
    ///
    /// Any poisons the log.
    pub fn roll(&mut self) -> Result<(), StorageError> {
        self.guard(Self::seal)
    }

    /// Cuts the reserved rest off the current segment and puts it with the sealed ones. A later
    /// segment is created only after this, so that one with a successor has no torn tail.
    pub(super) fn seal(&mut self) -> Result<(), StorageError> {
        if let Some(segment) = &mut self.current {
            segment.cut()?;
            self.sealed.push(segment.first);
            self.current = None;
            self.synced.note(self.last)?;
        }
        Ok(())
    }

    /// Returns the bytes that may still be appended before the disk is asked for more.
    pub fn reserved_bytes(&self) -> u64 {
        self.current.as_ref().map_or(0, Segment::reserved_bytes)
    }

    /// Returns whether an earlier failure has made the log useless.
    pub fn is_poisoned(&self) -> bool {
        self.health == Health::Poisoned
    }
}
