//! What releases are made of: written before anybody looks, removed when no release needs it.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::{
    batch,
    digest::Digest,
    editor::Editor,
    error::ConfigError,
    live::Known,
    proposal::Proposal,
    publish::refused,
    release::Manifest,
    store::Store,
    tree::{AclText, Entry},
};
use crate::{client::CreateMode, error::ClientError, ops::Op};

/// How often an upload is begun again over broken connections.
pub(super) const TRIES_MAX: usize = 20;

/// A blob that has to be there: its data, and who may read it.
pub(super) type Blobs = BTreeMap<Digest, (Bytes, Option<AclText>)>;

/// Returns all blobs of a manifest whose data is at hand.
pub(super) fn needed(
    proposal: &Proposal,
    manifest: &Manifest,
    pages: &[Bytes],
    known: &Known,
) -> Blobs {
    let mut blobs: Blobs =
        pages.iter().map(|page| (Digest::of(page), (page.clone(), None))).collect();
    let live = proposal.plan.after(&proposal.seen.tree);
    for (key, item) in manifest {
        let (Some(name), Some((digest, _))) = (item.blob(), item.data) else { continue };
        let is_it = |data: &Bytes| Digest::of(data) == digest;
        let wanted = proposal.wanted.get(key).map(Entry::bytes);
        let found = wanted.filter(is_it).or_else(|| live.get(key).map(Entry::bytes).filter(is_it));
        // What is neither is of an earlier release, and there.
        if let Some(data) = found.or_else(|| known.get(&name).cloned()) {
            blobs.insert(name, (data, item.acl.clone()));
        }
    }
    blobs
}

/// Writes the blobs that are not there.
pub(super) async fn upload(
    store: &Store,
    editor: &Editor,
    blobs: &Blobs,
) -> Result<(), ConfigError> {
    let folder = store.at("blobs");
    for _ in 0..TRIES_MAX {
        let there = store.blobs().await?;
        let create = |(name, (data, acl)): (&Digest, &(Bytes, Option<AclText>))| {
            let path = format!("{folder}/{name}");
            batch::create_with(&path, data.clone(), CreateMode::Persistent, acl.as_ref())
        };
        let missing: Vec<Op> =
            blobs.iter().filter(|(name, _)| !there.contains(name)).map(create).collect();
        let mut is_done = true;
        for multi in batch::cut(editor.fence(), missing, store.ensemble().limit()) {
            match store.multi(multi).await? {
                Ok(()) => {}
                Err(error) if error.error == ClientError::ConnectionLoss => {
                    store.ensemble().connected().await?;
                    is_done = false;
                    break;
                }
                Err(error) => return Err(refused(store, &error)),
            }
        }
        if is_done {
            return Ok(());
        }
    }
    Err(ConfigError::Unreachable("the connection breaks again and again".to_owned()))
}

/// Removes blobs that no release needs: those of an apply that was cut short, and of releases that were removed.
///
/// # Errors
///
/// [`ConfigError::Conflict`] when another has taken the lock.
pub async fn remove_leftovers(
    store: &Store,
    editor: &Editor,
    known: &mut Known,
) -> Result<usize, ConfigError> {
    let needed = store.referenced(known).await?;
    let leftovers: Vec<Digest> = store.blobs().await?.difference(&needed).copied().collect();
    let delete = |name: &Digest| Op::delete(store.at(&format!("blobs/{name}")), None);
    let deletes: Vec<Op> = leftovers.iter().map(delete).collect();
    for multi in batch::cut(editor.fence(), deletes, store.ensemble().limit()) {
        if let Err(error) = store.multi(multi).await? {
            return Err(refused(store, &error));
        }
    }
    Ok(leftovers.len())
}

/// Removes the oldest releases beyond `keep`, and what only they needed. The release in force, and those that rollouts
/// or `also` name, stay.
///
/// # Errors
///
/// As [`remove_leftovers`].
pub async fn trim(
    store: &Store,
    editor: &Editor,
    keep: usize,
    also: &BTreeSet<u64>,
    known: &mut Known,
) -> Result<(), ConfigError> {
    let releases = store.releases().await?;
    let head = store.head().await?.map(|(release, _)| release);
    let is_old = |release: &&u64| Some(**release) != head && !also.contains(release);
    let count = releases.len().saturating_sub(keep.max(1));
    let old: Vec<Op> = releases
        .iter()
        .take(count)
        .filter(is_old)
        .map(|release| Op::delete(store.record_path(*release), None))
        .collect();
    if old.is_empty() {
        return Ok(());
    }
    for multi in batch::cut(editor.fence(), old, store.ensemble().limit()) {
        if let Err(error) = store.multi(multi).await? {
            return Err(refused(store, &error));
        }
    }
    remove_leftovers(store, editor, known).await.map(drop)
}
