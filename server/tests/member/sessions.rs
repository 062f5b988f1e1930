//! Goal: a session is served by one member at a time, ends once, and is refused to a client that knows more
//! than its member. Method: raw frames of clients that move, race and claim, against three members.

use std::{sync::Barrier, time::Duration};

use conclave_protocol::{
    connect::ConnectRequest,
    event::{EventKind, WatchEvent},
    ids::Xid,
    jute::Reader,
    multi::Op,
    opcode::OpCode,
    request::Request,
    zxid::Zxid,
};

use super::support::{Client, Member, connect_request, create, errors, read, set};

const LINES: &str = "4lw.commands.whitelist=*\nminSessionTimeout=400\n";

/// Least timeout that clients are granted here, in milliseconds.
const SHORT_MS: i32 = 400;

fn close() -> (OpCode, Request) {
    (OpCode::CloseSession, Request::CloseSession)
}

fn sync() -> (OpCode, Request) {
    (OpCode::Sync, Request::Sync { path: "/".into() })
}

/// Attaches a session elsewhere, with the password and what it has seen.
fn attach_having_seen(client: &Client, member: &Member, seen: Zxid) -> Option<Client> {
    let request = ConnectRequest {
        session: client.granted.session,
        password: client.granted.password.clone(),
        last_zxid_seen: seen,
        ..connect_request()
    };
    Client::connect_with(member.address(), &request)
}

#[test]
fn the_member_that_a_session_has_left_can_neither_write_in_it_nor_close_it() {
    let members = Member::start_ensemble(3, LINES);
    let writes = [
        set("/e", 3),
        create("/other", 0),
        (OpCode::Multi, Request::Multi(vec![Op::Check { path: "/e".into(), version: -1 }])),
        close(),
    ];
    for (number, write) in writes.into_iter().enumerate() {
        let (from, to) = (&members[number % 3], &members[(number + 1) % 3]);
        let mut old = Client::connect(from.address());
        assert_eq!(errors(&old.ask(&[create("/e", 1)])), [0]);
        let mut new = old.attach(to.address(), old.granted.password.clone()).unwrap();
        assert_eq!(errors(&new.ask(&[set("/e", 2)])), [0]);
        // It may read on, and hears that the session goes on elsewhere by the end of its connection.
        assert_eq!(errors(&old.ask(&[read("/e"), read("/none")])), [0, -101]);
        old.send(std::slice::from_ref(&write));
        assert!(old.answer().is_none(), "{write:?}");
        let answers = new.ask(&[read("/e"), read("/other"), close()]);
        assert_eq!(errors(&answers), [0, -101, 0], "{write:?}");
        assert_eq!(answers[0].1[..4], 2_u32.to_be_bytes(), "nothing of it was written: {write:?}");
        assert!(new.answer().is_none());
    }
}

#[test]
fn a_session_that_comes_back_to_its_member_is_its_own_again() {
    let members = Member::start_ensemble(3, LINES);
    let mut first = Client::connect(members[0].address());
    assert_eq!(errors(&first.ask(&[create("/e", 1)])), [0]);
    let password = first.granted.password.clone();
    let mut there = first.attach(members[1].address(), password.clone()).unwrap();
    assert_eq!(errors(&there.ask(&[set("/e", 1)])), [0]);
    let mut back = first.attach(members[0].address(), password).unwrap();
    assert!(first.answer().is_none(), "the connection it had there before has ended");
    assert_eq!(errors(&back.ask(&[set("/e", 2)])), [0]);
    there.send(&[set("/e", 3)]);
    assert!(there.answer().is_none());
    let answers = back.ask(&[read("/e"), close()]);
    assert_eq!(errors(&answers), [0, 0]);
    assert_eq!(answers[0].1[..4], 2_u32.to_be_bytes());
}

#[test]
fn a_client_from_the_future_is_served_by_no_member_until_that_has_come() {
    let members = Member::start_ensemble(3, LINES);
    let mut owner = Client::connect(members[0].address());
    let seen = owner.ask(&[create("/e", 1)])[0].0.zxid;
    let ahead = seen.successor().unwrap();
    for member in &members {
        member.wait_until("it is as far", |shared| shared.state.read().last_applied == seen);
        assert!(attach_having_seen(&owner, member, ahead).is_none(), "without an answer");
        let new = ConnectRequest { last_zxid_seen: ahead, ..connect_request() };
        assert!(Client::connect_with(member.address(), &new).is_none(), "a new session neither");
    }
    // Whoever claimed too much has taken nothing from the session.
    let written = owner.ask(&[set("/e", 1)])[0].0;
    assert_eq!((written.error, written.zxid), (0, ahead));
    for member in &members {
        member.wait_until("it is as far", |shared| shared.state.read().last_applied >= ahead);
        let mut again = attach_having_seen(&owner, member, ahead).unwrap();
        assert_eq!(errors(&again.ask(&[read("/e"), set("/e", 2)])), [0, 0]);
    }
}

