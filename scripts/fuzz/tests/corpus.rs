//! Goal: whatever comes, no target panics, and none holds more memory than its input allows.
//! Method: every input that is kept, every seed, and thousands of inputs made from them. What the fuzzer
//! does for hours, these do for seconds; a number that fails is a seed.

use conclave_fuzz::{
    TARGETS, corpus,
    mutate::{Random, mutate},
};

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
        let mut inputs = corpus::kept(target);
        inputs.extend((target.seeds)());
        for seed in 0..MUTATIONS {
            let mut random = Random(seed);
            let input = inputs[random.below(inputs.len())].clone();
            let other = &inputs[random.below(inputs.len())];
            let input = mutate(input, other, &mut random);
            if std::panic::catch_unwind(|| (target.run)(&input)).is_err() {
                panic!("{} fails with the input of seed {seed}: {input:02x?}", target.name);
            }
        }
    }
    println!("{} inputs for each of {} targets", MUTATIONS, TARGETS.len());
}
