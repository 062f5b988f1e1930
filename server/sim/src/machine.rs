//! One machine: a disk, a clock, and the member that runs on it, or not.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use bytes::Bytes;
use conclave_protocol::{
    ids::ServerId,
    peer::{
        PeerMessage,
        zab::{Message, Standing},
    },
    txn::{Entry, Txn},
    zxid::{Epoch, Zxid},
};
use conclave_server::{
    boot::{self, Plan},
    pipeline::{apply, forward::Submission},
    replica::{Event, Replica, StoreCommand},
    room,
    shared::Shared,
    snapshot::{Progress, Taking},
    store::Store,
};
use conclave_snapshots::{
    StorageError, epochs,
    fs::{CrashMode, FaultyFs},
};
use conclave_zab::{Engine, Mark};

/// A machine. Its processes come and go; each has a number, so that nothing of one reaches the next.
pub(crate) struct Machine {
    pub(crate) id: ServerId,
    pub(crate) plan: Plan,
    pub(crate) disk: FaultyFs,
    pub(crate) running: Option<Running>,
    /// The number of the process.
    pub(crate) process: u64,
    /// Nothing runs before this.
    pub(crate) paused_until_us: u64,
    /// Its clock runs by so many parts of a million too fast.
    pub(crate) skew_ppm: i64,
    /// How far its wall clock is off, in milliseconds.
    pub(crate) wall_offset_ms: i64,
    /// How many times longer its disk takes than usual.
    pub(crate) disk_factor: u64,
    /// What every sync of its disk takes, in microseconds, while it is gray.
    pub(crate) gray_sync_us: Option<u64>,
    /// Its disk ends nothing before this.
    pub(crate) stalled_until_us: u64,
    /// The epoch that it was asked to promise last, and the newest that it has promised.
    asked_epoch: Epoch,
    promised: Epoch,
    /// Its power fails behind its next promise.
    pub(crate) loses_promise: bool,
    /// Whether a bit of its files has turned and nobody has made up for that yet.
    pub(crate) is_rotten: bool,
    /// What its last process had applied, and the digest of its tree then.
    pub(crate) applied: (Zxid, u64),
    /// The entries of its log, as they were given to the store.
    log: BTreeMap<Zxid, Bytes>,
}

/// A running member.
pub(crate) struct Running {
    pub(crate) shared: Arc<Shared>,
    pub(crate) replica: Replica,
    pub(crate) store: Store<FaultyFs>,
    pub(crate) work: VecDeque<Work>,
    pub(crate) is_working: bool,
    /// An append that is written and not synced yet.
    pub(crate) unsynced: Option<Mark>,
    pub(crate) taking: Option<Taking<FaultyFs>>,
    /// What connections have passed on and the member has not looked at yet.
    pub(crate) arriving: VecDeque<Vec<Submission>>,
    is_short: bool,
}

/// Work for the store, in order.
pub(crate) enum Work {
    Command(StoreCommand),
    SendChunk { to: ServerId, zxid: Zxid, offset: u64 },
}

/// What a turn of the store has brought.
pub(crate) enum Turn {
    /// Done; the member is told, if anything.
    Done(Option<Event>),
    /// A piece of a snapshot for another member.
    Send(ServerId, PeerMessage),
    /// Written; the sync is next.
    Written,
    /// There is no room: it is tried again.
    NoRoom,
    /// There was nothing to do.
    Idle,
}

impl Machine {
    pub(crate) fn new(id: ServerId, plan: Plan, disk_seed: u64) -> Self {
        Self {
            id,
            plan,
            disk: FaultyFs::new(disk_seed),
            running: None,
            process: 0,
            paused_until_us: 0,
            skew_ppm: 0,
            wall_offset_ms: 0,
            disk_factor: 1,
            gray_sync_us: None,
            stalled_until_us: 0,
            asked_epoch: Epoch::default(),
            promised: Epoch::default(),
            loses_promise: false,
            is_rotten: false,
            applied: (Zxid::ZERO, 0),
            log: BTreeMap::new(),
        }
    }

