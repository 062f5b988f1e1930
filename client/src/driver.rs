//! Tokio around a [`Session`]: one task owns it, dials, reads and writes, and wakes who waits.

use std::{
    collections::{HashMap, VecDeque},
    io,
    sync::Arc,
    time::Duration,
};

use bytes::BytesMut;
use conclave_protocol::{event::WatchEvent, request::Request, response::Response};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::{mpsc, oneshot},
    time::MissedTickBehavior,
};

use crate::{
    client::{permit::Permit, status::Status},
    clock::Clock,
    error::ClientError,
    hosts::{Attempt, Hosts},
    net::{Connection, Transport},
    seek,
    session::{Output, RequestId, Session, SessionState, WatchRequest},
    watch::{GapCause, WatchId, WatchKind, mailbox},
};

/// Bytes read at a time.
const READ_LEN_BYTES: usize = 64 << 10;

/// Bytes that wait to be written, beyond which no more calls are taken: a server that does not read
/// slows its clients.
const UNWRITTEN_LEN_BYTES_MAX: usize = 1 << 20;

/// Calls taken in one turn at most; they go out in one write.
const CALLS_PER_TURN_MAX: usize = 256;

/// Until the session has said how often it is to be told the time.
const TICK_FIRST: Duration = Duration::from_millis(10);

/// Time for which a connection must have lasted for its host to have served, in milliseconds.
const SERVED_MS_MIN: u64 = 1000;

/// What a caller has for the session.
#[derive(Debug)]
pub(crate) enum Call {
    /// A request.
    Ask(Ask),
    /// A watcher was dropped.
    Unwatch(WatchRequest),
}

/// A request on its way from a caller to the session.
#[derive(Debug)]
pub(crate) struct Ask {
    pub(crate) request: Request,
    pub(crate) watch: Option<Box<(WatchRequest, mailbox::Sender)>>,
    pub(crate) done: oneshot::Sender<Result<Response, ClientError>>,
    /// Given back when the request is answered; closing needs none.
    pub(crate) permit: Option<Permit>,
}

/// What follows an expired session.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Renewal {
    /// Nothing: the client is over.
    Never,
    /// Another session.
    WhenExpired,
}

/// The task's own.
pub(crate) struct Driver {
    pub(crate) session: Session,
    pub(crate) hosts: Hosts,
    pub(crate) clock: Clock,
    pub(crate) calls: mpsc::Receiver<Call>,
    pub(crate) status: Arc<Status>,
    pub(crate) waiters: Waiters,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) renewal: Renewal,
}

/// Callers that wait for an answer, and those that wait for events.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    /// By number, from the first that is not answered: answers come nearly in order.
    calls: VecDeque<Option<Waiter>>,
    first: u64,
    watchers: HashMap<WatchId, (mailbox::Sender, WatchKind)>,
}

#[derive(Debug)]
struct Waiter {
    done: oneshot::Sender<Result<Response, ClientError>>,
    watch: Option<(WatchId, WatchKind)>,
    _permit: Option<Permit>,
}

impl Waiters {
    /// Submits a call and notes who waits.
    fn take(&mut self, call: Call, session: &mut Session) {
        let Ask { request, watch, done, permit } = match call {
            Call::Ask(ask) => ask,
            Call::Unwatch(watch) => {
                self.watchers.remove(&watch.id);
                return session.unwatch(&watch);
            }
        };
        let (watch, sender) = watch.map(|watch| *watch).unzip();
        let named = watch.as_ref().map(|watch| (watch.id, watch.kind));
        if let Some(((id, kind), sender)) = named.zip(sender) {
            self.watchers.insert(id, (sender, kind));
        }
        let id = session.submit(request, watch);
        if self.calls.is_empty() {
            self.first = id.0;
        }
        assert_eq!(id.0, self.first + self.calls.len() as u64, "requests are numbered in order");
        self.calls.push_back(Some(Waiter { done, watch: named, _permit: permit }));
    }

    fn complete(&mut self, id: RequestId, result: Result<Response, ClientError>) {
        let index = usize::try_from(id.0 - self.first).expect("it is not answered yet");
        let Waiter { done, watch, _permit } =
            self.calls[index].take().expect("a request is answered once");
        while self.calls.front().is_some_and(Option::is_none) {
            self.calls.pop_front();
            self.first += 1;
        }
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
        sender.tell(event);
        if kind.is_one_shot() {
            self.watchers.remove(&watch);
        }
    }

    fn gap(&self, watch: WatchId) {
        if let Some((sender, _)) = self.watchers.get(&watch) {
            sender.gap(GapCause::Reconnected);
        }
    }
}

/// What came of a turn.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Turn {
    GoOn,
    Reconnect,
    Over,
}

