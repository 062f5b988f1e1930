//! Goal: whoever meets a limit is told so, or waits, and nobody else notices. Method: members with small
//! limits, and clients that go beyond them.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use bytes::{BufMut, BytesMut};
use conclave_protocol::{
    connect::ConnectRequest,
    ids::Xid,
    multi::ReadOp,
    opcode::OpCode,
    request::{Request, RequestHeader},
};
use conclave_server::limit::Permit;
use socket2::{Domain, Socket, Type};

use super::support::{Client, Member, connect_request, create, errors, read, set};

#[test]
fn a_request_that_is_too_long_is_refused_in_its_place_and_the_connection_goes_on() {
    let member = Member::start("jute.maxbuffer=2000\n");
    let mut client = Client::connect(member.address());
    let long = set("/a", 5_000_000);
    client.send(&[create("/a", 0), long, set("/a", 1000), set("/a", 2000), read("/a")]);
    let answers: Vec<_> = (0..5).map(|_| client.answer().unwrap()).collect();
    assert_eq!(errors(&answers), [0, -4, 0, -4, 0]);
    let xids: Vec<i32> = answers.iter().map(|(header, _)| header.xid.0).collect();
    assert_eq!(xids, [1, 2, 3, 4, 5]);
    assert_eq!(answers[4].1[..4], 1000_u32.to_be_bytes(), "what was short enough was written");
    assert_eq!(errors(&client.ask(&[create("/b", 1)])), [0]);
}

#[test]
fn a_client_is_heard_while_a_request_that_is_too_long_comes_slowly() {
    let member = Member::start("jute.maxbuffer=2000\nminSessionTimeout=1000\n");
    let short = ConnectRequest { timeout_ms: 1000, ..connect_request() };
    let mut client = Client::connect_with(member.address(), &short).unwrap();
    let mut frame = BytesMut::new();
    frame.put_i32(4000);
    RequestHeader { xid: Xid(1), opcode: OpCode::SetData.to_wire() }.encode(&mut frame);
    frame.put_bytes(0, 4000 - RequestHeader::LEN_BYTES);
    for piece in frame.chunks(200) {
        client.send_bytes(piece);
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(client.answer().unwrap().0.error, -4);
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

#[test]
fn a_reply_that_is_too_long_is_an_error_and_arms_nothing() {
    let lines = "jute.maxbuffer=1024\nreply.maxbuffer=2048\n4lw.commands.whitelist=*\n";
    let member = Member::start(lines);
    let mut client = Client::connect(member.address());
    assert_eq!(errors(&client.ask(&[create("/a", 0), create("/b", 0), set("/b", 900)])), [0; 3]);
    let children: Vec<_> = (0..60).map(|n| create(&format!("/a/{n:036}"), 1)).collect();
    assert_eq!(errors(&client.ask(&children[..45])), [0; 45]);
    let path = || "/a".into();
    let reads = [
        (OpCode::GetChildren, Request::GetChildren { path: path(), watch: true }),
        (OpCode::GetChildren2, Request::GetChildren2 { path: path(), watch: true }),
        (OpCode::GetEphemerals, Request::GetEphemerals { prefix: "/".into() }),
        (OpCode::GetData, Request::GetData { path: "/b".into(), watch: false }),
    ];
    assert_eq!(errors(&client.ask(&reads)), [0, 0, 0, 0]);
    let mut other = Client::connect(member.address());
    assert_eq!(errors(&client.ask(&children[45..])).last(), Some(&0));
    let watched = member.word("wchs", b"");
    assert_eq!(errors(&other.ask(&reads[..2])), [-5, -5]);
    assert_eq!(member.word("wchs", b""), watched);
    assert_eq!(errors(&client.ask(&reads)), [-5, -5, -5, 0]);

    // Each part is short enough, and the whole is not.
    let parts = |count| {
        let data = ReadOp::GetData { path: "/b".into(), watch: false };
        (OpCode::MultiRead, Request::MultiRead(vec![data; count]))
    };
    assert_eq!(errors(&client.ask(&[parts(1), parts(3), create("/c", 0)])), [0, -5, 0]);
}

/// Counts the requests under way, again and again, until `clients` have sent so many writes each and been
/// answered; returns the highest count.
fn highest_count(member: &Member, clients: u8, writes: usize) -> usize {
    let gate = &member.shared().gate;
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let counter = scope.spawn(|| {
            let mut highest = 0;
            while !is_done.load(Ordering::Relaxed) {
                highest = highest.max(gate.count());
            }
            highest
        });
        let clients: Vec<_> = (0..clients)
            .map(|_| {
                let mut client = Client::connect(member.address());
                scope.spawn(move || {
                    let answers = client.ask(&vec![create("/s-", 2); writes]);
                    assert_eq!(errors(&answers), vec![0; writes]);
                    assert!(answers.is_sorted_by_key(|(header, _)| header.xid.0));
                })
            })
            .collect();
        clients.into_iter().for_each(|client| client.join().unwrap());
        is_done.store(true, Ordering::Relaxed);
        counter.join().unwrap()
    })
}

