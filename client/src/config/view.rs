//! A configuration as a value of a program: typed, layered, always whole, and there after a cold start too.

use std::{path::PathBuf, pin::Pin, sync::Arc, task::Poll, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::sync::watch;

use super::{
    disk::{self, Ownership},
    ensemble::Ensemble,
    error::ConfigError,
    follow::{self, Follower, Version},
    key::Key,
    layer::{self, Values},
    rollout::Consumer,
    secret::{self, Keyring},
    store, typed,
};
use crate::client::Client;

/// How long the first read waits for a member, unless it is said otherwise.
const WAIT: Duration = Duration::from_secs(10);

/// Rest after a read that failed.
const REST: Duration = Duration::from_millis(500);

/// How often layers that change while they are read are read again.
const READS_MAX: usize = 100;

/// Makes a [`View`].
#[derive(Clone, Debug)]
pub struct ViewBuilder {
    client: Client,
    layers: Vec<String>,
    store: String,
    consumer: Consumer,
    keyring: Keyring,
    local_copy: Option<PathBuf>,
    wait: Duration,
}

/// A configuration at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot<T> {
    /// Its value.
    pub value: T,
    /// The newest txn that made it what it is, in any of its layers.
    pub zxid: i64,
    /// Whether it is the local copy of an earlier run: no member has been reached yet.
    pub is_local_copy: bool,
}

/// A configuration that is kept up to date as long as this is held.
///
/// Each value is what all layers held at one moment. One that cannot be read as a `T` is not taken: the one before stays,
/// and [`View::problem`] says why.
#[derive(Debug)]
pub struct View<T> {
    snapshots: watch::Receiver<Arc<Snapshot<T>>>,
    problems: watch::Receiver<Option<String>>,
    task: tokio::task::JoinHandle<()>,
}

impl ViewBuilder {
    /// Begins with no layer; the client's session is shared. For a view that outlives sessions, the client has to
    /// renew them: [`crate::ClientBuilder::renew_expired`].
    pub fn new(client: Client) -> Self {
        Self {
            client,
            layers: Vec::new(),
            store: store::BASE.to_owned(),
            consumer: Consumer::default(),
            keyring: Keyring::default(),
            local_copy: None,
            wait: WAIT,
        }
    }

    /// Adds the configuration at a path, more special than those before: default, app, profile, instance.
    #[must_use]
    pub fn layer(mut self, path: impl Into<String>) -> Self {
        self.layers.push(path.into());
        self
    }

    /// Names where releases are kept, if it is not the usual place.
    #[must_use]
    pub fn store(mut self, path: impl Into<String>) -> Self {
        self.store = path.into();
        self
    }

    /// Says who reads, for rollouts; what it runs is reported under that name.
    #[must_use]
    pub fn consumer(mut self, name: impl Into<String>, labels: Vec<String>) -> Self {
        self.consumer = Consumer { name: name.into(), labels };
        self
    }

    /// Gives the keys for secret values, one per line, as in a key file.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Usage`] when they are none.
    pub fn secret_keys(mut self, text: &str) -> Result<Self, ConfigError> {
        self.keyring = Keyring::parse(text)?;
        Ok(self)
    }

    /// Keeps a copy in a file, which only its owner can read, for a start while no member can be reached. Secrets are in it as they
    /// are in the service: encrypted.
    #[must_use]
    pub fn local_copy(mut self, file: impl Into<PathBuf>) -> Self {
        self.local_copy = Some(file.into());
        self
    }

    /// Says how long the first read waits for a member.
    #[must_use]
    pub const fn wait(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    /// Reads the configuration and begins to follow it. When no member can be reached in time, the local copy is what there
    /// is, if there is one.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Unreachable`]; [`ConfigError::Invalid`] when it cannot be read as a `T`.
    pub async fn start<T>(self) -> Result<View<T>, ConfigError>
    where
        T: DeserializeOwned + Send + Sync + 'static,
    {
        for path in &self.layers {
            conclave_protocol::path::validate(path)
                .map_err(|error| ConfigError::Usage(format!("{path:?}: {error}")))?;
        }
        let ensemble = Ensemble::of(self.client.clone(), self.wait);
        let follower = |path: &String| {
            Follower::new(ensemble.clone(), path, &self.store, self.consumer.clone())
        };
        let mut worker = Worker {
            followers: self.layers.iter().map(follower).collect(),
            keyring: self.keyring.clone(),
            local_copy: self.local_copy.clone(),
        };
        let first = match worker.read().await {
            Ok(raw) => {
                worker.keep(&raw);
                worker.snapshot(&raw, false)?
            }
            Err(error) if error.is_away() => match worker.kept()? {
                Some(raw) => worker.snapshot(&raw, true)?,
                None => return Err(error),
            },
            Err(error) => return Err(error),
        };
        let (snapshots, receiver) = watch::channel(Arc::new(first));
        let (problems, told) = watch::channel(None);
        let task = tokio::spawn(worker.run(snapshots, problems));
        Ok(View { snapshots: receiver, problems: told, task })
    }
}

impl<T> View<T> {
    /// Returns the configuration as it is now.
    pub fn snapshot(&self) -> Arc<Snapshot<T>> {
        Arc::clone(&self.snapshots.borrow())
    }

    /// Returns why the newest configuration was not taken; nothing when it was.
    pub fn problem(&self) -> Option<String> {
        self.problems.borrow().clone()
    }

