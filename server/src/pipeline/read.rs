//! Reads: answered from this member's own state, under the guard the caller holds. A watch is
//! armed under the same guard, so that no change falls between the read and its watch.

use std::{borrow::Cow, cell::Cell, sync::Arc};

use bytes::Bytes;
use conclave_protocol::{
    acl::{Acl, Identity, Perms},
    code::ErrorCode,
    event::{EventKind, KeeperState, WatchEvent},
    ids::Xid,
    multi::{OpResult, ReadOp},
    request::Request,
    response::{ClientInfo, Response},
    stat::Stat,
    text::Text,
    zxid::Zxid,
};

use crate::{
    acl,
    lane::{Connection, Then},
    state::State,
    tree::Node,
    watch::{WatchKind, Watches},
};

/// Where the members are told.
const CONFIG_PATH: &str = "/zookeeper/config";

/// Answers one read.
pub fn answer(
    connection: &Connection,
    state: &State,
    watches: &Watches,
    xid: Xid,
    request: &Request,
    identities: &Arc<[Identity]>,
) {
    let room = Room::new(connection.reply_len_bytes_max());
    let stage = Stage { connection, state, watches, identities, room };
    let xid = if matches!(request, Request::Ping) { Xid::PING } else { xid };
    let (error, body) = match stage.read(request) {
        Ok(body) => (0, body),
        Err(code) => (code.to_wire(), Response::Empty),
    };
    connection.reply(xid, state.last_applied, error, &body, Then::Continue);
}

struct Stage<'a> {
    connection: &'a Connection,
    state: &'a State,
    watches: &'a Watches,
    identities: &'a [Identity],
    room: Room,
}

/// What is left of the longest answer that the client is given. What grows with the data takes its part
/// before it is copied, so that an answer that is too long costs no memory.
struct Room {
    left_len_bytes: Cell<usize>,
    is_exceeded: Cell<bool>,
}

/// Bytes of an answer's parts whose length does not depend on the data, at most: header, stat, and two
/// counts.
const FIXED_LEN_BYTES: usize = 16 + 68 + 8;

/// Bytes of an element besides its text: its length, and in a multiRead its header, error and stat.
const ELEMENT_LEN_BYTES: usize = 4;
const RESULT_LEN_BYTES: usize = 9 + 4 + 68;

impl Room {
    const fn new(reply_len_bytes_max: usize) -> Self {
        let left = reply_len_bytes_max.saturating_sub(FIXED_LEN_BYTES);
        Self { left_len_bytes: Cell::new(left), is_exceeded: Cell::new(false) }
    }

    fn take(&self, len_bytes: usize) -> Result<(), ErrorCode> {
        let left = self.left_len_bytes.get().checked_sub(len_bytes);
        self.is_exceeded.set(left.is_none());
        self.left_len_bytes.set(left.ok_or(ErrorCode::MarshallingError)?);
        Ok(())
    }
}

