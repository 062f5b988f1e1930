//! The store thread: carries out durable work in the order it was asked and tells the owner.
//! Appends that have gathered while one sync ran share the next.

use std::{
    sync::{
        Arc,
        mpsc::{self as std_mpsc, RecvTimeoutError},
    },
    time::Duration,
};

use conclave_protocol::{peer::PeerMessage, txn::Entry, zxid::Zxid};
use conclave_snapshots::{StorageError, fs::Fs};
use conclave_zab::Mark;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::handle::DriverEvent;
use crate::{
    clock::Clock,
    replica::{Event, StoreCommand},
    room,
    shared::Shared,
    snapshot,
    store::Store,
};

/// Entries written between two syncs at most: what is acked late holds up everyone.
const SYNC_ENTRIES_MAX: usize = 8192;

/// Rest before a full disk is tried again, in milliseconds.
const NO_SPACE_REST_MS: u64 = 250;

/// Work for the store thread.
#[derive(Debug)]
pub(super) enum Work {
    /// Of the replica.
    Command(StoreCommand),
    /// Take a snapshot, in a thread of its own.
    Snapshot,
    /// A snapshot is durable: remove what is not needed any more.
    Retain,
    /// Send a piece of a snapshot.
    SendChunk {
        /// To whom.
        link: mpsc::Sender<PeerMessage>,
        /// Of which.
        zxid: Zxid,
        /// Where it begins, in bytes.
        offset: u64,
    },
    /// End, after everything before.
    Stop,
}

/// What the store thread holds.
pub(super) struct StoreThread<F: Fs> {
    pub(super) store: Store<F>,
    pub(super) shared: Arc<Shared>,
    pub(super) clock: Clock,
    pub(super) events: mpsc::Sender<DriverEvent>,
    /// For snapshot threads to come back with.
    pub(super) work: std_mpsc::Sender<Work>,
    /// Cancelled when the storage has failed and the member must stop.
    pub(super) failed: CancellationToken,
    /// Cancelled when the member is told to end.
    pub(super) stop: CancellationToken,
    pub(super) room: RoomWatch,
}

/// How an append ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Appended {
    /// It is in the log.
    Done,
    /// There was no room for it until the member was told to end.
    Stopped,
}

/// When the disk was looked at last, and how it was.
#[derive(Debug, Default)]
pub(super) struct RoomWatch {
    looked_ms: u64,
    is_short: bool,
}

impl<F: Fs> StoreThread<F> {
    /// Works until it is told to stop; a failed write or sync ends it, and with it the member.
    pub(super) fn run(mut self, work: &std_mpsc::Receiver<Work>) {
        if let Err(error) = self.work_off(work) {
            // Never retried: after a failed sync nobody knows what is on the disk.
            tracing::error!(member = self.shared.me.0, %error, "storage failed; this member stops");
            self.failed.cancel();
        }
    }

    fn work_off(&mut self, work: &std_mpsc::Receiver<Work>) -> Result<(), StorageError> {
        let mut next = None;
        loop {
            self.look_at_room();
            let rest = Duration::from_millis(room::LOOK_INTERVAL_MS);
            let item = match next.take().map_or_else(|| work.recv_timeout(rest), Ok) {
                Ok(item) => item,
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            };
            match item {
                Work::Command(StoreCommand::Append { mark, entries }) => {
                    next = self.append_all(mark, &entries, work)?;
                }
                Work::Command(command) => {
                    if let Some(event) = self.store.command(command)? {
                        self.tell(event);
                    }
                }
                Work::Snapshot => self.start_snapshot()?,
                Work::Retain => self.store.retain()?,
                Work::SendChunk { link, zxid, offset } => {
                    // A link that is full or gone is made anew, and its member asks again.
                    drop(link.try_send(self.store.read_chunk(zxid, offset)));
                }
                Work::Stop => return Ok(()),
            }
        }
    }

