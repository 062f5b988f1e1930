//! Telling ZooKeeper's own data from ours: its files have the names of ours and another content, and
//! whoever moves from it may well name its folder.

use std::io::ErrorKind;

use crate::{
    StorageError, epochs,
    fs::{File, Fs},
    name::Kind,
};

/// ZooKeeper's folder below `dataDir` and `dataLogDir`.
const FOLDER: &str = "version-2";

/// What ZooKeeper's logs and snapshots begin with.
const MAGICS: [[u8; 4]; 2] = [*b"ZKLG", *b"ZKSN"];

/// Returns the path of something in `dir` that ZooKeeper has written, if there is any. Its folder beside
/// files of ours was passed over once, and is from then on.
pub(crate) fn find<F: Fs>(
    fs: &F,
    snapshot_dir: &str,
    dir: &str,
) -> Result<Option<String>, StorageError> {
    let list = |dir: &str| fs.list(dir).map_err(|error| StorageError::io("list", dir, error));
    let names = list(dir)?;
    for kind in [Kind::Log, Kind::Snapshot] {
        for zxid in kind.zxids(&names) {
            let path = kind.path(dir, zxid);
            if is_foreign(fs, &path)? {
                return Ok(Some(path));
            }
        }
    }
    let own = epochs::path(snapshot_dir);
    let has_own = fs.exists(&own).map_err(|error| StorageError::io("look for", &own, error))?;
    if has_own || !names.iter().any(|name| name == FOLDER) {
        return Ok(None);
    }
    let folder = format!("{dir}/{FOLDER}");
    let is_data = |name: &String| name.starts_with("log.") || name.starts_with("snapshot.");
    Ok(list(&folder)?.iter().any(is_data).then_some(folder))
}

fn is_foreign<F: Fs>(fs: &F, path: &str) -> Result<bool, StorageError> {
    let mut begin = [0; 4];
    match fs.open(path).and_then(|file| file.read_at(0, &mut begin)) {
        Ok(_) => Ok(MAGICS.contains(&begin)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(StorageError::io("read", path, error)),
    }
}
