//! The session without IO, against a server that the test plays.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

use bytes::{Bytes, BytesMut};
use conclave_client::{
    ClientError, SessionState, WatchKind,
    session::{Output, RequestId, SET_WATCHES_LEN_BYTES_MAX, Session, Settings, WatchRequest},
    watch::WatchId,
};
use conclave_protocol::{
    code::ErrorCode,
    connect::{ConnectRequest, ConnectResponse},
    event::{EventKind, KeeperState, WatchEvent},
    frame::{decode_frame, put_frame},
    ids::{SessionId, Xid},
    jute::Reader,
    multi::Op,
    opcode::OpCode,
    request::{Request, RequestHeader},
    response::{ReplyHeader, Response},
    stat::Stat,
    zxid::Zxid,
};
use proptest::prelude::*;

const TIMEOUT_MS: u32 = 9000;
const SESSION: SessionId = SessionId(0x0100_0000_0000_0007);
const PASSWORD: [u8; 16] = *b"0123456789abcdef";

/// A session with the outputs it has given, taken apart.
struct World {
    session: Session,
    now_ms: u64,
    written: BytesMut,
    completed: Vec<(RequestId, Result<Response, ClientError>)>,
    events: Vec<(WatchId, EventKind, String)>,
    unwatched: Vec<WatchId>,
    gaps: Vec<WatchId>,
    states: Vec<SessionState>,
    disconnects: usize,
    zxid: u64,
}

impl World {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings {
            session_timeout_ms: TIMEOUT_MS,
            frame_len_bytes_max: 1 << 20,
            request_len_bytes_max: 1 << 20,
            read_only: false,
            host_count: 1,
        };
        change(&mut settings);
        Self {
            session: Session::new(settings),
            now_ms: 1000,
            written: BytesMut::new(),
            completed: Vec::new(),
            events: Vec::new(),
            unwatched: Vec::new(),
            gaps: Vec::new(),
            states: Vec::new(),
            disconnects: 0,
            zxid: 0,
        }
    }

    fn connected() -> Self {
        let mut world = Self::new();
        world.connect();
        world
    }

    fn settle(&mut self) {
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Write(bytes) => self.written.extend_from_slice(&bytes),
                Output::Disconnect => self.disconnects += 1,
                Output::Complete { id, result } => self.completed.push((id, result)),
                Output::Event { watch, event } => {
                    let path = event.path.as_str().unwrap().to_owned();
                    self.events.push((watch, event.kind, path));
                }
                Output::Gap(watch) => self.gaps.push(watch),
                Output::Unwatched(watch) => self.unwatched.push(watch),
                Output::State(state) => self.states.push(state),
            }
        }
    }

    /// The client's side of a handshake; returns what it asked.
    fn greet(&mut self) -> ConnectRequest {
        self.session.connected(self.now_ms);
        self.settle();
        let frame = decode_frame(&mut self.written, 1 << 20).unwrap().unwrap();
        assert!(self.written.is_empty(), "nothing follows the connect request unasked");
        ConnectRequest::decode(frame).unwrap()
    }

    fn connect(&mut self) -> ConnectRequest {
        let request = self.greet();
        self.grant(TIMEOUT_MS as i32, SESSION);
        request
    }

    fn grant(&mut self, timeout_ms: i32, session: SessionId) {
        self.grant_as(timeout_ms, session, false);
    }

    fn grant_read_only(&mut self) {
        self.grant_as(TIMEOUT_MS as i32, SESSION, true);
    }

    fn grant_as(&mut self, timeout_ms: i32, session: SessionId, read_only: bool) {
        let response = ConnectResponse {
            protocol_version: 0,
            timeout_ms,
            session,
            password: Some(Bytes::copy_from_slice(&PASSWORD)),
            read_only: Some(read_only),
        };
        let mut out = BytesMut::new();
        put_frame(&mut out, |out| response.encode(out));
        self.receive(&out);
    }

    fn receive(&mut self, bytes: &[u8]) {
        self.session.received(bytes, self.now_ms);
        self.settle();
    }

    fn lose(&mut self) {
        self.session.disconnected(self.now_ms);
        self.settle();
        self.written.clear();
    }

    fn pass(&mut self, ms: u64) {
        self.now_ms += ms;
        self.session.tick(self.now_ms);
        self.settle();
    }

    fn submit(&mut self, request: Request) -> RequestId {
        let id = self.session.submit(request, None);
        self.settle();
        id
    }

    fn submit_watch(&mut self, request: Request, id: u64, kind: WatchKind, path: &str) {
        let watch = WatchRequest { id: WatchId(id), kind, path: path.to_owned() };
        self.session.submit(request, Some(watch));
        self.settle();
    }

    /// Arms a watch by a request that the server answers.
    fn arm(&mut self, id: u64, kind: WatchKind, path: &str) {
        let (request, answer) = match kind {
            WatchKind::Data => (get_data(path, true), Ok(data())),
            WatchKind::Exist => (exists(path), Err(ErrorCode::NoNode)),
            WatchKind::Child => (get_children(path), Ok(children())),
            WatchKind::Persistent => (add_watch(path, 0), Ok(Response::AddWatch { error: 0 })),
            WatchKind::Recursive => (add_watch(path, 1), Ok(Response::AddWatch { error: 0 })),
        };
        self.submit_watch(request, id, kind, path);
        self.answer_all(answer);
    }

    /// Returns what was written since, as a server reads it, and the length of each frame.
    fn requests(&mut self) -> Vec<(Xid, Request, usize)> {
        let mut requests = Vec::new();
        while let Some(frame) = decode_frame(&mut self.written, 4 << 20).unwrap() {
            let len = frame.len();
            let mut reader = Reader::new(frame);
            let header = RequestHeader::decode(&mut reader).unwrap();
            let opcode = OpCode::from_wire(header.opcode).unwrap();
            let request = Request::decode(opcode, reader.into_rest()).unwrap();
            requests.push((header.xid, request, len));
        }
        assert!(self.written.is_empty(), "whole frames are written");
        requests
    }

    fn reply(&mut self, xid: Xid, answer: Result<Response, ErrorCode>) {
        self.zxid += 1;
        let mut out = BytesMut::new();
        let error = answer.as_ref().err().map_or(0, |code| code.to_wire());
        put_frame(&mut out, |out| {
            ReplyHeader { xid, zxid: Zxid(self.zxid), error }.encode(out);
            if let Ok(response) = &answer {
                response.encode(out);
            }
        });
        self.receive(&out);
    }

    fn answer_all(&mut self, answer: Result<Response, ErrorCode>) {
        for (xid, ..) in self.requests() {
            self.reply(xid, answer.clone());
        }
    }

    fn event(&mut self, kind: EventKind, path: &str) {
        let event = WatchEvent { kind, state: KeeperState::SyncConnected, path: path.into() };
        let mut out = BytesMut::new();
        put_frame(&mut out, |out| {
            ReplyHeader { xid: Xid::EVENT, zxid: Zxid::NONE, error: 0 }.encode(out);
            event.encode(out);
        });
        self.receive(&out);
    }

    fn results(&mut self) -> Vec<Result<Response, ClientError>> {
        std::mem::take(&mut self.completed).into_iter().map(|(_, result)| result).collect()
    }
}

