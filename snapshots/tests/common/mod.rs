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
    fs::{CrashMode, Fault, FaultyFs, Fs},
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
#[derive(Clone, Debug, Default)]
pub struct Model {
    /// Everything that was asked to be appended and not to be truncated.
    pub asked: Vec<Entry>,
    /// So many of them must be there.
    pub durable: usize,
    /// Also allowed: another history, that a reset was about to put in its place.
    pub other: Option<Vec<Entry>>,
    /// The epochs that were written.
    pub epochs: Option<Epochs>,
    /// Also allowed: those that are about to take their place.
    pub other_epochs: Option<Epochs>,
}

impl Model {
    /// Returns the model of a disk on which nothing goes on: what was found has to stay.
    pub fn found<F: Fs>(recovered: &Recovered<F>, history: Vec<Entry>) -> Self {
        let (durable, epochs) = (history.len(), recovered.epochs);
        Self { asked: history, durable, epochs, ..Self::default() }
    }

    /// Checks what was recovered.
    pub fn check<F: Fs>(&self, recovered: &Recovered<F>, history: &[Entry], context: &str) {
        let epochs = recovered.epochs;
        assert!(
            epochs == self.epochs || epochs == self.other_epochs,
            "{context}: {epochs:?} where {:?} was written",
            self.epochs
        );
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
    model.check(&recovered, &history, "start");
    *model = Model::found(&recovered, history);
    write_epochs(fs, model)?;
    let mut log = recovered.log;
    let result = run_steps(fs, &mut log, seed, count, model);
    if log.is_poisoned() {
        assert!(result.is_err(), "the log is poisoned and the run goes on");
        check_poisoned(fs, &mut log);
    }
    result
}

fn run_steps(
    fs: &FaultyFs,
    log: &mut Log<FaultyFs>,
    seed: u64,
    count: usize,
    model: &mut Model,
) -> Result<(), StorageError> {
    let mut random = Random(seed);
    let mut appended = 0;
    while appended < count {
        match random.below(20) {
            0..14 => {
                let batch = next_batch(&mut random, model.last(), seed);
                appended += batch.len();
                model.asked.extend(batch.iter().cloned());
                append(fs, log, &batch)?;
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
            18 => truncate(fs, log, &mut random, model)?,
            _ if random.below(3) == 0 => reset(fs, log, &mut random, model)?,
            _ => write_epochs(fs, model)?,
        }
        assert_eq!(log.last_zxid(), model.last());
    }
    Ok(())
}

/// Promises the next epoch.
fn write_epochs(fs: &FaultyFs, model: &mut Model) -> Result<(), StorageError> {
    let next = model.epochs.map_or(EPOCHS, |epochs| Epochs {
        accepted: Epoch(epochs.accepted.0 + 1),
        current: epochs.accepted,
        ..epochs
    });
    model.other_epochs = Some(next);
    epochs::write(fs, DATA, next)?;
    (model.epochs, model.other_epochs) = (Some(next), None);
    Ok(())
}

/// A log that has failed takes nothing more, and asks nothing more of the disk.
fn check_poisoned(fs: &FaultyFs, log: &mut Log<FaultyFs>) {
    let calls = fs.call_count();
    let last = log.last_zxid();
    let next = entry(last.successor().unwrap_or(Zxid::new(Epoch(1), 1)), 0);
    let again = [
        log.sync(),
        log.append(&[next]),
        log.roll(),
        log.truncate_after(Zxid::ZERO),
        log.purge_before(last),
        log.reset(last),
        log.sync(),
    ];
    for result in again {
        assert!(matches!(result, Err(StorageError::Poisoned)), "{result:?}");
    }
    assert_eq!(fs.call_count(), calls, "the log goes on as if nothing had happened");
}

/// Where a run begins: a disk at rest, and what is on it.
#[derive(Clone, Debug)]
pub struct Start {
    pub disk: FaultyFs,
    pub model: Model,
    pub seed: u64,
    pub count: usize,
}

impl Start {
    pub fn new(seed: u64, count: usize) -> Self {
        Self { disk: FaultyFs::new(seed), model: Model::default(), seed, count }
    }

    /// Runs to the end without a fault; returns the calls that took.
    pub fn calls(&self) -> u64 {
        self.clone().finish().1
    }

    /// Runs to the end and stops; returns where the next run begins, and the calls that took.
    pub fn finish(mut self) -> (Self, u64) {
        self.disk = self.disk.copy(self.seed);
        run(&self.disk, self.seed, self.count, &mut self.model).unwrap();
        let calls = self.disk.call_count();
        self.disk.crash(CrashMode::Keep);
        self.seed += 1;
        (self, calls)
    }

    /// Puts a snapshot with a checksum of the history in its place: it takes as long to check as it is.
    #[must_use]
    pub fn folded(mut self) -> Self {
        let (recovered, history) = open(&self.disk).unwrap();
        self.model.check(&recovered, &history, "the end of a run");
        let mut checksum = crc32fast::Hasher::new();
        history.iter().for_each(|entry| checksum.update(&entry.txn));
        let last = history.last().map_or(Epoch(0), |entry| entry.zxid.epoch());
        let fold = [entry(Zxid::new(Epoch(last.0 + 1), 1), checksum.finalize().into())];
        let mut log = recovered.log;
        log.reset(snapshot(&self.disk, DATA, &fold).unwrap()).unwrap();
        self.model.asked = fold.to_vec();
        self.model.durable = 1;
        self.disk.crash(CrashMode::Keep);
        self
    }

    /// Cuts the power at `call`, in each of `modes`, and recovers; cuts the recovery short, too, and
    /// then goes on.
    pub fn crash_at(&self, call: u64, modes: &[CrashMode]) {
        let (disk, mut model) = (self.disk.copy(self.seed ^ call << 8), self.model.clone());
        disk.power_off_at(call);
        let ended = run(&disk, self.seed, self.count, &mut model);
        assert!(ended.is_err(), "the run was over before call {call}");
        for &mode in modes {
            let context = format!("seed {}, call {call}, {mode:?}", self.seed);
            after_crash(&disk.fork(), mode, call % 7, &model, &context);
        }
    }

    /// Lets `call` fail once, then crashes in each of `modes` and recovers; lets a call of the recovery
    /// fail, too, and then goes on.
    pub fn fail_at(&self, call: u64, fault: Fault, modes: &[CrashMode]) {
        let (disk, mut model) = (self.disk.copy(call), self.model.clone());
        disk.fail_at(call, fault);
        let ended = run(&disk, self.seed, self.count, &mut model);
        assert!(ended.is_err() || fault == Fault::NoSpace, "call {call} failed unnoticed");
        for &mode in modes {
            let context = format!("seed {}, call {call}, {fault:?}, {mode:?}", self.seed);
            let disk = disk.fork();
            disk.crash(mode);
            disk.fail_at(disk.call_count() + call % 7, fault);
            drop(open(&disk));
            disk.calm();
            after_crash(&disk, mode, call % 5, &model, &context);
        }
    }
}

fn after_crash(fs: &FaultyFs, mode: CrashMode, calls: u64, model: &Model, context: &str) {
    fs.crash(mode);
    fs.power_off_at(fs.call_count() + calls);
    drop(open(fs));
    fs.crash(mode);
    let (recovered, history) = open(fs).unwrap_or_else(|error| panic!("{context}: {error}"));
    model.check(&recovered, &history, context);
    // What was found is what stays, and the log goes on from it.
    let mut after = Model::found(&recovered, history);
    drop(recovered);
    run(fs, calls + 1, 20, &mut after).unwrap();
    fs.crash(CrashMode::Drop);
    let (recovered, history) = open(fs).unwrap_or_else(|error| panic!("{context}, later: {error}"));
    after.check(&recovered, &history, context);
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
