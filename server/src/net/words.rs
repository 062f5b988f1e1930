//! Four-letter words: what an operator or a monitor asks a member, without a session. The answers
//! have the form that tools written for ZooKeeper parse.

use std::{fmt::Write, sync::atomic::Ordering};

use conclave_protocol::frame::Word;

use super::Facts;
use crate::{driver::Handle, shared::Shared};

/// What tools that look for ZooKeeper's version find: the protocol's, and ours behind it.
const VERSION: &str = concat!("3.9.0-conclave-", env!("CARGO_PKG_VERSION"));

/// Answers a word.
pub(super) fn answer(word: Word, handle: &Handle) -> String {
    let facts = &handle.facts;
    if !facts.allows(word) {
        return format!("{} is not executed because it is not in the whitelist.\n", word.letters());
    }
    let shared = &*handle.shared;
    let needs_service = !matches!(word, Word::Ruok | Word::Isro | Word::Envi | Word::Gtmk);
    if needs_service && !shared.is_serving() {
        return "This ZooKeeper instance is not currently serving requests\n".to_owned();
    }
    let mut out = String::new();
    let written = match word {
        Word::Ruok => write!(out, "imok"),
        Word::Isro => write!(out, "{}", if shared.is_serving() { "rw" } else { "null" }),
        Word::Srvr => server(&mut out, shared),
        Word::Stat => write_stat(&mut out, shared),
        Word::Cons => connections(&mut out, shared, Detail::Full),
        Word::Conf => write!(out, "{}", facts.conf),
        Word::Mntr => monitor(&mut out, shared, facts),
        Word::Wchs => watches(&mut out, shared),
        Word::Gtmk => write!(out, "306"),
        _ => {
            writeln!(out, "{} is not executed because it is not in the whitelist.", word.letters())
        }
    };
    written.expect("writing to a string cannot fail");
    out
}

/// How much `stat` and `cons` tell of a connection.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Detail {
    Short,
    Full,
}

fn mode(shared: &Shared) -> &'static str {
    match shared.figures.role.load(Ordering::Relaxed) {
        _ if shared.is_alone => "standalone",
        1 => "leader",
        2 => "follower",
        3 => "observer",
        _ => "looking",
    }
}

fn server(out: &mut String, shared: &Shared) -> std::fmt::Result {
    writeln!(out, "Zookeeper version: {VERSION}")?;
    server_body(out, shared)
}

fn server_body(out: &mut String, shared: &Shared) -> std::fmt::Result {
    let (min, mean, max) = shared.metrics.latency_ms.summary_ms();
    writeln!(out, "Latency min/avg/max: {}/{mean:.4}/{}", min as u64, max as u64)?;
    writeln!(out, "Received: {}", shared.metrics.packets_received.value())?;
    writeln!(out, "Sent: {}", packets_sent(shared))?;
    writeln!(out, "Connections: {}", shared.connections.len())?;
    writeln!(out, "Outstanding: {}", shared.figures.outstanding.load(Ordering::Relaxed))?;
    let (zxid, znodes) = {
        let state = shared.state.read();
        (state.last_applied, state.tree.count())
    };
    writeln!(out, "Zxid: 0x{zxid}")?;
    writeln!(out, "Mode: {}", mode(shared))?;
    if mode(shared) == "leader" {
        writeln!(out, "Proposal sizes last/min/max: -1/-1/-1")?;
    }
    writeln!(out, "Node count: {znodes}")
}

fn packets_sent(shared: &Shared) -> u64 {
    shared.metrics.packets_sent.value()
}

fn write_stat(out: &mut String, shared: &Shared) -> std::fmt::Result {
    writeln!(out, "Zookeeper version: {VERSION}")?;
    writeln!(out, "Clients:")?;
    connections(out, shared, Detail::Short)?;
    server_body(out, shared)
}

fn connections(out: &mut String, shared: &Shared, detail: Detail) -> std::fmt::Result {
    for entry in &shared.connections {
        let connection = entry.value();
        let figures = &connection.figures;
        write!(
            out,
            " /{}[1](queued={},recved={},sent={}",
            connection.address,
            connection.lane_len(),
            figures.received.load(Ordering::Relaxed),
            figures.sent.load(Ordering::Relaxed),
        )?;
        if detail == Detail::Full {
            write!(
                out,
                ",sid={},lop=NA,est={},to={},lcxid=0x{:x},lzxid=0x{:x},lresp=0,llat=0,minlat=0,\
                 avglat=0,maxlat=0",
                connection.session(),
                figures.established_ms.load(Ordering::Relaxed),
                connection.timeout_ms(),
                figures.last_xid.load(Ordering::Relaxed),
                figures.last_zxid.load(Ordering::Relaxed),
            )?;
        }
        writeln!(out, ")")?;
    }
    writeln!(out)
}

fn watches(out: &mut String, shared: &Shared) -> std::fmt::Result {
    let (connections, paths, count) = shared.watches.summary();
    writeln!(out, "{connections} connections watching {paths} paths")?;
    writeln!(out, "Total watches:{count}")
}

fn monitor(out: &mut String, shared: &Shared, facts: &Facts) -> std::fmt::Result {
    let metrics = &shared.metrics;
    let figures = &shared.figures;
    let (min, mean, max) = metrics.latency_ms.summary_ms();
    let (znodes, ephemerals, data_len_bytes, sessions) = {
        let state = shared.state.read();
        let tree = &state.tree;
        (tree.count(), tree.ephemeral_count(), tree.data_len_bytes(), state.sessions.count())
    };
    let mut line = |key: &str, value: String| writeln!(out, "zk_{key}\t{value}");
    line("version", VERSION.to_owned())?;
    line("server_state", mode(shared).to_owned())?;
    line("avg_latency", format!("{mean:.4}"))?;
    line("max_latency", (max as u64).to_string())?;
    line("min_latency", (min as u64).to_string())?;
    line("packets_received", metrics.packets_received.value().to_string())?;
    line("packets_sent", packets_sent(shared).to_string())?;
    line("num_alive_connections", shared.connections.len().to_string())?;
    line("outstanding_requests", figures.outstanding.load(Ordering::Relaxed).to_string())?;
    line("znode_count", znodes.to_string())?;
    line("watch_count", shared.watches.count().to_string())?;
    line("ephemerals_count", ephemerals.to_string())?;
    line("approximate_data_size", data_len_bytes.to_string())?;
    line("global_sessions", sessions.to_string())?;
    line("local_sessions", "0".to_owned())?;
    line("connection_drop_count", metrics.connections_refused.value().to_string())?;
    line("uptime", facts.uptime_ms().to_string())?;
    line("snap_count", metrics.snapshots.value().to_string())?;
    line("proposal_count", metrics.proposals.value().to_string())?;
    line("commit_count", metrics.txns_applied.value().to_string())?;
    let (fsync_min, fsync_mean, fsync_max) = metrics.fsync_ms.summary_ms();
    line("min_fsynctime", fsync_min.to_string())?;
    line("avg_fsynctime", format!("{fsync_mean:.4}"))?;
    line("max_fsynctime", fsync_max.to_string())?;
    if mode(shared) == "leader" {
        let synced = figures.synced.load(Ordering::Relaxed);
        line("learners", figures.learners.load(Ordering::Relaxed).to_string())?;
        line("synced_followers", synced.to_string())?;
        line("followers", synced.to_string())?;
    }
    Ok(())
}
