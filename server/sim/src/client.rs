//! A client without a socket: it speaks the real protocol into a member's lane, judges every answer,
//! keeps its session over connections, and sets its watches again.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
};

use bytes::{Bytes, BytesMut};
use conclave_protocol::{
    code::ErrorCode,
    connect::{ConnectRequest, ConnectResponse},
    event::WatchEvent,
    frame,
    ids::{ServerId, SessionId, Xid},
    jute::Reader,
    opcode::OpCode,
    request::{Request, RequestHeader},
    response::{ReplyHeader, Response},
    zxid::Zxid,
};
use conclave_server::{lane::Connection, shared::LocalSessions};

use crate::{
    access::{self, Who},
    judge,
    ledger::Ledger,
    model::VALUE_BITS,
    random::Random,
    scenario::Scenario,
    watched::{Kind, Watched},
    workload::{self, Workload},
};

/// Longest frame a client takes, in bytes.
const FRAME_LEN_BYTES_MAX: usize = 1 << 20;

/// Session timeout that clients ask for, in milliseconds.
const TIMEOUT_MS: i32 = 6000;

/// A client that hears nothing for this long looks for another member, in microseconds.
pub(crate) const PATIENCE_US: u64 = 4_000_000;

/// A client that asks nothing for this long pings, in microseconds.
const PING_AFTER_US: u64 = 1_500_000;

/// Requests that a client lets wait for their answers before it asks for more.
pub(crate) const UNANSWERED_MAX: usize = 64;

/// Bits of a client's number in its values.
const NAME_BITS: u32 = 8;

/// The xids of pings, of events, of watches set again, and of proofs.
const PING_XID: Xid = Xid(-2);
const EVENT_XID: Xid = Xid(-1);
const SET_WATCHES_XID: Xid = Xid(-8);
const AUTH_XID: Xid = Xid(-4);

/// A request on its way.
#[derive(Debug)]
struct Asked {
    xid: Xid,
    request: Request,
    /// What anybody had been acknowledged when it was asked.
    known: Zxid,
    at_us: u64,
}

/// A connection, as its client has it.
pub(crate) struct Link {
    /// Its number, never used twice by a client.
    pub(crate) number: u64,
    /// Where it leads.
    pub(crate) home: ServerId,
    /// The member's end, once it has arrived there.
    pub(crate) connection: Option<Arc<Connection>>,
    is_greeted: bool,
    /// Its member serves reads only.
    is_read_only: bool,
    /// Who it proves to be, first of all.
    user: Who,
    buffer: BytesMut,
    asked: VecDeque<Asked>,
    /// Frames on their way to the member, and bytes on their way back.
    pub(crate) outgoing: VecDeque<Vec<Bytes>>,
    pub(crate) incoming: VecDeque<(BytesMut, bool)>,
    /// When the last of each arrives, in microseconds.
    pub(crate) last_us: (u64, u64),
    heard_us: u64,
    sent_us: u64,
    is_closing: bool,
}

/// One client.
pub(crate) struct Client {
    pub(crate) number: usize,
    /// Whether it only asks for what is new.
    is_reader: bool,
    /// Whether it takes a member that serves reads only.
    is_content_with_reads: bool,
    local_sessions: LocalSessions,
    pub(crate) link: Option<Link>,
    session: Option<(SessionId, Bytes)>,
    links: u64,
    next_xid: i32,
    next_value: u64,
    /// Names that it has written under before this one.
    names: u64,
    /// Whether every burst ends with a write that nothing refuses.
    pub(crate) is_probing: bool,
    /// The newest txn that its session has seen.
    seen: Zxid,
    watched: Watched,
}

/// What a client has learned, for the run's figures.
#[derive(Clone, Debug, Default)]
pub(crate) struct Learned {
    /// Operations answered, and with what error.
    pub(crate) outcomes: Vec<(OpCode, i32)>,
    /// Answers judged.
    pub(crate) answers: u64,
    /// What a member grants it.
    pub(crate) service: Option<&'static str>,
    /// Events judged.
    pub(crate) events: u64,
    /// The newest write it was acknowledged.
    pub(crate) acknowledged: Option<Zxid>,
    /// Sessions that were over when it came back.
    pub(crate) expired: u64,
}

