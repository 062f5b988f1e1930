//! Where the history of a configuration is kept, and reads of it.

use std::collections::BTreeSet;

use conclave_protocol::{path, zxid::Zxid};

use super::{
    digest::Digest,
    ensemble::Ensemble,
    error::ConfigError,
    key::Key,
    live::{self, Depth, Known, Znodes},
    record::{self, Form, Pointer, Record},
    release::{Item, Manifest, Origin},
    tree::{Entry, Tree},
};
use crate::{
    client::CreateMode,
    error::{ClientError, MultiError},
    ops::Op,
};

/// Where stores are, unless it is said otherwise.
pub const BASE: &str = "/.conclave/config";

/// What is in a store from the beginning, in the order in which it is made.
const PARTS: [&str; 6] = ["blobs", "history", "flip", "cohorts", "consumers", "lock"];

/// The store of one configuration.
#[derive(Clone, Debug)]
pub struct Store {
    ensemble: Ensemble,
    root: String,
    base: String,
    path: String,
}

/// A record with its time.
#[derive(Clone, Debug)]
pub struct Dated {
    /// What was done.
    pub record: Record,
    /// When, in milliseconds since 1970, by the service's clock.
    pub time_ms: i64,
}

/// All that a plan is made from, as it was at one moment.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// What is there, as readers see it.
    pub tree: Tree,
    /// What was applied last.
    pub last: Manifest,
    /// The number of the release in force, and the version of the znode that says so.
    pub head: Option<(u64, i32)>,
    /// How readers are served.
    pub served: Option<Form>,
    /// The znodes below the path themselves.
    pub znodes: Znodes,
    /// Since when readers look at releases, when they do.
    pub flipped: Option<Zxid>,
}

impl Store {
    /// Names the store of the configuration at `root`.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Usage`] when one of them is no path.
    pub fn new(ensemble: Ensemble, root: &str, base: &str) -> Result<Self, ConfigError> {
        for at in [root, base] {
            path::validate(at).map_err(|error| ConfigError::Usage(format!("{at:?}: {error}")))?;
        }
        let base = base.trim_end_matches('/').to_owned();
        if base.is_empty() || root == base || root.starts_with(&format!("{base}/")) {
            return Err(ConfigError::Usage(format!("{root} is where releases are kept")));
        }
        let path = format!("{base}/{}", record::store_name(root));
        Ok(Self { ensemble, root: root.to_owned(), base, path })
    }

    /// Returns the session.
    pub const fn ensemble(&self) -> &Ensemble {
        &self.ensemble
    }

    /// Returns the configuration's path.
    pub fn root(&self) -> &str {
        &self.root
    }

    /// Returns the store's path.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns the path of a part of the store.
    pub fn at(&self, part: &str) -> String {
        format!("{}/{part}", self.path)
    }

    /// Returns the path of a record.
    pub fn record_path(&self, release: u64) -> String {
        format!("{}/history/{}", self.path, record::record_name(release))
    }

    /// Returns what is no part of the configuration though it is below its path.
    pub fn hidden(&self) -> Vec<String> {
        hidden(&self.base)
    }

    /// Makes what is not there yet.
    ///
    /// # Errors
    ///
    /// Those of the service.
    pub async fn establish(&self) -> Result<(), ConfigError> {
        if self
            .ensemble
            .ask(&self.path, |c| c.exists(&self.at(PARTS[PARTS.len() - 1])))
            .await?
            .is_some()
        {
            return Ok(());
        }
        let mut folders = Vec::new();
        let mut above = Some(self.path.as_str());
        while let Some(folder) = above.filter(|folder| *folder != "/") {
            folders.push(folder.to_owned());
            above = path::parent(folder);
        }
        folders.reverse();
        folders.extend(PARTS.map(|part| self.at(part)));
        for folder in folders {
            let created = self.ensemble.try_ask(|c| c.create(&folder, "", CreateMode::Persistent));
            match created.await? {
                Ok(_) | Err(ClientError::NodeExists) => {}
                Err(error) => return Err(ConfigError::service(folder)(error)),
            }
        }
        Ok(())
    }

