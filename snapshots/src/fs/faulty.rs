//! A disk in memory that forgets, tears and fails, all under one seed.
//!
//! It knows two states of each file and folder: what a reader sees, and what is durable; a crash
//! makes a new one out of the durable state and of what was not synced.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    io::{self, ErrorKind},
    sync::Arc,
};

use parking_lot::Mutex;

use super::{File, Fs, Room};

/// What a crash writes at once or not at all, in bytes.
const SECTOR_LEN_BYTES: usize = 512;

/// A disk without a limit says that it holds this much.
const UNLIMITED_BYTES: u64 = 1 << 40;

/// What becomes of what was not synced.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CrashMode {
    /// All of it is gone.
    Drop,
    /// All of it is there.
    Keep,
    /// What came first is there, up to some point within a write.
    Tear,
    /// Any sectors and any names are there, and any not.
    Reorder,
}

impl CrashMode {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Drop, Self::Keep, Self::Tear, Self::Reorder];
}

/// How a call fails.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fault {
    /// The device gives an error.
    Io,
    /// The device is full.
    NoSpace,
}

impl Fault {
    fn error(self) -> io::Error {
        match self {
            Self::Io => io::Error::other("injected fault"),
            Self::NoSpace => ErrorKind::StorageFull.into(),
        }
    }
}

/// A file system in memory; clones are the same disk.
#[derive(Clone)]
pub struct FaultyFs {
    disk: Arc<Mutex<Disk>>,
}

/// A file of a [`FaultyFs`]; useless after a crash.
#[derive(Debug)]
pub struct FaultyFile {
    fs: FaultyFs,
    inode: usize,
    /// Crashes before it was opened.
    boot: u64,
}

#[derive(Clone, Default)]
struct Disk {
    random: u64,
    boot: u64,
    inodes: Vec<Inode>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    /// Changes of names that are not durable, in order.
    renames: Vec<NameChange>,
    dirs: BTreeSet<String>,
    /// Changes asked for so far.
    calls: u64,
    /// The call from which on the power is off.
    power_off_at: Option<u64>,
    /// The call that fails once.
    fails_at: Option<(u64, Fault)>,
    capacity_bytes: Option<u64>,
}

#[derive(Clone, Default)]
struct Inode {
    bytes: Vec<u8>,
    durable: Vec<u8>,
    changes: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    SetLen(usize),
}

#[derive(Clone)]
struct NameChange {
    from: Option<String>,
    to: Option<(String, usize)>,
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write { offset, bytes: new } => {
                let end = offset + new.len();
                if bytes.len() < end {
                    bytes.resize(end, 0);
                }
                bytes[*offset..end].copy_from_slice(new);
            }
            Self::SetLen(len) => bytes.resize(*len, 0),
        }
    }
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        if let Some(from) = &self.from {
            names.remove(from);
        }
        if let Some((to, inode)) = &self.to {
            names.insert(to.clone(), *inode);
        }
    }

    fn is_in(&self, dir: &str) -> bool {
        let names = self.from.iter().chain(self.to.iter().map(|(to, _)| to));
        names.into_iter().any(|name| parent(name) == dir)
    }
}

impl FaultyFs {
    /// Returns an empty disk whose faults are drawn from `seed`.
    pub fn new(seed: u64) -> Self {
        let disk = Disk { random: seed, ..Disk::default() };
        Self { disk: Arc::new(Mutex::new(disk)) }
    }

    /// Returns the number of changes asked for so far.
    pub fn call_count(&self) -> u64 {
        self.disk.lock().calls
    }

    /// Turns the power off from change number `call` on: it and all later ones fail and do nothing,
    /// until [`Self::crash`].
    pub fn power_off_at(&self, call: u64) {
        self.disk.lock().power_off_at = Some(call);
    }

    /// Returns whether the power is on: whether changes are carried out.
    pub fn has_power(&self) -> bool {
        let disk = self.disk.lock();
        disk.power_off_at.is_none_or(|at| disk.calls < at)
    }

    /// Lets change number `call` fail, once. A write may be half done then; after a sync nobody
    /// knows, and a later one makes up for nothing.
    pub fn fail_at(&self, call: u64, fault: Fault) {
        self.disk.lock().fails_at = Some((call, fault));
    }

    /// Forgets the faults to come.
    pub fn calm(&self) {
        let mut disk = self.disk.lock();
        (disk.power_off_at, disk.fails_at) = (None, None);
    }

