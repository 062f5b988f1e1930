//! Goal: whatever fails, and when, every promise is kept. Method: whole members under seeds, each with
//! faults of its own kind; the checkers panic when a promise is broken. Many more seeds run outside of
//! `cargo test`, see README.md beside this folder.

use std::ops::Range;

use conclave_protocol::{code::ErrorCode, opcode::OpCode};
use conclave_sim::{CRASHES, FAULTS, Fault, Report, SERVICE, Scenario, WAYS, run};

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
    check_visited(&sum);
}

/// What is never asked for and never goes wrong is not tested: whoever adds an operation has to add it
/// to the workload.
fn check_visited(sum: &Report) {
    let visited = &sum.coverage;
    // A connection begins with the first of these; the others are a member's own.
    let unasked =
        [OpCode::CreateSession, OpCode::Error, OpCode::Notification, OpCode::DeleteContainer];
    for opcode in OpCode::ALL.into_iter().filter(|opcode| !unasked.contains(opcode)) {
        assert!(visited.answers(opcode) > 0, "{opcode:?} was never asked: {sum}");
    }
    for (opcode, error) in [
        (OpCode::Create, ErrorCode::NoAuth),
        (OpCode::Create, ErrorCode::InvalidAcl),
        (OpCode::Create, ErrorCode::QuotaExceeded),
        (OpCode::SetData, ErrorCode::QuotaExceeded),
        (OpCode::SetData, ErrorCode::NoAuth),
        (OpCode::SetAcl, ErrorCode::NoAuth),
        (OpCode::SetAcl, ErrorCode::BadVersion),
        (OpCode::Delete, ErrorCode::NoAuth),
        (OpCode::GetData, ErrorCode::NoAuth),
        (OpCode::Create, ErrorCode::NotReadOnly),
        (OpCode::Sync, ErrorCode::NotReadOnly),
        (OpCode::Create, ErrorCode::EphemeralOnLocalSession),
    ] {
        assert!(visited.outcome(opcode, error) > 0, "{opcode:?} never met {error:?}: {sum}");
    }
    for way in ["SNAP", "DIFF", "TRUNC"] {
        assert!(visited.of(WAYS, way) > 0, "nobody was sent {way}: {sum}");
    }
    assert_eq!(visited.kinds(FAULTS), Fault::ALL.len(), "{sum}");
    assert!(visited.kinds(SERVICE) == 3 && visited.kinds(CRASHES) >= 6, "{sum}");
}

#[test]
fn a_leader_whose_disk_is_slow_or_hangs_is_replaced_and_writes_go_on() {
    let sum = run_all(500..510, |scenario| {
        scenario.faults = [Fault::GrayDisk].into();
        scenario.voters = scenario.voters.max(3);
        scenario.duration_ms = 10_000;
    });
    assert_eq!(sum.gray_disks, 10, "{sum}");
}

#[test]
fn a_leader_that_does_not_know_that_it_is_one_no_more_says_nothing_from_its_past() {
    let sum = run_all(600..606, |scenario| {
        scenario.faults = [Fault::HalfOpen].into();
        (scenario.voters, scenario.readers) = (3, 1);
    });
    assert!(sum.reigns > 20, "{sum}");
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

/// Seed 27: a member that served reads only installed a snapshot under its clients, whose watches were
/// told nothing of what had changed between.
#[test]
fn no_snapshot_is_put_under_those_who_are_served_reads() {
    run_all(27..28, |_| ());
    let sum = run_all(700..706, |scenario| {
        scenario.faults = [Fault::Kill, Fault::Isolation, Fault::Replace].into();
        (scenario.voters, scenario.observers) = (3, 1);
        (scenario.has_read_only, scenario.window_entries) = (true, 8);
    });
    assert!(sum.installed > 0 && sum.coverage.of(SERVICE, "reads only") > 0, "{sum}");
}

#[test]
fn the_same_scenario_gives_the_same_run() {
    for seed in 400..406 {
        let scenario = Scenario::draw(seed);
        let (once, again) = (run(&scenario), run(&scenario));
        println!("seed {seed}: trace {:016x}", once.trace);
        assert_eq!(once, again, "seed {seed}");
    }
}
