//! What the words are answered from.

use std::net::SocketAddr;

use conclave_protocol::{ids::SessionId, zxid::Zxid};

/// A member at one moment, as far as the words tell of it.
///
/// The lists may stay empty for words that do not tell them: `connections` is for `stat`, `cons`
/// and `dump`, `sessions` for `dump`, `watches` for `wchc` and `wchp`. All else is always filled in.
#[derive(Clone, Debug)]
pub struct MemberReport {
    /// Version, of the form that tools look for.
    pub version: String,
    /// What the member does.
    pub mode: Mode,
    /// Time from request to answer.
    pub latency_ms: LatencyMs,
    /// Requests from clients, words among them.
    pub packets_received: u64,
    /// Answers and events to clients.
    pub packets_sent: u64,
    /// Client connections.
    pub connection_count: u64,
    /// Requests under way.
    pub outstanding: u64,
    /// The last zxid applied.
    pub last_zxid: Zxid,
    /// Znodes, the system's among them.
    pub znode_count: u64,
    /// Znodes that end with a session.
    pub ephemeral_count: u64,
    /// Bytes of paths and data, about.
    pub data_len_bytes: u64,
    /// Watches of all kinds.
    pub watch_count: u64,
    /// Connections that watch something.
    pub watching_connection_count: u64,
    /// Paths that are watched.
    pub watched_path_count: u64,
    /// Sessions of the ensemble.
    pub session_count: u64,
    /// Sessions that only this member knows.
    pub local_session_count: u64,
    /// Time since the member's start.
    pub uptime_ms: u64,
    /// Files and sockets the process has open, and may have; `None` where it cannot be told.
    pub open_files: Option<(u64, u64)>,
    /// Connections refused because of a limit.
    pub connections_refused: u64,
    /// Connections given up because their client was too slow or made no sense.
    pub connections_dropped: u64,
    /// Requests refused because there were too many for too long.
    pub throttled: u64,
    /// Txns proposed as leader.
    pub proposals: u64,
    /// Txns applied.
    pub commits: u64,
    /// Snapshots taken.
    pub snapshots: u64,
    /// Time of a log sync.
    pub fsync_ms: LatencyMs,
    /// Members that vote; `None` of a member without others.
    pub voter_count: Option<u64>,
    /// What only a leader knows; `None` for all others.
    pub leader: Option<LeaderReport>,
    /// The answer to `conf`.
    pub conf: String,
    /// Bytes in the folder of snapshots.
    pub data_dir_len_bytes: u64,
    /// Bytes in the folder of the log.
    pub log_dir_len_bytes: u64,
    /// Facts of the process and its machine, for `envi`, as `(key, value)`.
    pub environment: Vec<(String, String)>,
    /// What `gtmk` tells; for `stmk` the mask that was sent. Nothing is traced by it.
    pub trace_mask: u64,
    /// Client connections one by one.
    pub connections: Vec<ConnectionReport>,
    /// Sessions of the ensemble one by one.
    pub sessions: Vec<SessionReport>,
    /// Watches one by one.
    pub watches: Vec<WatchReport>,
}

/// What a member does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mode {
    /// It looks for a leader, or is not up to date with one: it serves nobody.
    Looking,
    /// It looks for a leader and serves reads to clients that asked for no more.
    ReadOnly,
    /// It is the only member.
    Standalone,
    /// It follows.
    Follower,
    /// It observes.
    Observer,
    /// It leads.
    Leader,
}

impl Mode {
    pub(super) const fn is_serving(self) -> bool {
        !matches!(self, Self::Looking)
    }

    /// Returns the answer to `isro`.
    pub(super) const fn service(self) -> &'static str {
        match self {
            Self::Looking => "null",
            Self::ReadOnly => "ro",
            _ => "rw",
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Looking => "looking",
            Self::ReadOnly => "read-only",
            Self::Standalone => "standalone",
            Self::Follower => "follower",
            Self::Observer => "observer",
            Self::Leader => "leader",
        }
    }

    /// Returns `zk_peer_state`, which members without an ensemble do not have.
    pub(super) const fn peer_state(self) -> Option<&'static str> {
        match self {
            Self::Looking | Self::ReadOnly => Some("looking"),
            Self::Standalone => None,
            Self::Follower => Some("following - broadcast"),
            Self::Observer => Some("observing - broadcast"),
            Self::Leader => Some("leading - broadcast"),
        }
    }
}

/// Least, mean and greatest of some time, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LatencyMs {
    /// Least.
    pub min: u64,
    /// Mean.
    pub mean: f64,
    /// Greatest.
    pub max: u64,
}

impl LatencyMs {
    /// Returns the mean with at most four decimals and at least one, as Java prints it.
    pub(super) fn mean_text(&self) -> String {
        format!("{:?}", (self.mean * 10_000.0).round() / 10_000.0)
    }
}

/// What a leader knows of its ensemble.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct LeaderReport {
    /// Followers and observers connected.
    pub learners: u64,
    /// Followers up to date.
    pub synced_followers: u64,
    /// Observers up to date.
    pub synced_observers: u64,
    /// Syncs under way.
    pub pending_syncs: u64,
    /// Time since it leads.
    pub uptime_ms: u64,
    /// Sizes of txns proposed; `None` before the first.
    pub proposal_sizes: Option<ProposalSizes>,
}

/// Sizes of proposed txns, in bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ProposalSizes {
    /// Of the last.
    pub last: u64,
    /// Least.
    pub min: u64,
    /// Greatest.
    pub max: u64,
}

/// A client's connection.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ConnectionReport {
    /// The client's address.
    pub address: SocketAddr,
    /// Requests not answered yet.
    pub queued: u64,
    /// Requests that came.
    pub received: u64,
    /// Answers and events that went.
    pub sent: u64,
    /// The session; `None` before the connect request, and for the connection of a word.
    pub session: Option<SessionId>,
    /// Granted session timeout.
    pub timeout_ms: u64,
    /// When it was made, ms since 1970.
    pub established_ms: i64,
    /// Its last request.
    pub last: Activity,
    /// Time from request to answer: least, mean, greatest.
    pub latency_ms: (u64, u64, u64),
}

/// The last request of a connection.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Activity {
    /// Four letters for the operation, such as `GETD`; `None` for `NA`, when there was none.
    pub operation: Option<&'static str>,
    /// Its xid.
    pub xid: i32,
    /// The zxid it was answered with.
    pub zxid: i64,
    /// When it was answered, in milliseconds since the member's start.
    pub answered_ms: u64,
    /// How long that took.
    pub latency_ms: u64,
}

/// A session of the ensemble.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SessionReport {
    /// Its id.
    pub id: SessionId,
    /// Granted timeout.
    pub timeout_ms: u64,
    /// Paths of its ephemerals.
    pub ephemerals: Vec<String>,
}

/// A watch.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct WatchReport {
    /// Whose.
    pub session: SessionId,
    /// Where.
    pub path: String,
}
