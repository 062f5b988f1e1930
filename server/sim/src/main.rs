//! Runs seeds, replays one, reduces one that fails.

use std::{
    collections::BTreeSet,
    ops::Range,
    panic::{self, AssertUnwindSafe},
    process::ExitCode,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Instant,
};

use clap::Parser;
use conclave_server::shared::LocalSessions;
use conclave_sim::{Report, Scenario, run};
use tracing::Level;

/// Whole members of Conclave under seeds: network, disks and clocks fail, and all promises are checked.
#[derive(Parser)]
#[command(name = "conclave-sim", version)]
struct Options {
    /// Seeds to run: one, or FROM..TO
    #[arg(long, default_value = "0..200", value_parser = seeds)]
    seeds: Range<u64>,
    /// Threads, each with seeds of its own
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Run without faults for so many virtual seconds, to measure the speed
    #[arg(long, value_name = "SECONDS")]
    calm: Option<u64>,
    /// Tell what members and faults do; twice: what clients ask and are told, too
    #[arg(short, long, action = clap::ArgAction::Count)]
    verbose: u8,
    /// End with the first seed that fails
    #[arg(long)]
    first: bool,
    /// Reduce the first seed that fails: fewer faults, clients, time
    #[arg(long)]
    shrink: bool,
}

fn seeds(text: &str) -> Result<Range<u64>, String> {
    let number = |text: &str| text.parse::<u64>().map_err(|_| format!("{text} is no number"));
    match text.split_once("..") {
        Some((from, to)) => Ok(number(from)?..number(to)?),
        None => number(text).map(|seed| seed..seed + 1),
    }
}

/// How a run failed: the message of the check.
type Failure = String;

fn attempt(scenario: &Scenario) -> Result<Report, Failure> {
    panic::catch_unwind(AssertUnwindSafe(|| run(scenario))).map_err(|payload| {
        let text = payload.downcast_ref::<String>().cloned();
        text.or_else(|| payload.downcast_ref::<&str>().map(|text| (*text).to_owned()))
            .unwrap_or_else(|| "a panic without words".to_owned())
    })
}

fn main() -> ExitCode {
    let options = Options::parse();
    if options.verbose > 0 {
        let level = if options.verbose == 1 { Level::INFO } else { Level::DEBUG };
        let told = tracing_subscriber::fmt().with_max_level(level).with_ansi(false);
        told.without_time().with_target(false).init();
    }
    // The message is told with the seed, below.
    if options.verbose == 0 {
        panic::set_hook(Box::new(|_| {}));
    }
    #[expect(clippy::disallowed_methods, reason = "how fast the simulator itself is")]
    let started = Instant::now();
    let next = AtomicU64::new(options.seeds.start);
    let (sum, failures) = (Mutex::new(Report::default()), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..options.threads.max(1) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let is_over =
                        options.first && !failures.lock().expect("no panic holds it").is_empty();
                    if seed >= options.seeds.end || is_over {
                        return;
                    }
                    let scenario = options
                        .calm
                        .map_or_else(|| Scenario::draw(seed), |s| Scenario::calm(seed, s * 1000));
                    match attempt(&scenario) {
                        Ok(report) => sum.lock().expect("no panic holds it").add(&report),
                        Err(failure) => {
                            println!("seed {seed} fails: {failure}");
                            failures.lock().expect("no panic holds it").push(scenario);
                        }
                    }
                }
            });
        }
    });
    let took_s = started.elapsed().as_secs_f64();
    let sum = sum.into_inner().expect("no panic holds it");
    let mut failures = failures.into_inner().expect("no panic holds it");
    failures.sort_by_key(|scenario| scenario.seed);
    let seeds = &options.seeds;
    println!("seeds {}..{}: {} failed", seeds.start, seeds.end, failures.len());
    println!("{sum}");
    println!("  seconds: {took_s:.1}");
    let speed = sum.simulated_ms as f64 / 1000.0 / took_s / options.threads.max(1) as f64;
    println!("  simulated seconds per second of a thread: {speed:.0}");
    let Some(first) = failures.first() else { return ExitCode::SUCCESS };
    println!("replay: cargo run --profile sim -p conclave-sim -- --seeds {}", first.seed);
    if options.shrink {
        println!("reduced to {:#?}", reduce(first.clone()));
    }
    ExitCode::FAILURE
}

/// Takes away what the failure does not need, as long as the run still fails.
fn reduce(mut scenario: Scenario) -> Scenario {
    loop {
        let smaller = candidates(&scenario).into_iter().find(|smaller| attempt(smaller).is_err());
        match smaller {
            Some(smaller) => scenario = smaller,
            None => return scenario,
        }
    }
}

fn candidates(scenario: &Scenario) -> Vec<Scenario> {
    let mut all = Vec::new();
    let mut with = |change: &dyn Fn(&mut Scenario)| {
        let mut smaller = scenario.clone();
        change(&mut smaller);
        if smaller != *scenario {
            all.push(smaller);
        }
    };
    with(&|smaller| smaller.duration_ms /= 2);
    with(&|smaller| smaller.duration_ms = smaller.duration_ms * 9 / 10);
    with(&|smaller| smaller.clients = (smaller.clients - 1).max(1));
    with(&|smaller| smaller.observers = 0);
    with(&|smaller| smaller.skew_ppm = 0);
    with(&|smaller| smaller.has_hub = false);
    with(&|smaller| smaller.has_read_only = false);
    with(&|smaller| smaller.local_sessions = LocalSessions::Off);
    with(&|smaller| smaller.readers = 0);
    with(&|smaller| smaller.burst = 1);
    for fault in &scenario.faults {
        let fewer: BTreeSet<_> =
            scenario.faults.iter().filter(|own| *own != fault).copied().collect();
        with(&|smaller| smaller.faults.clone_from(&fewer));
    }
    all
}
