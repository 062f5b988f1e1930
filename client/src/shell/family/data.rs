//! `create get set delete stat`: one znode.

use std::{ffi::OsString, os::unix::ffi::OsStringExt};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use clap::Args;
use conclave_protocol::acl::Acl;

use super::{Context, acl::parse_acl, new_path, znode_path};
use crate::{
    client::{Client, CreateMode},
    error::ClientError,
    shell::{
        error::{Doing, ShellError, at, doing},
        file,
        outcome::{Form, Outcome, Value},
    },
};

/// Creates a znode.
#[derive(Args, Clone, Debug)]
pub(in crate::shell) struct Create {
    /// Its name gets a number behind it.
    #[arg(short)]
    pub(super) sequential: bool,
    /// It goes with the session.
    #[arg(short)]
    pub(super) ephemeral: bool,
    /// It goes some time after its last child.
    #[arg(short, conflicts_with_all = ["sequential", "ephemeral", "ttl_ms"])]
    pub(super) container: bool,
    /// It goes when it is childless and unchanged for so long.
    #[arg(short, value_name = "MS", conflicts_with = "ephemeral")]
    pub(super) ttl_ms: Option<i64>,
    /// Creates missing parents too.
    #[arg(short, long)]
    pub(super) parents: bool,
    #[command(flatten)]
    pub(super) source: Source,
    #[arg(value_parser = new_path)]
    pub(super) path: String,
    /// Its data, byte for byte; none for empty data.
    #[arg(allow_hyphen_values = true)]
    pub(super) data: Option<OsString>,
    /// Who may do what: scheme:id:perms[,...]; anyone everything if none.
    #[arg(value_parser = parse_acl)]
    pub(super) acl: Option<AclList>,
}

/// A list of entries, as one argument.
pub(in crate::shell) type AclList = std::sync::Arc<Vec<Acl>>;

/// Where data comes from that is not given as a word.
#[derive(Args, Clone, Debug)]
pub(in crate::shell) struct Source {
    /// The data is given in base64.
    #[arg(short, long)]
    base64: bool,
    /// Reads the data from a file.
    #[arg(short, long, value_name = "FILE")]
    file: Option<OsString>,
}

impl Source {
    /// Returns the data: of the file, or the word.
    pub(super) fn data(&self, word: Option<OsString>) -> Result<Option<Bytes>, ShellError> {
        let data = match (&self.file, word) {
            (Some(_), Some(_)) => {
                let text = "data is given twice: as a word and by --file";
                return Err(ShellError::Usage(text.to_owned()));
            }
            (Some(file), None) => Some(file::read(file)?),
            (None, word) => word.map(OsStringExt::into_vec),
        };
        match data {
            Some(data) if self.base64 => {
                let data = data.trim_ascii();
                let decoded = STANDARD.decode(data);
                let decoded =
                    decoded.map_err(|error| ShellError::Usage(format!("base64: {error}")))?;
                Ok(Some(decoded.into()))
            }
            data => Ok(data.map(Bytes::from)),
        }
    }
}

impl Create {
    pub(in crate::shell) async fn run(self, context: Context<'_>) -> Result<Outcome, ShellError> {
        let mode = self.mode();
        let data = self.source.data(self.data.clone())?.unwrap_or_default();
        if self.parents {
            create_parents(context.client(), &self.path).await?;
        }
        let acl = self.acl.map_or_else(|| vec![Acl::open()], |acl| acl.to_vec());
        let created = context.client().create_with_acl(&self.path, data, mode, acl).await;
        let path = created.map_err(doing(&self.path, Doing::Create))?;
        Ok(Outcome::Created { path })
    }

    pub(super) const fn mode(&self) -> CreateMode {
        match (self.sequential, self.ephemeral, self.container, self.ttl_ms) {
            (_, _, true, _) => CreateMode::Container,
            (false, _, _, Some(ttl_ms)) => CreateMode::Ttl(ttl_ms),
            (true, _, _, Some(ttl_ms)) => CreateMode::TtlSequential(ttl_ms),
            (true, true, ..) => CreateMode::EphemeralSequential,
            (true, false, ..) => CreateMode::PersistentSequential,
            (false, true, ..) => CreateMode::Ephemeral,
            (false, false, ..) => CreateMode::Persistent,
        }
    }
}

/// Creates what is missing above a path, from the root down.
pub(super) async fn create_parents(client: &Client, path: &str) -> Result<(), ShellError> {
    let above = path.trim_end_matches('/').match_indices('/').skip(1).map(|(end, _)| &path[..end]);
    let mut answers = Vec::new();
    for parent in above {
        answers.push((parent, client.create(parent, "", CreateMode::Persistent)));
    }
    for (parent, answer) in answers {
        match answer.await {
            Ok(_) | Err(ClientError::NodeExists) => {}
            Err(error) => return Err(doing(parent, Doing::Create)(error)),
        }
    }
    Ok(())
}