    /// Returns the number of the release in force, and the version of the znode that says so.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Invalid`] when it is no number.
    pub async fn head(&self) -> Result<Option<(u64, i32)>, ConfigError> {
        let at = self.at("head");
        match self.ensemble.try_ask(|client| client.get_data(&at)).await? {
            Err(ClientError::NoNode) => Ok(None),
            Err(error) => Err(ConfigError::service(at)(error)),
            Ok((data, stat)) => {
                let number =
                    std::str::from_utf8(&data).ok().and_then(|text| text.trim().parse().ok());
                let number =
                    number.ok_or_else(|| ConfigError::Invalid(format!("{at} is no number")))?;
                Ok(Some((number, stat.version)))
            }
        }
    }

    /// Returns the record of a release.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Invalid`] when there is none.
    pub async fn record(&self, release: u64) -> Result<Dated, ConfigError> {
        let at = self.record_path(release);
        match self.ensemble.try_ask(|client| client.get_data(&at)).await? {
            Ok((data, stat)) => {
                Ok(Dated { record: live::read_record(&at, &data)?, time_ms: stat.ctime_ms })
            }
            Err(ClientError::NoNode) => {
                Err(ConfigError::Invalid(format!("{} has no release {release}", self.root)))
            }
            Err(error) => Err(ConfigError::service(at)(error)),
        }
    }

    /// Returns the numbers of all releases, in order.
    ///
    /// # Errors
    ///
    /// Those of the service.
    pub async fn releases(&self) -> Result<Vec<u64>, ConfigError> {
        let at = self.at("history");
        match self.ensemble.try_ask(|client| client.get_children(&at)).await? {
            Ok((names, _)) => Ok(names.iter().filter_map(|name| name.parse().ok()).collect()),
            Err(ClientError::NoNode) => Ok(Vec::new()),
            Err(error) => Err(ConfigError::service(at)(error)),
        }
    }

    /// Returns all records, the oldest first.
    ///
    /// # Errors
    ///
    /// As [`Self::record`].
    pub async fn records(&self) -> Result<Vec<Dated>, ConfigError> {
        let releases = self.releases().await?;
        let answers = self
            .ensemble
            .ask_all(releases.len(), |client, index| {
                client.get_data(&self.record_path(releases[index]))
            })
            .await?;
        let mut records = Vec::new();
        for (release, answer) in releases.into_iter().zip(answers) {
            let at = self.record_path(release);
            match answer {
                Ok((data, stat)) => {
                    let record = live::read_record(&at, &data)?;
                    records.push(Dated { record, time_ms: stat.ctime_ms });
                }
                // Removed meanwhile.
                Err(ClientError::NoNode) => {}
                Err(error) => return Err(ConfigError::service(at)(error)),
            }
        }
        Ok(records)
    }

    /// Returns the manifest of a release.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Invalid`] when there is none, or not all of it.
    pub async fn manifest(
        &self,
        record: &Record,
        known: &mut Known,
    ) -> Result<Manifest, ConfigError> {
        let manifest =
            live::read_manifest(&self.ensemble, &self.at("blobs"), record, known).await?;
        manifest.ok_or_else(|| self.incomplete(record))
    }

    /// Returns a release's manifest and all its values.
    ///
    /// # Errors
    ///
    /// As [`Self::manifest`].
    pub async fn contents(
        &self,
        record: &Record,
        known: &mut Known,
    ) -> Result<(Manifest, Tree), ConfigError> {
        let manifest = self.manifest(record, known).await?;
        let tree = live::read_values(&self.ensemble, &self.at("blobs"), &manifest, known).await?;
        Ok((manifest, tree.ok_or_else(|| self.incomplete(record))?))
    }

    fn incomplete(&self, record: &Record) -> ConfigError {
        ConfigError::Invalid(format!("{}: release {} is incomplete", self.root, record.release))
    }

