//! Goal: reads are answered and refused as ZooKeeper does it. Method: a client that looks at the frames.

use bytes::Bytes;
use conclave_protocol::{
    multi::ReadOp, opcode::OpCode, request::Request, response::Response, text::Text,
};

use super::support::{Client, Member, create, errors};

fn multi_read(paths: [Text; 2]) -> (OpCode, Request) {
    let ops = paths.map(|path| ReadOp::GetData { path, watch: false }).into();
    (OpCode::MultiRead, Request::MultiRead(ops))
}

#[test]
fn a_null_path_makes_a_whole_multi_read_malformed() {
    let member = Member::start("");
    let mut client = Client::connect(member.address());
    let asked = [multi_read(["/".into(), Text::NULL]), multi_read(["/".into(), "/missing".into()])];
    let answers = client.ask(&asked);
    assert_eq!(errors(&answers), [-5, 0]);
    assert!(answers[0].1.is_empty(), "an error has no body");
}

#[test]
fn a_null_prefix_matches_all_ephemerals_and_one_that_is_no_text_matches_none() {
    let member = Member::start("");
    let mut client = Client::connect(member.address());
    client.ask(&[create("/e", 1)]);
    let ask = |prefix| (OpCode::GetEphemerals, Request::GetEphemerals { prefix });
    let no_text = Text::from_bytes(Bytes::from_static(b"/\xff"));
    let answers = client.ask(&[ask(Text::NULL), ask("/e".into()), ask(no_text)]);
    let told =
        answers.into_iter().map(|(_, body)| Response::decode(OpCode::GetEphemerals, body).unwrap());
    let all = Response::Ephemerals(vec!["/e".into()]);
    assert_eq!(told.collect::<Vec<_>>(), [all.clone(), all, Response::Ephemerals(vec![])]);
}
