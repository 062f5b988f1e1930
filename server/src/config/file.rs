//! From a file to a configuration.
#![expect(clippy::disallowed_methods, reason = "the configuration is read here and nowhere else")]

use std::{
    collections::BTreeMap,
    io::{ErrorKind, Read},
    net::{IpAddr, Ipv4Addr, ToSocketAddrs},
    str::FromStr,
};

use conclave_protocol::frame::FRAME_LEN_BYTES_MAX_DEFAULT;

use super::{
    Config, ConfigError, FRAME_LEN_BYTES_MAX_MAX, Note, NoteLevel, OUTSTANDING_HIGH_DEFAULT,
    REPLY_LEN_BYTES_MAX_MAX, REPLY_MARGIN_LEN_BYTES,
    keys::{FAMILIES_NOT_IN_USE, NOT_IN_USE, RELIED_ON, USED},
    properties::{self, Property},
    servers::{self, Role, Server},
};
use crate::{
    acl::{Access, SCHEMES},
    boot::Loss,
    lane::REPLY_LEN_BYTES_MAX_DEFAULT,
    limit::{ConnectRate, RequestLimits},
    pipeline::{prepare::Rules, quota::HardLimits},
    replica::ReapSettings,
    shared::LocalSessions,
};

/// Bytes of a configuration file at most.
const CONFIG_LEN_BYTES_MAX: u64 = 1 << 20;

/// Characters of a key or a value that a message shows at most.
const SHOWN_CHARS_MAX: usize = 120;

/// Longest time that a key can be set to, in milliseconds: a century.
const MS_MAX: u64 = 100 * 365 * 86_400_000;

/// Notes kept at most: a file of nonsense has one for each line.
const NOTES_MAX: usize = 1000;

/// Loads the configuration in `path`. `id` overrides the `myid` file. Notes are for the log.
///
/// # Errors
///
/// [`ConfigError`] names file, line, key and what is accepted.
pub fn load(path: &str, id: Option<u8>) -> Result<(Config, Vec<Note>), ConfigError> {
    let mut settings = Settings::read(path)?;
    if let Some(dynamic) = settings.text("dynamicConfigFile") {
        settings.merge(Settings::read(&dynamic)?);
    }
    let config = settings.config(id)?;
    Ok((config, settings.notes))
}

pub(super) struct Settings {
    file: String,
    /// The last setting of each key, and the file it is in.
    found: BTreeMap<String, (String, Property)>,
    pub(super) notes: Vec<Note>,
    /// Returns the address of a host.
    pub(super) resolve: fn(&str) -> Option<IpAddr>,
}

impl Settings {
    fn read(path: &str) -> Result<Self, ConfigError> {
        let text = read_text(path)?;
        Ok(Self::parse(path, &text))
    }

    /// Adds those of another file, which override those of this one.
    pub(super) fn merge(&mut self, more: Self) {
        self.notes.extend(more.notes);
        for (key, (file, property)) in more.found {
            let line = property.line;
            if self.found.insert(key.clone(), (file.clone(), property)).is_some() {
                let text = format!("{key} is set in {} too; this one counts", self.file);
                self.push(Note { level: NoteLevel::Warning, file, line, text });
            }
        }
    }

    pub(super) fn parse(path: &str, text: &str) -> Self {
        let (file, found, notes) = (path.to_owned(), BTreeMap::new(), Vec::new());
        let mut settings = Self { file, found, notes, resolve };
        for property in properties::parse(text) {
            // ZooKeeper takes some keys as system properties only; here they may stand in the file.
            let key = property.key.strip_prefix("zookeeper.").unwrap_or(&property.key).to_owned();
            settings.judge(&key, property.line);
            let line = property.line;
            if settings.found.insert(key.clone(), (path.to_owned(), property)).is_some() {
                settings.warn(line, format!("{} is set twice; the last one counts", shown(&key)));
            }
        }
        settings
    }

