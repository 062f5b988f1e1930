//! The shell's session: opened, closed and opened again, and the watches it has set.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use conclave_protocol::event::WatchEvent;
use serde_json::json;
use tokio::sync::Notify;

use super::{
    error::ShellError,
    printer::Announcer,
    render::{Format, safe::safe},
};
use crate::{
    client::{Client, ClientBuilder},
    error::ClientError,
    hosts::ConnectString,
    session::{SessionState, over},
    watch::{GapCause, Notice, Watcher},
};

/// How sessions are opened.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    /// Session timeout to ask for, in milliseconds.
    pub(super) timeout_ms: u32,
    /// How long a connection is waited for, in milliseconds.
    pub(super) wait_ms: u64,
    /// Whether a server that serves reads only will do.
    pub(super) is_read_only: bool,
}

/// A session with an ensemble.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) servers: String,
    pub(super) client: Client,
    /// The same session, to whom paths are what they are to the server.
    pub(super) whole: Client,
    terms: Terms,
    watching: Arc<Watching>,
    announcer: Announcer,
    prints_watches: Arc<AtomicBool>,
}

/// The watches that are set.
#[derive(Debug, Default)]
struct Watching {
    count: AtomicUsize,
    /// Whether the session was over before one had ended.
    is_lost: AtomicBool,
    changed: Notify,
}

impl Connection {
    /// Connects within the time of the terms.
    pub(super) async fn open(
        servers: &str,
        terms: &Terms,
        announcer: &Announcer,
        prints_watches: &Arc<AtomicBool>,
    ) -> Result<Self, ShellError> {
        let (client, whole) = connect(servers, terms).await?;
        Ok(Self {
            servers: servers.to_owned(),
            client,
            whole,
            terms: terms.clone(),
            watching: Arc::default(),
            announcer: announcer.clone(),
            prints_watches: prints_watches.clone(),
        })
    }

    /// Ends the session; its ephemerals go with it. A service that is gone has nothing to close.
    pub(super) async fn close(self) {
        let wait = Duration::from_millis(self.terms.wait_ms);
        drop(tokio::time::timeout(wait, self.client.close()).await);
    }

    /// Returns when there has been no connection for the time that a command waits.
    pub(super) async fn outage(&self) {
        let mut states = self.client.states();
        loop {
            // An error here is the end of the session, which the command itself is told.
            if states.wait_for(|state| !state.is_connected()).await.is_err() {
                return std::future::pending().await;
            }
            let back = states.wait_for(|state| state.is_connected() || state.is_over());
            match tokio::time::timeout(Duration::from_millis(self.terms.wait_ms), back).await {
                Ok(Ok(state)) if state.is_connected() => {}
                Ok(_) => return std::future::pending().await,
                Err(_) => return,
            }
        }
    }

    /// Returns the error of a command that had to wait too long.
    pub(super) const fn unreachable(&self) -> ShellError {
        ShellError::Unreachable(self.terms.wait_ms)
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

    /// Prints a watcher's events as they come.
    pub(super) fn report(&self, path: &str, format: Format, mut watcher: Watcher) {
        let (path, client, watching) =
            (path.to_owned(), self.client.clone(), self.watching.clone());
        let (announcer, prints) = (self.announcer.clone(), self.prints_watches.clone());
        watching.count.fetch_add(1, Ordering::AcqRel);
        tokio::spawn(async move {
            while let Some(notice) = watcher.next().await {
                match notice {
                    Notice::Event(event) if prints.load(Ordering::Relaxed) => {
                        announcer.event(&line(&event, format));
                    }
                    Notice::Event(_) => {}
                    Notice::Gap(cause) => announcer.remark(&gap(&path, cause)),
                }
            }
            // A watch that was removed, or has fired, is at its end; one whose session is over was lost.
            let state = client.state();
            if state.is_over() && state != SessionState::Closed {
                watching.is_lost.store(true, Ordering::Release);
                let why = over(state);
                announcer.remark(&format!("conclave: the watch of {} ended: {why}", safe(&path)));
            }
            watching.count.fetch_sub(1, Ordering::AcqRel);
            watching.changed.notify_waiters();
        });
    }
}

/// Returns a client whose paths begin where the servers' string says, and one of the whole tree.
async fn connect(servers: &str, terms: &Terms) -> Result<(Client, Client), ShellError> {
    let usage = |error: ClientError| ShellError::Usage(error.to_string());
    let chroot = ConnectString::parse(servers).map_err(usage)?.chroot;
    let hosts = servers.split('/').next().unwrap_or_default();
    let builder = ClientBuilder::new(hosts).session_timeout_ms(terms.timeout_ms);
    let builder = if terms.is_read_only { builder.read_only() } else { builder };
    let whole = builder.start().map_err(usage)?;
    match tokio::time::timeout(Duration::from_millis(terms.wait_ms), whole.connected()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return Err(ShellError::Refused(format!("{servers}: {error}"))),
        Err(_) => return Err(ShellError::Unreachable(terms.wait_ms)),
    }
    let client = match chroot.as_str() {
        "" => whole.clone(),
        chroot => whole.chroot(chroot).map_err(usage)?,
    };
    Ok((client, whole))
}

fn line(WatchEvent { kind, path, .. }: &WatchEvent, format: Format) -> String {
    let path = path.as_str().unwrap_or_default();
    match format {
        Format::Text => format!("Event: {kind:?} {}", safe(path)),
        Format::Json => json!({ "event": format!("{kind:?}"), "path": path }).to_string(),
    }
}

/// Says that events may be missing.
pub(super) fn gap(path: &str, cause: GapCause) -> String {
    let why = match cause {
        GapCause::Reconnected => "the connection was lost for a while",
        GapCause::Behind => "there were too many at once",
    };
    format!("conclave: events of {} may be missing: {why}", safe(path))
}
