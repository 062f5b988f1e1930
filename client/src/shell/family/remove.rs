//! `deleteall`: a znode and all below it.

use clap::Args;

use super::{Context, is_system, znode_path};
use crate::{
    client::Client,
    error::{ClientError, MultiError},
    ops::{Op, OpOutcome},
    shell::{
        confirm,
        error::{Doing, ShellError, at, doing},
        outcome::Outcome,
        progress::Progress,
        walk::{Flight, PostOrder, Walk, Want},
    },
};

/// Multis under way at once.
const BATCHES_MAX: usize = 4;

/// Deletes a znode and all that is below it.
#[derive(Args, Clone, Debug)]
pub(in crate::shell) struct DeleteAll {
    /// So many at once.
    #[arg(short, default_value_t = 500, value_name = "ZNODES", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    batch: u32,
    /// Does not ask, not even on a terminal.
    #[arg(short, long)]
    yes: bool,
    #[arg(value_parser = znode_path)]
    path: String,
}

impl DeleteAll {
    pub(in crate::shell) async fn run(self, context: Context<'_>) -> Result<Outcome, ShellError> {
        let client = context.client();
        if is_system(client, &self.path) {
            return Err(ShellError::Refused(format!("{} is the service's own", self.path)));
        }
        let is_asked = context.surroundings.is_attended && !self.yes;
        let progress = if is_asked {
            let below = client.get_all_children_number(&self.path).await.map_err(at(&self.path))?;
            confirm::deletion(&self.path, below)?;
            let progress = context.progress("delete");
            progress.expect(below + 1);
            progress
        } else {
            context.progress("delete")
        };
        let znodes = delete_below(client, &self.path, self.batch as usize, &progress).await?;
        Ok(Outcome::Deleted { path: self.path, znodes })
    }
}

/// Deletes children before parents, many in one multi, and returns how many there were. What is the
/// service's own stays, and the root.
pub(super) async fn delete_below(
    client: &Client,
    top: &str,
    batch_len: usize,
    progress: &Progress,
) -> Result<u64, ShellError> {
    let walk = Walk::new(client, top, Want::Stat, usize::MAX);
    let mut order = PostOrder::new(walk);
    let mut deletion = Deletion {
        client,
        flight: Flight::new(BATCHES_MAX),
        batches: std::collections::VecDeque::new(),
        deleted: 0,
        progress,
    };
    let mut batch = Vec::with_capacity(batch_len);
    while let Some(visit) = order.next().await? {
        if visit.path == "/" || is_system(client, &visit.path) {
            continue;
        }
        batch.push(visit.path);
        if batch.len() == batch_len {
            deletion.send(std::mem::take(&mut batch)).await?;
        }
    }
    if !batch.is_empty() {
        deletion.send(batch).await?;
    }
    deletion.finish().await
}

/// Batches under way.
struct Deletion<'a> {
    client: &'a Client,
    flight: Flight<Vec<OpOutcome>, MultiError>,
    batches: std::collections::VecDeque<Vec<String>>,
    deleted: u64,
    progress: &'a Progress,
}

impl Deletion<'_> {
    async fn send(&mut self, batch: Vec<String>) -> Result<(), ShellError> {
        let ops = batch.iter().map(|path| Op::delete(path, None)).collect();
        self.batches.push_back(batch);
        match self.flight.add(self.client.multi(ops)).await {
            Some(landed) => self.landed(landed).await,
            None => Ok(()),
        }
    }

    async fn finish(mut self) -> Result<u64, ShellError> {
        while let Some(landed) = self.flight.land().await {
            self.landed(landed).await?;
        }
        Ok(self.deleted)
    }

    /// One that was refused did nothing: somebody else was there meanwhile, or its paths are too long. Then each
    /// is tried.
    async fn landed(
        &mut self,
        landed: Result<Vec<OpOutcome>, MultiError>,
    ) -> Result<(), ShellError> {
        let batch = self.batches.pop_front().expect("every multi has its batch");
        match landed {
            Ok(_) => self.deleted += batch.len() as u64,
            Err(MultiError { index: None, error }) if !matches!(error, ClientError::TooLong(_)) => {
                return Err(at(&batch[0])(error));
            }
            Err(_) => {
                for path in &batch {
                    match self.client.delete(path, None).await {
                        Ok(()) => self.deleted += 1,
                        Err(ClientError::NoNode) => {}
                        Err(error) => return Err(doing(path, Doing::Delete(None))(error)),
                    }
                }
            }
        }
        self.progress.add(batch.len() as u64);
        Ok(())
    }
}