    /// Tells the owner when the disk has become nearly full, or has room again.
    fn look_at_room(&mut self) {
        let now_ms = self.clock.now_ms();
        if now_ms < self.room.looked_ms + room::LOOK_INTERVAL_MS {
            return;
        }
        self.room.looked_ms = now_ms;
        // A disk that does not tell is taken to have room; a write to it will say otherwise.
        let Ok(room) = self.store.room() else { return };
        let is_short = room::is_short(room, self.room.is_short);
        if is_short != self.room.is_short {
            self.room.is_short = is_short;
            self.tell(Event::Room { is_short });
        }
    }

    /// Appends this and all that has gathered behind it, syncs once, and returns the first work
    /// that is no append.
    fn append_all(
        &mut self,
        first: Mark,
        entries: &[Entry],
        work: &std_mpsc::Receiver<Work>,
    ) -> Result<Option<Work>, StorageError> {
        if self.append(entries)? == Appended::Stopped {
            return Ok(Some(Work::Stop));
        }
        let (mut mark, mut count, mut next) = (first, entries.len(), None);
        while count < SYNC_ENTRIES_MAX {
            match work.try_recv() {
                Ok(Work::Command(StoreCommand::Append { mark: later, entries })) => {
                    if self.append(&entries)? == Appended::Stopped {
                        next = Some(Work::Stop);
                        break;
                    }
                    mark = later;
                    count += entries.len();
                }
                Ok(other) => {
                    next = Some(other);
                    break;
                }
                Err(_) => break,
            }
        }
        let start_us = self.clock.now_us();
        self.store.sync()?;
        let took_ms = (self.clock.now_us() - start_us) as f64 / 1000.0;
        self.shared.metrics.fsync_ms.record(took_ms);
        self.tell(Event::Persisted(mark));
        Ok(next)
    }

    /// Waits out a full disk, which leaves the log as it was: writes wait, nothing is lost.
    fn append(&mut self, entries: &[Entry]) -> Result<Appended, StorageError> {
        let mut has_warned = false;
        loop {
            match self.store.append(entries) {
                // Nobody was told that it was written.
                Err(StorageError::NoSpace { .. }) if self.stop.is_cancelled() => {
                    return Ok(Appended::Stopped);
                }
                Err(StorageError::NoSpace { .. }) => {
                    if !has_warned {
                        let member = self.shared.me.0;
                        tracing::error!(member, "no space for the log: writes wait for room");
                        has_warned = true;
                    }
                    std::thread::sleep(Duration::from_millis(NO_SPACE_REST_MS));
                    self.look_at_room();
                }
                result => return result.map(|()| Appended::Done),
            }
        }
    }

    /// Takes a snapshot in a thread of its own; owner and store are told when it is durable.
    fn start_snapshot(&mut self) -> Result<(), StorageError> {
        self.store.roll()?;
        let (fs, dir) = (self.store.fs().clone(), self.store.dirs().data.clone());
        let (shared, events, work) = (self.shared.clone(), self.events.clone(), self.work.clone());
        let name = format!("snapshot-{}", shared.me);
        let spawned = std::thread::Builder::new().name(name).spawn(move || {
            let member = shared.me.0;
            let zxid = snapshot::take(&fs, &dir, &shared).unwrap_or_else(|error| {
                tracing::warn!(member, %error, "no snapshot could be taken");
                None
            });
            if let Some(zxid) = zxid {
                tracing::info!(member, %zxid, "snapshot taken");
                drop(work.send(Work::Retain));
            }
            drop(events.blocking_send(DriverEvent::Replica(Event::SnapshotDone(zxid))));
        });
        if let Err(error) = spawned {
            tracing::warn!(%error, "no thread for a snapshot");
            self.tell(Event::SnapshotDone(None));
        }
        Ok(())
    }

    fn tell(&self, event: Event) {
        // An owner that has ended needs to know nothing.
        drop(self.events.blocking_send(DriverEvent::Replica(event)));
    }
}
