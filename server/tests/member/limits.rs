//! Goal: whoever meets a limit is told so, or waits, and nobody else notices. Method: members with small
//! limits, and clients that go beyond them.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use bytes::{BufMut, BytesMut};
use conclave_protocol::{
    connect::ConnectRequest, ids::Xid, opcode::OpCode, request::RequestHeader,
};

use super::support::{Client, Member, connect_request, create, errors, read, set};

#[test]
fn a_request_that_is_too_long_is_refused_in_its_place_and_the_connection_goes_on() {
    let member = Member::start("jute.maxbuffer=2000\n");
    let mut client = Client::connect(member.address());
    let long = set("/a", 5_000_000);
    client.send(&[create("/a", 0), long, set("/a", 1000), set("/a", 2000), read("/a")]);
    let answers: Vec<_> = (0..5).map(|_| client.answer().unwrap()).collect();
    assert_eq!(errors(&answers), [0, -5, 0, -5, 0]);
    let xids: Vec<i32> = answers.iter().map(|(header, _)| header.xid.0).collect();
    assert_eq!(xids, [1, 2, 3, 4, 5]);
    assert_eq!(answers[4].1[..4], 1000_u32.to_be_bytes(), "what was short enough was written");
    assert_eq!(errors(&client.ask(&[create("/b", 1)])), [0]);
}

#[test]
fn a_client_is_heard_while_a_request_that_is_too_long_comes_slowly() {
    let member = Member::start("jute.maxbuffer=2000\nminSessionTimeout=400\n");
    let short = ConnectRequest { timeout_ms: 400, ..connect_request() };
    let mut client = Client::connect_with(member.address(), &short).unwrap();
    let mut frame = BytesMut::new();
    frame.put_i32(4000);
    RequestHeader { xid: Xid(1), opcode: OpCode::SetData.to_wire() }.encode(&mut frame);
    frame.put_bytes(0, 4000 - RequestHeader::LEN_BYTES);
    for piece in frame.chunks(200) {
        client.send_bytes(piece);
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(client.answer().unwrap().0.error, -5);
    assert_eq!(errors(&client.ask(&[create("/e", 1)])), [0]);
}

#[test]
fn a_length_that_nobody_would_send_ends_the_connection() {
    let member = Member::start("jute.maxbuffer=2000\n");
    for len in [-1, i32::MIN, 2000 + (64 << 20) + 1, i32::MAX] {
        let mut client = Client::connect(member.address());
        let mut frame = BytesMut::new();
        frame.put_i32(len);
        RequestHeader { xid: Xid(1), opcode: OpCode::Ping.to_wire() }.encode(&mut frame);
        client.send_bytes(&frame);
        assert!(client.answer().is_none(), "{len}");
    }
    // The first frame is none to be skipped: who sends it is no client.
    let mut socket = TcpStream::connect(member.address()).unwrap();
    socket.write_all(&[0, 0, 0x10, 0, 0, 0, 0, 0]).unwrap();
    assert_eq!(socket.read(&mut [0]).unwrap(), 0);
}
