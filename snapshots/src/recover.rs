//! From the disk back to a member: the newest snapshot that verifies, then the log behind it.

use conclave_protocol::{peer::zab::Epochs, txn::Entry, zxid::Zxid};
use thiserror::Error;

use crate::{
    Damage, StorageError, epochs, foreign,
    fs::{File, Fs},
    image::{self, ImageReader, ImageRecord},
    log::{self, Cut, Log, LogOptions, Replay},
    name::{Kind, TEMPORARY_SUFFIX},
    set_aside::{self, Aside},
};

/// Files that one recovery sets aside at most, before it gives up.
const SET_ASIDE_COUNT_MAX: usize = 64;

/// Takes the records of a snapshot.
pub trait ImageSink {
    /// Forgets everything: what was given is of a snapshot that turned out to be bad.
    fn reset(&mut self);

    /// Takes one record.
    ///
    /// # Errors
    ///
    /// Says why the record cannot be; the snapshot is then treated as a bad one.
    fn record(&mut self, record: ImageRecord) -> Result<(), String>;
}

/// What a disk holds.
#[derive(Debug)]
pub struct Recovered<F: Fs> {
    /// The snapshot that the sink was given; `None` when there is none and the log has everything.
    pub snapshot: Option<Zxid>,
    /// The entries behind it, without gaps.
    pub entries: Vec<Entry>,
    /// What was promised and followed; `None` on an empty disk.
    pub epochs: Option<Epochs>,
    /// The log, open for appending behind the last entry.
    pub log: Log<F>,
    /// What was cut, dropped and skipped: for the operator's log.
    pub notes: Vec<String>,
}

/// Why a disk does not give a member.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RecoverError {
    /// Something that was acked is lost. [`set_aside::set_aside`] makes way for a repair.
    #[error(transparent)]
    Damaged(Damage),
    /// There is no log at all where one was written before: perhaps the folder is the wrong one.
    #[error(
        "{log_dir} holds no log, though {snapshot_dir} says that one was written up to 0x{synced}: \
         is dataLogDir right, and its disk mounted? If the log is lost, --repair lets a leader \
         restore this member"
    )]
    NoLog {
        /// Where the log should be.
        log_dir: String,
        /// What tells of it.
        snapshot_dir: String,
        /// How far it was written.
        synced: Zxid,
    },
    /// The folder has ZooKeeper's own data, which is neither read nor touched.
    #[error(
        "{path} is ZooKeeper's data, which cannot be read here: nothing of it was touched. Name an \
         empty folder, or move it away to start without it"
    )]
    Foreign {
        /// What is ZooKeeper's.
        path: String,
    },
    /// The disk failed.
    #[error(transparent)]
    Storage(StorageError),
}

impl From<StorageError> for RecoverError {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::Damaged(damage) => Self::Damaged(damage),
            error => Self::Storage(error),
        }
    }
}

/// Recovers from both folders, which may be the same. The sink holds the snapshot afterwards.
///
/// # Errors
///
/// [`RecoverError::Damaged`] when acked entries are lost, [`RecoverError::Foreign`] when the files are
/// not ours: nothing was changed then.
pub fn recover<F: Fs>(
    fs: &F,
    snapshot_dir: &str,
    log_dir: &str,
    options: LogOptions,
    sink: &mut impl ImageSink,
) -> Result<Recovered<F>, RecoverError> {
    for dir in [snapshot_dir, log_dir] {
        fs.create_dir_all(dir).map_err(|error| StorageError::io("create", dir, error))?;
        if let Some(path) = foreign::find(fs, snapshot_dir, dir)? {
            return Err(RecoverError::Foreign { path });
        }
    }
    let epochs = epochs::read(fs, snapshot_dir)?;
    let loaded = load_newest(fs, snapshot_dir, sink)?;
    let base = loaded.snapshot.unwrap_or(Zxid::ZERO);
    let replay = log::replay(fs, log_dir, base).map_err(|error| loaded.blame(error))?;
    if loaded.bad.is_empty() {
        check_there(fs, snapshot_dir, log_dir, &replay)?;
    }
    check_complete(fs, snapshot_dir, log_dir, &loaded, &replay)?;
    if epochs.is_none() && (loaded.snapshot.is_some() || replay.last > Zxid::ZERO) {
        let path = epochs::path(snapshot_dir);
        return Err(StorageError::damaged(&path, 0, replay.last, epochs::HINT).into());
    }

    let mut notes = loaded.notes;
    if !loaded.bad.is_empty() {
        let aside = Aside::create(fs, snapshot_dir)?;
        for damage in &loaded.bad {
            aside.take(fs, snapshot_dir, &damage.file)?;
        }
    }
    remove_temporaries(fs, snapshot_dir, &mut notes)?;
    cut(fs, log_dir, replay.cut.as_ref(), &mut notes)?;
    let (segments, last) = (replay.segments, replay.last);
    let log = Log::open(fs, log_dir, snapshot_dir, options, segments, base, last)?;
    Ok(Recovered { snapshot: loaded.snapshot, entries: replay.entries, epochs, log, notes })
}

