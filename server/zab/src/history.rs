//! The entries a member has in memory: all that is not delivered, and a window of what is.

use alloc::{collections::VecDeque, vec::Vec};

use conclave_protocol::{txn::Entry, zxid::Zxid};

/// A gap-free run of the log, behind `base`.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) struct History {
    base: Zxid,
    entries: VecDeque<Entry>,
    len_bytes: usize,
}

/// How a learner's log becomes a prefix of this one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Sync {
    /// Send what is behind this zxid.
    Diff(Zxid),
    /// Drop what is behind this zxid, then send what is.
    Trunc(Zxid),
    /// The window does not reach back so far.
    Snap,
}

impl History {
    pub(crate) fn new(base: Zxid, entries: Vec<Entry>) -> Self {
        let mut history = Self { base, entries: VecDeque::new(), len_bytes: 0 };
        for entry in entries {
            history.push(entry);
        }
        history
    }

    /// Returns the zxid that the window begins behind.
    pub(crate) const fn base(&self) -> Zxid {
        self.base
    }

    pub(crate) fn last(&self) -> Zxid {
        self.entries.back().map_or(self.base, |entry| entry.zxid)
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns how many entries are behind `after`.
    pub(crate) fn count_behind(&self, after: Zxid) -> usize {
        self.entries.len() - self.entries.partition_point(|entry| entry.zxid <= after)
    }

    pub(crate) fn push(&mut self, entry: Entry) {
        assert!(self.last().is_followed_by(entry.zxid), "a log has no gaps");
        self.len_bytes += entry.txn.len();
        self.entries.push_back(entry);
    }

    /// Returns the entries in `(after, upto]`.
    pub(crate) fn between(&self, after: Zxid, upto: Zxid) -> Vec<Entry> {
        let from = self.entries.partition_point(|entry| entry.zxid <= after);
        let to = self.entries.partition_point(|entry| entry.zxid <= upto);
        if from >= to { Vec::new() } else { self.entries.range(from..to).cloned().collect() }
    }

    pub(crate) fn contains(&self, zxid: Zxid) -> bool {
        zxid == self.base || self.entries.binary_search_by_key(&zxid, |entry| entry.zxid).is_ok()
    }

    /// Drops what is behind `after`, which must be an entry or the base.
    pub(crate) fn truncate(&mut self, after: Zxid) {
        assert!(self.contains(after), "a log is cut at an entry");
        while self.last() > after {
            let cut = self.entries.pop_back().expect("the base is not behind itself");
            self.len_bytes -= cut.txn.len();
        }
    }

    /// Drops delivered entries from the front until the window is within its limits.
    pub(crate) fn trim(&mut self, delivered: Zxid, entries_max: usize, bytes_max: usize) {
        while self.entries.len() > entries_max || self.len_bytes > bytes_max {
            match self.entries.front() {
                Some(front) if front.zxid <= delivered => {
                    self.base = front.zxid;
                    self.len_bytes -= front.txn.len();
                    self.entries.pop_front();
                }
                _ => return,
            }
        }
    }

    /// Decides how a learner whose log ends at `last` is synchronised.
    pub(crate) fn sync_from(&self, last: Zxid) -> Sync {
        if last < self.base {
            Sync::Snap
        } else if self.contains(last) {
            Sync::Diff(last)
        } else {
            // The greatest of ours below it is in its log too: up to there both have what the
            // leaders before agreed on.
            let below = self.entries.partition_point(|entry| entry.zxid < last);
            Sync::Trunc(below.checked_sub(1).map_or(self.base, |index| self.entries[index].zxid))
        }
    }

    pub(crate) fn is_gap_free(&self) -> bool {
        let zxids = core::iter::once(self.base).chain(self.entries.iter().map(|entry| entry.zxid));
        zxids.clone().zip(zxids.skip(1)).all(|(before, next)| before.is_followed_by(next))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use conclave_protocol::zxid::Epoch;

    use super::*;

    fn zxid(epoch: u32, counter: u32) -> Zxid {
        Zxid::new(Epoch(epoch), counter)
    }

    fn entry(epoch: u32, counter: u32) -> Entry {
        Entry { zxid: zxid(epoch, counter), txn: Bytes::from_static(b"12345678") }
    }

    fn history() -> History {
        History::new(zxid(1, 2), [entry(1, 3), entry(1, 4), entry(3, 1)].into())
    }

    #[test]
    fn a_learner_within_the_window_gets_what_it_lacks() {
        assert_eq!(history().sync_from(zxid(1, 2)), Sync::Diff(zxid(1, 2)));
        assert_eq!(history().sync_from(zxid(1, 4)), Sync::Diff(zxid(1, 4)));
        assert_eq!(history().sync_from(zxid(3, 1)), Sync::Diff(zxid(3, 1)));
    }

    #[test]
    fn a_learner_with_entries_nobody_else_has_drops_them() {
        assert_eq!(history().sync_from(zxid(1, 9)), Sync::Trunc(zxid(1, 4)));
        assert_eq!(history().sync_from(zxid(2, 1)), Sync::Trunc(zxid(1, 4)));
        assert_eq!(history().sync_from(zxid(3, 7)), Sync::Trunc(zxid(3, 1)));
    }

    #[test]
    fn a_learner_older_than_the_window_gets_a_snapshot() {
        assert_eq!(history().sync_from(zxid(1, 1)), Sync::Snap);
        assert_eq!(history().sync_from(Zxid::ZERO), Sync::Snap);
    }

    #[test]
    fn the_window_never_loses_what_is_not_delivered() {
        let mut history = history();
        history.trim(zxid(1, 3), 0, 0);
        assert_eq!((history.base(), history.last()), (zxid(1, 3), zxid(3, 1)));
    }

    #[test]
    #[should_panic(expected = "a log has no gaps")]
    fn a_gap_is_our_mistake() {
        history().push(entry(3, 3));
    }
}
