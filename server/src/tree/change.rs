//! How txns change the tree.
//!
//! A snapshot's tail is replayed over znodes each of which is as of some moment of the walk. The
//! walk gives exactly the znodes that were there when it began, also those deleted before it met
//! them, and creates and deletes are replayed from then on: so which znodes there are is at every
//! step of the replay what it was when the txn was first applied. What a znode holds may be later
//! than that; values in txns are absolute and the last one of the tail wins, counters and `pzxid`
//! only go up, so at the end of the tail everything is what it was then.
//!
//! Beyond that nothing here panics whatever tree a txn meets: what cannot be done is passed over.

use bytes::Bytes;
use conclave_protocol::{
    acl::Acl,
    ids::SessionId,
    path,
    quota::LIMITS_NAME,
    stat::Stat,
    txn::{CreateChange, Owner},
    zxid::Zxid,
};

use super::{Tree, arena::ROOT, node::Node, znode::Znode};

/// What is left of a deleted znode: the list that decides who may hear of it.
#[derive(Debug)]
pub struct Deleted {
    /// Who could do what.
    pub acl: Vec<Acl>,
}

impl Tree {
    /// Adds a znode and returns its stat; `None` when its parent is gone. A znode that is there
    /// already stays as it is.
    pub fn create(&mut self, zxid: Zxid, time_ms: i64, create: &CreateChange) -> Option<Stat> {
        let parent = self.arena.find(path::parent(&create.path)?)?;
        let above = self.arena.get_mut(parent);
        above.created = above.created.max(create.parent_created);
        above.pzxid = above.pzxid.max(zxid);
        let name = path::name(&create.path);
        if let Some(slot) = self.arena.child(parent, name) {
            return Some(Node::new(self, slot).stat());
        }
        let mut znode = Znode::new(name, create.data.as_deref(), create.owner);
        znode.czxid = zxid;
        znode.mzxid = zxid;
        znode.pzxid = zxid;
        znode.ctime_ms = time_ms;
        znode.mtime_ms = time_ms;
        znode.acl = self.acls.intern(&create.acl);
        self.data_len_bytes += znode.len_bytes();
        let slot = self.arena.insert(parent, znode);
        self.note_owner(slot, create.owner);
        self.note_quota(&create.path);
        Some(Node::new(self, slot).stat())
    }

    pub(super) fn note_owner(&mut self, slot: u32, owner: Owner) {
        match owner {
            Owner::Persistent => {}
            Owner::Ephemeral(session) => {
                self.ephemerals.entry(session).or_default().insert(slot);
            }
            Owner::Container | Owner::Ttl(_) => {
                self.reapable.insert(slot);
            }
        }
    }

    /// Removes a znode; `None` when it is gone already, or has children that a later txn removes.
    pub fn delete(&mut self, zxid: Zxid, path: &str) -> Option<Deleted> {
        let slot = self.arena.find(path)?;
        self.remove(zxid, slot)
    }

    fn remove(&mut self, zxid: Zxid, slot: u32) -> Option<Deleted> {
        let znode = self.arena.get(slot);
        if slot == ROOT || znode.child_count > 0 {
            return None;
        }
        let deleted = Deleted { acl: self.acls.get(znode.acl).to_vec() };
        self.data_len_bytes -= znode.len_bytes();
        let (owner, parent) = (znode.owner(), znode.parent);
        let is_limits = znode.name() == LIMITS_NAME;
        self.reapable.remove(&slot);
        if is_limits {
            let path = self.arena.path(slot);
            self.forget_quota(&path);
        }
        if let Owner::Ephemeral(session) = owner
            && let Some(slots) = self.ephemerals.get_mut(&session)
        {
            slots.remove(&slot);
            if slots.is_empty() {
                self.ephemerals.remove(&session);
            }
        }
        self.arena.unlink(slot);
        let above = self.arena.get_mut(parent);
        above.pzxid = above.pzxid.max(zxid);
        if let Some(znode) = self.arena.vacate(slot) {
            self.acls.release(znode.acl);
        }
        Some(deleted)
    }

    /// Replaces a znode's data and returns its stat; `None` when it is gone.
    pub fn set_data(
        &mut self,
        zxid: Zxid,
        time_ms: i64,
        path: &str,
        data: Option<Bytes>,
        version: i32,
    ) -> Option<Stat> {
        let slot = self.arena.find(path)?;
        self.replace_data(slot, data.as_deref());
        let znode = self.arena.get_mut(slot);
        znode.version = version;
        znode.mzxid = zxid;
        znode.mtime_ms = time_ms;
        Some(Node::new(self, slot).stat())
    }

    pub(super) fn replace_data(&mut self, slot: u32, data: Option<&[u8]>) {
        let znode = self.arena.get_mut(slot);
        self.data_len_bytes -= znode.len_bytes();
        znode.set_data(data);
        self.data_len_bytes += znode.len_bytes();
    }

    /// Replaces a znode's ACL and returns its stat; `None` when it is gone.
    pub fn set_acl(&mut self, path: &str, acl: &[Acl], aversion: i32) -> Option<Stat> {
        let slot = self.arena.find(path)?;
        let number = self.acls.intern(acl);
        let znode = self.arena.get_mut(slot);
        let before = std::mem::replace(&mut znode.acl, number);
        znode.aversion = aversion;
        self.acls.release(before);
        Some(Node::new(self, slot).stat())
    }

    /// Removes a session's ephemerals, and returns their paths and lists in order of the paths.
    pub fn close_session(&mut self, zxid: Zxid, session: SessionId) -> Vec<(String, Vec<Acl>)> {
        let mut slots: Vec<(String, u32)> = self
            .ephemerals
            .get(&session)
            .into_iter()
            .flatten()
            .map(|slot| (self.arena.path(*slot), *slot))
            .collect();
        slots.sort_unstable();
        slots
            .into_iter()
            .filter_map(|(path, slot)| Some((path, self.remove(zxid, slot)?.acl)))
            .collect()
    }
}
