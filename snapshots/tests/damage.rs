//! Every flipped bit and every cut: what is acked is served as it was, or refused, never otherwise.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::{DATA, EPOCHS, LOG, OPTIONS, entries_behind, open, open_aside, snapshot};
use conclave_protocol::{
    peer::zab::Standing,
    txn::Entry,
    zxid::{Epoch, Zxid},
};
use conclave_snapshots::{
    epochs,
    fs::{CrashMode, FaultyFs, File, Fs},
    recover::{NoLog, RecoverError, recover_or_set_aside},
};

/// Writes two segments, two snapshots in the first, and stops cleanly.
fn disk() -> (FaultyFs, Vec<Entry>) {
    let fs = FaultyFs::new(1);
    let mut log = open(&fs).unwrap().0.log;
    epochs::write(&fs, DATA, EPOCHS).unwrap();
    let history = entries_behind(Zxid::ZERO, 30);
    for (index, batch) in history.chunks(3).enumerate() {
        log.append(batch).unwrap();
        log.sync().unwrap();
        if index == 2 || index == 4 {
            snapshot(&fs, DATA, &history[..3 * (index + 1)]).unwrap();
        }
        if index == 5 {
            log.roll().unwrap();
        }
    }
    fs.crash(CrashMode::Keep);
    (fs, history)
}

fn files(fs: &FaultyFs) -> Vec<(&'static str, String)> {
    let mut files = Vec::new();
    for dir in [DATA, LOG] {
        files.extend(fs.list(dir).unwrap().into_iter().map(|name| (dir, name)));
    }
    files
}

/// Returns whether the damage was noticed as such, after the checks that hold in any case.
fn check(fs: &FaultyFs, history: &[Entry], context: &str) -> bool {
    match open(fs) {
        Ok((_, found)) => {
            assert_eq!(found, history, "{context}");
            false
        }
        Err(error @ (RecoverError::Damaged(_) | RecoverError::NoLog { .. })) => {
            let (recovered, found) = open_aside(fs);
            assert!(found.len() <= history.len() && found == history[..found.len()], "{context}");
            assert!(!recovered.notes.is_empty(), "{context}: {error}");
            let standing = epochs::read(fs, DATA).unwrap().unwrap().standing;
            assert_eq!(standing, Standing::Repairing, "{context}");
            drop(recovered);
            // It stays so, and stays readable.
            let again = open(fs).unwrap_or_else(|e| panic!("{context}: {e}")).1;
            assert_eq!(again, found, "{context}");
            true
        }
        Err(error) => panic!("{context}: {error}"),
    }
}

#[test]
fn every_flipped_bit_of_every_file_is_refused_or_does_not_matter() {
    let (fs, history) = disk();
    for (dir, name) in files(&fs) {
        let path = format!("{dir}/{name}");
        let len = fs.contents(&path).unwrap().len() as u64;
        let mut noticed = 0;
        for bit in 0..len * 8 {
            let fs = fs.copy(bit);
            fs.flip(&path, bit / 8, (bit % 8) as u8);
            noticed += u64::from(check(&fs, &history, &format!("{path}, bit {bit}")));
        }
        if name == "epochs" || name == "log.100000013" {
            assert!(noticed > 0, "{path}: {noticed} of {} noticed", len * 8);
        }
    }
}

#[test]
fn every_flipped_bit_is_noticed_where_only_one_file_has_the_entries() {
    let (fs, history) = disk();
    let path = "log/log.100000013";
    let bytes = fs.contents(path).unwrap();
    let end = bytes.iter().rposition(|&byte| byte != 0).unwrap() as u64 + 1;
    for bit in 0..end * 8 {
        let fs = fs.copy(bit);
        fs.flip(path, bit / 8, (bit % 8) as u8);
        assert!(check(&fs, &history, &format!("bit {bit}")), "bit {bit} of {path} went unnoticed");
    }
}

#[test]
fn without_the_record_of_what_was_synced_only_the_last_batch_may_pass_for_torn() {
    let (fs, history) = disk();
    fs.remove("data/synced").unwrap();
    let path = "log/log.100000013";
    let len = fs.contents(path).unwrap().len() as u64;
    for bit in 0..len * 8 {
        let fs = fs.copy(bit);
        fs.flip(path, bit / 8, (bit % 8) as u8);
        match open(&fs) {
            Ok((_, found)) => assert!(found.len() >= history.len() - 3, "bit {bit}"),
            Err(RecoverError::Damaged(_)) => {}
            Err(error) => panic!("bit {bit}: {error}"),
        }
    }
}

