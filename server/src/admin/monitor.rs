//! `mntr`: figures for monitors, a key, a tab and a value in each line.

use std::fmt::Write;

use super::{
    report::{LeaderReport, MemberReport},
    server::written,
};

pub(super) fn mntr(report: &MemberReport) -> String {
    written(|out| {
        for (key, value) in figures(report) {
            writeln!(out, "zk_{key}\t{value}")?;
        }
        Ok(())
    })
}

fn figures(report: &MemberReport) -> Vec<(&'static str, String)> {
    let mut lines =
        vec![("version", report.version.clone()), ("server_state", report.mode.name().to_owned())];
    lines.extend(report.mode.peer_state().map(|state| ("peer_state", state.to_owned())));
    let numbers = [
        ("ephemerals_count", report.ephemeral_count),
        ("num_alive_connections", report.connection_count),
        ("outstanding_requests", report.outstanding),
        ("znode_count", report.znode_count),
        ("global_sessions", report.session_count),
        ("local_sessions", report.local_session_count),
        ("packets_received", report.packets_received),
        ("packets_sent", report.packets_sent),
        ("watch_count", report.watch_count),
        ("approximate_data_size", report.data_len_bytes),
        ("uptime", report.uptime_ms),
        ("min_latency", report.latency_ms.min),
        ("max_latency", report.latency_ms.max),
        ("proposal_count", report.proposals),
        ("commit_count", report.commits),
        ("snap_count", report.snapshots),
        ("throttled_ops", report.throttled),
        ("connection_rejected", report.connections_refused),
        ("connection_drop_count", report.connections_dropped),
        // Requests whose connection went are not counted: none is worked on in vain.
        ("stale_requests", 0),
        // Of TLS, which there is not.
        ("auth_failed_count", 0),
        ("outstanding_tls_handshake", 0),
        ("non_mtls_local_conn_count", 0),
        ("non_mtls_remote_conn_count", 0),
        ("min_fsynctime", report.fsync_ms.min),
        ("max_fsynctime", report.fsync_ms.max),
    ];
    lines.extend(numbers.map(|(key, number)| (key, number.to_string())));
    lines.push(("avg_latency", report.latency_ms.mean_text()));
    lines.push(("avg_fsynctime", report.fsync_ms.mean_text()));
    // None is drawn for: the throttle refuses by count alone.
    lines.push(("connection_drop_probability", "0.0".to_owned()));
    lines.extend(report.voter_count.map(|count| ("quorum_size", count.to_string())));
    if let Some((open, max)) = report.open_files {
        lines.push(("open_file_descriptor_count", open.to_string()));
        lines.push(("max_file_descriptor_count", max.to_string()));
    }
    if let Some(leader) = &report.leader {
        lines.extend(leader_figures(leader));
    }
    lines
}

fn leader_figures(leader: &LeaderReport) -> Vec<(&'static str, String)> {
    let size = |pick: fn(&super::ProposalSizes) -> u64| {
        leader.proposal_sizes.as_ref().map_or_else(|| "-1".to_owned(), |it| pick(it).to_string())
    };
    vec![
        ("learners", leader.learners.to_string()),
        // The name that monitors know from before 3.6.
        ("followers", leader.synced_followers.to_string()),
        ("synced_followers", leader.synced_followers.to_string()),
        // Members change their role by a start only, so none waits for its vote.
        ("synced_non_voting_followers", "0".to_owned()),
        ("synced_observers", leader.synced_observers.to_string()),
        ("pending_syncs", leader.pending_syncs.to_string()),
        ("leader_uptime", leader.uptime_ms.to_string()),
        ("last_proposal_size", size(|sizes| sizes.last)),
        ("min_proposal_size", size(|sizes| sizes.min)),
        ("max_proposal_size", size(|sizes| sizes.max)),
    ]
}