impl Client {
    pub(crate) fn new(number: usize, scenario: &Scenario) -> Self {
        Self {
            number,
            is_reader: number < scenario.readers,
            is_content_with_reads: scenario.has_read_only && number % 3 != 1,
            local_sessions: scenario.local_sessions,
            link: None,
            session: None,
            links: 0,
            next_xid: 1,
            next_value: (number as u64 + 1) << VALUE_BITS,
            names: 0,
            is_probing: false,
            seen: Zxid::ZERO,
            watched: Watched::default(),
        }
    }

    fn name(&self) -> String {
        let session = self.session.as_ref().map_or(SessionId::NONE, |(session, _)| *session);
        format!("client {} ({session})", self.number)
    }

    pub(crate) fn session(&self) -> Option<SessionId> {
        self.session.as_ref().map(|(session, _)| *session)
    }

    pub(crate) fn watch_count(&self) -> usize {
        self.watched.iter().count()
    }

    /// Returns whether it waits for no answer.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.link.as_ref().is_none_or(|link| link.is_greeted && link.asked.is_empty())
    }

    /// Opens a connection: the frame with which it begins.
    pub(crate) fn dial(&mut self, home: ServerId, now_us: u64) -> Bytes {
        self.links += 1;
        self.link = Some(Link {
            number: self.links,
            home,
            connection: None,
            is_greeted: false,
            is_read_only: false,
            user: access::user_of(self.links + self.number as u64),
            buffer: BytesMut::new(),
            asked: VecDeque::new(),
            outgoing: VecDeque::new(),
            incoming: VecDeque::new(),
            last_us: (now_us, now_us),
            heard_us: now_us,
            sent_us: now_us,
            is_closing: false,
        });
        let (session, password) = self
            .session
            .clone()
            .map_or((SessionId::NONE, None), |(session, password)| (session, Some(password)));
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: self.seen,
            timeout_ms: TIMEOUT_MS,
            session,
            password,
            read_only: Some(self.is_content_with_reads),
        };
        let mut bytes = Vec::new();
        request.encode(&mut bytes);
        bytes.into()
    }

    /// The connection is gone; what was on its way has become uncertain.
    pub(crate) fn hang_up(&mut self) {
        self.link = None;
    }

    /// Draws what to send now; empty when there is nothing.
    pub(crate) fn think(
        &mut self,
        random: &mut Random,
        burst: u64,
        known: Zxid,
        now_us: u64,
        is_quiet: bool,
    ) -> Vec<Bytes> {
        let Some(link) = &self.link else { return Vec::new() };
        let waits_us = now_us.saturating_sub(link.heard_us);
        let is_waiting = !link.is_greeted || !link.asked.is_empty();
        if is_waiting && waits_us > PATIENCE_US {
            self.hang_up();
            return Vec::new();
        }
        if !link.is_greeted || link.is_closing || link.asked.len() > UNANSWERED_MAX {
            return Vec::new();
        }
        let sent_us = link.sent_us;
        if is_quiet {
            let is_due = now_us.saturating_sub(sent_us) > PING_AFTER_US;
            return if is_due { vec![self.ask(Request::Ping, known, now_us)] } else { Vec::new() };
        }
        if random.below(500) == 0 {
            return vec![self.ask(Request::CloseSession, known, now_us)];
        }
        let count = 1 + random.below(burst);
        let mut frames = Vec::new();
        for _ in 0..count {
            let mut workload = Workload { random, next_value: &mut self.next_value };
            let request = if self.is_reader { workload.look() } else { workload.request() };
            frames.push(self.ask(request, known, now_us));
        }
        if self.is_probing {
            for request in (Workload { random, next_value: &mut self.next_value }).probe() {
                frames.push(self.ask(request, known, now_us));
            }
        }
        frames
    }

    fn ask(&mut self, request: Request, known: Zxid, now_us: u64) -> Bytes {
        let xid = match request {
            Request::Ping => PING_XID,
            Request::SetWatches { .. } | Request::SetWatches2 { .. } => SET_WATCHES_XID,
            Request::Auth { .. } => AUTH_XID,
            _ => {
                self.next_xid += 1;
                Xid(self.next_xid)
            }
        };
        let mut bytes = Vec::new();
        RequestHeader { xid, opcode: request.opcode().to_wire() }.encode(&mut bytes);
        request.encode(&mut bytes);
        let link = self.link.as_mut().expect("a client that asks is connected");
        link.is_closing = request == Request::CloseSession;
        link.sent_us = now_us;
        if link.asked.is_empty() {
            link.heard_us = now_us;
        }
        let (client, number) = (self.number, link.number);
        tracing::debug!(now_us, client, link = number, xid = xid.0, ?request, "asked");
        link.asked.push_back(Asked { xid, request, known, at_us: now_us });
        bytes.into()
    }

    /// Takes what has arrived, judges it, and returns what it sends at once.
    pub(crate) fn hear(
        &mut self,
        ledger: &Ledger,
        bytes: &[u8],
        is_last: bool,
        now_us: u64,
        learned: &mut Learned,
    ) -> Vec<Bytes> {
        let mut frames = Vec::new();
        let Some(link) = &mut self.link else { return frames };
        link.heard_us = now_us;
        link.buffer.extend_from_slice(bytes);
        while let Some(link) = &mut self.link {
            let frame = frame::decode_frame(&mut link.buffer, FRAME_LEN_BYTES_MAX);
            let Some(frame) = frame.expect("a member sends frames") else { break };
            if link.is_greeted {
                self.on_frame(ledger, frame, now_us, learned);
            } else {
                self.on_greeting(ledger, frame, now_us, learned, &mut frames);
            }
        }
        if is_last {
            self.hang_up();
        }
        frames
    }

    fn on_greeting(
        &mut self,
        ledger: &Ledger,
        frame: Bytes,
        now_us: u64,
        learned: &mut Learned,
        frames: &mut Vec<Bytes>,
    ) {
        let greeting = ConnectResponse::decode(frame).expect("a member greets");
        if greeting.timeout_ms == 0 {
            let session = self.session().expect("a new session is granted");
            // What was a member's alone ends with it, and no other knows it.
            let is_over = ledger.model.closed_at(session).is_some()
                || self.may_be_local() && !ledger.model.was_opened(session);
            assert!(is_over, "{}: its session is refused and was never closed", self.name());
            learned.expired += 1;
            if !ledger.model.was_opened(session) {
                self.begin_values();
            }
            self.forget_session();
            self.hang_up();
            return;
        }
        match self.session() {
            Some(session) => assert_eq!(session, greeting.session, "another session is granted"),
            None => {
                self.session = Some((greeting.session, greeting.password.unwrap_or_default()));
            }
        }
        let link = self.link.as_mut().expect("it was greeted");
        link.is_greeted = true;
        link.is_read_only = greeting.read_only == Some(true);
        assert!(!link.is_read_only || self.is_content_with_reads, "it did not ask for reads only");
        let what = match (link.is_read_only, ledger.model.was_opened(greeting.session)) {
            (true, _) => "reads only",
            (false, true) => "everything",
            (false, false) => "everything, by a session of its member",
        };
        learned.service = Some(what);
        if let Some(user) = link.user {
            frames.push(self.ask(user.auth(), Zxid::ZERO, now_us));
        }
        if self.watched.begin_again() {
            let again = workload::set_watches(&self.watched, self.seen);
            frames.push(self.ask(again, Zxid::ZERO, now_us));
        }
    }

    /// Returns whether a session of its may be known to a single member.
    fn may_be_local(&self) -> bool {
        self.is_content_with_reads || self.local_sessions != LocalSessions::Off
    }

    /// Judges what a member says that cannot order anything, or not for this session. Returns whether
    /// that was it.
    fn is_refused(&mut self, ledger: &Ledger, request: &Request, header: &ReplyHeader) -> bool {
        let session = self.session().expect("it has asked");
        let (who, model) = (self.name(), &ledger.model);
        let link = self.link.as_mut().expect("it was heard");
        let is_change = !is_read(request) && !is_members_own(request);
        let is_local_end = *request == Request::CloseSession && header.error == 0;
        if link.is_read_only && is_change && !is_local_end {
            let expected = ErrorCode::NotReadOnly.to_wire();
            assert_eq!(header.error, expected, "{who}: {request:?} of a member without a leader");
            // It may have been the end of its session, which goes on.
            link.is_closing = false;
        } else if header.error == ErrorCode::EphemeralOnLocalSession.to_wire() {
            let is_right = self.local_sessions != LocalSessions::Off
                && !model.was_opened(session)
                && workload::creates_ephemeral(request);
            assert!(is_right, "{who}: {request:?} is no business of a local session");
        } else {
            let is_end = is_local_end && self.may_be_local() && !model.was_opened(session);
            if is_end {
                self.begin_values();
                self.forget_session();
            }
            return is_end;
        }
        assert!(header.zxid >= self.seen, "{who}: 0x{} after 0x{}", header.zxid, self.seen);
        self.seen = header.zxid;
        true
    }

    /// Writes under a new name. What a session that only its member knew has on the way may still take effect
    /// when the client has begun another elsewhere: the two are in no order.
    const fn begin_values(&mut self) {
        self.names += 1;
        self.next_value = (self.names << NAME_BITS | (self.number as u64 + 1)) << VALUE_BITS;
    }

    fn forget_session(&mut self) {
        self.session = None;
        self.watched.clear();
        // A new session has seen nothing, but its client has: it must not go back.
    }

    fn on_frame(&mut self, ledger: &Ledger, frame: Bytes, now_us: u64, learned: &mut Learned) {
        let mut reader = Reader::new(frame);
        let header = ReplyHeader::decode(&mut reader).expect("a member replies");
        let (who, model, client) = (self.name(), &ledger.model, self.number);
        let link = self.link.as_mut().expect("it was heard");
        let (user, number) = (link.user, link.number);
        let (xid, zxid, error) = (header.xid.0, header.zxid, header.error);
        tracing::debug!(now_us, client, link = number, xid, %zxid, error, "told");
        if header.xid == EVENT_XID {
            let event = WatchEvent::decode(&mut reader).expect("an event");
            self.watched.on_event(&who, user, model, &event);
            learned.events += 1;
            return;
        }
        let asked = link.asked.pop_front().expect("what is answered was asked");
        let Asked { xid, request, known, at_us } = asked;
        assert_eq!(header.xid, xid, "{who}: session order: the answer to another than {request:?}");
        assert!(at_us <= now_us, "answered before it was asked");
        learned.answers += 1;
        let opcode = request.opcode();
        learned.outcomes.push((opcode, header.error));
        // A multi that failed tells of every operation; one that was refused as a whole does not.
        let has_body = header.error == 0 || opcode == OpCode::Multi && reader.remaining() > 0;
        let body =
            has_body.then(|| Response::decode(opcode, reader.into_rest()).expect("a reply's body"));
        if matches!(request, Request::Auth { .. } | Request::Sasl { .. }) {
            assert_eq!((header.zxid, header.error), (Zxid::ZERO, 0), "{who}: {request:?}");
            return;
        }
        if self.is_refused(ledger, &request, &header) {
            return;
        }
        self.check_order(&who, ledger, &header, &request, known);
        match &request {
            Request::Ping => {}
            Request::WhoAmI => {
                let told = body.and_then(|body| match body {
                    Response::WhoAmI(told) => Some(told),
                    _ => None,
                });
                assert_eq!(told, Some(access::told(user)), "{who}: {request:?}");
            }
            Request::Reconfig { .. } => {
                let expected = ErrorCode::ReconfigDisabled.to_wire();
                assert_eq!(header.error, expected, "{who}: {request:?}");
            }
            Request::CheckWatches { path, .. } => {
                let is_own = self.watched.is_lasting(path.as_str().expect("a path"));
                let no_watcher = ErrorCode::NoWatcher.to_wire();
                let is_right = header.error == 0 || header.error == no_watcher && !is_own;
                assert!(is_right, "{who}: {request:?} is answered with {}", header.error);
            }
            Request::GetEphemerals { .. } => {
                self.check_ephemerals(&who, ledger, &header, body.as_ref());
            }
            Request::Sync { .. } => assert_eq!(header.error, 0, "{who}: {request:?}"),
            Request::SetWatches { relative_zxid, .. }
            | Request::SetWatches2 { relative_zxid, .. } => {
                self.watched.set_again(&who, model, *relative_zxid, header.zxid);
            }
            Request::CloseSession => self.forget_session(),
            Request::AddWatch { .. } | Request::RemoveWatches { .. } => {}
            request if is_read(request) => {
                judge::read(model, &who, user, request, &header, body.as_ref());
            }
            request => {
                judge::write(ledger, &who, user, request, &header, body.as_ref());
                if header.error != ErrorCode::SystemError.to_wire() {
                    learned.acknowledged = Some(header.zxid);
                }
            }
        }
        self.note_watch(ledger, &request, &header);
    }

    /// A session never goes back; what is ordered comes behind what anybody knew before it was asked;
    /// and nothing is shown before the events that tell of it.
    fn check_order(
        &mut self,
        who: &str,
        ledger: &Ledger,
        header: &ReplyHeader,
        request: &Request,
        known: Zxid,
    ) {
        let at = header.zxid;
        if header.error == ErrorCode::SystemError.to_wire() {
            return;
        }
        assert!(at >= self.seen, "{who}: 0x{at} after 0x{}, {request:?}", self.seen);
        assert!(ledger.contains(at), "{who} sees 0x{at}, which nobody has delivered");
        let is_ordered = matches!(request, Request::Sync { .. }) || !is_read(request);
        if is_ordered && !is_members_own(request) {
            assert!(
                at >= known,
                "linearizability: {who} is answered 0x{at} for {request:?}, 0x{known} was known"
            );
        }
        self.seen = at;
        let is_set_again = matches!(
            request,
            Request::SetWatches { .. } | Request::SetWatches2 { .. } | Request::CloseSession
        );
        if !is_set_again {
            let user = self.link.as_ref().and_then(|link| link.user);
            self.watched.check_told(who, user, &ledger.model, at);
        }
    }

    fn check_ephemerals(
        &self,
        who: &str,
        ledger: &Ledger,
        header: &ReplyHeader,
        body: Option<&Response>,
    ) {
        let Some(Response::Ephemerals(paths)) = body else { panic!("{who}: {header:?}") };
        let found: BTreeSet<&str> =
            paths.iter().map(|path| path.as_str().expect("a path")).collect();
        let session = self.session().expect("it has asked");
        let expected = ledger.model.ephemerals(session, header.zxid);
        assert_eq!(found, expected, "{who}: its ephemerals at 0x{}", header.zxid);
    }

    fn note_watch(&mut self, ledger: &Ledger, request: &Request, header: &ReplyHeader) {
        let is_found = header.error == 0;
        let kind = match request {
            Request::Exists { watch: true, .. } if is_found => Kind::Data,
            Request::Exists { watch: true, .. } => Kind::Exist,
            Request::GetData { watch: true, .. } if is_found => Kind::Data,
            Request::GetChildren { watch: true, .. }
            | Request::GetChildren2 { watch: true, .. }
                if is_found =>
            {
                Kind::Child
            }
            Request::AddWatch { mode: 0, .. } if is_found => Kind::Persistent,
            Request::AddWatch { mode: 1, .. } if is_found => Kind::Recursive,
            Request::RemoveWatches { path, .. } if is_found => {
                return self.watched.remove(path.as_str().expect("a path"));
            }
            _ => return,
        };
        let (Request::Exists { path, .. }
        | Request::GetData { path, .. }
        | Request::GetChildren { path, .. }
        | Request::GetChildren2 { path, .. }
        | Request::AddWatch { path, .. }) = request
        else {
            return;
        };
        let path = path.as_str().expect("a path");
        self.watched.arm(&ledger.model, path, kind, header.zxid);
    }
}

/// Returns whether a member answers without asking anybody, and not from its tree.
const fn is_members_own(request: &Request) -> bool {
    matches!(
        request,
        Request::Ping
            | Request::WhoAmI
            | Request::AddWatch { .. }
            | Request::RemoveWatches { .. }
            | Request::CheckWatches { .. }
            | Request::Reconfig { .. }
            | Request::SetWatches { .. }
            | Request::SetWatches2 { .. }
    )
}

const fn is_read(request: &Request) -> bool {
    matches!(
        request,
        Request::GetData { .. }
            | Request::Exists { .. }
            | Request::GetChildren { .. }
            | Request::GetChildren2 { .. }
            | Request::GetAcl { .. }
            | Request::GetAllChildrenNumber { .. }
            | Request::GetEphemerals { .. }
            | Request::MultiRead(_)
    )
}
