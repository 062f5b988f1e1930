//! Frames of a real server and its clients, out of the recordings: what the wire's targets begin with.
#![expect(clippy::disallowed_methods, reason = "recordings are read from files")]

use std::collections::{BTreeMap, VecDeque};

use conclave_protocol::{
    frame::four_letter_word, ids::Xid, jute::Reader, opcode::OpCode, request::RequestHeader,
    response::ReplyHeader,
};
use serde_json::Value;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../protocol/testdata/transcripts");

/// Longest frame that is taken: what is longer is full of one byte.
const LEN_BYTES_MAX: usize = 2048;

/// What was recorded, sorted by what it is.
#[derive(Debug, Default)]
struct Recorded {
    /// A first byte that says which, then the bytes.
    connects: Vec<Vec<u8>>,
    requests: Vec<Vec<u8>>,
    /// The place of the operation in [`OpCode::ALL`], then header and body.
    replies: Vec<Vec<u8>>,
    events: Vec<Vec<u8>>,
}

/// What came so far on one connection.
#[derive(Debug, Default)]
struct Connection {
    is_connected: bool,
    is_greeted: bool,
    asked: VecDeque<(Xid, i32)>,
}

/// Returns requests: header and body.
pub fn requests() -> Vec<Vec<u8>> {
    recorded().requests
}

/// Returns connect requests behind a 0, and their responses behind a 1.
pub fn connects() -> Vec<Vec<u8>> {
    recorded().connects
}

/// Returns replies: the place of the operation among all, then header and body.
pub fn replies() -> Vec<Vec<u8>> {
    recorded().replies
}

/// Returns events with their headers.
pub fn events() -> Vec<Vec<u8>> {
    recorded().events
}

/// Returns what each connection's client sent, as it was, lengths included.
///
/// # Panics
///
/// When the recordings are not there.
pub fn streams() -> Vec<Vec<u8>> {
    let mut streams = Vec::new();
    for text in texts() {
        let mut connections: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
        for (line, bytes) in lines(&text).filter(|(line, _)| line["dir"] == "c2s") {
            connections.entry(line["conn"].as_u64().unwrap_or(0)).or_default().extend(bytes);
        }
        streams.extend(connections.into_values());
    }
    streams
}

fn recorded() -> Recorded {
    let mut recorded = Recorded::default();
    for text in texts() {
        let mut connections: BTreeMap<u64, Connection> = BTreeMap::new();
        for (line, bytes) in lines(&text) {
            let connection = connections.entry(line["conn"].as_u64().unwrap_or(0)).or_default();
            match line["dir"].as_str() {
                Some("c2s") => recorded.sent(&bytes, connection),
                Some("s2c") => recorded.answered(&bytes, connection),
                _ => {}
            }
        }
    }
    for list in [
        &mut recorded.connects,
        &mut recorded.requests,
        &mut recorded.replies,
        &mut recorded.events,
    ] {
        list.retain(|bytes| bytes.len() <= LEN_BYTES_MAX);
        list.sort();
        list.dedup();
    }
    recorded
}

impl Recorded {
    fn sent(&mut self, bytes: &[u8], connection: &mut Connection) {
        let Some(body) = bytes.get(4..) else { return };
        let is_word = bytes.first_chunk().and_then(four_letter_word).is_some();
        if is_word && !connection.is_connected {
            return;
        }
        if !std::mem::replace(&mut connection.is_connected, true) {
            self.connects.push([&[0], body].concat());
            return;
        }
        let mut reader = Reader::new(body.to_vec().into());
        if let Ok(header) = RequestHeader::decode(&mut reader) {
            connection.asked.push_back((header.xid, header.opcode));
        }
        self.requests.push(body.to_vec());
    }

    fn answered(&mut self, bytes: &[u8], connection: &mut Connection) {
        let Some(body) = bytes.get(4..) else { return };
        if !std::mem::replace(&mut connection.is_greeted, true) {
            self.connects.push([&[1], body].concat());
            return;
        }
        let mut reader = Reader::new(body.to_vec().into());
        let Ok(header) = ReplyHeader::decode(&mut reader) else { return };
        if header.xid == Xid::EVENT {
            self.events.push(body.to_vec());
            return;
        }
        let index = connection.asked.iter().position(|(xid, _)| *xid == header.xid);
        let asked = index.and_then(|index| connection.asked.remove(index));
        let place = asked.and_then(|(_, opcode)| {
            OpCode::ALL.into_iter().position(|known| known.to_wire() == opcode)
        });
        if let Some(place) = place {
            self.replies.push([&[place as u8], body].concat());
        }
    }
}

fn texts() -> Vec<String> {
    let entries = std::fs::read_dir(FOLDER).expect("the recordings are in the repository");
    let mut paths: Vec<_> =
        entries.map(|entry| entry.expect("the folder can be read").path()).collect();
    paths.sort();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
    assert!(!paths.is_empty(), "there are recordings in {FOLDER}");
    paths.iter().map(|path| std::fs::read_to_string(path).expect("they are text")).collect()
}

/// Iterates over the lines that have bytes.
fn lines(text: &str) -> impl Iterator<Item = (Value, Vec<u8>)> {
    text.lines().filter_map(|line| {
        let line: Value = serde_json::from_str(line).expect("each line is JSON");
        let mut bytes = from_hex(line["hex"].as_str()?)?;
        if let Some(count) = line["fill"]["count"].as_u64() {
            let byte = from_hex(line["fill"]["byte"].as_str()?)?[0];
            bytes.resize(bytes.len() + count as usize, byte);
        }
        Some((line, bytes))
    })
}

/// Reads pairs of hexadecimal digits; `None` for anything else.
pub fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    digits.chunks(2).map(|pair| Some(digit(pair[0])? << 4 | digit(*pair.get(1)?)?)).collect()
}
