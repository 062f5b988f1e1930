//! Whether an answer is right: held against the one order of txns and the tree that it makes.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use conclave_protocol::{
    acl::{Acl, Perms},
    code::ErrorCode,
    ids::SessionId,
    multi::{Op, OpResult, ReadOp},
    path,
    request::{Create, Request},
    response::{ReplyHeader, Response},
    stat::Stat,
    text::Text,
    txn::{Change, CreateChange, Owner},
    zxid::Zxid,
};

use crate::{
    access::{self, Who},
    ledger::Ledger,
    model::{Model, Znode, is_always_there},
    quota::{self, Usage},
};

/// Flags of a create that ask for an ephemeral, and for a sequence number.
const EPHEMERAL: i32 = 1;
const SEQUENTIAL: i32 = 2;

/// From here on they name kinds that are neither.
const CONTAINER: i32 = 4;

/// Judges the answer to a write by the txn at its place, and by the state right before that.
pub(crate) fn write(
    ledger: &Ledger,
    who: &str,
    user: Who,
    request: &Request,
    header: &ReplyHeader,
    body: Option<&Response>,
) {
    if header.error == ErrorCode::SystemError.to_wire() {
        // No room on the disks: refused before it got a place.
        return;
    }
    let at = header.zxid;
    let txn = ledger.txn(at);
    let txn =
        txn.unwrap_or_else(|| panic!("{who} is answered 0x{at} for {request:?}: no such txn"));
    let changed = BTreeMap::new();
    let mut scratch = Scratch { model: &ledger.model, user, before: at, changed };
    let (expected, matches) = match (request, &txn.change) {
        (Request::Multi(ops), change) => {
            let changes: &[Change] =
                if let Change::Multi(changes) = change { changes } else { &[] };
            let errors =
                ops.iter().enumerate().map(|(index, op)| scratch.op(op, changes.get(index)));
            let failed = errors.enumerate().find(|(_, code)| *code != ErrorCode::Ok);
            let results =
                if let Some(Response::Multi(results)) = body { &results[..] } else { &[] };
            multi(who, at, user, ops, change, results, failed);
            return;
        }
        (request, change) => {
            if let Request::SetAcl { path, acl, version } = request {
                let expected = scratch.set_acl(path, acl.as_ref(), *version);
                (expected, is_set_acl(path, access::stored(acl.as_ref(), user), change))
            } else {
                let op = single(request).unwrap_or_else(|| panic!("{request:?} is no write"));
                (scratch.op(&op, Some(change)), is_done_by(&op, user, change))
            }
        }
    };
    assert_eq!(header.error, expected.to_wire(), "{who} at 0x{at}: the error of {request:?}");
    let matches = matches || txn.change == Change::Error(expected);
    assert!(matches, "{who} is answered 0x{at} for {request:?}: there is {:?}", txn.change);
    if let (Change::Create(create), Some(Response::Path(path))) = (&txn.change, body) {
        assert_eq!(path.as_str(), Some(create.path.as_str()), "{who} at 0x{at}");
    }
    if let (Change::SetData { version, .. }, Some(Response::Stat(stat))) = (&txn.change, body) {
        assert_eq!((stat.version, stat.mzxid), (*version, at), "{who} at 0x{at}: the stat");
    }
}

fn multi(
    who: &str,
    at: Zxid,
    user: Who,
    ops: &[Op],
    change: &Change,
    results: &[OpResult],
    failed: Option<(usize, ErrorCode)>,
) {
    assert_eq!(results.len(), ops.len(), "{who} at 0x{at}: results of {ops:?}");
    let Some((index, code)) = failed else {
        let Change::Multi(changes) = change else { panic!("{who} at 0x{at}: {change:?}") };
        let all = ops.iter().zip(changes).all(|(op, change)| is_done_by(op, user, change));
        assert!(all && changes.len() == ops.len(), "{who} at 0x{at}: {ops:?} are {changes:?}");
        assert!(!results.iter().any(|result| matches!(result, OpResult::Error(_))));
        return;
    };
    let expected = Change::MultiError { failed_op: index as u32, code };
    assert_eq!(*change, expected, "{who} at 0x{at}: {ops:?}");
    assert_eq!(results[index], OpResult::Error(code.to_wire()), "{who} at 0x{at}: {ops:?}");
}