fn get_data(path: &str, watch: bool) -> Request {
    Request::GetData { path: path.into(), watch }
}

fn exists(path: &str) -> Request {
    Request::Exists { path: path.into(), watch: true }
}

fn get_children(path: &str) -> Request {
    Request::GetChildren2 { path: path.into(), watch: true }
}

fn add_watch(path: &str, mode: i32) -> Request {
    Request::AddWatch { path: path.into(), mode }
}

fn auth(data: &str) -> Request {
    let data = Some(Bytes::copy_from_slice(data.as_bytes()));
    Request::Auth { kind: 0, scheme: "digest".into(), data }
}

fn data() -> Response {
    Response::Data { data: Some(Bytes::from_static(b"x")), stat: Stat::default() }
}

fn children() -> Response {
    Response::Children2 { children: Vec::new(), stat: Stat::default() }
}

#[test]
fn a_new_session_asks_for_none_and_is_connected_by_the_answer() {
    let mut world = World::new();
    let request = world.connect();
    assert_eq!((request.session, request.last_zxid_seen), (SessionId::NONE, Zxid::ZERO));
    assert_eq!(request.timeout_ms, TIMEOUT_MS as i32);
    assert_eq!(world.states, [SessionState::Connected]);
    assert_eq!(world.session.id(), SESSION);
}

#[test]
fn a_lost_connection_is_taken_up_with_session_password_and_last_zxid() {
    let mut world = World::connected();
    world.zxid = 40;
    world.submit(get_data("/a", false));
    world.answer_all(Ok(data()));
    world.lose();
    assert_eq!(world.states.last(), Some(&SessionState::Disconnected));
    let request = world.connect();
    assert_eq!(request.session, SESSION);
    assert_eq!(request.password.as_deref(), Some(&PASSWORD[..]));
    assert_eq!(request.last_zxid_seen, Zxid(41));
    assert_eq!(world.states.last(), Some(&SessionState::Connected));
}

