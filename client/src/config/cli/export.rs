//! `export` and `get`: what is there, as files or as it is.

use std::path::Path;

use serde_json::json;

use super::{Context, Result};
use crate::config::{
    error::ConfigError,
    files::{self, Present},
    key::Key,
    live::Known,
    meta::Meta,
    secret,
    source::{self, Format},
};

/// What is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct What<'a> {
    /// The configuration.
    pub(super) path: &'a str,
    /// A release instead of what is in force.
    pub(super) release: Option<u64>,
    /// Whether secrets are decrypted.
    pub(super) decrypt: bool,
}

pub(super) async fn export(
    context: &Context,
    what: What<'_>,
    (to, format): (&Path, Option<Format>),
    force: bool,
) -> Result<u8> {
    let mut tree = context
        .with_store(what.path, async |store| {
            let mut known = Known::new();
            match what.release {
                None => {
                    let seen = store.see(&mut known).await?;
                    if seen.tree.is_empty() {
                        return Err(ConfigError::Invalid(format!("{} does not exist", what.path)));
                    }
                    Ok(seen.tree)
                }
                Some(release) => {
                    let record = store.record(release).await?.record;
                    Ok(store.contents(&record, &mut known).await?.1)
                }
            }
        })
        .await?;
    let opened = if what.decrypt { context.keyring.open_all(&mut tree)? } else { Vec::new() };
    let tree = files::as_exported(&tree);
    let mut meta = Meta::of(&tree);
    // So that they are encrypted again when they come back.
    meta.secret = opened.iter().map(|key| globset::escape(key.as_str())).collect();
    let present = if force { Present::Replaced } else { Present::Refused };
    let count = source::write(to, format, &tree, meta, present)?;
    let text = format!("{}: {} keys in {}\n", what.path, tree.len(), to.display());
    context.printer.print(&text, || json!({ "keys": tree.len(), "files": count }));
    Ok(0)
}

pub(super) async fn get(context: &Context, path: &str, key: &str) -> Result<u8> {
    let key = Key::parse(key).map_err(|error| ConfigError::Usage(format!("{key:?}: {error}")))?;
    let seen = context.with_store(path, async |store| store.see(&mut Known::new()).await).await?;
    let Some(entry) = seen.tree.get(&key) else {
        return Err(ConfigError::Invalid(format!("{} does not exist", key.under(path))));
    };
    let mut data = entry.bytes();
    if secret::is_envelope(&data) {
        data = context.keyring.open(&key, &data)?;
    }
    context.printer.bytes(&data);
    Ok(0)
}
