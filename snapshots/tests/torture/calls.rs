//! A run of 10,000 txns, with snapshots, retention, truncations, resets and promised epochs: the power
//! goes at each of its calls to the disk, and each of them fails once.
//!
//! The run stops every [`STRETCH_COUNT`] txns, is given a snapshot in place of all before, and starts
//! again: so a call is reached from the last stop and not from the beginning.

use conclave_snapshots::fs::{CrashMode, Fault};

use crate::common::{Random, Start};

/// Txns of the whole run.
const RUN_COUNT: usize = 10_000;

/// Txns between two stops.
const STRETCH_COUNT: usize = 500;

/// Calls `visit` with the start of every stretch of the run, and with each call that `is_chosen` there.
fn visit_calls(
    seed: u64,
    mut is_chosen: impl FnMut() -> bool,
    mut visit: impl FnMut(&Start, u64),
) -> (usize, u64) {
    let mut start = Start::new(seed, STRETCH_COUNT);
    let (mut txns, mut visited) = (0, 0);
    while txns < RUN_COUNT {
        let (next, calls) = start.clone().finish();
        for call in (0..calls).filter(|_| is_chosen()) {
            visit(&start, call);
            visited += 1;
        }
        txns += STRETCH_COUNT;
        start = next.folded();
    }
    (txns, visited)
}

fn crash(is_chosen: impl FnMut() -> bool) {
    let (txns, visited) =
        visit_calls(1, is_chosen, |start, call| start.crash_at(call, &CrashMode::ALL));
    println!("  txns of the run that crashes: {txns}");
    println!("  crash points: {}", visited * CrashMode::ALL.len() as u64);
}

fn fail(is_chosen: impl FnMut() -> bool) {
    let mut failures = 0;
    let (txns, _) = visit_calls(2, is_chosen, |start, call| {
        for fault in [Fault::Io, Fault::NoSpace] {
            start.fail_at(call, fault, &[CrashMode::Drop, CrashMode::Reorder]);
            failures += 1;
        }
    });
    println!("  txns of the run whose calls fail: {txns}");
    println!("  failures injected: {failures}");
}

/// Chooses one call of `among`.
fn one_of(among: u64) -> impl FnMut() -> bool {
    let mut random = Random(among);
    move || random.below(among) == 0
}

#[test]
fn crash_points_of_a_long_run_lose_nothing_acked() {
    crash(one_of(400));
}

#[test]
#[ignore = "minutes: every crash point"]
fn every_crash_point_of_a_long_run_loses_nothing_acked() {
    crash(|| true);
}

#[test]
fn calls_of_a_long_run_that_fail_once_lose_nothing_acked() {
    fail(one_of(400));
}

#[test]
#[ignore = "minutes: every call"]
fn every_call_of_a_long_run_that_fails_once_loses_nothing_acked() {
    fail(|| true);
}