#[test]
fn negative_zxids_are_not_seen() {
    let mut world = World::connected();
    world.submit(get_data("/a", false));
    let (xid, ..) = world.requests().remove(0);
    world.zxid = (-6_i64) as u64;
    world.reply(xid, Ok(data()));
    assert_eq!(world.session.last_zxid(), Zxid::ZERO);
}

#[test]
fn what_is_submitted_before_the_connection_is_sent_in_order_after_the_greeting() {
    let mut world = World::new();
    world.submit(get_data("/a", false));
    world.submit(get_data("/b", false));
    world.connect();
    let requests: Vec<_> = world.requests().into_iter().map(|(_, request, _)| request).collect();
    assert_eq!(requests, [get_data("/a", false), get_data("/b", false)]);
}

#[test]
fn pings_go_out_at_a_third_of_the_granted_timeout_when_nothing_else_does() {
    let mut world = World::new();
    world.greet();
    world.grant(3000, SESSION);
    world.pass(999);
    assert_eq!(world.requests(), []);
    world.pass(1);
    let requests = world.requests();
    assert_eq!((requests.len(), requests[0].0, &requests[0].1), (1, Xid::PING, &Request::Ping));
    world.reply(Xid::PING, Ok(Response::Empty));
    world.pass(600);
    world.submit(get_data("/a", false));
    world.answer_all(Ok(data()));
    world.pass(600);
    assert_eq!(world.requests(), [], "a request is as good as a ping");
    world.pass(400);
    assert_eq!(world.requests().len(), 1);
}

#[test]
fn a_silent_connection_is_given_up_at_two_thirds_of_the_timeout() {
    let mut world = World::connected();
    let id = world.submit(get_data("/a", false));
    world.pass(5999);
    assert_eq!(world.disconnects, 0);
    world.pass(1);
    assert_eq!(world.disconnects, 1);
    assert_eq!(world.completed, [(id, Err(ClientError::ConnectionLoss))]);
    assert_eq!(world.states.last(), Some(&SessionState::Disconnected));
}

#[test]
fn bytes_of_an_unfinished_reply_are_a_sign_of_life() {
    let mut world = World::connected();
    world.submit(get_data("/a", false));
    world.receive(&100_u32.to_be_bytes());
    for _ in 0..5 {
        world.pass(5000);
        world.receive(&[0]);
    }
    assert_eq!(world.disconnects, 0);
}

#[test]
fn a_server_that_does_not_greet_has_the_less_time_the_more_others_there_are() {
    for (host_count, most_ms) in [(1, 6000), (3, 2000), (1000, 200)] {
        let mut world = World::with(|settings| settings.host_count = host_count);
        world.greet();
        world.pass(most_ms - 1);
        assert_eq!(world.disconnects, 0);
        world.pass(1);
        assert_eq!(world.disconnects, 1);
    }
}

#[test]
fn what_was_in_flight_when_the_connection_broke_fails_and_the_rest_waits() {
    let mut world = World::connected();
    let lost = [world.submit(get_data("/a", false)), world.submit(get_data("/b", false))];
    world.lose();
    let loss = Err(ClientError::ConnectionLoss);
    assert_eq!(world.completed, lost.map(|id| (id, loss.clone())));
    world.completed.clear();
    world.submit(get_data("/c", false));
    assert_eq!(world.completed, []);
    world.connect();
    assert_eq!(world.requests()[0].1, get_data("/c", false), "what was lost is not repeated");
}

#[test]
fn answers_come_to_their_requests_also_when_they_come_in_pieces() {
    let mut world = World::connected();
    let ids = [world.submit(get_data("/a", false)), world.submit(exists("/b"))];
    let xids: Vec<Xid> = world.requests().into_iter().map(|(xid, ..)| xid).collect();
    let mut out = BytesMut::new();
    for (xid, error) in xids.into_iter().zip([0, ErrorCode::NoNode.to_wire()]) {
        put_frame(&mut out, |out| {
            ReplyHeader { xid, zxid: Zxid(1), error }.encode(out);
            if error == 0 {
                data().encode(out);
            }
        });
    }
    for byte in out {
        world.receive(&[byte]);
    }
    assert_eq!(world.completed, [(ids[0], Ok(data())), (ids[1], Err(ClientError::NoNode))]);
}