impl Stage<'_> {
    fn read(&self, request: &Request) -> Result<Response, ErrorCode> {
        match request {
            Request::Ping => Ok(Response::Empty),
            Request::Exists { path, watch } => self.exists(path, *watch),
            Request::GetData { path, watch } => {
                let (path, node) = self.find(path, Perms::READ)?;
                let (data, stat) = self.data(path, &node)?;
                self.arm(path, *watch, WatchKind::Data);
                Ok(Response::Data { data, stat })
            }
            Request::GetChildren { path, watch } => {
                let (path, node) = self.find(path, Perms::READ)?;
                let children = self.names(&node)?;
                self.arm(path, *watch, WatchKind::Child);
                Ok(Response::Children(children))
            }
            Request::GetChildren2 { path, watch } => {
                let (path, node) = self.find(path, Perms::READ)?;
                let (children, stat) = (self.names(&node)?, self.stat(path, &node));
                self.arm(path, *watch, WatchKind::Child);
                Ok(Response::Children2 { children, stat })
            }
            Request::GetAcl { path } => {
                let (path, node) = self.find(path, Perms(Perms::READ.0 | Perms::ADMIN.0))?;
                Ok(Response::Acl { acl: self.visible_acl(&node), stat: self.stat(path, &node) })
            }
            Request::SetWatches { relative_zxid, data, exist, child } => {
                self.set_watches(*relative_zxid, data, exist, child);
                Ok(Response::Empty)
            }
            Request::SetWatches2 { relative_zxid, data, exist, child, persistent, recursive } => {
                self.set_watches(*relative_zxid, data, exist, child);
                for path in persistent.iter().flat_map(watchable) {
                    self.arm(&path, true, WatchKind::Persistent);
                }
                for path in recursive.iter().flat_map(watchable) {
                    self.arm(&path, true, WatchKind::PersistentRecursive);
                }
                Ok(Response::Empty)
            }
            Request::AddWatch { path, mode } => self.add_watch(path, *mode),
            Request::CheckWatches { path, kind } => self.check_watches(path, *kind),
            Request::RemoveWatches { path, kind } => self.remove_watches(path, *kind),
            Request::GetEphemerals { prefix } => Ok(Response::Ephemerals(self.ephemerals(prefix)?)),
            Request::GetAllChildrenNumber { path } => {
                let (path, _) = self.find(path, Perms::READ)?;
                let count = self.state.tree.count_descendants(named(path)).unwrap_or(0);
                Ok(Response::AllChildrenNumber(i32::try_from(count).unwrap_or(i32::MAX)))
            }
            Request::MultiRead(ops) => {
                let results: Result<_, _> = ops.iter().map(|op| self.read_op(op)).collect();
                Ok(Response::Multi(results?))
            }
            Request::WhoAmI => Ok(Response::WhoAmI(self.who_am_i())),
            _ => Err(ErrorCode::Unimplemented),
        }
    }

    fn find<'p>(&self, path: &'p Text, perms: Perms) -> Result<(&'p str, Node<'_>), ErrorCode> {
        let path = readable(path)?;
        let node = self.node(path).ok_or(ErrorCode::NoNode)?;
        if !acl::allows(node.acl(), self.identities, perms) {
            return Err(ErrorCode::NoAuth);
        }
        Ok((path, node))
    }

    fn exists(&self, path: &Text, watch: bool) -> Result<Response, ErrorCode> {
        let path = watchable(path)?;
        if path.contains('\0') {
            return Err(ErrorCode::BadArguments);
        }
        // Armed also when there is none: it waits for the creation.
        self.arm(&path, watch, WatchKind::Data);
        let node = self.node(&path).ok_or(ErrorCode::NoNode)?;
        Ok(Response::Stat(self.stat(&path, &node)))
    }

    /// Answers one operation of a multiRead; a malformed one makes the request malformed. Its watch
    /// flag is ignored, as in ZooKeeper.
    fn read_op(&self, op: &ReadOp) -> Result<OpResult, ErrorCode> {
        self.room.take(RESULT_LEN_BYTES)?;
        let result = match op {
            ReadOp::GetData { path, .. } => {
                self.find(path, Perms::READ).and_then(|(path, node)| {
                    let (data, stat) = self.data(path, &node)?;
                    Ok(OpResult::Data { data, stat })
                })
            }
            ReadOp::GetChildren { path, .. } => self
                .find(path, Perms::READ)
                .and_then(|(_, node)| Ok(OpResult::Children(self.names(&node)?))),
        };
        match result {
            // The answer as a whole is too long, not this part of it.
            Err(code) if self.room.is_exceeded.get() => Err(code),
            Err(code) if code != ErrorCode::MarshallingError => Ok(OpResult::Error(code.to_wire())),
            other => other,
        }
    }

    /// Returns what a znode holds, and its stat.
    fn data(&self, path: &str, node: &Node<'_>) -> Result<(Option<Bytes>, Stat), ErrorCode> {
        let data = match self.members_at(path, node) {
            Some(members) => Some(members.clone()),
            None => {
                self.room.take(node.data().map_or(0, <[u8]>::len))?;
                node.data().map(Bytes::copy_from_slice)
            }
        };
        Ok((data, self.stat(path, node)))
    }

    fn stat(&self, path: &str, node: &Node<'_>) -> Stat {
        let stat = node.stat();
        match self.members_at(path, node) {
            // ZooKeeper's own version for what it read from its file.
            Some(members) => Stat { version: -1, data_length: members.len() as i32, ..stat },
            None => stat,
        }
    }

    /// Returns the members where they are told: by `/zookeeper/config`, as long as nobody has written to
    /// it. Each member has them from its own configuration.
    fn members_at(&self, path: &str, node: &Node<'_>) -> Option<&Bytes> {
        let members = &self.state.members;
        let is_told = path == CONFIG_PATH && node.stat().mzxid == Zxid::ZERO && !members.is_empty();
        is_told.then_some(members)
    }

    fn names(&self, node: &Node<'_>) -> Result<Vec<Text>, ErrorCode> {
        self.texts(node.children())
    }

    /// Copies texts, for as long as there is room for them.
    fn texts<T>(&self, texts: impl Iterator<Item = T>) -> Result<Vec<Text>, ErrorCode>
    where
        T: AsRef<str> + Into<Text>,
    {
        texts
            .map(|text| {
                self.room.take(ELEMENT_LEN_BYTES + text.as_ref().len())?;
                Ok(text.into())
            })
            .collect()
    }

    fn visible_acl(&self, node: &Node<'_>) -> Vec<Acl> {
        if acl::allows(node.acl(), self.identities, Perms::ADMIN) {
            node.acl().to_vec()
        } else {
            acl::masked(node.acl())
        }
    }

    fn arm(&self, path: &str, watch: bool, kind: WatchKind) {
        if watch {
            self.watches.arm(self.connection.id, path, kind);
        }
    }

    fn add_watch(&self, path: &Text, mode: i32) -> Result<Response, ErrorCode> {
        let kind = match mode {
            0 => WatchKind::Persistent,
            1 => WatchKind::PersistentRecursive,
            _ => return Err(ErrorCode::MarshallingError),
        };
        if !path.is_null() {
            self.arm(&watchable(path)?, true, kind);
        }
        Ok(Response::AddWatch { error: 0 })
    }

    fn check_watches(&self, path: &Text, kind: i32) -> Result<Response, ErrorCode> {
        let side = watch_side(kind)?;
        let is_there = self.watches.is_watched(&watchable(path)?, side);
        if is_there { Ok(Response::Empty) } else { Err(ErrorCode::NoWatcher) }
    }

    fn remove_watches(&self, path: &Text, kind: i32) -> Result<Response, ErrorCode> {
        let side = watch_side(kind)?;
        let was_there =
            !path.is_null() && self.watches.disarm(self.connection.id, &watchable(path)?, side);
        if was_there { Ok(Response::Empty) } else { Err(ErrorCode::NoWatcher) }
    }

    /// Arms again what a client watched on another connection; what changed since
    /// `relative_zxid` is told at once instead.
    fn set_watches(&self, relative_zxid: Zxid, data: &[Text], exist: &[Text], child: &[Text]) {
        for path in data.iter().flat_map(watchable) {
            match self.node(&path) {
                None => self.tell(EventKind::NodeDeleted, &path),
                Some(node) if node.stat().mzxid.is_after(relative_zxid) => {
                    self.tell(EventKind::NodeDataChanged, &path);
                }
                Some(_) => self.arm(&path, true, WatchKind::Data),
            }
        }
        for path in exist.iter().flat_map(watchable) {
            match self.node(&path) {
                Some(_) => self.tell(EventKind::NodeCreated, &path),
                None => self.arm(&path, true, WatchKind::Data),
            }
        }
        for path in child.iter().flat_map(watchable) {
            match self.node(&path) {
                None => self.tell(EventKind::NodeDeleted, &path),
                Some(node) if node.stat().pzxid.is_after(relative_zxid) => {
                    self.tell(EventKind::NodeChildrenChanged, &path);
                }
                Some(_) => self.arm(&path, true, WatchKind::Child),
            }
        }
    }

    fn node(&self, path: &str) -> Option<Node<'_>> {
        self.state.tree.node(named(path))
    }

    fn tell(&self, kind: EventKind, path: &str) {
        let state = KeeperState::SyncConnected;
        self.connection.event(&WatchEvent { kind, state, path: path.into() });
    }

    fn ephemerals(&self, prefix: &Text) -> Result<Vec<Text>, ErrorCode> {
        // No path begins with what is not UTF-8; null is as good as empty.
        let Some(prefix) = prefix.as_str().or_else(|| prefix.is_null().then_some("")) else {
            return Ok(Vec::new());
        };
        // As Java's trim: a blank prefix, and the root with blanks around it, match all.
        let is_all = matches!(prefix.trim_matches(|c| c <= ' '), "" | "/");
        let paths = self.state.tree.ephemerals(self.connection.session());
        self.texts(paths.filter(|path| is_all || path.starts_with(prefix)))
    }

    fn who_am_i(&self) -> Vec<ClientInfo> {
        self.identities
            .iter()
            .filter(|identity| acl::is_told(identity))
            .map(|Identity { scheme, id }| {
                let user = id.as_str().and_then(|id| id.split(':').next()).map(Text::from);
                let is_digest = scheme.as_str() == Some("digest");
                let user = user.filter(|_| is_digest).unwrap_or_else(|| id.clone());
                ClientInfo { scheme: scheme.clone(), user }
            })
            .collect()
    }
}

/// Returns the path of a read, as it came.
fn readable(path: &Text) -> Result<&str, ErrorCode> {
    match path.as_str() {
        Some(path) => Ok(path),
        None if path.is_null() => Err(ErrorCode::MarshallingError),
        // Not UTF-8: no znode has such a name.
        None => Err(ErrorCode::NoNode),
    }
}

/// Returns the path of a watch, which no znode needs to have; what is not UTF-8 becomes U+FFFD.
fn watchable(path: &Text) -> Result<Cow<'_, str>, ErrorCode> {
    path.as_bytes().map(|bytes| String::from_utf8_lossy(bytes)).ok_or(ErrorCode::MarshallingError)
}

/// Returns the path of the znode that a read means: the empty string is the root, as in ZooKeeper.
/// A watch armed by that name is of that name all the same, and hears nothing of the root.
fn named(path: &str) -> &str {
    if path.is_empty() { "/" } else { path }
}

fn watch_side(kind: i32) -> Result<crate::watch::Side, ErrorCode> {
    match kind {
        1 => Ok(crate::watch::Side::Child),
        2 => Ok(crate::watch::Side::Data),
        3 => Ok(crate::watch::Side::Any),
        _ => Err(ErrorCode::MarshallingError),
    }
}