    fn judge(&mut self, key: &str, line: usize) {
        if USED.contains(&key) || key.starts_with("server.") {
            return;
        }
        let is_one_of = |beginnings: &[&str]| beginnings.iter().any(|start| key.starts_with(start));
        if is_one_of(RELIED_ON) {
            self.warn(line, format!("{} has no effect in this version", shown(key)));
        } else if is_one_of(FAMILIES_NOT_IN_USE) || NOT_IN_USE.contains(&key) {
            let text = format!("{} has no effect in this version", shown(key));
            self.push(Note { level: NoteLevel::Info, file: self.file.clone(), line, text });
        } else {
            self.warn(line, format!("unknown key {} is ignored", shown(key)));
        }
    }

    fn warn(&mut self, line: usize, text: String) {
        self.push(Note { level: NoteLevel::Warning, file: self.file.clone(), line, text });
    }

    fn push(&mut self, note: Note) {
        if self.notes.len() < NOTES_MAX {
            self.notes.push(note);
        }
    }

    pub(super) fn text(&self, key: &str) -> Option<String> {
        self.found.get(key).map(|(_, property)| property.value.clone())
    }

    fn wrong(&self, key: &str, accepted: &str) -> ConfigError {
        let (file, property) = &self.found[key];
        ConfigError::Value {
            file: file.clone(),
            line: property.line,
            key: shown(key),
            value: shown(&property.value),
            accepted: accepted.to_owned(),
        }
    }

    /// Returns a number within bounds, or the default when the key is not set.
    fn number<T: FromStr + TryFrom<u64> + PartialOrd + std::fmt::Display + Copy>(
        &self,
        key: &str,
        default: T,
        min: T,
        max: T,
    ) -> Result<T, ConfigError> {
        let Some(value) = self.text(key) else { return Ok(default) };
        // ZooKeeper takes system properties in hexadecimal too, and its manual writes them so.
        let parsed = match value.strip_prefix("0x") {
            Some(digits) => {
                u64::from_str_radix(digits, 16).ok().and_then(|it| T::try_from(it).ok())
            }
            None => value.parse().ok(),
        };
        match parsed {
            Some(number) if (min..=max).contains(&number) => Ok(number),
            _ => Err(self.wrong(key, &format!("expected a number from {min} to {max}"))),
        }
    }

    /// Reads a number that ZooKeeper raises to `least` where it is less; so it is here, with a warning.
    fn at_least(&mut self, key: &str, default: u64, least: u64) -> Result<u64, ConfigError> {
        let number = self.number(key, default as i64, i64::from(i32::MIN), i64::from(i32::MAX))?;
        if number < least as i64 {
            self.warn_at(
                key,
                &format!("{key}={number} is less than {least}, which is used instead"),
            );
        }
        Ok(number.max(least as i64) as u64)
    }

    /// Reads the longest request. Members of ZooKeeper are often given far more than any request
    /// has; what is more than here can be is cut down, with a warning.
    fn frame_len_bytes_max(&mut self) -> Result<usize, ConfigError> {
        let (key, max) = ("jute.maxbuffer", FRAME_LEN_BYTES_MAX_MAX);
        let asked = self.number(key, FRAME_LEN_BYTES_MAX_DEFAULT, 1024, i32::MAX as usize)?;
        if asked > max {
            self.warn_at(key, &format!("{key}={asked} is more than {max}, which is used instead"));
        }
        Ok(asked.min(max))
    }

    /// Reads a limit of connections; none at 0 or below, as in ZooKeeper.
    fn count(&self, key: &str, default: i64) -> Result<usize, ConfigError> {
        let number = self.number(key, default, i64::from(i32::MIN), i64::from(i32::MAX))?;
        Ok(usize::try_from(number).unwrap_or(0))
    }

    /// Reads a time in ticks that only members with others need.
    fn limit_ticks(
        &self,
        key: &str,
        default: u32,
        servers: &BTreeMap<u8, Server>,
    ) -> Result<u32, ConfigError> {
        let least = u32::from(!servers.is_empty());
        Ok(self.number(key, default, least, 1_000_000)?.max(1))
    }

    fn boolean(&self, key: &str, default: bool) -> Result<bool, ConfigError> {
        match self.text(key).map(|value| value.to_ascii_lowercase()).as_deref() {
            None => Ok(default),
            Some("true" | "yes") => Ok(true),
            Some("false" | "no") => Ok(false),
            Some(_) => Err(self.wrong(key, "expected true or false")),
        }
    }

