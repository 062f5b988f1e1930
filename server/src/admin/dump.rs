//! `dump`, `envi` and `dirs`: sessions and their ephemerals, the process, its folders.

use std::fmt::Write;

use super::{report::MemberReport, server::written};

/// Every member knows every session and none keeps sets by time of expiry, so all answer in the form
/// in which ZooKeeper's followers do.
pub(super) fn dump(report: &MemberReport) -> String {
    written(|out| {
        writeln!(out, "SessionTracker dump:")?;
        writeln!(out, "Global Sessions({}):", report.sessions.len())?;
        for session in &report.sessions {
            writeln!(out, "{}\t{}ms", session.id, session.timeout_ms)?;
        }
        let owners = report.sessions.iter().filter(|session| !session.ephemerals.is_empty());
        writeln!(out, "ephemeral nodes dump:")?;
        writeln!(out, "Sessions with Ephemerals ({}):", owners.clone().count())?;
        for session in owners {
            writeln!(out, "{}:", session.id)?;
            for path in &session.ephemerals {
                writeln!(out, "\t{path}")?;
            }
        }
        writeln!(out, "Connections dump:")?;
        let count = report.connections.len();
        writeln!(out, "Connections Sets (1)/({count}):")?;
        for connection in &report.connections {
            let session = connection.session.map_or("0x0".to_owned(), |id| id.to_string());
            writeln!(out, "\tip: /{} sessionId: {session}", connection.address)?;
        }
        Ok(())
    })
}

pub(super) fn envi(report: &MemberReport) -> String {
    written(|out| {
        writeln!(out, "Environment:")?;
        writeln!(out, "zookeeper.version={}", report.version)?;
        for (key, value) in &report.environment {
            writeln!(out, "{key}={value}")?;
        }
        Ok(())
    })
}

pub(super) fn dirs(report: &MemberReport) -> String {
    written(|out| {
        writeln!(out, "datadir_size: {}", report.data_dir_len_bytes)?;
        writeln!(out, "logdir_size: {}", report.log_dir_len_bytes)
    })
}
