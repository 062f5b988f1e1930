//! Goal: containers and TTL znodes go when their time has come, not before, and for good. Method: short
//! times, and a member that is stopped in between.

use conclave_protocol::{
    acl::Acl,
    opcode::OpCode,
    request::{Create, Request},
};

use super::support::{Client, Member, create, errors, read};

const LINES: &str = "znode.container.checkIntervalMs=50\n4lw.commands.whitelist=*\n";

fn create_ttl(path: &str, ttl_ms: i64) -> (OpCode, Request) {
    let acl = Some(vec![Acl::open()]);
    let create = Create { path: path.into(), data: None, acl, flags: 5 };
    (OpCode::CreateTtl, Request::CreateTtl { create, ttl_ms })
}

fn delete(path: &str) -> (OpCode, Request) {
    (OpCode::Delete, Request::Delete { path: path.into(), version: -1 })
}

fn wait_gone(client: &mut Client, path: &str) {
    for _ in 0..400 {
        if errors(&client.ask(&[read(path)])) == [-101] {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("{path} is still there");
}

#[test]
fn what_has_children_or_time_left_stays() {
    let member = Member::start(LINES);
    let mut client = Client::connect(member.address());
    let made = client.ask(&[
        create("/unused", 4),
        create("/used", 4),
        create("/used/a", 0),
        create("/full", 4),
        create("/full/a", 0),
        create_ttl("/short", 100),
        create_ttl("/parent", 100),
        create("/parent/a", 0),
        create_ttl("/long", 3_600_000),
        delete("/used/a"),
    ]);
    assert_eq!(errors(&made), [0; 10]);
    wait_gone(&mut client, "/used");
    wait_gone(&mut client, "/short");
    let kept = ["/unused", "/full", "/parent", "/long"].map(read);
    assert_eq!(errors(&client.ask(&kept)), [0; 4]);
    assert_eq!(errors(&client.ask(&[delete("/full/a"), delete("/parent/a")])), [0, 0]);
    wait_gone(&mut client, "/full");
    wait_gone(&mut client, "/parent");
}

#[test]
fn they_go_also_after_a_restart_from_log_and_snapshot() {
    let mut member = Member::start(&format!("{LINES}snapCount=20\n"));
    let mut client = Client::connect(member.address());
    assert_eq!(errors(&client.ask(&[create_ttl("/ttl", 700), create("/box", 4)])), [0, 0]);
    // Enough for a snapshot that has both.
    for number in 0..60 {
        assert_eq!(errors(&client.ask(&[create(&format!("/n{number}"), 0)])), [0]);
    }
    member.stop();
    member.run();
    member.wait_serving();
    let mut client = Client::connect(member.address());
    assert_eq!(errors(&client.ask(&[create("/box/a", 0), delete("/box/a")])), [0, 0]);
    wait_gone(&mut client, "/box");
    wait_gone(&mut client, "/ttl");
}

#[test]
fn members_without_extended_types_have_no_ttl() {
    let member = Member::start("extendedTypesEnabled=false\n");
    let mut client = Client::connect(member.address());
    assert_eq!(errors(&client.ask(&[create_ttl("/ttl", 100), create("/box", 4)])), [-6, 0]);
}
