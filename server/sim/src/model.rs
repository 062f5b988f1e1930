//! The tree as the order of txns makes it, written down anew and as simply as can be, with all of its
//! past: what every answer and every member's own tree is held against.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound::{Included, Unbounded},
    sync::Arc,
};

use bytes::Bytes;
use conclave_protocol::{
    ids::SessionId,
    path,
    txn::{Change, CreateChange, Owner, Txn},
    zxid::Zxid,
};

use crate::{access::List, quota};

/// A znode at one time.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Znode {
    pub(crate) data: Option<Bytes>,
    pub(crate) version: i32,
    pub(crate) aversion: i32,
    pub(crate) czxid: Zxid,
    pub(crate) mzxid: Zxid,
    pub(crate) pzxid: Zxid,
    pub(crate) owner: Owner,
    pub(crate) acl: List,
}

/// What became of a znode.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Touch {
    Created,
    Deleted,
    Changed,
}

/// One touch, in the order of the txns and within them.
#[derive(Clone, Debug)]
pub(crate) struct Touched {
    pub(crate) zxid: Zxid,
    pub(crate) path: String,
    pub(crate) touch: Touch,
    /// The lists of the znode and of its parent then: they decide who hears of it.
    pub(crate) own_list: Option<List>,
    pub(crate) parent_list: Option<List>,
}

/// A znode's states, each with the txn that made it; `None` when it is gone.
type Past = Vec<(Zxid, Option<Arc<Znode>>)>;

/// The tree, its sessions, and how they came to be.
#[derive(Debug, Default)]
pub(crate) struct Model {
    znodes: BTreeMap<String, Past>,
    sessions: BTreeSet<SessionId>,
    closed: BTreeMap<SessionId, Zxid>,
    touches: Vec<Touched>,
    /// The newest value of each client: each writes its values in order, and each once.
    newest: BTreeMap<u64, u64>,
    /// Znodes below the root of quotas.
    quota_parts: usize,
}

/// Returns what a past comes to.
fn state(past: &[(Zxid, Option<Arc<Znode>>)], is_in: impl Fn(Zxid) -> bool) -> Option<&Arc<Znode>> {
    // Mostly it is all of it that is asked for.
    let index = match past.last() {
        Some((zxid, _)) if is_in(*zxid) => past.len(),
        _ => past.partition_point(|(zxid, _)| is_in(*zxid)),
    };
    past[..index].last()?.1.as_ref()
}

/// Returns whether a znode is part of the service and has no beginning.
pub(crate) fn is_always_there(path: &str) -> bool {
    path == "/" || path == quota::ROOT
}

/// Bits of a value below the client's number.
pub(crate) const VALUE_BITS: u32 = 32;

impl Model {
    /// Returns a znode as of a txn.
    pub(crate) fn at(&self, path: &str, zxid: Zxid) -> Option<&Arc<Znode>> {
        self.past(path, |at| at <= zxid)
    }

    /// Returns a znode as of right before a txn.
    pub(crate) fn before(&self, path: &str, zxid: Zxid) -> Option<&Arc<Znode>> {
        self.past(path, |at| at < zxid)
    }

    fn past(&self, path: &str, is_in: impl Fn(Zxid) -> bool) -> Option<&Arc<Znode>> {
        state(self.znodes.get(path)?, is_in)
    }

    /// Returns the names of a znode's children as of a txn.
    pub(crate) fn children(&self, parent: &str, zxid: Zxid) -> BTreeSet<&str> {
        let prefix = if parent == "/" { "/".to_owned() } else { format!("{parent}/") };
        self.znodes
            .range(prefix.clone()..)
            .take_while(|(path, _)| path.starts_with(&prefix))
            .filter(|(path, _)| !path[prefix.len()..].contains('/') && path.len() > prefix.len())
            .filter(|(_, past)| state(past, |at| at <= zxid).is_some())
            .map(|(path, _)| &path[prefix.len()..])
            .collect()
    }

    /// Returns the znode of a path and all below it, as of a txn.
    pub(crate) fn part_at(
        &self,
        top: &str,
        zxid: Zxid,
    ) -> impl Iterator<Item = (&str, &Arc<Znode>)> {
        let from = self.znodes.range::<str, _>((Included(top), Unbounded));
        let part = from.take_while(move |(path, _)| path.starts_with(top));
        part.filter_map(move |(path, past)| Some((path.as_str(), state(past, |at| at <= zxid)?)))
    }

