//! What must be true of outputs, whatever happened: one history, in the order it was proposed,
//! nothing of it lost, and nothing claimed that is not on disk.

use std::collections::BTreeMap;

use bytes::Bytes;
use conclave_protocol::{
    ids::ServerId,
    peer::zab::{Message, Standing},
    txn::Entry,
    zxid::{Epoch, Zxid},
};
use conclave_zab::Role;

use super::{disk::Disk, prefix_len};

#[derive(Clone, Default, Eq, Hash, PartialEq)]
pub(crate) struct Checker {
    /// The one history, as far as anyone has delivered it.
    pub(crate) history: Vec<Entry>,
    /// Who was established in which epoch.
    pub(crate) leaders: BTreeMap<Epoch, ServerId>,
    /// What was proposed in each epoch, in order.
    proposed: BTreeMap<Epoch, Vec<Bytes>>,
    /// How much of the history each member has delivered, counted from the beginning of time.
    delivered: BTreeMap<ServerId, usize>,
    /// By leader and learner.
    told: BTreeMap<(ServerId, ServerId), Told>,
    next_value: u64,
}

impl Checker {
    pub(crate) fn next_txn(&mut self) -> Bytes {
        self.next_value += 1;
        Bytes::copy_from_slice(&self.next_value.to_be_bytes())
    }

    /// Returns what a member has delivered.
    pub(crate) fn delivered(&self, id: ServerId) -> &[Entry] {
        &self.history[..self.delivered.get(&id).copied().unwrap_or(0)]
    }

    /// A member holds an image, and all it delivered before is forgotten.
    pub(crate) fn on_start(&mut self, id: ServerId, image: Zxid) {
        self.delivered.insert(id, prefix_len(&self.history, image));
    }

    pub(crate) fn on_propose(&mut self, epoch: Epoch, txns: &[Bytes]) {
        self.proposed.entry(epoch).or_default().extend_from_slice(txns);
    }

    pub(crate) fn on_deliver(&mut self, id: ServerId, entries: Vec<Entry>, disk: &Disk) {
        assert!(!entries.is_empty(), "a delivery of nothing");
        for entry in entries {
            let zxid = entry.zxid;
            let on_disk = disk.log.binary_search_by_key(&zxid, |written| written.zxid);
            let is_on_disk = zxid <= disk.image || on_disk.is_ok_and(|at| disk.log[at] == entry);
            assert!(is_on_disk, "{id} delivered {zxid:?} before it was on its disk");
            let proposed = self.proposed.get(&zxid.epoch()).map_or(&[][..], |txns| txns);
            let nth = proposed.get(zxid.counter() as usize - 1);
            assert_eq!(nth, Some(&entry.txn), "{zxid:?} was not proposed so");
            let index = self.delivered.entry(id).or_default();
            if let Some(before) = index.checked_sub(1) {
                let before = self.history[before].zxid;
                assert!(before.is_followed_by(zxid), "{id} leaves a gap: {before:?}, {zxid:?}");
            }
            if *index < self.history.len() {
                assert_eq!(self.history[*index], entry, "{id} delivered another history");
            } else {
                self.history.push(entry);
            }
            *index += 1;
        }
    }

    pub(crate) fn on_role(&mut self, id: ServerId, role: Role) {
        if let Role::Following { leader, .. } | Role::Observing { leader, .. } = role {
            let serves_at = self.told.get(&(leader, id)).map(|told| told.serves_at);
            let delivered = self.delivered(id).last().map(|entry| entry.zxid);
            assert!(delivered >= serves_at.filter(|at| *at > Zxid::ZERO), "{id} serves too early");
        }
        if let Role::Leading { epoch } = role {
            let leader = *self.leaders.entry(epoch).or_insert(id);
            assert_eq!(leader, id, "two leaders of {epoch:?}");
            // Of newer epochs it may know nothing: it was established by acks that came late, and
            // can commit nothing any more.
            let older = self.history.partition_point(|entry| entry.zxid.epoch() < epoch);
            let delivered = self.delivered(id).len();
            assert!(delivered >= older, "leader {id} of {epoch:?} lacks what was delivered");
        }
    }

    /// The token is how much had been delivered when it was asked: all that must be confirmed.
    pub(crate) fn on_confirmed(&self, token: u64, upto: Zxid) {
        let confirmed = prefix_len(&self.history, upto) as u64;
        assert!(confirmed >= token, "a leader that was replaced was confirmed");
    }

    /// Notes what a learner was told, for what it answers.
    pub(crate) fn on_receive(&mut self, from: ServerId, to: ServerId, message: &Message) {
        let told = self.told.entry((from, to)).or_default();
        match message {
            Message::NewEpoch { epoch, .. } => *told = Told { epoch: *epoch, ..Told::default() },
            Message::Diff { entries, .. } => {
                told.last = entries.last().map_or(told.last, |entry| entry.zxid);
            }
            Message::UpToDate { committed, .. } => told.serves_at = *committed,
            _ => {}
        }
    }

    /// What a message claims to be durable is on the sender's disk.
    pub(crate) fn on_send(&self, from: ServerId, to: ServerId, message: &Message, disk: &Disk) {
        let told = self.told.get(&(to, from)).copied().unwrap_or_default();
        match message {
            Message::AckEpoch { .. } => {
                assert!(disk.epochs.accepted >= told.epoch, "{from} acked a promise not on disk");
            }
            Message::AckNewLeader { .. } => {
                assert!(
                    disk.last() >= told.last,
                    "{from} acked NEWLEADER before the DIFF is on disk"
                );
                assert_eq!(disk.epochs.current, told.epoch, "{from} acked NEWLEADER too early");
            }
            Message::Ack { zxid, standing, .. } => {
                assert!(*zxid <= disk.last(), "{from} acked {zxid:?} before it was on its disk");
                let is_whole = disk.epochs.standing == Standing::Whole;
                assert!(is_whole || *standing == Standing::Repairing, "{from} counts too early");
            }
            Message::NewEpoch { epoch, .. } => {
                assert_eq!(disk.epochs.accepted, *epoch, "{from} asks before it has promised");
            }
            Message::UpToDate { .. } => {
                assert_eq!(disk.epochs.current, disk.epochs.accepted, "{from} leads too early");
            }
            _ => {}
        }
    }
}

/// What a leader told a learner last.
#[derive(Clone, Copy, Default, Eq, Hash, PartialEq)]
struct Told {
    epoch: Epoch,
    last: Zxid,
    serves_at: Zxid,
}
