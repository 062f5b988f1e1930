//! The leader's view of its learners: how far each one is, and how much it has been sent and has
//! not acked.

use alloc::collections::VecDeque;

use conclave_protocol::{
    peer::zab::Standing,
    txn::Entry,
    zxid::{Epoch, Zxid},
};

/// Entries proposed to a learner that it has not acked, at most. One that is further behind is
/// forgotten: it notices by the silence, joins anew and is synchronised, which costs less memory.
pub const LEARNER_BACKLOG_ENTRIES_MAX: usize = 400_000;

/// Bytes proposed to a learner that it has not acked, at most; beyond it the same happens.
pub(crate) const LEARNER_BACKLOG_BYTES_MAX: usize = 256 << 20;

/// A learner as its leader sees it.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Learner {
    /// The learner's attempt to follow; messages of another one are stale.
    pub(crate) stream: u64,
    pub(crate) standing: Standing,
    pub(crate) stage: LearnerStage,
    /// The epoch it had promised when it came.
    pub(crate) accepted: Epoch,
    pub(crate) heard_at: u64,
    /// Everything up to here is on its disk; counts once it is [`LearnerStage::Following`].
    pub(crate) acked: Zxid,
    /// The newest round of pings that it answered.
    pub(crate) ponged: u64,
    pub(crate) backlog: Backlog,
}

/// How far a learner is.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum LearnerStage {
    /// It has told the epoch it has promised.
    Known,
    /// It was told the new epoch.
    Asked,
    /// It has promised the new epoch, just now or before, and told the end of its log.
    Promised { last: Zxid, is_fresh: bool },
    /// It has promised, and its history is ahead of the leader's: it counts to nothing until the
    /// leader has taken that history over, or is established without it.
    Ahead { current: Epoch, last: Zxid, is_fresh: bool },
    /// It fetches a snapshot, and will need what is behind `from`.
    Fetching { from: Zxid },
    /// The stream up to here, and NEWLEADER, is on its way.
    Syncing { upto: Zxid },
    /// It has acked NEWLEADER with a disk that was not whole. It is told to go on once a quorum
    /// has answered this round of pings: a leader that was replaced without knowing heals nobody.
    Proving { round: u64 },
    /// It has acked NEWLEADER.
    Following,
}

impl Learner {
    pub(crate) const fn new(stream: u64, standing: Standing, accepted: Epoch, tick: u64) -> Self {
        Self {
            stream,
            standing,
            stage: LearnerStage::Known,
            accepted,
            heard_at: tick,
            acked: Zxid::ZERO,
            ponged: 0,
            backlog: Backlog::new(),
        }
    }

    /// Returns whether every new proposal goes to it: NEWLEADER is behind it in the stream.
    pub(crate) const fn is_streaming(&self) -> bool {
        use LearnerStage::{Following, Proving, Syncing};
        matches!(self.stage, Syncing { .. } | Proving { .. } | Following)
    }

    /// Returns what the window has to reach back to for its sake.
    pub(crate) const fn needs_from(&self) -> Option<Zxid> {
        match self.stage {
            LearnerStage::Fetching { from } => Some(from),
            _ => None,
        }
    }

    pub(crate) const fn is_ahead(&self) -> bool {
        matches!(self.stage, LearnerStage::Ahead { .. })
    }

    /// Returns whether it can be of no use to the promise of a new epoch: it had made it before,
    /// perhaps to another leader.
    pub(crate) const fn has_stale_promise(&self) -> bool {
        matches!(
            self.stage,
            LearnerStage::Promised { is_fresh: false, .. }
                | LearnerStage::Ahead { is_fresh: false, .. }
        )
    }
}

/// What a learner was sent in proposals and has not acked.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub(crate) struct Backlog {
    /// Last zxid, count and bytes of each proposal.
    proposals: VecDeque<(Zxid, usize, usize)>,
    entries: usize,
    len_bytes: usize,
}

impl Backlog {
    const fn new() -> Self {
        Self { proposals: VecDeque::new(), entries: 0, len_bytes: 0 }
    }

    pub(crate) fn push(&mut self, entries: &[Entry]) {
        let last = entries.last().expect("a proposal is not empty").zxid;
        assert!(self.proposals.back().is_none_or(|(before, ..)| *before < last), "in log order");
        let len_bytes = entries.iter().map(|entry| entry.txn.len()).sum();
        self.proposals.push_back((last, entries.len(), len_bytes));
        self.entries += entries.len();
        self.len_bytes += len_bytes;
    }

    pub(crate) fn ack(&mut self, upto: Zxid) {
        while let Some((last, entries, len_bytes)) = self.proposals.front().copied() {
            if last > upto {
                return;
            }
            self.proposals.pop_front();
            self.entries -= entries;
            self.len_bytes -= len_bytes;
        }
        assert_eq!((self.entries, self.len_bytes), (0, 0), "nothing left, nothing counted");
    }

    pub(crate) const fn is_full(&self) -> bool {
        self.entries > LEARNER_BACKLOG_ENTRIES_MAX || self.len_bytes > LEARNER_BACKLOG_BYTES_MAX
    }
}

#[cfg(test)]
mod tests {
    use alloc::{vec, vec::Vec};

    use bytes::Bytes;

    use super::*;

    fn entries(counters: core::ops::RangeInclusive<u32>) -> Vec<Entry> {
        let txn = Bytes::from(vec![0; 100]);
        counters.map(|at| Entry { zxid: Zxid::new(Epoch(1), at), txn: txn.clone() }).collect()
    }

    #[test]
    fn acks_empty_the_backlog_by_whole_proposals() {
        let mut backlog = Backlog::default();
        backlog.push(&entries(1..=3));
        backlog.push(&entries(4..=5));
        backlog.ack(Zxid::new(Epoch(1), 2));
        assert_eq!((backlog.entries, backlog.len_bytes), (5, 500));
        backlog.ack(Zxid::new(Epoch(1), 4));
        assert_eq!((backlog.entries, backlog.len_bytes), (2, 200));
        backlog.ack(Zxid::new(Epoch(1), 5));
        assert_eq!(backlog, Backlog::default());
    }

    #[test]
    fn a_backlog_is_full_by_count_or_by_bytes() {
        let mut backlog = Backlog::default();
        backlog.push(&entries(1..=LEARNER_BACKLOG_ENTRIES_MAX as u32));
        assert!(!backlog.is_full());
        let next = LEARNER_BACKLOG_ENTRIES_MAX as u32 + 1;
        backlog.push(&entries(next..=next));
        assert!(backlog.is_full());
        let mut backlog = Backlog::default();
        let txn = Bytes::from(vec![0; LEARNER_BACKLOG_BYTES_MAX + 1]);
        backlog.push(&[Entry { zxid: Zxid::new(Epoch(1), 1), txn }]);
        assert!(backlog.is_full());
    }
}
