//! `srvr`, `stat` and `cons`: the member and its connections, for people.

use std::fmt::{self, Write};

use super::report::{ConnectionReport, MemberReport, Mode};

/// Writing to a string cannot fail.
pub(super) fn written(write: impl FnOnce(&mut String) -> fmt::Result) -> String {
    let mut out = String::new();
    write(&mut out).expect("writing to a string cannot fail");
    out
}

pub(super) fn srvr(report: &MemberReport) -> String {
    written(|out| {
        head(out, report)?;
        body(out, report)
    })
}

pub(super) fn stat(report: &MemberReport) -> String {
    written(|out| {
        head(out, report)?;
        writeln!(out, "Clients:")?;
        for connection in &report.connections {
            short(out, connection)?;
            writeln!(out, ")")?;
        }
        writeln!(out)?;
        body(out, report)
    })
}

pub(super) fn cons(report: &MemberReport) -> String {
    written(|out| {
        for connection in &report.connections {
            short(out, connection)?;
            detail(out, connection)?;
            writeln!(out, ")")?;
        }
        writeln!(out)
    })
}

fn head(out: &mut String, report: &MemberReport) -> fmt::Result {
    writeln!(out, "Zookeeper version: {}", report.version)?;
    if report.mode == Mode::ReadOnly {
        writeln!(out, "READ-ONLY mode; serving only read-only clients")?;
    }
    Ok(())
}

fn body(out: &mut String, report: &MemberReport) -> fmt::Result {
    let latency = &report.latency_ms;
    let mean = latency.mean_text();
    writeln!(out, "Latency min/avg/max: {}/{mean}/{}", latency.min, latency.max)?;
    writeln!(out, "Received: {}", report.packets_received)?;
    writeln!(out, "Sent: {}", report.packets_sent)?;
    writeln!(out, "Connections: {}", report.connection_count)?;
    writeln!(out, "Outstanding: {}", report.outstanding)?;
    writeln!(out, "Zxid: 0x{}", report.last_zxid)?;
    writeln!(out, "Mode: {}", report.mode.name())?;
    writeln!(out, "Node count: {}", report.znode_count)?;
    let Some(leader) = &report.leader else { return Ok(()) };
    match leader.proposal_sizes {
        Some(sizes) => {
            let (last, min, max) = (sizes.last, sizes.min, sizes.max);
            writeln!(out, "Proposal sizes last/min/max: {last}/{min}/{max}")
        }
        // ZooKeeper's own figures before the first proposal.
        None => writeln!(out, "Proposal sizes last/min/max: -1/-1/-1"),
    }
}

/// Writes a connection up to where `stat` closes the bracket and `cons` goes on. The figure in
/// square brackets says whether more is read from it; that of a word has nothing more to say.
fn short(out: &mut String, connection: &ConnectionReport) -> fmt::Result {
    let ConnectionReport { address, queued, received, sent, .. } = connection;
    let reads = u8::from(connection.session.is_some());
    write!(out, " /{address}[{reads}](queued={queued},recved={received},sent={sent}")
}

fn detail(out: &mut String, connection: &ConnectionReport) -> fmt::Result {
    let Some(session) = connection.session else { return Ok(()) };
    let last = &connection.last;
    let (min, mean, max) = connection.latency_ms;
    write!(
        out,
        ",sid={session},lop={},est={},to={},lcxid=0x{:x},lzxid=0x{:x},lresp={},llat={},\
         minlat={min},avglat={mean},maxlat={max}",
        last.operation.unwrap_or("NA"),
        connection.established_ms,
        connection.timeout_ms,
        last.xid,
        last.zxid,
        last.answered_ms,
        last.latency_ms,
    )
}