#[test]
fn a_reply_out_of_order_closes_the_connection_and_leaves_no_caller_waiting() {
    let mut world = World::connected();
    let ids = [world.submit(get_data("/a", false)), world.submit(get_data("/b", false))];
    let second = world.requests()[1].0;
    world.reply(second, Ok(data()));
    assert_eq!(world.disconnects, 1);
    let loss = Err(ClientError::ConnectionLoss);
    assert_eq!(world.completed, ids.map(|id| (id, loss.clone())));
}

#[test]
fn a_reply_that_nobody_asked_for_closes_the_connection() {
    let mut world = World::connected();
    world.reply(Xid(1), Ok(data()));
    assert_eq!((world.disconnects, world.results()), (1, vec![]));
}

#[test]
fn a_malformed_answer_closes_the_connection_and_is_told() {
    let mut world = World::connected();
    world.submit(get_data("/a", false));
    let (xid, ..) = world.requests().remove(0);
    world.reply(xid, Ok(Response::Empty));
    assert_eq!(world.results(), [Err(ClientError::Malformed)]);
    assert_eq!(world.disconnects, 1);
}

#[test]
fn a_reply_beyond_the_limit_closes_the_connection_before_it_has_come() {
    let mut world = World::with(|settings| settings.frame_len_bytes_max = 1000);
    world.connect();
    world.receive(&1001_u32.to_be_bytes());
    assert_eq!(world.disconnects, 1);
}

#[test]
fn a_request_beyond_the_limit_is_refused_and_not_sent() {
    let mut world = World::with(|settings| settings.request_len_bytes_max = 100);
    world.connect();
    world.submit(get_data(&format!("/{}", "x".repeat(100)), false));
    world.submit(get_data("/a", false));
    assert_eq!(world.requests().len(), 1);
    assert_eq!(world.results(), [Err(ClientError::TooLong(114))]);
}

#[test]
fn expired_is_final() {
    let mut world = World::connected();
    world.lose();
    let waiting = world.submit(get_data("/a", false));
    world.greet();
    world.grant(0, SessionId::NONE);
    assert_eq!(world.states.last(), Some(&SessionState::Expired));
    assert_eq!(world.disconnects, 1);
    assert_eq!(world.completed, [(waiting, Err(ClientError::SessionExpired))]);
    world.completed.clear();
    let late = world.submit(get_data("/b", false));
    assert_eq!(world.completed, [(late, Err(ClientError::SessionExpired))]);
    world.lose();
    world.pass(100_000);
    world.grant(9000, SESSION);
    assert_eq!(world.session.state(), SessionState::Expired);
    assert!(world.written.is_empty());
}

#[test]
fn closing_is_answered_and_final() {
    let mut world = World::connected();
    world.submit(Request::CloseSession);
    let late = world.submit(get_data("/a", false));
    assert_eq!(world.completed, [(late, Err(ClientError::Closed))]);
    world.answer_all(Ok(Response::Empty));
    assert_eq!(world.results()[1], Ok(Response::Empty));
    assert_eq!((world.session.state(), world.disconnects), (SessionState::Closed, 1));
}

#[test]
fn a_connection_that_breaks_while_closing_closes() {
    let mut world = World::connected();
    world.submit(Request::CloseSession);
    world.lose();
    assert_eq!(world.results(), [Ok(Response::Empty)]);
    assert_eq!(world.session.state(), SessionState::Closed);
}

#[test]
fn closing_without_a_connection_does_not_wait_for_one() {
    let mut world = World::new();
    world.submit(get_data("/a", false));
    world.submit(Request::CloseSession);
    assert_eq!(world.results(), [Err(ClientError::Closed), Ok(Response::Empty)]);
    assert_eq!(world.session.state(), SessionState::Closed);
    // Nor when the connection breaks before the server has greeted.
    let mut world = World::new();
    world.greet();
    world.submit(Request::CloseSession);
    assert_eq!(world.results(), []);
    world.lose();
    assert_eq!(world.results(), [Ok(Response::Empty)]);
}

#[test]
fn identities_are_proved_again_before_anything_else() {
    let mut world = World::connected();
    world.submit(auth("a:b"));
    world.submit(auth("a:b"));
    world.submit(auth("c:d"));
    assert!(world.requests().iter().all(|(xid, ..)| *xid == Xid::AUTH));
    world.lose();
    world.arm(1, WatchKind::Data, "/a");
    world.connect();
    let sent: Vec<_> = world.requests().into_iter().map(|(_, request, _)| request).collect();
    assert_eq!(sent, [auth("a:b"), auth("c:d"), get_data("/a", true)]);
}

