//! A workload over a faulty disk, and what must be found after it was interrupted.
#![allow(
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    reason = "test support; each test file uses its own part"
)]

use bytes::Bytes;
use conclave_protocol::{
    peer::zab::{Epochs, Standing},
    txn::Entry,
    zxid::{Epoch, Zxid},
};
use conclave_snapshots::{
    StorageError, epochs,
    fs::{FaultyFs, Fs},
    image::{ImageReceiver, ImageRecord, ImageWriter, read_chunk},
    log::{Log, LogOptions},
    recover::{ImageSink, NoLog, RecoverError, Recovered, recover, recover_or_set_aside},
    retain::retain,
};

pub const DATA: &str = "data";
pub const LOG: &str = "log";

/// Small, so that a short run has many segments.
pub const OPTIONS: LogOptions = LogOptions { segment_len_bytes: 1500, preallocate_bytes: 700 };

pub const EPOCHS: Epochs =
    Epochs { accepted: Epoch(9), current: Epoch(9), standing: Standing::Whole };

/// Gathers the txns of a snapshot, which in these tests are the whole history.
#[derive(Debug, Default)]
pub struct Sink(pub Vec<Entry>);

impl ImageSink for Sink {
    fn reset(&mut self) {
        self.0.clear();
    }

    fn record(&mut self, record: ImageRecord) -> Result<(), String> {
        match record {
            ImageRecord::Txn(entry) => self.0.push(entry),
            other => return Err(format!("{other:?} was never put")),
        }
        Ok(())
    }
}

/// splitmix64.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

pub fn entry(zxid: Zxid, salt: u64) -> Entry {
    let mut random = Random(zxid.0 ^ salt << 20);
    let len = random.below(60) as usize;
    let txn: Vec<u8> = (0..len).map(|_| random.below(256) as u8).collect();
    Entry { zxid, txn: Bytes::from(txn) }
}

/// Returns `count` entries behind `last`.
pub fn entries_behind(mut last: Zxid, count: u64) -> Vec<Entry> {
    let mut entries = Vec::new();
    for _ in 0..count {
        last = if last == Zxid::ZERO {
            Zxid::new(Epoch(1), 1)
        } else {
            last.successor().expect("counters are small here")
        };
        entries.push(entry(last, 0));
    }
    entries
}

/// Recovers and returns the whole history with it.
pub fn open<F: Fs>(fs: &F) -> Result<(Recovered<F>, Vec<Entry>), RecoverError> {
    let mut sink = Sink::default();
    let recovered = recover(fs, DATA, LOG, OPTIONS, &mut sink)?;
    let mut history = sink.0;
    history.extend(recovered.entries.iter().cloned());
    Ok((recovered, history))
}

/// As [`open`], with damage set aside.
pub fn open_aside<F: Fs>(fs: &F) -> (Recovered<F>, Vec<Entry>) {
    let mut sink = Sink::default();
    let recovered = recover_or_set_aside(fs, DATA, LOG, OPTIONS, NoLog::Lost, &mut sink).unwrap();
    let mut history = sink.0;
    history.extend(recovered.entries.iter().cloned());
    (recovered, history)
}

pub fn snapshot<F: Fs>(fs: &F, dir: &str, history: &[Entry]) -> Result<Zxid, StorageError> {
    let end = history.last().map_or(Zxid::ZERO, |entry| entry.zxid);
    let mut writer = ImageWriter::create(fs, dir, end)?;
    for entry in history {
        writer.put(&ImageRecord::Txn(entry.clone()))?;
    }
    writer.finish(end)?;
    Ok(end)
}

/// What was done, and what of it must and may be found.
#[derive(Debug, Default)]
pub struct Model {
    /// Everything that was asked to be appended and not to be truncated.
    pub asked: Vec<Entry>,
    /// So many of them must be there.
    pub durable: usize,
    /// Also allowed: another history, that a reset was about to put in its place.
    pub other: Option<Vec<Entry>>,
}

impl Model {
    /// Checks a recovered history.
    pub fn check(&self, history: &[Entry], context: &str) {
        if self.other.as_deref() == Some(history) {
            return;
        }
        assert!(
            history.len() >= self.durable,
            "{context}: {} of {} durable entries",
            history.len(),
            self.durable
        );
        assert!(history.len() <= self.asked.len(), "{context}: more than was appended");
        assert_eq!(history, &self.asked[..history.len()], "{context}: other entries");
    }

    fn last(&self) -> Zxid {
        self.asked.last().map_or(Zxid::ZERO, |entry| entry.zxid)
    }
}

