//! Feeds targets with inputs made from their corpora, under a seed: `storm COUNT SEED [TARGET...]`. It
//! looks at no coverage and needs no special compiler, so it is many times faster than a fuzzer.
#![expect(clippy::disallowed_methods, reason = "a program reads its arguments")]

use std::process::ExitCode;

use conclave_fuzz::{TARGETS, Target};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [count, seed, names @ ..] = &arguments[..] else { return usage() };
    let (Ok(count), Ok(seed)) = (count.parse::<u64>(), seed.parse::<u64>()) else { return usage() };
    if names.iter().any(|name| !TARGETS.iter().any(|target| target.name == name)) {
        return usage();
    }
    let is_asked = |target: &&Target| names.is_empty() || names.iter().any(|it| it == target.name);
    let mut total = 0;
    for target in TARGETS.iter().filter(is_asked) {
        target.storm(seed..seed + count);
        total += count;
        println!("{:16} {count:12}", target.name);
    }
    println!("{:16} {total:12}", "total");
    ExitCode::SUCCESS
}

fn usage() -> ExitCode {
    eprintln!("usage: storm COUNT SEED [TARGET...]");
    ExitCode::FAILURE
}
