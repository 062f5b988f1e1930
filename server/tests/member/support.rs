//! A member in this process, and a client that speaks to it in frames.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use conclave_protocol::{
    acl::Acl,
    connect::{ConnectRequest, ConnectResponse},
    frame,
    ids::{Password, SessionId, Xid},
    jute::Reader,
    opcode::OpCode,
    request::{Create, Request, RequestHeader},
    response::ReplyHeader,
    zxid::Zxid,
};
use conclave_server::{config, driver, shared::Shared};

use super::ports::free_port;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A member, ended when dropped.
pub(crate) struct Member {
    runtime: tokio::runtime::Runtime,
    member: Option<driver::Member>,
    config: config::Config,
    _folder: tempfile::TempDir,
}

impl Member {
    /// Starts a member without others, with these lines in its configuration.
    pub(crate) fn start(lines: &str) -> Self {
        let mut member = Self::prepare("", lines);
        member.run();
        member.wait_serving();
        member
    }

    /// Starts an ensemble of `count`, all with these lines in their configuration.
    pub(crate) fn start_ensemble(count: u8, lines: &str) -> Vec<Self> {
        let servers: String =
            (1..=count).map(|id| format!("server.{id}=127.0.0.1:{}\n", free_port())).collect();
        let lines = format!("tickTime=500\ninitLimit=10\nsyncLimit=4\n{servers}{lines}");
        let mut members: Vec<Self> =
            (1..=count).map(|id| Self::prepare(&id.to_string(), &lines)).collect();
        members.iter_mut().for_each(Self::run);
        members.iter().for_each(Self::wait_serving);
        members
    }

    fn prepare(id: &str, lines: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().display();
        let text = format!(
            "dataDir={dir}\nclientPort=0\nclientPortAddress=127.0.0.1\npreAllocSize=64\n{lines}"
        );
        let path = folder.path().join("zoo.cfg");
        std::fs::write(&path, text).unwrap();
        std::fs::write(folder.path().join("myid"), id).unwrap();
        let (config, _) = config::load(path.to_str().unwrap(), None).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        Self { runtime, member: None, config, _folder: folder }
    }

    /// Starts it, on the data that it has.
    pub(crate) fn run(&mut self) {
        let started = driver::Member::start(self.config.settings());
        self.member = Some(self.runtime.block_on(started).unwrap());
    }

    /// Starts it, or tells why that is not possible.
    pub(crate) fn try_run(&mut self) -> Result<(), String> {
        let started = driver::Member::start(self.config.settings());
        let started = self.runtime.block_on(started).map_err(|error| error.to_string())?;
        self.member = Some(started);
        Ok(())
    }

    /// Starts another on the same data, or tells why that is not possible.
    pub(crate) fn try_run_another(&mut self) -> Result<(), String> {
        let started = driver::Member::start(self.config.settings());
        let other = self.runtime.block_on(started).map_err(|error| error.to_string())?;
        self.runtime.block_on(other.stop());
        Ok(())
    }

    /// Gives access to what it will be started with.
    pub(crate) const fn config_mut(&mut self) -> &mut config::Config {
        &mut self.config
    }

    /// Ends it; its data stays.
    pub(crate) fn stop(&mut self) {
        if let Some(member) = self.member.take() {
            self.runtime.block_on(member.stop());
        }
    }

    /// Waits until it has failed by itself.
    pub(crate) fn wait_failed(&self) {
        let failed = self.member.as_ref().unwrap().failed();
        self.runtime
            .block_on(async { tokio::time::timeout(PATIENCE, failed).await })
            .expect("it fails in time");
    }

    /// Waits until it serves.
    pub(crate) fn wait_serving(&self) {
        self.wait_until("it serves", |shared| shared.is_serving());
    }

