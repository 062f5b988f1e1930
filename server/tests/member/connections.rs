//! Goal: what a client sends counts for the session that is its own, for as long as it is connected, and
//! for nothing else. Method: frames sent together that a careful client would send one after the other.

use bytes::Bytes;
use conclave_protocol::{
    acl::{Acl, Identity, Perms},
    connect::ConnectRequest,
    multi::Op,
    opcode::OpCode,
    request::{Create, Request},
};

use super::support::{Client, Member, connect_request, create, errors, read, send_raw, set};

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
        let answer = send_raw(member.address(), &wrong, &[forged], usize::MAX);
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
    // The greeting, and the answers with a path and with a byte and a stat.
    let len_bytes = (4 + 37) + (4 + 16 + 6) + (4 + 16 + 5 + 68);
    let requests = [create("/a", 0), read("/a")];
    let answer = send_raw(member.address(), &connect_request(), &requests, len_bytes);
    assert_eq!(answer.len(), len_bytes - 4);
}

#[test]
fn a_client_that_reads_slower_than_it_asks_gets_every_answer() {
    let member = Member::start(LINES);
    let mut client = Client::connect(member.address());
    let made = client.ask(&[create("/a", 0), set("/a", 1_000_000), create("/b", 0)]);
    assert_eq!(errors(&made), [0, 0, 0]);
    // Some directly, some behind a write that they have to wait for.
    for _ in 0..4 {
        client.send(&vec![read("/a"); 100]);
        client.send(&[set("/b", 10)]);
        client.send(&vec![read("/a"); 20]);
    }
    member.wait_until("it stops looking at requests", |shared| {
        shared.connections.iter().all(|entry| entry.value().is_held())
    });
    let answers = client.ask(&[read("/a")]);
    assert_eq!(answers.len(), 4 * 121 + 1);
    assert!(answers.iter().all(|(header, _)| header.error == 0));
}

#[test]
fn what_one_request_can_become_in_the_log_is_bounded() {
    let member = Member::start(LINES);
    let mut client = Client::connect(member.address());
    for number in 0..200 {
        let data = Some(Bytes::from(format!("user{number}:secret")));
        let auth = Request::Auth { kind: 0, scheme: "digest".into(), data };
        assert_eq!(errors(&client.ask(&[(OpCode::Auth, auth)])), [0]);
    }
    let auth = |count: i32| -> Option<Vec<Acl>> {
        let entry = |perms| Acl {
            perms: Perms(perms),
            identity: Identity { scheme: "auth".into(), id: "".into() },
        };
        Some((1..=count).map(entry).collect())
    };
    let create =
        |path: String, count| Create { path: path.into(), data: None, acl: auth(count), flags: 0 };
    let one = Request::Create(create("/one".to_owned(), 6));
    assert_eq!(errors(&client.ask(&[(OpCode::Create, one)])), [-114], "1200 entries");
    let many = (0..5000).map(|number| Op::Create(create(format!("/n{number}"), 1))).collect();
    let refused = client.ask(&[(OpCode::Multi, Request::Multi(many))]);
    assert_eq!(errors(&refused), [-5], "a million entries");
    let few = (0..10).map(|number| Op::Create(create(format!("/n{number}"), 5))).collect();
    assert_eq!(errors(&client.ask(&[(OpCode::Multi, Request::Multi(few))])), [0]);
    assert_eq!(errors(&client.ask(&[read("/n0"), read("/n5000")])), [0, -101]);
}

#[test]
fn identities_are_bounded_by_bytes() {
    let member = Member::start(LINES);
    let mut client = Client::connect(member.address());
    let long = Some(Bytes::from(vec![b'u'; 100_000]));
    let auth = Request::Auth { kind: 0, scheme: "digest".into(), data: long };
    assert_eq!(errors(&client.ask(&[(OpCode::Auth, auth)])), [-115]);
    assert!(client.answer().is_none(), "the connection ends");
}
