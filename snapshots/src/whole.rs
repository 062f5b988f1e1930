//! Replacing a small file: whole or not at all.

use crate::{
    StorageError,
    fs::{File, Fs},
    name::TEMPORARY_SUFFIX,
};

/// Replaces the file `path` of `dir`; durable when it returns. After an error the old or the new
/// contents are there.
pub(crate) fn replace<F: Fs>(
    fs: &F,
    dir: &str,
    path: &str,
    bytes: &[u8],
) -> Result<(), StorageError> {
    let temporary = format!("{path}{TEMPORARY_SUFFIX}");
    let mut file =
        fs.create(&temporary).map_err(|error| StorageError::io("create", &temporary, error))?;
    file.write_at(0, bytes)
        .and_then(|()| file.sync())
        .map_err(|error| StorageError::io("write", &temporary, error))?;
    fs.rename(&temporary, path).map_err(|error| StorageError::io("rename", path, error))?;
    fs.sync_dir(dir).map_err(|error| StorageError::io("sync", dir, error))
}
