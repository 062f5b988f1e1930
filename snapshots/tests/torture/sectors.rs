//! Sectors that are zeros, ones, elsewhere, twice there, or of another file.

use crate::{common::open, subject::Subject};

const SECTOR_LENS: [usize; 2] = [512, 4096];

/// Damages every `step`th sector in every way; returns how many damages were reported, and how many
/// there were.
fn damage(subject: &mut Subject, step: usize) -> (u64, u64) {
    let (mut reported, mut count) = (0, 0);
    for sector_len in SECTOR_LENS {
        for index in 0..subject.files.len() {
            let bytes = subject.files[index].bytes.clone();
            let stale = subject.files[(index + 1) % subject.files.len()].bytes.clone();
            let sectors = bytes.len() / sector_len;
            for sector in (0..sectors).step_by(step).chain([1, sectors - 2, sectors - 1]) {
                let at = sector * sector_len;
                let other = (sector * 7 + 3) % sectors * sector_len;
                let of = |from: &[u8], at: usize| from[at..at + sector_len].to_vec();
                let mut changes = vec![
                    (at, vec![0; sector_len]),
                    (at, vec![0xff; sector_len]),
                    // There twice.
                    (at, of(&bytes, other)),
                ];
                if stale.len() >= at + sector_len {
                    changes.push((at, of(&stale, at)));
                }
                if let Some(next) = bytes.get(at + sector_len..at + 2 * sector_len) {
                    changes.push((at, [next, &bytes[at..at + sector_len]].concat()));
                }
                for (at, new) in changes {
                    reported += u64::from(subject.try_bytes(index, at, &new));
                    count += 1;
                }
            }
        }
    }
    (reported, count)
}

fn damage_both(step: usize) {
    for (mut subject, name) in [(Subject::log(), "a log"), (Subject::snapshot(), "a snapshot")] {
        let (reported, count) = damage(&mut subject, step);
        // All others are in what is reserved and not written, or change nothing.
        assert!(reported > count / 2, "{reported} of {count} reported");
        println!("  damaged sectors of {name}: {count}");
    }
}

#[test]
fn damaged_sectors_are_reported_where_they_are() {
    damage_both(60);
}

#[test]
#[ignore = "a minute: every sector"]
fn every_damaged_sector_is_reported_where_it_is() {
    damage_both(1);
}

#[test]
fn what_an_older_segment_held_is_no_record_behind_the_end() {
    let subject = Subject::log();
    let file = subject.files.last().unwrap();
    for older in &subject.files[..subject.files.len() - 1] {
        // At its own offset, and right where the next record would begin.
        for from in [file.end(), older.starts[1], older.starts[older.starts.len() / 2]] {
            let fs = subject.pristine();
            fs.alter(&file.path, |bytes| {
                bytes.truncate(file.end());
                bytes.extend_from_slice(&older.bytes[from..]);
            });
            let (recovered, found) = open(&fs).unwrap();
            assert!(found == subject.history, "{} from {from}", older.path);
            assert!(recovered.notes[0].contains("torn end"), "{:?}", recovered.notes);
        }
    }
}