#[test]
fn an_identity_that_waits_for_the_first_connection_is_proved_once() {
    let mut world = World::new();
    world.submit(auth("a:b"));
    world.connect();
    let sent: Vec<_> = world.requests().into_iter().map(|(_, request, _)| request).collect();
    assert_eq!(sent, [auth("a:b")]);
}

#[test]
fn a_refused_identity_ends_the_session() {
    let mut world = World::connected();
    world.submit(auth("a:b"));
    let behind = world.submit(get_data("/a", false));
    world.reply(Xid::AUTH, Err(ErrorCode::AuthFailed));
    assert_eq!(world.session.state(), SessionState::AuthFailed);
    assert_eq!(world.completed[1], (behind, Err(ClientError::ConnectionLoss)));
    world.completed.clear();
    world.submit(get_data("/a", false));
    assert_eq!(world.results(), [Err(ClientError::AuthFailed)]);
}

#[test]
fn identities_are_bounded() {
    let mut world = World::connected();
    for number in 0..conclave_client::session::AUTHS_MAX {
        world.submit(auth(&format!("user{number}:x")));
    }
    assert_eq!(world.results(), []);
    world.submit(auth("one:more"));
    assert_eq!(world.results(), [Err(ClientError::Overloaded)]);
}

#[test]
fn watches_are_armed_again_relative_to_what_was_seen() {
    let mut world = World::connected();
    world.arm(1, WatchKind::Data, "/data");
    world.arm(2, WatchKind::Exist, "/exist");
    world.arm(3, WatchKind::Child, "/child");
    let relative_zxid = world.session.last_zxid();
    assert_eq!(relative_zxid, Zxid(3));
    world.lose();
    world.connect();
    let set = Request::SetWatches {
        relative_zxid,
        data: vec!["/data".into()],
        exist: vec!["/exist".into()],
        child: vec!["/child".into()],
    };
    let requests = world.requests();
    assert_eq!((requests.len(), requests[0].0, &requests[0].1), (1, Xid::SET_WATCHES, &set));
    world.event(EventKind::NodeCreated, "/exist");
    world.reply(Xid::SET_WATCHES, Ok(Response::Empty));
    assert_eq!(world.events, [(WatchId(2), EventKind::NodeCreated, "/exist".to_owned())]);
    assert_eq!(world.disconnects, 0);
}

#[test]
fn persistent_watches_are_armed_again_by_the_newer_request() {
    let mut world = World::connected();
    world.arm(1, WatchKind::Persistent, "/p");
    world.arm(2, WatchKind::Recursive, "/r");
    world.lose();
    world.connect();
    let Request::SetWatches2 { persistent, recursive, .. } = world.requests().remove(0).1 else {
        panic!("setWatches2 is sent");
    };
    assert_eq!((persistent, recursive), (vec!["/p".into()], vec!["/r".into()]));
}

#[test]
fn many_watches_are_armed_again_in_chunks() {
    let mut world = World::connected();
    let path = |number: u64| format!("/{number:0>99}");
    for number in 0..5000 {
        world.arm(number, WatchKind::Data, &path(number));
    }
    // One path that is longer than a chunk by itself.
    let long = format!("/{}", "x".repeat(SET_WATCHES_LEN_BYTES_MAX));
    world.arm(5000, WatchKind::Child, &long);
    let seen = world.session.last_zxid();
    world.lose();
    world.connect();
    let requests = world.requests();
    let mut armed = Vec::new();
    for (index, (xid, request, len_bytes)) in requests.iter().enumerate() {
        let Request::SetWatches { relative_zxid, data, exist, child } = request else {
            panic!("{request:?}");
        };
        assert_eq!((*xid, *relative_zxid), (Xid::SET_WATCHES, seen));
        let is_long = !child.is_empty();
        assert!(*len_bytes < 128 << 10 || is_long, "chunk {index} has {len_bytes} bytes");
        assert!(exist.is_empty());
        armed.extend(data.iter().chain(child).map(|path| path.as_str().unwrap().to_owned()));
    }
    let mut expected: Vec<String> = (0..5000).map(path).chain([long]).collect();
    expected.sort();
    armed.sort();
    assert_eq!(armed, expected);
    assert!(requests.len() >= 5, "{} chunks", requests.len());
}

