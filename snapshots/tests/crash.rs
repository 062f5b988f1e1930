//! Power cuts at every step, and calls that fail.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::{Model, open, run};
use conclave_snapshots::{
    StorageError,
    fs::{CrashMode, Fault, FaultyFs},
};
use proptest::prelude::*;

fn calls_of(seed: u64, count: usize) -> u64 {
    let fs = FaultyFs::new(seed);
    run(&fs, seed, count, &mut Model::default()).unwrap();
    fs.call_count()
}

/// Crashes a run at `call`, and recovers; then goes on, and crashes the recovery too.
fn crash_at(seed: u64, count: usize, call: u64, mode: CrashMode) {
    let fs = FaultyFs::new(seed ^ call << 8);
    let mut model = Model::default();
    fs.power_off_at(call);
    let ended = run(&fs, seed, count, &mut model);
    assert!(ended.is_err(), "the run was over before call {call}");
    fs.crash(mode);
    let context = format!("seed {seed}, call {call}, {mode:?}");
    fs.power_off_at(fs.call_count() + call % 7);
    drop(open(&fs));
    fs.crash(mode);
    let (recovered, history) = open(&fs).unwrap_or_else(|error| panic!("{context}: {error}"));
    model.check(&history, &context);
    drop(recovered);
    // What was found is what stays, and the log goes on from it.
    let mut after = Model { durable: history.len(), asked: history, other: None };
    run(&fs, seed + 1, 20, &mut after).unwrap();
    fs.crash(CrashMode::Drop);
    let (_, history) = open(&fs).unwrap_or_else(|error| panic!("{context}, later: {error}"));
    after.check(&history, &context);
}

#[test]
fn every_crash_point_of_a_run_keeps_what_was_synced() {
    for seed in [3, 5] {
        for call in 0..calls_of(seed, 300) {
            for mode in CrashMode::ALL {
                crash_at(seed, 300, call, mode);
            }
        }
    }
}

#[test]
fn every_call_that_fails_once_loses_nothing() {
    let (seed, count) = (11, 300);
    for call in 0..calls_of(seed, count) {
        for fault in [Fault::Io, Fault::NoSpace] {
            for mode in [CrashMode::Drop, CrashMode::Keep, CrashMode::Reorder] {
                let fs = FaultyFs::new(call);
                let mut model = Model::default();
                fs.fail_at(call, fault);
                let ended = run(&fs, seed, count, &mut model);
                assert!(ended.is_err() || fault == Fault::NoSpace, "call {call} failed unnoticed");
                fs.crash(mode);
                let context = format!("call {call}, {fault:?}, {mode:?}");
                let (_, history) = open(&fs).unwrap_or_else(|e| panic!("{context}: {e}"));
                model.check(&history, &context);
            }
        }
    }
}

#[test]
fn a_disk_that_fills_up_takes_the_same_batch_once_there_is_room() {
    let mut refused = 0;
    for capacity in (100..9000).step_by(37) {
        let fs = FaultyFs::new(capacity);
        let mut model = Model::default();
        fs.set_capacity(Some(capacity));
        match run(&fs, 21, 200, &mut model) {
            Ok(()) => {}
            Err(StorageError::NoSpace { .. }) => refused += 1,
            Err(error) => panic!("capacity {capacity}: {error}"),
        }
        fs.crash(CrashMode::Drop);
        fs.set_capacity(None);
        let (_, history) = open(&fs).unwrap_or_else(|e| panic!("capacity {capacity}: {e}"));
        model.check(&history, &format!("capacity {capacity}"));
    }
    assert!(refused < 240, "{refused} runs were refused elsewhere than in the log");
}

#[test]
fn a_truncate_after_a_crash_within_a_reset_goes_back_to_the_snapshot_at_most() {
    for (seed, cut) in [
        (3_436_334_430, 1_857_711_241),
        (1_437_534_480, 1_595_977_499),
        (879_916_973, 1_448_184_048),
    ] {
        crash_at(seed, 120, cut % calls_of(seed, 120), CrashMode::Drop);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_runs_keep_what_was_synced(seed in any::<u32>(), cut in any::<u32>(), mode in 0..4_usize) {
        let calls = calls_of(seed.into(), 120);
        crash_at(seed.into(), 120, u64::from(cut) % calls, CrashMode::ALL[mode]);
    }
}
