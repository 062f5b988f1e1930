//! Goal: sessions that only one member knows behave as its clients expect, and so does a member that has
//! lost its leader. Method: raw frames against members in this process.

use super::support::{Client, Member, connect_request, create, errors, read};
use bytes::Bytes;
use conclave_protocol::{connect::ConnectRequest, opcode::OpCode, request::Request, zxid::Zxid};
use conclave_server::shared::Service;

const LOCAL: &str = "localSessionsEnabled=true\n4lw.commands.whitelist=*\n";
const UPGRADED: &str =
    "localSessionsEnabled=true\nlocalSessionsUpgradingEnabled=true\n4lw.commands.whitelist=*\n";

fn sessions(member: &Member) -> (String, String) {
    let mntr = member.word("mntr", b"");
    let of = |key: &str| {
        let line = mntr.lines().find_map(|line| line.strip_prefix(key)).unwrap();
        line.trim().to_owned()
    };
    (of("zk_global_sessions"), of("zk_local_sessions"))
}

#[test]
fn a_local_session_takes_no_txn_and_writes_like_any_other() {
    let member = Member::start(LOCAL);
    let mut client = Client::connect(member.address());
    assert_eq!(sessions(&member), ("0".to_owned(), "1".to_owned()));
    let answers = client.ask(&[read("/"), create("/a", 0), create("/s-", 2), read("/a")]);
    assert_eq!(errors(&answers), [0, 0, 0, 0]);
    assert_eq!(answers[0].0.zxid, Zxid::ZERO);
    let closed = client.ask(&[(OpCode::CloseSession, Request::CloseSession)]);
    assert_eq!(errors(&closed), [0]);
    assert!(client.answer().is_none(), "the connection ends with it");
    assert_eq!(sessions(&member), ("0".to_owned(), "0".to_owned()));
    assert!(client.attach(member.address(), client.granted.password.clone()).is_none());
}

#[test]
fn a_local_session_cannot_have_ephemerals_unless_it_is_upgraded() {
    let member = Member::start(LOCAL);
    let mut client = Client::connect(member.address());
    assert_eq!(errors(&client.ask(&[create("/e", 1), create("/a", 0)])), [-120, 0]);

    let member = Member::start(UPGRADED);
    let mut client = Client::connect(member.address());
    let answers = client.ask(&[create("/a", 0), create("/e", 1), create("/e/x", 0), read("/e")]);
    assert_eq!(errors(&answers), [0, 0, -108, 0]);
    assert_eq!(sessions(&member), ("1".to_owned(), "0".to_owned()));
    let mut again = client.attach(member.address(), client.granted.password.clone()).unwrap();
    assert_eq!(errors(&again.ask(&[read("/e")])), [0]);
    let close = (OpCode::CloseSession, Request::CloseSession);
    assert_eq!(errors(&again.ask(&[close])), [0]);
    let mut other = Client::connect(member.address());
    assert_eq!(errors(&other.ask(&[read("/e"), read("/a")])), [-101, 0]);
}

#[test]
fn a_local_session_is_attached_with_its_password_and_expires() {
    let member = Member::start(&format!("{LOCAL}minSessionTimeout=300\n"));
    let short = ConnectRequest { timeout_ms: 300, ..connect_request() };
    let client = Client::connect_with(member.address(), &short).unwrap();
    let password = client.granted.password.clone();
    let mut again = client.attach(member.address(), password.clone()).unwrap();
    assert_eq!(errors(&again.ask(&[read("/")])), [0]);
    assert!(client.attach(member.address(), Some(Bytes::from_static(&[7; 16]))).is_none());
    assert!(again.answer().is_none(), "who guesses ends the owner's connection, which comes back");
    let mut last = Client::connect_with(member.address(), &short).unwrap();
    // Silent for longer than it may be.
    assert!(last.answer().is_none(), "the connection of an expired session ends");
    assert!(last.attach(member.address(), last.granted.password.clone()).is_none());
}

#[test]
fn a_member_without_a_leader_serves_reads_to_those_who_ask_for_no_more() {
    let lines = "readonlymode.enabled=true\n4lw.commands.whitelist=*\n";
    let mut members = Member::start_ensemble(3, lines);
    let mut owner = Client::connect(members[0].address());
    assert_eq!(errors(&owner.ask(&[create("/a", 0), create("/e", 1)])), [0, 0]);
    members[1].stop();
    members[2].stop();
    members[0].wait_until("it reads only", |shared| shared.service() == Service::ReadOnly);
    assert!(owner.answer().is_none(), "connections end with the leader");
    assert_eq!(members[0].word("isro", b""), "ro");
    let srvr = members[0].word("srvr", b"");
    assert!(srvr.contains("READ-ONLY mode") && srvr.contains("Mode: read-only"), "{srvr}");

    assert!(Client::connect_with(members[0].address(), &connect_request()).is_none());
    let old = ConnectRequest { read_only: None, ..connect_request() };
    assert!(Client::connect_with(members[0].address(), &old).is_none());
    let wish = ConnectRequest { read_only: Some(true), ..connect_request() };
    let mut reader = Client::connect_with(members[0].address(), &wish).unwrap();
    assert_eq!(reader.granted.read_only, Some(true));
    let sync = (OpCode::Sync, Request::Sync { path: "/".into() });
    let answers = reader.ask(&[read("/a"), create("/b", 0), sync, read("/e")]);
    assert_eq!(errors(&answers), [0, -119, -119, 0]);

    // A session of the ensemble can be attached to, and not closed.
    let back = ConnectRequest {
        session: owner.granted.session,
        password: owner.granted.password.clone(),
        read_only: Some(true),
        ..connect_request()
    };
    let mut attached = Client::connect_with(members[0].address(), &back).unwrap();
    assert_eq!(attached.granted.session, owner.granted.session);
    let close = (OpCode::CloseSession, Request::CloseSession);
    assert_eq!(errors(&attached.ask(&[read("/a"), close])), [0, -119]);

    members[1].run();
    members[0].wait_serving();
    assert!(reader.answer().is_none(), "with a leader, readers come back for more");
    assert!(reader.attach(members[0].address(), reader.granted.password.clone()).is_none());
    let mut again = owner.attach(members[0].address(), owner.granted.password.clone()).unwrap();
    assert_eq!(errors(&again.ask(&[read("/e"), create("/b", 0)])), [0, 0]);
}