    /// What is not UTF-8 would name another folder or host than was meant.
    fn check_text(&self) -> Result<(), ConfigError> {
        let is_used = |key: &str| USED.contains(&key) || key.starts_with("server.");
        match self.found.iter().find(|(key, (_, found))| {
            is_used(key) && (key.contains('\u{fffd}') || found.value.contains('\u{fffd}'))
        }) {
            Some((key, _)) => Err(self.wrong(key, "expected text in UTF-8")),
            None => Ok(()),
        }
    }

    fn data_dir(&self) -> Result<String, ConfigError> {
        for key in ["dataDir", "dataLogDir"] {
            if self.text(key).is_some_and(|dir| dir.is_empty()) {
                return Err(self.wrong(key, "expected the name of a folder"));
            }
        }
        let why = "the folder that holds what this member knows";
        self.text("dataDir").ok_or_else(|| self.missing("dataDir", why))
    }

    /// Returns the port of the own server line, or else the one of the key.
    fn client_port(&self, own: Option<&Server>) -> Result<u16, ConfigError> {
        if let Some(port) = own.and_then(|own| own.client_port) {
            return Ok(port);
        }
        if self.found.contains_key("clientPort") {
            return self.number("clientPort", 2181, 0, u16::MAX);
        }
        let why = match self.found.contains_key("secureClientPort") {
            true => "where clients connect: there is no TLS for secureClientPort here",
            false => "where clients connect, usually 2181",
        };
        Err(self.missing("clientPort", why))
    }

    fn missing(&self, key: &'static str, why: &'static str) -> ConfigError {
        ConfigError::Missing { file: self.file.clone(), key, why }
    }

    pub(super) fn config(&mut self, id: Option<u8>) -> Result<Config, ConfigError> {
        self.check_text()?;
        let servers = self.servers()?;
        self.note_addresses();
        let data_dir = self.data_dir()?;
        let id = self.id(id, &data_dir, &servers)?;
        let own = servers.get(&id);
        self.note_client_ports(id, own);
        let client_port = self.client_port(own)?;
        let tick_time_ms = self.number("tickTime", 3000, 1, 3_600_000)?;
        let (session_timeout_ms_min, session_timeout_ms_max) = self.session_bounds(tick_time_ms)?;
        let purge_interval = self.number("autopurge.purgeInterval", 1, 0, i32::MAX)?;
        if purge_interval == 0 && self.found.contains_key("autopurge.purgeInterval") {
            let text = "old snapshots are always removed, also with autopurge.purgeInterval=0";
            self.warn_at("autopurge.purgeInterval", text);
        }
        let frame_len_bytes_max = self.frame_len_bytes_max()?;
        let has_read_only_mode = self.boolean("readonlymode.enabled", false)?;
        Ok(Config {
            id,
            tick_time_ms,
            init_limit_ticks: self.limit_ticks("initLimit", 10, &servers)?,
            sync_limit_ticks: self.limit_ticks("syncLimit", 5, &servers)?,
            log_dir: self.text("dataLogDir").unwrap_or_else(|| data_dir.clone()),
            data_dir,
            client_address: self.client_address(id, own)?,
            client_port,
            connections_per_address_max: self.count("maxClientCnxns", 60)?,
            connections_max: self.count("maxCnxns", 0)?,
            request_limits: self.request_limits(frame_len_bytes_max)?,
            session_timeout_ms_min,
            session_timeout_ms_max,
            snapshot_txns: self.at_least("snapCount", 100_000, 2)?,
            snapshot_kib: self.number("snapSizeLimitInKb", 4 << 20, 1, i64::MAX as u64 >> 10)?,
            pre_alloc_kib: self.number("preAllocSize", 64 << 10, 0, 1 << 20)?,
            retain: self.at_least("autopurge.snapRetainCount", 3, 3)? as usize,
            window_entries: self.number("commitLogCount", 10_000, 1, 10_000_000)?,
            frame_len_bytes_max,
            words: self.words(has_read_only_mode),
            loss: Loss::default(),
            // On unless it is turned off: who asks for a TTL wants one.
            rules: Rules {
                has_ttl: self.boolean("extendedTypesEnabled", true)?,
                // On unless it is turned off, too: who sets a hard limit wants it to hold.
                hard_limits: if self.boolean("enforceQuota", true)? {
                    HardLimits::Enforced
                } else {
                    HardLimits::Warned
                },
            },
            reap: ReapSettings {
                interval_ms: self.number("znode.container.checkIntervalMs", 60_000, 1, MS_MAX)?,
                per_minute_max: self.number(
                    "znode.container.maxPerMinute",
                    10_000,
                    1,
                    60_000_000,
                )?,
                never_used_ms: self.number(
                    "znode.container.maxNeverUsedIntervalMs",
                    0,
                    0,
                    MS_MAX,
                )?,
            },
            access: self.access()?,
            local_sessions: self.local_sessions()?,
            has_read_only_mode,
            listens_on_all: self.boolean("quorumListenOnAllIPs", false)?,
            servers,
        })
    }

