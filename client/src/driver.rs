//! Tokio around a [`Session`]: one task owns it, dials, reads and writes, and wakes who waits.

use std::{collections::HashMap, time::Duration};

use conclave_protocol::{event::WatchEvent, request::Request, response::Response};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{mpsc, oneshot, watch},
};

use crate::{
    clock::Clock,
    error::ClientError,
    hosts::Hosts,
    net,
    session::{Output, RequestId, Session, SessionState, WatchRequest},
    watch::{WatchId, WatchKind},
};

/// Rest after all hosts were tried in vain, in milliseconds: first and longest.
const REST_MS: (u64, u64) = (50, 1000);

/// Bytes read at a time.
const READ_LEN_BYTES: usize = 16 << 10;

/// A request on its way from a caller to the session.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) request: Request,
    pub(crate) watch: Option<(WatchRequest, mpsc::Sender<WatchEvent>)>,
    pub(crate) done: oneshot::Sender<Result<Response, ClientError>>,
}

/// The task's own.
pub(crate) struct Driver {
    pub(crate) session: Session,
    pub(crate) hosts: Hosts,
    pub(crate) clock: Clock,
    pub(crate) calls: mpsc::Receiver<Call>,
    pub(crate) state: watch::Sender<SessionState>,
    pub(crate) waiters: Waiters,
    pub(crate) rest_ms: u64,
}

/// Callers that wait for an answer, and those that wait for events.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    calls: HashMap<RequestId, Waiter>,
    watchers: HashMap<WatchId, (mpsc::Sender<WatchEvent>, WatchKind)>,
}

#[derive(Debug)]
struct Waiter {
    done: oneshot::Sender<Result<Response, ClientError>>,
    watch: Option<(WatchId, WatchKind)>,
}

impl Waiters {
    /// Submits a call and notes who waits.
    fn take(&mut self, call: Call, session: &mut Session) {
        let (watch, sender) = call.watch.unzip();
        let named = watch.as_ref().map(|watch| (watch.id, watch.kind));
        if let Some(((id, kind), sender)) = named.zip(sender) {
            self.watchers.insert(id, (sender, kind));
        }
        let id = session.submit(call.request, watch);
        self.calls.insert(id, Waiter { done: call.done, watch: named });
    }

    fn complete(&mut self, id: RequestId, result: Result<Response, ClientError>) {
        let Some(Waiter { done, watch }) = self.calls.remove(&id) else { return };
        if let Some((watch, kind)) = watch {
            let is_armed =
                result.is_ok() || (kind == WatchKind::Exist && result == Err(ClientError::NoNode));
            if !is_armed {
                self.watchers.remove(&watch);
            }
        }
        // A caller that does not wait any more need not know.
        drop(done.send(result));
    }

    fn tell(&mut self, watch: WatchId, event: WatchEvent) {
        let Some((sender, kind)) = self.watchers.get(&watch) else { return };
        let is_behind = sender.try_send(event).is_err();
        let is_once = !matches!(kind, WatchKind::Persistent | WatchKind::Recursive);
        if is_behind || is_once {
            // The end of the events tells a caller that fell behind that some are missing.
            self.watchers.remove(&watch);
        }
    }
}

/// What came of a turn.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Turn {
    GoOn,
    Reconnect,
    Over,
}

impl Driver {
    pub(crate) async fn run(mut self) {
        loop {
            let Some(socket) = self.connect().await else { return };
            self.session.connected(self.clock.now_ms());
            match self.serve(socket).await {
                Turn::Over => return,
                Turn::GoOn | Turn::Reconnect => {
                    self.session.disconnected(self.clock.now_ms());
                    if self.settle(None).await == Turn::Over {
                        return;
                    }
                }
            }
        }
    }

    /// Tries one host after the other; `None` when the client is closed meanwhile.
    async fn connect(&mut self) -> Option<TcpStream> {
        loop {
            let ((host, port), is_round) = self.hosts.next_host();
            let (host, port) = (host.clone(), *port);
            let dialled = tokio::select! {
                dialled = net::dial(&host, port) => dialled,
                () = closed(&mut self.calls, &mut self.session, &mut self.waiters) => {
                    self.finish();
                    return None;
                }
            };
            match dialled {
                Ok(socket) => return Some(socket),
                Err(error) => {
                    tracing::debug!(%host, port, %error, "no connection");
                    if is_round {
                        tokio::time::sleep(Duration::from_millis(self.rest_ms)).await;
                        self.rest_ms = (self.rest_ms * 2).min(REST_MS.1);
                    }
                }
            }
        }
    }

    async fn serve(&mut self, mut socket: TcpStream) -> Turn {
        let mut buffer = vec![0; READ_LEN_BYTES];
        if self.settle(Some(&mut socket)).await != Turn::GoOn {
            return Turn::Reconnect;
        }
        loop {
            let wait = Duration::from_millis(self.session.tick_interval_ms());
            tokio::select! {
                call = self.calls.recv() => match call {
                    Some(call) => {
                        self.waiters.take(call, &mut self.session);
                        // Those that wait behind it go out in one write.
                        while let Ok(call) = self.calls.try_recv() {
                            self.waiters.take(call, &mut self.session);
                        }
                    }
                    None => {
                        // Every handle is gone; the session is left to expire or was closed.
                        return Turn::Over;
                    }
                },
                read = socket.read(&mut buffer) => match read {
                    Ok(count) if count > 0 => {
                        self.rest_ms = REST_MS.0;
                        self.session.received(&buffer[..count], self.clock.now_ms());
                    }
                    _ => return Turn::Reconnect,
                },
                () = tokio::time::sleep(wait) => {}
            }
            self.session.tick(self.clock.now_ms());
            match self.settle(Some(&mut socket)).await {
                Turn::GoOn => {}
                turn => return turn,
            }
        }
    }

    /// Does all that the session says.
    async fn settle(&mut self, mut socket: Option<&mut TcpStream>) -> Turn {
        let mut turn = Turn::GoOn;
        let mut bytes = Vec::new();
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Write(more) => bytes.extend_from_slice(&more),
                Output::Disconnect => turn = Turn::Reconnect,
                Output::Complete { id, result } => {
                    self.waiters.complete(id, result);
                }
                Output::Event { watch, event } => self.waiters.tell(watch, event),
                Output::State(state) => {
                    self.state.send_replace(state);
                }
            }
        }
        if let Some(socket) = socket.as_mut()
            && !bytes.is_empty()
            && socket.write_all(&bytes).await.is_err()
        {
            turn = Turn::Reconnect;
        }
        if self.session.state().is_over() { Turn::Over } else { turn }
    }

    fn finish(&mut self) {
        self.state.send_replace(SessionState::Closed);
    }
}

/// Takes calls while there is no connection, and returns when the client is closed.
async fn closed(calls: &mut mpsc::Receiver<Call>, session: &mut Session, waiters: &mut Waiters) {
    while let Some(call) = calls.recv().await {
        if matches!(call.request, Request::CloseSession) {
            drop(call.done.send(Ok(Response::Empty)));
            return;
        }
        waiters.take(call, session);
    }
}
