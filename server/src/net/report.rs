//! Gathers what the four-letter words tell of a running member.

use std::{
    collections::{BTreeMap, HashMap},
    sync::atomic::Ordering,
};

use conclave_protocol::{frame::Word, ids::SessionId, opcode::OpCode};
use conclave_snapshots::fs::{Fs, RealFs, dir_len_bytes};
use rustix::process::{Resource, getrlimit};

use crate::{
    admin::{
        Activity, ConnectionReport, LatencyMs, MemberReport, Mode, SessionReport, WatchReport,
    },
    driver::Handle,
    lane::Connection,
    metric::Spread,
    shared::{Service, Shared},
    traffic::Answer,
};

/// What tools that look for ZooKeeper's version find: the protocol's, and ours behind it.
const VERSION: &str = concat!("3.9.0-conclave-", env!("CARGO_PKG_VERSION"));

/// Gathers what `word` tells, asked on `asker`.
pub(super) fn report(
    word: Word,
    mask: Option<u64>,
    handle: &Handle,
    asker: &Connection,
) -> MemberReport {
    let shared = &*handle.shared;
    let metrics = &shared.metrics;
    let (received_before, sent_before) = *shared.packets_at_reset.lock();
    let (watching_connections, watched_paths, watches) = shared.watches.summary();
    let figures = &shared.figures;
    let tells_dirs = matches!(word, Word::Dirs | Word::Conf);
    let len_bytes = |dir: &str| match tells_dirs {
        true => dir_len_bytes(&RealFs, dir).unwrap_or(0),
        false => 0,
    };
    let config = &handle.facts.config;
    let (data_dir_len_bytes, log_dir_len_bytes) =
        (len_bytes(&config.data_dir), len_bytes(&config.log_dir));
    let state = shared.state.read();
    MemberReport {
        version: VERSION.to_owned(),
        mode: mode(shared),
        latency_ms: latency(&metrics.request_ms),
        packets_received: metrics.packets_received.value().saturating_sub(received_before),
        packets_sent: metrics.packets_sent.value().saturating_sub(sent_before),
        // With the one that asks.
        connection_count: shared.connections.len() as u64 + 1,
        outstanding: figures.outstanding.load(Ordering::Relaxed) as u64,
        last_zxid: state.last_applied,
        znode_count: state.tree.count() as u64,
        ephemeral_count: state.tree.ephemeral_count() as u64,
        data_len_bytes: state.tree.data_len_bytes(),
        watch_count: watches as u64,
        watching_connection_count: watching_connections as u64,
        watched_path_count: watched_paths as u64,
        session_count: state.sessions.count() as u64,
        local_session_count: shared.locals.count() as u64,
        uptime_ms: handle.clock.now_ms(),
        open_files: open_files(),
        connections_refused: metrics.connections_refused.value(),
        connections_dropped: metrics.connections_dropped.value(),
        throttled: metrics.requests_throttled.value(),
        proposals: metrics.proposals.value(),
        commits: metrics.txns_applied.value(),
        snapshots: metrics.snapshots.value(),
        fsync_ms: latency(&metrics.fsync_ms),
        voter_count: config.voter_count(),
        // ZooKeeper's single server has no leader's figures.
        leader: figures.leading.lock().filter(|_| !shared.is_alone),
        conf: config.conf(data_dir_len_bytes, log_dir_len_bytes),
        data_dir_len_bytes,
        log_dir_len_bytes,
        environment: environment(),
        trace_mask: mask.unwrap_or_else(|| shared.trace_mask.load(Ordering::Relaxed)),
        sessions: match word {
            Word::Dump => sessions(&state),
            _ => Vec::new(),
        },
        connections: match word {
            Word::Stat | Word::Cons | Word::Dump => {
                drop(state);
                connections(shared, asker)
            }
            _ => Vec::new(),
        },
        watches: match word {
            Word::Wchc | Word::Wchp => watch_list(shared),
            _ => Vec::new(),
        },
    }
}

fn mode(shared: &Shared) -> Mode {
    match shared.figures.role.load(Ordering::Relaxed) {
        _ if shared.service() == Service::None => Mode::Looking,
        _ if shared.service() == Service::ReadOnly => Mode::ReadOnly,
        _ if shared.is_alone => Mode::Standalone,
        1 => Mode::Leader,
        2 => Mode::Follower,
        3 => Mode::Observer,
        _ => Mode::Looking,
    }
}

