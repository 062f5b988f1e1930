//! A disk: what survives a crash, and what is on its way there.

use std::collections::VecDeque;

use conclave_protocol::{peer::zab::Epochs, txn::Entry, zxid::Zxid};
use conclave_zab::{Mark, Recovered};

use super::NO_EPOCHS;

#[derive(Clone, Eq, Hash, PartialEq)]
pub(crate) struct Disk {
    pub(crate) epochs: Epochs,
    pub(crate) image: Zxid,
    pub(crate) log: Vec<Entry>,
    queue: VecDeque<Write>,
}

#[derive(Clone, Eq, Hash, PartialEq)]
pub(crate) enum Write {
    Entries(Mark, Vec<Entry>),
    Epochs(Mark, Epochs),
    Truncate(Mark, Zxid),
    /// A fetched image up to here; the log before is dropped.
    Install(Zxid),
}

impl Default for Disk {
    fn default() -> Self {
        Self { epochs: NO_EPOCHS, image: Zxid::ZERO, log: Vec::new(), queue: VecDeque::new() }
    }
}

impl Disk {
    pub(crate) fn ask(&mut self, write: Write) {
        self.queue.push_back(write);
    }

    pub(crate) fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Names what waits to be written.
    pub(crate) fn queued_kinds(&self) -> Vec<&'static str> {
        let kinds = self.queue.iter().map(|write| match write {
            Write::Entries(..) => "Entries",
            Write::Epochs(..) => "Epochs",
            Write::Truncate(..) => "Truncate",
            Write::Install(_) => "Install",
        });
        kinds.collect()
    }

    pub(crate) fn persist_one(&mut self) -> Option<Write> {
        let write = self.queue.pop_front()?;
        self.write_down(&write);
        Some(write)
    }

    pub(crate) fn crash(&mut self, kept: usize) {
        for _ in 0..kept {
            self.persist_one();
        }
        self.queue.clear();
    }

    pub(crate) fn recover(&self) -> Recovered {
        assert!(self.queue.is_empty(), "what was not synced is gone");
        let entries = self.log.iter().filter(|entry| entry.zxid > self.image).cloned().collect();
        Recovered { epochs: self.epochs, base: self.image, entries }
    }

    /// Returns the last zxid on the disk.
    pub(crate) fn last(&self) -> Zxid {
        self.log.last().map_or(self.image, |entry| entry.zxid.max(self.image))
    }

    fn write_down(&mut self, write: &Write) {
        match write {
            Write::Entries(_, entries) => {
                let first = entries.first().expect("an append is not empty").zxid;
                assert!(
                    self.last().is_followed_by(first),
                    "a gap on disk: {:?}, {first:?}",
                    self.last()
                );
                self.log.extend_from_slice(entries);
            }
            Write::Epochs(_, epochs) => self.epochs = *epochs,
            Write::Truncate(_, after) => {
                assert!(*after >= self.image, "what a snapshot holds was delivered");
                self.log.retain(|entry| entry.zxid <= *after);
            }
            Write::Install(zxid) => {
                self.image = *zxid;
                self.log.clear();
            }
        }
    }
}