    /// Limits the bytes of all files together; `None` lifts the limit.
    pub fn set_capacity(&self, capacity_bytes: Option<u64>) {
        self.disk.lock().capacity_bytes = capacity_bytes;
    }

    /// Crashes and starts again: open files are useless, faults to come are forgotten.
    pub fn crash(&self, mode: CrashMode) {
        self.disk.lock().crash(mode);
    }

    /// Flips a bit of a file, durably, as a decaying disk does.
    ///
    /// # Panics
    ///
    /// When the file has no such byte.
    pub fn flip(&self, path: &str, byte: u64, bit: u8) {
        let mut is_there = false;
        self.alter(path, |bytes| {
            is_there |= bytes.get_mut(byte as usize).map(|byte| *byte ^= 1 << bit).is_some();
        });
        assert!(is_there, "{path} has no byte {byte}");
    }

    /// Changes a file, durably, behind the back of whoever wrote it. What is seen and what is durable
    /// are changed alike.
    ///
    /// # Panics
    ///
    /// When there is no such file.
    pub fn alter(&self, path: &str, mut change: impl FnMut(&mut Vec<u8>)) {
        let mut disk = self.disk.lock();
        let inode = disk.names[path];
        let inode = &mut disk.inodes[inode];
        change(&mut inode.bytes);
        change(&mut inode.durable);
    }

    /// Returns the contents of a file as a reader sees them.
    pub fn contents(&self, path: &str) -> Option<Vec<u8>> {
        let disk = self.disk.lock();
        disk.names.get(path).map(|&inode| disk.inodes[inode].bytes.clone())
    }

    /// Makes a file have these contents, durably.
    pub fn set_contents(&self, path: &str, bytes: &[u8]) {
        let mut disk = self.disk.lock();
        let inode = disk.inodes.len();
        let (bytes, durable) = (bytes.to_vec(), bytes.to_vec());
        disk.inodes.push(Inode { bytes, durable, changes: Vec::new() });
        disk.names.insert(path.to_owned(), inode);
        disk.durable_names.insert(path.to_owned(), inode);
        disk.dirs.insert(parent(path).to_owned());
    }

    /// Returns a disk with the same contents and no bond to this one.
    #[must_use]
    pub fn copy(&self, seed: u64) -> Self {
        let other = Self::new(seed);
        let disk = self.disk.lock();
        for (path, &inode) in &disk.names {
            other.set_contents(path, &disk.inodes[inode].bytes);
        }
        other.disk.lock().dirs.extend(disk.dirs.iter().cloned());
        other
    }

    /// Returns a disk in the same state, with what is not synced, and no bond to this one.
    #[must_use]
    pub fn fork(&self) -> Self {
        let disk = self.disk.lock().clone();
        Self { disk: Arc::new(Mutex::new(disk)) }
    }

    fn open_inode(&self, disk: &Disk, path: &str) -> io::Result<FaultyFile> {
        let &inode = disk.names.get(path).ok_or(ErrorKind::NotFound)?;
        Ok(FaultyFile { fs: self.clone(), inode, boot: disk.boot })
    }
}

/// Counts only: contents would fill a screen.
impl fmt::Debug for FaultyFs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let disk = self.disk.lock();
        f.debug_struct("FaultyFs").field("files", &disk.names.len()).finish_non_exhaustive()
    }
}