    /// Returns the snapshots as they come; a slow reader sees the newest.
    pub fn snapshots(&self) -> watch::Receiver<Arc<Snapshot<T>>> {
        self.snapshots.clone()
    }
}

impl<T: Send + Sync + 'static> View<T> {
    /// Calls `callback` with the old and the new value at each change, until the view is dropped.
    pub fn on_change(&self, mut callback: impl FnMut(&T, &T) + Send + 'static) {
        let mut snapshots = self.snapshots.clone();
        let mut old = Arc::clone(&snapshots.borrow_and_update());
        tokio::spawn(async move {
            while snapshots.changed().await.is_ok() {
                let new = Arc::clone(&snapshots.borrow_and_update());
                callback(&old.value, &new.value);
                old = new;
            }
        });
    }
}

impl<T> Drop for View<T> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What was read, before it is any type.
#[derive(Clone, Debug, PartialEq)]
struct Raw {
    values: Values,
    zxid: i64,
}

/// The file of the local copy.
#[derive(Deserialize, Serialize)]
struct LocalCopy {
    zxid: i64,
    values: std::collections::BTreeMap<String, String>,
}

struct Worker {
    followers: Vec<Follower>,
    keyring: Keyring,
    local_copy: Option<PathBuf>,
}

impl Worker {
    /// Reads all layers until two reads find the same: then all of them were there at the moment between.
    async fn read(&mut self) -> Result<Raw, ConfigError> {
        let mut before: Option<Vec<Version>> = None;
        for _ in 0..READS_MAX {
            let mut versions = Vec::new();
            for follower in &mut self.followers {
                follower.armed().await?;
                versions.push(follower.read().await?);
            }
            // One layer alone is whole by itself.
            if versions.len() == 1 || before.as_ref() == Some(&versions) {
                for (follower, version) in self.followers.iter().zip(&versions) {
                    follower.report(version).await?;
                }
                let layers: Vec<Values> =
                    versions.iter().map(|version| follow::values(&version.tree)).collect();
                let zxid = versions.iter().map(|version| version.zxid).max().unwrap_or(0);
                return Ok(Raw { values: layer::merged(&layers), zxid });
            }
            before = Some(versions);
        }
        Err(ConfigError::Conflict("the layers change faster than they can be read".to_owned()))
    }

    fn snapshot<T: DeserializeOwned>(
        &self,
        raw: &Raw,
        is_local_copy: bool,
    ) -> Result<Snapshot<T>, ConfigError> {
        let mut values = raw.values.clone();
        for (name, value) in &mut values {
            if secret::is_envelope(value) && !self.keyring.is_empty() {
                let key = Key::parse(name).map_err(|e| ConfigError::Invalid(e.to_string()))?;
                *value = self.keyring.open(&key, value)?;
            }
        }
        let value =
            typed::read(&values).map_err(|error| ConfigError::Invalid(error.to_string()))?;
        Ok(Snapshot { value, zxid: raw.zxid, is_local_copy })
    }

    async fn run<T: DeserializeOwned>(
        mut self,
        snapshots: watch::Sender<Arc<Snapshot<T>>>,
        problems: watch::Sender<Option<String>>,
    ) {
        let mut before = None;
        loop {
            let problem = match self.read().await {
                Ok(raw) if before.as_ref() == Some(&raw) => None,
                Ok(raw) => match self.snapshot(&raw, false) {
                    Ok(snapshot) => {
                        self.keep(&raw);
                        before = Some(raw);
                        let is_new = {
                            let last = snapshots.borrow();
                            last.zxid != snapshot.zxid || last.is_local_copy
                        };
                        if is_new {
                            snapshots.send_replace(Arc::new(snapshot));
                        }
                        None
                    }
                    Err(error) => Some(error),
                },
                Err(error) => Some(error),
            };
            let is_away = problem.as_ref().is_some_and(ConfigError::is_away);
            problems.send_replace(problem.map(|error| error.to_string()));
            if is_away || self.changed().await.is_err() {
                tokio::time::sleep(REST).await;
            }
        }
    }

    /// Waits until any of the layers may have changed.
    async fn changed(&mut self) -> Result<(), ConfigError> {
        let mut waits: Vec<Pin<Box<_>>> =
            self.followers.iter_mut().map(|follower| Box::pin(follower.changed())).collect();
        std::future::poll_fn(|context| {
            let ready = waits.iter_mut().find_map(|wait| match wait.as_mut().poll(context) {
                Poll::Ready(ended) => Some(ended),
                Poll::Pending => None,
            });
            ready.map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    /// Writes the local copy. That it cannot be written is no reason to have no configuration.
    fn keep(&self, raw: &Raw) {
        let Some(file) = &self.local_copy else { return };
        let values = raw.values.iter().map(|(key, value)| (key.clone(), STANDARD.encode(value)));
        let copy = LocalCopy { zxid: raw.zxid, values: values.collect() };
        let json = serde_json::to_vec(&copy).expect("it is plain data");
        let told = Ownership { mode: Some(0o600), ..Ownership::default() };
        if let Err(error) = disk::write_whole(file, &json, told) {
            tracing::warn!(%error, "local copy of the configuration not written");
        }
    }

    fn kept(&self) -> Result<Option<Raw>, ConfigError> {
        let Some(file) = &self.local_copy else { return Ok(None) };
        let Some(bytes) = disk::read_if_there(file)? else { return Ok(None) };
        let damaged = || ConfigError::Invalid(format!("{}: damaged", file.display()));
        let copy: LocalCopy = serde_json::from_slice(&bytes).map_err(|_| damaged())?;
        let value = |(key, text): (String, String)| {
            Ok((key, STANDARD.decode(text).map_err(|_| damaged())?.into()))
        };
        let values = copy.values.into_iter().map(value).collect::<Result<_, ConfigError>>()?;
        Ok(Some(Raw { values, zxid: copy.zxid }))
    }
}
