//! The apply itself: readers see what was there before or what is wanted, and never a mixture.
//!
//! Everything that is new is written first, as blobs that nobody looks at; then one multi makes it true.
//! Where all changes fit that multi, it changes the znodes themselves. Where they do not, it turns one
//! pointer: `FORMAT.md` says what readers do with it.

use super::{
    batch,
    blobs::{self, TRIES_MAX},
    digest::Digest,
    editor::{self, Editor},
    error::ConfigError,
    form::decide,
    live::Known,
    plan::Readers,
    proposal::Proposal,
    record::{Form, Pointer, Record},
    release,
    store::Store,
};
use crate::{
    client::CreateMode,
    error::{ClientError, MultiError},
    ops::Op,
};

/// Who changes something, and why.
#[derive(Clone, Debug)]
pub struct Signature {
    /// Who.
    pub author: String,
    /// On which host.
    pub host: String,
    /// Why.
    pub reason: String,
}

/// Publishes a proposal and returns its record.
///
/// # Errors
///
/// [`ConfigError::Conflict`] when it has conflicts, or others have changed anything since it was planned; then, and
/// after any other error, what readers see is as before.
pub async fn publish(
    store: &Store,
    editor: &Editor,
    proposal: &Proposal,
    signature: &Signature,
    known: &mut Known,
) -> Result<Record, ConfigError> {
    if let Some((key, conflict)) = proposal.plan.conflicts.first_key_value() {
        let count = proposal.plan.conflicts.len();
        let text = format!("{key}: {} ({count} in all)", conflict.text());
        return Err(ConfigError::Conflict(text));
    }
    check_head(store, proposal).await?;
    if editor.was_cut_short() {
        blobs::remove_leftovers(store, editor, known).await?;
    }
    let mut record = draft(store, proposal, signature).await?;
    let (mut ops, manifest, rest) = decide(store, editor, proposal, &mut record);
    let pages = release::pages(&manifest);
    record.pages = pages.iter().map(|page| Digest::of(page)).collect();
    blobs::upload(store, editor, &blobs::needed(proposal, &manifest, &pages, known)).await?;
    ops.extend(announce(store, proposal, &record));
    ops.extend(proposal.with.iter().cloned());
    commit(store, proposal, &record, ops).await?;
    for multi in batch::cut(editor.fence(), rest, store.ensemble().limit()) {
        // What is left, the next apply removes; readers do not look at it any more.
        drop(store.multi(multi).await?);
    }
    Ok(record)
}

/// Writes a release down that is not in force, with what leads some to it.
///
/// # Errors
///
/// As [`publish`].
pub async fn stage(
    store: &Store,
    editor: &Editor,
    proposal: &Proposal,
    signature: &Signature,
    known: &mut Known,
    lead: impl FnOnce(Pointer) -> Op,
) -> Result<Record, ConfigError> {
    check_head(store, proposal).await?;
    let mut record = draft(store, proposal, signature).await?;
    record.form = Form::Release;
    let manifest = proposal.manifest(Readers::OfRelease);
    let pages = release::pages(&manifest);
    record.pages = pages.iter().map(|page| Digest::of(page)).collect();
    blobs::upload(store, editor, &blobs::needed(proposal, &manifest, &pages, known)).await?;
    let pointer = Pointer::new(store.root(), store.path(), record.release);
    let ops = vec![editor.fence().clone(), note(store, &record), lead(pointer)];
    commit(store, proposal, &record, ops).await?;
    Ok(record)
}

/// Refuses when another release is in force than the one that was planned upon.
async fn check_head(store: &Store, proposal: &Proposal) -> Result<(), ConfigError> {
    let head = store.head().await?;
    if head == proposal.seen.head {
        return Ok(());
    }
    let who = match head {
        None => String::new(),
        Some((release, _)) => {
            let record = store.record(release).await?.record;
            format!(": release {release} by {} ({})", record.author, record.reason)
        }
    };
    let text = format!("{} was changed since this was planned{who}; plan again", store.root());
    Err(ConfigError::Conflict(text))
}

