//! What a caller holds of a watch.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use conclave_protocol::event::{EventKind, KeeperState, WatchEvent};
use futures_core::Stream;
use tokio::sync::mpsc;

use super::mailbox::{Receiver, Sender, mailbox};
use crate::{client::chroot::Chroot, driver::Call, session::WatchRequest};

/// What a watcher hears.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Notice {
    /// Something happened.
    Event(WatchEvent),
    /// Events may be missing before this: read again all that the watch is about. What is read after
    /// the gap was heard is at least as new as what was missed, and what changes behind it is heard.
    Gap(GapCause),
}

/// Why events may be missing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum GapCause {
    /// The connection was lost, and another was made: servers do not tell persistent watches of what
    /// happened meanwhile.
    Reconnected,
    /// The caller was [`super::EVENTS_MAX`] events behind; those that it had not taken are gone.
    Behind,
}

/// A watch: a stream of what happens. Dropping it removes the watch, at the server too when it was
/// the last of its kind and path.
///
/// One-shot watches give one event, also over a change of connection, and end; they have no gaps, as
/// the server compares with what the client has seen. Persistent ones go on until the session ends
/// or the watch is removed.
#[derive(Debug)]
pub struct Watcher {
    notices: Receiver,
    watch: WatchRequest,
    /// Where the caller's paths begin.
    chroot: Arc<Chroot>,
    /// Weak: a watcher keeps no session.
    calls: mpsc::WeakSender<Call>,
}

impl Watcher {
    pub(crate) fn new(
        watch: WatchRequest,
        chroot: Arc<Chroot>,
        calls: mpsc::WeakSender<Call>,
    ) -> (Sender, Self) {
        let (sender, notices) = mailbox();
        (sender, Self { notices, watch, chroot, calls })
    }

    /// Returns the path that is watched.
    pub fn path(&self) -> String {
        self.chroot.path_outward(&self.watch.path)
    }

    /// Returns the next event or gap; `None` when there will be none: a one-shot watch has fired, the
    /// watch was removed, or the session is over. Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<Notice> {
        poll_fn(|context| self.poll_notice(context)).await
    }

    /// Returns the next event or gap that is there already.
    pub fn try_next(&mut self) -> Option<Notice> {
        match self.poll_notice(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(notice) => notice,
            Poll::Pending => None,
        }
    }

    /// As [`Self::next`], with a gap as an event of [`EventKind::None`] at the watch's own path.
    pub async fn event(&mut self) -> Option<WatchEvent> {
        Some(match self.next().await? {
            Notice::Event(event) => event,
            Notice::Gap(_) => WatchEvent {
                kind: EventKind::None,
                state: KeeperState::SyncConnected,
                path: self.path().into(),
            },
        })
    }

    fn poll_notice(&self, context: &mut Context<'_>) -> Poll<Option<Notice>> {
        self.notices.poll_next(context).map(|notice| {
            Some(match notice? {
                Notice::Event(event) => Notice::Event(self.outward(event)),
                gap @ Notice::Gap(_) => gap,
            })
        })
    }

    fn outward(&self, event: WatchEvent) -> WatchEvent {
        match event.path.as_str() {
            Some(path) if !self.chroot.is_none() => {
                WatchEvent { path: self.chroot.path_outward(path).into(), ..event }
            }
            _ => event,
        }
    }
}

impl Stream for Watcher {
    type Item = Notice;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Notice>> {
        self.poll_notice(context)
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        if self.notices.is_over() {
            return;
        }
        if let Some(calls) = self.calls.upgrade() {
            // A queue that is full of calls: the watch stays until it fires or the session ends, and
            // tells nobody.
            drop(calls.try_send(Call::Unwatch(self.watch.clone())));
        }
    }
}