/// What is done about a log that is missing as a whole.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NoLog {
    /// Nothing is changed: the folder may be the wrong one.
    Refused,
    /// It is taken for lost, like anything that is damaged.
    Lost,
}

/// Recovers; what is damaged is set aside, so that the member comes up as one that an established
/// leader must repair. The notes say so.
///
/// # Errors
///
/// [`RecoverError::Storage`] when the disk fails; [`RecoverError::NoLog`] unless that is taken for a
/// loss; [`RecoverError::Foreign`] when the files are not ours; [`RecoverError::Damaged`] when there is no end of damage.
pub fn recover_or_set_aside<F: Fs>(
    fs: &F,
    snapshot_dir: &str,
    log_dir: &str,
    options: LogOptions,
    no_log: NoLog,
    sink: &mut impl ImageSink,
) -> Result<Recovered<F>, RecoverError> {
    let mut notes = Vec::new();
    loop {
        sink.reset();
        match recover(fs, snapshot_dir, log_dir, options, sink) {
            Ok(mut recovered) => {
                notes.append(&mut recovered.notes);
                recovered.notes = notes;
                return Ok(recovered);
            }
            Err(RecoverError::Damaged(damage)) if notes.len() < SET_ASIDE_COUNT_MAX => {
                let to = set_aside::set_aside(fs, snapshot_dir, log_dir, &damage)?;
                notes.push(format!("{damage}; set aside in {to}"));
            }
            Err(RecoverError::NoLog { log_dir: dir, synced, .. }) if no_log == NoLog::Lost => {
                let file = Kind::Log.path(&dir, synced);
                let hint = "the whole log is missing".to_owned();
                let damage = Damage { file, offset: 0, zxid: Zxid::ZERO, hint };
                set_aside::set_aside(fs, snapshot_dir, log_dir, &damage)?;
                notes.push(format!("{dir} holds no log: all that was in it is lost"));
            }
            Err(error) => return Err(error),
        }
    }
}

/// What became of the snapshots.
struct Loaded {
    snapshot: Option<Zxid>,
    /// Those that are newer and no good, newest first.
    bad: Vec<Damage>,
    /// The zxid of the newest of those, by its name.
    bad_newest: Option<Zxid>,
    notes: Vec<String>,
}

impl Loaded {
    /// Names the bad snapshot rather than the log, when it is for want of it that the log is short.
    fn blame(&self, error: StorageError) -> StorageError {
        match (error, self.bad.first()) {
            (StorageError::Damaged(damage), Some(bad)) if damage.zxid <= self.base() => {
                StorageError::Damaged(bad.clone())
            }
            (error, _) => error,
        }
    }

    fn base(&self) -> Zxid {
        self.snapshot.unwrap_or(Zxid::ZERO)
    }
}