/// Goal: no change is missed by a watch whose setWatches was not answered, though that of another
/// was, by a server that is further than this client has heard.
#[test]
fn a_connection_lost_between_chunks_arms_relative_to_what_was_seen_before() {
    let mut world = World::connected();
    let path = |number: u64| format!("/{number:0>99}");
    for number in 0..2000 {
        world.arm(number, WatchKind::Data, &path(number));
    }
    let seen = world.session.last_zxid();
    world.lose();
    world.connect();
    assert_eq!(world.requests().len(), 2);
    world.zxid = seen.0 + 1000;
    world.reply(Xid::SET_WATCHES, Ok(Response::Empty));
    world.lose();
    assert_eq!(world.connect().last_zxid_seen, seen);
    for (_, request, _) in world.requests() {
        let Request::SetWatches { relative_zxid, .. } = request else { panic!("{request:?}") };
        assert_eq!(relative_zxid, seen);
    }
}

#[test]
fn watches_that_cannot_be_armed_again_end() {
    let mut world = World::connected();
    world.arm(1, WatchKind::Data, "/a");
    world.arm(2, WatchKind::Recursive, "/b");
    world.lose();
    world.connect();
    world.reply(Xid::SET_WATCHES, Err(ErrorCode::MarshallingError));
    world.unwatched.sort();
    assert_eq!(world.unwatched, [WatchId(1), WatchId(2)]);
    assert_eq!(world.session.watches().count(), 0);
}

#[test]
fn a_watch_that_has_fired_is_not_armed_again() {
    let mut world = World::connected();
    world.arm(1, WatchKind::Data, "/a");
    world.event(EventKind::NodeDataChanged, "/a");
    world.lose();
    world.connect();
    assert_eq!(world.requests(), []);
}

#[test]
fn a_refused_request_arms_nothing_but_an_exists_of_nothing_does() {
    let mut world = World::connected();
    world.submit_watch(get_data("/a", true), 1, WatchKind::Data, "/a");
    world.submit_watch(get_children("/a"), 2, WatchKind::Child, "/a");
    world.submit_watch(exists("/a"), 3, WatchKind::Exist, "/a");
    world.answer_all(Err(ErrorCode::NoNode));
    let watches: Vec<_> = world.session.watches().collect();
    assert_eq!(watches, [(WatchKind::Exist, "/a")]);
}

#[test]
fn an_exists_of_a_znode_that_is_there_watches_its_data() {
    let mut world = World::connected();
    world.submit_watch(exists("/a"), 1, WatchKind::Exist, "/a");
    world.answer_all(Ok(Response::Stat(Stat::default())));
    assert_eq!(world.session.watches().collect::<Vec<_>>(), [(WatchKind::Data, "/a")]);
}

#[test]
fn an_event_before_the_answer_that_armed_another_watch_goes_to_the_older_one() {
    let mut world = World::connected();
    world.arm(1, WatchKind::Data, "/a");
    world.submit_watch(get_data("/a", true), 2, WatchKind::Data, "/a");
    world.event(EventKind::NodeDataChanged, "/a");
    world.answer_all(Ok(data()));
    assert_eq!(world.events.len(), 1);
    world.event(EventKind::NodeDataChanged, "/a");
    let heard: Vec<_> = world.events.iter().map(|(watch, ..)| *watch).collect();
    assert_eq!(heard, [WatchId(1), WatchId(2)]);
}

#[test]
fn removed_watches_end_by_what_they_watch() {
    // The number asked, and the watches of 1 data, 2 exist, 3 child, 4 persistent, 5 recursive left.
    for (kind, left) in [(1, &[1, 2, 4, 5][..]), (2, &[3, 4, 5]), (3, &[])] {
        let mut world = World::connected();
        for (id, watched) in (1..).zip(WatchKind::ALL) {
            world.arm(id, watched, "/a");
        }
        world.arm(6, WatchKind::Data, "/other");
        world.submit(Request::RemoveWatches { path: "/a".into(), kind });
        assert_eq!(world.unwatched, [], "not before the server says so");
        world.answer_all(Ok(Response::Empty));
        let gone: Vec<u64> = world.unwatched.iter().map(|id| id.0).collect();
        let expected: Vec<u64> = (1..=5).filter(|id| !left.contains(id)).collect();
        assert_eq!(gone, expected);
        assert_eq!(world.session.watches().count(), left.len() + 1);
    }
}