/// Returns a request as the operation of a multi that does the same.
fn single(request: &Request) -> Option<Op> {
    Some(match request {
        Request::Create(create)
        | Request::Create2(create)
        | Request::CreateContainer(create)
        | Request::CreateTtl { create, .. } => Op::Create(create.clone()),
        Request::Delete { path, version } => Op::Delete { path: path.clone(), version: *version },
        Request::SetData { path, data, version } => {
            Op::SetData { path: path.clone(), data: data.clone(), version: *version }
        }
        Request::Check { path, version } => Op::Check { path: path.clone(), version: *version },
        _ => return None,
    })
}

fn text(text: &Text) -> &str {
    text.as_str().expect("clients here write UTF-8")
}

fn is_set_acl(asked: &Text, stored: Result<Vec<Acl>, ErrorCode>, change: &Change) -> bool {
    matches!(change, Change::SetAcl { path, acl, .. } if path == text(asked) && Ok(acl) == stored.as_ref())
}

fn is_done_by(op: &Op, user: Who, change: &Change) -> bool {
    match (op, change) {
        (
            Op::Create(asked) | Op::Create2(asked),
            Change::Create(CreateChange { path, data, acl, .. }),
        ) => {
            let is_named = if asked.flags & SEQUENTIAL != 0 && asked.flags < CONTAINER {
                let number = path.strip_prefix(text(&asked.path));
                number.is_some_and(|number| number.len() == 10)
            } else {
                path == text(&asked.path)
            };
            is_named
                && *data == asked.data
                && access::stored(asked.acl.as_ref(), user).as_ref() == Ok(acl)
        }
        (Op::Delete { path: asked, .. }, Change::Delete { path })
        | (Op::Check { path: asked, .. }, Change::Check { path }) => path == text(asked),
        (Op::SetData { path: asked, data: wanted, .. }, Change::SetData { path, data, .. }) => {
            path == text(asked) && data == wanted
        }
        _ => false,
    }
}

/// The state right before a txn, with what the txn's own first operations change.
struct Scratch<'a> {
    model: &'a Model,
    user: Who,
    before: Zxid,
    changed: BTreeMap<String, Option<Arc<Znode>>>,
}

