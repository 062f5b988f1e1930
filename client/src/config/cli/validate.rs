//! `validate`, and the same judgement before anything is published.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::{Context, Result, arguments::Checks};
use crate::config::{
    check::{self, Schema},
    disk,
    error::ConfigError,
    files::Loaded,
    proposal,
    source::{self, Format},
};

pub(super) async fn validate(
    context: &Context,
    (from, format): (&Path, Option<Format>),
    checks: &Checks,
) -> Result<u8> {
    let loaded = load(context, from, format, checks).await?;
    let count = loaded.tree.len();
    let text = format!("{}: {count} keys are good\n", from.display());
    context.printer.print(&text, || json!({ "keys": count }));
    Ok(0)
}

/// Reads a configuration and judges it; its secrets are encrypted when that is done.
pub(super) async fn load(
    context: &Context,
    from: &Path,
    format: Option<Format>,
    checks: &Checks,
) -> Result<Loaded> {
    let mut loaded = source::read(from, format)?;
    let mut problems = Vec::new();
    for (key, entry) in &loaded.tree {
        if let Err(error) = proposal::check_value(key, &entry.bytes()) {
            problems.push(error.to_string());
        }
    }
    let mut schemas = Schema::read_all(&loaded.meta.schema, &directory(from))?;
    for schema in &checks.schema {
        schemas.push(Schema::parse(schema)?);
    }
    problems.extend(check::problems(&loaded.tree, &schemas));
    if !problems.is_empty() {
        let count = problems.len();
        problems.truncate(PROBLEMS_MAX);
        let more = if count > PROBLEMS_MAX { "\n  ..." } else { "" };
        let lines = problems.join("\n  ");
        let from = from.display();
        return Err(ConfigError::Invalid(format!("{from}: {count} problems\n  {lines}{more}")));
    }
    for command in &checks.check_cmd {
        check::command(command, from).await?;
    }
    context.keyring.seal_all(&mut loaded.tree, &loaded.meta)?;
    Ok(loaded)
}

/// Problems that are told.
const PROBLEMS_MAX: usize = 50;

/// Returns where a configuration's own files are relative to.
fn directory(from: &Path) -> PathBuf {
    if disk::is_directory(from) {
        return from.to_owned();
    }
    from.parent().map_or_else(|| PathBuf::from("."), Path::to_owned)
}
