//! Goal: reads are answered and refused as ZooKeeper does it. Method: a client that looks at the frames.

use conclave_protocol::{multi::ReadOp, opcode::OpCode, request::Request, text::Text};

use super::support::{Client, Member, errors};

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
