//! Goal: the configuration decides who may do what, besides the lists of the znodes. Method: a znode that
//! only one user may touch, and clients that have proved this and that.

use bytes::Bytes;
use conclave_protocol::{
    acl::{Acl, Identity, Perms},
    opcode::OpCode,
    request::{Create, Request},
};

use super::support::{Client, Member, create, errors, read};

fn auth(credentials: &str) -> (OpCode, Request) {
    let data = Some(Bytes::copy_from_slice(credentials.as_bytes()));
    (OpCode::Auth, Request::Auth { kind: 0, scheme: "digest".into(), data })
}

/// A znode of a user whose password nobody here knows.
fn create_closed(path: &str) -> (OpCode, Request) {
    let identity = Identity { scheme: "digest".into(), id: "other:hash".into() };
    let acl = Some(vec![Acl { perms: Perms::ALL, identity }]);
    let create = Create { path: path.into(), data: None, acl, flags: 0 };
    (OpCode::Create, Request::Create(create))
}

#[test]
fn lists_are_kept_unless_the_configuration_says_not_to_check_them() {
    let requests = [create_closed("/closed"), read("/closed"), create("/closed/a", 0)];
    let member = Member::start("");
    let mut client = Client::connect(member.address());
    assert_eq!(errors(&client.ask(&requests)), [0, -102, -102]);

    let member = Member::start("skipACL=yes\n");
    let mut client = Client::connect(member.address());
    assert_eq!(errors(&client.ask(&requests)), [0, 0, 0]);
    let told = client.ask(&[(OpCode::WhoAmI, Request::WhoAmI)]);
    assert!(!told[0].1.windows(9).any(|window| window == b"unchecked"), "{:?}", told[0].1);
}

#[test]
fn the_super_user_passes_every_list() {
    let digest = "DigestAuthenticationProvider.superDigest=super:g9oN2HttPfn8MMWJZ2r45Np/LIA=\n";
    let member = Member::start(digest);
    let mut client = Client::connect(member.address());
    let tries = [create_closed("/closed"), auth("super:wrong"), read("/closed")];
    assert_eq!(errors(&client.ask(&tries)), [0, 0, -102]);
    let answers = client.ask(&[auth("super:superpw"), read("/closed"), create("/closed/a", 0)]);
    assert_eq!(errors(&answers), [0, 0, 0]);
}

#[test]
fn a_client_that_has_proved_nothing_is_sent_away_where_it_has_to() {
    let member = Member::start("enforce.auth.enabled=true\nenforce.auth.schemes=digest\n");
    let mut stranger = Client::connect(member.address());
    assert_eq!(errors(&stranger.ask(&[read("/")])), [-124]);
    assert!(stranger.answer().is_none(), "the connection ends");
    let mut known = Client::connect(member.address());
    assert_eq!(errors(&known.ask(&[auth("me:secret"), read("/"), create("/a", 0)])), [0, 0, 0]);
}

#[test]
fn a_proof_that_cannot_be_read_ends_the_connection_without_an_answer() {
    let member = Member::start("");
    for opcode in [OpCode::Auth, OpCode::Sasl] {
        let mut client = Client::connect(member.address());
        // A ping has no body.
        client.send(&[read("/"), (opcode, Request::Ping)]);
        assert_eq!(client.answer().unwrap().0.error, 0);
        assert!(client.answer().is_none(), "the connection ends");
    }
}

#[test]
fn the_members_are_told_by_the_config_znode_of_each() {
    let members = Member::start_ensemble(3, "");
    for member in &members {
        let mut client = Client::connect(member.address());
        let answers = client.ask(&[read("/zookeeper/config")]);
        let text = String::from_utf8_lossy(&answers[0].1).into_owned();
        for id in 1..=3 {
            assert!(text.contains(&format!("server.{id}=127.0.0.1:")), "{text}");
        }
        assert!(text.contains("version=0"), "{text}");
        let reconfig = Request::Reconfig {
            joining: "".into(),
            leaving: "3".into(),
            members: "".into(),
            version: -1,
        };
        assert_eq!(errors(&client.ask(&[(OpCode::Reconfig, reconfig)])), [-123]);
    }
}