/// Shows a znode's data.
#[derive(Args, Clone, Debug)]
pub(in crate::shell) struct Get {
    /// Shows the stat too.
    #[arg(short)]
    stat: bool,
    /// Watches the data.
    #[arg(short)]
    watch: bool,
    /// Shows the data in base64.
    #[arg(short, group = "form")]
    base64: bool,
    /// Shows a hexadecimal dump.
    #[arg(short = 'x', group = "form")]
    hex: bool,
    /// Shows JSON in indented lines, and what is no text as a dump.
    #[arg(short, long, group = "form")]
    pretty: bool,
    /// Shows the bytes alone, without a new line behind them.
    #[arg(short, long, group = "form")]
    raw: bool,
    #[arg(value_parser = znode_path)]
    path: String,
}

impl Get {
    pub(in crate::shell) async fn run(self, context: Context<'_>) -> Result<Outcome, ShellError> {
        let path = &self.path;
        let (data, stat) = if self.watch {
            let watched = context.client().get_data_and_watch(path).await;
            let (found, watcher) = watched.map_err(at(path))?;
            context.connection.report(path, context.printer.format(), watcher);
            found
        } else {
            context.client().get_data(path).await.map_err(at(path))?
        };
        let form = match (self.base64, self.hex, self.pretty, self.raw) {
            (true, ..) => Form::Base64,
            (_, true, ..) => Form::Hex,
            (_, _, true, _) => Form::Pretty,
            (.., true) => Form::Raw,
            _ => Form::Plain,
        };
        let stat = self.stat.then_some(stat);
        Ok(Outcome::Value(Value { path: self.path, data, stat, form }))
    }
}

/// Replaces a znode's data.
#[derive(Args, Clone, Debug)]
pub(in crate::shell) struct Set {
    /// Shows the new stat.
    #[arg(short)]
    stat: bool,
    /// Only if this is its version.
    #[arg(short, allow_negative_numbers = true)]
    pub(super) version: Option<i32>,
    #[command(flatten)]
    pub(super) source: Source,
    #[arg(value_parser = znode_path)]
    pub(super) path: String,
    /// The data, byte for byte.
    #[arg(allow_hyphen_values = true, required_unless_present = "file")]
    pub(super) data: Option<OsString>,
}

impl Set {
    pub(in crate::shell) async fn run(self, context: Context<'_>) -> Result<Outcome, ShellError> {
        let Self { stat: shows_stat, version, source, path, data } = self;
        let data = source.data(data)?.unwrap_or_default();
        let changed = context.client().set_data(&path, data, version).await;
        let stat = changed.map_err(doing(&path, Doing::Change(version)))?;
        Ok(Outcome::Changed { path, stat: shows_stat.then_some(stat), version: stat.version })
    }
}

/// Deletes a znode that has no children.
#[derive(Args, Clone, Debug)]
pub(in crate::shell) struct Delete {
    /// Only if this is its version.
    #[arg(short, allow_negative_numbers = true)]
    pub(super) version: Option<i32>,
    #[arg(value_parser = znode_path)]
    pub(super) path: String,
}

impl Delete {
    pub(in crate::shell) async fn run(self, context: Context<'_>) -> Result<Outcome, ShellError> {
        let Self { version, path } = self;
        let deleted = context.client().delete(&path, version).await;
        deleted.map_err(doing(&path, Doing::Delete(version)))?;
        Ok(Outcome::Deleted { path, znodes: 1 })
    }
}

/// Shows a znode's stat.
#[derive(Args, Clone, Debug)]
pub(in crate::shell) struct Stat {
    /// Watches it.
    #[arg(short)]
    watch: bool,
    #[arg(value_parser = znode_path)]
    path: String,
}

impl Stat {
    pub(in crate::shell) async fn run(self, context: Context<'_>) -> Result<Outcome, ShellError> {
        let path = self.path;
        let found = if self.watch {
            let watched = context.client().exists_and_watch(&path).await;
            let (found, watcher) = watched.map_err(at(&path))?;
            context.connection.report(&path, context.printer.format(), watcher);
            found
        } else {
            context.client().exists(&path).await.map_err(at(&path))?
        };
        let stat = found.ok_or_else(|| at(&path)(ClientError::NoNode))?;
        Ok(Outcome::Stat { path, stat })
    }
}