    /// Returns what an apply of a release would want: what it made, without what it found.
    pub fn wanted(manifest: &Manifest, tree: &Tree) -> Tree {
        let ours = |(key, item): (&Key, &Item)| match item.origin {
            Origin::Foreign => None,
            Origin::Untold => Some((key.clone(), Entry { data: None, ..tree[key].clone() })),
            Origin::Ours | Origin::Edited(_) => Some((key.clone(), tree[key].clone())),
        };
        manifest.iter().filter_map(ours).collect()
    }

    /// Reads all that a plan is made from.
    ///
    /// # Errors
    ///
    /// Those of the service, and of what is damaged.
    pub async fn see(&self, known: &mut Known) -> Result<Seen, ConfigError> {
        self.ensemble.ask(&self.root, |client| client.sync(&self.root)).await?;
        loop {
            let head = self.head().await?;
            let last = match head {
                None => Manifest::new(),
                Some((release, _)) => {
                    let record = self.record(release).await?.record;
                    self.manifest(&record, known).await?
                }
            };
            let mut znodes =
                live::read(&self.ensemble, &self.root, &self.hidden(), Depth::Acls).await?;
            recall_kinds(&mut znodes.tree, &last);
            if self.head().await? != head {
                continue;
            }
            let root = znodes.tree.get("").map(Entry::bytes).unwrap_or_default();
            let Some(pointer) = Pointer::parse(&root) else {
                let served = (!znodes.tree.is_empty()).then_some(Form::Direct);
                let tree = znodes.tree.clone();
                return Ok(Seen { tree, last, head, served, znodes, flipped: None });
            };
            if let Some(release) =
                live::read_release(&self.ensemble, &self.root, &pointer, known).await?
            {
                let at = self.at("flip");
                let flip = self.ensemble.ask(&at, |client| client.exists(&at)).await?;
                let flipped = Some(flip.map_or(Zxid::ZERO, |stat| stat.mzxid));
                let served = Some(Form::Release);
                return Ok(Seen { tree: release.tree, last, head, served, znodes, flipped });
            }
        }
    }

    /// Returns the names of all blobs that any of the releases needs.
    ///
    /// # Errors
    ///
    /// As [`Self::manifest`].
    pub async fn referenced(&self, known: &mut Known) -> Result<BTreeSet<Digest>, ConfigError> {
        let mut names = BTreeSet::new();
        for Dated { record, .. } in self.records().await? {
            names.extend(record.pages.iter().copied());
            let manifest = self.manifest(&record, known).await?;
            names.extend(manifest.values().filter_map(Item::blob));
        }
        Ok(names)
    }

    /// Returns the names of all blobs that are there.
    ///
    /// # Errors
    ///
    /// Those of the service.
    pub async fn blobs(&self) -> Result<BTreeSet<Digest>, ConfigError> {
        let at = self.at("blobs");
        let (names, _) = self.ensemble.ask(&at, |client| client.get_children(&at)).await?;
        Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
    }

    /// Does all of some operations, or none.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Unreachable`]; what the service says is within.
    pub async fn multi(&self, ops: Vec<Op>) -> Result<Result<(), MultiError>, ConfigError> {
        let answer = self.ensemble.in_time(self.ensemble.client().multi(ops)).await?;
        Ok(answer.map(drop))
    }
}

/// Adds the kinds that the service does not tell: those with which the znodes were made.
fn recall_kinds(tree: &mut Tree, last: &Manifest) {
    for (key, item) in last.iter().filter(|(_, item)| !item.kind.is_persistent()) {
        if let Some(entry) = tree.get_mut(key) {
            entry.kind = item.kind;
        }
    }
}

/// Returns what is no part of any configuration, where releases are kept at `base`.
pub fn hidden(base: &str) -> Vec<String> {
    let base = base.trim_end_matches('/');
    let above = path::parent(base).filter(|above| path::name(above) == ".conclave");
    vec![above.unwrap_or(base).to_owned()]
}
