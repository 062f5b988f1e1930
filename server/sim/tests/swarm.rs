//! Goal: whatever fails, and when, every promise is kept. Method: whole members under seeds, each with
//! faults of its own kind; the checkers panic when a promise is broken. Many more seeds run outside of
//! `cargo test`, see README.md beside this folder.

use std::ops::Range;

use conclave_sim::{Fault, Report, Scenario, run};

fn run_all(seeds: Range<u64>, change: impl Fn(&mut Scenario)) -> Report {
    let mut sum = Report::default();
    for seed in seeds {
        let mut scenario = Scenario::draw(seed);
        change(&mut scenario);
        println!("seed {seed}");
        sum.add(&run(&scenario));
    }
    println!("{sum}");
    sum
}

#[test]
fn all_promises_are_kept() {
    let sum = run_all(0..24, |_| ());
    // Otherwise nothing was put to the test.
    assert!(sum.faults > 500 && sum.restarts > 100 && sum.reigns > 50, "{sum}");
    assert!(sum.installed > 20 && sum.expired > 0 && sum.watch_events > 5000, "{sum}");
}

#[test]
fn loss_of_power_of_all_members_loses_nothing_acknowledged() {
    let sum = run_all(100..108, |scenario| scenario.faults = [Fault::Blackout].into());
    assert!(sum.restarts > 50, "{sum}");
}

#[test]
fn disks_that_lie_are_never_believed() {
    let faults = [Fault::BitRot, Fault::CrashPoint, Fault::DiskError, Fault::FullDisk];
    let sum = run_all(200..208, |scenario| scenario.faults = faults.into());
    assert!(sum.restarts > 50 && sum.installed > 0, "{sum}");
}

#[test]
fn without_faults_no_session_ends_and_nobody_stops_leading() {
    let sum = run_all(300..306, |scenario| *scenario = Scenario::calm(scenario.seed, 60_000));
    assert_eq!((sum.expired, sum.reigns, sum.restarts), (0, 6, 0), "{sum}");
}

#[test]
fn the_same_scenario_gives_the_same_run() {
    for seed in 400..406 {
        let scenario = Scenario::draw(seed);
        assert_eq!(run(&scenario), run(&scenario), "seed {seed}");
    }
}