#[test]
fn every_cut_of_every_file_is_refused_or_does_not_matter() {
    let (fs, history) = disk();
    for (dir, name) in files(&fs) {
        let path = format!("{dir}/{name}");
        let bytes = fs.contents(&path).unwrap();
        for len in 0..bytes.len() {
            let fs = fs.copy(len as u64);
            fs.set_contents(&path, &bytes[..len]);
            check(&fs, &history, &format!("{path} cut to {len}"));
        }
    }
}

#[test]
fn every_missing_file_is_refused_or_does_not_matter() {
    let (fs, history) = disk();
    for (dir, name) in files(&fs) {
        let fs = fs.copy(1);
        let path = format!("{dir}/{name}");
        fs.remove(&path).unwrap();
        let noticed = check(&fs, &history, &path);
        assert_eq!(noticed, name == "epochs" || dir == LOG, "{path}");
    }
}

#[test]
fn an_empty_log_folder_beside_snapshots_is_not_taken_for_the_whole() {
    let (fs, history) = disk();
    for (dir, name) in files(&fs).into_iter().filter(|(dir, _)| *dir == LOG) {
        fs.remove(&format!("{dir}/{name}")).unwrap();
    }
    let refused = open(&fs).map(|_| ()).unwrap_err();
    assert!(matches!(refused, RecoverError::NoLog { .. }), "{refused}");
    // Nothing was changed: with the right folder everything would be there.
    let standing = epochs::read(&fs, DATA).unwrap().unwrap().standing;
    assert_eq!(standing, Standing::Whole);
    assert!(check(&fs, &history, "no log"));
}

#[test]
fn snapshots_that_are_gone_are_not_taken_for_an_empty_tree() {
    let (fs, history) = disk();
    for name in fs.list(DATA).unwrap() {
        if name.starts_with("snapshot") {
            fs.remove(&format!("{DATA}/{name}")).unwrap();
        }
    }
    // The log has everything: nothing is lost.
    assert_eq!(open(&fs).unwrap().1, history);
    fs.remove("log/log.100000001").unwrap();
    assert!(check(&fs, &history, "no snapshot and a log that begins later"));
}

#[test]
fn a_bad_newest_snapshot_gives_way_to_the_one_before() {
    let (fs, history) = disk();
    fs.flip("data/snapshot.10000000f", 60, 3);
    let (recovered, found) = open(&fs).unwrap();
    assert_eq!(recovered.snapshot, Some(history[8].zxid));
    assert_eq!(found, history);
    assert!(recovered.notes[0].contains("snapshot.10000000f"), "{:?}", recovered.notes);
    assert!(fs.exists("data/damaged.1/snapshot.10000000f").unwrap());
    assert!(!fs.exists("data/snapshot.10000000f").unwrap());
}

#[test]
fn what_is_set_aside_is_kept_byte_for_byte_and_the_good_prefix_stays() {
    let (fs, history) = disk();
    let path = "log/log.100000013";
    fs.flip(path, 400, 0);
    let bad = fs.contents(path).unwrap();
    let Err(RecoverError::Damaged(damage)) = open(&fs) else { panic!("the flip went unnoticed") };
    assert_eq!(damage.file, path);
    assert!((24..=400).contains(&damage.offset), "{damage}");
    let (recovered, found) = open_aside(&fs);
    assert_eq!(fs.contents("log/damaged.1/log.100000013").unwrap(), bad);
    assert!(found.len() > 18 && found.len() < 30 && found == history[..found.len()]);
    assert_eq!(recovered.log.last_zxid(), found.last().unwrap().zxid);
}

#[test]
fn a_newest_segment_whose_header_was_not_finished_is_a_torn_creation() {
    for bytes in [&b""[..], &[0; 24], b"CNCLV", b"CNCLVLOG\0\0\0\x01\0\0"] {
        let (fs, history) = disk();
        // The one before it was sealed, which always comes first.
        drop(open(&fs).unwrap());
        fs.set_contents("log/log.10000001f", bytes);
        let (recovered, found) = open(&fs).unwrap();
        assert_eq!(found, history);
        assert_eq!(recovered.notes.len(), 1, "{:?}", recovered.notes);
        assert!(!fs.exists("log/log.10000001f").unwrap());
    }
}

#[test]
fn a_newest_segment_that_is_nothing_we_wrote_is_set_aside_and_not_removed() {
    for bytes in [&[0; 700][..], b"somebody's letters", b"CNCLVLOGs", &[7; 5000]] {
        let (fs, history) = disk();
        drop(open(&fs).unwrap());
        fs.set_contents("log/log.10000001f", bytes);
        let Err(RecoverError::Damaged(damage)) = open(&fs) else { panic!("{bytes:?} is a log") };
        assert_eq!((damage.file.as_str(), damage.offset), ("log/log.10000001f", 0));
        assert_eq!(open_aside(&fs).1, history);
        assert_eq!(fs.contents("log/damaged.1/log.10000001f").unwrap(), bytes);
    }
}