#[test]
fn a_removal_that_the_server_refuses_removes_nothing() {
    let mut world = World::connected();
    world.arm(1, WatchKind::Data, "/a");
    world.submit(Request::RemoveWatches { path: "/a".into(), kind: 3 });
    world.answer_all(Err(ErrorCode::NoWatcher));
    assert_eq!((world.unwatched.len(), world.session.watches().count()), (0, 1));
}

fn watch_request(id: u64, kind: WatchKind, path: &str) -> WatchRequest {
    WatchRequest { id: WatchId(id), kind, path: path.to_owned() }
}

#[test]
fn a_watch_is_removed_at_the_server_when_nobody_holds_it_any_more() {
    let mut world = World::connected();
    world.arm(1, WatchKind::Data, "/a");
    world.arm(2, WatchKind::Data, "/a");
    world.session.unwatch(&watch_request(1, WatchKind::Data, "/a"));
    world.settle();
    assert_eq!(world.requests(), [], "another needs it");
    world.session.unwatch(&watch_request(2, WatchKind::Data, "/a"));
    world.settle();
    let (xid, request, _) = world.requests().remove(0);
    assert_eq!(request, Request::RemoveWatches { path: "/a".into(), kind: 3 });
    // Its echo and its answer are nobody's.
    world.event(EventKind::DataWatchRemoved, "/a");
    world.reply(xid, Ok(Response::Empty));
    assert_eq!((world.events.len(), world.unwatched.len()), (0, 0));
    assert_eq!(world.session.watches().count(), 0);
    world.lose();
    world.connect();
    assert_eq!(world.requests(), [], "it is not armed again");
}

#[test]
fn a_watch_that_is_dropped_before_its_answer_is_removed_behind_it() {
    let mut world = World::connected();
    world.submit_watch(get_data("/a", true), 1, WatchKind::Data, "/a");
    world.session.unwatch(&watch_request(1, WatchKind::Data, "/a"));
    world.settle();
    world.answer_all(Ok(data()));
    let (_, request, _) = world.requests().remove(0);
    assert_eq!(request, Request::RemoveWatches { path: "/a".into(), kind: 3 });
    assert_eq!(world.session.watches().count(), 0);
}

#[test]
fn a_watch_that_has_fired_is_not_removed() {
    let mut world = World::connected();
    world.arm(1, WatchKind::Data, "/a");
    world.event(EventKind::NodeDataChanged, "/a");
    world.session.unwatch(&watch_request(1, WatchKind::Data, "/a"));
    world.settle();
    assert_eq!(world.requests(), []);
}

#[test]
fn persistent_watches_hear_of_a_gap_behind_a_new_connection_and_one_shot_ones_do_not() {
    let mut world = World::connected();
    for (id, kind) in (1..).zip(WatchKind::ALL) {
        world.arm(id, kind, "/a");
    }
    world.lose();
    assert_eq!(world.gaps, [], "not before they are armed again");
    world.connect();
    assert_eq!(world.gaps, [WatchId(4), WatchId(5)]);
    let is_armed = matches!(world.requests()[0].1, Request::SetWatches2 { .. });
    assert!(is_armed, "what the callers read comes behind the watches");
}

#[test]
fn an_expired_session_is_followed_by_another_when_asked() {
    let mut world = World::connected();
    world.arm(1, WatchKind::Recursive, "/a");
    world.submit(Request::Auth { kind: 0, scheme: "digest".into(), data: Some("a:b".into()) });
    world.answer_all(Ok(Response::Empty));
    world.lose();
    let seen = world.session.last_zxid();
    world.greet();
    world.grant(0, SessionId::NONE);
    assert_eq!(world.session.state(), SessionState::Expired);
    world.session.renew();
    world.settle();
    assert_eq!(world.unwatched, [WatchId(1)]);
    let asked = world.connect();
    assert_eq!(asked.session, SessionId::NONE);
    assert_eq!(asked.last_zxid_seen, seen, "it does not go back in time");
    let told = world.requests();
    assert!(matches!(told[..], [(_, Request::Auth { .. }, _)]), "{told:?}");
}

/// Goal: the ensemble is not asked for a session that a server has made up when it was alone.
#[test]
fn a_session_of_a_read_only_server_is_not_the_ensembles() {
    let mut world = World::with(|settings| settings.read_only = true);
    world.greet();
    world.grant_read_only();
    world.lose();
    assert_eq!(world.greet().session, SessionId::NONE);
    world.grant(TIMEOUT_MS as i32, SESSION);
    world.lose();
    assert_eq!(world.greet().session, SESSION, "and this one is");
    world.grant_read_only();
    world.lose();
    assert_eq!(world.greet().session, SESSION, "also after a while alone");
}