impl Scratch<'_> {
    fn find(&self, path: &str) -> Option<Znode> {
        match self.changed.get(path) {
            Some(znode) => znode.as_ref().map(|znode| Znode::clone(znode)),
            None => self.model.before(path, self.before).map(|znode| Znode::clone(znode)),
        }
    }

    fn has_children(&self, path: &str) -> bool {
        let before = Zxid::from_wire(self.before.to_wire() - 1);
        let names = self.model.children(path, before);
        let mut all: BTreeSet<String> = names.iter().map(|name| format!("{path}/{name}")).collect();
        let own = self.changed.keys().filter(|changed| path::parent(changed) == Some(path));
        all.extend(own.cloned());
        all.iter().any(|child| self.find(child).is_some())
    }

    /// Carries an operation out and returns its error; `done` tells the name of a sequential znode.
    fn op(&mut self, op: &Op, done: Option<&Change>) -> ErrorCode {
        match op {
            Op::Create(create) | Op::Create2(create) => self.create(create, done),
            Op::Delete { path, version } => {
                let path = text(path);
                if let Err(code) = self.check_parent(path, Perms::DELETE) {
                    return code;
                }
                let Some(znode) = self.find(path) else { return ErrorCode::NoNode };
                if *version != -1 && *version != znode.version {
                    return ErrorCode::BadVersion;
                }
                if self.has_children(path) {
                    return ErrorCode::NotEmpty;
                }
                self.changed.insert(path.to_owned(), None);
                ErrorCode::Ok
            }
            Op::SetData { path, data, version } => {
                let path = text(path);
                let Some(mut znode) = self.find(path) else { return ErrorCode::NoNode };
                if !self.may(&znode, Perms::WRITE) {
                    return ErrorCode::NoAuth;
                }
                let more = quota::len(data.as_ref()) - quota::len(znode.data.as_ref());
                if self.exceeds_quota(path, Usage { znodes: 0, bytes: more }) {
                    return ErrorCode::QuotaExceeded;
                }
                if *version != -1 && *version != znode.version {
                    return ErrorCode::BadVersion;
                }
                (znode.data, znode.version) = (data.clone(), znode.version.wrapping_add(1));
                self.changed.insert(path.to_owned(), Some(Arc::new(znode)));
                ErrorCode::Ok
            }
            Op::Check { path, version } => match self.find(text(path)) {
                None => ErrorCode::NoNode,
                Some(znode) if !self.may(&znode, Perms::READ) => ErrorCode::NoAuth,
                Some(znode) if *version != -1 && *version != znode.version => ErrorCode::BadVersion,
                Some(_) => ErrorCode::Ok,
            },
            _ => unreachable!("the workload asks for none of these"),
        }
    }

    fn create(&mut self, create: &Create, done: Option<&Change>) -> ErrorCode {
        let path = match done {
            Some(Change::Create(done)) => done.path.as_str(),
            _ => text(&create.path),
        };
        let acl = match access::stored(create.acl.as_ref(), self.user) {
            Ok(list) => Arc::from(list),
            Err(code) => return code,
        };
        let parent = match self.check_parent(path, Perms::CREATE) {
            Ok(parent) => parent,
            Err(code) => return code,
        };
        let is_sequential = create.flags & SEQUENTIAL != 0 && create.flags < CONTAINER;
        if !is_sequential && self.find(path).is_some() {
            return ErrorCode::NodeExists;
        }
        if parent.is_some_and(|parent| matches!(parent.owner, Owner::Ephemeral(_))) {
            return ErrorCode::NoChildrenForEphemerals;
        }
        let more = Usage { znodes: 1, bytes: quota::len(create.data.as_ref()) };
        if self.exceeds_quota(path, more) {
            return ErrorCode::QuotaExceeded;
        }
        let (at, version) = (self.before, 0);
        let is_ephemeral = create.flags & EPHEMERAL != 0 && create.flags < CONTAINER;
        let owner =
            if is_ephemeral { Owner::Ephemeral(SessionId::NONE) } else { Owner::Persistent };
        let data = create.data.clone();
        let (czxid, mzxid, pzxid) = (at, at, at);
        let znode = Znode { data, version, aversion: 0, czxid, mzxid, pzxid, owner, acl };
        self.changed.insert(path.to_owned(), Some(Arc::new(znode)));
        ErrorCode::Ok
    }

    fn set_acl(&self, path: &Text, acl: Option<&Vec<Acl>>, version: i32) -> ErrorCode {
        if let Err(code) = access::stored(acl, self.user) {
            return code;
        }
        match self.find(text(path)) {
            None => ErrorCode::NoNode,
            Some(znode) if !self.may(&znode, Perms::ADMIN) => ErrorCode::NoAuth,
            Some(znode) if version != -1 && version != znode.aversion => ErrorCode::BadVersion,
            Some(_) => ErrorCode::Ok,
        }
    }

    fn may(&self, znode: &Znode, wanted: Perms) -> bool {
        access::allows(Some(&znode.acl), self.user, wanted)
    }

    /// Returns the parent of a znode that comes or goes; `None` for one that has no beginning.
    fn check_parent(&self, path: &str, wanted: Perms) -> Result<Option<Znode>, ErrorCode> {
        let parent = path::parent(path).expect("the root is there");
        if is_always_there(parent) {
            return Ok(None);
        }
        let parent = self.find(parent).ok_or(ErrorCode::NoNode)?;
        if self.may(&parent, wanted) { Ok(Some(parent)) } else { Err(ErrorCode::NoAuth) }
    }

    /// Returns whether so much more is more than the quota that a znode counts for lets be.
    fn exceeds_quota(&self, path: &str, more: Usage) -> bool {
        if !self.model.has_quotas() && !self.changed.keys().any(|path| quota::is_part(path)) {
            return false;
        }
        let before = Zxid::from_wire(self.before.to_wire() - 1);
        let mut limited: BTreeSet<String> = self.model.limited(before).into_iter().collect();
        for (path, znode) in &self.changed {
            match (quota::limited(path), znode) {
                (Some(covered), Some(_)) => _ = limited.insert(covered),
                (Some(covered), None) => _ = limited.remove(&covered),
                _ => {}
            }
        }
        let limited: Vec<String> = limited.into_iter().collect();
        let Some(covered) = quota::nearest(path, &limited) else { return false };
        let Some(limits) = self.find(&quota::limits(covered)) else { return false };
        if self.find(&quota::stats(covered)).is_none() {
            return false;
        }
        let mut part: BTreeMap<&str, Option<&Arc<Znode>>> = BTreeMap::new();
        let there = self.model.part_at(covered, before);
        part.extend(there.map(|(path, znode)| (path, Some(znode))));
        part.extend(self.changed.iter().map(|(path, znode)| (path.as_str(), znode.as_ref())));
        let part = part.into_iter().filter_map(|(path, znode)| Some((path, znode?)));
        let usage = quota::usage(covered, &limited, part);
        let (znodes, bytes) = quota::hard_limits(limits.data.as_ref());
        let is_beyond = |limit: Option<i64>, more: i64, used: i64| {
            more > 0 && limit.is_some_and(|limit| used + more > limit)
        };
        is_beyond(znodes, more.znodes, usage.znodes) || is_beyond(bytes, more.bytes, usage.bytes)
    }
}

