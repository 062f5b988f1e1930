//! A client's session, and what it keeps through anything that a server may say: each request that was
//! submitted is answered once, and what it writes can be read.

use std::collections::{BTreeSet, VecDeque};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use conclave_client::{
    WatchKind,
    session::{Output, RequestId, Session, Settings, WatchRequest},
    watch::WatchId,
};
use conclave_protocol::{
    connect::{ConnectRequest, ConnectResponse},
    event::WatchEvent,
    frame::{decode_frame, put_frame},
    ids::{SessionId, Xid},
    jute::Reader,
    opcode::OpCode,
    request::{Request, RequestHeader},
    response::ReplyHeader,
    zxid::Zxid,
};

use crate::{Target, script::Script, transcript};

/// A script of what happens to a session: see `Play::step`.
pub const SESSION: Target = Target { name: "client_session", run: session, seeds: session_seeds };

/// Steps of one script.
const STEPS_MAX: usize = 200;

const FRAME_LEN_BYTES_MAX: usize = 1024;

/// Bytes of all frames that a session has to keep, and what it says about them, at most. The watches of a
/// session are the caller's, and bounded by its steps.
const HELD_BYTES_MAX: usize = 1 << 20;

fn session(input: &[u8]) {
    let mut script = Script(input);
    let flags = script.u8();
    let settings = Settings {
        session_timeout_ms: 1000,
        frame_len_bytes_max: FRAME_LEN_BYTES_MAX,
        request_len_bytes_max: FRAME_LEN_BYTES_MAX,
        read_only: flags & 2 == 2,
        host_count: 3,
    };
    let mut play = Play {
        session: Session::new(settings),
        link: Link::Down,
        sent: VecDeque::new(),
        open: BTreeSet::new(),
        watches: Vec::new(),
        now_ms: 0,
    };
    let limit = crate::allocation::Limit { per_byte: 64, base_bytes: HELD_BYTES_MAX };
    limit.hold(input.len(), || {
        for _ in 0..STEPS_MAX {
            if script.is_empty() {
                break;
            }
            play.step(&mut script);
            play.take_outputs();
        }
        play.end();
    });
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Link {
    Down,
    Greeting,
    Up,
}

struct Play {
    session: Session,
    link: Link,
    /// What the session has sent on this connection and was not answered.
    sent: VecDeque<(Xid, OpCode)>,
    /// What was submitted and is not complete.
    open: BTreeSet<RequestId>,
    /// The watches that were asked for and not given up.
    watches: Vec<WatchRequest>,
    now_ms: u64,
}

const PATHS: [&str; 6] = ["/", "/a", "/a/b", "/app", "/app/a", "a"];

impl Play {
    fn step(&mut self, script: &mut Script) {
        match script.u8() % 12 {
            0 | 1 => self.connect(),
            2 if self.link != Link::Down => {
                self.session.disconnected(self.now_ms);
                self.link = Link::Down;
            }
            3 => {
                let len = script.u8().into();
                self.receive(script.bytes(len));
            }
            4 => self.greet(script),
            5 | 6 => self.reply(script),
            7 => self.event(script),
            8 => {
                self.now_ms += u64::from(script.u16());
                self.session.tick(self.now_ms);
            }
            9 => self.submit_any(script),
            10 => {
                let which = usize::from(script.u8());
                if !self.watches.is_empty() {
                    let watch = self.watches.swap_remove(which % self.watches.len());
                    self.session.unwatch(&watch);
                }
            }
            _ => self.submit(script),
        }
    }

    fn connect(&mut self) {
        if self.link == Link::Down && !self.session.state().is_over() {
            self.session.connected(self.now_ms);
            self.link = Link::Greeting;
            self.sent.clear();
        }
    }

    /// The driver gives bytes to a session that has a connection.
    fn receive(&mut self, bytes: &[u8]) {
        if self.link != Link::Down {
            self.session.received(bytes, self.now_ms);
        }
    }

    fn receive_frame(&mut self, body: impl FnOnce(&mut BytesMut)) {
        let mut out = BytesMut::new();
        put_frame(&mut out, body);
        self.receive(&out);
    }

    fn greet(&mut self, script: &mut Script) {
        let flags = script.u8();
        let greeting = ConnectResponse {
            protocol_version: 0,
            timeout_ms: i32::from(script.u16()) - i32::from(flags & 1),
            session: SessionId(script.u8().into()),
            password: (flags & 2 == 0).then(|| Bytes::from_static(&[5; 16])),
            read_only: (flags & 4 == 0).then_some(flags & 8 == 8),
        };
        self.receive_frame(|out| greeting.encode(out));
    }

    /// Answers the oldest request, or another than it.
    fn reply(&mut self, script: &mut Script) {
        let (flags, error, len) = (script.u8(), script.u8(), script.u8());
        let (xid, _) = self.sent.front().copied().unwrap_or((Xid(1), OpCode::Ping));
        let xid = if flags & 1 == 1 { Xid(xid.0 ^ i32::from(flags)) } else { xid };
        let error = if flags & 2 == 2 { -i32::from(error) } else { 0 };
        let zxid = Zxid::from_wire(i64::from(flags) - 4);
        let body = script.bytes(len.into());
        self.receive_frame(|out| {
            ReplyHeader { xid, zxid, error }.encode(out);
            out.put_slice(body);
        });
        if flags & 1 == 0 {
            self.sent.pop_front();
        }
    }

    fn event(&mut self, script: &mut Script) {
        let (kind, path) = (script.u8(), PATHS[usize::from(script.u8()) % PATHS.len()]);
        self.receive_frame(|out| {
            ReplyHeader { xid: Xid::EVENT, zxid: Zxid::from_wire(-1), error: 0 }.encode(out);
            out.put_i32(i32::from(kind) - 1);
            out.put_i32(3);
            out.put_i32(path.len() as i32);
            out.put_slice(path.as_bytes());
        });
    }

    fn submit(&mut self, script: &mut Script) {
        let (which, watched) = (script.u8(), script.u8());
        let path = PATHS[usize::from(which >> 4) % PATHS.len()];
        let kind = WatchKind::ALL[usize::from(watched) % WatchKind::ALL.len()];
        let request = match which & 7 {
            0 => Request::Exists { path: path.into(), watch: true },
            1 => Request::GetData { path: path.into(), watch: true },
            2 => Request::GetChildren { path: path.into(), watch: true },
            3 => Request::AddWatch { path: path.into(), mode: i32::from(watched & 1) },
            4 => Request::RemoveWatches { path: path.into(), kind: i32::from(watched & 3) },
            5 => Request::Auth { kind: 0, scheme: "digest".into(), data: Some(path.into()) },
            6 => Request::GetEphemerals { prefix: path.into() },
            _ if watched > 200 => Request::CloseSession,
            _ => Request::Delete { path: path.into(), version: -1 },
        };
        let watch = (which & 8 == 8).then(|| WatchRequest {
            id: WatchId(watched.into()),
            kind,
            path: path.to_owned(),
        });
        self.watches.extend(watch.clone());
        let id = self.session.submit(request, watch);
        assert!(self.open.insert(id), "each request has a name of its own");
    }

    /// Submits any request at all, as bytes say.
    fn submit_any(&mut self, script: &mut Script) {
        let opcode = OpCode::ALL[usize::from(script.u8()) % OpCode::ALL.len()];
        let len = script.u8();
        let body = Bytes::copy_from_slice(script.bytes(len.into()));
        if let Ok(request) = Request::decode(opcode, body) {
            let id = self.session.submit(request, None);
            assert!(self.open.insert(id), "each request has a name of its own");
        }
    }

    fn take_outputs(&mut self) {
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Write(bytes) => self.written(bytes),
                Output::Disconnect => {
                    assert_ne!(self.link, Link::Down, "there is a connection to close");
                    self.link = Link::Down;
                }
                Output::Complete { id, .. } => {
                    assert!(self.open.remove(&id), "each request is answered once");
                }
                Output::Event { event: WatchEvent { path, .. }, .. } => {
                    assert!(path.as_str().is_some(), "an event has a path");
                }
                Output::Gap(_) | Output::Unwatched(_) | Output::State(_) => {}
            }
        }
        assert!(!self.session.state().is_connected() || self.link != Link::Down);
    }

    /// Reads what the session writes, as a server would.
    fn written(&mut self, bytes: Bytes) {
        let mut buffer = BytesMut::from(bytes);
        while buffer.has_remaining() {
            let frame = decode_frame(&mut buffer, usize::MAX).expect("it is a frame");
            let frame = frame.expect("it is a whole frame");
            if self.link == Link::Greeting {
                ConnectRequest::decode(frame).expect("it greets");
                assert!(!buffer.has_remaining(), "it asks nothing before it is greeted");
                self.link = Link::Up;
                return;
            }
            let mut reader = Reader::new(frame);
            let header = RequestHeader::decode(&mut reader).expect("a request has a header");
            let opcode = OpCode::from_wire(header.opcode).expect("it asks what there is");
            Request::decode(opcode, reader.into_rest()).expect("it asks it properly");
            self.sent.push_back((header.xid, opcode));
        }
    }

    /// Ends the session: nothing stays without an answer.
    fn end(&mut self) {
        if self.link != Link::Down {
            self.session.disconnected(self.now_ms);
            self.link = Link::Down;
        }
        self.take_outputs();
        let id = self.session.submit(Request::CloseSession, None);
        self.open.insert(id);
        self.take_outputs();
        assert!(self.session.state().is_over(), "it is closed");
        assert!(self.open.is_empty(), "these had no answer: {:?}", self.open);
    }
}