impl Disk {
    /// Draws a number below `bound` (splitmix64).
    fn draw(&mut self, bound: usize) -> usize {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % bound.max(1) as u64) as usize
    }

    /// Counts a change, and returns the fault that it meets.
    fn call(&mut self) -> io::Result<Option<Fault>> {
        let call = self.calls;
        self.calls += 1;
        if self.power_off_at.is_some_and(|at| call >= at) {
            return Err(io::Error::other("the power is off"));
        }
        Ok(self.fails_at.take_if(|(at, _)| *at == call).map(|(_, fault)| fault))
    }

    fn check_call(&mut self) -> io::Result<()> {
        self.call()?.map_or(Ok(()), |fault| Err(fault.error()))
    }

    fn used_bytes(&self) -> u64 {
        self.names.values().map(|&inode| self.inodes[inode].bytes.len() as u64).sum()
    }

    /// Returns how many bytes more there may be.
    fn room_bytes(&self) -> usize {
        let capacity = self.capacity_bytes.unwrap_or(UNLIMITED_BYTES);
        capacity.saturating_sub(self.used_bytes()) as usize
    }

    fn change(&mut self, inode: usize, change: Change) {
        change.apply(&mut self.inodes[inode].bytes);
        self.inodes[inode].changes.push(change);
    }

    fn rename(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.renames.push(change);
    }

    fn crash(&mut self, mode: CrashMode) {
        let renames = std::mem::take(&mut self.renames);
        let count = match mode {
            CrashMode::Tear => self.draw(renames.len() + 1),
            CrashMode::Drop => 0,
            CrashMode::Keep | CrashMode::Reorder => renames.len(),
        };
        for change in &renames[..count] {
            if mode != CrashMode::Reorder || self.draw(2) == 0 {
                change.apply(&mut self.durable_names);
            }
        }
        self.names = self.durable_names.clone();
        for index in 0..self.inodes.len() {
            let changes = std::mem::take(&mut self.inodes[index].changes);
            let mut bytes = std::mem::take(&mut self.inodes[index].durable);
            for change in self.survivors(mode, changes) {
                change.apply(&mut bytes);
            }
            self.inodes[index].durable = bytes.clone();
            self.inodes[index].bytes = bytes;
        }
        // Files without a name are gone for good: nobody has them open any more.
        let named: BTreeSet<usize> = self.names.values().copied().collect();
        for (index, inode) in self.inodes.iter_mut().enumerate() {
            if !named.contains(&index) {
                *inode = Inode::default();
            }
        }
        self.boot += 1;
        self.power_off_at = None;
        self.fails_at = None;
    }

    /// Returns the unsynced changes of a file that a crash leaves.
    fn survivors(&mut self, mode: CrashMode, mut changes: Vec<Change>) -> Vec<Change> {
        match mode {
            CrashMode::Drop => Vec::new(),
            CrashMode::Keep => changes,
            CrashMode::Tear => {
                let count = self.draw(changes.len() + 1);
                changes.truncate(count);
                if let Some(Change::Write { bytes, .. }) = changes.last_mut() {
                    let len = self.draw(bytes.len() + 1);
                    bytes.truncate(len);
                }
                changes
            }
            CrashMode::Reorder => {
                let mut kept = Vec::new();
                for change in changes {
                    match change {
                        Change::Write { offset, bytes } => {
                            kept.extend(self.kept_sectors(offset, &bytes));
                        }
                        change if self.draw(2) == 0 => kept.push(change),
                        Change::SetLen(_) => {}
                    }
                }
                kept
            }
        }
    }

    /// Returns some of the sectors that a write covers.
    fn kept_sectors(&mut self, offset: usize, bytes: &[u8]) -> Vec<Change> {
        let mut kept = Vec::new();
        let mut from = 0;
        while from < bytes.len() {
            let room = SECTOR_LEN_BYTES - (offset + from) % SECTOR_LEN_BYTES;
            let to = bytes.len().min(from + room);
            if self.draw(2) == 0 {
                kept.push(Change::Write { offset: offset + from, bytes: bytes[from..to].to_vec() });
            }
            from = to;
        }
        kept
    }
}

impl Fs for FaultyFs {
    type File = FaultyFile;

    fn create(&self, path: &str) -> io::Result<FaultyFile> {
        let mut disk = self.disk.lock();
        disk.check_call()?;
        if !disk.dirs.contains(parent(path)) {
            return Err(ErrorKind::NotFound.into());
        }
        let inode = disk.inodes.len();
        disk.inodes.push(Inode::default());
        disk.rename(NameChange { from: None, to: Some((path.to_owned(), inode)) });
        self.open_inode(&disk, path)
    }

    fn open(&self, path: &str) -> io::Result<FaultyFile> {
        let disk = self.disk.lock();
        self.open_inode(&disk, path)
    }

