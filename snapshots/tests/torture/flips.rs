//! Every byte flipped: one of its bits, and all of them.

use conclave_snapshots::recover::RecoverError;

use crate::{
    common::{Random, open},
    subject::{HEADER_LEN, LAST_BATCH_COUNT, Subject, SubjectFile},
};

/// One byte in so many is set aside as well, when all are flipped.
const ASIDE_STEP: usize = 97;

/// Bytes of a frame and of what a log's record begins with.
const RECORD_HEAD_LEN: usize = 24;

/// Returns the bytes at every kind of boundary, and `count` others.
fn sample(file: &SubjectFile, count: u64) -> Vec<usize> {
    let starts = &file.starts;
    let picked = [0, starts.len() / 2, starts.len() - 2];
    let mut bytes: Vec<usize> = (0..HEADER_LEN).collect();
    for start in picked.into_iter().filter_map(|index| starts.get(index)) {
        bytes.extend(start - 2..start + RECORD_HEAD_LEN);
    }
    bytes.extend(file.end() - 2..file.end() + 4);
    let mut random = Random(count);
    bytes.extend((0..count).map(|_| random.below(file.bytes.len() as u64) as usize));
    bytes.retain(|&byte| byte < file.bytes.len());
    bytes
}

/// Flips each of `bytes` twice; returns how often.
fn flip(subject: &mut Subject, index: usize, bytes: impl Iterator<Item = usize>) -> u64 {
    let mut count = 0;
    for byte in bytes {
        let old = subject.files[index].bytes[byte];
        for new in [old ^ 1 << (byte % 8), !old] {
            subject.try_bytes(index, byte, &[new]);
            count += 1;
        }
    }
    count
}

/// Flips the bytes that `choose` names of each file, and lets every `aside_step`th be set aside as well.
/// `subject` makes the disk for a file: what is not read before it takes no time.
fn flip_each(
    name: &str,
    subject: impl Fn(usize) -> Subject,
    choose: impl Fn(&SubjectFile) -> Vec<usize>,
    aside_step: usize,
) {
    let (mut count, mut aside) = (0, 0);
    for index in 0..subject(0).files.len() {
        let mut subject = subject(index);
        let bytes = choose(&subject.files[index]);
        for &byte in bytes.iter().step_by(aside_step) {
            subject.judge_aside(index, byte, &[!subject.files[index].bytes[byte]]);
            aside += 1;
        }
        count += flip(&mut subject, index, bytes.into_iter());
    }
    println!("  flips in {name}: {count}");
    println!("  damages in {name} set aside: {aside}");
}

fn all(file: &SubjectFile) -> Vec<usize> {
    (0..file.bytes.len()).collect()
}

/// Flips bytes of the last segment while nothing but the records tell what was synced.
fn flip_without_synced(step: usize) {
    let subject = Subject::last_segment_without_synced();
    let (file, last_batch) = (subject.files.last().unwrap(), subject.last_batch());
    let kept = subject.history.len() - LAST_BATCH_COUNT;
    let mut fs = subject.pristine();
    let mut torn = 0;
    for byte in (0..last_batch.start).chain(last_batch.clone()).step_by(step) {
        fs.flip(&file.path, byte as u64, (byte % 8) as u8);
        match open(&fs) {
            Err(RecoverError::Damaged(damage)) => {
                assert_eq!(damage.file, file.path, "byte {byte}");
                assert!(!last_batch.contains(&byte), "byte {byte}: {damage}");
                fs.flip(&file.path, byte as u64, (byte % 8) as u8);
            }
            Ok((_, found)) => {
                assert!(last_batch.contains(&byte), "byte {byte} passes for torn");
                assert!(found.len() >= kept && found == subject.history[..found.len()]);
                torn += 1;
                fs = subject.pristine();
            }
            Err(error) => panic!("byte {byte}: {error}"),
        }
    }
    println!("  flips in the last batch that pass for torn: {torn}");
}

/// Flips two bytes at once, anywhere in a file.
fn flip_pairs(mut subject: Subject, name: &str, count: u64) {
    let mut random = Random(count);
    for _ in 0..count {
        let index = random.below(subject.files.len() as u64) as usize;
        let len = subject.files[index].end() as u64;
        let mut pair = [random.below(len) as usize, random.below(len) as usize];
        if random.below(2) == 0 {
            // Near each other, so in the same record as a rule.
            pair[1] = (pair[0] + 1 + random.below(40) as usize).min(len as usize - 1);
        }
        pair.sort_unstable();
        let mut new = subject.files[index].bytes[pair[0]..=pair[1]].to_vec();
        let last = new.len() - 1;
        new[0] ^= 1 << random.below(8);
        if last > 0 {
            new[last] ^= 1 << random.below(8);
        }
        assert!(subject.try_bytes(index, pair[0], &new), "{pair:?} went unnoticed");
    }
    println!("  pairs of flips in {name}: {count}");
}

#[test]
fn flipped_bytes_of_a_large_log_are_reported_where_they_are() {
    flip_each("a log", Subject::log_from, |file| sample(file, 10), 29);
}

#[test]
fn flipped_bytes_of_a_large_snapshot_are_reported_where_they_are() {
    flip_each("a snapshot", |_| Subject::snapshot(), |file| sample(file, 200), 29);
}

#[test]
fn flipped_bytes_pass_for_torn_in_the_last_batch_alone() {
    flip_without_synced(700);
}

#[test]
fn two_flips_are_no_better_than_one() {
    flip_pairs(Subject::log(), "a log", 200);
    flip_pairs(Subject::snapshot(), "a snapshot", 100);
}

#[test]
#[ignore = "minutes: every byte of a log"]
fn every_flipped_byte_of_a_large_log_is_reported_where_it_is() {
    flip_each("a log", Subject::log_from, all, ASIDE_STEP);
}

#[test]
#[ignore = "minutes: every byte of a snapshot"]
fn every_flipped_byte_of_a_large_snapshot_is_reported_where_it_is() {
    flip_each("a snapshot", |_| Subject::snapshot(), all, ASIDE_STEP);
}

#[test]
#[ignore = "minutes: every byte of a segment"]
fn every_flipped_byte_passes_for_torn_in_the_last_batch_alone() {
    flip_without_synced(1);
}

#[test]
#[ignore = "a minute: many pairs"]
fn many_pairs_of_flips_are_no_better_than_one() {
    flip_pairs(Subject::log(), "a log", 50_000);
    flip_pairs(Subject::snapshot(), "a snapshot", 50_000);
}
