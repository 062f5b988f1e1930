//! The fuzzy walk for a snapshot: slot by slot, in slices between which the tree may change.
//!
//! While it is under way freed slots are not used again, so a slot number means one znode
//! throughout. Znodes created meanwhile have greater numbers and are not walked: the txns that
//! created them are in the snapshot's tail.

use std::collections::HashMap;

use bytes::Bytes;
use conclave_protocol::acl::Acl;
use conclave_snapshots::image::{ImageRecord, NodeRecord};

use super::{Tree, arena::NO_SLOT};

/// A walk under way.
#[derive(Debug)]
pub struct Walk {
    next: u32,
    end: u32,
    /// Lists that were written, by their number in this image.
    lists: HashMap<Vec<Acl>, u32>,
}

impl Walk {
    /// Begins a walk; [`Tree::end_walk`] ends it.
    pub fn begin(tree: &mut Tree) -> Self {
        tree.arena.begin_quarantine();
        Self { next: 0, end: tree.arena.slot_count(), lists: HashMap::new() }
    }

    /// Returns the records of the next `znodes_max` slots, or `None` when all are done.
    pub fn slice(&mut self, tree: &Tree, znodes_max: usize) -> Option<Vec<ImageRecord>> {
        if self.next >= self.end {
            return None;
        }
        let upto = self.end.min(self.next.saturating_add(u32::try_from(znodes_max).unwrap_or(1)));
        let mut records = Vec::with_capacity((upto - self.next) as usize);
        for slot in self.next..upto {
            self.record(tree, slot, &mut records);
        }
        self.next = upto;
        Some(records)
    }

    fn record(&mut self, tree: &Tree, slot: u32, records: &mut Vec<ImageRecord>) {
        let Some(znode) = tree.arena.try_get(slot) else { return };
        let list = tree.acls.get(znode.acl);
        let acl = match self.lists.get(list) {
            Some(number) => *number,
            None => {
                let number = u32::try_from(self.lists.len()).expect("no more lists than znodes");
                self.lists.insert(list.to_vec(), number);
                records.push(ImageRecord::Acl { number, list: list.to_vec() });
                number
            }
        };
        records.push(ImageRecord::Node(NodeRecord {
            number: slot,
            parent: if znode.parent == NO_SLOT { slot } else { znode.parent },
            name: znode.name.to_string(),
            data: znode.data.as_deref().map(Bytes::copy_from_slice),
            acl,
            owner: znode.owner,
            czxid: znode.czxid,
            mzxid: znode.mzxid,
            pzxid: znode.pzxid,
            ctime_ms: znode.ctime_ms,
            mtime_ms: znode.mtime_ms,
            version: znode.version,
            aversion: znode.aversion,
            created: znode.created,
        }));
    }
}