/// Runs steps drawn from `seed` until `count` entries were appended or the disk fails.
pub fn run(fs: &FaultyFs, seed: u64, count: usize, model: &mut Model) -> Result<(), StorageError> {
    let (recovered, history) = open(fs).map_err(|error| match error {
        RecoverError::Storage(error) => error,
        error => panic!("{error}"),
    })?;
    model.check(&history, "start");
    model.asked = history;
    epochs::write(fs, DATA, EPOCHS)?;
    let mut log = recovered.log;
    let mut random = Random(seed);
    let mut appended = 0;
    while appended < count {
        match random.below(20) {
            0..14 => {
                let batch = next_batch(&mut random, model.last(), seed);
                appended += batch.len();
                model.asked.extend(batch.iter().cloned());
                append(fs, &mut log, &batch)?;
                if random.below(4) > 0 {
                    log.sync()?;
                    model.durable = model.asked.len();
                }
            }
            14..16 => {
                log.roll()?;
                model.durable = model.asked.len();
            }
            16..18 => {
                log.sync()?;
                model.durable = model.asked.len();
                log.roll()?;
                snapshot(fs, DATA, &model.asked)?;
                if let Some(oldest) = retain(fs, DATA, 2)? {
                    log.purge_before(oldest)?;
                }
            }
            18 => truncate(fs, &mut log, &mut random, model)?,
            _ if random.below(3) == 0 => reset(fs, &mut log, &mut random, model)?,
            _ => epochs::write(fs, DATA, EPOCHS)?,
        }
        assert_eq!(log.last_zxid(), model.last());
    }
    Ok(())
}

fn next_batch(random: &mut Random, mut last: Zxid, salt: u64) -> Vec<Entry> {
    let mut batch = Vec::new();
    for _ in 0..=random.below(6) {
        last = if last == Zxid::ZERO || random.below(15) == 0 {
            Zxid::new(last.epoch().successor().expect("few epochs"), 1)
        } else {
            last.successor().expect("few entries")
        };
        batch.push(entry(last, salt));
    }
    batch
}

/// Appends; a full disk is given room, and must then take the same batch.
fn append(fs: &FaultyFs, log: &mut Log<FaultyFs>, batch: &[Entry]) -> Result<(), StorageError> {
    match log.append(batch) {
        Err(StorageError::NoSpace { .. }) => {
            fs.set_capacity(None);
            log.append(batch)
        }
        result => result,
    }
}

fn truncate(
    fs: &FaultyFs,
    log: &mut Log<FaultyFs>,
    random: &mut Random,
    model: &mut Model,
) -> Result<(), StorageError> {
    // Never behind a snapshot: what is in one was delivered.
    let snapshots = conclave_snapshots::image::list(fs, DATA)?;
    let floor = snapshots.last().copied().unwrap_or(Zxid::ZERO);
    let keep = model.asked.len() - random.below(8).min(model.asked.len() as u64) as usize;
    let covered = model.asked.iter().take_while(|entry| entry.zxid <= floor).count();
    let keep = keep.max(covered);
    let after = model.asked[..keep].last().map_or(Zxid::ZERO, |entry| entry.zxid);
    model.durable = model.durable.min(keep);
    log.truncate_after(after)?;
    model.asked.truncate(keep);
    model.durable = model.durable.min(keep);
    Ok(())
}

/// Receives a snapshot of another history in pieces, and resets the log to it.
fn reset(
    fs: &FaultyFs,
    log: &mut Log<FaultyFs>,
    random: &mut Random,
    model: &mut Model,
) -> Result<(), StorageError> {
    let leader = FaultyFs::new(1);
    leader.create_dir_all(DATA).unwrap();
    let mut history = model.asked.clone();
    let jump = Zxid::new(Epoch(model.last().epoch().0 + 1), 1);
    history.push(entry(jump, 77));
    let zxid = snapshot(&leader, DATA, &history).unwrap();
    model.other = Some(history.clone());
    let (mut offset, mut receiver) = (0, None);
    loop {
        let len = 50 + random.below(2000) as usize;
        let (len_bytes, data) = read_chunk(&leader, DATA, zxid, offset, len).unwrap();
        let receiver = match &mut receiver {
            Some(receiver) => receiver,
            none => none.insert(ImageReceiver::create(fs, DATA, zxid, len_bytes)?),
        };
        receiver.write_chunk(offset, &data)?;
        offset += data.len() as u64;
        if offset == len_bytes {
            break;
        }
    }
    receiver.expect("at least one piece came").finish()?;
    model.durable = 0;
    model.asked = history;
    model.durable = model.asked.len();
    model.other = None;
    log.reset(zxid)
}
