//! Goal: what a client sends counts for the session that is its own, for as long as it is connected, and
//! for nothing else. Method: frames sent together that a careful client would send one after the other.

use bytes::Bytes;
use conclave_protocol::{connect::ConnectRequest, opcode::OpCode, request::Request};

use super::support::{Client, Member, connect_request, create, errors, read, send_raw};

const LINES: &str = "4lw.commands.whitelist=*\n";

#[test]
fn who_does_not_know_the_password_does_nothing_in_the_session() {
    let member = Member::start(LINES);
    let mut owner = Client::connect(member.address());
    assert_eq!(errors(&owner.ask(&[create("/e", 1)])), [0]);
    for forged in [(OpCode::CloseSession, Request::CloseSession), create("/forged", 1)] {
        let wrong = ConnectRequest {
            session: owner.granted.session,
            password: Some(Bytes::from_static(&[7; 16])),
            ..connect_request()
        };
        let answer = send_raw(member.address(), &wrong, &[forged]);
        assert_eq!(answer[4..12], [0; 8], "the session is refused");
    }
    let mut again = owner.attach(member.address(), owner.granted.password.clone()).unwrap();
    assert_eq!(errors(&again.ask(&[read("/e"), read("/forged")])), [0, -101]);
}

#[test]
fn requests_behind_one_that_ends_the_connection_are_not_carried_out() {
    let member = Member::start(LINES);
    let mut client = Client::connect(member.address());
    let bad = Request::Auth { kind: 0, scheme: "none".into(), data: Some(Bytes::new()) };
    client.send(&[create("/before", 0), (OpCode::Auth, bad), create("/behind", 0)]);
    assert_eq!(client.answer().unwrap().0.error, 0);
    assert_eq!(client.answer().unwrap().0.error, -115);
    assert!(client.answer().is_none());
    let mut other = Client::connect(member.address());
    assert_eq!(errors(&other.ask(&[read("/before"), read("/behind")])), [0, -101]);
}

#[test]
fn a_watch_asked_behind_a_write_goes_with_its_connection() {
    let member = Member::start(LINES);
    for number in 0..200 {
        let mut client = Client::connect(member.address());
        let exists = Request::Exists { path: format!("/w{number}").into(), watch: true };
        client.send(&[create(&format!("/n{number}"), 0), (OpCode::Exists, exists)]);
        // Gone before, while or after it is answered.
        std::thread::sleep(std::time::Duration::from_micros(number * 10));
    }
    member.wait_until("the connections are gone", |shared| shared.connections.is_empty());
    assert_eq!(member.word("wchs", b""), "0 connections watching 0 paths\nTotal watches:0\n");
}

#[test]
fn a_request_right_behind_the_connect_is_answered() {
    let member = Member::start(LINES);
    let answer = send_raw(member.address(), &connect_request(), &[create("/a", 0), read("/a")]);
    assert!(answer.len() > 41 + 4 + 16, "the greeting and two answers: {} bytes", answer.len());
}
