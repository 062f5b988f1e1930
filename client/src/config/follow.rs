//! Following a configuration: each change of it, whole, whichever way it is served.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    digest::Digest,
    ensemble::{Connection, Ensemble},
    error::ConfigError,
    live::{self, Depth, Known},
    record::{Pointer, store_name},
    rollout::{self, Consumer},
    tree::Tree,
};
use crate::{
    error::ClientError,
    watch::{WatchKind, Watcher},
};

/// A configuration as it was at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Version {
    /// Its keys and values.
    pub tree: Tree,
    /// The newest txn that made it what it is.
    pub zxid: i64,
    /// The release that is in force for this reader; none where nothing was ever applied.
    pub release: Option<u64>,
    /// The cohort by which that release was chosen, if one was.
    pub cohort: Option<String>,
}

/// Reads a configuration again whenever it changes.
#[derive(Debug)]
pub struct Follower {
    ensemble: Ensemble,
    root: String,
    store: String,
    hidden: Vec<String>,
    consumer: Consumer,
    known: Known,
    watchers: Vec<Watcher>,
}

/// Longest wait for an event before the configuration is read again in any case: a lost event costs no more.
const READ_AGAIN: Duration = Duration::from_secs(60);

/// How often a release is sought that goes while it is read.
const TRIES_MAX: usize = 100;

impl Follower {
    /// Follows the configuration at `root`, whose releases are kept below `base`.
    pub fn new(ensemble: Ensemble, root: &str, base: &str, consumer: Consumer) -> Self {
        let hidden = super::store::hidden(base);
        let store = format!("{}/{}", base.trim_end_matches('/'), store_name(root));
        Self {
            ensemble,
            root: root.to_owned(),
            store,
            hidden,
            consumer,
            known: Known::new(),
            watchers: Vec::new(),
        }
    }

    /// Returns the session.
    pub const fn ensemble(&self) -> &Ensemble {
        &self.ensemble
    }

    /// Arms the watches. What changes behind it is told by [`Self::changed`].
    ///
    /// # Errors
    ///
    /// Those of the service.
    pub async fn arm(&mut self) -> Result<(), ConfigError> {
        self.watchers.clear();
        for at in [self.root.clone(), format!("{}/cohorts", self.store)] {
            let kind = WatchKind::Recursive;
            let watcher = self.ensemble.ask(&at, |client| client.add_watch(&at, kind)).await?;
            self.watchers.push(watcher);
        }
        Ok(())
    }

    /// Arms the watches if they are not.
    ///
    /// # Errors
    ///
    /// Those of the service.
    pub async fn armed(&mut self) -> Result<(), ConfigError> {
        if self.watchers.is_empty() { self.arm().await } else { Ok(()) }
    }

    /// Reports the release that this consumer runs; see [`rollout::report`].
    ///
    /// # Errors
    ///
    /// Those of the service.
    pub async fn report(&self, version: &Version) -> Result<(), ConfigError> {
        rollout::report(&self.ensemble, &self.store, &self.consumer, version).await
    }

    /// Reads the configuration.
    ///
    /// # Errors
    ///
    /// Those of the service, and of what is damaged.
    pub async fn read(&mut self) -> Result<Version, ConfigError> {
        for _ in 0..TRIES_MAX {
            let (at, root) = (format!("{}/head", self.store), self.root.clone());
            let head = self.number(&at).await?;
            let cohorts = rollout::read(&self.ensemble, &self.store).await?;
            if let Some(cohort) = rollout::choose(&cohorts, &self.consumer) {
                let (pointer, name) = (cohort.pointer.clone(), Some(cohort.name.clone()));
                if let Some(version) = self.release(&pointer, cohort.zxid, name).await? {
                    return Ok(version);
                }
                continue;
            }
            let data = self.ensemble.try_ask(|client| client.get_data(&root)).await?;
            let (data, stat) = match data {
                Err(ClientError::NoNode) => return Ok(Version::default()),
                answer => answer.map_err(ConfigError::service(&root))?,
            };
            if let Some(pointer) = Pointer::parse(&data) {
                if let Some(version) = self.release(&pointer, stat.mzxid.to_wire(), None).await? {
                    return Ok(version);
                }
                continue;
            }
            let znodes = live::read(&self.ensemble, &root, &self.hidden, Depth::Data).await?;
            let own = znodes.tree.get("").map(|entry| entry.bytes()).unwrap_or_default();
            // Between the two reads of it, it may have become a release.
            if Pointer::parse(&own).is_none() && self.number(&at).await? == head {
                let zxid = znodes.zxid();
                return Ok(Version { tree: znodes.tree, zxid, release: head, cohort: None });
            }
        }
        Err(ConfigError::Conflict(format!("{} changes faster than it can be read", self.root)))
    }

