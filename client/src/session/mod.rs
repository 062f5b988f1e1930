//! A session without IO: a value that is told what happened and says what to do.
//!
//! The driver tells of connections ([`Session::connected`], [`Session::disconnected`]), bytes
//! ([`Session::received`]) and time ([`Session::tick`]), submits requests, and after each of these
//! takes all of [`Session::poll_output`]. Requests are sent in the order they were submitted, and the
//! answers come in that order.

mod api;
mod restore;

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use conclave_protocol::{
    code::ErrorCode,
    connect::{ConnectRequest, ConnectResponse},
    event::WatchEvent,
    frame,
    ids::{Password, SessionId, Xid},
    jute::Reader,
    opcode::OpCode,
    request::{Request, RequestHeader},
    response::{ReplyHeader, Response},
    zxid::Zxid,
};

pub use self::{
    api::{Output, RequestId, SessionState, Settings, WatchRequest},
    restore::SET_WATCHES_LEN_BYTES_MAX,
};
use crate::{
    error::ClientError,
    watch::{Registry, WatchKind, Watched},
};

/// Identities that a session proves at most; one more is refused with [`ClientError::Overloaded`].
pub const AUTHS_MAX: usize = 128;

/// Frames up to this many bytes are copied out of the read buffer, so that a small value that a
/// caller keeps does not keep the whole buffer.
const FRAME_COPIED_LEN_BYTES_MAX: usize = 8 << 10;

#[derive(Debug)]
struct Queued {
    id: RequestId,
    request: Request,
    watch: Option<WatchRequest>,
}

#[derive(Debug)]
struct InFlight {
    xid: Xid,
    opcode: OpCode,
    /// None for what the session sent for itself.
    id: Option<RequestId>,
    watches: Option<Box<Watches>>,
}

/// What an answer changes of the watches; boxed, as most change nothing.
#[derive(Debug)]
enum Watches {
    Arms(WatchRequest),
    /// By path and the wire's number.
    Removes(String, i32),
}

/// A client's session.
#[derive(Debug)]
pub struct Session {
    settings: Settings,
    state: SessionState,
    link: Link,
    id: SessionId,
    password: Password,
    timeout_ms: u64,
    last_zxid: Zxid,
    next_xid: i32,
    next_id: u64,
    queued: VecDeque<Queued>,
    in_flight: VecDeque<InFlight>,
    buffer: BytesMut,
    /// Whole frames that are to be written.
    written: BytesMut,
    watches: Registry,
    /// Identities, told again on every connection.
    auths: Vec<(String, Bytes)>,
    is_closing: bool,
    /// A server that serves reads only has made the id up by itself: the ensemble knows no such session.
    is_known_to_ensemble: bool,
    sent_at_ms: u64,
    heard_at_ms: u64,
    now_ms: u64,
    outputs: VecDeque<Output>,
}

/// How far the connection is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Link {
    Down,
    Greeting,
    Up,
}

impl Session {
    /// Makes a session that has never been connected.
    pub fn new(settings: Settings) -> Self {
        assert!(settings.host_count > 0, "there is a server to connect to");
        Self {
            state: SessionState::Connecting,
            link: Link::Down,
            id: SessionId::NONE,
            password: Password::ZERO,
            timeout_ms: settings.session_timeout_ms.into(),
            last_zxid: Zxid::ZERO,
            next_xid: 1,
            next_id: 1,
            queued: VecDeque::new(),
            in_flight: VecDeque::new(),
            buffer: BytesMut::new(),
            written: BytesMut::new(),
            watches: Registry::default(),
            auths: Vec::new(),
            is_closing: false,
            is_known_to_ensemble: false,
            sent_at_ms: 0,
            heard_at_ms: 0,
            now_ms: 0,
            outputs: VecDeque::new(),
            settings,
        }
    }

    /// Returns where it stands.
    pub const fn state(&self) -> SessionState {
        self.state
    }

