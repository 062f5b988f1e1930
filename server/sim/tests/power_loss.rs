//! Goal: whatever dies, and when, no acknowledged write is lost and no multi is there by half.
//! Method: whole members on faulty disks under seeds; the checks look at the trees and at what the
//! clients were told, and know nothing of how the members work.

use conclave_sim::{Fault, Report, Scenario, run};

fn scenario(seed: u64, faults: &[Fault]) -> Scenario {
    Scenario { seed, members: 3, steps: 6000, faults: faults.to_vec(), faults_per_mille: 3 }
}

fn run_all(seeds: std::ops::Range<u64>, faults: &[Fault]) -> Report {
    let mut sum = Report::default();
    for seed in seeds {
        println!("seed {seed}");
        let report = run(&scenario(seed, faults));
        sum.acknowledged += report.acknowledged;
        sum.unknown += report.unknown;
        sum.kept += report.kept;
        sum.faults += report.faults;
        sum.installed += report.installed;
    }
    println!("{sum:?}");
    sum
}

#[test]
fn loss_of_power_of_all_members_loses_no_acknowledged_write() {
    let sum = run_all(0..150, &[Fault::PowerLoss]);
    // Otherwise nothing was put to the test.
    assert!(sum.acknowledged > 1000 && sum.unknown > 100 && sum.faults > 500, "{sum:?}");
}

#[test]
fn killed_members_and_broken_links_lose_no_acknowledged_write() {
    let sum = run_all(1000..1150, &[Fault::Kill, Fault::Cut, Fault::Cut]);
    assert!(sum.acknowledged > 1000 && sum.unknown > 100 && sum.installed > 10, "{sum:?}");
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in 0..10 {
        let scenario = scenario(seed, &[Fault::Kill, Fault::Cut, Fault::PowerLoss]);
        assert_eq!(run(&scenario), run(&scenario), "seed {seed}");
    }
}
