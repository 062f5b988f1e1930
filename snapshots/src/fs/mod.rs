//! The door to the disk: small, and cut where a crash can cut. [`RealFs`] is the system's;
//! [`FaultyFs`] is one in memory that forgets, tears and fails under a seed.

use std::{fmt::Debug, io};

mod faulty;
mod real;

pub use faulty::{CrashMode, Fault, FaultyFs};
pub use real::{DirLock, RealFs};

/// A file system. A name is durable only after [`Fs::sync_dir`] of the folder it is in.
pub trait Fs: Clone + Debug + Send + Sync + 'static {
    /// An open file.
    type File: File;

    /// Creates an empty file to read and write, replacing what had the name. Durable after
    /// [`File::sync`] and [`Fs::sync_dir`].
    ///
    /// # Errors
    ///
    /// What the disk says.
    fn create(&self, path: &str) -> io::Result<Self::File>;

    /// Opens a file to read.
    ///
    /// # Errors
    ///
    /// What the disk says; [`io::ErrorKind::NotFound`] when there is none.
    fn open(&self, path: &str) -> io::Result<Self::File>;

    /// Opens an existing file to read and write.
    ///
    /// # Errors
    ///
    /// What the disk says; [`io::ErrorKind::NotFound`] when there is none.
    fn open_write(&self, path: &str) -> io::Result<Self::File>;

    /// Renames a file, replacing what had the name, at once for whoever looks. Durable after
    /// [`Fs::sync_dir`] of both folders.
    ///
    /// # Errors
    ///
    /// What the disk says.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file. Durable after [`Fs::sync_dir`].
    ///
    /// # Errors
    ///
    /// What the disk says.
    fn remove(&self, path: &str) -> io::Result<()>;

    /// Makes all names of a folder durable.
    ///
    /// # Errors
    ///
    /// What the disk says.
    fn sync_dir(&self, dir: &str) -> io::Result<()>;

    /// Returns the names of the files and folders in a folder, sorted.
    ///
    /// # Errors
    ///
    /// What the disk says.
    fn list(&self, dir: &str) -> io::Result<Vec<String>>;

    /// Returns whether the path names a file or folder.
    ///
    /// # Errors
    ///
    /// What the disk says.
    fn exists(&self, path: &str) -> io::Result<bool>;

    /// Creates a folder and those above it, durably.
    ///
    /// # Errors
    ///
    /// What the disk says.
    fn create_dir_all(&self, dir: &str) -> io::Result<()>;

    /// Returns how much room the disk that a folder is on has.
    ///
    /// # Errors
    ///
    /// What the disk says.
    fn room(&self, dir: &str) -> io::Result<Room>;
}

/// The room of a disk, in bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Room {
    /// What may still be written.
    pub free_bytes: u64,
    /// What the disk holds in all.
    pub total_bytes: u64,
}

/// An open file.
pub trait File: Debug + Send + 'static {
    /// Writes all of `bytes` at `offset`, growing the file as needed. Until [`File::sync`] a crash
    /// may keep any part of it; after an error too.
    ///
    /// # Errors
    ///
    /// What the disk says.
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Fills `buffer` from `offset` and returns how much of it, which is less only at the end.
    ///
    /// # Errors
    ///
    /// What the disk says.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;

    /// Makes contents and length durable. After an error nobody knows what is.
    ///
    /// # Errors
    ///
    /// What the disk says.
    fn sync(&mut self) -> io::Result<()>;

    /// Reserves space up to `len` bytes and makes the file that long; what is new reads as zeros.
    ///
    /// # Errors
    ///
    /// What the disk says; [`io::ErrorKind::StorageFull`] when there is no such room.
    fn preallocate(&mut self, len: u64) -> io::Result<()>;

    /// Cuts the file to `len` bytes, or lengthens it with zeros. Durable after [`File::sync`].
    ///
    /// # Errors
    ///
    /// What the disk says.
    fn set_len(&mut self, len: u64) -> io::Result<()>;

    /// Returns the length in bytes.
    ///
    /// # Errors
    ///
    /// What the disk says.
    fn len(&self) -> io::Result<u64>;

    /// Returns whether the file has no bytes.
    ///
    /// # Errors
    ///
    /// What the disk says.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
}

/// Returns the bytes of the files in a folder.
///
/// # Errors
///
/// What the disk says.
pub fn dir_len_bytes<F: Fs>(fs: &F, dir: &str) -> io::Result<u64> {
    let mut sum = 0;
    for name in fs.list(dir)? {
        match fs.open(&format!("{dir}/{name}")).and_then(|file| file.len()) {
            Ok(len) => sum += len,
            // Removed meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(sum)
}

/// Reads a whole file of at most `len_max` bytes.
pub(crate) fn read_all<F: File>(file: &F, len_max: u64) -> io::Result<Vec<u8>> {
    let len = file.len()?;
    if len > len_max {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "longer than any we write"));
    }
    let mut bytes = vec![0; len as usize];
    let read = file.read_at(0, &mut bytes)?;
    bytes.truncate(read);
    Ok(bytes)
}
