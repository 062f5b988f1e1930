//! `rollout` and `status`: a release for some before it is for all, and who runs what.

use std::fmt::Write as _;

use serde_json::json;

use super::{
    Context, Result,
    apply::{self, policy},
    arguments::{self, Making, Rollout, Wanted},
};
use crate::{
    client::CreateMode,
    config::{
        diff,
        error::ConfigError,
        live::Known,
        mask::Mask,
        plan,
        proposal::Proposal,
        publish,
        record::{Action, Form, Pointer},
        rollout::{self, Cohort, Members},
        store::Store,
    },
    ops::Op,
};

pub(super) async fn run(context: &Context, step: Rollout) -> Result<u8> {
    match step {
        Rollout::Start { wanted, cohort, making } => start(context, wanted, cohort, making).await,
        Rollout::Widen { path, release, cohort } => widen(context, &path, release, cohort).await,
        Rollout::Promote { path, overwrite, making } => {
            promote(context, &path, overwrite, making).await
        }
        Rollout::Abort { path } => abort(context, &path).await,
    }
}

/// Returns the members that are named, and the name of their cohort.
fn members(cohort: &arguments::Cohort) -> Result<(Members, String)> {
    match (&cohort.label, cohort.percent) {
        (Some(label), None) => {
            conclave_protocol::path::check_name(label)
                .map_err(|error| ConfigError::Usage(format!("{label:?}: {error}")))?;
            Ok((Members::Label(label.clone()), format!("label-{label}")))
        }
        // One share at a time: a greater one takes the place of a smaller.
        (None, Some(percent)) => Ok((Members::Percent(percent), "share".to_owned())),
        _ => Err(ConfigError::Usage("for whom? --label or --percent says it".to_owned())),
    }
}

/// Returns what leads a cohort to a release.
fn lead(store: &Store, name: &str, members: Members, pointer: Pointer, old: Option<i32>) -> Op {
    let cohort = Cohort { name: String::new(), members, pointer, zxid: 0, version: 0 };
    let data = serde_json::to_vec(&cohort).expect("it is plain data");
    let at = store.at(&format!("cohorts/{name}"));
    match old {
        Some(version) => Op::set_data(at, data, Some(version)),
        None => Op::create(at, data, CreateMode::Persistent),
    }
}

async fn cohorts(store: &Store) -> Result<Vec<Cohort>> {
    rollout::read(store.ensemble(), store.path()).await
}

fn version(cohorts: &[Cohort], name: &str) -> Option<i32> {
    cohorts.iter().find(|cohort| cohort.name == name).map(|cohort| cohort.version)
}

async fn start(
    context: &Context,
    wanted: Wanted,
    cohort: arguments::Cohort,
    making: Making,
) -> Result<u8> {
    let (members, name) = members(&cohort)?;
    let (tree, mask) = apply::load(context, &wanted).await?;
    context
        .with_store(&wanted.path, async |store| {
            let mut known = Known::new();
            let seen = store.see(&mut known).await?;
            let policy = policy(wanted.prune, wanted.overwrite);
            let proposal = Proposal::new(tree, seen, policy, Action::Stage)?;
            if !apply::is_agreed(context, store, &proposal, &making, &mask)? {
                return Ok(0);
            }
            let signature = context.signature(&making.reason);
            let editor = context.editor(store, &signature).await?;
            let old = version(&cohorts(store).await?, &name);
            let lead = |pointer| lead(store, &name, members, pointer, old);
            let record =
                publish::stage(store, &editor, &proposal, &signature, &mut known, lead).await?;
            apply::print_record(context, store, &record);
            editor.end(store).await;
            Ok(0)
        })
        .await
}

async fn widen(
    context: &Context,
    path: &str,
    release: u64,
    cohort: arguments::Cohort,
) -> Result<u8> {
    let (members, name) = members(&cohort)?;
    context
        .with_store(path, async |store| {
            store.record(release).await?;
            let signature = context.signature("");
            let editor = context.editor(store, &signature).await?;
            let pointer = Pointer::new(store.root(), store.path(), release);
            let old = version(&cohorts(store).await?, &name);
            let ops = vec![editor.fence().clone(), lead(store, &name, members, pointer, old)];
            store.multi(ops).await?.map_err(|error| publish::refused(store, &error))?;
            editor.end(store).await;
            let text = format!("{path}: release {release} is in force for {name}\n");
            context.printer.print(&text, || json!({ "release": release, "cohort": name }));
            Ok(0)
        })
        .await
}