#[test]
fn of_too_many_requests_each_connection_waits_for_its_own() {
    let member = Member::start("globalOutstandingLimit=0\n");
    assert!(highest_count(&member, 4, 500) > 50, "without a limit all go on");
    let member = Member::start("globalOutstandingLimit=3\n");
    let highest = highest_count(&member, 4, 500);
    assert!((2..=3 + 4).contains(&highest), "{highest}");

    // Others have the whole of the limit: each connection has one more.
    let others: Vec<_> = (0..3).map(|_| member.shared().gate.enter(None)).collect();
    let highest = highest_count(&member, 2, 200);
    assert!((4..=5).contains(&highest), "{highest}");
    drop(others);
}

/// Takes a permit away from the clients, once those that were answered have given theirs back.
fn take_permit(member: &Member) -> Permit {
    let mut taken = None;
    member.wait_until("a permit is free", |shared| {
        taken = shared.gate.try_permit();
        taken.is_some()
    });
    taken.unwrap()
}

#[test]
fn no_request_is_looked_at_while_as_many_as_may_are_under_way() {
    let member = Member::start("requestThrottleLimit=2\nminSessionTimeout=1000\n");
    let gate = &member.shared().gate;
    // A connect request is none of those that wait.
    assert!((1..=2).contains(&highest_count(&member, 1, 200)));
    let short = ConnectRequest { timeout_ms: 1000, ..connect_request() };
    let mut client = Client::connect_with(member.address(), &short).unwrap();
    let others = [take_permit(&member), take_permit(&member)];
    client.send(&[create("/a", 0), read("/a")]);
    std::thread::sleep(Duration::from_millis(2500));
    assert_eq!(gate.count(), 0);
    // It waits, and its session does not end for that.
    drop(others);
    let answers = [client.answer().unwrap(), client.answer().unwrap()];
    assert_eq!(errors(&answers), [0, 0]);
}

#[test]
fn a_request_that_waits_too_long_is_refused_unless_it_keeps_the_session() {
    let lines = "requestThrottleLimit=1\nthrottledOpWaitTime=500\n4lw.commands.whitelist=*\n";
    let member = Member::start(lines);
    let mut client = Client::connect(member.address());
    let permit = take_permit(&member);
    let ping = (OpCode::Ping, Request::Ping);
    client.send(&[create("/a", 0), ping, read("/a")]);
    let answers: Vec<_> = (0..3).map(|_| client.answer().unwrap()).collect();
    assert_eq!(errors(&answers), [-127, 0, -127]);
    assert!(member.word("mntr", b"").contains("zk_throttled_ops\t2\n"));
    drop(permit);
    assert_eq!(errors(&client.ask(&[create("/a", 0)])), [0]);
    assert_eq!(errors(&client.ask(&[read("/a")])), [0]);
    let permit = take_permit(&member);
    assert_eq!(errors(&client.ask(&[(OpCode::CloseSession, Request::CloseSession)])), [0]);
    drop(permit);
}

#[test]
fn who_connects_too_often_is_sent_away_and_may_come_back() {
    let lines = "connectionMaxTokens=3\nconnectionTokenFillTime=3000\n4lw.commands.whitelist=*\n";
    let member = Member::start(lines);
    let connect = || Client::connect_with(member.address(), &connect_request());
    let mut clients: Vec<Client> = (0..3).map(|_| connect().unwrap()).collect();
    let owner = clients.pop().unwrap();
    assert!(connect().is_none(), "without an answer");
    let again = ConnectRequest {
        session: owner.granted.session,
        password: owner.granted.password.clone(),
        ..connect_request()
    };
    assert!(Client::connect_with(member.address(), &again).is_none(), "an old session counts too");
    assert_eq!(member.word("ruok", b""), "imok");
    assert_eq!(errors(&clients[0].ask(&[create("/a", 0)])), [0], "those that are there go on");
    assert!(member.word("mntr", b"").contains("zk_connection_rejected\t2\n"));
    let comes_back = || Client::connect_with(member.address(), &again).is_some();
    member.wait_until("a token has come", |_| comes_back());
}

/// Connects from an address of this machine and asks whether all is well.
fn is_served_from(member: &Member, host: [u8; 4]) -> bool {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((host, 0)).into()).unwrap();
    socket.connect(&member.address().into()).unwrap();
    let mut socket = TcpStream::from(socket);
    drop(socket.write_all(b"ruok"));
    socket.read(&mut [0; 4]).is_ok_and(|count| count == 4)
}

#[test]
fn one_address_cannot_take_all_places_nor_all_addresses_together() {
    let lines = "maxClientCnxns=2\nmaxCnxns=3\n4lw.commands.whitelist=*\n";
    let member = Member::start(lines);
    let first = Client::connect(member.address());
    let mut second = Client::connect(member.address());
    assert!(!is_served_from(&member, [127, 0, 0, 1]), "a third of one address");
    assert!(is_served_from(&member, [127, 0, 0, 2]), "another address");
    drop(first);
    member.wait_until("its place is free", |_| is_served_from(&member, [127, 0, 0, 1]));
    assert_eq!(errors(&second.ask(&[create("/a", 0)])), [0]);

    let member = Member::start(lines);
    let _clients = [Client::connect(member.address()), Client::connect(member.address())];
    let held = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    held.bind(&SocketAddr::from(([127, 0, 0, 2], 0)).into()).unwrap();
    held.connect(&member.address().into()).unwrap();
    assert!(!is_served_from(&member, [127, 0, 0, 3]), "a fourth of all");
    drop(held);
    member.wait_until("its place is free", |_| is_served_from(&member, [127, 0, 0, 3]));
}
