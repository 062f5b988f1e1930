//! `history`, `show`, `diff`: what was.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{Context, Result, apply::record_json, output};
use crate::config::{
    diff,
    error::ConfigError,
    live::Known,
    mask::Mask,
    record::{Action, Form},
    store::{Dated, Store},
    tree::Tree,
};

pub(super) async fn history(context: &Context, path: &str) -> Result<u8> {
    let (records, head) = context
        .with_store(path, async |store| Ok((store.records().await?, store.head().await?)))
        .await?;
    let head = head.map(|(release, _)| release);
    let mut text = String::new();
    for dated in records.iter().rev() {
        let record = &dated.record;
        let mark = if Some(record.release) == head { '*' } else { ' ' };
        let what = match (record.action, record.of) {
            (Action::Apply, _) => "apply".to_owned(),
            (Action::Import, _) => "import".to_owned(),
            (Action::Stage, _) => "staged".to_owned(),
            (Action::Rollback, Some(of)) => format!("rollback to {of}"),
            (Action::Promote, Some(of)) => format!("promotion of {of}"),
            (Action::Rollback, None) => "rollback".to_owned(),
            (Action::Promote, None) => "promotion".to_owned(),
        };
        let counts = record.counts;
        writeln!(
            text,
            "{mark} {:>4}  {}  {}@{}  {what}: +{} ~{} -{}  {}",
            record.release,
            output::time(dated.time_ms),
            diff::printable(&record.author),
            diff::printable(&record.host),
            counts.created,
            counts.changed,
            counts.deleted,
            diff::printable(&record.reason),
        )
        .expect("a string takes all");
    }
    let value =
        || Value::Array(records.iter().rev().map(|dated| dated_json(dated, head)).collect());
    context.printer.print(&text, value);
    Ok(0)
}

fn dated_json(dated: &Dated, head: Option<u64>) -> Value {
    let mut value = record_json(&dated.record);
    value["time"] = output::time(dated.time_ms).into();
    value["time_ms"] = dated.time_ms.into();
    value["current"] = (Some(dated.record.release) == head).into();
    value
}

pub(super) async fn show(
    context: &Context,
    path: &str,
    release: u64,
    show_secrets: bool,
) -> Result<u8> {
    let (dated, tree) = context
        .with_store(path, async |store| {
            let dated = store.record(release).await?;
            let (_, tree) = store.contents(&dated.record, &mut Known::new()).await?;
            Ok((dated, tree))
        })
        .await?;
    let record = &dated.record;
    let mask = mask(show_secrets)?;
    let plan = diff::between(&Tree::new(), &tree);
    let form = match record.form {
        Form::Direct => "znodes",
        Form::Release => "a release",
    };
    let text = format!(
        "release {} of {path}, {} by {}@{}, served as {form}\nreason: {}\n{}",
        record.release,
        output::time(dated.time_ms),
        diff::printable(&record.author),
        diff::printable(&record.host),
        diff::printable(&record.reason),
        diff::text(&plan, &mask),
    );
    context.printer.print(&text, || {
        let mut value = dated_json(&dated, None);
        value["current"] = Value::Null;
        let changes = diff::json(&plan, &mask);
        let keys = changes["changes"].as_array().into_iter().flatten();
        let pair =
            |change: &Value| Some((change["key"].as_str()?.to_owned(), change["new"].clone()));
        value["keys"] = Value::Object(keys.filter_map(pair).collect());
        value
    });
    Ok(0)
}

fn mask(show_secrets: bool) -> Result<Mask> {
    if show_secrets { Ok(Mask::none()) } else { Mask::new([]) }
}

pub(super) async fn diff(
    context: &Context,
    path: &str,
    (a, b): (&str, &str),
    show_secrets: bool,
) -> Result<u8> {
    let (old, new) = context
        .with_store(path, async |store| {
            let mut known = Known::new();
            Ok((side(store, a, &mut known).await?, side(store, b, &mut known).await?))
        })
        .await?;
    let plan = diff::between(&old, &new);
    let mask = mask(show_secrets)?;
    let text = diff::text(&plan, &mask);
    context.printer.print(&text, || json!({ "a": a, "b": b, "diff": diff::json(&plan, &mask) }));
    Ok(0)
}

/// Reads one side of a comparison.
async fn side(store: &Store, name: &str, known: &mut Known) -> Result<Tree> {
    if name == "live" {
        return Ok(store.see(known).await?.tree);
    }
    let release = name
        .parse()
        .map_err(|_| ConfigError::Usage(format!("{name:?} is neither a release nor `live`")))?;
    let record = store.record(release).await?.record;
    Ok(store.contents(&record, known).await?.1)
}
