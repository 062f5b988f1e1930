//! What clients ask: every operation, on few enough znodes that they meet.

use bytes::Bytes;
use conclave_protocol::{
    acl::Acl,
    multi::{Op, ReadOp},
    request::{Create, Request},
    text::Text,
    zxid::Zxid,
};

use crate::{
    access, quota,
    random::Random,
    watched::{Kind, Watched},
};

/// Znodes under the root.
const TOPS: u64 = 5;

/// Of those, one that is watched recursively and one that is watched persistently.
const LASTING: [&str; 2] = ["/0", "/1"];

/// Paths that get quotas, one below another.
const LIMITED: [&str; 3] = ["/2", "/2/1", "/3"];

/// Names below each.
const NAMES: u64 = 6;

/// Lifetime of TTL znodes, in milliseconds.
const TTL_MS: i64 = 1500;

/// Flags of a create, as ZooKeeper has them.
const EPHEMERAL: i32 = 1;
const SEQUENTIAL: i32 = 2;
const CONTAINER: i32 = 4;
const TTL: i32 = 5;

/// The znode of the writes that nothing refuses.
const PROBE: &str = "/probe";

/// Draws paths and requests.
pub(crate) struct Workload<'a> {
    pub(crate) random: &'a mut Random,
    /// The client's next value; it writes each once.
    pub(crate) next_value: &'a mut u64,
}

impl Workload<'_> {
    fn path(&mut self) -> String {
        let top = self.random.below(TOPS);
        match self.random.below(10) {
            0 | 1 => format!("/{top}"),
            2..=7 => format!("/{top}/{}", self.random.below(NAMES)),
            _ => format!("/{top}/{}/{}", self.random.below(NAMES), self.random.below(2)),
        }
    }

    fn data(&mut self) -> Option<Bytes> {
        *self.next_value += 1;
        let mut data = self.next_value.to_be_bytes().to_vec();
        data.resize(data.len() + self.random.below(4) as usize * 8, 0);
        Some(data.into())
    }

    fn version(&mut self) -> i32 {
        if self.random.below(3) == 0 { self.random.below(3) as i32 } else { -1 }
    }

    fn create(&mut self) -> Create {
        let flags =
            *self.random.pick(&[0, 0, 0, EPHEMERAL, EPHEMERAL, SEQUENTIAL, SEQUENTIAL | EPHEMERAL]);
        let mut path = self.path();
        if flags & SEQUENTIAL != 0 {
            path.push_str("/s-");
        }
        let (data, acl) = (self.data(), access::draw_list(self.random));
        Create { path: path.into(), data, acl, flags }
    }

    /// Draws a request that changes something.
    fn write(&mut self) -> Request {
        match self.random.below(13) {
            0..=3 => Request::Create(self.create()),
            4 => Request::Create2(self.create()),
            5 => Request::CreateContainer(Create { flags: CONTAINER, ..self.create_plain() }),
            6 => {
                let create = Create { flags: TTL, ..self.create_plain() };
                Request::CreateTtl { create, ttl_ms: TTL_MS }
            }
            7 => Request::Delete { path: self.path().into(), version: self.version() },
            8 => {
                let (path, version) = (self.path().into(), self.version());
                Request::SetAcl { path, acl: access::draw_list(self.random), version }
            }
            9 => self.multi(),
            10 => match self.random.below(3) {
                0 => Request::Check { path: self.path().into(), version: self.version() },
                _ => self.quota(),
            },
            _ => {
                let (path, version) = (self.path().into(), self.version());
                Request::SetData { path, data: self.data(), version }
            }
        }
    }

    /// Returns requests of which one changes something for certain: nothing else touches their znode.
    pub(crate) fn probe(&mut self) -> [Request; 2] {
        let (path, acl) = (PROBE, Some(vec![Acl::open()]));
        let create = Create { path: path.into(), data: self.data(), acl, flags: 0 };
        let set = Request::SetData { path: path.into(), data: self.data(), version: -1 };
        [Request::Create(create), set]
    }

    fn create_plain(&mut self) -> Create {
        let (path, data) = (self.path().into(), self.data());
        let acl = access::draw_list(self.random);
        Create { path, data, acl, flags: 0 }
    }

    /// Draws a change of a quota, of one of few paths.
    fn quota(&mut self) -> Request {
        let covered = *self.random.pick(&LIMITED);
        let home = format!("{}{covered}", quota::ROOT);
        let (limits, stats) = (quota::limits(covered), quota::stats(covered));
        let mut bound =
            |most| if self.random.below(4) == 0 { -1 } else { self.random.below(most) as i64 };
        let text = quota::limits_text(bound(8), bound(150));
        let create = |path: &str, data: Bytes| {
            let (data, acl) = (Some(data), Some(vec![Acl::open()]));
            Create { path: path.into(), data, acl, flags: 0 }
        };
        let delete = |path: &str| Op::Delete { path: path.into(), version: -1 };
        let data = Bytes::from_static(b"count=7,bytes=7");
        match self.random.below(8) {
            0 => Request::Create(create(&home, Bytes::new())),
            1 => Request::Create(create(&limits, text)),
            2 => Request::Create(create(&stats, data)),
            3 | 4 => Request::Multi(vec![
                Op::Create(create(&limits, text)),
                Op::Create(create(&stats, data)),
            ]),
            5 => Request::SetData { path: limits.into(), data: Some(text), version: -1 },
            6 if self.random.below(4) == 0 => {
                Request::SetData { path: stats.into(), data: Some(data), version: -1 }
            }
            _ if self.random.below(2) == 0 => Request::Multi(vec![delete(&limits), delete(&stats)]),
            _ => Request::Delete { path: stats.into(), version: -1 },
        }
    }

    fn multi(&mut self) -> Request {
        let count = 1 + self.random.below(4);
        let ops = (0..count).map(|_| match self.random.below(5) {
            0 => Op::Create(self.create()),
            1 => Op::Create2(self.create()),
            2 => Op::Delete { path: self.path().into(), version: self.version() },
            3 => Op::Check { path: self.path().into(), version: self.version() },
            _ => {
                let (path, version) = (self.path().into(), self.version());
                Op::SetData { path, data: self.data(), version }
            }
        });
        Request::Multi(ops.collect())
    }

    /// Draws a request that changes nothing.
    fn read(&mut self) -> Request {
        let path = self.path();
        // Another watch of the same path would replace a lasting one's mode.
        let watch = !LASTING.contains(&path.as_str()) && self.random.below(3) == 0;
        let path = Text::from(path);
        match self.random.below(16) {
            0..=2 => Request::GetData { path, watch },
            3..=5 => Request::Exists { path, watch },
            6 | 7 => Request::GetChildren2 { path, watch },
            8 => Request::GetChildren { path, watch },
            9 => Request::GetAcl { path },
            10 => Request::GetAllChildrenNumber { path },
            11 => Request::GetEphemerals { prefix: "/".into() },
            12 => Request::MultiRead(vec![
                ReadOp::GetData { path: path.clone(), watch: false },
                ReadOp::GetChildren { path, watch: false },
            ]),
            13 => {
                let covered = *self.random.pick(&LIMITED);
                Request::GetData { path: quota::stats(covered).into(), watch: false }
            }
            14 => Request::CheckWatches { path: (*self.random.pick(&LASTING)).into(), kind: 3 },
            _ => match self.random.below(4) {
                0 => Request::Sasl { token: Some(Bytes::new()) },
                1 => {
                    let (joining, leaving) = ("server.9=there:1:2;3".into(), "".into());
                    Request::Reconfig { joining, leaving, members: "".into(), version: -1 }
                }
                _ => Request::WhoAmI,
            },
        }
    }

    /// Draws a request of a client that only wants to know what is new.
    pub(crate) fn look(&mut self) -> Request {
        if self.random.below(3) == 0 { Request::Sync { path: "/".into() } } else { self.read() }
    }

    /// Draws one request.
    pub(crate) fn request(&mut self) -> Request {
        match self.random.below(100) {
            0..=44 => self.write(),
            45..=87 => self.read(),
            88..=95 => Request::Sync { path: "/".into() },
            96 => Request::AddWatch { path: LASTING[0].into(), mode: 1 },
            97 => Request::AddWatch { path: LASTING[1].into(), mode: 0 },
            98 => {
                let path = *self.random.pick(&LASTING);
                Request::RemoveWatches { path: path.into(), kind: 3 }
            }
            _ => Request::Ping,
        }
    }
}