async fn draft(
    store: &Store,
    proposal: &Proposal,
    signature: &Signature,
) -> Result<Record, ConfigError> {
    let newest = store.releases().await?.into_iter().max().unwrap_or(0);
    Ok(Record {
        release: newest.max(proposal.seen.head.map_or(0, |(release, _)| release)) + 1,
        action: proposal.action,
        of: proposal.of,
        before: proposal.seen.head.map(|(release, _)| release),
        author: signature.author.clone(),
        host: signature.host.clone(),
        reason: signature.reason.clone(),
        counts: proposal.plan.counts(),
        form: Form::Direct,
        pages: Vec::new(),
        token: editor::token(),
    })
}

/// Returns what puts a release in force.
fn announce(store: &Store, proposal: &Proposal, record: &Record) -> Vec<Op> {
    let number = record.release.to_string();
    let head = match proposal.seen.head {
        Some((_, version)) => Op::set_data(store.at("head"), number, Some(version)),
        None => Op::create(store.at("head"), number, CreateMode::Persistent),
    };
    vec![note(store, record), head]
}

/// Returns what writes a record down.
fn note(store: &Store, record: &Record) -> Op {
    let json = serde_json::to_vec(record).expect("a record is plain data");
    Op::create(store.record_path(record.release), json, CreateMode::Persistent)
}

/// Does the one multi. When the answer to it is lost, the history tells whether it was done.
async fn commit(
    store: &Store,
    proposal: &Proposal,
    record: &Record,
    mut ops: Vec<Op>,
) -> Result<(), ConfigError> {
    let mut is_known = true;
    for _ in 0..TRIES_MAX {
        match store.multi(ops.clone()).await? {
            Ok(()) => return Ok(()),
            Err(error) if error.error == ClientError::ConnectionLoss => {
                is_known = false;
                if is_done(store, record).await.map_err(|error| unknown(record, &error))? {
                    return Ok(());
                }
            }
            // It may have been an earlier try that was done behind our backs.
            Err(_) if !is_known && is_done(store, record).await? => return Ok(()),
            // What is above the path may be there.
            Err(MultiError { index: Some(index), error: ClientError::NodeExists })
                if is_above(store, &ops[index]) =>
            {
                ops.remove(index);
            }
            Err(error) => {
                check_head(store, proposal).await?;
                return Err(refused(store, &error));
            }
        }
    }
    Err(ConfigError::Unreachable("the connection breaks again and again".to_owned()))
}

/// Returns whether the history has a record with its very token.
async fn is_done(store: &Store, record: &Record) -> Result<bool, ConfigError> {
    store.ensemble().connected().await?;
    store.ensemble().ask(store.path(), |client| client.sync(store.path())).await?;
    if !store.releases().await?.contains(&record.release) {
        return Ok(false);
    }
    Ok(store.record(record.release).await?.record.token == record.token)
}

fn unknown(record: &Record, error: &ConfigError) -> ConfigError {
    let release = record.release;
    ConfigError::Unreachable(format!("{error}; history tells whether release {release} was made"))
}

fn is_above(store: &Store, op: &Op) -> bool {
    matches!(op, Op::Create { path, .. } if store.root().starts_with(&format!("{path}/")))
}

/// Says why a multi was refused: what has changed under our hands is a conflict.
pub fn refused(store: &Store, error: &MultiError) -> ConfigError {
    match error.error {
        ClientError::BadVersion
        | ClientError::NodeExists
        | ClientError::NoNode
        | ClientError::NotEmpty => ConfigError::Conflict(format!(
            "{} was changed while this was under way ({error}); plan again",
            store.root()
        )),
        _ => ConfigError::Service { what: store.root().to_owned(), error: error.error.clone() },
    }
}
