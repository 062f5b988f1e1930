//! The door to the disk for configuration: files that are applied, exported and rendered.
#![expect(clippy::disallowed_methods, reason = "this is the file they are allowed in")]

use std::{
    ffi::OsString,
    fs, io,
    io::Write as _,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use bytes::Bytes;

use super::error::ConfigError;

/// Bytes of a file at most; no znode holds more than a request of this length.
pub const FILE_LEN_BYTES_MAX: u64 = 64 << 20;

/// What is in a directory.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Found {
    /// A file, or a link to one within the same tree.
    File,
    /// A directory.
    Directory,
    /// A link, to be followed with care.
    Link,
    /// A pipe, a socket, a device.
    Other,
}

/// Who a file belongs to, and who may read it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Ownership {
    /// Permission bits; those of the file before, or 0644, when not told.
    pub mode: Option<u32>,
    /// User id.
    pub user: Option<u32>,
    /// Group id.
    pub group: Option<u32>,
}

impl Ownership {
    /// Returns whether a file has all that is told here.
    pub fn is_of(&self, path: &Path) -> bool {
        let has = ownership(path);
        let same = |told: Option<u32>, has: Option<u32>| told.is_none() || told == has;
        same(self.mode, has.mode) && same(self.user, has.user) && same(self.group, has.group)
    }
}

type Result<T> = std::result::Result<T, ConfigError>;

/// Lists a directory, in order of names.
///
/// # Errors
///
/// [`ConfigError::Disk`], as of all functions here.
pub fn list(directory: &Path) -> Result<Vec<(OsString, Found)>> {
    let failed = || ConfigError::disk(directory);
    let mut entries = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed())? {
        let entry = entry.map_err(failed())?;
        let kind = entry.file_type().map_err(failed())?;
        let found = match () {
            () if kind.is_file() => Found::File,
            () if kind.is_dir() => Found::Directory,
            () if kind.is_symlink() => Found::Link,
            () => Found::Other,
        };
        entries.push((entry.file_name(), found));
    }
    entries.sort_by(|one, other| one.0.cmp(&other.0));
    Ok(entries)
}

/// Returns what a path is, without following a link; `None` when there is nothing.
///
/// # Errors
///
/// [`ConfigError::Disk`].
pub fn look(path: &Path) -> Result<Option<Found>> {
    let kind = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata.file_type(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(ConfigError::disk(path)(error)),
    };
    Ok(Some(match () {
        () if kind.is_file() => Found::File,
        () if kind.is_dir() => Found::Directory,
        () if kind.is_symlink() => Found::Link,
        () => Found::Other,
    }))
}

/// Returns where a path leads, all links followed.
///
/// # Errors
///
/// [`ConfigError::Disk`].
pub fn resolve(path: &Path) -> Result<PathBuf> {
    fs::canonicalize(path).map_err(ConfigError::disk(path))
}

/// Returns whether a path leads to a plain file, links followed.
pub fn is_file(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.is_file())
}

/// Returns whether a path leads to a directory, links followed.
pub fn is_directory(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.is_dir())
}

/// Reads a file of at most [`FILE_LEN_BYTES_MAX`].
///
/// # Errors
///
/// [`ConfigError::Disk`].
pub fn read(path: &Path) -> Result<Bytes> {
    let failed = || ConfigError::disk(path);
    let len_bytes = fs::metadata(path).map_err(failed())?.len();
    if len_bytes > FILE_LEN_BYTES_MAX {
        let text = format!("{len_bytes} bytes are more than {FILE_LEN_BYTES_MAX}");
        return Err(failed()(io::Error::new(io::ErrorKind::FileTooLarge, text)));
    }
    fs::read(path).map(Bytes::from).map_err(failed())
}