/// Returns whether a request makes a znode that ends with its session.
pub(crate) fn creates_ephemeral(request: &Request) -> bool {
    let is_ephemeral = |create: &Create| matches!(create.flags, 1 | 3);
    match request {
        Request::Create(create) | Request::Create2(create) => is_ephemeral(create),
        Request::Multi(ops) => ops.iter().any(
            |op| matches!(op, Op::Create(create) | Op::Create2(create) if is_ephemeral(create)),
        ),
        _ => false,
    }
}

/// Returns the request that sets a client's watches again.
pub(crate) fn set_watches(watched: &Watched, since: Zxid) -> Request {
    let of = |kind| {
        watched
            .iter()
            .filter(|watch| watch.kind == kind)
            .map(|watch| watch.path.as_str().into())
            .collect()
    };
    let lasting =
        watched.iter().filter(|watch| matches!(watch.kind, Kind::Persistent | Kind::Recursive));
    if lasting.count() == 0 {
        // As clients did before there were lasting ones.
        let (data, exist, child) = (of(Kind::Data), of(Kind::Exist), of(Kind::Child));
        return Request::SetWatches { relative_zxid: since, data, exist, child };
    }
    Request::SetWatches2 {
        relative_zxid: since,
        data: of(Kind::Data),
        exist: of(Kind::Exist),
        child: of(Kind::Child),
        persistent: of(Kind::Persistent),
        recursive: of(Kind::Recursive),
    }
}
