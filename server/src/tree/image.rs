//! The fuzzy walk for a snapshot: slot by slot, in slices between which the tree may change.
//!
//! It gives exactly the znodes that are there when it begins, each once, as of some moment from
//! then on. For that, while it is under way, no slot that it may still meet is used again, and a
//! deleted znode stays in its slot as it was at its end: the delete that comes in the tail needs
//! it, to find the session's ephemerals and the parent whose `pzxid` it moves. Znodes created
//! meanwhile are not given: the txns that created them are in the tail.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use conclave_protocol::acl::Acl;
use conclave_snapshots::image::{ImageRecord, NodeRecord};

use super::{
    Tree,
    arena::NO_SLOT,
    znode::{Place, Znode},
};

/// A walk under way.
#[derive(Debug)]
pub struct Walk {
    next: u32,
    end: u32,
    /// Lists that were given, with their numbers in this image, by their numbers in the tree.
    /// Holding a list shows whether the tree's number stands for another one by now.
    lists: HashMap<u32, (Arc<[Acl]>, u32)>,
    list_count: u32,
}

impl Walk {
    /// Begins a walk; [`Tree::end_walk`] ends it.
    pub fn begin(tree: &mut Tree) -> Self {
        let end = tree.arena.begin_quarantine();
        Self { next: 0, end, lists: HashMap::new(), list_count: 0 }
    }

    /// Returns the records of the next `znodes_max` slots, or `None` when all are done. A list
    /// comes before the first znode that has it.
    pub fn slice(&mut self, tree: &Tree, znodes_max: usize) -> Option<Vec<ImageRecord>> {
        if self.next >= self.end {
            return None;
        }
        let step = u32::try_from(znodes_max).unwrap_or(u32::MAX).max(1);
        let upto = self.end.min(self.next.saturating_add(step));
        let mut records = Vec::with_capacity((upto - self.next) as usize);
        for slot in self.next..upto {
            let znode = tree.arena.get(slot);
            if znode.place() != Place::Vacant {
                let acl = self.list(tree, znode.acl, &mut records);
                records.push(ImageRecord::Node(record(slot, znode, acl)));
            }
        }
        self.next = upto;
        Some(records)
    }

    /// Returns the number in this image of the tree's list `number`.
    fn list(&mut self, tree: &Tree, number: u32, records: &mut Vec<ImageRecord>) -> u32 {
        let list = tree.acls.get(number);
        if let Some((given, number)) = self.lists.get(&number)
            && Arc::ptr_eq(given, list)
        {
            return *number;
        }
        let given = self.list_count;
        self.list_count += 1;
        self.lists.insert(number, (list.clone(), given));
        records.push(ImageRecord::Acl { number: given, list: list.to_vec() });
        given
    }
}

fn record(slot: u32, znode: &Znode, acl: u32) -> NodeRecord {
    NodeRecord {
        number: slot,
        parent: if znode.parent == NO_SLOT { slot } else { znode.parent },
        name: znode.name().to_owned(),
        data: znode.data().map(Bytes::copy_from_slice),
        acl,
        owner: znode.owner(),
        czxid: znode.czxid,
        mzxid: znode.mzxid,
        pzxid: znode.pzxid,
        ctime_ms: znode.ctime_ms,
        mtime_ms: znode.mtime_ms,
        version: znode.version,
        aversion: znode.aversion,
        created: znode.created,
    }
}

impl Tree {
    /// Ends the walk that [`Walk::begin`] began, whether or not it came to its end.
    pub fn end_walk(&mut self) {
        for znode in self.arena.end_quarantine() {
            self.acls.release(znode.acl);
        }
    }
}
