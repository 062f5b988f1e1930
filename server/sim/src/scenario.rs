//! What a run is made of. Every seed draws its own: which faults there are, how often, and how fast
//! network and disks are, so that no two runs are alike in kind.

use std::{collections::BTreeSet, fmt, ops::Range};

use conclave_server::shared::LocalSessions;

use crate::{coverage::Coverage, random::Random};

/// What may go wrong in a run.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Fault {
    /// A process dies; its disk keeps what the system had.
    Kill,
    /// The power of one member fails: what was not synced is gone, torn or reordered, and its
    /// connections end without a word.
    PowerLoss,
    /// The power of all members fails at once.
    Blackout,
    /// The power fails at one of the next changes of a disk: within an append, between a write and its
    /// sync, between a snapshot and the removal of the one before.
    CrashPoint,
    /// One of the next changes of a disk fails.
    DiskError,
    /// A disk takes many times as long.
    SlowDisk,
    /// A disk has no more room.
    FullDisk,
    /// A bit of a log or a snapshot turns, while its member is down.
    BitRot,
    /// An observer comes back with an empty disk.
    Replace,
    /// A connection between two members breaks.
    Cut,
    /// Nothing gets from one member to another; the way back is open.
    OneWay,
    /// One member is cut off from all others.
    Isolation,
    /// The members fall into two groups.
    Partition,
    /// A link comes and goes.
    Flapping,
    /// A link takes many times as long.
    SlowLink,
    /// A process stands still.
    Pause,
    /// A wall clock jumps.
    ClockJump,
    /// Clients' connections break.
    ClientCut,
    /// A disk takes longer for every sync than a leader's may, or ends none, for a while.
    GrayDisk,
    /// All connections of a leader break, and it alone is not told.
    HalfOpen,
    /// The power of a member fails right behind the next promise that it makes to a leader.
    PromiseLost,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 21] = [
        Self::Kill,
        Self::PowerLoss,
        Self::Blackout,
        Self::CrashPoint,
        Self::DiskError,
        Self::SlowDisk,
        Self::FullDisk,
        Self::BitRot,
        Self::Replace,
        Self::Cut,
        Self::OneWay,
        Self::Isolation,
        Self::Partition,
        Self::Flapping,
        Self::SlowLink,
        Self::Pause,
        Self::ClockJump,
        Self::ClientCut,
        Self::GrayDisk,
        Self::HalfOpen,
        Self::PromiseLost,
    ];
}

/// What a run is made of.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Scenario {
    /// Decides every choice.
    pub seed: u64,
    /// Members that vote.
    pub voters: u8,
    /// Members that do not.
    pub observers: u8,
    /// Clients.
    pub clients: usize,
    /// Of those, how many write nothing: they ask for what is new, all the time.
    pub readers: usize,
    /// Virtual time with faults, in milliseconds.
    pub duration_ms: u64,
    /// What may go wrong.
    pub faults: BTreeSet<Fault>,
    /// Time between two faults, in milliseconds.
    pub fault_every_ms: Range<u64>,
    /// How long a message takes, in microseconds.
    pub delay_us: Range<u64>,
    /// How long a sync takes, in microseconds.
    pub sync_us: Range<u64>,
    /// A client's rest between two bursts of requests, in milliseconds.
    pub think_ms: Range<u64>,
    /// Requests that a client sends at once, at most.
    pub burst: u64,
    /// Txns after which a snapshot is taken.
    pub snapshot_txns: u64,
    /// Delivered entries that members keep for those that were away.
    pub window_entries: usize,
    /// How far the speed of a member's clock may be off, in parts of a million.
    pub skew_ppm: u64,
    /// Whether new sessions are their member's alone, and what becomes of those that want ephemerals.
    pub local_sessions: LocalSessions,
    /// Whether members without a leader serve reads, and some clients are content with that.
    pub has_read_only: bool,
    /// After the faults, before all links are whole: only those of one member are.
    pub has_hub: bool,
}