    /// Returns its id; [`SessionId::NONE`] before the first connection.
    pub const fn id(&self) -> SessionId {
        self.id
    }

    /// Returns the newest zxid the server told.
    pub const fn last_zxid(&self) -> Zxid {
        self.last_zxid
    }

    /// Returns the watches the server is to have, by kind and path as the server knows it.
    pub fn watches(&self) -> impl Iterator<Item = (WatchKind, &str)> {
        self.watches.iter()
    }

    /// Returns the timeout that the server has granted, in milliseconds; before, the one asked for.
    pub const fn timeout_ms(&self) -> u64 {
        self.timeout_ms
    }

    /// Begins a new session in the place of one that has expired: with the same settings and
    /// identities, no older than what was seen, and without watches and ephemerals.
    pub fn renew(&mut self) {
        assert_eq!(self.state, SessionState::Expired, "only a session that has expired is renewed");
        let lost = self.watches.clear();
        self.outputs.extend(lost.into_iter().map(Output::Unwatched));
        (self.id, self.password) = (SessionId::NONE, Password::ZERO);
        self.timeout_ms = self.settings.session_timeout_ms.into();
        self.is_known_to_ensemble = false;
        self.set_state(SessionState::Connecting);
    }

    /// Takes the next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        if !self.written.is_empty() {
            return Some(Output::Write(self.written.split().freeze()));
        }
        self.outputs.pop_front()
    }

    /// Takes a request; it is sent when there is a connection. The caller bounds how many are under
    /// way. A [`Request::CloseSession`] without a connection ends the session here at once; the
    /// server ends it after its timeout.
    pub fn submit(&mut self, request: Request, watch: Option<WatchRequest>) -> RequestId {
        let id = RequestId(self.next_id);
        self.next_id += 1;
        match self.admit(&request) {
            Ok(()) => {
                if let Some(watch) = &watch {
                    self.watches.expect(&watch.path, watch.id);
                }
                if self.link == Link::Up {
                    // Nothing is queued while there is a connection.
                    self.send_request(id, &request, watch);
                    return id;
                }
                self.queued.push_back(Queued { id, request, watch });
                if self.is_closing && self.link == Link::Down {
                    self.end(SessionState::Closed);
                }
            }
            Err(error) => self.outputs.push_back(Output::Complete { id, result: Err(error) }),
        }
        id
    }

    fn admit(&mut self, request: &Request) -> Result<(), ClientError> {
        if self.state.is_over() || self.is_closing {
            return Err(over(self.state));
        }
        if let Request::Auth { scheme, data, .. } = request
            && let Some(scheme) = scheme.as_str()
        {
            let auth = (scheme.to_owned(), data.clone().unwrap_or_default());
            if !self.auths.contains(&auth) {
                if self.auths.len() == AUTHS_MAX {
                    return Err(ClientError::Overloaded);
                }
                self.auths.push(auth);
            }
        }
        self.is_closing = matches!(request, Request::CloseSession);
        Ok(())
    }

    /// A connection is up: the session greets.
    pub fn connected(&mut self, now_ms: u64) {
        assert_eq!(self.link, Link::Down, "one connection at a time");
        assert!(!self.state.is_over(), "a session that is over needs no connection");
        self.now_ms = now_ms;
        self.link = Link::Greeting;
        self.buffer.clear();
        (self.sent_at_ms, self.heard_at_ms) = (now_ms, now_ms);
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: self.last_zxid,
            timeout_ms: i32::try_from(self.settings.session_timeout_ms).unwrap_or(i32::MAX),
            session: if self.is_known_to_ensemble { self.id } else { SessionId::NONE },
            password: Some(Bytes::copy_from_slice(&self.password.0)),
            read_only: Some(self.settings.read_only),
        };
        frame::put_frame(&mut self.written, |out| request.encode(out));
    }

    /// The connection is gone: what was under way may have been done or not.
    pub fn disconnected(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
        let was_up = self.link == Link::Up;
        self.link = Link::Down;
        self.buffer.clear();
        self.written.clear();
        for lost in std::mem::take(&mut self.in_flight) {
            if let Some(Watches::Arms(watch)) = lost.watches.as_deref() {
                self.watches.settle(&watch.path, watch.id);
            }
            let Some(id) = lost.id else { continue };
            // The server closes the connection when it has closed the session.
            let is_close = lost.opcode == OpCode::CloseSession;
            let result =
                if is_close { Ok(Response::Empty) } else { Err(ClientError::ConnectionLoss) };
            self.outputs.push_back(Output::Complete { id, result });
        }
        if self.is_closing {
            self.end(SessionState::Closed);
        } else if was_up && !self.state.is_over() {
            self.set_state(SessionState::Disconnected);
        }
    }

    /// Bytes came.
    pub fn received(&mut self, bytes: &[u8], now_ms: u64) {
        self.now_ms = now_ms;
        // Any byte is a sign of life: a long reply may take longer to arrive than the deadline.
        self.heard_at_ms = now_ms;
        self.buffer.extend_from_slice(bytes);
        while self.link != Link::Down {
            match frame::decode_frame(&mut self.buffer, self.settings.frame_len_bytes_max) {
                Ok(Some(frame)) if frame.len() <= FRAME_COPIED_LEN_BYTES_MAX => {
                    self.on_frame(Bytes::copy_from_slice(&frame));
                }
                Ok(Some(frame)) => self.on_frame(frame),
                Ok(None) => return,
                Err(_) => return self.disconnect(),
            }
        }
    }

    /// Time has passed: pings, and gives up a connection on which nothing comes.
    pub fn tick(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
        let silence_ms_max = match self.link {
            Link::Down => return,
            Link::Greeting => self.connect_timeout_ms(),
            Link::Up => self.timeout_ms * 2 / 3,
        };
        if now_ms >= self.heard_at_ms + silence_ms_max {
            return self.disconnect();
        }
        if self.link == Link::Up && now_ms >= self.sent_at_ms + self.timeout_ms / 3 {
            self.send(Xid::PING, &Request::Ping, None, None);
        }
    }

    /// Returns how long the driver may wait before the next [`Self::tick`], in milliseconds.
    pub const fn tick_interval_ms(&self) -> u64 {
        let interval_ms = self.timeout_ms / 12;
        if interval_ms < 10 { 10 } else { interval_ms }
    }

    /// Returns how long one server may take to be connected to, and again to greet, in milliseconds:
    /// so long that all can be tried before the session expires.
    pub fn connect_timeout_ms(&self) -> u64 {
        let share_ms = self.timeout_ms * 2 / 3 / self.settings.host_count as u64;
        share_ms.max(CONNECT_TIMEOUT_MS_MIN)
    }

    fn on_frame(&mut self, frame: Bytes) {
        let is_sound = match self.link {
            Link::Greeting => self.on_greeting(frame),
            Link::Up => self.on_reply(frame),
            Link::Down => return,
        };
        if is_sound.is_none() {
            // Out of step with the server: nothing after this can be understood.
            self.disconnect();
        }
    }

    fn on_greeting(&mut self, frame: Bytes) -> Option<()> {
        let response = ConnectResponse::decode(frame).ok()?;
        if response.timeout_ms <= 0 {
            self.end(SessionState::Expired);
            self.disconnect();
            return Some(());
        }
        let password = Password(response.password?[..].try_into().ok()?);
        self.id = response.session;
        self.timeout_ms = u64::try_from(response.timeout_ms).ok()?;
        self.password = password;
        self.link = Link::Up;
        self.restore();
        let is_read_only = response.read_only == Some(true);
        self.is_known_to_ensemble |= !is_read_only;
        self.set_state(if is_read_only {
            SessionState::ConnectedReadOnly
        } else {
            SessionState::Connected
        });
        self.send_queued();
        Some(())
    }

    fn on_reply(&mut self, frame: Bytes) -> Option<()> {
        let mut reader = Reader::new(frame);
        let header = ReplyHeader::decode(&mut reader).ok()?;
        if header.xid == Xid::EVENT {
            let event = WatchEvent::decode(&mut reader).ok()?;
            self.on_event(&event);
            return Some(());
        }
        // One that is not answered stays, to be failed with the others.
        self.in_flight.front().filter(|first| first.xid == header.xid)?;
        let answered = self.in_flight.pop_front()?;
        // Not from the answer to one of several setWatches: were the connection lost before the
        // next is answered, its watches would be armed relative to what they have not heard of.
        let is_seen = header.xid != Xid::SET_WATCHES && header.zxid.to_wire() > 0;
        if is_seen {
            self.last_zxid = self.last_zxid.max(header.zxid);
        }
        let body = reader.into_rest();
        self.on_answer(answered, header.error, body)
    }

    fn on_answer(&mut self, answered: InFlight, error: i32, body: Bytes) -> Option<()> {
        let InFlight { opcode, id, watches, .. } = answered;
        let result = match error {
            0 => Response::decode(opcode, body).map_err(|_| ClientError::Malformed),
            code => Err(ClientError::from_code(code)),
        };
        match watches.map(|watches| *watches) {
            Some(Watches::Arms(watch)) => self.on_watch_answer(watch, &result),
            Some(Watches::Removes(path, kind)) if result.is_ok() => {
                let removed = self.watches.remove(&path, kind);
                self.outputs.extend(removed.into_iter().map(Output::Unwatched));
            }
            Some(Watches::Removes(..)) | None => {}
        }
        let is_refused = result.is_err();
        let is_sound = result != Err(ClientError::Malformed);
        let is_auth_failed = error == ErrorCode::AuthFailed.to_wire();
        if let Some(id) = id {
            self.outputs.push_back(Output::Complete { id, result });
        }
        match opcode {
            OpCode::CloseSession => {
                self.end(SessionState::Closed);
                self.disconnect();
            }
            _ if is_auth_failed => {
                self.end(SessionState::AuthFailed);
                self.disconnect();
            }
            // The server has none of them: better a watcher that ends than one that is deaf.
            OpCode::SetWatches | OpCode::SetWatches2 if is_refused => {
                let lost = self.watches.clear();
                self.outputs.extend(lost.into_iter().map(Output::Unwatched));
            }
            _ => {}
        }
        is_sound.then_some(())
    }

    fn on_watch_answer(&mut self, watch: WatchRequest, result: &Result<Response, ClientError>) {
        let is_wanted = self.watches.settle(&watch.path, watch.id);
        let kind = match (watch.kind, result) {
            // An exists of a znode that is there watches its data.
            (WatchKind::Exist, Ok(_)) => WatchKind::Data,
            (WatchKind::Exist, Err(ClientError::NoNode)) => WatchKind::Exist,
            (kind, Ok(_)) => kind,
            (_, Err(_)) => return self.remove_left_over(&watch.path),
        };
        self.watches.add(kind, watch.path.clone(), watch.id);
        if !is_wanted {
            self.unwatch(&watch);
        }
    }

    fn on_event(&mut self, event: &WatchEvent) {
        for watch in self.watches.fire(event) {
            self.outputs.push_back(Output::Event { watch, event: event.clone() });
        }
        if let Some(path) = event.path.as_str() {
            self.remove_left_over(path);
        }
    }

    /// Forgets a watch whose caller has dropped it, and has the server forget it when no other at its
    /// path would go with it.
    pub fn unwatch(&mut self, watch: &WatchRequest) {
        if let Some(watched) = self.watches.release(watch.kind, &watch.path, watch.id) {
            self.send_removal(&watch.path, watched);
        }
        self.remove_left_over(&watch.path);
    }

    fn remove_left_over(&mut self, path: &str) {
        if self.watches.take_left_over(path) {
            self.send_removal(path, Watched::Any);
        }
    }

    /// What a connection does not outlive needs no removal; and a refusal changes nothing.
    fn send_removal(&mut self, path: &str, watched: Watched) {
        if self.link == Link::Up && !self.is_closing {
            let xid = self.draw_xid();
            let request = Request::RemoveWatches { path: path.into(), kind: watched as i32 };
            self.send(xid, &request, None, None);
        }
    }

    fn send_queued(&mut self) {
        while self.link == Link::Up
            && let Some(Queued { id, request, watch }) = self.queued.pop_front()
        {
            self.send_request(id, &request, watch);
        }
    }

    fn send_request(&mut self, id: RequestId, request: &Request, watch: Option<WatchRequest>) {
        let xid = match request {
            Request::Auth { .. } => Xid::AUTH,
            _ => self.draw_xid(),
        };
        self.send(xid, request, Some(id), watch);
    }

    fn draw_xid(&mut self) -> Xid {
        let xid = self.next_xid;
        self.next_xid = if xid == i32::MAX { 1 } else { xid + 1 };
        Xid(xid)
    }

    fn send(
        &mut self,
        xid: Xid,
        request: &Request,
        id: Option<RequestId>,
        watch: Option<WatchRequest>,
    ) {
        let opcode = request.opcode();
        let start = self.written.len();
        frame::put_frame(&mut self.written, |out| {
            RequestHeader { xid, opcode: opcode.to_wire() }.encode(out);
            request.encode(out);
        });
        let len_bytes = self.written.len() - start - size_of::<i32>();
        if let Some(id) = id.filter(|_| len_bytes > self.settings.request_len_bytes_max) {
            self.written.truncate(start);
            if let Some(watch) = &watch {
                self.watches.settle(&watch.path, watch.id);
            }
            let result = Err(ClientError::TooLong(len_bytes));
            self.outputs.push_back(Output::Complete { id, result });
            return;
        }
        let watches = match request {
            Request::RemoveWatches { path, kind } if id.is_some() => {
                path.as_str().map(|path| Watches::Removes(path.to_owned(), *kind))
            }
            _ => watch.map(Watches::Arms),
        };
        let watches = watches.map(Box::new);
        self.in_flight.push_back(InFlight { xid, opcode, id, watches });
        self.sent_at_ms = self.now_ms;
    }

    fn disconnect(&mut self) {
        if self.link != Link::Down {
            self.outputs.push_back(Output::Disconnect);
            self.disconnected(self.now_ms);
        }
    }

    fn set_state(&mut self, state: SessionState) {
        if self.state != state {
            self.state = state;
            self.outputs.push_back(Output::State(state));
        }
    }

    /// Ends the session: whoever waits to be sent is told.
    fn end(&mut self, state: SessionState) {
        if self.state.is_over() {
            return;
        }
        self.set_state(state);
        for Queued { id, request, watch } in std::mem::take(&mut self.queued) {
            if let Some(watch) = watch {
                self.watches.settle(&watch.path, watch.id);
            }
            let result = match request {
                Request::CloseSession if state == SessionState::Closed => Ok(Response::Empty),
                _ => Err(over(state)),
            };
            self.outputs.push_back(Output::Complete { id, result });
        }
    }
}

/// Returns the error of a request to a session that is over, or is being closed.
pub(crate) const fn over(state: SessionState) -> ClientError {
    match state {
        SessionState::Expired => ClientError::SessionExpired,
        SessionState::AuthFailed => ClientError::AuthFailed,
        _ => ClientError::Closed,
    }
}

/// Least time for one server to answer, in milliseconds, however short the session's timeout.
const CONNECT_TIMEOUT_MS_MIN: u64 = 200;
