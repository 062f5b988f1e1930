//! A session without IO: a value that is told what happened and says what to do.
//!
//! The driver tells of connections ([`Session::connected`], [`Session::disconnected`]), bytes
//! ([`Session::received`]) and time ([`Session::tick`]), submits requests, and after each of these
//! takes all of [`Session::poll_output`]. Requests are sent in the order they were submitted, and the
//! answers come in that order.

mod chroot;
mod restore;

use std::collections::{BTreeMap, VecDeque};

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

use self::chroot::Chroot;
use crate::{
    error::ClientError,
    watch::{Registry, WatchId, WatchKind},
};

/// What a session is made with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Session timeout asked for, in milliseconds; the server may grant another.
    pub session_timeout_ms: u32,
    /// The path that stands for the root; empty for none.
    pub chroot: String,
    /// Longest frame accepted from a server, in bytes.
    pub frame_len_bytes_max: usize,
    /// Whether a server that serves reads only will do.
    pub read_only: bool,
}

/// Where a session stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SessionState {
    /// It has no connection, and will.
    Connecting,
    /// It has one.
    Connected,
    /// It has one to a server that serves reads only.
    ConnectedReadOnly,
    /// An identity was refused; the server has closed the connection.
    AuthFailed,
    /// It is over, against our will.
    Expired,
    /// It is over, as asked.
    Closed,
}

impl SessionState {
    /// Returns whether the session is over.
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Expired | Self::Closed | Self::AuthFailed)
    }
}

/// Names a submitted request.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RequestId(pub u64);

/// What the driver is to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Write these bytes to the connection.
    Write(Bytes),
    /// Close the connection; a new one will be wanted unless the session is over.
    Disconnect,
    /// Tell the caller how its request ended.
    Complete {
        /// Which.
        id: RequestId,
        /// The answer.
        result: Result<Response, ClientError>,
    },
    /// Tell a watcher of an event.
    Event {
        /// Which.
        watch: WatchId,
        /// What.
        event: WatchEvent,
    },
    /// The session's state has changed.
    State(SessionState),
}

/// A watch that a request arms.
#[derive(Clone, Debug)]
pub struct WatchRequest {
    /// Which.
    pub id: WatchId,
    /// What for.
    pub kind: WatchKind,
    /// Where, as the caller names it.
    pub path: String,
}

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
    watch: Option<WatchRequest>,
    /// A watch taken away when the answer comes.
    removes: Option<(WatchKind, String)>,
}

/// A client's session.
#[derive(Debug)]
pub struct Session {
    settings: Settings,
    chroot: Chroot,
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
    watches: Registry,
    /// Identities, told again on every connection.
    auths: Vec<(String, Bytes)>,
    is_closing: bool,
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
        Self {
            chroot: Chroot::new(settings.chroot.clone()),
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
            watches: Registry::default(),
            auths: Vec::new(),
            is_closing: false,
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

    /// Takes the next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Takes a request; it is sent when there is a connection.
    pub fn submit(&mut self, request: Request, watch: Option<WatchRequest>) -> RequestId {
        let id = RequestId(self.next_id);
        self.next_id += 1;
        if self.state.is_over() || self.is_closing {
            let error = if self.state == SessionState::Expired {
                ClientError::SessionExpired
            } else {
                ClientError::Closed
            };
            self.outputs.push_back(Output::Complete { id, result: Err(error) });
            return id;
        }
        self.is_closing = matches!(request, Request::CloseSession);
        if let Request::Auth { scheme, data, .. } = &request
            && let Some(scheme) = scheme.as_str()
        {
            self.auths.push((scheme.to_owned(), data.clone().unwrap_or_default()));
        }
        let request = self.chroot.inward(request);
        self.queued.push_back(Queued { id, request, watch });
        self.send_queued();
        id
    }

    /// A connection is up: the session greets.
    pub fn connected(&mut self, now_ms: u64) {
        assert_eq!(self.link, Link::Down, "one connection at a time");
        self.now_ms = now_ms;
        self.link = Link::Greeting;
        self.buffer.clear();
        (self.sent_at_ms, self.heard_at_ms) = (now_ms, now_ms);
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: self.last_zxid,
            timeout_ms: i32::try_from(self.settings.session_timeout_ms).unwrap_or(i32::MAX),
            session: self.id,
            password: Some(Bytes::copy_from_slice(&self.password.0)),
            read_only: Some(self.settings.read_only),
        };
        let mut out = BytesMut::new();
        frame::put_frame(&mut out, |out| request.encode(out));
        self.outputs.push_back(Output::Write(out.freeze()));
    }

    /// The connection is gone: what was under way may have been done or not.
    pub fn disconnected(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
        self.link = Link::Down;
        self.buffer.clear();
        for lost in std::mem::take(&mut self.in_flight) {
            let Some(id) = lost.id else { continue };
            let is_close = lost.opcode == OpCode::CloseSession;
            let result =
                if is_close { Ok(Response::Empty) } else { Err(ClientError::ConnectionLoss) };
            self.outputs.push_back(Output::Complete { id, result });
            if is_close {
                self.end(SessionState::Closed);
            }
        }
        if !self.state.is_over() {
            self.set_state(SessionState::Connecting);
        }
    }