fn load_newest<F: Fs>(
    fs: &F,
    dir: &str,
    sink: &mut impl ImageSink,
) -> Result<Loaded, StorageError> {
    let zxids = image::list(fs, dir)?;
    let mut loaded =
        Loaded { snapshot: None, bad: Vec::new(), bad_newest: None, notes: Vec::new() };
    for zxid in zxids.into_iter().rev() {
        let result = ImageReader::open(fs, dir, zxid)
            .and_then(|reader| reader.for_each(|record| sink.record(record)));
        match result {
            Ok(()) => {
                loaded.snapshot = Some(zxid);
                return Ok(loaded);
            }
            Err(StorageError::Damaged(damage)) => {
                sink.reset();
                loaded.notes.push(format!("snapshot passed over: {damage}"));
                loaded.bad.push(damage);
                loaded.bad_newest = loaded.bad_newest.max(Some(zxid));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(loaded)
}

/// Checks that there is a log where one was written behind the snapshots, all of which are good.
fn check_there<F: Fs>(
    fs: &F,
    snapshot_dir: &str,
    log_dir: &str,
    replay: &Replay,
) -> Result<(), RecoverError> {
    match log::read_synced(fs, snapshot_dir)? {
        Some(synced)
            if replay.segments.is_empty() && replay.cut.is_none() && replay.last < synced =>
        {
            let (log_dir, snapshot_dir) = (log_dir.to_owned(), snapshot_dir.to_owned());
            Err(RecoverError::NoLog { log_dir, snapshot_dir, synced })
        }
        _ => Ok(()),
    }
}

/// Checks that the log reaches as far as is known to have been durable.
fn check_complete<F: Fs>(
    fs: &F,
    snapshot_dir: &str,
    log_dir: &str,
    loaded: &Loaded,
    replay: &Replay,
) -> Result<(), StorageError> {
    if let (Some(newest), Some(damage)) = (loaded.bad_newest, loaded.bad.first())
        && replay.last < newest
    {
        return Err(StorageError::Damaged(damage.clone()));
    }
    let Some(synced) = log::read_synced(fs, snapshot_dir)? else { return Ok(()) };
    if replay.last < synced {
        let (path, offset) =
            replay.end.clone().unwrap_or_else(|| (Kind::Log.path(log_dir, replay.last), 0));
        let hint = format!(
            "the log was synced up to 0x{synced} and ends earlier; \
             set it aside so that an established leader repairs this member"
        );
        return Err(StorageError::damaged(&path, offset, replay.last, hint));
    }
    Ok(())
}

fn remove_temporaries<F: Fs>(
    fs: &F,
    dir: &str,
    notes: &mut Vec<String>,
) -> Result<(), StorageError> {
    let names = fs.list(dir).map_err(|error| StorageError::io("list", dir, error))?;
    for name in names.iter().filter(|name| name.ends_with(TEMPORARY_SUFFIX)) {
        let is_ours =
            ["walk.", "fetch.", "epochs.", "owner."].iter().any(|ours| name.starts_with(ours));
        if !is_ours {
            continue;
        }
        let path = format!("{dir}/{name}");
        fs.remove(&path).map_err(|error| StorageError::io("remove", &path, error))?;
        notes.push(format!("{path} was not finished: removed"));
    }
    Ok(())
}

/// Cuts off a torn end, durably.
fn cut<F: Fs>(
    fs: &F,
    log_dir: &str,
    cut: Option<&Cut>,
    notes: &mut Vec<String>,
) -> Result<(), StorageError> {
    match cut {
        None => {}
        Some(Cut::Tail { path, len_bytes, is_torn }) => {
            fs.open_write(path)
                .and_then(|mut file| file.set_len(*len_bytes).and_then(|()| file.sync()))
                .map_err(|error| StorageError::io("cut", path, error))?;
            if *is_torn {
                notes.push(format!("{path} has a torn end at byte {len_bytes}: cut off"));
            }
        }
        Some(Cut::Creation { path }) => {
            fs.remove(path).map_err(|error| StorageError::io("remove", path, error))?;
            fs.sync_dir(log_dir).map_err(|error| StorageError::sync(log_dir, error))?;
            notes.push(format!("{path} holds no record: removed"));
        }
    }
    Ok(())
}
