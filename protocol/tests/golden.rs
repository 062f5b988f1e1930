//! Goal: our codec and the real server's agree to the byte, in both directions.
//! Method: every frame of the recordings is decoded and encoded again. What a scenario sends
//! malformed on purpose must be refused; those scenarios are listed, and all is counted, so that
//! the test cannot pass by looking at nothing.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]
#![expect(clippy::disallowed_methods, reason = "recordings are read from files")]

use std::collections::{BTreeMap, VecDeque};

use bytes::{Bytes, BytesMut};
use conclave_protocol::{
    connect::{ConnectRequest, ConnectResponse},
    event::WatchEvent,
    frame::{FRAME_LEN_BYTES_MAX_DEFAULT, FrameError, decode_frame, four_letter_word},
    ids::Xid,
    jute::Reader,
    opcode::OpCode,
    request::{Request, RequestHeader},
    response::{ReplyHeader, Response},
};
use serde_json::Value;

/// How many requests of each scenario are refused: malformed on purpose, an operation that a multi
/// cannot hold, or one that clients cannot ask.
const REFUSED: [(&str, usize); 11] = [
    ("connect_second_request", 1),
    ("delete_container_op", 1),
    ("four_letter_words", 2),
    ("four_letter_words_default", 1),
    ("frames", 9),
    ("marshalling", 22),
    ("multi_odd", 12),
    ("multi_ok", 1),
    ("request_before_connect", 7),
    ("unknown_opcodes", 12),
    ("zxid_increments", 1),
];

/// Scenarios with bytes behind a request, which a server ignores.
const TRAILING: [&str; 5] =
    ["connect_second_request", "frames", "marshalling", "request_before_connect", "xids"];

/// Scenarios whose booleans are other bytes than 0 and 1.
const ODD_BOOLEANS: [&str; 2] = ["marshalling", "precedence_more"];

#[derive(Default)]
struct Counts {
    requests: usize,
    connects: usize,
    replies: usize,
    errors: usize,
    events: usize,
    words: usize,
    refused: BTreeMap<String, usize>,
}

#[derive(Default)]
struct Connection {
    is_connected: bool,
    is_greeted: bool,
    stream: BytesMut,
    asked: VecDeque<(Xid, Option<OpCode>)>,
}

fn bytes(line: &Value) -> Option<Vec<u8>> {
    let hex = line["hex"].as_str()?;
    let mut bytes: Vec<u8> = (0..hex.len() / 2)
        .map(|index| u8::from_str_radix(&hex[index * 2..index * 2 + 2], 16).unwrap())
        .collect();
    if let Some(fill) = line.get("fill") {
        let byte = u8::from_str_radix(fill["byte"].as_str().unwrap(), 16).unwrap();
        let count = fill["count"].as_u64().unwrap() as usize;
        bytes.extend(std::iter::repeat_n(byte, count));
    }
    Some(bytes)
}

/// Checks that `encoded` is what came, apart from bytes behind it that a server ignores.
fn same(place: &str, scenario: &str, encoded: &[u8], came: &[u8]) {
    if ODD_BOOLEANS.contains(&scenario) {
        assert!(encoded.len() <= came.len(), "{place}");
        return;
    }
    assert!(came.starts_with(encoded), "{place}: encoded {encoded:02x?}, came {came:02x?}");
    let is_exact = encoded.len() == came.len();
    assert!(is_exact || TRAILING.contains(&scenario), "{place}: {} bytes", came.len());
}

impl Counts {
    fn refuse(&mut self, scenario: &str) {
        *self.refused.entry(scenario.to_owned()).or_default() += 1;
    }

    fn client_sent(&mut self, place: &str, scenario: &str, came: &[u8], to: &mut Connection) {
        let word = came.get(..4).and_then(|start| four_letter_word(start.try_into().unwrap()));
        if word.is_some() && !to.is_connected {
            self.words += 1;
            return;
        }
        to.stream.extend_from_slice(came);
        loop {
            match decode_frame(&mut to.stream, FRAME_LEN_BYTES_MAX_DEFAULT) {
                Ok(Some(frame)) => self.frame(place, scenario, &frame, to),
                Ok(None) => return,
                Err(FrameError::Length { .. }) => {
                    // An unknown word, or an impossible length.
                    to.stream.clear();
                    return self.refuse(scenario);
                }
            }
        }
    }

