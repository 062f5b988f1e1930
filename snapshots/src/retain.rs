//! Keeping disk use bounded: the newest snapshots stay, and the log behind the oldest of them.

use conclave_protocol::zxid::Zxid;

use crate::{
    StorageError,
    fs::Fs,
    image::{self, ImageReader},
    name::Kind,
};

/// Snapshots kept unless the configuration says otherwise.
pub const RETAIN_COUNT_DEFAULT: usize = 3;

/// Removes the snapshots of `dir` that are older than the newest `count` sound ones, and returns the
/// oldest of those: the log up to there may go ([`crate::log::Log::purge_before`]). `None` while
/// there are fewer: then nothing goes.
///
/// # Errors
///
/// [`StorageError`] when the disk cannot be read or changed; what recovery needs is still there.
///
/// # Panics
///
/// When `count` is 0, which would keep nothing.
pub fn retain<F: Fs>(fs: &F, dir: &str, count: usize) -> Result<Option<Zxid>, StorageError> {
    assert!(count > 0, "at least one snapshot is kept");
    let zxids = image::list(fs, dir)?;
    let mut sound = 0;
    let mut oldest = None;
    for (index, &zxid) in zxids.iter().enumerate().rev() {
        match ImageReader::open(fs, dir, zxid) {
            Ok(_) => sound += 1,
            Err(StorageError::Damaged(_)) => {}
            Err(error) => return Err(error),
        }
        if sound == count {
            oldest = Some(index);
            break;
        }
    }
    let Some(oldest) = oldest else { return Ok(None) };
    for &zxid in &zxids[..oldest] {
        let path = Kind::Snapshot.path(dir, zxid);
        fs.remove(&path).map_err(|error| StorageError::io("remove", &path, error))?;
    }
    if oldest > 0 {
        // The log goes next: only when these names are surely gone is it needed by none of them.
        fs.sync_dir(dir).map_err(|error| StorageError::sync(dir, error))?;
    }
    Ok(Some(zxids[oldest]))
}
