//! What others have put into the tree must not harm whoever looks at it.

use std::{
    io::{Read, Write},
    net::TcpListener,
    thread,
};

use bytes::{Bytes, BytesMut};
use conclave_client::{Client, CreateMode};
use conclave_protocol::{
    connect::ConnectResponse,
    frame,
    ids::{SessionId, Xid},
    jute::Reader,
    response::{ReplyHeader, Response},
    stat::Stat,
    zxid::Zxid,
};
use serde_json::json;

use crate::world::{Corner, block_on, conclave, ended};

#[test]
fn a_value_of_a_megabyte_goes_in_and_comes_out() {
    let corner = Corner::new("megabyte");
    let value = "0123456789abcde\n".repeat(65_000);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("value");
    std::fs::write(&file, &value).unwrap();
    let file = file.to_str().unwrap();
    corner.ok(&["create", "--file", file, "/x"]);
    assert_eq!(corner.ok(&["get", "-r", "/x"]), value);
    assert_eq!(corner.json(&["get", "/x"])["data"], json!(value));
    assert!(corner.ok(&["get", "-x", "/x"]).ends_with("|0123456789abcde.|\n"));
    assert_eq!(corner.shell(&["set", "--file", "/nonexistent", "/x"]).0, 1);
    assert_eq!(corner.shell(&["set", "--file", file, "/x", "twice"]).0, 2);
    std::fs::write(file, vec![0; 3 << 20]).unwrap();
    let (code, _, error) = corner.shell(&["set", "--file", file, "/x"]);
    assert!(code == 1 && error.contains("too long"), "{error}");
}

#[test]
fn names_that_would_turn_the_line_around_are_escaped() {
    let corner = Corner::new("names");
    let client = block_on(Client::connect(&corner.hosts)).unwrap();
    let name = "/a\u{202e}cod.exe";
    block_on(client.create(name, "", CreateMode::Persistent)).unwrap();
    block_on(client.close()).unwrap();
    assert_eq!(corner.ok(&["ls", "/"]), "[a\\u{202e}cod.exe]\n");
    assert_eq!(corner.ok(&["ls", "-R", "/"]), "/\n/a\\u{202e}cod.exe\n");
    assert_eq!(corner.json(&["ls", "/"])["children"], json!([&name[1..]]));
    assert_eq!(corner.ok(&["get", name]), "\n");
}

/// Method: a server that lies: it lists a child whose name moves the cursor and begins a new line.
#[test]
fn a_server_that_lies_cannot_reach_the_terminal() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut buffer = BytesMut::new();
        let mut greeting = Some(());
        loop {
            while let Ok(Some(frame)) = frame::decode_frame(&mut buffer, 1 << 20) {
                let answer = if greeting.take().is_some() { greeted() } else { lie(frame) };
                stream.write_all(&answer).unwrap();
            }
            let mut read = [0; 4096];
            match stream.read(&mut read) {
                Ok(0) | Err(_) => return,
                Ok(count) => buffer.extend_from_slice(&read[..count]),
            }
        }
    });
    let (code, out, _) = ended(conclave(&["--server", &address, "ls", "/"]));
    assert_eq!((code, out.as_str()), (0, "[x\\x1b[2J\\x0a/etc]\n"));
    server.join().unwrap();
}

fn greeted() -> BytesMut {
    let response = ConnectResponse {
        protocol_version: 0,
        timeout_ms: 10_000,
        session: SessionId(1),
        password: Some(Bytes::from_static(&[0; 16])),
        read_only: Some(false),
    };
    let mut out = BytesMut::new();
    frame::put_frame(&mut out, |out| response.encode(out));
    out
}

/// Answers every request with the same list.
fn lie(frame: Bytes) -> BytesMut {
    let xid = Xid(Reader::new(frame).i32().unwrap());
    let header = ReplyHeader { xid, zxid: Zxid(1), error: 0 };
    let children = vec!["x\x1b[2J\n/etc".into()];
    let list = Response::Children2 { children, stat: Stat::default() };
    let mut out = BytesMut::new();
    frame::put_frame(&mut out, |out| {
        header.encode(out);
        list.encode(out);
    });
    out
}