    /// Returns whether its disk has everything that it had acked, as far as it knows itself.
    pub(crate) fn is_whole(&self) -> bool {
        let epochs = epochs::read(&self.disk, "data").ok().flatten();
        !self.is_rotten && epochs.is_none_or(|epochs| epochs.standing == Standing::Whole)
    }

    /// Returns its clocks: monotonic and wall, in milliseconds.
    pub(crate) const fn clocks_ms(&self, now_us: u64) -> (u64, i64) {
        let own_us = now_us as i64 + now_us as i64 * self.skew_ppm / 1_000_000;
        let own_ms = own_us / 1000;
        (own_ms as u64, own_ms + self.wall_offset_ms)
    }

    /// Starts a process. Checks that its disk has what the one before had delivered, and that snapshot
    /// and log make the tree that it had in memory.
    pub(crate) fn start(&mut self, seed: u64, now_us: u64) -> Result<(), String> {
        self.process += 1;
        let wall_ms = self.clocks_ms(now_us).1;
        if self.is_whole() {
            self.check_disk(seed, wall_ms)?;
        }
        let booted = boot::boot(self.disk.clone(), &self.plan, seed, wall_ms);
        let booted = booted.map_err(|error| error.to_string())?;
        // From here on it knows itself that something is missing.
        self.is_rotten &= booted.recovered.epochs.standing == Standing::Whole;
        let entries = &booted.recovered.entries;
        self.log = entries.iter().map(|entry| (entry.zxid, entry.txn.clone())).collect();
        let shared = Arc::new(booted.shared);
        let engine = Engine::new(self.plan.engine.clone(), booted.recovered);
        let replica =
            Replica::new(shared.clone(), self.plan.replica, engine, booted.newest_snapshot);
        self.running = Some(Running {
            shared,
            replica,
            store: booted.store,
            work: VecDeque::new(),
            is_working: false,
            unsynced: None,
            taking: None,
            arriving: VecDeque::new(),
            is_short: false,
        });
        Ok(())
    }

    fn check_disk(&self, seed: u64, wall_ms: i64) -> Result<(), String> {
        let (applied, digest) = self.applied;
        let copy = boot::boot(self.disk.copy(seed), &self.plan, seed, wall_ms)
            .map_err(|error| error.to_string())?;
        let accepted = copy.recovered.epochs.accepted;
        assert!(
            accepted >= self.promised,
            "{} has promised epoch {}, its disk says {}",
            self.id,
            self.promised.0,
            accepted.0
        );
        let mut state = copy.shared.state.write();
        let last = copy.recovered.entries.last().map_or(state.last_applied, |entry| entry.zxid);
        assert!(
            last >= applied,
            "{} had delivered 0x{applied}, its disk ends at 0x{last}",
            self.id
        );
        if state.last_applied > applied {
            // A fetched snapshot was durable, and the process did not live to hear of it.
            return Ok(());
        }
        for entry in copy.recovered.entries.iter().take_while(|entry| entry.zxid <= applied) {
            let txn = Txn::decode(entry.txn.clone()).expect("it was applied before");
            apply::apply(&mut state, entry, txn);
        }
        let replayed = state.tree.digest();
        assert!(
            applied == Zxid::ZERO || replayed == digest,
            "{}: snapshot and log make another tree than it had in memory at 0x{applied}",
            self.id
        );
        Ok(())
    }

    /// Ends the process; the disk keeps what the mode says.
    pub(crate) fn crash(&mut self, mode: CrashMode) {
        if let Some(running) = self.running.take() {
            let state = running.shared.state.read();
            self.applied = (state.last_applied, state.tree.digest());
            drop(state);
            running.shared.drop_all_connections();
        }
        self.process += 1;
        self.disk.crash(mode);
    }

    /// Its disk is as fast as it was.
    pub(crate) const fn mend_disk(&mut self) {
        self.disk_factor = 1;
        self.gray_sync_us = None;
        self.stalled_until_us = 0;
    }

    /// Notes what a leader asks of it.
    pub(crate) const fn note_heard(&mut self, message: &PeerMessage) {
        if let PeerMessage::Zab(Message::NewEpoch { epoch, .. }) = message {
            self.asked_epoch = *epoch;
        }
    }

