//! The log, the snapshots and the transfer as their users see them, on the real disk too.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use bytes::Bytes;
use common::{DATA, EPOCHS, LOG, OPTIONS, Sink, entries_behind, open, snapshot};
use conclave_protocol::{
    acl::Acl,
    ids::{Password, ServerId, SessionId},
    txn::Owner,
    zxid::{Epoch, Zxid},
};
use conclave_snapshots::{
    StorageError, epochs,
    fs::{CrashMode, Fault, FaultyFs, File, Fs, RealFs},
    image::{
        ImageReader, ImageReceiver, ImageRecord, ImageWriter, NodeRecord, SessionRecord, read_chunk,
    },
    log::LogOptions,
    owner::{self, OwnerError, Whose},
    recover::recover,
    retain::retain,
};

fn every_kind() -> Vec<ImageRecord> {
    let node = |number, owner, data| {
        ImageRecord::Node(NodeRecord {
            number,
            parent: 0,
            name: format!("name-{number}-\u{e9}"),
            data,
            acl: 1,
            owner,
            czxid: Zxid(0x1_0000_0001),
            mzxid: Zxid(0x1_0000_0002),
            pzxid: Zxid(0x1_0000_0003),
            ctime_ms: -1,
            mtime_ms: 1_700_000_000_000,
            version: 3,
            aversion: 4,
            created: 5,
        })
    };
    vec![
        ImageRecord::Session(SessionRecord {
            id: SessionId(0x0100_0000_0000_0007),
            timeout_ms: 10_000,
            password: Password([7; 16]),
            owner: ServerId(2),
        }),
        ImageRecord::Acl { number: 1, list: vec![Acl::open()] },
        node(1, Owner::Persistent, None),
        node(2, Owner::Ephemeral(SessionId(9)), Some(Bytes::new())),
        node(3, Owner::Container, Some(Bytes::from(vec![5; 200]))),
        node(4, Owner::Ttl(1000), Some(Bytes::from_static(b"data"))),
        ImageRecord::Txn(common::entry(Zxid(0x1_0000_0009), 0)),
    ]
}

/// Writes what the golden files hold.
fn write_golden(fs: &FaultyFs) {
    let options = LogOptions { segment_len_bytes: 1 << 20, preallocate_bytes: 1024 };
    let recovered = recover(fs, DATA, LOG, options, &mut Sink::default()).unwrap();
    epochs::write(fs, DATA, EPOCHS).unwrap();
    let mut log = recovered.log;
    for batch in entries_behind(Zxid::ZERO, 8).chunks(3) {
        log.append(batch).unwrap();
        log.sync().unwrap();
    }
    let mut writer = ImageWriter::create(fs, DATA, Zxid(0x1_0000_0008)).unwrap();
    for record in every_kind() {
        writer.put(&record).unwrap();
    }
    writer.finish(Zxid(0x1_0000_0009)).unwrap();
}

const GOLDEN: [(&str, &[u8]); 4] = [
    ("log/log.100000001", include_bytes!("../testdata/v1/log.100000001")),
    ("data/snapshot.100000009", include_bytes!("../testdata/v1/snapshot.100000009")),
    ("data/epochs", include_bytes!("../testdata/v1/epochs")),
    ("data/synced", include_bytes!("../testdata/v1/synced")),
];

#[test]
#[ignore = "writes the golden files; for a new version only"]
fn write_golden_files() {
    let fs = FaultyFs::new(0);
    write_golden(&fs);
    for (path, _) in GOLDEN {
        let name = path.rsplit('/').next().unwrap();
        let target = format!("{}/testdata/v1/{name}", env!("CARGO_MANIFEST_DIR"));
        RealFs.create(&target).unwrap().write_at(0, &fs.contents(path).unwrap()).unwrap();
    }
}

#[test]
fn todays_writer_writes_the_golden_files() {
    let fs = FaultyFs::new(0);
    write_golden(&fs);
    for (path, bytes) in GOLDEN {
        assert_eq!(fs.contents(path).unwrap(), bytes, "{path}");
    }
}

#[test]
fn the_golden_files_load() {
    let fs = FaultyFs::new(0);
    for (path, bytes) in GOLDEN {
        fs.set_contents(path, bytes);
    }
    let mut records = Vec::new();
    let reader = ImageReader::open(&fs, DATA, Zxid(0x1_0000_0009)).unwrap();
    reader
        .for_each(|record| {
            records.push(record);
            Ok(())
        })
        .unwrap();
    assert_eq!(records, every_kind());
    assert_eq!(reader.start(), Zxid(0x1_0000_0008));
    assert_eq!(epochs::read(&fs, DATA).unwrap(), Some(EPOCHS));
    fs.remove("data/snapshot.100000009").unwrap();
    assert_eq!(open(&fs).unwrap().1, entries_behind(Zxid::ZERO, 8));
}