/// Reads a file that need not be there.
///
/// # Errors
///
/// [`ConfigError::Disk`].
pub fn read_if_there(path: &Path) -> Result<Option<Bytes>> {
    match read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(ConfigError::Disk { error, .. }) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Makes a directory, and those above it.
///
/// # Errors
///
/// [`ConfigError::Disk`].
pub fn make_directory(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(ConfigError::disk(path))
}

/// Writes a file that is not there yet; what is there, a link among it, is an error.
///
/// # Errors
///
/// [`ConfigError::Disk`].
pub fn write_new(path: &Path, bytes: &[u8], ownership: Ownership) -> Result<()> {
    let failed = || ConfigError::disk(path);
    let mode = ownership.mode.unwrap_or(0o644);
    let mut options = fs::OpenOptions::new();
    // Nobody else may read it before it belongs to whom it should.
    let mut file =
        options.write(true).create_new(true).mode(mode & 0o700).open(path).map_err(failed())?;
    file.write_all(bytes).map_err(failed())?;
    if ownership.user.is_some() || ownership.group.is_some() {
        std::os::unix::fs::fchown(&file, ownership.user, ownership.group).map_err(failed())?;
    }
    file.set_permissions(fs::Permissions::from_mode(mode)).map_err(failed())
}

/// Puts a staged file in the place of another in one step: who reads it sees the old or the new.
///
/// # Errors
///
/// [`ConfigError::Disk`]; then the old file is as it was.
pub fn replace(path: &Path, staged: &Path) -> Result<()> {
    fs::rename(staged, path).map_err(ConfigError::disk(path))?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let folder = parent.unwrap_or(Path::new("."));
    // So that a loss of power does not bring the old one back.
    sync(folder)
}

fn sync(path: &Path) -> Result<()> {
    fs::File::open(path).and_then(|file| file.sync_all()).map_err(ConfigError::disk(path))
}

/// Writes a file in one step, whether it is there or not. Without a word on it, it has the mode and owner of what was there.
///
/// # Errors
///
/// [`ConfigError::Disk`]; then what was there is as it was.
pub fn write_whole(path: &Path, bytes: &[u8], told: Ownership) -> Result<()> {
    let staged = stage(path, bytes, told)?;
    replace(path, &staged).inspect_err(|_| drop(remove(&staged)))
}

/// Writes what a file will be, beside it, and returns where.
///
/// # Errors
///
/// [`ConfigError::Disk`]; then nothing is left of it.
pub fn stage(path: &Path, bytes: &[u8], told: Ownership) -> Result<PathBuf> {
    let mut name = staged_prefix(path);
    name.push(std::process::id().to_string());
    let staged = path.with_file_name(name);
    // One that a process of the same id has left.
    drop(fs::remove_file(&staged));
    let before = ownership(path);
    let is_root = rustix::process::geteuid().is_root();
    let ownership = Ownership {
        mode: told.mode.or(before.mode),
        // Who is not root cannot give files away.
        user: told.user.or(before.user.filter(|_| is_root)),
        group: told.group.or(before.group.filter(|_| is_root)),
    };
    // Durable before it takes the other's place: a loss of power leaves the old or the new.
    write_new(&staged, bytes, ownership)
        .and_then(|()| sync(&staged))
        .inspect_err(|_| drop(fs::remove_file(&staged)))?;
    Ok(staged)
}

fn staged_prefix(path: &Path) -> OsString {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".conclave-");
    name
}

/// Removes what was staged for a file by processes that do not run any more.
pub fn remove_staged(path: &Path) {
    let prefix = staged_prefix(path);
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let folder = parent.unwrap_or(Path::new("."));
    for (name, _) in list(folder).unwrap_or_default() {
        let rest = name.as_encoded_bytes().strip_prefix(prefix.as_encoded_bytes());
        let pid = rest.and_then(|rest| std::str::from_utf8(rest).ok()?.parse().ok());
        if pid.is_some_and(|pid| !is_running(pid)) {
            drop(remove(&folder.join(name)));
        }
    }
}

/// Returns whose a file is; nothing told when there is none.
pub fn ownership(path: &Path) -> Ownership {
    fs::metadata(path).map_or_else(
        |_| Ownership::default(),
        |metadata| Ownership {
            mode: Some(metadata.permissions().mode() & 0o7777),
            user: Some(metadata.uid()),
            group: Some(metadata.gid()),
        },
    )
}

/// Removes a file.
///
/// # Errors
///
/// [`ConfigError::Disk`].
pub fn remove(path: &Path) -> Result<()> {
    fs::remove_file(path).map_err(ConfigError::disk(path))
}

/// Removes a directory if it is empty.
pub fn remove_empty(path: &Path) {
    // One that is not, is in use.
    drop(fs::remove_dir(path));
}

/// Returns whether a process of this machine runs, as far as this process can see.
pub fn is_running(pid: u32) -> bool {
    !Path::new("/proc/self").exists() || Path::new(&format!("/proc/{pid}")).exists()
}

/// Names this machine, since its start, as this process sees it: process ids mean the same only where this is the same.
pub fn machine() -> String {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let namespace = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    format!("{} {}", boot.trim(), namespace.display())
}
