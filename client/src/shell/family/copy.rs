//! `cp mv`: a subtree somewhere else.

use clap::Args;
use conclave_protocol::{acl::Acl, path::parent, quota::is_at_or_below};

use super::{Context, is_system, znode_path};
use crate::{
    client::{Client, CreateMode},
    error::{ClientError, MultiError},
    ops::Op,
    shell::{
        error::{Doing, ShellError, at, doing},
        outcome::Outcome,
        walk::{Flight, Visit, Walk, Want},
    },
};

/// Requests under way at once.
const COPIES_MAX: usize = 128;

/// What one multi may hold: a server takes about a megabyte.
const ATOMIC_LEN_BYTES_MAX: usize = 700_000;

/// Znodes that one multi may move: each is created, and deleted.
const ATOMIC_ZNODES_MAX: usize = 2000;

/// Copies a znode, or a whole subtree. Ephemerals are left out; containers and znodes with a time to live become
/// persistent, for servers do not tell which those are.
#[derive(Args, Clone, Debug)]
pub(in crate::shell) struct Cp {
    /// Copies all that is below too.
    #[arg(short)]
    recursive: bool,
    /// Copies the ACLs too.
    #[arg(short, long)]
    acl: bool,
    /// Replaces the data of what is there already.
    #[arg(short, long)]
    force: bool,
    #[arg(value_parser = znode_path)]
    from: String,
    #[arg(value_parser = znode_path)]
    to: String,
}

impl Cp {
    pub(in crate::shell) async fn run(self, context: Context<'_>) -> Result<Outcome, ShellError> {
        check_apart(&self.from, &self.to)?;
        let depth_max = if self.recursive { usize::MAX } else { 0 };
        let mut walk = Walk::new(context.client(), &self.from, Want::Data, depth_max);
        let progress = context.progress("copy");
        let mut copying = Copying {
            client: context.client(),
            flight: Flight::new(COPIES_MAX),
            paths: std::collections::VecDeque::new(),
            is_forced: self.force,
        };
        let (mut znodes, mut skipped) = (0, 0);
        while let Some(visit) = walk.next().await? {
            if is_ephemeral(&visit) {
                skipped += 1;
                continue;
            }
            let acl = match self.acl {
                true => context.client().get_acl(&visit.path).await.map_err(at(&visit.path))?.0,
                false => vec![Acl::open()],
            };
            let to = moved(&visit.path, &self.from, &self.to);
            copying.send(to, visit, acl).await?;
            znodes += 1;
            progress.add(1);
        }
        while let Some(landed) = copying.flight.land().await {
            copying.landed(landed).await?;
        }
        let (from, to) = (self.from, self.to);
        Ok(Outcome::Copied { from, to, znodes, skipped, is_atomic: znodes == 1 })
    }
}

/// Creates under way.
struct Copying<'a> {
    client: &'a Client,
    flight: Flight<String>,
    paths: std::collections::VecDeque<(String, bytes::Bytes)>,
    is_forced: bool,
}

impl Copying<'_> {
    async fn send(&mut self, to: String, visit: Visit, acl: Vec<Acl>) -> Result<(), ShellError> {
        let data = visit.data.unwrap_or_default();
        let mode = CreateMode::Persistent;
        let created = self.client.create_with_acl(&to, data.clone(), mode, acl);
        self.paths.push_back((to, data));
        match self.flight.add(created).await {
            Some(landed) => self.landed(landed).await,
            None => Ok(()),
        }
    }

    async fn landed(&mut self, landed: Result<String, ClientError>) -> Result<(), ShellError> {
        let (to, data) = self.paths.pop_front().expect("every create has its path");
        match landed {
            Err(ClientError::NodeExists) if self.is_forced => {
                let set = self.client.set_data(&to, data, None).await;
                set.map(|_| ()).map_err(doing(&to, Doing::Change(None)))
            }
            landed => landed.map(|_| ()).map_err(doing(&to, Doing::Create)),
        }
    }
}