impl Driver {
    /// Serves the session until it is over or every handle is dropped.
    pub(crate) async fn run(mut self) {
        while let Some(connection) = self.connect().await {
            let start_ms = self.clock.now_ms();
            self.session.connected(start_ms);
            if self.serve(connection).await == Turn::Over {
                break;
            }
            let now_ms = self.clock.now_ms();
            // Sooner, it may be a server that greets and hangs up, and the next try needs its rest.
            if now_ms - start_ms >= SERVED_MS_MIN {
                self.hosts.served();
            }
            self.session.disconnected(now_ms);
            if self.settle(&mut BytesMut::new()) == Turn::Over {
                break;
            }
        }
        self.status.end();
    }

    /// Tries one host after the other; `None` when the session is over or left meanwhile.
    async fn connect(&mut self) -> Option<Box<dyn Connection>> {
        loop {
            let Attempt { rest_ms, host, port } = self.hosts.next_attempt();
            let timeout = Duration::from_millis(self.session.connect_timeout_ms());
            let transport = self.transport.clone();
            let dial = async {
                if rest_ms > 0 {
                    tokio::time::sleep(Duration::from_millis(rest_ms)).await;
                }
                let dialled = tokio::time::timeout(timeout, transport.dial(&host, port)).await;
                dialled.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            };
            tokio::pin!(dial);
            let dialled = loop {
                tokio::select! {
                    dialled = &mut dial => break dialled,
                    call = self.calls.recv() => self.waiters.take(call?, &mut self.session),
                }
                if self.settle(&mut BytesMut::new()) == Turn::Over {
                    return None;
                }
            };
            match dialled {
                Ok(socket) => return Some(socket),
                Err(error) => tracing::debug!(%host, port, %error, "no connection"),
            }
        }
    }

    /// Reads and writes at the same time: were either to wait for the other, a server that does the
    /// same would wait for ever.
    async fn serve(&mut self, connection: Box<dyn Connection>) -> Turn {
        let (mut reading, mut writing) = tokio::io::split(connection);
        let mut buffer = vec![0; READ_LEN_BYTES];
        let mut unwritten = BytesMut::new();
        let better = seek::writable(self.transport.clone(), self.hosts.clone());
        tokio::pin!(better);
        let mut interval_ms = 0;
        let mut ticks = tokio::time::interval(TICK_FIRST);
        loop {
            let turn = self.settle(&mut unwritten);
            if turn != Turn::GoOn {
                return turn;
            }
            if interval_ms != self.session.tick_interval_ms() {
                interval_ms = self.session.tick_interval_ms();
                ticks = tokio::time::interval(Duration::from_millis(interval_ms));
                ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            }
            tokio::select! {
                call = self.calls.recv(), if unwritten.len() < UNWRITTEN_LEN_BYTES_MAX => {
                    // Every handle is gone: the session is left to expire.
                    let Some(call) = call else { return Turn::Over };
                    self.take_all(call);
                }
                read = reading.read(&mut buffer) => match read {
                    Ok(count) if count > 0 => {
                        self.session.received(&buffer[..count], self.clock.now_ms());
                    }
                    _ => return Turn::Reconnect,
                },
                written = writing.write_buf(&mut unwritten), if !unwritten.is_empty() => {
                    if !matches!(written, Ok(count) if count > 0) {
                        return Turn::Reconnect;
                    }
                }
                (host, port) = &mut better, if self.is_read_only() => {
                    self.hosts.prefer(&host, port);
                    return Turn::Reconnect;
                }
                _ = ticks.tick() => {}
            }
            self.session.tick(self.clock.now_ms());
        }
    }

    fn is_read_only(&self) -> bool {
        self.session.state() == SessionState::ConnectedReadOnly
    }

    fn take_all(&mut self, first: Call) {
        let mut next = Some(first);
        for _ in 0..CALLS_PER_TURN_MAX {
            let Some(call) = next else { return };
            self.waiters.take(call, &mut self.session);
            next = self.calls.try_recv().ok();
        }
        if let Some(call) = next {
            self.waiters.take(call, &mut self.session);
        }
    }

    /// Does all that the session says; what is to be written is appended to `unwritten`.
    fn settle(&mut self, unwritten: &mut BytesMut) -> Turn {
        let mut turn = Turn::GoOn;
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Write(bytes) => unwritten.extend_from_slice(&bytes),
                Output::Disconnect => turn = Turn::Reconnect,
                Output::Complete { id, result } => self.waiters.complete(id, result),
                Output::Event { watch, event } => self.waiters.tell(watch, event),
                Output::Gap(watch) => self.waiters.gap(watch),
                Output::Unwatched(watch) => drop(self.waiters.watchers.remove(&watch)),
                Output::State(state) => {
                    self.status.tell(state, &self.session);
                    if state == SessionState::Expired && self.renewal == Renewal::WhenExpired {
                        self.session.renew();
                    }
                }
            }
        }
        if self.session.state().is_over() { Turn::Over } else { turn }
    }
}