#[test]
fn a_client_of_3_4_neither_sends_nor_gets_the_byte_for_read_only() {
    let member = Member::start(LINES);
    let old = ConnectRequest { read_only: None, ..connect_request() };
    let mut client = Client::connect_with(member.address(), &old).unwrap();
    assert_eq!(client.granted.read_only, None);
    assert_eq!(errors(&client.ask(&[create("/e", 1)])), [0]);
    let back = ConnectRequest {
        session: client.granted.session,
        password: client.granted.password.clone(),
        ..old.clone()
    };
    let mut again = Client::connect_with(member.address(), &back).unwrap();
    assert_eq!(again.granted.read_only, None);
    assert_eq!(errors(&again.ask(&[read("/e"), close()])), [0, 0]);
    let refused = Client::connect_with(member.address(), &back).unwrap();
    assert_eq!((refused.granted.timeout_ms, refused.granted.read_only), (0, None));
}

/// Opens a short session with the ephemeral `/e-<number>` and closes it after so long a silence; returns
/// the error of the answer, if there was one.
fn close_late(member: &Member, number: usize, silence: Duration) -> Option<i32> {
    let short = ConnectRequest { timeout_ms: SHORT_MS, ..connect_request() };
    let mut client = Client::connect_with(member.address(), &short).unwrap();
    assert_eq!(errors(&client.ask(&[create(&format!("/e-{number}"), 1)])), [0]);
    std::thread::sleep(silence);
    client.try_send(&[close()]).then(|| client.answer()).flatten().map(|(header, _)| header.error)
}

#[test]
fn a_session_that_is_closed_when_its_time_is_up_ends_once() {
    const CLIENTS: usize = 90;
    let members = Member::start_ensemble(3, LINES);
    let mut watcher = Client::connect(members[0].address());
    let watch = Request::AddWatch { path: "/".into(), mode: 1 };
    assert_eq!(errors(&watcher.ask(&[(OpCode::AddWatch, watch)])), [0]);
    // All silent from about the same moment, for times around the timeout and what it takes to notice.
    let start = Barrier::new(CLIENTS);
    let outcomes: Vec<Option<i32>> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let (member, start) = (&members[number % 3], &start);
                scope.spawn(move || {
                    start.wait();
                    close_late(member, number, Duration::from_millis(250 + number as u64 * 5))
                })
            })
            .collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    let closed = outcomes.iter().filter(|outcome| **outcome == Some(0)).count();
    assert!((1..CLIENTS).contains(&closed), "some were in time, some were not: {outcomes:?}");
    // Too late: the end of the connection, or word that there is no such session.
    assert!(
        outcomes.iter().all(|outcome| matches!(outcome, Some(0 | -112) | None)),
        "{outcomes:?}"
    );

    // Every ephemeral has gone, once, whoever won.
    let mut gone: Vec<String> = Vec::new();
    while gone.len() < CLIENTS {
        let (header, body) = watcher.answer().unwrap();
        assert_eq!(header.xid, Xid::EVENT);
        let event = WatchEvent::decode(&mut Reader::new(body)).unwrap();
        if event.kind == EventKind::NodeDeleted {
            gone.push(event.path.as_str().unwrap().to_owned());
        }
    }
    gone.sort();
    gone.dedup();
    assert_eq!(gone.len(), CLIENTS);
    let stat = |client: &mut Client| {
        let exists = Request::Exists { path: "/".into(), watch: false };
        let answers = client.ask(&[sync(), (OpCode::Exists, exists)]);
        assert_eq!(answers.len(), 2, "no event more");
        answers[1].1.clone()
    };
    let root = stat(&mut watcher);
    for member in &members {
        assert_eq!(stat(&mut Client::connect(member.address())), root, "the same everywhere");
        assert!(member.word("dump", b"").contains("Sessions with Ephemerals (0)"));
    }
    let cversion = i32::from_be_bytes(root[36..40].try_into().unwrap());
    assert_eq!(
        cversion,
        -1 + 2 * CLIENTS as i32,
        "one change for each create, and one for each end"
    );
}
