//! From a file to a configuration.
#![expect(clippy::disallowed_methods, reason = "the configuration is read here and nowhere else")]

use std::{
    collections::BTreeMap,
    io::Read,
    net::{IpAddr, Ipv4Addr},
    str::FromStr,
};

use conclave_protocol::frame::FRAME_LEN_BYTES_MAX_DEFAULT;

use super::{
    Config, ConfigError, Note,
    keys::{FAMILIES_NOT_IN_USE, NOT_IN_USE, USED},
    properties::{self, Property},
    servers::{self, Role, Server},
};

/// Bytes of a configuration file at most.
const CONFIG_LEN_BYTES_MAX: u64 = 1 << 20;

/// Loads the configuration in `path`. `id` overrides the `myid` file. Notes are for the log.
///
/// # Errors
///
/// [`ConfigError`] names file, line, key and what is accepted.
pub fn load(path: &str, id: Option<u8>) -> Result<(Config, Vec<Note>), ConfigError> {
    let mut settings = Settings::read(path)?;
    if let Some(dynamic) = settings.text("dynamicConfigFile") {
        let more = Settings::read(&dynamic)?;
        settings.found.extend(more.found);
        settings.notes.extend(more.notes);
    }
    let config = settings.config(id)?;
    Ok((config, settings.notes))
}

struct Settings {
    file: String,
    /// The last setting of each key, and the file it is in.
    found: BTreeMap<String, (String, Property)>,
    notes: Vec<Note>,
}

impl Settings {
    fn read(path: &str) -> Result<Self, ConfigError> {
        let text = read_text(path)?;
        Ok(Self::parse(path, &text))
    }

    fn parse(path: &str, text: &str) -> Self {
        let mut settings =
            Self { file: path.to_owned(), found: BTreeMap::new(), notes: Vec::new() };
        for property in properties::parse(text) {
            // ZooKeeper takes some keys as system properties only; here they may stand in the file.
            let key = property.key.strip_prefix("zookeeper.").unwrap_or(&property.key).to_owned();
            settings.judge(&key, property.line);
            let line = property.line;
            if settings.found.insert(key.clone(), (path.to_owned(), property)).is_some() {
                settings.note(line, format!("{key} is set twice; the last one counts"));
            }
        }
        settings
    }

    fn judge(&mut self, key: &str, line: usize) {
        if USED.contains(&key) || key.starts_with("server.") {
            return;
        }
        let is_family = FAMILIES_NOT_IN_USE.iter().any(|family| key.starts_with(family));
        if is_family || NOT_IN_USE.contains(&key) {
            self.note(line, format!("{key} has no effect in this version"));
        } else {
            self.note(line, format!("unknown key {key} is ignored"));
        }
    }

    fn note(&mut self, line: usize, text: String) {
        self.notes.push(Note { file: self.file.clone(), line, text });
    }

    fn text(&self, key: &str) -> Option<String> {
        self.found.get(key).map(|(_, property)| property.value.clone())
    }

    fn wrong(&self, key: &str, accepted: &str) -> ConfigError {
        let (file, property) = &self.found[key];
        ConfigError::Value {
            file: file.clone(),
            line: property.line,
            key: key.to_owned(),
            value: property.value.clone(),
            accepted: accepted.to_owned(),
        }
    }

    /// Returns a number within bounds, or the default when the key is not set.
    fn number<T: FromStr + PartialOrd + std::fmt::Display + Copy>(
        &self,
        key: &str,
        default: T,
        min: T,
        max: T,
    ) -> Result<T, ConfigError> {
        let Some(value) = self.text(key) else { return Ok(default) };
        match value.parse() {
            Ok(number) if (min..=max).contains(&number) => Ok(number),
            _ => Err(self.wrong(key, &format!("expected a number from {min} to {max}"))),
        }
    }

    fn boolean(&self, key: &str, default: bool) -> Result<bool, ConfigError> {
        match self.text(key).as_deref() {
            None => Ok(default),
            Some("true" | "yes") => Ok(true),
            Some("false" | "no") => Ok(false),
            Some(_) => Err(self.wrong(key, "expected true or false")),
        }
    }

