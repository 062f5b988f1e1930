//! Goal: the four-letter words tell the truth of a running member. Method: a member with one session
//! that has an ephemeral and a watch is asked every word; the forms of the answers are checked
//! elsewhere, against recordings.

use super::support::{Client, Member, create, read};
use conclave_protocol::{opcode::OpCode, request::Request};

fn line<'a>(text: &'a str, start: &str) -> &'a str {
    text.lines()
        .find_map(|line| line.strip_prefix(start))
        .unwrap_or_else(|| panic!("no line begins with {start:?}:\n{text}"))
}

/// A member with a session that has an ephemeral znode `/e` and watches `/w` and `/e`.
fn member_and_client() -> (Member, Client) {
    let member = Member::start("4lw.commands.whitelist=*\n");
    let mut client = Client::connect(member.address());
    let answers = client.ask(&[
        create("/e", 1),
        (OpCode::Exists, Request::Exists { path: "/w".into(), watch: true }),
        (OpCode::GetData, Request::GetData { path: "/e".into(), watch: true }),
    ]);
    assert_eq!(answers.iter().map(|(header, _)| header.error).collect::<Vec<_>>(), [0, -101, 0]);
    (member, client)
}

#[test]
fn counts_are_those_of_the_member() {
    let (member, client) = member_and_client();
    let session = format!("0x{:x}", client.granted.session.0);

    let mntr = member.word("mntr", b"");
    for (key, value) in [
        ("ephemerals_count", "1"),
        ("watch_count", "2"),
        ("znode_count", "5"),
        ("global_sessions", "1"),
        ("num_alive_connections", "2"),
        ("server_state", "standalone"),
        // The word that asks among them.
        ("packets_received", "5"),
        ("packets_sent", "4"),
    ] {
        assert_eq!(line(&mntr, &format!("zk_{key}\t")), value, "{key}");
    }
    let wchs = member.word("wchs", b"");
    assert!(wchs.starts_with("1 connections watching 2 paths\nTotal watches:2"), "{wchs}");
    assert_eq!(member.word("wchc", b"").trim_end(), format!("{session}\n\t/e\n\t/w"));
    assert_eq!(member.word("wchp", b"").trim_end(), format!("/e\n\t{session}\n/w\n\t{session}"));
    let dump = member.word("dump", b"");
    assert!(dump.contains("Global Sessions(1):") && dump.contains("\t/e\n"), "{dump}");
    let cons = member.word("cons", b"");
    assert!(cons.contains(&format!("sid={session},lop=GETD,")), "{cons}");
    assert!(cons.contains("recved=4,sent=4,"), "{cons}");
    let dirs = member.word("dirs", b"");
    assert!(line(&dirs, "datadir_size: ").parse::<u64>().unwrap() > 0, "{dirs}");
    assert!(line(&member.word("conf", b""), "dataDirSize=").parse::<u64>().unwrap() > 0);
    assert_eq!(member.word("ruok", b""), "imok");
    assert_eq!(member.word("isro", b""), "rw");
    assert!(member.word("envi", b"").contains("\nos.name=Linux\n"));
}

#[test]
fn latencies_cover_every_request_and_begin_anew_when_told() {
    let (member, mut client) = member_and_client();
    // Nothing is ahead of this one.
    client.ask(&[read("/e")]);
    let latency = line(&member.word("srvr", b""), "Latency min/avg/max: ").to_owned();
    let max: u64 = latency.rsplit('/').next().unwrap().parse().unwrap();
    assert!(latency.starts_with("0/"), "reads take no time worth telling: {latency}");
    let cons = member.word("cons", b"");
    let slowest = cons.split("maxlat=").nth(1).and_then(|rest| rest.split(')').next()).unwrap();
    assert_eq!(slowest.parse::<u64>().unwrap(), max, "{cons}");

    assert_eq!(member.word("srst", b""), "Server stats reset.\n");
    let srvr = member.word("srvr", b"");
    assert_eq!(line(&srvr, "Latency min/avg/max: "), "0/0.0/0");
    assert_eq!(line(&srvr, "Received: "), "1", "the word that asks");
    assert_eq!(member.word("crst", b""), "Connection stats reset.\n");
    let cons = member.word("cons", b"");
    assert!(
        cons.contains("recved=0,sent=0,") && cons.contains("[0](queued=0,recved=1,sent=0)"),
        "{cons}"
    );
}

#[test]
fn the_trace_mask_is_kept() {
    let member = Member::start("4lw.commands.whitelist=*\n");
    assert_eq!(member.word("gtmk", b""), "306");
    assert_eq!(member.word("stmk", &[0, 0, 0, 0, 0, 0, 0, 7]), "7");
    assert_eq!(member.word("gtmk", b""), "7");
}

#[test]
fn a_word_that_is_not_listed_is_not_answered() {
    let member = Member::start("4lw.commands.whitelist=ruok, isro\n");
    assert_eq!(member.word("ruok", b""), "imok");
    let refused = member.word("stmk", &[0; 8]);
    assert_eq!(refused, "stmk is not executed because it is not in the whitelist.\n");
}
