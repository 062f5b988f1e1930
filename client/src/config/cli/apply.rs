//! `plan`, `apply`, `import`, `rollback`: what changes a configuration, or says what would.

use std::path::Path;

use serde_json::{Value, json};

use super::{
    CHANGES, Context, Result,
    arguments::{Checks, Making, Wanted},
    output, validate,
};
use crate::config::{
    blobs, diff,
    editor::Editor,
    error::ConfigError,
    live::Known,
    mask::Mask,
    plan::{Edits, Plan, Policy, Prune},
    proposal::Proposal,
    publish,
    record::{Action, Form, Record},
    rollout,
    source::Format,
    store::{Seen, Store},
    tree::Tree,
};

pub(super) fn policy(prune: bool, overwrite: bool) -> Policy {
    Policy {
        prune: if prune { Prune::Delete } else { Prune::Keep },
        edits: if overwrite { Edits::Overwrite } else { Edits::Keep },
    }
}

/// Reads and judges what is wanted; returns it with what hides its secrets.
pub(super) async fn load(context: &Context, wanted: &Wanted) -> Result<(Tree, Mask)> {
    let loaded = validate::load(context, &wanted.dir, wanted.format, &wanted.checks).await?;
    let mask = if wanted.show_secrets {
        Mask::none()
    } else {
        Mask::new(loaded.meta.secret.iter().map(String::as_str))?
    };
    Ok((loaded.tree, mask))
}

pub(super) async fn plan(context: &Context, wanted: Wanted) -> Result<u8> {
    let (tree, mask) = load(context, &wanted).await?;
    let policy = policy(wanted.prune, wanted.overwrite);
    context
        .with_store(&wanted.path, async |store| {
            let seen = store.see(&mut Known::new()).await?;
            let proposal = Proposal::new(tree, seen, policy, Action::Apply)?;
            print_plan(context, &wanted.path, &proposal.plan, &mask);
            check_conflicts(&proposal.plan)?;
            Ok(if proposal.plan.changes.is_empty() { 0 } else { CHANGES })
        })
        .await
}

pub(super) fn print_plan(context: &Context, path: &str, plan: &Plan, mask: &Mask) {
    let text = format!("{}{}\n", diff::text(plan, mask), summary(path, plan));
    context.printer.print(&text, || diff::json(plan, mask));
}

fn summary(path: &str, plan: &Plan) -> String {
    let counts = plan.counts();
    if counts.changes() == 0 && plan.conflicts.is_empty() {
        return format!("{path}: nothing to change, {} as wanted", counts.unchanged);
    }
    format!(
        "{path}: {} to create, {} to change, {} to delete, {} as wanted",
        counts.created, counts.changed, counts.deleted, counts.unchanged
    )
}

