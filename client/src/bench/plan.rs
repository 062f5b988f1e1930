//! The arguments of `conclave bench`, and what they come to.

use clap::{Args, ValueEnum};

use super::workload::{Shape, Workload, value};
use crate::{error::ClientError, hosts::ConnectString};

/// Arguments of `conclave bench`.
#[derive(Args, Clone, Debug)]
pub struct BenchArguments {
    /// Where to connect: host:port[,host:port...][/chroot]; connections take turns over the hosts.
    #[arg(long, short, default_value = "127.0.0.1:2181", value_name = "HOSTS")]
    server: String,
    /// What to measure.
    #[arg(long, short, value_enum, default_value_t = Workload::Mixed)]
    workload: Workload,
    /// Connections, each with a session of its own [default: 16; 64 at a time for sessions]
    #[arg(long, short, value_name = "N")]
    connections: Option<usize>,
    /// Requests in flight on each connection.
    #[arg(long, default_value_t = 1, value_name = "N")]
    in_flight: usize,
    /// Length of a value.
    #[arg(long, default_value_t = 100, value_name = "N")]
    value_bytes: usize,
    /// How long to measure.
    #[arg(long, default_value_t = 10.0, value_name = "N", conflicts_with = "count")]
    seconds: f64,
    /// Measure this many operations instead: sessions, or writes for watch [default there: 5000, 20].
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// How long to run before measuring.
    #[arg(long, default_value_t = 1.0, value_name = "SECONDS")]
    warm_up: f64,
    /// Znodes that are read and written.
    #[arg(long, default_value_t = 1000, value_name = "N")]
    keys: u64,
    /// Share of reads in mixed.
    #[arg(long, default_value_t = 90, value_name = "N", value_parser = clap::value_parser!(u64).range(0..=100))]
    read_percent: u64,
    /// Operations in each multi of load.
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u64).range(2..))]
    multi: u64,
    /// Requests per second, all connections together; latencies count from when each was due [default: as many
    /// as go].
    #[arg(long, default_value_t = 0.0, value_name = "N")]
    rate: f64,
    /// Keep sessions and watches this long after the measurement.
    #[arg(long, default_value_t = 0.0, value_name = "SECONDS")]
    hold: f64,
    /// Leave the znodes where they are.
    #[arg(long)]
    keep: bool,
    /// Session timeout to ask for.
    #[arg(long, default_value_t = 30_000, value_name = "MS")]
    timeout: u32,
    /// How the results are written.
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// How results are written.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(super) enum Output {
    Text,
    Json,
}

/// A run, as it was asked for.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// The hosts as they were written.
    pub(super) server: String,
    pub(super) hosts: Vec<(String, u16)>,
    pub(super) shape: Shape,
    pub(super) connections: usize,
    pub(super) in_flight: usize,
    pub(super) seconds: f64,
    /// Requests to make, where not the time ends it.
    pub(super) count: Option<u64>,
    pub(super) warm_up: f64,
    pub(super) rate: f64,
    pub(super) hold: f64,
    pub(super) keep: bool,
    pub(super) timeout_ms: u32,
    pub(super) output: Output,
}

impl Plan {
    /// Makes the plan of `arguments`; `seed` tells this run's znodes from those of others.
    pub(super) fn new(arguments: BenchArguments, seed: u64) -> Result<Self, ClientError> {
        let ConnectString { hosts, chroot } = ConnectString::parse(&arguments.server)?;
        let shape = Shape {
            workload: arguments.workload,
            root: format!("{chroot}/conclave-bench-{seed:x}"),
            keys: arguments.keys.max(1),
            value: value(arguments.value_bytes),
            read_percent: arguments.read_percent,
            multi: arguments.multi,
        };
        let (connections, count) = match arguments.workload {
            Workload::Sessions => (64, Some(5000)),
            Workload::Watch => (1000, Some(20)),
            _ => (16, None),
        };
        Ok(Self {
            server: arguments.server,
            hosts,
            connections: arguments.connections.unwrap_or(connections).max(1),
            in_flight: arguments.in_flight.max(1),
            seconds: arguments.seconds.max(0.0),
            count: arguments.count.map(|count| count.div_ceil(shape.ops_per_request())).or(count),
            // A count is all that is done.
            warm_up: if arguments.count.is_some() { 0.0 } else { arguments.warm_up.max(0.0) },
            rate: arguments.rate,
            hold: arguments.hold,
            keep: arguments.keep,
            timeout_ms: arguments.timeout,
            output: arguments.output,
            shape,
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct CommandLine {
        #[command(flatten)]
        arguments: BenchArguments,
    }

    fn plan(words: &str) -> Plan {
        let words = std::iter::once("bench").chain(words.split_whitespace());
        Plan::new(CommandLine::try_parse_from(words).unwrap().arguments, 0xab).unwrap()
    }

    #[test]
    fn everything_is_below_the_chroot_in_a_place_of_its_own() {
        assert_eq!(plan("--server a:1,b:2/x").shape.root, "/x/conclave-bench-ab");
    }

    #[test]
    fn a_count_of_znodes_is_one_of_multis_rounded_up() {
        let plan = plan("--workload load --count 1001 --multi 100");
        assert_eq!((plan.count, plan.warm_up), (Some(11), 0.0));
    }

    #[test]
    fn each_workload_has_its_defaults() {
        assert_eq!((plan("-w sessions").connections, plan("-w sessions").count), (64, Some(5000)));
        assert_eq!((plan("-w watch").connections, plan("-w watch").count), (1000, Some(20)));
        assert_eq!((plan("").connections, plan("").count), (16, None));
    }
}