    /// Notes what it promises. Returns whether its power fails now.
    pub(crate) fn note_said(&mut self, message: &PeerMessage) -> bool {
        if !matches!(message, PeerMessage::Zab(Message::AckEpoch { .. })) {
            return false;
        }
        self.promised = self.promised.max(self.asked_epoch);
        std::mem::take(&mut self.loses_promise)
    }

    /// Gets an empty disk, and has promised nothing.
    pub(crate) fn replace_disk(&mut self, seed: u64) {
        self.disk = FaultyFs::new(seed);
        self.applied = (Zxid::ZERO, 0);
        self.promised = Epoch::default();
    }

    /// Takes over what the log will hold.
    pub(crate) fn note_work(&mut self, command: &StoreCommand) {
        match command {
            StoreCommand::Append { entries, .. } => {
                self.log.extend(entries.iter().map(|entry| (entry.zxid, entry.txn.clone())));
            }
            StoreCommand::Truncate { after, .. } => {
                self.log.retain(|zxid, _| zxid <= after);
            }
            StoreCommand::Epochs { .. }
            | StoreCommand::WriteChunk { .. }
            | StoreCommand::Install { .. } => {}
        }
    }

    /// Returns the entries of its log in `(after, upto]`; what is before is forgotten.
    pub(crate) fn take_delivered(&mut self, after: Zxid, upto: Zxid) -> Vec<Entry> {
        let rest = upto.successor().map(|next| self.log.split_off(&next)).unwrap_or_default();
        let delivered = std::mem::replace(&mut self.log, rest);
        delivered
            .into_iter()
            .filter(|(zxid, _)| *zxid > after)
            .map(|(zxid, txn)| Entry { zxid, txn })
            .collect()
    }
}

impl Running {
    /// Begins or ends a piece of the store's work.
    pub(crate) fn store_turn(&mut self) -> Result<Turn, StorageError> {
        if let Some(mark) = self.unsynced.take() {
            self.store.sync()?;
            return Ok(Turn::Done(Some(Event::Persisted(mark))));
        }
        if let Some(Work::Command(StoreCommand::Append { .. })) = self.work.front() {
            return self.append_all();
        }
        match self.work.pop_front() {
            None => Ok(Turn::Idle),
            Some(Work::SendChunk { to, zxid, offset }) => {
                Ok(Turn::Send(to, self.store.read_chunk(zxid, offset)))
            }
            Some(Work::Command(command)) => self.store.command(command).map(Turn::Done),
        }
    }

    /// Writes all appends that have gathered, as the driver does; they share the sync that is next.
    fn append_all(&mut self) -> Result<Turn, StorageError> {
        while let Some(Work::Command(StoreCommand::Append { mark, entries })) = self.work.front() {
            match self.store.append(entries) {
                Ok(()) => self.unsynced = Some(*mark),
                Err(StorageError::NoSpace { .. }) => break,
                Err(error) => return Err(error),
            }
            self.work.pop_front();
        }
        Ok(if self.unsynced.is_some() { Turn::Written } else { Turn::NoRoom })
    }

    /// Looks at the disk's room; returns what the member is to be told.
    pub(crate) fn look_at_room(&mut self) -> Option<Event> {
        let room = self.store.room().ok()?;
        let is_short = room::is_short(room, self.is_short);
        (is_short != std::mem::replace(&mut self.is_short, is_short))
            .then_some(Event::Room { is_short })
    }

    /// Writes the next slice of a snapshot; returns what the member is to be told at its end.
    pub(crate) fn snapshot_turn(&mut self, znodes: usize) -> Result<Option<Event>, StorageError> {
        let Some(mut taking) = self.taking.take() else { return Ok(None) };
        match taking.advance(&self.shared, znodes) {
            Ok(Progress::More) => {
                self.taking = Some(taking);
                Ok(None)
            }
            Ok(Progress::Over(zxid)) => {
                if zxid.is_some() {
                    self.store.retain()?;
                }
                Ok(Some(Event::SnapshotDone(zxid)))
            }
            Err(_) => Ok(Some(Event::SnapshotDone(None))),
        }
    }
}
