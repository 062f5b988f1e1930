//! What is there, read so that it is what was there at one moment.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use bytes::Bytes;
use conclave_protocol::{acl::Acl, stat::Stat};

use super::{
    digest::Digest,
    ensemble::{Ensemble, WINDOW},
    error::ConfigError,
    files::KEYS_MAX,
    key::Key,
    record::{Pointer, Record},
    release::{self, Manifest},
    tree::{AclText, Entry, Kind, Tree},
};
use crate::{client::Answer, error::ClientError};

/// How often a tree that changes while it is read is read again.
const READS_MAX: usize = 100;

/// What only the service itself has below the root.
const SERVICE: &str = "/zookeeper";

/// The znodes below a path, all as they were at one moment.
#[derive(Clone, Debug, Default)]
pub struct Znodes {
    /// Their data, ACLs and kinds; nothing when there is no znode at the path.
    pub tree: Tree,
    /// Their stats, ephemerals too.
    pub stats: BTreeMap<Key, Stat>,
    /// Which are ephemerals; those are not in the tree.
    pub ephemerals: BTreeSet<Key>,
}

impl Znodes {
    /// Returns the versions of their data.
    pub fn versions(&self) -> BTreeMap<Key, i32> {
        self.stats.iter().map(|(key, stat)| (key.clone(), stat.version)).collect()
    }

    /// Returns the newest txn that has changed any of them.
    pub fn zxid(&self) -> i64 {
        let newest = |stat: &Stat| stat.mzxid.to_wire().max(stat.pzxid.to_wire());
        self.stats.values().map(newest).max().unwrap_or(0)
    }
}

/// What of the znodes is read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Depth {
    /// Data alone.
    Data,
    /// ACLs too.
    Acls,
}

/// Reads all below `root`, without what is at or below one of `hidden`.
///
/// They are read twice, and what is the same both times was there, all of it, at the moment between.
///
/// # Errors
///
/// [`ConfigError::Conflict`] when it changes faster than it can be read.
pub async fn read(
    ensemble: &Ensemble,
    root: &str,
    hidden: &[String],
    depth: Depth,
) -> Result<Znodes, ConfigError> {
    for _ in 0..READS_MAX {
        if let Some(znodes) = read_once(ensemble, root, hidden, depth).await?
            && is_still(ensemble, root, &znodes).await?
        {
            return Ok(znodes);
        }
    }
    Err(ConfigError::Conflict(format!("{root} changes faster than it can be read")))
}

/// The questions about one znode that are under way.
struct Asked {
    key: Key,
    data: Answer<(Bytes, Stat)>,
    children: Answer<(Vec<String>, Stat)>,
    acl: Option<Answer<(Vec<Acl>, Stat)>>,
}

/// Returns nothing when a znode went while it was read.
async fn read_once(
    ensemble: &Ensemble,
    root: &str,
    hidden: &[String],
    depth: Depth,
) -> Result<Option<Znodes>, ConfigError> {
    let client = ensemble.client();
    let mut found = Znodes::default();
    let mut waiting = VecDeque::from([Key::root()]);
    let mut under_way: VecDeque<Asked> = VecDeque::new();
    loop {
        while under_way.len() < WINDOW
            && let Some(key) = waiting.pop_front()
        {
            let path = key.under(root);
            let acl = (depth == Depth::Acls).then(|| client.get_acl(&path));
            let (data, children) = (client.get_data(&path), client.get_children(&path));
            under_way.push_back(Asked { key, data, children, acl });
        }
        let Some(Asked { key, data, children, acl }) = under_way.pop_front() else {
            return Ok(Some(found));
        };
        let path = key.under(root);
        let answered = ensemble.in_time(data).await?;
        if key.is_root() && answered == Err(ClientError::NoNode) {
            return Ok(Some(found));
        }
        let Some((data, stat)) = settled(ensemble, &path, answered).await? else {
            return Ok(None);
        };
        let answered = ensemble.in_time(children).await?;
        let Some((names, _)) = settled(ensemble, &path, answered).await? else { return Ok(None) };
        let acl = match acl {
            None => None,
            Some(acl) => {
                let answered = ensemble.in_time(acl).await?;
                let Some((acl, _)) = settled(ensemble, &path, answered).await? else {
                    return Ok(None);
                };
                AclText::of(&acl)
            }
        };
        for name in names {
            let child = key.child(&name).map_err(|error| {
                ConfigError::Invalid(format!("{path} has a child {name:?}: {error}"))
            })?;
            let path = child.under(root);
            if path != SERVICE && !hidden.contains(&path) {
                waiting.push_back(child);
            }
        }
        found.stats.insert(key.clone(), stat);
        if found.stats.len() > KEYS_MAX {
            return Err(ConfigError::Invalid(format!("{root} has more than {KEYS_MAX} znodes")));
        }
        if stat.ephemeral_owner != 0 {
            found.ephemerals.insert(key);
        } else {
            found.tree.insert(key, Entry { data: Some(data), acl, kind: Kind::Persistent });
        }
    }
}

/// Returns an answer; nothing when all has to be read again.
async fn settled<T>(
    ensemble: &Ensemble,
    path: &str,
    answered: Result<T, ClientError>,
) -> Result<Option<T>, ConfigError> {
    match answered {
        Ok(answer) => Ok(Some(answer)),
        Err(ClientError::NoNode) => Ok(None),
        Err(ClientError::ConnectionLoss) => {
            ensemble.connected().await?;
            Ok(None)
        }
        Err(error) => Err(ConfigError::service(path)(error)),
    }
}