impl Scenario {
    /// Draws the scenario of a seed.
    pub fn draw(seed: u64) -> Self {
        let mut random = Random::new(seed ^ 0x5ce9_a710);
        let share = 1 + random.below(8);
        let faults: BTreeSet<Fault> =
            Fault::ALL.into_iter().filter(|_| random.below(9) < share).collect();
        let often_ms = *random.pick(&[300, 1000, 4000]);
        // A leader that is cut off finds out soon: only who is faster can catch it.
        let is_fast = faults.contains(&Fault::HalfOpen) && random.below(2) == 0;
        let slow_us = if is_fast { 1 } else { *random.pick(&[1, 1, 10, 40]) };
        let sync_us = if is_fast { 200 } else { *random.pick(&[200, 2000, 10_000]) };
        let think_ms =
            if is_fast { 1..20 } else { random.pick(&[1..20, 10..200, 50..500]).clone() };
        Self {
            seed,
            voters: *random.pick(&[1, 3, 3, 3, 3, 5]),
            observers: *random.pick(&[0, 0, 1, 2]),
            clients: 2 + random.below(5) as usize,
            readers: if is_fast { 1 } else { random.below(2) as usize },
            duration_ms: 20_000 + random.below(40_000),
            faults,
            fault_every_ms: often_ms / 4..often_ms * 2,
            delay_us: 50 * slow_us..600 * slow_us,
            sync_us: sync_us / 2..sync_us * 2,
            think_ms,
            burst: 1 + random.below(8),
            snapshot_txns: 20 + random.below(400),
            window_entries: *random.pick(&[8, 50, 300]),
            skew_ppm: *random.pick(&[0, 0, 1000, 50_000]),
            local_sessions: *random.pick(&[
                LocalSessions::Off,
                LocalSessions::Off,
                LocalSessions::Off,
                LocalSessions::Upgraded,
                LocalSessions::Upgraded,
                LocalSessions::On,
            ]),
            has_read_only: random.below(3) == 0,
            has_hub: random.below(4) == 0,
        }
    }

    /// Returns one without faults, for measuring: three members, four clients.
    pub fn calm(seed: u64, duration_ms: u64) -> Self {
        Self {
            seed,
            voters: 3,
            observers: 0,
            clients: 4,
            readers: 0,
            duration_ms,
            faults: BTreeSet::new(),
            fault_every_ms: 1000..2000,
            delay_us: 50..600,
            sync_us: 500..2000,
            think_ms: 50..500,
            burst: 4,
            snapshot_txns: 1000,
            window_entries: 100,
            skew_ppm: 0,
            local_sessions: LocalSessions::Off,
            has_read_only: false,
            has_hub: false,
        }
    }
}

/// What a run did, and a digest of all that happened in it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Report {
    /// Virtual time, in milliseconds.
    pub simulated_ms: u64,
    /// Things that happened.
    pub events: u64,
    /// Txns in the ledger.
    pub txns: u64,
    /// Requests whose answers were judged.
    pub answers: u64,
    /// Watch events that clients got.
    pub watch_events: u64,
    /// Faults that happened.
    pub faults: u64,
    /// Starts of members after the first.
    pub restarts: u64,
    /// Reigns that began.
    pub reigns: u64,
    /// Snapshots that were taken.
    pub snapshots: u64,
    /// Snapshots that were sent to learners and installed.
    pub installed: u64,
    /// Sessions that ended because nothing was heard of them.
    pub expired: u64,
    /// Virtual time from the end of the faults to a new acknowledged write, in milliseconds.
    pub recovery_ms: u64,
    /// Disks that turned gray with everything else well, so that what is promised then was held.
    pub gray_disks: u64,
    /// What was visited.
    pub coverage: Coverage,
    /// The same for every run of one scenario and version.
    pub trace: u64,
}

impl Report {
    /// Adds another run's figures; the longest recovery counts.
    pub fn add(&mut self, other: &Self) {
        self.simulated_ms += other.simulated_ms;
        self.events += other.events;
        self.txns += other.txns;
        self.answers += other.answers;
        self.watch_events += other.watch_events;
        self.faults += other.faults;
        self.restarts += other.restarts;
        self.reigns += other.reigns;
        self.snapshots += other.snapshots;
        self.installed += other.installed;
        self.expired += other.expired;
        self.recovery_ms = self.recovery_ms.max(other.recovery_ms);
        self.gray_disks += other.gray_disks;
        self.coverage.add(&other.coverage);
        // The same in whatever order threads end their seeds.
        self.trace ^= other.trace;
    }
}

/// One figure a line.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hours = self.simulated_ms as f64 / 3_600_000.0;
        writeln!(f, "  simulated hours: {hours:.2}")?;
        writeln!(f, "  events: {}", self.events)?;
        writeln!(f, "  txns: {}", self.txns)?;
        writeln!(f, "  answers judged: {}", self.answers)?;
        writeln!(f, "  watch events judged: {}", self.watch_events)?;
        writeln!(f, "  faults: {}", self.faults)?;
        writeln!(f, "  restarts: {}", self.restarts)?;
        writeln!(f, "  reigns: {}", self.reigns)?;
        writeln!(f, "  snapshots taken: {}", self.snapshots)?;
        writeln!(f, "  snapshots installed: {}", self.installed)?;
        writeln!(f, "  sessions expired: {}", self.expired)?;
        writeln!(f, "  gray disks survived: {}", self.gray_disks)?;
        write!(f, "{}", self.coverage)?;
        writeln!(f, "  longest recovery in ms: {}", self.recovery_ms)?;
        // In letters too: it is no figure.
        write!(f, "  trace: {:016x}", self.trace)
    }
}