    /// Bytes came.
    pub fn received(&mut self, bytes: &[u8], now_ms: u64) {
        self.now_ms = now_ms;
        self.buffer.extend_from_slice(bytes);
        while self.link != Link::Down {
            match frame::decode_frame(&mut self.buffer, self.settings.frame_len_bytes_max) {
                Ok(Some(frame)) => self.on_frame(frame),
                Ok(None) => return,
                Err(_) => return self.disconnect(),
            }
        }
    }

    /// Time has passed: pings, and gives up a connection on which nothing comes.
    pub fn tick(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
        if self.link == Link::Down {
            return;
        }
        if now_ms >= self.heard_at_ms + self.timeout_ms * 2 / 3 {
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

    fn on_frame(&mut self, frame: Bytes) {
        self.heard_at_ms = self.now_ms;
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
        self.id = response.session;
        self.timeout_ms = u64::try_from(response.timeout_ms).ok()?;
        self.password = Password(response.password?[..].try_into().ok()?);
        self.link = Link::Up;
        self.restore();
        let is_read_only = response.read_only == Some(true);
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
        let answered = self.in_flight.pop_front().filter(|first| first.xid == header.xid)?;
        if header.zxid != Zxid::NONE {
            self.last_zxid = self.last_zxid.max(header.zxid);
        }
        let body = reader.into_rest();
        self.on_answer(answered, header.error, body)
    }

    fn on_answer(&mut self, answered: InFlight, error: i32, body: Bytes) -> Option<()> {
        let InFlight { opcode, id, watch, removes, .. } = answered;
        let result = match error {
            0 => Ok(self.chroot.outward(Response::decode(opcode, body).ok()?)),
            code => Err(ClientError::from_code(code)),
        };
        if let Some(WatchRequest { id, kind, path }) = watch {
            let is_armed =
                result.is_ok() || (opcode == OpCode::Exists && result == Err(ClientError::NoNode));
            if is_armed {
                let kind = match (kind, &result) {
                    // An exists of a znode that is there watches its data.
                    (WatchKind::Exist, Ok(_)) => WatchKind::Data,
                    (kind, _) => kind,
                };
                self.watches.add(kind, self.chroot.path_inward(&path), id);
            }
        }
        if let Some((kind, path)) = removes.filter(|_| result.is_ok()) {
            self.watches.remove(kind, &path);
        }
        let is_auth_failed = error == ErrorCode::AuthFailed.to_wire();
        if let Some(id) = id {
            self.outputs.push_back(Output::Complete { id, result });
        }
        if opcode == OpCode::CloseSession {
            self.end(SessionState::Closed);
            self.disconnect();
        } else if is_auth_failed {
            self.end(SessionState::AuthFailed);
            self.disconnect();
        }
        Some(())
    }

    fn on_event(&mut self, event: &WatchEvent) {
        for watch in self.watches.fire(event) {
            let Some(path) = event.path.as_str() else { continue };
            let path = self.chroot.path_outward(path).into();
            let event = WatchEvent { path, ..event.clone() };
            self.outputs.push_back(Output::Event { watch, event });
        }
    }

    fn send_queued(&mut self) {
        while self.link == Link::Up
            && let Some(Queued { id, request, watch }) = self.queued.pop_front()
        {
            let xid = match &request {
                Request::Auth { .. } => Xid::AUTH,
                _ => self.draw_xid(),
            };
            self.send(xid, &request, Some(id), watch);
        }
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
        let mut out = BytesMut::new();
        frame::put_frame(&mut out, |out| {
            RequestHeader { xid, opcode: opcode.to_wire() }.encode(out);
            request.encode(out);
        });
        let removes = restore::removed_watch(request);
        self.in_flight.push_back(InFlight { xid, opcode, id, watch, removes });
        self.sent_at_ms = self.now_ms;
        self.outputs.push_back(Output::Write(out.freeze()));
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

    /// Ends the session: whoever waits is told.
    fn end(&mut self, state: SessionState) {
        self.set_state(state);
        let error = match state {
            SessionState::Expired => ClientError::SessionExpired,
            SessionState::AuthFailed => ClientError::AuthFailed,
            _ => ClientError::Closed,
        };
        for Queued { id, .. } in std::mem::take(&mut self.queued) {
            self.outputs.push_back(Output::Complete { id, result: Err(error.clone()) });
        }
    }

    /// Returns the watches the server is to have, for tests and tools.
    pub fn watched(&self) -> BTreeMap<(WatchKind, String), ()> {
        self.watches.iter().map(|(kind, path)| ((kind, path.to_owned()), ())).collect()
    }
}
