//! Every length of a log's segments and of a snapshot.

use crate::{
    common::Random,
    subject::{Subject, SubjectFile},
};

/// Cuts each file to the lengths that `choose` names. `subject` makes the disk for a file.
fn cut_each(
    name: &str,
    subject: impl Fn(usize) -> Subject,
    choose: impl Fn(&SubjectFile) -> Vec<usize>,
) {
    let mut count = 0;
    for index in 0..subject(0).files.len() {
        let mut subject = subject(index);
        let lens = choose(&subject.files[index]);
        count += subject.try_cuts(index, lens.into_iter().rev());
    }
    println!("  truncations of {name}: {count}");
}

fn all(file: &SubjectFile) -> Vec<usize> {
    (0..file.bytes.len()).collect()
}

/// Returns the lengths about every kind of boundary, and some others.
fn sample(file: &SubjectFile) -> Vec<usize> {
    let mut random = Random(1);
    let mut lens: Vec<usize> = (0..90).collect();
    let last = file.starts.len() - 1;
    for start in [1, last / 2, last - 1, last].map(|index| file.starts[index]) {
        lens.extend(start - 3..start + 4);
    }
    lens.extend((0..20).map(|_| random.below(file.bytes.len() as u64) as usize));
    lens.retain(|&len| len < file.bytes.len());
    lens.sort_unstable();
    lens.dedup();
    lens
}

#[test]
fn a_large_log_that_is_cut_is_reported() {
    cut_each("a log", Subject::log_from, sample);
}

#[test]
fn a_large_snapshot_that_is_cut_is_reported() {
    cut_each("a snapshot", |_| Subject::snapshot(), sample);
}

#[test]
#[ignore = "minutes: every length of a log"]
fn every_length_of_a_large_log_is_reported() {
    cut_each("a log", Subject::log_from, all);
}

#[test]
#[ignore = "minutes: every length of a snapshot"]
fn every_length_of_a_large_snapshot_is_reported() {
    cut_each("a snapshot", |_| Subject::snapshot(), all);
}