async fn promote(context: &Context, path: &str, overwrite: bool, making: Making) -> Result<u8> {
    context
        .with_store(path, async |store| {
            let cohorts = cohorts(store).await?;
            let mut releases: Vec<u64> = cohorts.iter().map(|c| c.pointer.release).collect();
            releases.sort_unstable();
            releases.dedup();
            let &[release] = releases.as_slice() else {
                let text = match releases.len() {
                    0 => format!("{path} has no rollout under way"),
                    _ => format!("{path} has several releases in rollout: {releases:?}"),
                };
                return Err(ConfigError::Invalid(text));
            };
            let mut known = Known::new();
            let seen = store.see(&mut known).await?;
            let record = store.record(release).await?.record;
            let head = seen.head.map(|(release, _)| release);
            if record.action == Action::Stage && record.before != head && !overwrite {
                let text = format!(
                    "{path} was changed since release {release} was made from {}; --overwrite takes that back",
                    record.before.map_or_else(|| "nothing".to_owned(), |n| n.to_string()),
                );
                return Err(ConfigError::Conflict(text));
            }
            let (manifest, tree) = store.contents(&record, &mut known).await?;
            let wanted = Store::wanted(&manifest, &tree);
            let policy = policy(true, overwrite);
            let mut proposal = Proposal::new(wanted, seen, policy, Action::Promote)?;
            proposal.of = Some(release);
            proposal.with = end(store, &cohorts);
            apply::carry_out(context, store, proposal, &making, &Mask::new([])?, known).await
        })
        .await
}

/// Returns what ends a rollout.
fn end(store: &Store, cohorts: &[Cohort]) -> Vec<Op> {
    let delete = |cohort: &Cohort| {
        Op::delete(store.at(&format!("cohorts/{}", cohort.name)), Some(cohort.version))
    };
    cohorts.iter().map(delete).collect()
}

async fn abort(context: &Context, path: &str) -> Result<u8> {
    context
        .with_store(path, async |store| {
            let signature = context.signature("");
            let editor = context.editor(store, &signature).await?;
            let cohorts = cohorts(store).await?;
            if !cohorts.is_empty() {
                let ops = [vec![editor.fence().clone()], end(store, &cohorts)].concat();
                store.multi(ops).await?.map_err(|error| publish::refused(store, &error))?;
            }
            editor.end(store).await;
            let count = cohorts.len();
            let text = format!("{path}: {count} cohorts are back with all others\n");
            context.printer.print(&text, || json!({ "cohorts": count }));
            Ok(0)
        })
        .await
}

pub(super) async fn status(context: &Context, path: &str) -> Result<u8> {
    let (seen, cohorts, reports) = context
        .with_store(path, async |store| {
            let seen = store.see(&mut Known::new()).await?;
            let reports = rollout::reports(store.ensemble(), store.path()).await?;
            Ok((seen, cohorts(store).await?, reports))
        })
        .await?;
    let head = seen.head.map(|(release, _)| release);
    // What was applied last, compared with what is there.
    let edited: Vec<&str> = plan::edited(&seen.last, &seen.tree).map(|key| key.as_str()).collect();
    let form = match seen.served {
        None => "not there",
        Some(Form::Direct) => "served as znodes",
        Some(Form::Release) => "served as a release",
    };
    let name = |release: Option<u64>| release.map_or_else(|| "none".to_owned(), |n| n.to_string());
    let mut text = format!("{path}: release {}, {} keys, {form}\n", name(head), seen.tree.len());
    let mut line =
        |args: std::fmt::Arguments<'_>| writeln!(text, "{args}").expect("a string takes all");
    for key in &edited {
        line(format_args!("  changed by others: {key}"));
    }
    for cohort in &cohorts {
        let whom = match &cohort.members {
            Members::Label(label) => format!("label {label}"),
            Members::Percent(percent) => format!("{percent} %"),
        };
        line(format_args!("  rollout: release {} for {whom}", cohort.pointer.release));
    }
    for (consumer, report) in &reports {
        let by = report.cohort.as_ref().map_or_else(String::new, |cohort| format!(" by {cohort}"));
        let at = diff::printable(&report.host);
        let consumer = diff::printable(consumer);
        line(format_args!("  {consumer} runs release {}{by}, on {at}", name(report.release)));
    }
    context.printer.print(&text, || {
        let cohort = |cohort: &Cohort| {
            json!({ "name": cohort.name, "members": cohort.members, "release": cohort.pointer.release })
        };
        let consumers = reports.iter().map(|(name, report)| (name.clone(), json!(report)));
        json!({
            "release": head,
            "keys": seen.tree.len(),
            "form": seen.served,
            "edited": edited,
            "cohorts": cohorts.iter().map(cohort).collect::<Vec<_>>(),
            "consumers": consumers.collect::<serde_json::Map<_, _>>(),
        })
    });
    Ok(0)
}
