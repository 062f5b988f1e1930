//! A client without a socket: it speaks the real protocol into a member's lane and reads the
//! outbox. It writes pairs of znodes by multi, and remembers what it was told. Between its writes
//! it reads them back before they are answered, and looks behind a sync for what others wrote.

use std::{collections::VecDeque, sync::Arc};

use bytes::{Bytes, BytesMut};
use conclave_protocol::{
    acl::Acl,
    connect::{ConnectRequest, ConnectResponse},
    frame,
    ids::{Password, SessionId, Xid},
    jute::Reader,
    multi::Op,
    opcode::OpCode,
    request::{Create, Request, RequestHeader},
    response::ReplyHeader,
    zxid::Zxid,
};
use conclave_server::{
    lane::Connection,
    pipeline::{admit, connect, forward::Submission},
    shared::Shared,
};

/// Longest frame a client takes, in bytes.
const FRAME_LEN_BYTES_MAX: usize = 1 << 20;

/// What a client waits for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Asked {
    /// A write of this value.
    Write(u64),
    /// A sync.
    Sync,
    /// A read of a value that has to be there.
    Read(u64),
}

/// What a client knows of one of its writes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// It was told that it was done.
    Acknowledged,
    /// The connection broke before it was told anything.
    Unknown,
}

/// One client and its connection to one member.
#[derive(Debug)]
pub struct Client {
    number: u64,
    connection: Option<Arc<Connection>>,
    is_greeted: bool,
    buffer: BytesMut,
    /// Xids and what they asked, oldest first.
    in_flight: VecDeque<(Xid, Asked)>,
    next_xid: i32,
    next_value: u64,
    /// Every value ever written, and what is known of it.
    writes: Vec<(u64, Outcome)>,
    acknowledged: usize,
}

impl Client {
    /// Makes a client that is not connected; its values never meet another's.
    pub fn new(number: u64) -> Self {
        Self {
            number,
            connection: None,
            is_greeted: false,
            buffer: BytesMut::new(),
            in_flight: VecDeque::new(),
            next_xid: 1,
            next_value: number << 32,
            writes: Vec::new(),
            acknowledged: 0,
        }
    }

    /// Returns every value this client has written, and what it knows of it.
    pub fn writes(&self) -> &[(u64, Outcome)] {
        &self.writes
    }

    /// Returns the value it was acknowledged last.
    pub fn last_acknowledged(&self) -> Option<u64> {
        let mut latest = self.writes.iter().rev();
        latest.find(|(_, outcome)| *outcome == Outcome::Acknowledged).map(|(value, _)| *value)
    }

    /// Returns how many of its writes were acknowledged.
    pub const fn acknowledged(&self) -> usize {
        self.acknowledged
    }

    /// Returns whether it has a connection that was greeted.
    pub const fn is_connected(&self) -> bool {
        self.connection.is_some() && self.is_greeted
    }

    /// Returns whether it waits for a greeting.
    pub const fn is_waiting(&self) -> bool {
        self.connection.is_some() && !self.is_greeted
    }

    /// Returns whether its connection is one of this member's.
    pub fn is_served_by(&self, shared: &Shared) -> bool {
        self.connection.as_ref().is_some_and(|own| {
            shared.connections.get(&own.id).is_some_and(|found| Arc::ptr_eq(own, found.value()))
        })
    }

