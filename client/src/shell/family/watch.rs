//! `addWatch removewatches watch`: what happens in the tree.

use bytes::Bytes;
use clap::{Args, ValueEnum};
use conclave_protocol::{event::EventKind, stat::Stat};

use super::{Context, znode_path};
use crate::{
    error::ClientError,
    session::over,
    shell::{
        connection::gap,
        error::{ShellError, at},
        outcome::{Event, Item, Outcome},
        printer::remark,
        walk::{Walk, Want},
    },
    watch::{Notice, WatchKind, Watched},
};

/// How far an added watch reaches.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(in crate::shell) enum Mode {
    /// The znode and its list of children.
    #[value(name = "PERSISTENT", alias = "persistent")]
    Persistent,
    /// The znode and all below it.
    #[value(name = "PERSISTENT_RECURSIVE", alias = "persistent_recursive")]
    Recursive,
}

/// Watches znodes until the session ends; events are printed as they come.
#[derive(Args, Clone, Debug)]
pub(in crate::shell) struct AddWatch {
    /// How far it reaches.
    #[arg(short, value_enum, default_value = "PERSISTENT_RECURSIVE")]
    mode: Mode,
    #[arg(required = true, value_parser = znode_path)]
    paths: Vec<String>,
}

impl AddWatch {
    pub(in crate::shell) async fn run(self, context: Context<'_>) -> Result<Outcome, ShellError> {
        let kind = match self.mode {
            Mode::Persistent => WatchKind::Persistent,
            Mode::Recursive => WatchKind::Recursive,
        };
        for path in &self.paths {
            let watcher = context.client().add_watch(path, kind).await.map_err(at(path))?;
            context.connection.report(path, context.printer.format(), watcher);
        }
        Ok(Outcome::Watching { paths: self.paths, is_on: true })
    }
}

/// Takes this session's watches of a znode away.
#[derive(Args, Clone, Debug)]
pub(in crate::shell) struct RemoveWatches {
    /// Those of its list of children.
    #[arg(short, group = "watched")]
    children: bool,
    /// Those of its data.
    #[arg(short, group = "watched")]
    data: bool,
    /// All.
    #[arg(short, group = "watched")]
    all: bool,
    /// Even if no server can be asked.
    #[arg(short)]
    local: bool,
    #[arg(value_parser = znode_path)]
    path: String,
}

impl RemoveWatches {
    pub(in crate::shell) async fn run(self, context: Context<'_>) -> Result<Outcome, ShellError> {
        let watched = match (self.children, self.data) {
            (true, _) => Watched::Children,
            (_, true) => Watched::Data,
            _ => Watched::Any,
        };
        let path = self.path;
        match context.client().remove_watches(&path, watched).await {
            // Without a server its watches are gone with the connection, and are not set again.
            Err(ClientError::ConnectionLoss) if self.local => {}
            removed => removed.map_err(at(&path))?,
        }
        Ok(Outcome::Watching { paths: vec![path], is_on: false })
    }
}

/// Follows a znode and all below it, and shows every change with the value behind it, until Ctrl-C.
#[derive(Args, Clone, Debug)]
pub(in crate::shell) struct Watch {
    /// Shows what is there first.
    #[arg(short, long)]
    initial: bool,
    /// Ends after so many changes.
    #[arg(short, long, value_name = "CHANGES")]
    count: Option<u64>,
    #[arg(value_parser = znode_path)]
    path: String,
}

impl Watch {
    pub(in crate::shell) async fn run(self, context: Context<'_>) -> Result<Outcome, ShellError> {
        let (client, path) = (context.client(), self.path.as_str());
        let added = client.add_watch(path, WatchKind::Recursive).await;
        let mut watcher = added.map_err(at(path))?;
        context.printer.begin_lines();
        if self.initial {
            show_all(context, path).await?;
        }
        let mut shown = 0;
        while self.count.is_none_or(|count| shown < count) {
            let event = match watcher.next().await {
                Some(Notice::Event(event)) => event,
                Some(Notice::Gap(cause)) => {
                    remark(&gap(path, cause));
                    continue;
                }
                None => return Err(at(path)(over(client.state()))),
            };
            let Some(changed) = event.path.as_str().map(str::to_owned) else { continue };
            let value = match event.kind {
                EventKind::NodeCreated | EventKind::NodeDataChanged => {
                    value(context, &changed).await?
                }
                _ => None,
            };
            let event = Event { kind: event.kind, path: changed, value, is_initial: false };
            context.printer.item(&Item::Event(event))?;
            shown += 1;
        }
        Ok(Outcome::Shown)
    }
}

async fn show_all(context: Context<'_>, path: &str) -> Result<(), ShellError> {
    let mut walk = Walk::new(context.client(), path, Want::Data, usize::MAX);
    loop {
        let visit = match walk.next().await {
            Ok(Some(visit)) => visit,
            Ok(None) | Err(ShellError::Znode { error: ClientError::NoNode, .. }) => return Ok(()),
            Err(error) => return Err(error),
        };
        let value = visit.data.map(|data| (data, visit.stat));
        let (kind, path) = (EventKind::NodeCreated, visit.path);
        context.printer.item(&Item::Event(Event { kind, path, value, is_initial: true }))?;
    }
}

/// Reads the value behind an event; by then the znode may be gone, which is an event of its own.
async fn value(context: Context<'_>, path: &str) -> Result<Option<(Bytes, Stat)>, ShellError> {
    match context.client().get_data(path).await {
        Ok(value) => Ok(Some(value)),
        Err(ClientError::NoNode | ClientError::NoAuth) => Ok(None),
        Err(error) => Err(at(path)(error)),
    }
}