#[test]
fn a_sink_that_refuses_a_record_makes_the_snapshot_a_bad_one() {
    let fs = FaultyFs::new(0);
    write_golden(&fs);
    // The sink of these tests takes no sessions, and the log ends before the snapshot.
    let error = open(&fs).unwrap_err().to_string();
    assert!(error.contains("snapshot.100000009 is damaged at offset 24"), "{error}");
}

#[test]
fn the_real_disk_keeps_a_log_over_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let dir = format!("{}/a/b", dir.path().to_str().unwrap());
    let history = entries_behind(Zxid::ZERO, 100);
    for (round, part) in history.chunks(25).enumerate() {
        let mut sink = Sink::default();
        let mut recovered = recover(&RealFs, &dir, &dir, OPTIONS, &mut sink).unwrap();
        epochs::write(&RealFs, &dir, EPOCHS).unwrap();
        let found = sink.0.len() + recovered.entries.len();
        assert_eq!(found, round * 25);
        for batch in part.chunks(4) {
            recovered.log.append(batch).unwrap();
            recovered.log.sync().unwrap();
        }
        let read = recovered.log.read_from(history[0].zxid).unwrap();
        let read: Vec<_> = read.map(Result::unwrap).collect();
        assert_eq!(read, history[1..(round + 1) * 25]);
        snapshot(&RealFs, &dir, &history[..(round + 1) * 25]).unwrap();
        if round == 3 {
            recovered.log.truncate_after(history[90].zxid).unwrap();
            assert_eq!(recovered.log.last_zxid(), history[90].zxid);
        }
    }
}

#[test]
fn a_failed_sync_poisons_the_log_for_good() {
    let fs = FaultyFs::new(0);
    let mut log = open(&fs).unwrap().0.log;
    let batch = entries_behind(Zxid::ZERO, 2);
    log.append(&batch[..1]).unwrap();
    fs.fail_at(fs.call_count(), Fault::NoSpace);
    assert!(matches!(log.sync(), Err(StorageError::Io { .. })));
    assert!(matches!(log.sync(), Err(StorageError::Poisoned)));
    assert!(matches!(log.append(&batch[1..]), Err(StorageError::Poisoned)));
    assert!(matches!(log.roll(), Err(StorageError::Poisoned)));
}

#[test]
#[should_panic(expected = "does not follow")]
fn an_entry_that_leaves_a_gap_is_never_appended() {
    let mut log = open(&FaultyFs::new(0)).unwrap().0.log;
    log.append(&entries_behind(Zxid::new(Epoch(1), 1), 1)).unwrap();
}

#[test]
fn disk_use_is_bounded_by_what_the_kept_snapshots_need() {
    let fs = FaultyFs::new(0);
    let mut log = open(&fs).unwrap().0.log;
    epochs::write(&fs, DATA, EPOCHS).unwrap();
    let history = entries_behind(Zxid::ZERO, 200);
    for (index, batch) in history.chunks(10).enumerate() {
        log.append(batch).unwrap();
        log.sync().unwrap();
        log.roll().unwrap();
        snapshot(&fs, DATA, &history[..10 * (index + 1)]).unwrap();
        let oldest = retain(&fs, DATA, 3).unwrap();
        assert_eq!(oldest.is_some(), index >= 2);
        if let Some(oldest) = oldest {
            log.purge_before(oldest).unwrap();
        }
    }
    assert_eq!(log.segment_count(), 2);
    let snapshots = fs.list(DATA).unwrap().into_iter().filter(|n| n.starts_with("snapshot"));
    assert_eq!(snapshots.count(), 3);
    // Two of three may be ruined.
    fs.flip("data/snapshot.1000000c8", 50, 0);
    fs.flip("data/snapshot.1000000be", 50, 0);
    assert_eq!(open(&fs).unwrap().1, history);
}