    /// Returns how many znodes were below another as of a txn.
    pub(crate) fn count_below(&self, top: &str, zxid: Zxid) -> usize {
        let prefix = format!("{top}/");
        let below = self.znodes.range(prefix.clone()..);
        let below = below.take_while(|(path, _)| path.starts_with(&prefix));
        below.filter(|(_, past)| state(past, |at| at <= zxid).is_some()).count()
    }

    /// Returns the ephemerals of a session as of a txn.
    pub(crate) fn ephemerals(&self, session: SessionId, zxid: Zxid) -> BTreeSet<&str> {
        let owner = Owner::Ephemeral(session);
        let own = self.part_at("/", zxid).filter(|(_, znode)| znode.owner == owner);
        own.map(|(path, _)| path).collect()
    }

    /// Returns all znodes as they are now.
    pub(crate) fn now(&self) -> impl Iterator<Item = (&str, &Arc<Znode>)> {
        self.znodes.iter().filter_map(|(path, past)| {
            past.last().and_then(|(_, znode)| znode.as_ref()).map(|znode| (path.as_str(), znode))
        })
    }

    /// Returns the open sessions.
    pub(crate) const fn sessions(&self) -> &BTreeSet<SessionId> {
        &self.sessions
    }

    /// Returns whether a session has ever been one of the ensemble.
    pub(crate) fn was_opened(&self, session: SessionId) -> bool {
        self.sessions.contains(&session) || self.closed.contains_key(&session)
    }

    /// Returns the txn that closed a session.
    pub(crate) fn closed_at(&self, session: SessionId) -> Option<Zxid> {
        self.closed.get(&session).copied()
    }

    /// Returns how many touches there are.
    pub(crate) const fn touches_count(&self) -> usize {
        self.touches.len()
    }

    /// Returns how many touches there are up to a txn.
    pub(crate) fn touches_upto(&self, zxid: Zxid) -> usize {
        self.touches.partition_point(|touched| touched.zxid <= zxid)
    }

    /// Returns the touches from a number on, with their numbers.
    pub(crate) fn touches_from(&self, from: usize) -> impl Iterator<Item = (usize, &Touched)> {
        self.touches.iter().enumerate().skip(from)
    }

    pub(crate) fn apply(&mut self, zxid: Zxid, txn: &Txn) {
        self.change(zxid, txn.session, &txn.change);
        let is_changed = self.touches.last().is_some_and(|touched| touched.zxid == zxid);
        if is_changed && self.has_quotas() {
            self.count_quotas(zxid);
        }
    }

    /// Returns whether there is anything that may be part of a quota.
    pub(crate) const fn has_quotas(&self) -> bool {
        self.quota_parts > 0
    }

    /// What the stats of a quota say is what there is.
    fn count_quotas(&mut self, zxid: Zxid) {
        let limited = self.limited(zxid);
        let has_stats = |path: &&String| self.at(&quota::stats(path), zxid).is_some();
        // Stats tell once what there is when they appear, also where there are no limits yet.
        let newest = self.touches.iter().rev().take_while(|touched| touched.zxid == zxid);
        let created = newest.filter(|touched| touched.touch == Touch::Created);
        let created = created.filter_map(|touched| quota::counted(&touched.path));
        let counted: Vec<(String, Bytes)> = limited
            .iter()
            .filter(has_stats)
            .cloned()
            .chain(created)
            .map(|covered| {
                let part = self.part_at(&covered, zxid);
                let usage = quota::usage(&covered, &limited, part);
                (quota::stats(&covered), usage.to_string().into())
            })
            .collect();
        for (path, text) in counted {
            if self.at(&path, zxid).is_some_and(|znode| znode.data.as_ref() != Some(&text)) {
                self.alter(zxid, &path, |znode| znode.data = Some(text));
            }
        }
    }

    /// Returns the paths that had limits as of a txn.
    pub(crate) fn limited(&self, zxid: Zxid) -> Vec<String> {
        self.part_at(quota::ROOT, zxid).filter_map(|(path, _)| quota::limited(path)).collect()
    }

