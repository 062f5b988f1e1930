//! `ls getEphemerals getAllChildrenNumber`: what is below.

use clap::Args;

use super::{Context, znode_path};
use crate::shell::{
    error::{ShellError, at},
    outcome::{Item, Outcome},
    walk::{Walk, Want},
};

/// Lists children.
#[derive(Args, Clone, Debug)]
pub(in crate::shell) struct Ls {
    /// Shows the stat too.
    #[arg(short)]
    stat: bool,
    /// Watches the list.
    #[arg(short)]
    watch: bool,
    /// Lists all that is below, each with its path.
    #[arg(short = 'R')]
    recursive: bool,
    #[arg(default_value = "/", value_parser = znode_path)]
    path: String,
}

impl Ls {
    pub(in crate::shell) async fn run(self, context: Context<'_>) -> Result<Outcome, ShellError> {
        let path = &self.path;
        let found = if self.watch {
            let watched = context.client().get_children_and_watch(path).await;
            let (found, watcher) = watched.map_err(at(path))?;
            context.connection.report(path, context.printer.format(), watcher);
            Some(found)
        } else if !self.recursive {
            Some(context.client().get_children(path).await.map_err(at(path))?)
        } else {
            None
        };
        match found {
            Some((names, stat)) if !self.recursive => {
                let stat = self.stat.then_some(stat);
                Ok(Outcome::Children { path: self.path, names, stat })
            }
            _ => recursive(context, path).await,
        }
    }
}

async fn recursive(context: Context<'_>, path: &str) -> Result<Outcome, ShellError> {
    let mut walk = Walk::new(context.client(), path, Want::Stat, usize::MAX).lenient();
    context.printer.begin_list();
    while let Some(visit) = walk.next().await? {
        context.printer.item(&Item::Znode { path: visit.path, stat: visit.stat })?;
    }
    Ok(Outcome::Shown)
}

/// Lists this session's ephemerals.
#[derive(Args, Clone, Debug)]
pub(in crate::shell) struct GetEphemerals {
    /// With paths that begin with this.
    #[arg(default_value = "/", value_parser = znode_path)]
    path: String,
}

impl GetEphemerals {
    pub(in crate::shell) async fn run(self, context: Context<'_>) -> Result<Outcome, ShellError> {
        let paths = context.client().get_ephemerals(&self.path).await;
        Ok(Outcome::Ephemerals(paths.map_err(at(&self.path))?))
    }
}

/// Counts the znodes below one, at any depth.
#[derive(Args, Clone, Debug)]
pub(in crate::shell) struct GetAllChildrenNumber {
    #[arg(value_parser = znode_path)]
    path: String,
}

impl GetAllChildrenNumber {
    pub(in crate::shell) async fn run(self, context: Context<'_>) -> Result<Outcome, ShellError> {
        let path = self.path;
        let znodes = context.client().get_all_children_number(&path).await.map_err(at(&path))?;
        Ok(Outcome::Count { path, znodes })
    }
}