#[test]
fn a_later_format_is_refused_and_not_set_aside() {
    let (fs, _) = disk();
    let path = "log/log.100000013";
    let mut bytes = fs.contents(path).unwrap();
    bytes[11] = 2;
    let checksum = crc32fast::hash(&bytes[..20]).to_be_bytes();
    bytes[20..24].copy_from_slice(&checksum);
    fs.set_contents(path, &bytes);
    let error = open(&fs).unwrap_err();
    assert!(error.to_string().contains("format version 2"), "{error}");
    assert!(matches!(error, RecoverError::Storage(_)));
}

#[test]
fn a_crash_while_setting_aside_never_makes_a_whole_member_of_it() {
    for mode in CrashMode::ALL {
        for call in 0..60 {
            let (fs, history) = disk();
            fs.flip("log/log.100000001", 300, 0);
            fs.flip("log/log.100000013", 400, 0);
            fs.flip("data/snapshot.10000000f", 60, 0);
            fs.flip("data/snapshot.100000009", 60, 0);
            let start = fs.call_count();
            fs.power_off_at(start + call);
            let mut sink = common::Sink::default();
            drop(recover_or_set_aside(&fs, DATA, LOG, OPTIONS, NoLog::Lost, &mut sink));
            fs.crash(mode);
            let (_, found) = open_aside(&fs);
            assert!(found == history[..found.len()], "call {call}, {mode:?}");
            let standing = epochs::read(&fs, DATA).unwrap().unwrap().standing;
            assert_eq!(standing, Standing::Repairing, "call {call}, {mode:?}");
        }
    }
}

#[test]
fn a_log_that_begins_with_a_new_epoch_does_not_make_up_for_the_snapshot_before_it() {
    let fs = FaultyFs::new(1);
    let mut log = open(&fs).unwrap().0.log;
    epochs::write(&fs, DATA, EPOCHS).unwrap();
    let history = entries_behind(Zxid::ZERO, 3);
    let fetched = snapshot(&fs, DATA, &history).unwrap();
    log.reset(fetched).unwrap();
    let path = format!("{DATA}/snapshot.{fetched}");
    let bad = fs.copy(2);
    bad.flip(&path, 40, 0);
    let Err(RecoverError::Damaged(damage)) = open(&bad) else { panic!("this can be repaired") };
    assert_eq!(damage.file, path);

    let next = Zxid::new(Epoch(2), 1);
    log.append(&[Entry { zxid: next, txn: history[0].txn.clone() }]).unwrap();
    log.sync().unwrap();
    assert_eq!(open(&fs).unwrap().0.log.last_zxid(), next);

    fs.flip(&path, 40, 0);
    let Err(RecoverError::Damaged(damage)) = open(&fs) else { panic!("a hole is taken for a log") };
    assert_eq!(damage.file, path);
}

#[test]
fn data_of_zookeepers_own_is_named_and_not_touched() {
    let places = [
        (b"ZKLG", format!("{LOG}/log.1")),
        (b"ZKSN", format!("{DATA}/snapshot.0")),
        (b"ZKLG", format!("{LOG}/version-2/log.1")),
        (b"ZKSN", format!("{DATA}/version-2/snapshot.0")),
    ];
    for (magic, path) in places {
        let fs = FaultyFs::new(1);
        for dir in [DATA, LOG, &path[..path.rfind('/').unwrap()]] {
            fs.create_dir_all(dir).unwrap();
        }
        fs.create(&path).unwrap().write_at(0, magic).unwrap();
        let before = files(&fs);
        let mut sink = common::Sink::default();
        let found = recover_or_set_aside(&fs, DATA, LOG, OPTIONS, NoLog::Lost, &mut sink);
        let error = found.unwrap_err();
        let RecoverError::Foreign { path: named } = &error else { panic!("{path}: {error}") };
        assert!(path.starts_with(named.as_str()), "{path}: {error}");
        assert_eq!(files(&fs), before, "{path}");
        assert_eq!(fs.contents(&path).unwrap(), magic, "{path}");
    }
}

#[test]
fn a_folder_of_zookeepers_beside_data_of_ours_is_passed_over() {
    let (fs, history) = disk();
    let dir = format!("{DATA}/version-2");
    fs.create_dir_all(&dir).unwrap();
    fs.create(&format!("{dir}/log.1")).unwrap().write_at(0, b"ZKLG").unwrap();
    assert_eq!(open(&fs).unwrap().1, history);
}