    fn change(&mut self, zxid: Zxid, session: SessionId, change: &Change) {
        match change {
            Change::Error(_)
            | Change::MultiError { .. }
            | Change::Check { .. }
            | Change::AttachSession { .. } => {}
            Change::CreateSession { .. } => {
                assert!(self.sessions.insert(session), "session {session} begins twice");
            }
            Change::CloseSession => {
                if self.sessions.remove(&session) {
                    self.closed.insert(session, zxid);
                }
                let own = |znode: &Znode| znode.owner == Owner::Ephemeral(session);
                let own: Vec<String> = self
                    .now()
                    .filter(|(_, znode)| own(znode))
                    .map(|(path, _)| path.to_owned())
                    .collect();
                for path in own {
                    self.delete(zxid, &path);
                }
            }
            Change::Create(create) => self.create(zxid, create),
            Change::Delete { path } => self.delete(zxid, path),
            Change::SetData { path, data, version } => {
                self.note_value(path, data.as_ref());
                self.alter(zxid, path, |znode| {
                    assert_eq!(*version, znode.version.wrapping_add(1), "versions of {path}");
                    (znode.data, znode.version, znode.mzxid) = (data.clone(), *version, zxid);
                });
                self.touch(zxid, path, Touch::Changed);
            }
            Change::SetAcl { path, acl, aversion } => self.alter(zxid, path, |znode| {
                assert_eq!(*aversion, znode.aversion.wrapping_add(1), "list versions of {path}");
                (znode.acl, znode.aversion) = (Arc::from(&acl[..]), *aversion);
            }),
            Change::Multi(changes) => {
                for change in changes {
                    self.change(zxid, session, change);
                }
            }
        }
    }

    fn create(&mut self, zxid: Zxid, create: &CreateChange) {
        let CreateChange { path, data, owner, acl, .. } = create;
        self.note_value(path, data.as_ref());
        assert!(self.at(path, zxid).is_none(), "{path} is created twice");
        if let Owner::Ephemeral(session) = owner {
            assert!(self.sessions.contains(session), "{path} belongs to {session}, which is over");
        }
        let znode = Znode {
            data: data.clone(),
            version: 0,
            aversion: 0,
            czxid: zxid,
            mzxid: zxid,
            pzxid: zxid,
            owner: *owner,
            acl: Arc::from(&acl[..]),
        };
        self.quota_parts += usize::from(quota::is_part(path));
        self.set(zxid, path, Some(znode));
        self.note_child(zxid, path);
        self.touch(zxid, path, Touch::Created);
    }

    fn delete(&mut self, zxid: Zxid, path: &str) {
        assert!(self.at(path, zxid).is_some(), "{path} is deleted and is not there");
        assert!(self.children(path, zxid).is_empty(), "{path} is deleted and has children");
        self.touch(zxid, path, Touch::Deleted);
        self.quota_parts -= usize::from(quota::is_part(path));
        self.set(zxid, path, None);
        self.note_child(zxid, path);
    }

    fn note_child(&mut self, zxid: Zxid, path: &str) {
        let parent = path::parent(path).expect("the root neither comes nor goes");
        if !is_always_there(parent) {
            self.alter(zxid, parent, |znode| znode.pzxid = zxid);
        }
    }

    fn alter(&mut self, zxid: Zxid, path: &str, change: impl FnOnce(&mut Znode)) {
        let znode =
            self.at(path, zxid).unwrap_or_else(|| panic!("{path} changes, it is not there"));
        let mut znode = Znode::clone(znode);
        change(&mut znode);
        self.set(zxid, path, Some(znode));
    }

    fn set(&mut self, zxid: Zxid, path: &str, znode: Option<Znode>) {
        let past = self.znodes.entry(path.to_owned()).or_default();
        past.pop_if(|(at, _)| *at == zxid);
        past.push((zxid, znode.map(Arc::new)));
    }

    fn touch(&mut self, zxid: Zxid, path: &str, touch: Touch) {
        let list = |path: &str| self.at(path, zxid).map(|znode| znode.acl.clone());
        let (own_list, parent_list) = (list(path), path::parent(path).and_then(list));
        let path = path.to_owned();
        self.touches.push(Touched { zxid, path, touch, own_list, parent_list });
    }

    /// Exactly once, and first in, first out: a client's values come in the order it wrote them.
    fn note_value(&mut self, path: &str, data: Option<&Bytes>) {
        let value =
            data.and_then(|data| data.first_chunk()).map(|value| u64::from_be_bytes(*value));
        let Some(value) = value.filter(|_| !quota::is_part(path)) else { return };
        let before = self.newest.insert(value >> VALUE_BITS, value);
        assert!(before.is_none_or(|before| before < value), "value {value:x} behind {before:x?}");
    }
}