#[test]
fn a_peer_is_not_believed() {
    let leader = FaultyFs::new(0);
    leader.create_dir_all(DATA).unwrap();
    let zxid = snapshot(&leader, DATA, &entries_behind(Zxid::ZERO, 50)).unwrap();
    let (len, whole) = read_chunk(&leader, DATA, zxid, 0, usize::MAX).unwrap();
    assert_eq!(len, whole.len() as u64);
    assert!(read_chunk(&leader, DATA, zxid, len, 10).is_err());

    let fs = FaultyFs::new(0);
    fs.create_dir_all(DATA).unwrap();
    for len in [0, 10, u64::MAX] {
        assert!(ImageReceiver::create(&fs, DATA, zxid, len).is_err(), "length {len}");
    }
    let receive = |zxid, bytes: &[u8]| {
        let mut receiver = ImageReceiver::create(&fs, DATA, zxid, bytes.len() as u64).unwrap();
        assert!(receiver.write_chunk(1, &bytes[1..]).is_err(), "a piece that is not the next");
        assert!(receiver.write_chunk(0, &[bytes, b"x"].concat()).is_err(), "a piece too long");
        receiver.write_chunk(0, bytes).unwrap();
        assert!(receiver.write_chunk(len, b"x").is_err(), "a piece behind the end");
        receiver.finish()
    };
    for byte in 0..whole.len() {
        let mut bad = whole.to_vec();
        bad[byte] ^= 0x10;
        assert!(receive(zxid, &bad).is_err(), "byte {byte}");
    }
    assert!(receive(Zxid(zxid.0 - 1), &whole).is_err(), "another snapshot than asked for");
    assert_eq!(fs.list(DATA).unwrap(), Vec::<String>::new(), "nothing is left of bad ones");
    assert_eq!(receive(zxid, &whole).unwrap().path, format!("{DATA}/snapshot.{zxid}"));
    assert!(ImageReader::open(&fs, DATA, zxid).unwrap().for_each(|_| Ok(())).is_ok());
}

#[test]
#[ignore = "a measurement: run with --release"]
fn a_million_znodes_load_at_disk_speed() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().to_str().unwrap();
    let ImageRecord::Node(mut node) = every_kind().remove(5) else { panic!("a znode") };
    let mut writer = ImageWriter::create(&RealFs, dir, Zxid(1)).unwrap();
    node.data = Some(Bytes::from(vec![1; 100]));
    for number in 0..1_000_000 {
        node.number = number;
        writer.put(&ImageRecord::Node(node.clone())).unwrap();
    }
    let info = writer.finish(Zxid(1)).unwrap();
    let mut count = 0;
    let reader = ImageReader::open(&RealFs, dir, Zxid(1)).unwrap();
    reader
        .for_each(|_| {
            count += 1;
            Ok(())
        })
        .unwrap();
    assert_eq!((count, info.len_bytes > 100_000_000), (1_000_000, true));
}

#[test]
fn a_folder_is_taken_by_its_own_member_alone() {
    let fs = FaultyFs::new(1);
    fs.create_dir_all(DATA).unwrap();
    let check = |fs: &FaultyFs, id| owner::check(fs, DATA, ServerId(id));
    assert_eq!(check(&fs, 3).unwrap(), Whose::Unknown);
    owner::claim(&fs, DATA, ServerId(3)).unwrap();
    fs.crash(CrashMode::Drop);
    assert_eq!(check(&fs, 3).unwrap(), Whose::Mine);
    let refused = check(&fs, 2).unwrap_err();
    let text = refused.to_string();
    assert!(matches!(refused, OwnerError::Another { owner: ServerId(3), .. }), "{text}");
    assert!(text.contains("data/owner") && text.contains("member 3"), "{text}");
    // What cannot be read says nothing, and never names another member.
    let bytes = fs.contents("data/owner").unwrap();
    for bit in 0..bytes.len() * 8 {
        let fs = fs.copy(1);
        fs.flip("data/owner", (bit / 8) as u64, (bit % 8) as u8);
        assert_eq!(check(&fs, 3).unwrap(), Whose::Unknown, "bit {bit}");
    }
    for len in 0..bytes.len() {
        fs.set_contents("data/owner", &bytes[..len]);
        assert_eq!(check(&fs, 3).unwrap(), Whose::Unknown, "cut to {len}");
    }
}

#[test]
fn the_file_that_names_the_owner_is_as_documented() {
    let fs = FaultyFs::new(1);
    fs.create_dir_all(DATA).unwrap();
    owner::claim(&fs, DATA, ServerId(3)).unwrap();
    assert_eq!(fs.contents("data/owner").unwrap(), include_bytes!("../testdata/v1/owner"));
}
