//! What is found on a disk at a start, and what a member sends another of its own: whole folders made from
//! an input, on a disk in memory. Checksums are put right, for otherwise nothing gets past them; then bytes
//! are flipped, and files cut, as the input says. The bytes are those of FORMAT.md, written anew here.

use std::collections::BTreeSet;

use bytes::Bytes;
use conclave_protocol::{
    peer::zab::{Epochs, Standing},
    txn::Entry,
    zxid::{Epoch, Zxid},
};
use conclave_snapshots::{
    epochs,
    fs::{FaultyFs, File, Fs},
    image::ImageRecord,
    log::LogOptions,
    recover::{ImageSink, NoLog, Recovered, recover, recover_or_set_aside},
};

use crate::{Target, allocation::Limit, peer, script::Script};

/// The epochs file; the first byte says whether its checksum is put right.
pub const EPOCHS: Target = Target { name: "epochs", run: epochs_file, seeds: epochs_seeds };

/// A folder of log segments, of epochs and of what was synced.
pub const LOG: Target = Target { name: "log", run: log, seeds: log_seeds };

pub(crate) const DATA: &str = "data";
const LOG_DIR: &str = "log";

/// Segments are small, and nothing is reserved.
const OPTIONS: LogOptions = LogOptions { segment_len_bytes: 1500, preallocate_bytes: 0 };

/// A file that is set aside is copied by the MiB; and the disk itself is in memory, with all that was
/// ever changed on it.
pub(crate) const DISK_LIMIT: Limit = Limit { per_byte: 256, base_bytes: 3 << 20 };

const SOUND: Epochs =
    Epochs { accepted: Epoch(255), current: Epoch(255), standing: Standing::Whole };

pub(crate) fn put_file(fs: &FaultyFs, path: &str, bytes: &[u8]) {
    let mut file = fs.create(path).expect("the disk has no faults");
    file.write_at(0, bytes).expect("the disk has no faults");
    file.sync().expect("the disk has no faults");
}

fn disk() -> FaultyFs {
    let fs = FaultyFs::new(1);
    for dir in [DATA, LOG_DIR] {
        fs.create_dir_all(dir).expect("the disk has no faults");
    }
    fs
}

/// Flips a byte, or cuts the end off, as often as the script says.
pub(crate) fn damage(bytes: &mut Vec<u8>, script: &mut Script) {
    for _ in 0..script.u8() % 4 {
        let (at, by) = (usize::from(script.u16()), script.u8());
        match bytes.get_mut(at) {
            Some(_) if by == 0 => bytes.truncate(at),
            Some(byte) => *byte ^= by,
            None => {}
        }
    }
}

/// Appends a record as it lies in the file of `file` at the end of `out`.
pub(crate) fn put_record(out: &mut Vec<u8>, file: Zxid, payload: &[u8]) -> u32 {
    let len = (payload.len() as u32).to_be_bytes();
    let offset = (out.len() as u64).to_be_bytes();
    let place = [&file.0.to_be_bytes()[..], &offset, &len, payload].concat();
    let checksum = crc32fast::hash(&place);
    out.extend_from_slice(&len);
    out.extend_from_slice(&checksum.to_be_bytes());
    out.extend_from_slice(payload);
    checksum
}

/// Returns the header of a file.
pub(crate) fn header(magic: &[u8; 8], zxid: Zxid) -> Vec<u8> {
    let mut bytes = [&magic[..], &1_u32.to_be_bytes(), &zxid.0.to_be_bytes()].concat();
    bytes.extend_from_slice(&crc32fast::hash(&bytes).to_be_bytes());
    bytes
}

fn epochs_file(input: &[u8]) {
    let Some((first, bytes)) = input.split_first() else { return };
    let mut bytes = bytes.to_vec();
    if first & 1 == 1
        && let Some((body, checksum)) = bytes.split_last_chunk_mut::<4>()
    {
        *checksum = crc32fast::hash(body).to_be_bytes();
    }
    let fs = disk();
    put_file(&fs, "data/epochs", &bytes);
    let Ok(read) = DISK_LIMIT.hold(input.len(), || epochs::read(&fs, DATA)) else { return };
    let read = read.expect("there is a file");
    epochs::write(&fs, DATA, read).expect("the disk has no faults");
    let again = epochs::read(&fs, DATA).expect("what was written can be read");
    assert_eq!(again, Some(read));
}

fn epochs_seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for standing in 0..3 {
        let mut bytes =
            [b"\x01CNCLEPOC".as_slice(), &[0, 0, 0, 1, 0, 0, 0, 9, 0, 0, 0, 8]].concat();
        bytes.extend([standing, 0, 0, 0, 0]);
        seeds.push(bytes);
    }
    seeds
}

/// A sink for images of which there are none.
#[derive(Debug, Default)]
struct NoImages;

impl ImageSink for NoImages {
    fn reset(&mut self) {}

    fn record(&mut self, _record: ImageRecord) -> Result<(), String> {
        Ok(())
    }
}

/// Flags of the first byte of a log's script.
const HAS_NO_EPOCHS: u8 = 1;
const HAS_SYNCED: u8 = 2;

