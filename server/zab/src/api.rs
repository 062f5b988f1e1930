//! What goes into an engine and what comes out.

use alloc::{collections::BTreeSet, vec::Vec};

use bytes::Bytes;
use conclave_protocol::{
    ids::ServerId,
    peer::zab::{Epochs, Message},
    txn::Entry,
    zxid::{Epoch, Zxid},
};

/// An atomic broadcast, driven from outside.
pub trait Broadcast {
    /// Advances by one input and appends what must be done to `out`, in order.
    fn step(&mut self, input: Input, out: &mut Vec<Output>);
}

/// Names a durable step; rises by one with each.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Mark(pub u64);

/// What an engine is told.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Input {
    /// One tick has passed.
    Tick,
    /// A message came.
    Receive {
        /// From whom.
        from: ServerId,
        /// What.
        message: Message,
    },
    /// Encoded txns to broadcast; ignored unless this member leads.
    Propose(Vec<Bytes>),
    /// Everything up to this mark is durable.
    Persisted {
        /// The newest.
        mark: Mark,
    },
    /// A connection to this member is up, both ways.
    Connected(ServerId),
    /// The connection to this member is gone.
    Disconnected(ServerId),
    /// The snapshot asked for by [`Output::FetchImage`] is durable and loaded, the log reset to it.
    Installed {
        /// Its zxid.
        zxid: Zxid,
    },
    /// The snapshot asked for could not be had.
    InstallFailed,
    /// Prove that this member leads; ignored unless it does.
    Confirm {
        /// Comes back in [`Output::Confirmed`].
        token: u64,
    },
}

/// What an engine wants done.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Output {
    /// Send a message.
    Send {
        /// To whom.
        to: ServerId,
        /// What.
        message: Message,
    },
    /// Append to the log and sync.
    Persist {
        /// To be answered.
        mark: Mark,
        /// What to append.
        entries: Vec<Entry>,
    },
    /// Replace the epochs file atomically.
    PersistEpochs {
        /// To be answered.
        mark: Mark,
        /// Its new contents.
        epochs: Epochs,
    },
    /// Drop log entries; never delivered ones.
    Truncate {
        /// To be answered.
        mark: Mark,
        /// The last entry that stays.
        after: Zxid,
    },
    /// These are committed and on this member's disk: apply them, in order.
    Deliver {
        /// Without gaps since the last delivery.
        entries: Vec<Entry>,
    },
    /// This member's role changed. `Leading` comes after everything older is delivered.
    Role(Role),
    /// Fetch the newest snapshot of that member and install it.
    FetchImage {
        /// From whom.
        from: ServerId,
    },
    /// A quorum has confirmed this leader since the [`Input::Confirm`] came.
    Confirmed {
        /// What it was asked with.
        token: u64,
        /// What was committed when it was asked.
        upto: Zxid,
    },
}

/// What a member does in the ensemble.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Role {
    /// It has no leader.
    Looking,
    /// It orders the txns of this epoch.
    Leading {
        /// Its reign.
        epoch: Epoch,
    },
    /// It votes, and follows.
    Following {
        /// Whom.
        leader: ServerId,
        /// That one's reign.
        epoch: Epoch,
    },
    /// It follows without a vote.
    Observing {
        /// Whom.
        leader: ServerId,
        /// That one's reign.
        epoch: Epoch,
    },
}

/// What an engine knows from the configuration.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Config {
    /// This member.
    pub me: ServerId,
    /// Members that vote.
    pub voters: BTreeSet<ServerId>,
    /// Members that do not.
    pub observers: BTreeSet<ServerId>,
    /// Discovery and synchronization may take this long.
    pub init_limit_ticks: u32,
    /// Silence after which a leader or a quorum of followers is given up.
    pub sync_limit_ticks: u32,
    /// A leader whose disk takes longer than this while a quorum's disks do not is to be replaced.
    pub slow_disk_ticks: u32,
    /// Time between two pings.
    pub heartbeat_ticks: u32,
    /// A quorum of votes waits this long for a better one, unless all who could vote agree.
    pub election_settle_ticks: u32,
    /// Delivered entries kept for learners that were away, at most.
    pub window_entries_max: usize,
    /// Bytes of delivered entries kept, at most.
    pub window_bytes_max: usize,
}

/// What is on a member's disk when its engine is made.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Recovered {
    /// The epochs file.
    pub epochs: Epochs,
    /// The zxid of the snapshot, all of which was delivered before.
    pub base: Zxid,
    /// The log behind it, without gaps.
    pub entries: Vec<Entry>,
}

/// A leader's learners.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct LearnerCounts {
    /// All that have a connection to it and take part.
    pub learners: usize,
    /// Voters that are synchronised.
    pub synced_voters: usize,
    /// Observers that are synchronised.
    pub synced_observers: usize,
}
