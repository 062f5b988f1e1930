//! What a request passes, piece by piece: nanoseconds of each under `cargo bench`, and, for `scripts/instructions`,
//! any number of rounds of one of them (`--exact NAME ROUNDS`), to be counted from outside.

use std::{hint::black_box, time::Instant};

use bytes::{Bytes, BytesMut};
use conclave_protocol::{
    acl::Acl,
    ids::{Password, ServerId, SessionId, Xid},
    jute::Reader,
    opcode::OpCode,
    peer::{
        forward::{Action, Forwarded},
        zab::{Epochs, Standing},
    },
    request::{Create, Request, RequestHeader},
    response::Response,
    stat::Stat,
    txn::{CreateChange, Entry, Owner, Txn},
    zxid::{Epoch, Zxid},
};
use conclave_server::{
    lane,
    pipeline::{
        apply,
        outstanding::Outstanding,
        prepare::{self, Rules},
        quota::HardLimits,
    },
    state::State,
    tree::Tree,
};
use conclave_snapshots::{
    fs::RealFs,
    image::ImageRecord,
    log::LogOptions,
    recover::{self, ImageSink},
};
use conclave_zab::{Broadcast, Config, Engine, Input, Output, Recovered};

const ME: ServerId = ServerId(1);
const SESSION: SessionId = SessionId(7);
const VALUE: [u8; 100] = [b'x'; 100];
/// Entries that come together.
const BATCH: u64 = 100;
const ROUNDS: u64 = 100_000;

/// A piece of the way of a request, done so many times.
type Piece = fn(u64);

const PIECES: [(&str, Piece); 7] = [
    ("decode_create", decode_create),
    ("encode_data", encode_data),
    ("tree_create", tree_create),
    ("tree_find", tree_find),
    ("write", write),
    ("log_append", log_append),
    ("zab_propose", zab_propose),
];

#[expect(clippy::disallowed_methods, reason = "a benchmark has arguments and looks at the time")]
fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|argument| argument == "--exact") {
        let wanted =
            PIECES.iter().find(|(name, _)| arguments.get(at + 1).is_some_and(|it| it == name));
        let rounds = arguments.get(at + 2).and_then(|rounds| rounds.parse().ok());
        let (Some((_, piece)), Some(rounds)) = (wanted, rounds) else {
            eprintln!("usage: --exact NAME ROUNDS");
            std::process::exit(2);
        };
        return piece(rounds);
    }
    for (name, piece) in PIECES {
        piece(ROUNDS / 10);
        let best = (0..5).map(|_| {
            let began = Instant::now();
            piece(ROUNDS);
            began.elapsed().as_nanos() as f64 / ROUNDS as f64
        });
        println!("{name:<16}{:>10.0} ns", best.fold(f64::INFINITY, f64::min));
    }
}

fn path(number: u64) -> String {
    format!("/bench/c{number:07}")
}

fn create(path: String) -> Create {
    Create {
        path: path.into(),
        data: Some(Bytes::from_static(&VALUE)),
        acl: Some(vec![Acl::open()]),
        flags: 0,
    }
}

fn decode_create(rounds: u64) {
    let mut frame = BytesMut::new();
    RequestHeader { xid: Xid(1), opcode: OpCode::Create.to_wire() }.encode(&mut frame);
    Request::Create(create(path(1))).encode(&mut frame);
    let frame = frame.freeze();
    for _ in 0..rounds {
        let mut reader = Reader::new(frame.clone());
        let header = RequestHeader::decode(&mut reader).expect("it was encoded");
        let opcode = OpCode::from_wire(header.opcode).expect("it is one");
        black_box(Request::decode(opcode, reader.into_rest()).expect("it was encoded"));
    }
}

fn encode_data(rounds: u64) {
    let body = Response::Data { data: Some(Bytes::from_static(&VALUE)), stat: Stat::default() };
    let mut out = BytesMut::new();
    for _ in 0..rounds {
        out.clear();
        lane::put_reply(&mut out, Xid(1), Zxid::ZERO, 0, &body);
        black_box(&out);
    }
}

fn change(path: String) -> CreateChange {
    CreateChange {
        path,
        data: Some(Bytes::from_static(&VALUE)),
        acl: vec![Acl::open()],
        owner: Owner::Persistent,
        parent_created: 0,
    }
}

fn tree_create(rounds: u64) {
    let mut tree = Tree::new(1);
    tree.create(Zxid::ZERO, 0, &change("/bench".to_owned()));
    for number in 0..rounds {
        black_box(tree.create(Zxid::new(Epoch(1), number as u32), 0, &change(path(number))));
    }
}