    fn warn_at(&mut self, key: &str, text: &str) {
        let (file, property) = &self.found[key];
        let (file, line) = (file.clone(), property.line);
        self.push(Note { level: NoteLevel::Warning, file, line, text: text.to_owned() });
    }

    fn note_addresses(&mut self) {
        let several = self.found.iter().filter(|(key, (_, property))| {
            key.starts_with("server.") && servers::has_several_addresses(&property.value)
        });
        let keys: Vec<String> = several.map(|(key, _)| key.clone()).collect();
        for key in keys {
            self.warn_at(&key, &format!("of {key}'s addresses only the first is used"));
        }
    }

    fn note_client_ports(&mut self, id: u8, own: Option<&Server>) {
        if let (Some(text), Some(port)) =
            (self.text("clientPort"), own.and_then(|own| own.client_port))
            && text.parse() != Ok(port)
        {
            let text = format!("server.{id} says that clients connect at {port}, and it counts");
            self.warn_at("clientPort", &text);
        }
    }

    fn request_limits(&self, frame_len_bytes_max: usize) -> Result<RequestLimits, ConfigError> {
        let reply_len_bytes_max = self.number(
            "reply.maxbuffer",
            REPLY_LEN_BYTES_MAX_DEFAULT,
            frame_len_bytes_max + REPLY_MARGIN_LEN_BYTES,
            REPLY_LEN_BYTES_MAX_MAX,
        )?;
        // What ZooKeeper's manual calls them, and what its code reads.
        let either = |name, read| if self.found.contains_key(name) { name } else { read };
        let most = either("requestThrottleLimit", "request_throttle_max_requests");
        let burst = either("connectionMaxTokens", "connection_throttle_tokens");
        let fill_time = either("connectionTokenFillTime", "connection_throttle_fill_time");
        let fill_count = either("connectionTokenFillCount", "connection_throttle_fill_count");
        Ok(RequestLimits {
            outstanding_high: self
                .count("globalOutstandingLimit", OUTSTANDING_HIGH_DEFAULT as i64)?,
            outstanding_max: self.count(most, 0)?,
            throttled_ms: self.number("throttledOpWaitTime", 0, 0, MS_MAX)?,
            connects: ConnectRate {
                burst: self.number(burst, 0, 0, i32::MAX as u32)?,
                fill_ms: self.number(fill_time, 1, 1, 3_600_000)?,
                fill_count: self.number(fill_count, 1, 1, 1_000_000)?,
            },
            reply_len_bytes_max,
        })
    }

    fn session_bounds(&self, tick_time_ms: u32) -> Result<(u32, u32), ConfigError> {
        let min = self.number("minSessionTimeout", -1, -1, i32::MAX)?;
        let max = self.number("maxSessionTimeout", -1, -1, i32::MAX)?;
        let min = u32::try_from(min).unwrap_or(tick_time_ms * 2);
        let max = u32::try_from(max).unwrap_or(tick_time_ms * 20);
        if min > max {
            let key = if self.found.contains_key("maxSessionTimeout") {
                "maxSessionTimeout"
            } else {
                "minSessionTimeout"
            };
            let accepted = format!("the least session timeout {min} exceeds the greatest {max}");
            return Err(self.wrong(key, &accepted));
        }
        Ok((min, max))
    }

