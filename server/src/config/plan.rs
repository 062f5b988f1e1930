//! From a configuration to what a member is started with.

use std::{
    collections::BTreeSet,
    fmt::Write,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs},
};

use conclave_protocol::ids::ServerId;
use conclave_snapshots::log::LogOptions;

use super::{Config, OUTSTANDING_HIGH_DEFAULT, Role, Server};
use crate::{
    acl::Access,
    admin::Whitelist,
    boot::{ENGINE_TICK_MS, Loss, Plan},
    driver::Settings,
    limit::RequestLimits,
    net::{Facts, listener::ConnectionLimits, peers::Peer},
    pipeline::{prepare::Rules, quota::HardLimits},
    replica::{self, ReapSettings},
    shared::{LocalSessions, Terms},
};

/// Bytes of delivered txns kept for members that were away, at most.
const WINDOW_LEN_BYTES: usize = 16 << 20;

/// Ticks that a leader's disk may take for a sync while a quorum's disks take less.
const SLOW_DISK_TICKS: u32 = 2;

/// Engine ticks that a quorum of votes waits for a better one.
const ELECTION_SETTLE_TICKS: u32 = 4;

/// A link to another member is given up after a tick of silence, but not before this, in
/// milliseconds: shorter pauses are the machine's own.
const LINK_SILENCE_MS_MIN: u64 = 1000;

/// Silence after which fetching a snapshot is given up, in milliseconds.
const FETCH_TIMEOUT_MS: u64 = 20_000;

impl Config {
    /// Makes a configuration for development: member `id` of `members` on loopback, everything
    /// below `data_dir`.
    pub fn dev(id: u8, members: u8, client_port: u16, peer_port: u16, data_dir: &str) -> Self {
        let servers = (1..=members).filter(|_| members > 1).map(|id| {
            let port = peer_port + u16::from(id - 1);
            let host = "127.0.0.1".to_owned();
            let role = Role::Participant;
            let client_port = Some(client_port + u16::from(id - 1));
            let (election_port, client_host) = (None, Some(host.clone()));
            (id, Server { host, port, election_port, role, client_host, client_port })
        });
        let data_dir = format!("{data_dir}/member-{id}");
        Self {
            id,
            tick_time_ms: 2000,
            init_limit_ticks: 10,
            sync_limit_ticks: 5,
            log_dir: data_dir.clone(),
            data_dir,
            client_address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            client_port: client_port + u16::from(id - 1),
            servers: servers.collect(),
            connections_per_address_max: 0,
            connections_max: 0,
            request_limits: RequestLimits {
                outstanding_high: OUTSTANDING_HIGH_DEFAULT,
                ..RequestLimits::default()
            },
            session_timeout_ms_min: 4000,
            session_timeout_ms_max: 40_000,
            snapshot_txns: 100_000,
            snapshot_kib: 4 << 20,
            pre_alloc_kib: 16 << 10,
            retain: 3,
            window_entries: 10_000,
            frame_len_bytes_max: conclave_protocol::frame::FRAME_LEN_BYTES_MAX_DEFAULT,
            words: None,
            rules: Rules { has_ttl: true, hard_limits: HardLimits::Enforced },
            reap: ReapSettings { interval_ms: 60_000, per_minute_max: 10_000, never_used_ms: 0 },
            access: Access::default(),
            local_sessions: LocalSessions::Off,
            has_read_only_mode: false,
            loss: Loss::default(),
            listens_on_all: false,
        }
    }

    /// Returns the configuration as `conf` answers it: the keys in effect and, of a running member, how
    /// many bytes are in the folders of snapshots and log.
    pub fn describe(&self, dir_len_bytes: Option<(u64, u64)>) -> String {
        let mut out = String::new();
        let mut line = |key: &str, value: String| {
            writeln!(out, "{key}={value}").expect("writing to a string cannot fail");
        };
        line("clientPort", self.client_port.to_string());
        line("secureClientPort", "-1".to_owned());
        line("dataDir", self.data_dir.clone());
        if let Some((data, _)) = dir_len_bytes {
            line("dataDirSize", data.to_string());
        }
        line("dataLogDir", self.log_dir.clone());
        if let Some((_, log)) = dir_len_bytes {
            line("dataLogSize", log.to_string());
        }
        line("tickTime", self.tick_time_ms.to_string());
        line("maxClientCnxns", self.connections_per_address_max.to_string());
        line("minSessionTimeout", self.session_timeout_ms_min.to_string());
        line("maxSessionTimeout", self.session_timeout_ms_max.to_string());
        line("clientPortListenBacklog", "-1".to_owned());
        line("serverId", self.id.to_string());
        if !self.servers.is_empty() {
            line("initLimit", self.init_limit_ticks.to_string());
            line("syncLimit", self.sync_limit_ticks.to_string());
            line("electionAlg", "3".to_owned());
            let (port, election_port) =
                self.own().map_or((0, 0), |own| (own.port, own.election_port.unwrap_or(own.port)));
            line("electionPort", election_port.to_string());
            line("quorumPort", port.to_string());
            let is_voter = self.own().is_none_or(|own| own.role == Role::Participant);
            line("peerType", if is_voter { "0" } else { "1" }.to_owned());
            // The blank is ZooKeeper's own.
            out.push_str("membership: \n");
            out.push_str(&self.describe_members());
            out.push('\n');
        }
        out
    }

    /// Returns the members as `/zookeeper/config` tells them; nothing of a member without others.
    fn describe_members(&self) -> String {
        if self.servers.is_empty() {
            return String::new();
        }
        let lines = self
            .servers
            .iter()
            .map(|(id, server)| format!("server.{id}={}\n", describe_server(server)));
        lines.chain(["version=0".to_owned()]).collect()
    }