    /// Waits until something holds of it.
    pub(crate) fn wait_until(&self, what: &str, mut holds: impl FnMut(&Shared) -> bool) {
        let shared = self.shared();
        for _ in 0..PATIENCE.as_millis() / 5 {
            if holds(shared) {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("not in time: {what}");
    }

    /// Returns its tables.
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        self.member.as_ref().unwrap().shared()
    }

    /// Returns where clients connect.
    pub(crate) fn address(&self) -> SocketAddr {
        self.member.as_ref().unwrap().client_address()
    }

    /// Asks a four-letter word, with what goes behind it.
    pub(crate) fn word(&self, word: &str, rest: &[u8]) -> String {
        let mut socket = TcpStream::connect(self.address()).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.write_all(&[word.as_bytes(), rest].concat()).unwrap();
        let mut text = String::new();
        socket.read_to_string(&mut text).unwrap();
        text
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A client with a session.
pub(crate) struct Client {
    socket: TcpStream,
    buffer: BytesMut,
    next_xid: i32,
    /// What it was granted.
    pub(crate) granted: ConnectResponse,
}

impl Client {
    /// Opens a new session.
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::connect_with(address, &connect_request()).unwrap()
    }

    /// Opens its session again, on a new connection; `None` when it is refused.
    pub(crate) fn attach(&self, address: SocketAddr, password: Option<Bytes>) -> Option<Self> {
        let session = self.granted.session;
        let request = ConnectRequest { session, password, ..connect_request() };
        Self::connect_with(address, &request).filter(|client| client.granted.timeout_ms > 0)
    }

    /// Sends a connect request; `None` when it is not answered by a frame.
    pub(crate) fn connect_with(address: SocketAddr, request: &ConnectRequest) -> Option<Self> {
        let mut socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut out = BytesMut::new();
        frame::put_frame(&mut out, |out| request.encode(out));
        socket.write_all(&out).unwrap();
        let mut buffer = BytesMut::new();
        let frame = read_frame(&mut socket, &mut buffer)?;
        let granted = ConnectResponse::decode(frame).unwrap();
        Some(Self { socket, buffer, next_xid: 1, granted })
    }

    /// Sends requests in one write and returns the answers and events that come until the last is
    /// answered.
    pub(crate) fn ask(&mut self, requests: &[(OpCode, Request)]) -> Vec<(ReplyHeader, Bytes)> {
        self.send(requests);
        let mut answers = Vec::new();
        while answers.last().is_none_or(|(header, _): &(ReplyHeader, Bytes)| {
            header.xid == Xid::EVENT || header.xid.0 + 1 < self.next_xid
        }) {
            answers.push(self.answer().expect("an answer"));
        }
        answers
    }

    /// Sends requests in one write.
    pub(crate) fn send(&mut self, requests: &[(OpCode, Request)]) {
        assert!(self.try_send(requests), "the connection is there");
    }

    /// Sends requests in one write; returns false when the connection has ended.
    pub(crate) fn try_send(&mut self, requests: &[(OpCode, Request)]) -> bool {
        let mut out = BytesMut::new();
        for request in requests {
            put_request(&mut out, self.next_xid, request);
            self.next_xid += 1;
        }
        self.socket.write_all(&out).is_ok()
    }

    /// Sends bytes as they are.
    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).unwrap();
    }

    /// Reads one answer or event; `None` when the connection has ended.
    pub(crate) fn answer(&mut self) -> Option<(ReplyHeader, Bytes)> {
        let mut reader = Reader::new(read_frame(&mut self.socket, &mut self.buffer)?);
        let header = ReplyHeader::decode(&mut reader).unwrap();
        Some((header, reader.into_rest()))
    }
}

fn put_request(out: &mut BytesMut, xid: i32, (opcode, request): &(OpCode, Request)) {
    frame::put_frame(out, |out| {
        RequestHeader { xid: Xid(xid), opcode: opcode.to_wire() }.encode(out);
        request.encode(out);
    });
}

/// Sends a connect request and others behind it in one write, and returns what comes until the connection
/// ends, or until it is `len_bytes` long; without the first length.
pub(crate) fn send_raw(
    address: SocketAddr,
    connect: &ConnectRequest,
    requests: &[(OpCode, Request)],
    len_bytes: usize,
) -> Vec<u8> {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut out = BytesMut::new();
    frame::put_frame(&mut out, |out| connect.encode(out));
    for (xid, request) in (1..).zip(requests) {
        put_request(&mut out, xid, request);
    }
    socket.write_all(&out).unwrap();
    let mut answer = Vec::new();
    let mut part = [0; 4096];
    while answer.len() < len_bytes {
        match socket.read(&mut part).unwrap() {
            0 => break,
            len => answer.extend_from_slice(&part[..len]),
        }
    }
    answer.split_off(4)
}

/// Asks for a new session of ten seconds.
pub(crate) fn connect_request() -> ConnectRequest {
    ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: Zxid::ZERO,
        timeout_ms: 10_000,
        session: SessionId::NONE,
        password: Some(Bytes::copy_from_slice(&Password::ZERO.0)),
        read_only: Some(false),
    }
}

/// Returns the errors of answers, in order.
pub(crate) fn errors(answers: &[(ReplyHeader, Bytes)]) -> Vec<i32> {
    answers.iter().map(|(header, _)| header.error).collect()
}

/// Creates a znode with open permissions.
pub(crate) fn create(path: &str, flags: i32) -> (OpCode, Request) {
    let acl = Some(vec![Acl::open()]);
    let create = Create { path: path.into(), data: Some(Bytes::from_static(b"x")), acl, flags };
    (OpCode::Create, Request::Create(create))
}

/// Writes so many bytes to a znode.
pub(crate) fn set(path: &str, len_bytes: usize) -> (OpCode, Request) {
    let data = Some(Bytes::from(vec![b'x'; len_bytes]));
    (OpCode::SetData, Request::SetData { path: path.into(), data, version: -1 })
}

/// Reads a znode's data.
pub(crate) fn read(path: &str) -> (OpCode, Request) {
    (OpCode::GetData, Request::GetData { path: path.into(), watch: false })
}

fn read_frame(socket: &mut TcpStream, buffer: &mut BytesMut) -> Option<Bytes> {
    loop {
        if let Some(frame) = frame::decode_frame(buffer, 1 << 24).unwrap() {
            return Some(frame);
        }
        let mut part = [0; 4096];
        match socket.read(&mut part) {
            Ok(0) => return None,
            Ok(len) => buffer.extend_from_slice(&part[..len]),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
            Err(error) => panic!("no answer: {error}"),
        }
    }
}
