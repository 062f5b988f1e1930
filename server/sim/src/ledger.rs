//! What the members have delivered, all together: one order, which every one of them has to follow.

use bytes::Bytes;
use conclave_protocol::{
    txn::{Entry, Txn},
    zxid::Zxid,
};

use crate::model::Model;

/// The one order of txns, and the tree that it makes.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    entries: Vec<(Zxid, Bytes)>,
    pub(crate) model: Model,
}

impl Ledger {
    /// Returns the newest txn that anybody has delivered.
    pub(crate) fn last(&self) -> Zxid {
        self.entries.last().map_or(Zxid::ZERO, |(zxid, _)| *zxid)
    }

    /// Returns the positions from a number of txns on.
    pub(crate) fn since(&self, count: usize) -> Vec<Zxid> {
        self.entries[count..].iter().map(|(zxid, _)| *zxid).collect()
    }

    pub(crate) fn count(&self) -> usize {
        self.entries.len()
    }

    /// Returns the txn at a position, if somebody has delivered it.
    pub(crate) fn txn(&self, zxid: Zxid) -> Option<Txn> {
        let index = self.entries.binary_search_by_key(&zxid, |(zxid, _)| *zxid).ok()?;
        Some(Txn::decode(self.entries[index].1.clone()).expect("it was delivered"))
    }

    pub(crate) fn contains(&self, zxid: Zxid) -> bool {
        zxid == Zxid::ZERO || self.entries.binary_search_by_key(&zxid, |(at, _)| *at).is_ok()
    }

    /// A member that had delivered everything up to `after` has delivered these. Checks agreement,
    /// order and completeness: they are the ones that follow there, or the first of their place.
    pub(crate) fn deliver(&mut self, who: &str, after: Zxid, entries: &[Entry]) {
        for (place, entry) in (self.place_behind(who, after)..).zip(entries) {
            match self.entries.get(place) {
                Some((zxid, txn)) => assert!(
                    *zxid == entry.zxid && *txn == entry.txn,
                    "agreement: {who} delivers 0x{} where others have 0x{zxid}",
                    entry.zxid
                ),
                None => self.append(entry),
            }
        }
    }

    fn place_behind(&self, who: &str, after: Zxid) -> usize {
        assert!(self.contains(after), "{who} is at 0x{after}, which nobody has delivered");
        self.entries.partition_point(|(zxid, _)| *zxid <= after)
    }

    fn append(&mut self, entry: &Entry) {
        let last = self.last();
        // Primary order: within a reign without gaps, a later reign behind all of an earlier one.
        assert!(last.is_followed_by(entry.zxid), "0x{} is delivered behind 0x{last}", entry.zxid);
        self.entries.push((entry.zxid, entry.txn.clone()));
        let txn = Txn::decode(entry.txn.clone()).expect("it was delivered");
        self.model.apply(entry.zxid, &txn);
    }
}

#[cfg(test)]
mod tests {
    use conclave_protocol::{
        code::ErrorCode,
        ids::{ServerId, SessionId, Xid},
        txn::{Change, Origin},
        zxid::Epoch,
    };

    use super::*;

    fn entry(epoch: u32, counter: u32, time_ms: i64) -> Entry {
        let txn = Txn {
            origin: Origin { server: ServerId(1), seq: 0 },
            session: SessionId(1),
            xid: Xid(1),
            time_ms,
            change: Change::Error(ErrorCode::NoNode),
            usage: Vec::new(),
        };
        let mut bytes = Vec::new();
        txn.encode(&mut bytes);
        Entry { zxid: Zxid::new(Epoch(epoch), counter), txn: bytes.into() }
    }

    #[test]
    fn members_may_be_behind_each_other_and_deliver_again_what_they_had() {
        let mut ledger = Ledger::default();
        ledger.deliver("one", Zxid::ZERO, &[entry(1, 1, 0), entry(1, 2, 0)]);
        ledger.deliver("two", Zxid::ZERO, &[entry(1, 1, 0)]);
        ledger.deliver("two", Zxid::new(Epoch(1), 1), &[entry(1, 2, 0), entry(3, 1, 0)]);
        assert_eq!((ledger.count(), ledger.last()), (3, Zxid::new(Epoch(3), 1)));
    }

    #[test]
    #[should_panic(expected = "agreement")]
    fn another_txn_at_the_same_place_is_noticed() {
        let mut ledger = Ledger::default();
        ledger.deliver("one", Zxid::ZERO, &[entry(1, 1, 0)]);
        ledger.deliver("two", Zxid::ZERO, &[entry(1, 1, 7)]);
    }

    #[test]
    #[should_panic(expected = "is delivered behind")]
    fn a_gap_is_noticed() {
        let mut ledger = Ledger::default();
        ledger.deliver("one", Zxid::ZERO, &[entry(1, 1, 0), entry(1, 3, 0)]);
    }

    #[test]
    #[should_panic(expected = "which nobody has delivered")]
    fn a_member_with_a_past_of_its_own_is_noticed() {
        let mut ledger = Ledger::default();
        ledger.deliver("one", Zxid::new(Epoch(1), 5), &[entry(2, 1, 0)]);
    }
}