/// Moves a subtree: in one step where one request can hold it, so that nobody sees it twice or not at
/// all. One that is larger has to be copied and deleted, by cp and deleteall. Containers and znodes with a time
/// to live become persistent.
#[derive(Args, Clone, Debug)]
pub(in crate::shell) struct Mv {
    #[arg(value_parser = znode_path)]
    from: String,
    #[arg(value_parser = znode_path)]
    to: String,
}

impl Mv {
    pub(in crate::shell) async fn run(self, context: Context<'_>) -> Result<Outcome, ShellError> {
        let Self { from, to } = self;
        check_apart(&from, &to)?;
        let client = context.client();
        if is_system(client, &from) || from == "/" {
            return Err(ShellError::Refused(format!("{from} cannot be moved")));
        }
        let mut walk = Walk::new(client, &from, Want::Data, usize::MAX);
        let (mut creates, mut deletes, mut len_bytes) = (Vec::new(), Vec::new(), 0);
        while let Some(visit) = walk.next().await? {
            if is_ephemeral(&visit) {
                let text = format!("{} is ephemeral: its session alone can move it", visit.path);
                return Err(ShellError::Refused(text));
            }
            let path = moved(&visit.path, &from, &to);
            let data = visit.data.unwrap_or_default();
            len_bytes += data.len() + path.len() + visit.path.len() + 128;
            if len_bytes > ATOMIC_LEN_BYTES_MAX || creates.len() == ATOMIC_ZNODES_MAX {
                let text = format!(
                    "{from} is too large to be moved in one step: cp -r it, and then deleteall"
                );
                return Err(ShellError::Refused(text));
            }
            let (acl, _) = client.get_acl(&visit.path).await.map_err(at(&visit.path))?;
            creates.push(Op::Create { path, data, mode: CreateMode::Persistent, acl });
            // What was changed after it was read must not be lost.
            deletes.push(Op::delete(visit.path, Some(visit.stat.version)));
        }
        let znodes = creates.len() as u64;
        deletes.reverse();
        let lines: Vec<String> = creates.iter().chain(&deletes).map(line).collect();
        let ops = creates.into_iter().chain(deletes).collect();
        match client.multi(ops).await {
            Ok(_) => Ok(Outcome::Copied { from, to, znodes, skipped: 0, is_atomic: true }),
            Err(error) => Err(refused(&to, error, lines)),
        }
    }
}

fn refused(to: &str, error: MultiError, lines: Vec<String>) -> ShellError {
    match error {
        MultiError { index: Some(0), error } => doing(to, Doing::Create)(error),
        error => ShellError::Multi(error, lines),
    }
}

fn line(op: &Op) -> String {
    match op {
        Op::Create { path, .. } => format!("create {path}"),
        Op::Delete { path, .. } => format!("delete {path}"),
        Op::SetData { path, .. } => format!("set {path}"),
        Op::Check { path, .. } => format!("check {path}"),
    }
}

const fn is_ephemeral(visit: &Visit) -> bool {
    visit.stat.ephemeral_owner != 0
}

/// Returns where a znode below `from` goes.
fn moved(path: &str, from: &str, to: &str) -> String {
    let rest = path.strip_prefix(from.trim_end_matches('/')).unwrap_or_default();
    match (to, rest.trim_end_matches('/')) {
        (to, "") => to.to_owned(),
        ("/", rest) => rest.to_owned(),
        (to, rest) => format!("{to}{rest}"),
    }
}

fn check_apart(from: &str, to: &str) -> Result<(), ShellError> {
    if is_at_or_below(to, from) {
        return Err(ShellError::Usage(format!("{to} is {from} itself, or below it")));
    }
    if parent(to).is_none() {
        return Err(ShellError::Usage("the root is there already".to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_move_with_their_top() {
        assert_eq!(moved("/a/b/c", "/a", "/x/y"), "/x/y/b/c");
        assert_eq!(moved("/a", "/a", "/x"), "/x");
        assert_eq!(moved("/", "/", "/x"), "/x");
        assert_eq!(moved("/b", "/", "/x"), "/x/b");
        assert!(check_apart("/a", "/a/b").is_err());
        assert!(check_apart("/a", "/ab").is_ok());
    }
}
