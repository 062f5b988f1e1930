//! A member's durable work, as a value: the log, the epochs, the snapshot that is being fetched. The
//! driver runs it in a thread; the simulator steps it.

use conclave_protocol::{
    peer::{CHUNK_LEN_BYTES_MAX, PeerMessage},
    txn::Entry,
    zxid::Zxid,
};
use conclave_snapshots::{
    StorageError, epochs,
    fs::{Fs, Room},
    image::{self, ImageReceiver},
    log::Log,
    retain,
};

use crate::{
    load,
    replica::{Event, StoreCommand},
};

/// Where things are and how long they are kept.
#[derive(Clone, Debug)]
pub struct Dirs {
    /// Snapshots and epochs.
    pub data: String,
    /// The log.
    pub log: String,
    /// Snapshots kept; at least 1.
    pub retain: usize,
    /// Keys the hash table of a loaded tree.
    pub seed: u64,
}

/// The durable half of a member.
#[derive(Debug)]
pub struct Store<F: Fs> {
    fs: F,
    dirs: Dirs,
    log: Log<F>,
    receiver: Option<ImageReceiver<F>>,
}

impl<F: Fs> Store<F> {
    /// Takes over a recovered log.
    pub const fn new(fs: F, dirs: Dirs, log: Log<F>) -> Self {
        Self { fs, dirs, log, receiver: None }
    }

    /// Returns the disk.
    pub const fn fs(&self) -> &F {
        &self.fs
    }

    /// Returns where things are.
    pub const fn dirs(&self) -> &Dirs {
        &self.dirs
    }

    /// Appends to the log; durable only after [`Self::sync`].
    ///
    /// # Errors
    ///
    /// [`StorageError::NoSpace`] leaves the log as it was; any other ends the member.
    pub fn append(&mut self, entries: &[Entry]) -> Result<(), StorageError> {
        self.log.append(entries)
    }

    /// Returns the room for the log: what the disk has, and what is reserved already.
    ///
    /// # Errors
    ///
    /// The disk does not tell.
    pub fn room(&self) -> std::io::Result<Room> {
        let room = self.fs.room(&self.dirs.log)?;
        Ok(Room { free_bytes: room.free_bytes + self.log.reserved_bytes(), ..room })
    }

    /// Makes everything appended durable.
    ///
    /// # Errors
    ///
    /// Any ends the member: after a failed sync nobody knows what is on the disk.
    pub fn sync(&mut self) -> Result<(), StorageError> {
        self.log.sync()
    }

    /// Carries out one command whole, and returns what the replica must be told.
    ///
    /// # Errors
    ///
    /// Any ends the member, but for the [`StorageError::NoSpace`] of an append.
    pub fn command(&mut self, command: StoreCommand) -> Result<Option<Event>, StorageError> {
        Ok(match command {
            StoreCommand::Append { mark, entries } => {
                self.append(&entries)?;
                self.sync()?;
                Some(Event::Persisted(mark))
            }
            StoreCommand::Truncate { mark, after } => {
                self.log.truncate_after(after)?;
                Some(Event::Persisted(mark))
            }
            StoreCommand::Epochs { mark, epochs } => {
                epochs::write(&self.fs, &self.dirs.data, epochs)?;
                Some(Event::Persisted(mark))
            }
            StoreCommand::WriteChunk { zxid, len_bytes, offset, data } => {
                if let Err(error) = self.write_chunk(zxid, len_bytes, offset, &data) {
                    tracing::warn!(%error, "a piece of a snapshot could not be written");
                    self.receiver = None;
                }
                None
            }
            StoreCommand::Install { zxid } => Some(self.install(zxid)?),
        })
    }

    fn write_chunk(
        &mut self,
        zxid: Zxid,
        len_bytes: u64,
        offset: u64,
        data: &[u8],
    ) -> Result<(), StorageError> {
        if offset == 0 {
            self.receiver = None;
            let receiver = ImageReceiver::create(&self.fs, &self.dirs.data, zxid, len_bytes)?;
            self.receiver = Some(receiver);
        }
        match &mut self.receiver {
            Some(receiver) => receiver.write_chunk(offset, data),
            None => Ok(()),
        }
    }

    /// Makes a fetched snapshot the newest. Of a bad one nothing is used.
    fn install(&mut self, zxid: Zxid) -> Result<Event, StorageError> {
        let Some(receiver) = self.receiver.take() else { return Ok(Event::InstallFailed) };
        let loaded = receiver
            .finish()
            .map_err(load::LoadError::from)
            .and_then(|_| load::load(&self.fs, &self.dirs.data, zxid, self.dirs.seed));
        match loaded {
            Ok(state) => {
                self.log.reset(zxid)?;
                Ok(Event::Installed(Box::new(state)))
            }
            Err(error) => {
                tracing::warn!(%error, "a fetched snapshot is no good");
                Ok(Event::InstallFailed)
            }
        }
    }

    /// Starts a new segment, so that those before it can go when the snapshot taken now is durable.
    ///
    /// # Errors
    ///
    /// Any ends the member.
    pub fn roll(&mut self) -> Result<(), StorageError> {
        self.log.roll()
    }

    /// Removes the snapshots and segments that are not needed any more.
    ///
    /// # Errors
    ///
    /// Any ends the member.
    pub fn retain(&mut self) -> Result<(), StorageError> {
        let Some(oldest) = retain::retain(&self.fs, &self.dirs.data, self.dirs.retain)? else {
            return Ok(());
        };
        self.log.purge_before(oldest)
    }

    /// Reads a piece of a snapshot for a learner.
    pub fn read_chunk(&self, zxid: Zxid, offset: u64) -> PeerMessage {
        let dir = &self.dirs.data;
        match image::read_chunk(&self.fs, dir, zxid, offset, CHUNK_LEN_BYTES_MAX) {
            Ok((len_bytes, data)) => PeerMessage::ImageChunk { zxid, len_bytes, offset, data },
            Err(error) => {
                tracing::warn!(%zxid, %error, "a snapshot asked for cannot be read");
                PeerMessage::ImageGone { zxid }
            }
        }
    }
}
