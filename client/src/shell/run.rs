//! What each command does, and how it prints.

use std::{
    fmt,
    io::Write,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use conclave_protocol::{event::WatchEvent, path, stat::Stat};
use tokio::sync::Notify;

use super::command::Command;
use crate::{
    client::{Client, CreateMode},
    error::ClientError,
    ops::Op,
    session::{SessionState, over},
    watch::Watcher,
};

/// Deletions that `deleteall` puts into one multi.
const DELETE_BATCH: usize = 500;

/// Znodes that `ls -R` and `deleteall` walk at most; a larger tree wants a smaller path.
const WALK_ZNODES_MAX: usize = 10_000_000;

/// The shell's session and the watches it has set.
#[derive(Debug)]
pub(super) struct Shell {
    client: Client,
    watching: Arc<Watching>,
    /// How long a command waits for a connection.
    wait: Duration,
}

#[derive(Debug, Default)]
struct Watching {
    count: AtomicUsize,
    /// Whether one has ended without an event.
    is_lost: AtomicBool,
    changed: Notify,
}

impl Shell {
    pub(super) fn new(client: Client, wait: Duration) -> Self {
        Self { client, watching: Arc::default(), wait }
    }

    pub(super) const fn client(&self) -> &Client {
        &self.client
    }

    /// Waits until no watch is set any more, and returns whether each has had its event.
    pub(super) async fn wait_for_watches(&self) -> bool {
        loop {
            let changed = self.watching.changed.notified();
            if self.watching.count.load(Ordering::Acquire) == 0 {
                return !self.watching.is_lost.load(Ordering::Acquire);
            }
            changed.await;
        }
    }

    /// Runs a command and writes what it shows to `out`; gives up when there is no connection for
    /// too long.
    pub(super) async fn run(&self, command: Command, out: &mut Vec<u8>) -> Result<(), ClientError> {
        tokio::select! {
            result = self.run_command(command, out) => result,
            () = self.outage() => Err(ClientError::ConnectionLoss),
        }
    }

    /// Returns when there has been no connection for the time that a command waits.
    async fn outage(&self) {
        let mut states = self.client.states();
        loop {
            // An error here is the end of the session, which the command itself is told.
            if states.wait_for(|state| !state.is_connected()).await.is_err() {
                return std::future::pending().await;
            }
            let back = states.wait_for(|state| state.is_connected() || state.is_over());
            match tokio::time::timeout(self.wait, back).await {
                Ok(Ok(state)) if state.is_connected() => {}
                Ok(_) => return std::future::pending().await,
                Err(_) => return,
            }
        }
    }

    async fn run_command(&self, command: Command, out: &mut Vec<u8>) -> Result<(), ClientError> {
        match command {
            Command::Ls { stat, watch, recursive, path } => {
                self.ls(&path, Shows(stat), watch, recursive, out).await
            }
            Command::Get { stat, watch, path } => self.get(&path, Shows(stat), watch, out).await,
            Command::Set { stat, version, path, data } => {
                let changed = self.client.set_data(&path, data, version).await?;
                print_stat(Shows(stat), &changed, out);
                Ok(())
            }
            Command::Create { sequential, ephemeral, container, ttl_ms, path, data } => {
                let mode = match (sequential, ephemeral, container, ttl_ms) {
                    (_, _, true, _) => CreateMode::Container,
                    (false, _, _, Some(ttl_ms)) => CreateMode::Ttl(ttl_ms),
                    (true, _, _, Some(ttl_ms)) => CreateMode::TtlSequential(ttl_ms),
                    (true, true, ..) => CreateMode::EphemeralSequential,
                    (true, false, ..) => CreateMode::PersistentSequential,
                    (false, true, ..) => CreateMode::Ephemeral,
                    (false, false, ..) => CreateMode::Persistent,
                };
                let created = self.client.create(&path, data, mode).await?;
                print(out, format_args!("Created {created}\n"));
                Ok(())
            }
            Command::Delete { version, path } => self.client.delete(&path, version).await,
            Command::Deleteall { path } => self.delete_all(&path).await,
            Command::Stat { watch, path } => self.stat(&path, watch, out).await,
            Command::Sync { path } => self.client.sync(&path).await,
            Command::Help => {
                print(out, format_args!("{}", Command::help()));
                Ok(())
            }
            Command::Quit => Ok(()),
        }
    }

    async fn ls(
        &self,
        path: &str,
        shows: Shows,
        watch: bool,
        recursive: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), ClientError> {
        let (children, stat) = if watch {
            let (found, watcher) = self.client.get_children_and_watch(path).await?;
            self.report(path, watcher);
            found
        } else {
            self.client.get_children(path).await?
        };
        if recursive {
            for path in self.walk(path).await? {
                print(out, format_args!("{path}\n"));
            }
        } else {
            print(out, format_args!("[{}]\n", children.join(", ")));
        }
        print_stat(shows, &stat, out);
        Ok(())
    }

    /// Returns a znode's path and those of all below it, parents first.
    async fn walk(&self, top: &str) -> Result<Vec<String>, ClientError> {
        let mut paths = vec![top.to_owned()];
        let mut next = 0;
        while next < paths.len() {
            let path = paths[next].clone();
            next += 1;
            let children = match self.client.get_children(&path).await {
                Ok((children, _)) => children,
                // Deleted meanwhile by somebody else.
                Err(ClientError::NoNode) if path != top => continue,
                Err(error) => return Err(error),
            };
            let base = path.trim_end_matches('/');
            paths.extend(children.iter().map(|name| format!("{base}/{name}")));
            if paths.len() > WALK_ZNODES_MAX {
                return Err(ClientError::Overloaded);
            }
        }
        Ok(paths)
    }

    async fn get(
        &self,
        path: &str,
        shows: Shows,
        watch: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), ClientError> {
        let (data, stat) = if watch {
            let (found, watcher) = self.client.get_data_and_watch(path).await?;
            self.report(path, watcher);
            found
        } else {
            self.client.get_data(path).await?
        };
        match std::str::from_utf8(&data) {
            Ok(text) => print(out, format_args!("{text}\n")),
            Err(_) => {
                let hex: String = data.iter().map(|byte| format!("{byte:02x}")).collect();
                eprintln!("conclave: {path}: data is not UTF-8, shown in hexadecimal");
                print(out, format_args!("{hex}\n"));
            }
        }
        print_stat(shows, &stat, out);
        Ok(())
    }

    async fn stat(&self, path: &str, watch: bool, out: &mut Vec<u8>) -> Result<(), ClientError> {
        let found = if watch {
            let (found, watcher) = self.client.exists_and_watch(path).await?;
            self.report(path, watcher);
            found
        } else {
            self.client.exists(path).await?
        };
        let stat = found.ok_or(ClientError::NoNode)?;
        print_stat(Shows(true), &stat, out);
        Ok(())
    }

    /// Deletes children before parents, many in one multi; what others delete meanwhile is gone
    /// anyway.
    async fn delete_all(&self, top: &str) -> Result<(), ClientError> {
        let mut paths = self.walk(top).await?;
        paths.retain(|path| path != "/" && !is_system(path));
        paths.reverse();
        for batch in paths.chunks(DELETE_BATCH) {
            let ops = batch.iter().map(|path| Op::delete(path, None));
            if self.client.multi(ops.collect()).await.is_ok() {
                continue;
            }
            for path in batch {
                match self.client.delete(path, None).await {
                    Ok(()) | Err(ClientError::NoNode) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    /// Prints a watcher's events as they come.
    fn report(&self, path: &str, mut watcher: Watcher) {
        let (path, client, watching) =
            (path.to_owned(), self.client.clone(), self.watching.clone());
        watching.count.fetch_add(1, Ordering::AcqRel);
        tokio::spawn(async move {
            let mut is_heard = false;
            while let Some(WatchEvent { kind, path, .. }) = watcher.event().await {
                is_heard = true;
                let path = path.as_str().unwrap_or_default();
                // A reader that has gone wants no more.
                drop(writeln!(std::io::stdout(), "Event: {kind:?} {path}"));
            }
            if !is_heard && client.state() != SessionState::Closed {
                watching.is_lost.store(true, Ordering::Release);
                eprintln!("conclave: the watch of {path} ended: {}", over(client.state()));
            }
            watching.count.fetch_sub(1, Ordering::AcqRel);
            watching.changed.notify_waiters();
        });
    }
}

/// Whether the stat is shown.
#[derive(Clone, Copy)]
struct Shows(bool);

fn is_system(path: &str) -> bool {
    let mut at = Some(path);
    while let Some(here) = at {
        if here == "/zookeeper" {
            return true;
        }
        at = path::parent(here);
    }
    false
}

fn print(out: &mut Vec<u8>, text: fmt::Arguments<'_>) {
    out.write_fmt(text).expect("writing to memory cannot fail");
}

/// The form of zkCli, with times in ms since 1970.
fn print_stat(shows: Shows, stat: &Stat, out: &mut Vec<u8>) {
    if !shows.0 {
        return;
    }
    print(out, format_args!("cZxid = 0x{}\n", stat.czxid));
    print(out, format_args!("ctime = {}\n", stat.ctime_ms));
    print(out, format_args!("mZxid = 0x{}\n", stat.mzxid));
    print(out, format_args!("mtime = {}\n", stat.mtime_ms));
    print(out, format_args!("pZxid = 0x{}\n", stat.pzxid));
    print(out, format_args!("cversion = {}\n", stat.cversion));
    print(out, format_args!("dataVersion = {}\n", stat.version));
    print(out, format_args!("aclVersion = {}\n", stat.aversion));
    print(out, format_args!("ephemeralOwner = 0x{:x}\n", stat.ephemeral_owner));
    print(out, format_args!("dataLength = {}\n", stat.data_length));
    print(out, format_args!("numChildren = {}\n", stat.num_children));
}
