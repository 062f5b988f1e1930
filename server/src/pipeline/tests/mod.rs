//! Prepare and apply together, with txns in flight between them.

mod quota;

use std::collections::VecDeque;

use bytes::Bytes;
use conclave_protocol::{
    acl::Acl,
    code::ErrorCode,
    ids::{Password, ServerId, SessionId, Xid},
    multi::Op,
    opcode::OpCode,
    peer::forward::{Action, Forwarded},
    quota::{limits_path, stats_path},
    request::{Create, Request},
    txn::{Change, Entry, Txn},
    zxid::Zxid,
};
use conclave_snapshots::image::ImageRecord;

use super::{
    apply,
    outstanding::Outstanding,
    prepare::{Rules, prepare, prepare_reap},
    quota::HardLimits,
};
use crate::{
    session::Session,
    state::State,
    tree::{TreeLoader, Walk},
};

const ME: ServerId = ServerId(1);
const SESSION: SessionId = SessionId(1);
const SEED: u64 = 1;

/// A leader alone: what it prepares is in flight until the test lets it be applied.
struct Leader {
    state: State,
    outstanding: Outstanding,
    rules: Rules,
    time_ms: i64,
    in_flight: VecDeque<Entry>,
    applied: Vec<Entry>,
    last: Zxid,
}

impl Leader {
    /// Returns a leader with one session open.
    fn new() -> Self {
        let mut leader = Self {
            state: State::new(SEED),
            outstanding: Outstanding::default(),
            rules: Rules { has_ttl: true, hard_limits: HardLimits::Enforced },
            time_ms: 1_000_000,
            in_flight: VecDeque::new(),
            applied: Vec::new(),
            last: Zxid::ZERO,
        };
        leader.open(SESSION);
        leader
    }

    fn open(&mut self, session: SessionId) {
        let password = Password([1; 16]);
        self.act(session, Action::Open { timeout_ms: 10_000, password });
        self.apply_all();
    }

    /// Prepares a request, and returns what it changes.
    fn ask(&mut self, session: SessionId, request: &Request) -> Change {
        let mut body = Vec::new();
        request.encode(&mut body);
        let opcode = request.opcode().to_wire();
        self.act(session, Action::Request { opcode, body: body.into() })
    }

    fn act(&mut self, session: SessionId, action: Action) -> Change {
        let request = Forwarded { seq: 1, session, xid: Xid(0), identities: Vec::new(), action };
        let Self { outstanding, state, rules, time_ms, .. } = self;
        let txn = prepare(outstanding, state, ME, request, *rules, *time_ms);
        self.propose(txn)
    }

    /// Prepares the end of a container or TTL znode, as when its time has come.
    fn reap(&mut self, path: &str) -> Change {
        let Self { outstanding, state, time_ms, .. } = self;
        let txn = prepare_reap(outstanding, state, ME, path, *time_ms, |_| true);
        self.propose(txn.expect("nothing in flight touches it"))
    }

    fn propose(&mut self, txn: Txn) -> Change {
        if matches!(txn.change, Change::Error(_) | Change::MultiError { .. }) {
            assert_eq!(txn.usage, [], "what is refused counts for nothing");
        }
        self.last = self.last.successor().expect("few txns");
        let mut bytes = Vec::new();
        txn.encode(&mut bytes);
        self.in_flight.push_back(Entry { zxid: self.last, txn: bytes.into() });
        txn.change
    }

    fn apply_one(&mut self) {
        let Some(entry) = self.in_flight.pop_front() else { return };
        apply_entry(&mut self.state, &entry);
        self.outstanding.applied();
        self.state.tree.check();
        self.applied.push(entry);
    }

    fn apply_all(&mut self) {
        while !self.in_flight.is_empty() {
            self.apply_one();
        }
    }

    /// Takes a snapshot, lets `go_on` do something between any two slices of its walk, and goes on
    /// with what loading it gives, which must be what was there.
    fn snapshot(&mut self, mut go_on: impl FnMut(&mut Self)) {
        let start = self.applied.len();
        let sessions: Vec<(SessionId, Session)> =
            self.state.sessions.iter().map(|(id, session)| (id, *session)).collect();
        let mut walk = Walk::begin(&mut self.state.tree);
        let mut records = Vec::new();
        while let Some(slice) = walk.slice(&self.state.tree, 3) {
            records.extend(slice);
            go_on(self);
        }
        self.state.tree.end_walk();
        let loaded = load(records, &sessions, &self.applied[start..]);
        assert_eq!(loaded.tree.digest(), self.state.tree.digest());
        let last_applied = self.state.last_applied;
        self.state = State { last_applied, ..loaded };
    }

