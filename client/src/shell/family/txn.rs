//! `txn ... commit`: several operations, all or none of which are done.

use std::ffi::OsString;

use clap::{Args, Parser, Subcommand};
use conclave_protocol::acl::Acl;

use super::{Context, data, znode_path};
use crate::{
    ops::{Op, OpOutcome},
    shell::{
        command,
        error::ShellError,
        outcome::{Outcome, Step},
        words,
    },
};

/// Operations of one transaction at most.
const OPS_MAX: usize = 100_000;

/// Begins a transaction: the lines behind it are create, set, delete or check, until commit or abort.
#[derive(Args, Clone, Debug)]
pub(in crate::shell) struct Txn {
    /// Operations, each in one word; they are committed at once.
    pub(in crate::shell) operations: Vec<OsString>,
}

/// Demands that a znode have a version.
#[derive(Args, Clone, Debug)]
struct Check {
    /// The version it must have.
    #[arg(short, allow_negative_numbers = true, default_value_t = -1)]
    version: i32,
    #[arg(value_parser = znode_path)]
    path: String,
}

#[derive(Debug, Parser)]
#[command(
    bin_name = "",
    no_binary_name = true,
    disable_help_subcommand = true,
    disable_version_flag = true
)]
struct Line {
    #[command(subcommand)]
    operation: Operation,
}

#[derive(Debug, Subcommand)]
enum Operation {
    Create(data::Create),
    Set(data::Set),
    Delete(data::Delete),
    Check(Check),
    /// Does all of them, or none.
    Commit,
    /// Forgets them.
    Abort,
}

/// Operations gathered for a commit.
#[derive(Clone, Debug, Default)]
pub(in crate::shell) struct Transaction {
    ops: Vec<Op>,
    lines: Vec<String>,
}

/// What a line in a transaction asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::shell) enum Asked {
    /// Another operation.
    More,
    Commit,
    Abort,
}

impl Transaction {
    /// Names what can stand in a line.
    pub(in crate::shell) const NAMES: [&'static str; 6] =
        ["create", "set", "delete", "check", "commit", "abort"];

    /// Gathers operations that are given as words.
    pub(in crate::shell) fn of_words(operations: &[OsString]) -> Result<Self, ShellError> {
        let mut transaction = Self::default();
        for operation in operations {
            let commands = words::commands(operation.as_encoded_bytes());
            for words in commands.map_err(|error| ShellError::Usage(error.to_string()))? {
                if transaction.add(&words)? == Asked::Abort {
                    return Err(ShellError::Refused("aborted: nothing was done".to_owned()));
                }
            }
        }
        Ok(transaction)
    }

    /// Reads a line, and gathers its operation.
    pub(in crate::shell) fn add(&mut self, words: &[OsString]) -> Result<Asked, ShellError> {
        let line = Line::try_parse_from(words).map_err(|error| {
            ShellError::Usage(format!("in a transaction: {}", command::refusal(&error)))
        })?;
        let op = match line.operation {
            Operation::Commit => return Ok(Asked::Commit),
            Operation::Abort => return Ok(Asked::Abort),
            Operation::Create(create) => {
                let data = create.source.data(create.data.clone())?.unwrap_or_default();
                let mode = create.mode();
                let acl = create.acl.map_or_else(|| vec![Acl::open()], |acl| acl.to_vec());
                Op::Create { path: create.path, data, mode, acl }
            }
            Operation::Set(set) => {
                let data = set.source.data(set.data)?.unwrap_or_default();
                Op::set_data(set.path, data, set.version)
            }
            Operation::Delete(delete) => Op::delete(delete.path, delete.version),
            Operation::Check(check) => Op::check(check.path, check.version),
        };
        if self.ops.len() == OPS_MAX {
            return Err(ShellError::Refused(format!("more than {OPS_MAX} operations")));
        }
        let lossy = words.iter().map(|word| word.to_string_lossy());
        self.lines.push(lossy.map(|word| words::quote(&word)).collect::<Vec<_>>().join(" "));
        self.ops.push(op);
        Ok(Asked::More)
    }

    /// Does all of them, or none.
    pub(in crate::shell) async fn commit(
        self,
        context: Context<'_>,
    ) -> Result<Outcome, ShellError> {
        let Self { ops, lines } = self;
        let outcomes = context.client().multi(ops.clone()).await;
        let outcomes = outcomes.map_err(|error| ShellError::Multi(error, lines))?;
        Ok(Outcome::Committed(ops.into_iter().zip(outcomes).map(step).collect()))
    }
}

fn step((op, outcome): (Op, OpOutcome)) -> Step {
    match (op, outcome) {
        (Op::Create { .. }, OpOutcome::Created(path)) => Step::Created(path),
        (Op::SetData { path, .. }, OpOutcome::Changed(stat)) => {
            Step::Changed { path, version: stat.version }
        }
        (Op::Delete { path, .. }, _) => Step::Deleted(path),
        (Op::Create { path, .. } | Op::SetData { path, .. } | Op::Check { path, .. }, _) => {
            Step::Checked(path)
        }
    }
}