    fn config(&mut self, id: Option<u8>) -> Result<Config, ConfigError> {
        let servers = self.servers()?;
        let data_dir = self.text("dataDir").ok_or_else(|| ConfigError::Missing {
            file: self.file.clone(),
            key: "dataDir",
            why: "the folder that holds what this member knows",
        })?;
        let id = self.id(id, &data_dir, &servers)?;
        let own = servers.get(&id);
        let client_port = match own.and_then(|own| own.client_port) {
            Some(port) => port,
            None if self.found.contains_key("clientPort") => {
                self.number("clientPort", 2181, 0, u16::MAX)?
            }
            None => {
                return Err(ConfigError::Missing {
                    file: self.file.clone(),
                    key: "clientPort",
                    why: "where clients connect, usually 2181",
                });
            }
        };
        let tick_time_ms = self.number("tickTime", 3000, 10, 3_600_000)?;
        let (session_timeout_ms_min, session_timeout_ms_max) = self.session_bounds(tick_time_ms)?;
        let purge_interval = self.number("autopurge.purgeInterval", 1, 0, i32::MAX)?;
        if purge_interval == 0 && self.found.contains_key("autopurge.purgeInterval") {
            let line = self.found["autopurge.purgeInterval"].1.line;
            let text = "old snapshots are always removed, also with autopurge.purgeInterval=0";
            self.note(line, text.to_owned());
        }
        Ok(Config {
            id,
            tick_time_ms,
            init_limit_ticks: self.number("initLimit", 10, 1, 1_000_000)?,
            sync_limit_ticks: self.number("syncLimit", 5, 1, 1_000_000)?,
            log_dir: self.text("dataLogDir").unwrap_or_else(|| data_dir.clone()),
            data_dir,
            client_address: self.client_address(own)?,
            client_port,
            connections_per_address_max: self.number("maxClientCnxns", 60, 0, i32::MAX as usize)?,
            connections_max: self.number("maxCnxns", 0, 0, i32::MAX as usize)?,
            session_timeout_ms_min,
            session_timeout_ms_max,
            snapshot_txns: self.number("snapCount", 100_000, 2, i32::MAX as u64)?,
            snapshot_kib: self.number("snapSizeLimitInKb", 4 << 20, 1, i64::MAX as u64 >> 10)?,
            pre_alloc_kib: self.number("preAllocSize", 64 << 10, 0, 1 << 20)?,
            retain: self.number("autopurge.snapRetainCount", 3, 3, 1_000_000)?,
            window_entries: self.number("commitLogCount", 10_000, 1, 10_000_000)?,
            frame_len_bytes_max: self.number(
                "jute.maxbuffer",
                FRAME_LEN_BYTES_MAX_DEFAULT,
                1024,
                128 << 20,
            )?,
            words: self.words(),
            listens_on_all: self.boolean("quorumListenOnAllIPs", false)?,
            servers,
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

    fn client_address(&self, own: Option<&Server>) -> Result<IpAddr, ConfigError> {
        if let Some(address) = own.and_then(|own| own.client_address) {
            return Ok(address);
        }
        match self.text("clientPortAddress").as_deref() {
            None => Ok(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
            Some("localhost") => Ok(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            Some(text) => {
                text.parse().map_err(|_| self.wrong("clientPortAddress", "expected an IP address"))
            }
        }
    }

    fn words(&self) -> Option<Vec<String>> {
        let list = self.text("4lw.commands.whitelist").unwrap_or_else(|| "srvr".to_owned());
        let words: Vec<String> = list.split(',').map(|word| word.trim().to_owned()).collect();
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
            servers.insert(id, server);
        }
        if !servers.is_empty() && servers.values().all(|server| server.role == Role::Observer) {
            return Err(ConfigError::Missing {
                file: self.file.clone(),
                key: "server.N",
                why: "at least one member must be a participant",
            });
        }
        Ok(servers)
    }

    fn id(
        &self,
        id: Option<u8>,
        data_dir: &str,
        servers: &BTreeMap<u8, Server>,
    ) -> Result<u8, ConfigError> {
        let path = format!("{data_dir}/myid");
        let id = match id {
            Some(id) => id,
            None if servers.is_empty() => return Ok(1),
            None => {
                let text = read_text(&path).map_err(|error| {
                    ConfigError::Id(format!(
                        "{error}; with several servers each needs its number: \
                         write it there (echo 1 > {path}) or give --id"
                    ))
                })?;
                let text = text.trim();
                text.parse().ok().filter(|id| *id > 0).ok_or_else(|| {
                    ConfigError::Id(format!("{path}: {text:?}: expected a number from 1 to 255"))
                })?
            }
        };
        if !servers.is_empty() && !servers.contains_key(&id) {
            return Err(ConfigError::Id(format!(
                "{}: there is no server.{id}, which this member should be by its number",
                self.file
            )));
        }
        let is_observer = self.text("peerType").as_deref() == Some("observer");
        let votes = servers.get(&id).is_some_and(|own| own.role == Role::Participant);
        if is_observer && votes {
            return Err(self.wrong("peerType", "server lines say that this member votes"));
        }
        Ok(id)
    }
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
mod tests {
    use super::*;

    fn config(text: &str) -> Result<(Config, Vec<Note>), ConfigError> {
        let mut settings = Settings::parse("zoo.cfg", text);
        let config = settings.config(Some(1))?;
        Ok((config, settings.notes))
    }

    #[test]
    fn zookeepers_sample_starts_a_member_unchanged() {
        let text = "tickTime=2000\ninitLimit=10\nsyncLimit=5\ndataDir=/var/zk\nclientPort=2181\n\
                    autopurge.snapRetainCount=3\nautopurge.purgeInterval=1\n\
                    metricsProvider.className=x\nserver.1=a:2888:3888\nserver.2=b:2888:3888\n\
                    server.3=c:2888:3888:observer;0.0.0.0:2182\n";
        let (config, notes) = config(text).unwrap();
        assert_eq!(
            (config.tick_time_ms, config.client_port, config.servers.len()),
            (2000, 2181, 3)
        );
        assert_eq!((config.session_timeout_ms_min, config.session_timeout_ms_max), (4000, 40_000));
        assert_eq!(config.words, Some(vec!["srvr".to_owned()]));
        assert_eq!(notes.len(), 1, "{notes:?}");
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line() {
        let (_, notes) = config("dataDir=/d\nclientPort=1\nclientPrt=2\n").unwrap();
        assert_eq!(notes[0].to_string(), "zoo.cfg:3: unknown key clientPrt is ignored");
    }

    #[test]
    fn a_wrong_value_is_named_with_what_is_accepted() {
        let error = config("dataDir=/d\nclientPort=2181\ntickTime=fast\n").unwrap_err();
        assert_eq!(
            error.to_string(),
            "zoo.cfg:3: tickTime=fast: expected a number from 10 to 3600000"
        );
        for wrong in
            ["clientPort=99999", "syncLimit=0", "server.0=a:1:2", "server.1=a", "jute.maxbuffer=-1"]
        {
            assert!(config(&format!("dataDir=/d\nclientPort=1\n{wrong}\n")).is_err(), "{wrong}");
        }
    }

    #[test]
    fn system_properties_may_stand_in_the_file() {
        let text = "dataDir=/d\nclientPort=1\nzookeeper.snapCount=500\njute.maxbuffer=4096\n";
        let (config, notes) = config(text).unwrap();
        assert_eq!((config.snapshot_txns, config.frame_len_bytes_max), (500, 4096));
        assert_eq!(notes, []);
    }

    #[test]
    fn the_last_of_two_settings_counts_and_is_noted() {
        let (config, notes) = config("dataDir=/d\nclientPort=1\nclientPort=2\n").unwrap();
        assert_eq!((config.client_port, notes.len()), (2, 1));
    }

    #[test]
    fn a_member_that_is_not_in_the_list_is_refused() {
        let error = config("dataDir=/d\nclientPort=1\nserver.2=a:1:2\n").unwrap_err();
        assert!(error.to_string().contains("no server.1"), "{error}");
    }

    #[test]
    fn bounds_that_cross_are_refused() {
        let text = "dataDir=/d\nclientPort=1\nminSessionTimeout=9\nmaxSessionTimeout=8\n";
        assert!(config(text).is_err());
    }
}