    /// Creates a znode of these flags and applies it.
    fn add(&mut self, path: &str, data: &str, flags: i32) {
        let change = self.ask(SESSION, &create(path, data, flags));
        assert!(matches!(change, Change::Create(_)), "{path}: {change:?}");
        self.apply_all();
    }

    /// Puts a quota on a path, as ZooKeeper's shell does.
    fn limit(&mut self, covered: &str, limits: &str) {
        let parts = covered.match_indices('/').skip(1).map(|(at, _)| &covered[..at]);
        for above in parts.chain([covered]) {
            self.ask(SESSION, &create(&format!("/zookeeper/quota{above}"), "", 0));
        }
        self.add(&limits_path(covered), limits, 0);
        self.add(&stats_path(covered), "count=0,bytes=0", 0);
    }

    /// Returns the text of a quota's stats.
    fn stats(&self, covered: &str) -> String {
        let node = self.state.tree.node(&stats_path(covered)).expect("stats are there");
        String::from_utf8(node.data().unwrap_or_default().to_vec()).unwrap()
    }
}

fn apply_entry(state: &mut State, entry: &Entry) {
    let txn = Txn::decode(entry.txn.clone()).unwrap();
    apply::apply(state, entry, txn);
}

/// Loads what a walk gave, with the txns since it began replayed over it. The sessions are those of
/// its beginning.
fn load(records: Vec<ImageRecord>, sessions: &[(SessionId, Session)], tail: &[Entry]) -> State {
    let mut loader = TreeLoader::new(SEED + 1);
    for record in records {
        match record {
            ImageRecord::Acl { number, list } => loader.acl(number, list).unwrap(),
            ImageRecord::Node(node) => loader.node(node).unwrap(),
            other => panic!("a walk gives no {other:?}"),
        }
    }
    let mut loaded = State::new(SEED + 1);
    loaded.tree = loader.finish().unwrap();
    for (id, session) in sessions {
        loaded.sessions.open(*id, *session);
    }
    for entry in tail {
        let txn = Txn::decode(entry.txn.clone()).unwrap();
        apply::replay(&mut loaded, entry.zxid, txn);
        loaded.tree.check();
    }
    loaded
}

fn data(text: &str) -> Option<Bytes> {
    Some(Bytes::copy_from_slice(text.as_bytes()))
}

fn creation(path: &str, text: &str, flags: i32) -> Create {
    Create { path: path.into(), data: data(text), acl: Some(vec![Acl::open()]), flags }
}

fn create(path: &str, text: &str, flags: i32) -> Request {
    Request::Create2(creation(path, text, flags))
}

fn container(path: &str) -> Request {
    Request::CreateContainer(creation(path, "", 4))
}

fn ttl(path: &str, ttl_ms: i64) -> Request {
    Request::CreateTtl { create: creation(path, "", 5), ttl_ms }
}

fn delete(path: &str) -> Request {
    Request::Delete { path: path.into(), version: -1 }
}

fn set(path: &str, text: &str) -> Request {
    Request::SetData { path: path.into(), data: data(text), version: -1 }
}

/// Returns the operation of a multi that a request is.
fn op(request: Request) -> Op {
    match request {
        Request::Create(create) => Op::Create(create),
        Request::Create2(create) => Op::Create2(create),
        Request::CreateContainer(create) => Op::CreateContainer(create),
        Request::CreateTtl { create, ttl_ms } => Op::CreateTtl { create, ttl_ms },
        Request::Delete { path, version } => Op::Delete { path, version },
        Request::SetData { path, data, version } => Op::SetData { path, data, version },
        other => panic!("{:?} is no operation of a multi", OpCode::to_wire(other.opcode())),
    }
}

fn multi<const COUNT: usize>(requests: [Request; COUNT]) -> Request {
    Request::Multi(requests.into_iter().map(op).collect())
}

fn refused(code: ErrorCode) -> Change {
    Change::Error(code)
}
