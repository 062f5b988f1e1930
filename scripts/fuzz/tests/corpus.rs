//! Goal: whatever comes, no target panics, and none holds more memory than its input allows.
//! Method: every input that is kept, every seed, and thousands of inputs made from them. What the fuzzer
//! does for hours, these do for seconds; a number that fails is a seed.

use conclave_fuzz::{TARGETS, corpus};

/// Inputs made for each target.
const MUTATIONS: u64 = 4000;

#[test]
fn every_target_stands_what_is_kept_for_it_and_what_it_begins_with() {
    for target in TARGETS {
        let seeds = (target.seeds)();
        assert!(!seeds.is_empty(), "{} begins with something", target.name);
        let kept = corpus::kept(target);
        for input in seeds.iter().chain(&kept) {
            (target.run)(input);
        }
        println!("{}: {} seeds, {} kept", target.name, seeds.len(), kept.len());
    }
}

#[test]
fn every_target_stands_thousands_of_changed_inputs() {
    for target in TARGETS {
        target.storm(0..MUTATIONS);
    }
    println!("{} inputs for each of {} targets", MUTATIONS, TARGETS.len());
}