/// Judges the answer to a read by the state at its place.
pub(crate) fn read(
    model: &Model,
    who: &str,
    user: Who,
    request: &Request,
    header: &ReplyHeader,
    body: Option<&Response>,
) {
    let at = header.zxid;
    let (path, wanted) = match request {
        Request::GetData { path, .. }
        | Request::GetChildren { path, .. }
        | Request::GetChildren2 { path, .. }
        | Request::GetAllChildrenNumber { path } => (text(path), Perms::READ),
        Request::GetAcl { path } => (text(path), Perms(Perms::READ.0 | Perms::ADMIN.0)),
        // Whoever asks may know that.
        Request::Exists { path, .. } => (text(path), Perms(0)),
        Request::MultiRead(ops) => {
            let Some(Response::Multi(results)) = body else { panic!("{who}: {header:?}") };
            return multi_read(model, who, user, at, ops, results);
        }
        _ => return,
    };
    let Some(znode) = model.at(path, at) else {
        let no_node = ErrorCode::NoNode.to_wire();
        assert_eq!(header.error, no_node, "{who} at 0x{at}: {request:?} finds what is not there");
        return;
    };
    if wanted != Perms(0) && !access::allows(Some(&znode.acl), user, wanted) {
        let no_auth = ErrorCode::NoAuth.to_wire();
        assert_eq!(header.error, no_auth, "{who} at 0x{at}: {request:?} is not for {user:?}");
        return;
    }
    assert_eq!(header.error, 0, "{who} at 0x{at}: {request:?} does not find what is there");
    let check_stat = |stat: &Stat| {
        let expected = (znode.version, znode.aversion, znode.czxid, znode.mzxid, znode.pzxid);
        let found = (stat.version, stat.aversion, stat.czxid, stat.mzxid, stat.pzxid);
        assert_eq!(found, expected, "{who} at 0x{at}: the stat of {request:?}");
    };
    let check_names = |names: &[Text]| {
        let found: BTreeSet<&str> = names.iter().map(text).collect();
        assert_eq!(found, model.children(path, at), "{who} at 0x{at}: {request:?}");
    };
    match body.expect("an answer without an error has a body") {
        Response::Data { data, stat } => {
            assert_eq!(*data, znode.data, "{who} at 0x{at}: {request:?}");
            check_stat(stat);
        }
        Response::Stat(stat) => check_stat(stat),
        Response::Acl { acl, stat } => {
            let expected = access::shown(Some(&znode.acl), user);
            assert_eq!(*acl, expected, "{who} at 0x{at}: {request:?}");
            check_stat(stat);
        }
        Response::Children(names) => check_names(names),
        Response::Children2 { children, stat } => {
            check_names(children);
            check_stat(stat);
        }
        Response::AllChildrenNumber(count) => {
            assert_eq!(
                *count as usize,
                model.count_below(path, at),
                "{who} at 0x{at}: {request:?}"
            );
        }
        other => panic!("{who} at 0x{at}: {request:?} is answered with {other:?}"),
    }
}

fn multi_read(model: &Model, who: &str, user: Who, at: Zxid, ops: &[ReadOp], results: &[OpResult]) {
    assert_eq!(results.len(), ops.len(), "{who} at 0x{at}: results of {ops:?}");
    for (op, result) in ops.iter().zip(results) {
        let (ReadOp::GetData { path, .. } | ReadOp::GetChildren { path, .. }) = op;
        let path = text(path);
        let error = match model.at(path, at) {
            None => Err(ErrorCode::NoNode),
            Some(znode) if !access::allows(Some(&znode.acl), user, Perms::READ) => {
                Err(ErrorCode::NoAuth)
            }
            Some(znode) => Ok(znode),
        };
        let is_right = match (error, op, result) {
            (Err(code), _, OpResult::Error(told)) => *told == code.to_wire(),
            (Ok(znode), ReadOp::GetData { .. }, OpResult::Data { data, stat }) => {
                *data == znode.data && stat.mzxid == znode.mzxid
            }
            (Ok(_), ReadOp::GetChildren { .. }, OpResult::Children(names)) => {
                names.iter().map(text).collect::<BTreeSet<&str>>() == model.children(path, at)
            }
            _ => false,
        };
        assert!(is_right, "{who} at 0x{at}: {op:?} is answered with {result:?}");
    }
}