#[test]
fn a_read_only_server_is_told_apart() {
    let mut world = World::with(|settings| settings.read_only = true);
    assert_eq!(world.greet().read_only, Some(true));
    world.grant_read_only();
    assert_eq!(world.states, [SessionState::ConnectedReadOnly]);
}

#[test]
fn a_greeting_without_a_whole_password_is_not_believed() {
    let mut world = World::new();
    world.greet();
    let response = ConnectResponse {
        protocol_version: 0,
        timeout_ms: 9000,
        session: SESSION,
        password: Some(Bytes::from_static(b"short")),
        read_only: None,
    };
    let mut out = BytesMut::new();
    put_frame(&mut out, |out| response.encode(out));
    world.receive(&out);
    assert_eq!((world.disconnects, world.session.id()), (1, SessionId::NONE));
}

/// One thing that happens to a session.
#[derive(Clone, Debug)]
enum Step {
    Bytes(Vec<u8>),
    Frame(Vec<u8>),
    /// A reply to the next request, well formed but for its body.
    Reply(i32, Vec<u8>),
    Grant,
    Submit(u8),
    Lose,
    Pass(u16),
}

fn step() -> impl Strategy<Value = Step> {
    let bytes = proptest::collection::vec(any::<u8>(), 0..80);
    prop_oneof![
        bytes.clone().prop_map(Step::Bytes),
        bytes.clone().prop_map(Step::Frame),
        (prop_oneof![Just(0), Just(-101), any::<i32>()], bytes)
            .prop_map(|(error, body)| Step::Reply(error, body)),
        Just(Step::Grant),
        (0..8_u8).prop_map(Step::Submit),
        Just(Step::Lose),
        any::<u16>().prop_map(Step::Pass),
    ]
}

fn some_request(number: u8) -> Request {
    match number {
        0 => get_data("/a", true),
        1 => exists("/b"),
        2 => get_children("/c"),
        3 => add_watch("/d", 1),
        4 => auth("a:b"),
        5 => Request::Multi(vec![Op::Check { path: "/a".into(), version: 1 }]),
        6 => Request::WhoAmI,
        _ => Request::CloseSession,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Goal: nothing that a server sends makes a session panic, and every request is answered once.
    #[test]
    fn arbitrary_bytes_never_panic_and_every_request_is_answered_once(
        steps in proptest::collection::vec(step(), 0..40),
    ) {
        let mut world = World::new();
        let mut submitted = Vec::new();
        let mut next_xid = 1;
        let mut is_down = true;
        for step in steps {
            if is_down && !world.session.state().is_over() {
                world.session.connected(world.now_ms);
                is_down = false;
            }
            let disconnects = world.disconnects;
            match step {
                Step::Bytes(bytes) => world.receive(&bytes),
                Step::Frame(body) => {
                    let mut out = BytesMut::new();
                    put_frame(&mut out, |out| out.extend_from_slice(&body));
                    world.receive(&out);
                }
                Step::Reply(error, body) => {
                    let mut out = BytesMut::new();
                    put_frame(&mut out, |out| {
                        ReplyHeader { xid: Xid(next_xid), zxid: Zxid(5), error }.encode(out);
                        out.extend_from_slice(&body);
                    });
                    next_xid += 1;
                    world.receive(&out);
                }
                Step::Grant => world.grant(9000, SESSION),
                Step::Submit(number) => {
                    let watch = (number < 4).then(|| WatchRequest {
                        id: WatchId(u64::from(number)),
                        kind: WatchKind::ALL[usize::from(number)],
                        path: "/a".to_owned(),
                    });
                    submitted.push(world.session.submit(some_request(number), watch));
                    world.settle();
                }
                Step::Lose => {
                    world.lose();
                    is_down = true;
                }
                Step::Pass(ms) => world.pass(ms.into()),
            }
            is_down |= world.disconnects > disconnects;
        }
        world.submit(Request::CloseSession);
        world.lose();
        let mut answered: Vec<_> = world.completed.iter().map(|(id, _)| *id).collect();
        answered.sort();
        let before = answered.len();
        answered.dedup();
        prop_assert_eq!(before, answered.len(), "none is answered twice");
        for id in submitted {
            prop_assert!(answered.contains(&id), "{:?} is not answered", id);
        }
    }
}
