//! Whether an answer is right: held against the one order of txns and the tree that it makes.

use std::collections::{BTreeMap, BTreeSet};

use conclave_protocol::{
    code::ErrorCode,
    ids::SessionId,
    multi::{Op, OpResult},
    path,
    request::{Create, Request},
    response::{ReplyHeader, Response},
    stat::Stat,
    text::Text,
    txn::{Change, CreateChange, Owner},
    zxid::Zxid,
};

use crate::{
    ledger::Ledger,
    model::{Model, Znode},
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
    let mut scratch = Scratch { model: &ledger.model, before: at, changed: BTreeMap::new() };
    let (expected, matches) = match (request, &txn.change) {
        (Request::Multi(ops), change) => {
            let changes: &[Change] =
                if let Change::Multi(changes) = change { changes } else { &[] };
            let errors =
                ops.iter().enumerate().map(|(index, op)| scratch.op(op, changes.get(index)));
            let failed = errors.enumerate().find(|(_, code)| *code != ErrorCode::Ok);
            let results =
                if let Some(Response::Multi(results)) = body { &results[..] } else { &[] };
            multi(who, at, ops, change, results, failed);
            return;
        }
        (request, change) => {
            let op = single(request).unwrap_or_else(|| panic!("{request:?} is no write"));
            (scratch.op(&op, Some(change)), is_done_by(&op, change))
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
    ops: &[Op],
    change: &Change,
    results: &[OpResult],
    failed: Option<(usize, ErrorCode)>,
) {
    assert_eq!(results.len(), ops.len(), "{who} at 0x{at}: results of {ops:?}");
    let Some((index, code)) = failed else {
        let Change::Multi(changes) = change else { panic!("{who} at 0x{at}: {change:?}") };
        let all = ops.iter().zip(changes).all(|(op, change)| is_done_by(op, change));
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
        // Its version is the list's: judged apart.
        Request::SetAcl { path, .. } => Op::Check { path: path.clone(), version: -1 },
        _ => return None,
    })
}

fn text(text: &Text) -> &str {
    text.as_str().expect("clients here write UTF-8")
}

fn is_done_by(op: &Op, change: &Change) -> bool {
    match (op, change) {
        (Op::Create(asked), Change::Create(CreateChange { path, data, .. })) => {
            let is_named = if asked.flags & SEQUENTIAL != 0 && asked.flags < CONTAINER {
                let number = path.strip_prefix(text(&asked.path));
                number.is_some_and(|number| number.len() == 10)
            } else {
                path == text(&asked.path)
            };
            is_named && *data == asked.data
        }
        (Op::Delete { path: asked, .. }, Change::Delete { path })
        | (Op::Check { path: asked, .. }, Change::Check { path } | Change::SetAcl { path, .. }) => {
            path == text(asked)
        }
        (Op::SetData { path: asked, data: wanted, .. }, Change::SetData { path, data, .. }) => {
            path == text(asked) && data == wanted
        }
        _ => false,
    }
}

/// The state right before a txn, with what the txn's own first operations change.
struct Scratch<'a> {
    model: &'a Model,
    before: Zxid,
    changed: BTreeMap<String, Option<Znode>>,
}

impl Scratch<'_> {
    fn find(&self, path: &str) -> Option<Znode> {
        match self.changed.get(path) {
            Some(znode) => znode.clone(),
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
            Op::Create(create) => self.create(create, done),
            Op::Delete { path, version } => {
                let path = text(path);
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
                if *version != -1 && *version != znode.version {
                    return ErrorCode::BadVersion;
                }
                (znode.data, znode.version) = (data.clone(), znode.version.wrapping_add(1));
                self.changed.insert(path.to_owned(), Some(znode));
                ErrorCode::Ok
            }
            Op::Check { path, version } => match self.find(text(path)) {
                None => ErrorCode::NoNode,
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
        let parent = path::parent(path).expect("the root is there");
        let is_sequential = create.flags & SEQUENTIAL != 0 && create.flags < CONTAINER;
        if parent != "/" {
            let Some(parent) = self.find(parent) else { return ErrorCode::NoNode };
            if !is_sequential && self.find(path).is_some() {
                return ErrorCode::NodeExists;
            }
            if matches!(parent.owner, Owner::Ephemeral(_)) {
                return ErrorCode::NoChildrenForEphemerals;
            }
        } else if !is_sequential && self.find(path).is_some() {
            return ErrorCode::NodeExists;
        }
        let (at, version) = (self.before, 0);
        let is_ephemeral = create.flags & EPHEMERAL != 0 && create.flags < CONTAINER;
        let owner =
            if is_ephemeral { Owner::Ephemeral(SessionId::NONE) } else { Owner::Persistent };
        let data = create.data.clone();
        let znode = Znode { data, version, aversion: 0, czxid: at, mzxid: at, pzxid: at, owner };
        self.changed.insert(path.to_owned(), Some(znode));
        ErrorCode::Ok
    }
}

/// Judges the answer to a read by the state at its place.
pub(crate) fn read(
    model: &Model,
    who: &str,
    request: &Request,
    header: &ReplyHeader,
    body: Option<&Response>,
) {
    let at = header.zxid;
    let no_node = ErrorCode::NoNode.to_wire();
    let path = match request {
        Request::GetData { path, .. }
        | Request::Exists { path, .. }
        | Request::GetChildren { path, .. }
        | Request::GetChildren2 { path, .. }
        | Request::GetAcl { path }
        | Request::GetAllChildrenNumber { path } => text(path),
        _ => return,
    };
    let Some(znode) = model.at(path, at) else {
        assert_eq!(header.error, no_node, "{who} at 0x{at}: {request:?} finds what is not there");
        return;
    };
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
        Response::Stat(stat) | Response::Acl { stat, .. } => check_stat(stat),
        Response::Children(names) => check_names(names),
        Response::Children2 { children, stat } => {
            check_names(children);
            check_stat(stat);
        }
        _ => {}
    }
}