    fn open_write(&self, path: &str) -> io::Result<FaultyFile> {
        self.open(path)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut disk = self.disk.lock();
        disk.check_call()?;
        let &inode = disk.names.get(from).ok_or(ErrorKind::NotFound)?;
        let (from, to) = (Some(from.to_owned()), Some((to.to_owned(), inode)));
        disk.rename(NameChange { from, to });
        Ok(())
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let mut disk = self.disk.lock();
        disk.check_call()?;
        if !disk.names.contains_key(path) {
            return Err(ErrorKind::NotFound.into());
        }
        disk.rename(NameChange { from: Some(path.to_owned()), to: None });
        Ok(())
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        let mut disk = self.disk.lock();
        disk.check_call()?;
        let renames = std::mem::take(&mut disk.renames);
        for change in renames {
            if change.is_in(dir) {
                change.apply(&mut disk.durable_names);
            } else {
                disk.renames.push(change);
            }
        }
        Ok(())
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        let disk = self.disk.lock();
        if !disk.dirs.contains(dir) {
            return Err(ErrorKind::NotFound.into());
        }
        let paths = disk.names.keys().chain(&disk.dirs);
        let mut names: Vec<String> = paths
            .filter(|path| path.contains('/') && parent(path) == dir)
            .map(|path| path[dir.len() + 1..].to_owned())
            .collect();
        names.sort_unstable();
        Ok(names)
    }

    fn exists(&self, path: &str) -> io::Result<bool> {
        let disk = self.disk.lock();
        Ok(disk.names.contains_key(path) || disk.dirs.contains(path))
    }

    fn create_dir_all(&self, dir: &str) -> io::Result<()> {
        let mut disk = self.disk.lock();
        if disk.dirs.contains(dir) {
            return Ok(());
        }
        disk.check_call()?;
        let ends = dir.match_indices('/').map(|(end, _)| end).filter(|&end| end > 0);
        let above: Vec<String> = ends.map(|end| dir[..end].to_owned()).collect();
        disk.dirs.extend(above);
        disk.dirs.insert(dir.to_owned());
        Ok(())
    }

    fn room(&self, _: &str) -> io::Result<Room> {
        let disk = self.disk.lock();
        Ok(Room {
            free_bytes: disk.room_bytes() as u64,
            total_bytes: disk.capacity_bytes.unwrap_or(UNLIMITED_BYTES),
        })
    }
}

impl FaultyFile {
    fn disk(&self) -> io::Result<parking_lot::MutexGuard<'_, Disk>> {
        let disk = self.fs.disk.lock();
        if disk.boot == self.boot {
            Ok(disk)
        } else {
            Err(io::Error::other("opened before a crash"))
        }
    }
}

impl File for FaultyFile {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut disk = self.disk()?;
        let mut fault = disk.call()?;
        let offset = offset as usize;
        let len = disk.inodes[self.inode].bytes.len();
        let mut written = bytes.len();
        let room = len.saturating_sub(offset)
            + disk.room_bytes().saturating_sub(offset.saturating_sub(len));
        if fault.is_some() {
            written = disk.draw(bytes.len() + 1);
        } else if written > room {
            (fault, written) = (Some(Fault::NoSpace), room);
        }
        if written > 0 {
            disk.change(self.inode, Change::Write { offset, bytes: bytes[..written].to_vec() });
        }
        fault.map_or(Ok(()), |fault| Err(fault.error()))
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let disk = self.disk()?;
        let bytes = &disk.inodes[self.inode].bytes;
        let from = (offset as usize).min(bytes.len());
        let len = buffer.len().min(bytes.len() - from);
        buffer[..len].copy_from_slice(&bytes[from..from + len]);
        Ok(len)
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut disk = self.disk()?;
        let fault = disk.call()?;
        let inode = &mut disk.inodes[self.inode];
        let changes = std::mem::take(&mut inode.changes);
        if let Some(fault) = fault {
            // The pages count as clean now, and what they hold is on no disk.
            return Err(fault.error());
        }
        for change in changes {
            change.apply(&mut inode.durable);
        }
        Ok(())
    }

    fn preallocate(&mut self, len: u64) -> io::Result<()> {
        let mut disk = self.disk()?;
        disk.check_call()?;
        let old = disk.inodes[self.inode].bytes.len();
        let new = len as usize;
        if new > old {
            if new - old > disk.room_bytes() {
                return Err(ErrorKind::StorageFull.into());
            }
            disk.change(self.inode, Change::SetLen(new));
        }
        Ok(())
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        let mut disk = self.disk()?;
        disk.check_call()?;
        disk.change(self.inode, Change::SetLen(len as usize));
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.disk()?.inodes[self.inode].bytes.len() as u64)
    }
}

/// Returns the folder of a path.
fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(dir, _)| dir)
}
