//! A member in this process, and a client that speaks to it in frames.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use conclave_protocol::{
    connect::{ConnectRequest, ConnectResponse},
    frame,
    ids::{Password, SessionId, Xid},
    jute::Reader,
    opcode::OpCode,
    request::{Request, RequestHeader},
    response::ReplyHeader,
    zxid::Zxid,
};
use conclave_server::{config, driver};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A running member without others, ended when dropped.
pub(crate) struct Member {
    runtime: tokio::runtime::Runtime,
    member: Option<driver::Member>,
    _folder: tempfile::TempDir,
}

impl Member {
    /// Starts a member with these lines in its configuration.
    pub(crate) fn start(lines: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let text = format!(
            "dataDir={}\nclientPort=0\nclientPortAddress=127.0.0.1\npreAllocSize=64\n{lines}",
            folder.path().display()
        );
        let path = folder.path().join("zoo.cfg");
        std::fs::write(&path, text).unwrap();
        let (config, _) = config::load(path.to_str().unwrap(), None).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let member = runtime.block_on(async {
            let member = driver::Member::start(config.settings()).await.unwrap();
            while !member.shared().is_serving() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            member
        });
        Self { runtime, member: Some(member), _folder: folder }
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
        let member = self.member.take().unwrap();
        self.runtime.block_on(member.stop());
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
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: Zxid::ZERO,
            timeout_ms: 10_000,
            session: SessionId::NONE,
            password: Some(Bytes::copy_from_slice(&Password::ZERO.0)),
            read_only: Some(false),
        };
        Self::connect_with(address, &request).unwrap()
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
        let mut out = BytesMut::new();
        for (opcode, request) in requests {
            let (xid, opcode) = (Xid(self.next_xid), opcode.to_wire());
            self.next_xid += 1;
            frame::put_frame(&mut out, |out| {
                RequestHeader { xid, opcode }.encode(out);
                request.encode(out);
            });
        }
        self.socket.write_all(&out).unwrap();
        let mut answers = Vec::new();
        while answers.last().is_none_or(|(header, _): &(ReplyHeader, Bytes)| {
            header.xid == Xid::EVENT || header.xid.0 + 1 < self.next_xid
        }) {
            answers.push(self.answer().expect("an answer"));
        }
        answers
    }

    /// Reads one answer or event; `None` when the connection has ended.
    pub(crate) fn answer(&mut self) -> Option<(ReplyHeader, Bytes)> {
        let mut reader = Reader::new(read_frame(&mut self.socket, &mut self.buffer)?);
        let header = ReplyHeader::decode(&mut reader).unwrap();
        Some((header, reader.into_rest()))
    }
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