pub(super) fn check_conflicts(plan: &Plan) -> Result<()> {
    let Some((key, conflict)) = plan.conflicts.first_key_value() else { return Ok(()) };
    let more = match plan.conflicts.len() - 1 {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    let flag = if plan.conflicts.values().all(|conflict| conflict.can_be_overwritten()) {
        "; --overwrite makes it as wanted"
    } else {
        ""
    };
    Err(ConfigError::Conflict(format!("{key}: {}{more}{flag}", conflict.text())))
}

pub(super) async fn apply(context: &Context, wanted: Wanted, making: Making) -> Result<u8> {
    let (tree, mask) = load(context, &wanted).await?;
    let policy = policy(wanted.prune, wanted.overwrite);
    context
        .with_store(&wanted.path, async |store| {
            let mut known = Known::new();
            let seen = store.see(&mut known).await?;
            let proposal = Proposal::new(tree, seen, policy, Action::Apply)?;
            carry_out(context, store, proposal, &making, &mask, known).await
        })
        .await
}

/// Shows a proposal, asks, and publishes it.
pub(super) async fn carry_out(
    context: &Context,
    store: &Store,
    proposal: Proposal,
    making: &Making,
    mask: &Mask,
    mut known: Known,
) -> Result<u8> {
    if !is_agreed(context, store, &proposal, making, mask)? {
        return Ok(0);
    }
    let signature = context.signature(&making.reason);
    let editor = context.editor(store, &signature).await?;
    let record = publish::publish(store, &editor, &proposal, &signature, &mut known).await?;
    print_record(context, store, &record);
    // What is done is done; room is made if it can be.
    let trimmed = trim(store, &editor, making.keep, &mut known).await;
    if let Err(error) = trimmed {
        context.printer.say(&format!("old releases were not removed: {error}"));
    }
    editor.end(store).await;
    Ok(0)
}

/// Shows a proposal and asks. Returns whether it is to be done: not when it is settled already, or a dry run.
pub(super) fn is_agreed(
    context: &Context,
    store: &Store,
    proposal: &Proposal,
    making: &Making,
    mask: &Mask,
) -> Result<bool> {
    let is_settled = proposal.is_settled() && proposal.with.is_empty();
    let is_shown = making.dry_run || !making.yes || is_settled;
    if is_shown || !proposal.plan.conflicts.is_empty() {
        print_plan(context, store.root(), &proposal.plan, mask);
    }
    check_conflicts(&proposal.plan)?;
    if making.dry_run || is_settled {
        return Ok(false);
    }
    let is_change = !proposal.plan.changes.is_empty() || !proposal.with.is_empty();
    if is_change && !making.yes {
        let question = format!("Change {}?", store.root());
        tokio::task::block_in_place(|| output::confirm(&question))?;
    }
    Ok(true)
}

/// Removes old releases, but those that a rollout has in force.
async fn trim(store: &Store, editor: &Editor, keep: usize, known: &mut Known) -> Result<()> {
    let cohorts = rollout::read(store.ensemble(), store.path()).await?;
    let also = cohorts.iter().map(|cohort| cohort.pointer.release).collect();
    blobs::trim(store, editor, keep, &also, known).await
}

pub(super) fn print_record(context: &Context, store: &Store, record: &Record) {
    let counts = record.counts;
    let form = match record.form {
        Form::Direct => "",
        Form::Release => ", served as a release: readers follow the pointer in its data",
    };
    let text = format!(
        "{}: release {}: {} created, {} changed, {} deleted, {} as before{form}\n",
        store.root(),
        record.release,
        counts.created,
        counts.changed,
        counts.deleted,
        counts.unchanged,
    );
    context.printer.print(&text, || record_json(record));
}

/// Returns a record for programs.
pub(super) fn record_json(record: &Record) -> Value {
    json!({
        "id": record.release,
        "release": record.release,
        "action": record.action,
        "of": record.of,
        "before": record.before,
        "author": record.author,
        "host": record.host,
        "reason": record.reason,
        "counts": record.counts,
        "form": record.form,
    })
}

pub(super) async fn import(
    context: &Context,
    (from, format): (&Path, Option<Format>),
    path: &str,
    (overwrite, reason): (bool, String),
    checks: &Checks,
) -> Result<u8> {
    let loaded = validate::load(context, from, format, checks).await?;
    let mask = Mask::new(loaded.meta.secret.iter().map(String::as_str))?;
    context
        .with_store(path, async |store| {
            let mut known = Known::new();
            let seen = store.see(&mut known).await?;
            let policy = policy(false, overwrite);
            let proposal = Proposal::new(loaded.tree, seen, policy, Action::Import)?;
            let making = Making { yes: true, dry_run: false, reason, keep: usize::MAX };
            carry_out(context, store, proposal, &making, &mask, known).await
        })
        .await
}

pub(super) async fn rollback(
    context: &Context,
    path: &str,
    release: Option<u64>,
    overwrite: bool,
    making: Making,
) -> Result<u8> {
    context
        .with_store(path, async |store| {
            let mut known = Known::new();
            let seen = store.see(&mut known).await?;
            let release = match release {
                Some(release) => release,
                None => one_before(store, &seen).await?,
            };
            let record = store.record(release).await?.record;
            let (manifest, tree) = store.contents(&record, &mut known).await?;
            let wanted = Store::wanted(&manifest, &tree);
            let policy = policy(true, overwrite);
            let mut proposal = Proposal::new(wanted, seen, policy, Action::Rollback)?;
            proposal.of = Some(release);
            carry_out(context, store, proposal, &making, &Mask::new([])?, known).await
        })
        .await
}

/// Returns the release before the one in force. One that was itself a rollback counts as what it went back to, so that
/// one rollback after another goes further back.
async fn one_before(store: &Store, seen: &Seen) -> Result<u64> {
    let nothing = || ConfigError::Invalid(format!("{} has no release to go back to", store.root()));
    let (head, _) = seen.head.ok_or_else(nothing)?;
    let mut record = store.record(head).await?.record;
    while let (Action::Rollback, Some(of)) = (record.action, record.of) {
        record = store.record(of).await?.record;
    }
    record.before.ok_or_else(nothing)
}