    async fn number(&self, at: &str) -> Result<Option<u64>, ConfigError> {
        match self.ensemble.try_ask(|client| client.get_data(at)).await? {
            Ok((data, _)) => Ok(std::str::from_utf8(&data).ok().and_then(|text| text.parse().ok())),
            Err(ClientError::NoNode) => Ok(None),
            Err(error) => Err(ConfigError::service(at)(error)),
        }
    }

    async fn release(
        &mut self,
        pointer: &Pointer,
        zxid: i64,
        cohort: Option<String>,
    ) -> Result<Option<Version>, ConfigError> {
        let found =
            live::read_release(&self.ensemble, &self.root, pointer, &mut self.known).await?;
        let Some(found) = found else { return Ok(None) };
        // What the next release may share is kept, and no more.
        let blobs = found.manifest.values().filter_map(|item| item.blob());
        let needed: BTreeSet<Digest> = blobs.collect();
        self.known.retain(|name, _| needed.contains(name));
        let release = Some(found.pointer.release);
        Ok(Some(Version { tree: found.tree, zxid, release, cohort }))
    }

    /// Waits until something may have changed. A connection that is lost is not told: the watches say what may have
    /// been missed when there is another.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Unreachable`] when the session is over.
    pub async fn changed(&mut self) -> Result<(), ConfigError> {
        let [root, cohorts] = self.watchers.as_mut_slice() else { return self.arm().await };
        tokio::select! {
            event = root.event() => if event.is_none() { self.rearm().await? },
            event = cohorts.event() => if event.is_none() { self.rearm().await? },
            () = tokio::time::sleep(READ_AGAIN) => {}
        }
        self.drain().await;
        Ok(())
    }

    async fn rearm(&mut self) -> Result<(), ConfigError> {
        self.ensemble.connected().await?;
        self.arm().await
    }

    /// Takes the events that have come, as one read answers them all.
    async fn drain(&mut self) {
        for watcher in &mut self.watchers {
            while let Ok(Some(_)) = tokio::time::timeout(Duration::ZERO, watcher.event()).await {}
        }
    }
}

/// Keeps a follower over the death of sessions: when one is over, another is opened, and nothing is forgotten.
#[derive(Debug)]
pub struct Following {
    connection: Connection,
    root: String,
    base: String,
    consumer: Consumer,
    follower: Option<Follower>,
}

/// Rest before another session is opened.
const REST: Duration = Duration::from_millis(500);

impl Following {
    /// Makes one that is not connected yet.
    pub const fn new(
        connection: Connection,
        root: String,
        base: String,
        consumer: Consumer,
    ) -> Self {
        Self { connection, root, base, consumer, follower: None }
    }

    /// Returns the configuration as it is now; the watches are armed before it is read.
    ///
    /// # Errors
    ///
    /// Those of the service; it is [`ConfigError::is_away`] when there is hope.
    pub async fn read(&mut self) -> Result<Version, ConfigError> {
        let ended = self.try_read().await;
        if ended.is_err() {
            self.follower = None;
        }
        ended
    }

    async fn try_read(&mut self) -> Result<Version, ConfigError> {
        let follower = match &mut self.follower {
            Some(follower) => follower,
            none => {
                let ensemble = Ensemble::connect(&self.connection).await?;
                let mut follower =
                    Follower::new(ensemble, &self.root, &self.base, self.consumer.clone());
                follower.arm().await?;
                none.insert(follower)
            }
        };
        follower.read().await
    }

    /// Waits until something may have changed; a session that is over is one such.
    pub async fn changed(&mut self) {
        let Some(follower) = &mut self.follower else { return tokio::time::sleep(REST).await };
        if follower.changed().await.is_err() {
            self.follower = None;
            tokio::time::sleep(REST).await;
        }
    }

    /// Reports the release that this consumer runs; see [`rollout::report`].
    ///
    /// # Errors
    ///
    /// Those of the service.
    pub async fn report(&self, version: &Version) -> Result<(), ConfigError> {
        let Some(follower) = &self.follower else { return Ok(()) };
        follower.report(version).await
    }

    /// Ends the session.
    pub async fn close(&self) {
        if let Some(follower) = &self.follower {
            follower.ensemble.close().await;
        }
    }
}

/// Returns the values of a version by key, without what only holds others.
pub fn values(tree: &Tree) -> BTreeMap<String, bytes::Bytes> {
    let parents: BTreeSet<_> = tree.keys().filter_map(super::key::Key::parent).collect();
    tree.iter()
        .filter(|(key, entry)| !parents.contains(*key) || !entry.bytes().is_empty())
        .filter(|(key, _)| !key.is_root())
        .map(|(key, entry)| (key.as_str().to_owned(), entry.bytes()))
        .collect()
}
