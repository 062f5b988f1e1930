//! What the members of a run are made of.

use std::collections::BTreeSet;

use bytes::Bytes;
use conclave_protocol::ids::ServerId;
use conclave_server::{
    acl::Access,
    boot::{Loss, Plan},
    pipeline::{prepare::Rules, quota::HardLimits},
    replica::{ReapSettings, Settings},
    shared::Terms,
};
use conclave_snapshots::log::LogOptions;

use crate::scenario::Scenario;

/// Ticks of silence after which a leader is given up.
pub(crate) const SYNC_LIMIT_TICKS: u32 = 80;

/// Two of the ticks of which [`SYNC_LIMIT_TICKS`] is four: a leader whose disk takes longer for a sync has
/// to go.
pub(crate) const SLOW_DISK_TICKS: u32 = SYNC_LIMIT_TICKS / 2;

/// Time without a leader after which members serve reads, where they do.
const READ_ONLY_AFTER_MS: u64 = 300;

/// Makes the plan of the first member; the others' differ in who they are.
pub(crate) fn plan(
    scenario: &Scenario,
    voters: BTreeSet<ServerId>,
    observers: BTreeSet<ServerId>,
) -> Plan {
    Plan {
        me: ServerId(1),
        data_dir: "data".to_owned(),
        log_dir: "data".to_owned(),
        retain: 3,
        loss: Loss::default(),
        log: LogOptions { segment_len_bytes: 16 << 10, preallocate_bytes: 4 << 10 },
        engine: conclave_zab::Config {
            me: ServerId(1),
            voters,
            observers,
            init_limit_ticks: 200,
            sync_limit_ticks: SYNC_LIMIT_TICKS,
            slow_disk_ticks: SLOW_DISK_TICKS,
            heartbeat_ticks: 10,
            election_settle_ticks: 2,
            window_entries_max: scenario.window_entries,
            window_bytes_max: 1 << 20,
        },
        replica: Settings {
            snapshot_txns: scenario.snapshot_txns,
            snapshot_bytes: 1 << 20,
            fetch_timeout_ms: 5_000,
            reap: ReapSettings { interval_ms: 500, per_minute_max: 10_000, never_used_ms: 2000 },
        },
        terms: Terms {
            session_timeout_ms_min: 4000,
            session_timeout_ms_max: 40_000,
            frame_len_bytes_max: 1 << 20,
            access: Access::default(),
            rules: Rules { has_ttl: true, hard_limits: HardLimits::Enforced },
            members: Bytes::new(),
            local_sessions: scenario.local_sessions,
            read_only_after_ms: scenario.has_read_only.then_some(READ_ONLY_AFTER_MS),
        },
    }
}
