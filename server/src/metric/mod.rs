//! Figures of a member: every name, its unit and help in one table, and a recorder that keeps them
//! so that `mntr` tells the same figures.
//!
//! Several members may live in one process, so every figure carries the member's number as the label
//! `member`.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use conclave_protocol::ids::ServerId;
use metrics::{Counter, Histogram, Label, Unit};

/// Declares the table: one line for each figure.
macro_rules! figures {
    ($($field:ident: $kind:ident, $name:literal, $unit:expr, $help:literal;)*) => {
        /// Pre-made handles: counting in the hot path is one atomic add.
        #[derive(Clone, Debug)]
        pub struct MemberMetrics {
            $(#[doc = $help] pub $field: $kind,)*
        }

        /// Every figure: name, unit, help.
        pub const TABLE: &[(&str, Unit, &str)] = &[$(($name, $unit, $help),)*];

        impl MemberMetrics {
            /// Makes the handles of a member, and registers them with the process's recorder when
            /// there is one.
            pub fn new(member: ServerId) -> Self {
                let labels = vec![Label::new("member", member.0.to_string())];
                Self { $($field: $kind::make($name, &labels),)* }
            }
        }
    };
}

figures! {
    packets_received: Count, "conclave_packets_received_total", Unit::Count, "Requests received from clients.";
    packets_sent: Count, "conclave_packets_sent_total", Unit::Count, "Replies and events sent to clients.";
    connections_opened: Count, "conclave_connections_opened_total", Unit::Count, "Client connections accepted.";
    connections_closed: Count, "conclave_connections_closed_total", Unit::Count, "Client connections ended.";
    connections_refused: Count, "conclave_connections_refused_total", Unit::Count, "Client connections over a limit.";
    sessions_opened: Count, "conclave_sessions_opened_total", Unit::Count, "Sessions opened or attached here.";
    sessions_closed: Count, "conclave_sessions_closed_total", Unit::Count, "Sessions closed or expired, anywhere.";
    sessions_expired: Count, "conclave_sessions_expired_total", Unit::Count, "Sessions this leader found silent.";
    proposals: Count, "conclave_proposals_total", Unit::Count, "Txns proposed as leader.";
    txns_applied: Count, "conclave_txns_applied_total", Unit::Count, "Txns applied.";
    snapshots: Count, "conclave_snapshots_total", Unit::Count, "Snapshots taken.";
    elections: Count, "conclave_elections_total", Unit::Count, "Times the leader was lost.";
    role_changes: Count, "conclave_role_changes_total", Unit::Count, "Changes of role.";
    watches_fired: Count, "conclave_watches_fired_total", Unit::Count, "Watch events sent.";
    fsync_ms: Spread, "conclave_fsync_milliseconds", Unit::Milliseconds, "Time of a log sync.";
    connections_dropped: Count, "conclave_connections_dropped_total", Unit::Count, "Client connections given up for what the client did.";
    requests_throttled: Count, "conclave_requests_throttled_total", Unit::Count, "Requests refused after they had waited too long for others.";
    request_ms: Spread, "conclave_request_latency_milliseconds", Unit::Milliseconds, "Time from any request to its answer.";
    latency_ms: Spread, "conclave_write_latency_milliseconds", Unit::Milliseconds, "Time from a write's admission to its answer.";
}

/// A counter that can be read.
#[derive(Clone, Debug)]
pub struct Count {
    value: Arc<AtomicU64>,
    recorded: Counter,
}

impl Count {
    fn make(name: &'static str, labels: &[Label]) -> Self {
        let recorded = metrics::with_recorder(|recorder| {
            let key = metrics::Key::from_parts(name, labels.to_vec());
            recorder.register_counter(&key, &METADATA)
        });
        Self { value: Arc::default(), recorded }
    }

    /// Adds `count`.
    pub fn increment(&self, count: u64) {
        self.value.fetch_add(count, Ordering::Relaxed);
        self.recorded.increment(count);
    }

    /// Returns the sum so far.
    pub fn value(&self) -> u64 {
        self.value.load(Ordering::Relaxed)
    }
}

/// A histogram of which least, mean and greatest can be read.
#[derive(Clone, Debug)]
pub struct Spread {
    inner: Arc<SpreadInner>,
    recorded: Histogram,
}

#[derive(Debug)]
struct SpreadInner {
    count: AtomicU64,
    sum_us: AtomicU64,
    min_us: AtomicU64,
    max_us: AtomicU64,
}

impl Spread {
    fn make(name: &'static str, labels: &[Label]) -> Self {
        let recorded = metrics::with_recorder(|recorder| {
            let key = metrics::Key::from_parts(name, labels.to_vec());
            recorder.register_histogram(&key, &METADATA)
        });
        let inner = SpreadInner {
            count: AtomicU64::new(0),
            sum_us: AtomicU64::new(0),
            min_us: AtomicU64::new(u64::MAX),
            max_us: AtomicU64::new(0),
        };
        Self { inner: Arc::new(inner), recorded }
    }

    /// Notes one value, in milliseconds.
    pub fn record(&self, value_ms: f64) {
        let value_us = (value_ms * 1000.0) as u64;
        self.inner.count.fetch_add(1, Ordering::Relaxed);
        self.inner.sum_us.fetch_add(value_us, Ordering::Relaxed);
        self.inner.min_us.fetch_min(value_us, Ordering::Relaxed);
        self.inner.max_us.fetch_max(value_us, Ordering::Relaxed);
        self.recorded.record(value_ms);
    }

    /// Forgets the values so far, but not in what was recorded elsewhere.
    pub fn reset(&self) {
        for cell in [&self.inner.count, &self.inner.sum_us, &self.inner.max_us] {
            cell.store(0, Ordering::Relaxed);
        }
        self.inner.min_us.store(u64::MAX, Ordering::Relaxed);
    }

    /// Returns least, mean and greatest, in milliseconds; zeros before the first value.
    pub fn summary_ms(&self) -> (f64, f64, f64) {
        let count = self.inner.count.load(Ordering::Relaxed);
        if count == 0 {
            return (0.0, 0.0, 0.0);
        }
        let ms = |value_us: u64| value_us as f64 / 1000.0;
        let sum_us = self.inner.sum_us.load(Ordering::Relaxed);
        let min_us = self.inner.min_us.load(Ordering::Relaxed);
        let max_us = self.inner.max_us.load(Ordering::Relaxed);
        (ms(min_us), ms(sum_us) / count as f64, ms(max_us))
    }
}

static METADATA: metrics::Metadata<'static> =
    metrics::Metadata::new(module_path!(), metrics::Level::INFO, Some(module_path!()));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_two_members_are_kept_apart() {
        let (one, two) = (MemberMetrics::new(ServerId(1)), MemberMetrics::new(ServerId(2)));
        one.proposals.increment(3);
        assert_eq!((one.proposals.value(), two.proposals.value()), (3, 0));
    }

    #[test]
    fn a_spread_tells_least_mean_and_greatest() {
        let metrics = MemberMetrics::new(ServerId(1));
        assert_eq!(metrics.fsync_ms.summary_ms(), (0.0, 0.0, 0.0));
        metrics.fsync_ms.record(1.0);
        metrics.fsync_ms.record(3.0);
        assert_eq!(metrics.fsync_ms.summary_ms(), (1.0, 2.0, 3.0));
    }

    #[test]
    fn every_name_tells_what_and_in_which_unit() {
        for (name, _, help) in TABLE {
            assert!(name.starts_with("conclave_"), "{name}");
            assert!(help.ends_with('.'), "{name}");
        }
    }
}