fn latency(spread: &Spread) -> LatencyMs {
    let (min, mean, max) = spread.summary_ms();
    LatencyMs { min: min as u64, mean, max: max as u64 }
}

fn sessions(state: &crate::state::State) -> Vec<SessionReport> {
    let report = |(id, session): (SessionId, &crate::session::Session)| SessionReport {
        id,
        timeout_ms: session.timeout_ms.into(),
        ephemerals: state.tree.ephemerals(id).collect(),
    };
    state.sessions.iter().map(report).collect()
}

/// Reports the connections in the order they were made, and the one that asks behind them.
fn connections(shared: &Shared, asker: &Connection) -> Vec<ConnectionReport> {
    let all: BTreeMap<_, _> =
        shared.connections.iter().map(|entry| (*entry.key(), entry.value().clone())).collect();
    all.values()
        .map(|connection| connection_report(connection))
        .chain([ConnectionReport { received: 1, ..connection_report(asker) }])
        .collect()
}

fn connection_report(connection: &Connection) -> ConnectionReport {
    let figures = connection.figures();
    let session = connection.session();
    ConnectionReport {
        address: connection.address,
        queued: connection.lane_len() as u64,
        received: figures.received,
        sent: figures.sent,
        session: (session != SessionId::NONE).then_some(session),
        timeout_ms: connection.timeout_ms(),
        established_ms: connection.established_ms(),
        last: figures.last.map(activity).unwrap_or_default(),
        latency_ms: figures.latency_ms,
    }
}

fn activity(last: Answer) -> Activity {
    Activity {
        operation: last.opcode.and_then(operation),
        xid: last.xid.0,
        zxid: last.zxid.0 as i64,
        answered_ms: last.at_us / 1000,
        latency_ms: last.latency_us / 1000,
    }
}

/// Returns ZooKeeper's four letters for an operation.
const fn operation(opcode: OpCode) -> Option<&'static str> {
    Some(match opcode {
        OpCode::CreateSession => "SESS",
        OpCode::CloseSession => "CLOS",
        OpCode::Ping => "PING",
        OpCode::Create | OpCode::Create2 | OpCode::CreateContainer | OpCode::CreateTtl => "CREA",
        OpCode::Delete | OpCode::DeleteContainer => "DELE",
        OpCode::Exists => "EXIS",
        OpCode::GetData => "GETD",
        OpCode::SetData => "SETD",
        OpCode::GetAcl => "GETA",
        OpCode::SetAcl => "SETA",
        OpCode::GetChildren | OpCode::GetChildren2 => "GETC",
        OpCode::Sync => "SYNC",
        OpCode::Check => "CHEC",
        OpCode::Multi => "MULT",
        OpCode::MultiRead => "MLTR",
        OpCode::Reconfig => "RECO",
        OpCode::SetWatches => "SETW",
        OpCode::SetWatches2 => "STW2",
        OpCode::AddWatch => "ADDW",
        OpCode::CheckWatches => "CHKW",
        OpCode::RemoveWatches => "REMW",
        OpCode::GetEphemerals => "GETE",
        OpCode::GetAllChildrenNumber => "GETACN",
        OpCode::WhoAmI => "WHOA",
        _ => return None,
    })
}

fn watch_list(shared: &Shared) -> Vec<WatchReport> {
    let sessions: HashMap<_, _> =
        shared.connections.iter().map(|entry| (*entry.key(), entry.value().session())).collect();
    let listing = shared.watches.listing().into_iter();
    listing
        .filter_map(|(id, path)| {
            let session = *sessions.get(&id)?;
            Some(WatchReport { session, path })
        })
        .collect()
}

/// Returns how many files the process has open, and may have.
fn open_files() -> Option<(u64, u64)> {
    let open = RealFs.list("/proc/self/fd").ok()?.len() as u64;
    Some((open, getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)))
}

fn environment() -> Vec<(String, String)> {
    let system = rustix::system::uname();
    let text = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
    [
        ("host.name", text(system.nodename())),
        ("os.name", text(system.sysname())),
        ("os.arch", text(system.machine())),
        ("os.version", text(system.release())),
        ("process.id", std::process::id().to_string()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into()
}