fn log(input: &[u8]) {
    let mut script = Script(input);
    let fs = disk();
    let flags = script.u8();
    if flags & HAS_NO_EPOCHS == 0 {
        epochs::write(&fs, DATA, SOUND).expect("the disk has no faults");
    }
    if flags & HAS_SYNCED != 0 {
        let mut bytes = header(b"CNCLSYNC", script.zxid());
        damage(&mut bytes, &mut script);
        put_file(&fs, "data/synced", &bytes);
    }
    let mut written = BTreeSet::new();
    while !script.is_empty() {
        put_segment(&fs, &mut script, &mut written);
    }
    let open = || {
        let recovered =
            recover_or_set_aside(&fs, DATA, LOG_DIR, OPTIONS, NoLog::Lost, &mut NoImages);
        recovered.ok()
    };
    let Some(recovered) = DISK_LIMIT.hold(input.len(), open) else { return };
    check_recovered(&fs, recovered, &written);
}

/// Writes a segment, and notes its entries.
fn put_segment(fs: &FaultyFs, script: &mut Script, written: &mut BTreeSet<(u64, Vec<u8>)>) {
    let first = script.zxid();
    let mut bytes = header(b"CNCLVLOG", first);
    for _ in 0..script.u8() % 16 {
        let (zxid, synced) = (script.zxid(), script.zxid());
        let len = script.u8();
        let txn = script.bytes(len.into());
        let payload = [&zxid.0.to_be_bytes()[..], &synced.0.to_be_bytes(), txn].concat();
        put_record(&mut bytes, first, &payload);
        written.insert((zxid.0, txn.to_vec()));
    }
    damage(&mut bytes, script);
    put_file(fs, &format!("{LOG_DIR}/log.{first}"), &bytes);
}

/// Checks that what was recovered was written, is whole, and stays: also with one more entry.
fn check_recovered(
    fs: &FaultyFs,
    mut recovered: Recovered<FaultyFs>,
    written: &BTreeSet<(u64, Vec<u8>)>,
) {
    let mut last = Zxid::ZERO;
    for Entry { zxid, txn } in &recovered.entries {
        assert!(last.is_followed_by(*zxid), "{zxid} does not follow {last}");
        assert!(written.contains(&(zxid.0, txn.to_vec())), "{zxid} was never written");
        last = *zxid;
    }
    assert_eq!(recovered.log.last_zxid(), last);
    let again = recovered.log.read_from(Zxid::ZERO).expect("what was recovered can be read");
    let again: Result<Vec<Entry>, _> = again.collect();
    assert_eq!(again.expect("what was recovered can be read"), recovered.entries);

    let zxid = Zxid::new(Epoch(last.epoch().0 + 1), 1);
    recovered.entries.push(Entry { zxid, txn: Bytes::from_static(b"one more") });
    recovered.log.append(&recovered.entries[recovered.entries.len() - 1..]).expect("it is sound");
    recovered.log.sync().expect("it is sound");
    if epochs::read(fs, DATA).is_ok_and(|epochs| epochs.is_none()) {
        epochs::write(fs, DATA, SOUND).expect("the disk has no faults");
    }
    let again = recover(fs, DATA, LOG_DIR, OPTIONS, &mut NoImages);
    let again = again.expect("what was recovered needs no other recovery");
    assert_eq!(again.entries, recovered.entries);
}

fn log_seeds() -> Vec<Vec<u8>> {
    let record = |zxid: [u8; 2], synced: [u8; 2], txn: &[u8]| {
        [&zxid[..], &synced, &[txn.len() as u8], txn].concat()
    };
    let mut first = vec![1, 1, 4];
    let mut synced = [0, 0];
    for (counter, txn) in (1..).zip(peer::txns()).take(4) {
        let mut bytes = Vec::new();
        txn.encode(&mut bytes);
        first.extend(record([1, counter], synced, &bytes));
        synced = [1, counter];
    }
    let second = [&[1, 5, 2][..], &record([1, 5], [1, 4], b"a"), &record([2, 1], [1, 5], b"b")];
    let (second, whole, no_damage) = (second.concat(), [0].as_slice(), [0].as_slice());
    vec![
        [whole, &first, no_damage].concat(),
        [whole, &first, no_damage, &second, no_damage].concat(),
        // Synced beyond the end, a byte flipped near the end, a cut, and no epochs.
        [&[HAS_SYNCED, 2, 1, 0], &first[..], no_damage, &second, no_damage].concat(),
        [&[HAS_SYNCED, 3, 1, 0], &first[..], no_damage].concat(),
        [whole, &first, no_damage, &second, &[1, 0, 60, 9]].concat(),
        [whole, &first, &[1, 0, 80, 0], &second, no_damage].concat(),
        [&[HAS_NO_EPOCHS], &first[..], &[1, 0, 80, 0]].concat(),
        // A hole between the segments.
        [whole, &first, no_damage, &[1, 7, 1], &record([1, 7], [1, 6], b"c"), no_damage].concat(),
    ]
}
