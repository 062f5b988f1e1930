//! The results, for people and for programs.

use std::fmt::Write;

use conclave_protocol::code::ErrorCode;
use serde_json::{Value, json};

use super::{
    plan::Plan,
    tally::{Latency, Tally},
};

/// What a run came to.
#[derive(Clone, Debug, Default)]
pub(super) struct Results {
    pub(super) reads: Tally,
    pub(super) writes: Tally,
    /// Watch events that came.
    pub(super) events: u64,
    /// Connections that were lost.
    pub(super) lost: u64,
    /// Requests in flight when the time was over.
    pub(super) unanswered: u64,
    pub(super) seconds: f64,
    /// Processor time of the load generator itself while it measured, in seconds.
    pub(super) client_cpu_s: f64,
}

impl Results {
    fn all(&self) -> Tally {
        let mut all = self.reads.clone();
        all.add(&self.writes);
        all
    }

    /// Returns the results as one JSON value.
    pub(super) fn to_json(&self, plan: &Plan) -> Value {
        let all = self.all();
        let ops = all.answers() * plan.shape.ops_per_request();
        let errors = all.errors().iter().map(|(code, count)| (name(*code), json!(count)));
        json!({
            "workload": plan.shape.workload.name(),
            "server": plan.server,
            "connections": plan.connections,
            "in_flight": plan.in_flight,
            "value_bytes": plan.shape.value.len(),
            "rate": plan.rate,
            "seconds": self.seconds,
            "ops": ops,
            "ops_per_s": self.per_second(ops),
            "latency": latency(all.latency()),
            "reads": { "ops": self.reads.answers(), "latency": latency(self.reads.latency()) },
            "writes": { "ops": self.writes.answers(), "latency": latency(self.writes.latency()) },
            "errors": errors.collect::<serde_json::Map<_, _>>(),
            "events": self.events,
            "lost_connections": self.lost,
            "unanswered": self.unanswered,
            "client_cpu_s": self.client_cpu_s,
        })
    }

    /// Returns the results as lines for people.
    pub(super) fn to_text(&self, plan: &Plan) -> String {
        let all = self.all();
        let ops = all.answers() * plan.shape.ops_per_request();
        let mut text = String::new();
        let mut line = |name: &str, value: String| {
            writeln!(text, "{name:<12}{value}").expect("writing to a string cannot fail");
        };
        line(
            plan.shape.workload.name(),
            format!(
                "{} connections x {} in flight, {} bytes, {}",
                plan.connections,
                plan.in_flight,
                plan.shape.value.len(),
                plan.server
            ),
        );
        let rate = self.per_second(ops);
        line("throughput", format!("{rate:.0} ops/s ({ops} in {:.2} s)", self.seconds));
        line("latency", times(all.latency()));
        if self.reads.answers() > 0 && self.writes.answers() > 0 {
            line("  reads", times(self.reads.latency()));
            line("  writes", times(self.writes.latency()));
        }
        if self.events > 0 {
            line("events", self.events.to_string());
        }
        let errors: Vec<_> = all
            .errors()
            .iter()
            .map(|(code, count)| format!("{} {count}", name(*code)))
            .chain((self.lost > 0).then(|| format!("lost connections {}", self.lost)))
            .chain((self.unanswered > 0).then(|| format!("unanswered {}", self.unanswered)))
            .collect();
        line("errors", if errors.is_empty() { "none".to_owned() } else { errors.join(", ") });
        let share = 100.0 * self.client_cpu_s / self.seconds.max(f64::EPSILON);
        line("own CPU", format!("{:.2} s ({share:.0}% of one core)", self.client_cpu_s));
        text
    }

    fn per_second(&self, ops: u64) -> f64 {
        ops as f64 / self.seconds.max(f64::EPSILON)
    }
}

fn name(code: i32) -> String {
    ErrorCode::from_wire(code).map_or_else(|| code.to_string(), |code| format!("{code:?}"))
}

fn times(latency: Latency) -> String {
    let Latency { mean_us, p50_us, p99_us, p999_us, max_us, .. } = latency;
    format!(
        "p50 {}, p99 {}, p99.9 {}, max {}, mean {}",
        time(p50_us),
        time(p99_us),
        time(p999_us),
        time(max_us),
        time(mean_us)
    )
}

fn time(us: f64) -> String {
    if us < 1000.0 { format!("{us:.0} us") } else { format!("{:.2} ms", us / 1000.0) }
}

fn latency(latency: Latency) -> Value {
    let Latency { mean_us, min_us, p50_us, p90_us, p99_us, p999_us, max_us } = latency;
    json!({
        "mean_us": mean_us, "min_us": min_us, "p50_us": p50_us, "p90_us": p90_us, "p99_us": p99_us,
        "p999_us": p999_us, "max_us": max_us,
    })
}
