//! The system's disk.
#![expect(clippy::disallowed_methods, reason = "this is the one file that opens files")]

use std::{
    fs,
    io::{self, ErrorKind},
    os::unix::fs::FileExt,
    path::Path,
};

use rustix::{
    fs::{FallocateFlags, FlockOperation, fallocate, flock, statvfs},
    io::Errno,
};

use super::{File, Fs, Room};

/// The system's file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealFs;

/// A folder that no other process uses, for as long as this lives.
#[derive(Debug)]
pub struct DirLock {
    _file: fs::File,
}

impl DirLock {
    /// Locks a folder, which is created where it is missing; `None` when another process has it.
    ///
    /// # Errors
    ///
    /// What the disk says.
    pub fn acquire(dir: &str) -> io::Result<Option<Self>> {
        RealFs.create_dir_all(dir)?;
        let path = Path::new(dir).join("lock");
        let mut options = fs::OpenOptions::new();
        let file = options.write(true).create(true).truncate(false).open(path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// A file of the system's.
#[derive(Debug)]
pub struct RealFile {
    file: fs::File,
    /// The length was changed since the last sync: then a sync of the data alone is not relied on.
    has_new_len: bool,
}

impl RealFile {
    const fn new(file: fs::File) -> Self {
        Self { file, has_new_len: false }
    }
}

impl Fs for RealFs {
    type File = RealFile;

    fn create(&self, path: &str) -> io::Result<RealFile> {
        let mut options = fs::OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true).open(path).map(RealFile::new)
    }

    fn open(&self, path: &str) -> io::Result<RealFile> {
        fs::File::open(path).map(RealFile::new)
    }

    fn open_write(&self, path: &str) -> io::Result<RealFile> {
        fs::OpenOptions::new().read(true).write(true).open(path).map(RealFile::new)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        fs::File::open(dir)?.sync_all()
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(dir)? {
            // A name that is not text is none of ours.
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn exists(&self, path: &str) -> io::Result<bool> {
        fs::exists(path)
    }

    fn create_dir_all(&self, dir: &str) -> io::Result<()> {
        let dir = Path::new(dir);
        if dir.is_dir() {
            return Ok(());
        }
        // The nearest folder that exists: the names below it are new.
        let mut above = dir.ancestors().skip(1);
        let mut fresh = Vec::new();
        for parent in &mut above {
            let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
            fresh.push(parent);
            if parent.is_dir() {
                break;
            }
        }
        fs::create_dir_all(dir)?;
        fresh.into_iter().rev().try_for_each(|parent| fs::File::open(parent)?.sync_all())
    }

    fn room(&self, dir: &str) -> io::Result<Room> {
        let disk = statvfs(dir)?;
        Ok(Room {
            // What is kept back for the superuser is not counted on.
            free_bytes: disk.f_bavail.saturating_mul(disk.f_frsize),
            total_bytes: disk.f_blocks.saturating_mul(disk.f_frsize),
        })
    }
}

impl File for RealFile {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.file.read_at(&mut buffer[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn sync(&mut self) -> io::Result<()> {
        if self.has_new_len {
            self.file.sync_all()?;
            self.has_new_len = false;
            return Ok(());
        }
        self.file.sync_data()
    }

    fn preallocate(&mut self, len: u64) -> io::Result<()> {
        if len <= self.len()? {
            return Ok(());
        }
        self.has_new_len = true;
        match fallocate(&self.file, FallocateFlags::empty(), 0, len) {
            Ok(()) => Ok(()),
            // The length alone saves nothing, but the file looks the same everywhere.
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => self.file.set_len(len),
            Err(error) => Err(error.into()),
        }
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        self.has_new_len = true;
        self.file.set_len(len)
    }

    fn len(&self) -> io::Result<u64> {
        self.file.metadata().map(|metadata| metadata.len())
    }
}