fn session_seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    // Connects, is greeted, asks with watches, is answered and told, and loses the connection.
    let greeting = [4, 0, 3, 232, 7];
    let asks = [11, 0x18, 1, 11, 0x29, 2, 11, 0x3b, 4, 11, 0x14, 3, 11, 5, 0, 11, 6, 0];
    let told = [7, 4, 1, 7, 2, 2, 7, 5, 4];
    for flags in 0..4 {
        let mut seed = vec![flags, 0];
        seed.extend(greeting);
        seed.extend(asks);
        for error in [0, 2, 0, 2, 0, 0] {
            seed.extend([5, error, 101, 80]);
            seed.extend([0; 80]);
        }
        seed.extend(told);
        seed.extend([8, 1, 0, 8, 255, 255, 0, 11, 7, 255]);
        seeds.push(seed);
    }
    // Whatever a real server has said, as it said it.
    for reply in transcript::replies().into_iter().filter(|it| it.len() < 200).step_by(40) {
        let body = &reply[17..];
        let mut seed = vec![0, 0];
        seed.extend(greeting);
        seed.extend([9, reply[0], 10, 0, 0, 0, 2, b'/', b'a', 0, 0, 0, 0]);
        seed.extend([5, 0, 0, body.len() as u8]);
        seed.extend(body);
        seeds.push(seed);
    }
    seeds
}