    /// Opens a new session at a member.
    pub fn connect(&mut self, shared: &Shared) -> Option<Submission> {
        let address = ([127, 0, 0, 1], 1).into();
        let id = shared.draw_connection();
        let connection = Arc::new(Connection::new(id, address, Arc::from([]), shared.meters(), 0));
        shared.connections.insert(id, connection.clone());
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: Zxid::ZERO,
            timeout_ms: 10_000,
            session: SessionId::NONE,
            password: None,
            read_only: Some(false),
        };
        let mut bytes = Vec::new();
        request.encode(&mut bytes);
        let password = Password([self.number as u8 + 1; 16]);
        let submission =
            connect::admit_connect(shared, &connection, bytes.into(), password).ok()??;
        self.connection = Some(connection);
        self.is_greeted = false;
        self.buffer.clear();
        Some(submission)
    }

    /// Writes the next value: two znodes that are there both or not at all.
    pub fn write(&mut self, shared: &Shared) -> Vec<Submission> {
        self.next_value += 1;
        let value = self.next_value;
        let create = |half: &str| {
            Op::Create(Create {
                path: format!("/{value:x}{half}").into(),
                data: Some(Bytes::copy_from_slice(&value.to_be_bytes())),
                acl: Some(vec![Acl::open()]),
                flags: 0,
            })
        };
        let multi = Request::Multi(vec![create("a"), create("b")]);
        self.ask(shared, [(Asked::Write(value), OpCode::Multi, multi)])
    }

    /// Writes the next value and, without waiting for it, reads it back.
    pub fn write_and_read(&mut self, shared: &Shared) -> Vec<Submission> {
        let mut submissions = self.write(shared);
        let read = look_for(self.next_value);
        submissions.extend(self.ask(shared, [read]));
        submissions
    }

    /// Syncs and, without waiting for it, reads a value that someone was acknowledged before.
    pub fn sync_and_read(&mut self, shared: &Shared, value: u64) -> Vec<Submission> {
        let sync = Request::Sync { path: "/".into() };
        self.ask(shared, [(Asked::Sync, OpCode::Sync, sync), look_for(value)])
    }

    fn ask<const COUNT: usize>(
        &mut self,
        shared: &Shared,
        asked: [(Asked, OpCode, Request); COUNT],
    ) -> Vec<Submission> {
        let connection = self.connection.clone().expect("a client that asks is connected");
        let frames = asked.map(|(asked, opcode, request)| {
            let xid = Xid(self.next_xid);
            self.next_xid += 1;
            self.in_flight.push_back((xid, asked));
            let mut bytes = Vec::new();
            RequestHeader { xid, opcode: opcode.to_wire() }.encode(&mut bytes);
            request.encode(&mut bytes);
            bytes.into()
        });
        let mut submissions = Vec::new();
        let admitted = admit::admit(shared, &connection, &mut frames.into_iter(), &mut submissions);
        assert!(admitted.is_ok(), "a sound request is admitted");
        submissions
    }

    /// Reads what the member has answered, and notices when the connection is gone.
    pub fn read(&mut self) {
        let Some(connection) = self.connection.clone() else { return };
        let (bytes, is_last) = connection.take_outbox();
        self.buffer.extend_from_slice(&bytes);
        while let Ok(Some(frame)) = frame::decode_frame(&mut self.buffer, FRAME_LEN_BYTES_MAX) {
            self.on_frame(frame);
        }
        if is_last || connection.cancelled.is_cancelled() {
            self.lose();
        }
    }

    fn on_frame(&mut self, frame: Bytes) {
        if !self.is_greeted {
            let greeting = ConnectResponse::decode(frame).expect("the member greets");
            self.is_greeted = greeting.timeout_ms > 0;
            return;
        }
        let header = ReplyHeader::decode(&mut Reader::new(frame)).expect("the member replies");
        let (xid, asked) = self.in_flight.pop_front().expect("what is answered was asked");
        assert_eq!(header.xid, xid, "answers come in the order of the requests");
        assert_eq!(header.error, 0, "nothing refuses this: {asked:x?}");
        if let Asked::Write(value) = asked {
            self.writes.push((value, Outcome::Acknowledged));
            self.acknowledged += 1;
        }
    }

    /// The connection is gone: what was under way may have been done or not.
    pub fn lose(&mut self) {
        self.connection = None;
        self.is_greeted = false;
        let unknown = self.in_flight.drain(..).filter_map(|(_, asked)| match asked {
            Asked::Write(value) => Some((value, Outcome::Unknown)),
            Asked::Sync | Asked::Read(_) => None,
        });
        self.writes.extend(unknown);
    }
}

fn look_for(value: u64) -> (Asked, OpCode, Request) {
    let exists = Request::Exists { path: format!("/{value:x}a").into(), watch: false };
    (Asked::Read(value), OpCode::Exists, exists)
}