    fn frame(&mut self, place: &str, scenario: &str, frame: &Bytes, to: &mut Connection) {
        if !to.is_connected {
            to.is_connected = true;
            let Ok(connect) = ConnectRequest::decode(frame.clone()) else {
                return self.refuse(scenario);
            };
            let mut encoded = Vec::new();
            connect.encode(&mut encoded);
            same(place, scenario, &encoded, frame);
            self.connects += 1;
            return;
        }
        let mut reader = Reader::new(frame.clone());
        let Ok(header) = RequestHeader::decode(&mut reader) else {
            return self.refuse(scenario);
        };
        let opcode = OpCode::from_wire(header.opcode);
        to.asked.push_back((header.xid, opcode));
        let request = opcode.map(|opcode| Request::decode(opcode, reader.into_rest()));
        let Some(Ok(request)) = request else {
            return self.refuse(scenario);
        };
        let mut encoded = Vec::new();
        header.encode(&mut encoded);
        request.encode(&mut encoded);
        if scenario != "multi_odd" {
            same(place, scenario, &encoded, frame);
        }
        self.requests += 1;
    }

    fn server_sent(&mut self, place: &str, scenario: &str, came: &[u8], on: &mut Connection) {
        let len = u32::from_be_bytes(came[..4].try_into().unwrap()) as usize;
        assert_eq!(len, came.len() - 4, "{place}");
        let frame = Bytes::copy_from_slice(&came[4..]);
        let mut encoded = Vec::new();
        if !on.is_greeted {
            on.is_greeted = true;
            if let Ok(greeting) = ConnectResponse::decode(frame.clone()) {
                greeting.encode(&mut encoded);
                assert_eq!(encoded, frame, "{place}");
                self.replies += 1;
                return;
            }
            // A read-only refusal is a reply header where a greeting should be.
            assert!(scenario == "ensemble_readonly", "{place}: no greeting");
            on.asked.push_front((Xid(0), None));
        }
        let mut reader = Reader::new(frame.clone());
        let header = ReplyHeader::decode(&mut reader).unwrap();
        header.encode(&mut encoded);
        if header.xid == Xid::EVENT && header.zxid.to_wire() == -1 && header.error == 0 {
            WatchEvent::decode(&mut reader).unwrap().encode(&mut encoded);
            assert_eq!(encoded, frame, "{place}");
            self.events += 1;
            return;
        }
        // By xid, as the reference leaves a check that holds unanswered; a ping is answered with the
        // xid of pings whatever it had.
        let answered = |(xid, opcode): &(Xid, Option<OpCode>)| {
            *xid == header.xid || (header.xid == Xid::PING && *opcode == Some(OpCode::Ping))
        };
        let index = on.asked.iter().position(answered);
        let index = index.unwrap_or_else(|| panic!("{place}: nothing was asked"));
        let (_, opcode) = on.asked.remove(index).unwrap();
        if header.error != 0 {
            self.errors += 1;
            return;
        }
        let opcode = opcode.unwrap_or_else(|| panic!("{place}: an unknown operation succeeded"));
        Response::decode(opcode, reader.into_rest()).unwrap().encode(&mut encoded);
        assert_eq!(encoded, frame, "{place}: {opcode:?}");
        self.replies += 1;
    }

    fn scenario(&mut self, name: &str, text: &str) {
        let mut connections: BTreeMap<u64, Connection> = BTreeMap::new();
        for (index, line) in text.lines().enumerate() {
            let place = format!("{name}.jsonl:{}", index + 1);
            let line: Value = serde_json::from_str(line).unwrap();
            let connection = line["conn"].as_u64().unwrap_or(0);
            match line["dir"].as_str().unwrap() {
                "ctl" if line["op"] == "open" => {
                    connections.insert(connection, Connection::default());
                }
                "c2s" => {
                    let connection = connections.entry(connection).or_default();
                    self.client_sent(&place, name, &bytes(&line).unwrap(), connection);
                }
                "s2c" => {
                    if let Some(came) = bytes(&line) {
                        let connection = connections.entry(connection).or_default();
                        self.server_sent(&place, name, &came, connection);
                    }
                }
                _ => {}
            }
        }
    }
}

#[test]
fn every_recorded_frame_is_decoded_and_encoded_to_the_same_bytes() {
    let mut counts = Counts::default();
    let mut scenarios = 0;
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/transcripts");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    for path in files.iter().filter(|path| path.extension().is_some_and(|e| e == "jsonl")) {
        let name = path.file_stem().unwrap().to_str().unwrap();
        counts.scenario(name, &std::fs::read_to_string(path).unwrap());
        scenarios += 1;
    }
    println!(
        "{scenarios} scenarios: {} connects, {} requests, {} replies, {} errors, {} events, {} words",
        counts.connects,
        counts.requests,
        counts.replies,
        counts.errors,
        counts.events,
        counts.words
    );
    let refused: Vec<(&str, usize)> =
        counts.refused.iter().map(|(scenario, count)| (scenario.as_str(), *count)).collect();
    assert_eq!(refused, REFUSED);
    assert_eq!(scenarios, 94);
    assert!(counts.connects >= 100 && counts.requests >= 1000 && counts.replies >= 1000);
    assert!(counts.errors >= 300 && counts.events >= 100 && counts.words >= 30);
}
