//! Tokio around a [`Session`]: one task owns it, dials, reads and writes, and wakes who waits.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use bytes::BytesMut;
use conclave_protocol::{event::WatchEvent, request::Request, response::Response};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{OwnedSemaphorePermit, mpsc, oneshot, watch},
};

use crate::{
    clock::Clock,
    error::ClientError,
    hosts::{Attempt, Hosts},
    net,
    session::{Output, RequestId, Session, SessionState, WatchRequest},
    watch::{WatchId, WatchKind},
};

/// Bytes read at a time.
const READ_LEN_BYTES: usize = 16 << 10;

/// Bytes that wait to be written, beyond which no more calls are taken: a server that does not read
/// slows its clients.
const UNWRITTEN_LEN_BYTES_MAX: usize = 1 << 20;

/// Calls taken in one turn at most; they go out in one write.
const CALLS_PER_TURN_MAX: usize = 256;

/// Time for which a connection must have lasted for its host to have served, in milliseconds.
const SERVED_MS_MIN: u64 = 1000;

/// Watchers below which none is looked for that its caller has dropped.
const WATCHERS_SWEPT_MIN: usize = 64;

/// A request on its way from a caller to the session.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) request: Request,
    pub(crate) watch: Option<(WatchRequest, mpsc::Sender<WatchEvent>)>,
    pub(crate) done: oneshot::Sender<Result<Response, ClientError>>,
    /// Given back when the request is answered; closing needs none.
    pub(crate) permit: Option<OwnedSemaphorePermit>,
}

/// The task's own.
pub(crate) struct Driver {
    pub(crate) session: Session,
    pub(crate) hosts: Hosts,
    pub(crate) clock: Clock,
    pub(crate) calls: mpsc::Receiver<Call>,
    pub(crate) state: watch::Sender<SessionState>,
    pub(crate) waiters: Waiters,
}

/// Callers that wait for an answer, and those that wait for events.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    calls: HashMap<RequestId, Waiter>,
    watchers: HashMap<WatchId, (mpsc::Sender<WatchEvent>, WatchKind)>,
    swept_count: usize,
}

#[derive(Debug)]
struct Waiter {
    done: oneshot::Sender<Result<Response, ClientError>>,
    watch: Option<(WatchId, WatchKind)>,
    _permit: Option<OwnedSemaphorePermit>,
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
        let waiter = Waiter { done: call.done, watch: named, _permit: call.permit };
        self.calls.insert(id, waiter);
        self.sweep(session);
    }

    /// Forgets watchers that were dropped, once there may be as many of them as of others.
    fn sweep(&mut self, session: &mut Session) {
        if self.watchers.len() < WATCHERS_SWEPT_MIN.max(self.swept_count * 2) {
            return;
        }
        self.watchers.retain(|_, (sender, _)| !sender.is_closed());
        self.swept_count = self.watchers.len();
        let wanted: HashSet<WatchId> = self.watchers.keys().copied().collect();
        session.retain_watches(|id| wanted.contains(&id));
    }

    fn complete(&mut self, id: RequestId, result: Result<Response, ClientError>) {
        let Some(Waiter { done, watch, .. }) = self.calls.remove(&id) else { return };
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
        if is_behind || kind.is_one_shot() {
            // The end of the events tells a caller that fell behind that some are missing.
            self.watchers.remove(&watch);
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
        while let Some(socket) = self.connect().await {
            let start_ms = self.clock.now_ms();
            self.session.connected(start_ms);
            if self.serve(socket).await == Turn::Over {
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
        // Nobody serves it any more, whatever the server still has.
        self.state.send_if_modified(|state| {
            let is_left = !state.is_over();
            if is_left {
                *state = SessionState::Closed;
            }
            is_left
        });
    }

    /// Tries one host after the other; `None` when the session is over or left meanwhile.
    async fn connect(&mut self) -> Option<TcpStream> {
        loop {
            let Attempt { rest_ms, host, port } = self.hosts.next_attempt();
            let timeout_ms = self.session.connect_timeout_ms();
            let dial = async {
                if rest_ms > 0 {
                    tokio::time::sleep(Duration::from_millis(rest_ms)).await;
                }
                net::dial(&host, port, timeout_ms).await
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
    async fn serve(&mut self, socket: TcpStream) -> Turn {
        let (mut reading, mut writing) = socket.into_split();
        let mut buffer = vec![0; READ_LEN_BYTES];
        let mut unwritten = BytesMut::new();
        loop {
            let turn = self.settle(&mut unwritten);
            if turn != Turn::GoOn {
                return turn;
            }
            let wait = Duration::from_millis(self.session.tick_interval_ms());
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
                () = tokio::time::sleep(wait) => {}
            }
            self.session.tick(self.clock.now_ms());
        }
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
                Output::Unwatched(watch) => drop(self.waiters.watchers.remove(&watch)),
                Output::State(state) => {
                    self.state.send_replace(state);
                }
            }
        }
        if self.session.state().is_over() { Turn::Over } else { turn }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::Settings;

    /// Goal: a caller that watches again and again, and drops its watchers, does not fill the memory.
    #[test]
    fn dropped_watchers_are_forgotten_and_others_are_not() {
        let mut session = Session::new(Settings {
            session_timeout_ms: 9000,
            chroot: String::new(),
            frame_len_bytes_max: 1 << 20,
            request_len_bytes_max: 1 << 20,
            read_only: false,
            host_count: 1,
        });
        let mut waiters = Waiters::default();
        let mut kept = Vec::new();
        for number in 0..10_000 {
            let (sender, events) = mpsc::channel(1);
            let watch =
                WatchRequest { id: WatchId(number), kind: WatchKind::Data, path: "/a".to_owned() };
            if number % 100 == 0 {
                kept.push(events);
            }
            let request = Request::GetData { path: "/a".into(), watch: true };
            let call = Call {
                request,
                watch: Some((watch, sender)),
                done: oneshot::channel().0,
                permit: None,
            };
            waiters.take(call, &mut session);
        }
        assert!(waiters.watchers.len() <= 2 * kept.len(), "{}", waiters.watchers.len());
        for number in (0..10_000).step_by(100) {
            assert!(waiters.watchers.contains_key(&WatchId(number)), "{number}");
        }
    }
}
