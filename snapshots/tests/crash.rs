//! Power cuts at every step, and calls that fail.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::{Model, Start, open, run};
use conclave_snapshots::{
    StorageError,
    fs::{CrashMode, Fault, FaultyFs},
};
use proptest::prelude::*;

#[test]
fn every_crash_point_of_a_run_keeps_what_was_synced() {
    for seed in [3, 5] {
        let start = Start::new(seed, 300);
        for call in 0..start.calls() {
            start.crash_at(call, &CrashMode::ALL);
        }
    }
}

#[test]
fn every_call_that_fails_once_loses_nothing() {
    let start = Start::new(11, 300);
    for call in 0..start.calls() {
        for fault in [Fault::Io, Fault::NoSpace] {
            start.fail_at(call, fault, &CrashMode::ALL);
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
        let (recovered, history) = open(&fs).unwrap_or_else(|e| panic!("capacity {capacity}: {e}"));
        model.check(&recovered, &history, &format!("capacity {capacity}"));
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
        let start = Start::new(seed, 120);
        start.crash_at(cut % start.calls(), &[CrashMode::Drop]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_runs_keep_what_was_synced(seed in any::<u32>(), cut in any::<u32>(), mode in 0..4_usize) {
        let start = Start::new(seed.into(), 120);
        start.crash_at(u64::from(cut) % start.calls(), &[CrashMode::ALL[mode]]);
    }
}
