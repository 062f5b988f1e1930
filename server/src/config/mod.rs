//! The configuration: ZooKeeper's own `zoo.cfg`, read once at the start.

mod file;
mod keys;
mod plan;
mod properties;
mod servers;

use std::{collections::BTreeMap, net::IpAddr};

use thiserror::Error;

use crate::{
    acl::Access, boot::Loss, limit::RequestLimits, pipeline::prepare::Rules, replica::ReapSettings,
    shared::LocalSessions,
};

pub use self::{
    file::load,
    servers::{Role, Server},
};

/// Longest request that can be configured, in bytes (`jute.maxbuffer`).
pub const FRAME_LEN_BYTES_MAX_MAX: usize = 32 << 20;

/// Longest reply that can be configured, in bytes (`reply.maxbuffer`): one fits what may wait for a client.
pub const REPLY_LEN_BYTES_MAX_MAX: usize = 128 << 20;

/// Bytes by which a reply may at least be longer than a request: what could be written can be read.
const REPLY_MARGIN_LEN_BYTES: usize = 1024;

/// Requests under way beyond which connections wait for their own (`globalOutstandingLimit`).
const OUTSTANDING_HIGH_DEFAULT: usize = 1000;

/// A member's configuration, checked and complete.
#[derive(Clone, Debug)]
pub struct Config {
    /// This member: the number in `myid`, or `--id`; 1 for a single member.
    pub id: u8,
    /// Length of a tick, in milliseconds (`tickTime`).
    pub tick_time_ms: u32,
    /// Ticks for discovery and synchronization (`initLimit`).
    pub init_limit_ticks: u32,
    /// Ticks of silence (`syncLimit`).
    pub sync_limit_ticks: u32,
    /// Folder of snapshots and epochs (`dataDir`).
    pub data_dir: String,
    /// Folder of the log (`dataLogDir`, by default that of the snapshots).
    pub log_dir: String,
    /// Where clients connect (`clientPortAddress`, or the one of the `server.N` line).
    pub client_address: IpAddr,
    /// Where clients connect (`clientPort`, or the one of the `server.N` line).
    pub client_port: u16,
    /// All members by number; empty for a single one.
    pub servers: BTreeMap<u8, Server>,
    /// Connections from one address, 0 for no limit (`maxClientCnxns`).
    pub connections_per_address_max: usize,
    /// Connections in all, 0 for no limit (`maxCnxns`).
    pub connections_max: usize,
    /// How much clients may ask at a time (`globalOutstandingLimit`, `requestThrottleLimit`,
    /// `throttledOpWaitTime`, `connectionMaxTokens` and its like, `reply.maxbuffer`).
    pub request_limits: RequestLimits,
    /// Least session timeout, in milliseconds (`minSessionTimeout`).
    pub session_timeout_ms_min: u32,
    /// Greatest session timeout, in milliseconds (`maxSessionTimeout`).
    pub session_timeout_ms_max: u32,
    /// Txns between two snapshots, about (`snapCount`).
    pub snapshot_txns: u64,
    /// KiB of txns between two snapshots, about (`snapSizeLimitInKb`).
    pub snapshot_kib: u64,
    /// KiB by which a log segment is extended (`preAllocSize`).
    pub pre_alloc_kib: u32,
    /// Snapshots kept (`autopurge.snapRetainCount`); the rest goes as soon as a new one is there.
    pub retain: usize,
    /// Delivered txns kept for members that were away (`commitLogCount`).
    pub window_entries: usize,
    /// Longest request, in bytes (`jute.maxbuffer`).
    pub frame_len_bytes_max: usize,
    /// Four-letter words that are answered; `None` for all (`4lw.commands.whitelist`).
    pub words: Option<Vec<String>>,
    /// What requests may ask for (`extendedTypesEnabled`, `enforceQuota`).
    pub rules: Rules,
    /// When containers and TTL znodes go (`znode.container.*`).
    pub reap: ReapSettings,
    /// Who may do what, besides the lists of the znodes.
    pub access: Access,
    /// Whether new sessions are known to their member only (`localSessionsEnabled`,
    /// `localSessionsUpgradingEnabled`).
    pub local_sessions: LocalSessions,
    /// Whether clients that ask for no more are served reads without a leader
    /// (`readonlymode.enabled`).
    pub has_read_only_mode: bool,
    /// What is done about acknowledged writes that the disk has lost; from the command line.
    pub loss: Loss,
    /// Listen for other members on every address (`quorumListenOnAllIPs`).
    pub listens_on_all: bool,
}

/// Reads the configuration from the text of the file `path` and of its dynamic part, as [`load`] does,
/// but without a look at a disk or a network: `id` is this member's number, `resolve` finds hosts.
///
/// # Errors
///
/// [`ConfigError`] names file, line, key and what is accepted.
pub fn parse(
    path: &str,
    text: &str,
    dynamic: Option<&str>,
    id: u8,
    resolve: fn(&str) -> Option<IpAddr>,
) -> Result<(Config, Vec<Note>), ConfigError> {
    let mut settings = file::Settings::parse(path, text);
    settings.resolve = resolve;
    if let (Some(name), Some(text)) = (settings.text("dynamicConfigFile"), dynamic) {
        settings.merge(file::Settings::parse(&name, text));
    }
    let config = settings.config(Some(id))?;
    Ok((config, settings.notes))
}

/// How much a note matters.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NoteLevel {
    /// One of ZooKeeper's keys that has no effect here.
    Info,
    /// Perhaps a mistake, or a protection that is asked for and not there.
    Warning,
}

/// Something in the configuration that an operator should know of, and that stops nothing.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Note {
    /// How much it matters.
    pub level: NoteLevel,
    /// Where.
    pub file: String,
    /// Which line, from 1.
    pub line: usize,
    /// What.
    pub text: String,
}

impl std::fmt::Display for Note {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.text)
    }
}

/// Why a configuration is none. The operator's to mend: it names the place and what is accepted.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A file cannot be read.
    #[error("{file}: cannot be read: {source}")]
    Read {
        /// Which.
        file: String,
        /// Why.
        source: std::io::Error,
    },
    /// A file is larger than any configuration.
    #[error("{file}: longer than {max} bytes")]
    TooLong {
        /// Which.
        file: String,
        /// The limit.
        max: u64,
    },
    /// A value is none of those accepted.
    #[error("{file}:{line}: {key}={value}: {accepted}")]
    Value {
        /// Where.
        file: String,
        /// Which line, from 1.
        line: usize,
        /// The key.
        key: String,
        /// What it was set to.
        value: String,
        /// What is accepted.
        accepted: String,
    },
    /// A key that has no default is missing.
    #[error("{file}: {key} is missing: {why}")]
    Missing {
        /// Where.
        file: String,
        /// The key.
        key: &'static str,
        /// What it is for.
        why: &'static str,
    },
    /// The member's number is not known, or not one of the ensemble's.
    #[error("{0}")]
    Id(String),
}
