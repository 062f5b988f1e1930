//! A snapshot file, from the disk or from another member, up to the state that it becomes.

use conclave_protocol::{
    acl::Acl,
    ids::{Password, ServerId, SessionId},
    txn::{Entry, Owner},
    zxid::Zxid,
};
use conclave_server::load;
use conclave_snapshots::{
    StorageError,
    fs::{FaultyFs, Fs},
    image::{
        ImageReader, ImageReceiver, ImageRecord, ImageWriter, NodeRecord, SessionRecord, read_chunk,
    },
};

use crate::{
    Target,
    disk::{DATA, DISK_LIMIT, damage, header, put_file, put_record},
    peer,
    script::Script,
};

/// A snapshot: where its walk began and ended, the counts of its footer, and the bytes of its blocks.
pub const SNAPSHOT: Target = Target { name: "snapshot", run: snapshot, seeds: snapshot_seeds };

const FOOTER: u8 = 2;
const RECORDS: u8 = 1;

fn snapshot(input: &[u8]) {
    let mut script = Script(input);
    let (start, end) = (script.zxid(), script.zxid());
    let counts = [script.u8(), script.u8(), script.u8(), script.u8()];
    let mut bytes = header(b"CNCLVSNP", start);
    let mut checksums = Vec::new();
    for _ in 0..script.u8() % 8 {
        let len = usize::from(script.u16());
        let payload = [&[RECORDS], script.bytes(len)].concat();
        checksums.extend(put_record(&mut bytes, start, &payload).to_be_bytes());
    }
    let mut footer = [&[FOOTER][..], &end.0.to_be_bytes()].concat();
    footer.extend(counts.iter().flat_map(|count| u64::from(*count).to_be_bytes()));
    footer.extend(crc32fast::hash(&checksums).to_be_bytes());
    put_record(&mut bytes, start, &footer);
    damage(&mut bytes, &mut script);

    let fs = FaultyFs::new(1);
    fs.create_dir_all(DATA).expect("the disk has no faults");
    put_file(&fs, &format!("{DATA}/snapshot.{end}"), &bytes);
    let records = DISK_LIMIT.hold(input.len(), || records(&fs, end));
    let received = receive(&fs, end, 1 + usize::from(counts[0]));
    assert_eq!(records.is_ok(), received.is_ok(), "a receiver finds what a reader finds");
    // Whether or not they make a tree, they end in an error and not in a wrong state.
    let state = DISK_LIMIT.hold(input.len(), || load::load(&fs, DATA, end, 7));
    let Ok(records) = records else { return };
    assert_eq!(write_again(&records, end), records, "the same records come out as went in");
    if let Ok(state) = state {
        assert_eq!(state.last_applied, end);
    }
}

fn records(fs: &FaultyFs, end: Zxid) -> Result<Vec<ImageRecord>, StorageError> {
    let mut records = Vec::new();
    ImageReader::open(fs, DATA, end)?.for_each(|record| {
        records.push(record);
        Ok(())
    })?;
    Ok(records)
}

/// Moves the file to another member, in pieces of `len_bytes`.
fn receive(fs: &FaultyFs, end: Zxid, len_bytes: usize) -> Result<(), StorageError> {
    let other = FaultyFs::new(2);
    other.create_dir_all(DATA).expect("the disk has no faults");
    let (all, _) = read_chunk(fs, DATA, end, 0, 1)?;
    let mut receiver = ImageReceiver::create(&other, DATA, end, all)?;
    while receiver.received() < all {
        let (_, piece) = read_chunk(fs, DATA, end, receiver.received(), len_bytes)?;
        receiver.write_chunk(receiver.received(), &piece)?;
    }
    receiver.finish()?;
    assert_eq!(records(&other, end)?, records(fs, end)?, "the copy holds the same");
    Ok(())
}

fn write_again(these: &[ImageRecord], end: Zxid) -> Vec<ImageRecord> {
    let fs = FaultyFs::new(3);
    fs.create_dir_all(DATA).expect("the disk has no faults");
    write(&fs, these, end);
    records(&fs, end).expect("what was written can be read")
}

fn write(fs: &FaultyFs, records: &[ImageRecord], end: Zxid) {
    let mut writer = ImageWriter::create(fs, DATA, end).expect("the disk has no faults");
    for record in records {
        writer.put(record).expect("the disk has no faults");
    }
    writer.finish(end).expect("the disk has no faults");
}

fn node(number: u32, parent: u32, name: &str, owner: Owner) -> ImageRecord {
    let zxid = Zxid(0x1_0000_0001);
    ImageRecord::Node(NodeRecord {
        number,
        parent,
        name: name.to_owned(),
        data: number.is_multiple_of(2).then(|| "data".into()),
        acl: 0,
        owner,
        czxid: zxid,
        mzxid: zxid,
        pzxid: zxid,
        ctime_ms: 1,
        mtime_ms: 2,
        version: 3,
        aversion: 4,
        created: 5,
    })
}

fn snapshot_seeds() -> Vec<Vec<u8>> {
    let session = SessionRecord {
        id: SessionId(1),
        timeout_ms: 4000,
        password: Password([7; 16]),
        owner: ServerId(1),
    };
    let mut records = vec![
        ImageRecord::Session(session),
        ImageRecord::Acl { number: 0, list: vec![Acl::open()] },
        node(0, 0, "", Owner::Persistent),
        node(1, 0, "zookeeper", Owner::Persistent),
        node(2, 1, "quota", Owner::Persistent),
        node(3, 2, "a", Owner::Container),
        node(4, 3, "zookeeper_limits", Owner::Ttl(1000)),
        node(5, 0, "a", Owner::Persistent),
        node(6, 5, "b", Owner::Ephemeral(SessionId(1))),
    ];
    let walk = records.clone();
    for (counter, txn) in (1..).zip(peer::txns()) {
        let mut bytes = Vec::new();
        txn.encode(&mut bytes);
        records.push(ImageRecord::Txn(Entry {
            zxid: Zxid(0x1_0000_0000 + counter),
            txn: bytes.into(),
        }));
    }
    [&walk[..], &records[..], &walk[1..3], &[]].map(script_of).to_vec()
}

/// Returns the script that makes a file of these records.
fn script_of(these: &[ImageRecord]) -> Vec<u8> {
    let fs = FaultyFs::new(4);
    fs.create_dir_all(DATA).expect("the disk has no faults");
    let end = Zxid(0x1_0000_0009);
    write(&fs, these, end);
    let (_, file) = read_chunk(&fs, DATA, end, 0, 1 << 20).expect("it was written");
    let mut counts = [0; 4];
    for record in these {
        counts[match record {
            ImageRecord::Session(_) => 0,
            ImageRecord::Acl { .. } => 1,
            ImageRecord::Node(_) => 2,
            ImageRecord::Txn(_) => 3,
        }] += 1;
    }
    let mut script = vec![1, 9, 1, 9];
    script.extend(counts);
    // The one block: behind header, frame and kind, before the footer.
    let block = file.get(33..file.len() - 53).unwrap_or_default();
    script.push(u8::from(!block.is_empty()));
    if !block.is_empty() {
        script.extend((block.len() as u16).to_be_bytes());
        script.extend_from_slice(block);
    }
    script
}