    fn client_address(&self, id: u8, own: Option<&Server>) -> Result<IpAddr, ConfigError> {
        let (key, host) = match own.and_then(|own| own.client_host.clone()) {
            Some(host) => (format!("server.{id}"), Some(host)),
            None => ("clientPortAddress".to_owned(), self.text("clientPortAddress")),
        };
        match host.as_deref() {
            None => Ok(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
            Some("localhost") => Ok(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            // Addresses need no look-up; names do, as in ZooKeeper.
            Some(text) => (self.resolve)(text).ok_or_else(|| {
                self.wrong(&key, "expected an IP address or a host name that resolves")
            }),
        }
    }

    fn access(&self) -> Result<Access, ConfigError> {
        let super_digest = self
            .text("DigestAuthenticationProvider.superDigest")
            .or_else(|| self.text("superDigest"))
            .filter(|digest| !digest.is_empty());
        Ok(Access {
            super_digest,
            is_unchecked: self.yes_or_no("skipACL")?,
            enforced_schemes: self.enforced_schemes()?,
            is_reconfig_enabled: self.boolean("reconfigEnabled", false)?,
        })
    }

    /// ZooKeeper reads this key as `yes` or `no`.
    fn yes_or_no(&self, key: &str) -> Result<bool, ConfigError> {
        match self.text(key).as_deref().map(str::trim) {
            None | Some("" | "no" | "false") => Ok(false),
            Some("yes" | "true") => Ok(true),
            Some(_) => Err(self.wrong(key, "expected yes or no")),
        }
    }

    fn enforced_schemes(&self) -> Result<Vec<String>, ConfigError> {
        if self.boolean("sessionRequireClientSASLAuth", false)? {
            let accepted =
                "expected false: there is no SASL here, and no client could prove itself";
            return Err(self.wrong("sessionRequireClientSASLAuth", accepted));
        }
        if !self.boolean("enforce.auth.enabled", false)? {
            return Ok(Vec::new());
        }
        let list = self.text("enforce.auth.schemes").unwrap_or_default();
        let schemes: Vec<String> = list.split(',').map(|scheme| scheme.trim().to_owned()).collect();
        let is_known = |scheme: &String| SCHEMES.contains(&scheme.as_str());
        if schemes.iter().all(is_known) {
            return Ok(schemes);
        }
        let key = if self.found.contains_key("enforce.auth.schemes") {
            "enforce.auth.schemes"
        } else {
            "enforce.auth.enabled"
        };
        Err(self.wrong(key, "expected enforce.auth.schemes to name some of digest and ip"))
    }

    fn local_sessions(&self) -> Result<LocalSessions, ConfigError> {
        let is_on = self.boolean("localSessionsEnabled", false)?;
        let is_upgraded = self.boolean("localSessionsUpgradingEnabled", false)?;
        Ok(match (is_on, is_upgraded) {
            (false, _) => LocalSessions::Off,
            (true, false) => LocalSessions::On,
            (true, true) => LocalSessions::Upgraded,
        })
    }

    /// Where members may be read-only, clients find out by `isro`: it is answered whatever the list says.
    fn words(&self, has_read_only_mode: bool) -> Option<Vec<String>> {
        let list = self.text("4lw.commands.whitelist").unwrap_or_else(|| "srvr".to_owned());
        let mut words: Vec<String> = list.split(',').map(|word| word.trim().to_owned()).collect();
        if has_read_only_mode {
            words.push("isro".to_owned());
        }
        if words.iter().any(|word| word == "*") { None } else { Some(words) }
    }

    fn servers(&self) -> Result<BTreeMap<u8, Server>, ConfigError> {
        let mut servers = BTreeMap::new();
        for (key, (_, property)) in &self.found {
            let Some(number) = key.strip_prefix("server.") else { continue };
            let id =
                number.parse().ok().filter(|id| (1..=255_u8).contains(id)).ok_or_else(|| {
                    self.wrong(key, "expected server.N with a number from 1 to 255")
                })?;
            let server = servers::parse(&property.value)
                .ok_or_else(|| self.wrong(key, servers::ACCEPTED))?;
            let is_same = |it: &Server| (&it.host, it.port) == (&server.host, server.port);
            if servers.values().any(is_same) {
                return Err(self.wrong(key, "another server has the same host and port"));
            }
            if servers.insert(id, server).is_some() {
                return Err(self.wrong(key, "another line has the same number"));
            }
        }
        if !servers.is_empty() && servers.values().all(|server| server.role == Role::Observer) {
            return Err(self.missing("server.N", "at least one member must be a participant"));
        }
        if !servers.is_empty() {
            self.check_quorums()?;
        }
        Ok(servers)
    }

    /// Refuses other quorums than majorities: with them, a member would believe in a quorum that is
    /// none. Groups and weights that come to the same are taken.
    fn check_quorums(&self) -> Result<(), ConfigError> {
        for (key, (_, property)) in &self.found {
            if key.starts_with("weight.") && property.value.trim() != "1" {
                return Err(self.wrong(key, "expected 1: each voter counts the same here"));
            }
        }
        match self.found.keys().filter(|key| key.starts_with("group.")).nth(1) {
            Some(key) => Err(self.wrong(key, "expected one group: a quorum is a majority here")),
            None => Ok(()),
        }
    }

    fn id(
        &mut self,
        id: Option<u8>,
        data_dir: &str,
        servers: &BTreeMap<u8, Server>,
    ) -> Result<u8, ConfigError> {
        let id = match id {
            Some(id) => id,
            None if servers.is_empty() => 1,
            None => read_id(&format!("{data_dir}/myid"), servers)?,
        };
        if !servers.is_empty() && !servers.contains_key(&id) {
            return Err(ConfigError::Id(format!(
                "{}: there is no server.{id}, which this member should be by its number",
                self.file
            )));
        }
        let peer_type = self.text("peerType").map(|text| text.to_ascii_lowercase());
        let is_observer = match peer_type.as_deref() {
            None | Some("participant") => false,
            Some("observer") => true,
            Some(_) => return Err(self.wrong("peerType", "expected participant or observer")),
        };
        let votes = servers.get(&id).is_some_and(|own| own.role == Role::Participant);
        if is_observer && votes {
            let text = "the server lines say that this member votes, and they count";
            self.warn_at("peerType", text);
        }
        Ok(id)
    }
}

fn resolve(host: &str) -> Option<IpAddr> {
    let mut found = (host, 0).to_socket_addrs().into_iter().flatten();
    found.next().map(|address| address.ip())
}

/// Reads a member's number. The only member of an ensemble needs no file: it can be no other.
fn read_id(path: &str, servers: &BTreeMap<u8, Server>) -> Result<u8, ConfigError> {
    let text = match read_text(path) {
        Ok(text) => text,
        Err(ConfigError::Read { source, .. })
            if source.kind() == ErrorKind::NotFound && servers.len() == 1 =>
        {
            return Ok(*servers.keys().next().expect("there is one"));
        }
        Err(error) => {
            return Err(ConfigError::Id(format!(
                "{error}; with several servers each needs its number: \
                 write it there (echo 1 > {path}) or give --id"
            )));
        }
    };
    let text = text.trim();
    text.parse().ok().filter(|id| *id > 0).ok_or_else(|| {
        let text = shown(text);
        ConfigError::Id(format!("{path}: {text:?}: expected a number from 1 to 255"))
    })
}

/// Returns the beginning of a text, without what would disturb a terminal or a log.
fn shown(text: &str) -> String {
    let plain = text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c });
    let mut out: String = plain.clone().take(SHOWN_CHARS_MAX).collect();
    if plain.count() > SHOWN_CHARS_MAX {
        out.push_str("...");
    }
    out
}

/// Reads a small text file; what is not UTF-8 becomes U+FFFD, which no key holds.
fn read_text(path: &str) -> Result<String, ConfigError> {
    let error = |source| ConfigError::Read { file: path.to_owned(), source };
    let file = std::fs::File::open(path).map_err(error)?;
    let mut bytes = Vec::new();
    file.take(CONFIG_LEN_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(error)?;
    if bytes.len() as u64 > CONFIG_LEN_BYTES_MAX {
        return Err(ConfigError::TooLong { file: path.to_owned(), max: CONFIG_LEN_BYTES_MAX });
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