    /// Returns the answer to `conf`; ZooKeeper's ends without a line feed when there is an ensemble.
    pub fn conf(&self, data_dir_len_bytes: u64, log_dir_len_bytes: u64) -> String {
        let mut text = self.describe(Some((data_dir_len_bytes, log_dir_len_bytes)));
        if !self.servers.is_empty() {
            text.pop();
        }
        text
    }

    /// Returns how many members vote; `None` of a member without others.
    pub(crate) fn voter_count(&self) -> Option<u64> {
        (!self.servers.is_empty()).then(|| self.members(Role::Participant).len() as u64)
    }

    fn own(&self) -> Option<&Server> {
        self.servers.get(&self.id)
    }

    fn engine_ticks(&self, ticks: u32) -> u32 {
        let ms = u64::from(ticks) * u64::from(self.tick_time_ms);
        u32::try_from(ms.div_ceil(ENGINE_TICK_MS)).unwrap_or(u32::MAX)
    }

    fn members(&self, role: Role) -> BTreeSet<ServerId> {
        if self.servers.is_empty() {
            let alone = ServerId(self.id);
            return (role == Role::Participant).then_some(alone).into_iter().collect();
        }
        let members = self.servers.iter().filter(|(_, server)| server.role == role);
        members.map(|(id, _)| ServerId(*id)).collect()
    }

    fn peer_address(&self) -> Option<SocketAddr> {
        let own = self.own()?;
        if !self.listens_on_all
            && let Ok(mut found) = (own.host.as_str(), own.port).to_socket_addrs()
            && let Some(address) = found.next()
        {
            return Some(address);
        }
        // A name that does not resolve yet: the others may know it already.
        let any = if own.host.contains(':') {
            IpAddr::V6(Ipv6Addr::UNSPECIFIED)
        } else {
            IpAddr::V4(Ipv4Addr::UNSPECIFIED)
        };
        Some(SocketAddr::new(any, own.port))
    }

    /// Returns what a member of this configuration is started with.
    pub fn settings(&self) -> Settings {
        let me = ServerId(self.id);
        let engine = conclave_zab::Config {
            me,
            voters: self.members(Role::Participant),
            observers: self.members(Role::Observer),
            init_limit_ticks: self.engine_ticks(self.init_limit_ticks),
            sync_limit_ticks: self.engine_ticks(self.sync_limit_ticks),
            slow_disk_ticks: self.engine_ticks(SLOW_DISK_TICKS),
            heartbeat_ticks: self.engine_ticks(1).div_ceil(4).max(1),
            election_settle_ticks: ELECTION_SETTLE_TICKS,
            window_entries_max: self.window_entries,
            window_bytes_max: WINDOW_LEN_BYTES,
        };
        // Members take their snapshots at different times: half of the interval, and a share of the
        // other half by number.
        let half = self.snapshot_txns / 2;
        let snapshot_txns = half + half * u64::from(self.id % 8) / 8;
        let plan = Plan {
            me,
            data_dir: self.data_dir.clone(),
            log_dir: self.log_dir.clone(),
            retain: self.retain,
            log: LogOptions::default().pre_alloc_size_kib(self.pre_alloc_kib),
            loss: self.loss,
            engine,
            replica: replica::Settings {
                snapshot_txns: snapshot_txns.max(1),
                snapshot_bytes: self.snapshot_kib.saturating_mul(1024),
                fetch_timeout_ms: FETCH_TIMEOUT_MS,
                reap: self.reap,
            },
            terms: Terms {
                session_timeout_ms_min: self.session_timeout_ms_min,
                session_timeout_ms_max: self.session_timeout_ms_max,
                frame_len_bytes_max: self.frame_len_bytes_max,
                access: self.access.clone(),
                rules: self.rules,
                members: self.describe_members().into(),
                local_sessions: self.local_sessions,
                read_only_after_ms: self.has_read_only_mode.then_some(u64::from(self.tick_time_ms)),
            },
        };
        let peers = self.servers.iter().map(|(id, server)| Peer {
            id: ServerId(*id),
            host: server.host.clone(),
            port: server.port,
        });
        Settings {
            plan,
            client_address: SocketAddr::new(self.client_address, self.client_port),
            peer_address: self.peer_address(),
            peers: peers.collect(),
            link_silence_ms: u64::from(self.tick_time_ms).max(LINK_SILENCE_MS_MIN),
            limits: ConnectionLimits {
                per_address_max: self.connections_per_address_max,
                total_max: self.connections_max,
            },
            request_limits: self.request_limits,
            facts: Facts { whitelist: Whitelist::new(self.words.clone()), config: self.clone() },
        }
    }
}

/// Returns a member as ZooKeeper writes it, with both ports: a member that was given one is shown with
/// that one twice. `clientPort` is not shown: only the member itself knows it, and all tell the same.
fn describe_server(server: &Server) -> String {
    let role = match server.role {
        Role::Participant => "participant",
        Role::Observer => "observer",
    };
    let host = bracketed(&server.host);
    let Server { port, election_port, .. } = server;
    let election_port = election_port.unwrap_or(*port);
    let client_host = server.client_host.as_deref().unwrap_or("0.0.0.0");
    let client = server
        .client_port
        .map_or_else(String::new, |port| format!(";{}:{port}", bracketed(client_host)));
    format!("{host}:{port}:{election_port}:{role}{client}")
}

fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}
