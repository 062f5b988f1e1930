//! `tree du`: what a subtree looks like, and what it takes.

use clap::Args;

use super::{Context, znode_path};
use crate::shell::{
    error::ShellError,
    outcome::{Branch, Item, Outcome},
    walk::{PostOrder, Visit, Walk, Want},
};

/// Draws a subtree.
#[derive(Args, Clone, Debug)]
pub(in crate::shell) struct Tree {
    /// So many levels deep.
    #[arg(short, long, value_name = "LEVELS")]
    depth: Option<usize>,
    /// Shows values too, each in a line.
    #[arg(short, long)]
    values: bool,
    #[arg(default_value = "/", value_parser = znode_path)]
    path: String,
}

impl Tree {
    pub(in crate::shell) async fn run(self, context: Context<'_>) -> Result<Outcome, ShellError> {
        let want = if self.values { Want::Data } else { Want::Stat };
        let depth_max = self.depth.unwrap_or(usize::MAX);
        let mut walk = Walk::new(context.client(), &self.path, want, depth_max).lenient();
        let mut lasts = Vec::new();
        context.printer.begin_list();
        while let Some(Visit { path, depth, is_last, stat, data }) = walk.next().await? {
            if depth > 0 {
                lasts.truncate(depth - 1);
                lasts.push(is_last);
            }
            let branch = Branch { path, lasts: lasts.clone(), stat, data };
            context.printer.item(&Item::Branch(branch))?;
        }
        Ok(Outcome::Shown)
    }
}

/// Shows what subtrees take: bytes of data, and znodes.
#[derive(Args, Clone, Debug)]
pub(in crate::shell) struct Du {
    /// Shows subtrees so many levels deep; all are counted.
    #[arg(short, long, default_value_t = 1, value_name = "LEVELS")]
    depth: usize,
    #[arg(default_value = "/", value_parser = znode_path)]
    path: String,
}

impl Du {
    pub(in crate::shell) async fn run(self, context: Context<'_>) -> Result<Outcome, ShellError> {
        let walk = Walk::new(context.client(), &self.path, Want::Stat, usize::MAX).lenient();
        let mut order = PostOrder::new(walk);
        let progress = context.progress("count");
        // What is below each level and not told to the level above yet.
        let mut sums: Vec<(u64, u64)> = Vec::new();
        context.printer.begin_list();
        while let Some(Visit { path, depth, stat, .. }) = order.next().await? {
            sums.resize(sums.len().max(depth + 2), (0, 0));
            let (bytes, znodes) = std::mem::take(&mut sums[depth + 1]);
            let own = u64::try_from(stat.data_length).unwrap_or(0);
            let (bytes, znodes) = (bytes + own, znodes + 1);
            sums[depth].0 += bytes;
            sums[depth].1 += znodes;
            progress.add(1);
            if depth <= self.depth {
                context.printer.item(&Item::Usage { path, bytes, znodes })?;
            }
        }
        Ok(Outcome::Shown)
    }
}
