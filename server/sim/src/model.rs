//! The tree as the order of txns makes it, written down anew and as simply as can be, with all of its
//! past: what every answer and every member's own tree is held against.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;
use conclave_protocol::{
    ids::SessionId,
    path,
    txn::{Change, CreateChange, Owner, Txn},
    zxid::Zxid,
};

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
        let past = self.znodes.get(path)?;
        let index = past.partition_point(|(zxid, _)| is_in(*zxid));
        past[..index].last()?.1.as_ref()
    }

    /// Returns the names of a znode's children as of a txn.
    pub(crate) fn children(&self, parent: &str, zxid: Zxid) -> BTreeSet<&str> {
        let prefix = if parent == "/" { "/".to_owned() } else { format!("{parent}/") };
        self.znodes
            .range(prefix.clone()..)
            .take_while(|(path, _)| path.starts_with(&prefix))
            .filter(|(path, _)| !path[prefix.len()..].contains('/') && path.len() > prefix.len())
            .filter(|(path, _)| self.at(path, zxid).is_some())
            .map(|(path, _)| &path[prefix.len()..])
            .collect()
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
                self.note_value(data.as_ref());
                self.alter(zxid, path, |znode| {
                    assert_eq!(*version, znode.version.wrapping_add(1), "versions of {path}");
                    (znode.data, znode.version, znode.mzxid) = (data.clone(), *version, zxid);
                });
                self.touch(zxid, path, Touch::Changed);
            }
            Change::SetAcl { path, aversion, .. } => {
                self.alter(zxid, path, |znode| znode.aversion = *aversion);
            }
            Change::Multi(changes) => {
                for change in changes {
                    self.change(zxid, session, change);
                }
            }
        }
    }

    fn create(&mut self, zxid: Zxid, create: &CreateChange) {
        let CreateChange { path, data, owner, .. } = create;
        self.note_value(data.as_ref());
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
        };
        self.set(zxid, path, Some(znode));
        self.note_child(zxid, path);
        self.touch(zxid, path, Touch::Created);
    }

    fn delete(&mut self, zxid: Zxid, path: &str) {
        assert!(self.at(path, zxid).is_some(), "{path} is deleted and is not there");
        assert!(self.children(path, zxid).is_empty(), "{path} is deleted and has children");
        self.set(zxid, path, None);
        self.note_child(zxid, path);
        self.touch(zxid, path, Touch::Deleted);
    }

    fn note_child(&mut self, zxid: Zxid, path: &str) {
        let parent = path::parent(path).expect("the root neither comes nor goes");
        if parent != "/" {
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
        self.touches.push(Touched { zxid, path: path.to_owned(), touch });
    }

    /// Exactly once, and first in, first out: a client's values come in the order it wrote them.
    fn note_value(&mut self, data: Option<&Bytes>) {
        let Some(value) = data.and_then(|data| data[..].try_into().ok()).map(u64::from_be_bytes)
        else {
            return;
        };
        let before = self.newest.insert(value >> VALUE_BITS, value);
        assert!(before.is_none_or(|before| before < value), "value {value:x} behind {before:x?}");
    }
}
