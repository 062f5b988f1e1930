//! Making way for a repair: what is damaged goes into `damaged.<n>`, never away, and the member is
//! marked as one that has lost acked entries, before anything is moved.

use conclave_protocol::{
    peer::zab::{Epochs, Standing},
    zxid::{Epoch, Zxid},
};

use crate::{
    Damage, StorageError, epochs,
    fs::{File, Fs},
    image, log,
    name::{EPOCHS, Kind},
    record::HEADER_LEN_BYTES,
};

/// Bytes copied at once.
const COPY_LEN_BYTES: usize = 1 << 20;

/// A folder for what is damaged.
#[derive(Debug)]
pub(crate) struct Aside {
    dir: String,
}

impl Aside {
    /// Creates the next `damaged.<n>` in `dir`.
    pub(crate) fn create<F: Fs>(fs: &F, dir: &str) -> Result<Self, StorageError> {
        let names = fs.list(dir).map_err(|error| StorageError::io("list", dir, error))?;
        let last = names
            .iter()
            .filter_map(|name| name.strip_prefix("damaged.")?.parse::<u64>().ok())
            .max()
            .unwrap_or(0);
        let dir = format!("{dir}/damaged.{}", last.saturating_add(1));
        fs.create_dir_all(&dir).map_err(|error| StorageError::io("create", &dir, error))?;
        Ok(Self { dir })
    }

    /// Moves a file of `dir` here, durably. One that is not there has nothing to be kept.
    pub(crate) fn take<F: Fs>(&self, fs: &F, dir: &str, path: &str) -> Result<(), StorageError> {
        if !fs.exists(path).map_err(|error| StorageError::io("look for", path, error))? {
            return Ok(());
        }
        let to = self.path_of(path);
        fs.rename(path, &to).map_err(|error| StorageError::io("rename", path, error))?;
        fs.sync_dir(&self.dir).map_err(|error| StorageError::sync(&self.dir, error))?;
        fs.sync_dir(dir).map_err(|error| StorageError::sync(dir, error))
    }

    /// Copies a file here, durably.
    fn copy<F: Fs>(&self, fs: &F, path: &str) -> Result<(), StorageError> {
        let to = self.path_of(path);
        let copy = || {
            let source = fs.open(path)?;
            let mut target = fs.create(&to)?;
            let mut buffer = vec![0; COPY_LEN_BYTES];
            let mut offset = 0;
            loop {
                let read = source.read_at(offset, &mut buffer)?;
                if read == 0 {
                    break;
                }
                target.write_at(offset, &buffer[..read])?;
                offset += read as u64;
            }
            target.sync()?;
            fs.sync_dir(&self.dir)
        };
        copy().map_err(|error| StorageError::io("copy", path, error))
    }

    fn path_of(&self, path: &str) -> String {
        format!("{}/{}", self.dir, file_name(path))
    }
}

/// Sets a damaged file aside, with what is no use without it, and returns the folder it is in. The
/// good entries before the damage stay. Further damage may come to light: recover again.
///
/// # Errors
///
/// [`StorageError`]: part of it may be done, and doing it again is safe.
pub fn set_aside<F: Fs>(
    fs: &F,
    snapshot_dir: &str,
    log_dir: &str,
    damage: &Damage,
) -> Result<String, StorageError> {
    let name = file_name(&damage.file);
    let dir = if Kind::Log.parse(name).is_some() { log_dir } else { snapshot_dir };
    let aside = Aside::create(fs, dir)?;
    if name == EPOCHS {
        aside.take(fs, snapshot_dir, &damage.file)?;
    }
    // First of all: from here on this member counts to no quorum.
    mark_repairing(fs, snapshot_dir, log_dir, damage)?;
    // What it says is lost, which is known now.
    log::remove_synced(fs, snapshot_dir)?;
    if Kind::Snapshot.parse(name).is_some() {
        aside.take(fs, snapshot_dir, &damage.file)?;
    }
    if let Some(first) = Kind::Log.parse(name) {
        set_log_aside(fs, log_dir, &aside, first, damage)?;
    }
    Ok(aside.dir)
}

fn set_log_aside<F: Fs>(
    fs: &F,
    dir: &str,
    aside: &Aside,
    first: Zxid,
    damage: &Damage,
) -> Result<(), StorageError> {
    let exists = fs.exists(&damage.file);
    let exists = exists.map_err(|error| StorageError::io("look for", &damage.file, error))?;
    let keeps_prefix = exists && damage.offset > HEADER_LEN_BYTES as u64;
    // The copy is made before the later segments go: without them the damage would pass for a torn
    // tail, and what is cut off would be lost.
    if keeps_prefix {
        aside.copy(fs, &damage.file)?;
    }
    let names = fs.list(dir).map_err(|error| StorageError::io("list", dir, error))?;
    for later in Kind::Log.zxids(&names).into_iter().rev().take_while(|&later| later > first) {
        aside.take(fs, dir, &Kind::Log.path(dir, later))?;
    }
    if !keeps_prefix {
        return aside.take(fs, dir, &damage.file);
    }
    fs.open_write(&damage.file)
        .and_then(|mut file| file.set_len(damage.offset).and_then(|()| file.sync()))
        .map_err(|error| StorageError::io("cut", &damage.file, error))
}

/// Writes that the disk has lost what was acked. Where the epochs are lost too, the newest epoch
/// that any file tells of stands in for them.
fn mark_repairing<F: Fs>(
    fs: &F,
    snapshot_dir: &str,
    log_dir: &str,
    damage: &Damage,
) -> Result<(), StorageError> {
    let standing = Standing::Repairing;
    let epochs = match epochs::read(fs, snapshot_dir)? {
        Some(epochs) => Epochs { standing, ..epochs },
        None => {
            let epoch = newest_epoch(fs, snapshot_dir, log_dir, damage)?;
            Epochs { accepted: epoch, current: epoch, standing }
        }
    };
    epochs::write(fs, snapshot_dir, epochs)
}

fn newest_epoch<F: Fs>(
    fs: &F,
    snapshot_dir: &str,
    log_dir: &str,
    damage: &Damage,
) -> Result<Epoch, StorageError> {
    let names = fs.list(log_dir).map_err(|error| StorageError::io("list", log_dir, error))?;
    let known = [
        Kind::Log.zxids(&names).last().copied(),
        image::list(fs, snapshot_dir)?.last().copied(),
        log::read_synced(fs, snapshot_dir)?,
        Some(damage.zxid),
    ];
    Ok(known.into_iter().flatten().max().unwrap_or(Zxid::ZERO).epoch())
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}