/// Returns whether all stats are what they were.
async fn is_still(ensemble: &Ensemble, root: &str, znodes: &Znodes) -> Result<bool, ConfigError> {
    if znodes.stats.is_empty() {
        return Ok(ensemble.ask(root, |client| client.exists(root)).await?.is_none());
    }
    let keys: Vec<&Key> = znodes.stats.keys().collect();
    let stats = ensemble
        .ask_all(keys.len(), |client, index| client.exists(&keys[index].under(root)))
        .await?;
    for (key, stat) in keys.iter().zip(stats) {
        let stat = stat.map_err(ConfigError::service(key.under(root)))?;
        if stat != Some(znodes.stats[*key]) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Blobs that were read before, so that they need not be read again: their names tell what they hold.
pub type Known = HashMap<Digest, Bytes>;

/// Reads blobs by name into `known`. Returns whether all were there.
///
/// # Errors
///
/// [`ConfigError::Invalid`] when one does not hold what its name says.
pub async fn read_blobs(
    ensemble: &Ensemble,
    folder: &str,
    names: impl IntoIterator<Item = Digest>,
    known: &mut Known,
) -> Result<bool, ConfigError> {
    let missing: BTreeSet<Digest> =
        names.into_iter().filter(|name| !known.contains_key(name)).collect();
    let missing: Vec<Digest> = missing.into_iter().collect();
    let answers = ensemble
        .ask_all(missing.len(), |client, index| {
            client.get_data(&format!("{folder}/{}", missing[index]))
        })
        .await?;
    let mut are_all_there = true;
    for (name, answer) in missing.into_iter().zip(answers) {
        match answer {
            Ok((data, _)) => drop(known.insert(name, data)),
            Err(ClientError::NoNode) => are_all_there = false,
            Err(error) => return Err(ConfigError::service(format!("{folder}/{name}"))(error)),
        }
    }
    Ok(are_all_there)
}

/// Reads the manifest of a record; nothing when a page is not there any more.
///
/// # Errors
///
/// [`ConfigError::Invalid`] when a page is damaged.
pub async fn read_manifest(
    ensemble: &Ensemble,
    blobs: &str,
    record: &Record,
    known: &mut Known,
) -> Result<Option<Manifest>, ConfigError> {
    if !read_blobs(ensemble, blobs, record.pages.iter().copied(), known).await? {
        return Ok(None);
    }
    let mut manifest = Manifest::new();
    for page in &record.pages {
        let damaged = |error| ConfigError::Invalid(format!("{blobs}/{page}: {error}"));
        if Digest::of(&known[page]) != *page {
            return Err(damaged("it does not hold what its name says".to_owned()));
        }
        release::read_page(&known[page], &mut manifest).map_err(damaged)?;
    }
    Ok(Some(manifest))
}

/// Reads the tree of a manifest; nothing when a value is not there any more.
///
/// # Errors
///
/// [`ConfigError::Invalid`] when a value is not what the manifest says.
pub async fn read_values(
    ensemble: &Ensemble,
    blobs: &str,
    manifest: &Manifest,
    known: &mut Known,
) -> Result<Option<Tree>, ConfigError> {
    let names = manifest.values().filter_map(release::Item::blob);
    if !read_blobs(ensemble, blobs, names, known).await? {
        return Ok(None);
    }
    let tree = release::tree(manifest, |name| known.get(&name).cloned())
        .map_err(|key| ConfigError::Invalid(format!("{blobs}: the value of {key} is missing")))?;
    for (key, entry) in &tree {
        let expected = manifest[key].data.map(|(digest, _)| digest);
        if entry.data.as_ref().map(|data| Digest::of(data)) != expected {
            return Err(ConfigError::Invalid(format!("{blobs}: the value of {key} is damaged")));
        }
    }
    Ok(Some(tree))
}

/// A release as its readers see it.
#[derive(Clone, Debug)]
pub struct Release {
    /// The pointer that led here.
    pub pointer: Pointer,
    /// What it holds.
    pub manifest: Manifest,
    /// The same with the data.
    pub tree: Tree,
}

/// Reads the release that a pointer names; nothing when it is not there any more, and the pointer with it.
///
/// # Errors
///
/// [`ConfigError::Invalid`] when the pointer leads out of what this connection sees.
pub async fn read_release(
    ensemble: &Ensemble,
    root: &str,
    pointer: &Pointer,
    known: &mut Known,
) -> Result<Option<Release>, ConfigError> {
    let resolve = |relative: &str| {
        Pointer::resolve(root, relative).ok_or_else(|| {
            let text = "points to a release above the chroot of this connection; see --store";
            ConfigError::Invalid(format!("{root} {text}"))
        })
    };
    let (at, blobs) = (resolve(&pointer.record)?, resolve(&pointer.blobs)?);
    let record = match ensemble.try_ask(|client| client.get_data(&at)).await? {
        Ok((data, _)) => read_record(&at, &data)?,
        Err(ClientError::NoNode) => return Ok(None),
        Err(error) => return Err(ConfigError::service(at)(error)),
    };
    let Some(manifest) = read_manifest(ensemble, &blobs, &record, known).await? else {
        return Ok(None);
    };
    let Some(tree) = read_values(ensemble, &blobs, &manifest, known).await? else {
        return Ok(None);
    };
    Ok(Some(Release { pointer: pointer.clone(), manifest, tree }))
}

/// Reads a record.
///
/// # Errors
///
/// [`ConfigError::Invalid`].
pub fn read_record(path: &str, data: &[u8]) -> Result<Record, ConfigError> {
    serde_json::from_slice(data)
        .map_err(|error| ConfigError::Invalid(format!("{path} is no record: {error}")))
}
