//! Every length of a log's segments and of a snapshot.

use crate::{common::Random, subject::Subject};

fn cut_some(mut subject: Subject, name: &str) {
    let mut count = 0;
    for index in 0..subject.files.len() {
        let file = &subject.files[index];
        let mut random = Random(index as u64);
        let mut lens: Vec<usize> = (0..200).collect();
        let last = file.starts.len() - 1;
        for start in [1, 2, last / 2, last - 1, last].map(|index| file.starts[index.min(last)]) {
            lens.extend(start - 3..start + 4);
        }
        lens.extend((0..150).map(|_| random.below(file.bytes.len() as u64) as usize));
        lens.retain(|&len| len < file.bytes.len());
        lens.sort_unstable();
        lens.dedup();
        count += subject.try_cuts(index, lens.into_iter().rev());
    }
    println!("  truncations of {name}: {count}");
}

fn cut_all(mut subject: Subject, name: &str) {
    let mut count = 0;
    for index in 0..subject.files.len() {
        let len = subject.files[index].bytes.len();
        count += subject.try_cuts(index, (0..len).rev());
    }
    println!("  truncations of {name}: {count}");
}

#[test]
fn a_large_log_that_is_cut_is_reported() {
    cut_some(Subject::log(), "a log");
}

#[test]
fn a_large_snapshot_that_is_cut_is_reported() {
    cut_some(Subject::snapshot(), "a snapshot");
}

#[test]
#[ignore = "minutes: every length of a log"]
fn every_length_of_a_large_log_is_reported() {
    cut_all(Subject::log(), "a log");
}

#[test]
#[ignore = "minutes: every length of a snapshot"]
fn every_length_of_a_large_snapshot_is_reported() {
    cut_all(Subject::snapshot(), "a snapshot");
}