fn tree_find(rounds: u64) {
    const ZNODES: u64 = 1000;
    let mut tree = Tree::new(1);
    tree.create(Zxid::ZERO, 0, &change("/bench".to_owned()));
    let paths: Vec<String> = (0..ZNODES).map(path).collect();
    for path in &paths {
        tree.create(Zxid::ZERO, 0, &change(path.clone()));
    }
    for path in paths.iter().cycle().take(rounds as usize) {
        black_box(tree.node(path).expect("it was created").stat());
    }
}

/// What the leader does for a create: prepare it, encode its txn, decode it when it is committed, apply it.
fn write(rounds: u64) {
    let (mut outstanding, mut state) = (Outstanding::default(), State::new(1));
    let rules = Rules { has_ttl: true, hard_limits: HardLimits::Enforced };
    let (mut zxid, mut encoded) = (Zxid::new(Epoch(1), 1), Vec::new());
    let mut step = |action| {
        let request =
            Forwarded { seq: 1, session: SESSION, xid: Xid(1), identities: Vec::new(), action };
        let txn = prepare::prepare(&mut outstanding, &state, ME, request, rules, 0);
        encoded.clear();
        txn.encode(&mut encoded);
        let entry = Entry { zxid, txn: Bytes::copy_from_slice(&encoded) };
        let txn = Txn::decode(entry.txn.clone()).expect("it was encoded");
        black_box(apply::apply(&mut state, &entry, txn));
        outstanding.applied();
        zxid = zxid.successor().expect("there are fewer rounds than numbers");
    };
    step(Action::Open { timeout_ms: 10_000, password: Password::ZERO });
    for path in std::iter::once("/bench".to_owned()).chain((0..rounds).map(path)) {
        let mut body = BytesMut::with_capacity(256);
        Request::Create(create(path)).encode(&mut body);
        step(Action::Request { opcode: OpCode::Create.to_wire(), body: body.freeze() });
    }
}

/// Makes the entries behind `last`.
fn entries(last: Zxid) -> Vec<Entry> {
    let behind = std::iter::successors(last.successor(), |zxid| zxid.successor());
    behind
        .take(BATCH as usize)
        .map(|zxid| Entry { zxid, txn: Bytes::from_static(&[1; 200]) })
        .collect()
}

struct Nothing;

impl ImageSink for Nothing {
    fn reset(&mut self) {}

    fn record(&mut self, _: ImageRecord) -> Result<(), String> {
        Ok(())
    }
}

/// Appends without a sync: what the disk takes is not what is measured.
fn log_append(rounds: u64) {
    let dir = format!("{}/hot_paths-{}", env!("CARGO_TARGET_TMPDIR"), std::process::id());
    let recovered = recover::recover(&RealFs, &dir, &dir, LogOptions::default(), &mut Nothing);
    let mut log = recovered.expect("a fresh folder").log;
    let mut last = Zxid::new(Epoch(1), 0);
    for _ in 0..rounds / BATCH {
        let batch = entries(last);
        last = batch.last().expect("a batch is not empty").zxid;
        log.append(&batch).expect("there is room");
    }
    drop(log);
    drop(std::process::Command::new("rm").args(["-r", &dir]).status());
}

/// What the engine of a leader without followers does for a proposal.
fn zab_propose(rounds: u64) {
    let config = Config {
        me: ME,
        voters: [ME].into(),
        observers: [].into(),
        init_limit_ticks: 10,
        sync_limit_ticks: 10,
        slow_disk_ticks: u32::MAX,
        heartbeat_ticks: 1,
        election_settle_ticks: 0,
        window_entries_max: 10_000,
        window_bytes_max: 16 << 20,
    };
    let epochs = Epochs { accepted: Epoch(0), current: Epoch(0), standing: Standing::Whole };
    let mut engine =
        Engine::new(config, Recovered { epochs, base: Zxid::ZERO, entries: Vec::new() });
    let mut step = |input| {
        let mut all = Vec::new();
        engine.step(input, &mut all);
        let mut done = 0;
        while done < all.len() {
            if let Output::Persist { mark, .. } | Output::PersistEpochs { mark, .. } = all[done] {
                engine.step(Input::Persisted { mark }, &mut all);
            }
            done += 1;
        }
        black_box(all);
    };
    step(Input::Tick);
    for _ in 0..rounds / BATCH {
        step(Input::Propose((0..BATCH).map(|_| Bytes::from_static(&[1; 200])).collect()));
    }
}
