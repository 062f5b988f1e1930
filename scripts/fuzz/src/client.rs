//! What clients and servers say to each other.

use bytes::{BufMut, Bytes, BytesMut};
use conclave_protocol::{
    connect::{ConnectRequest, ConnectResponse},
    event::WatchEvent,
    frame::{self, FrameError, decode_frame},
    jute::{DecodeError, Reader, Write},
    opcode::OpCode,
    request::{Request, RequestHeader},
    response::{ReplyHeader, Response},
};

use crate::{Target, allocation::Limit, transcript};

/// A request: its header and body.
pub const REQUEST: Target =
    Target { name: "client_request", run: request, seeds: transcript::requests };

/// The body of a multi, of a multiRead and of their replies: the first byte says which.
pub const MULTI: Target = Target { name: "client_multi", run: multi, seeds: multi_seeds };

/// A connect request and its response: the first byte says which.
pub const CONNECT: Target =
    Target { name: "client_connect", run: connect, seeds: transcript::connects };

/// A reply: the first byte says to what, then its header and body.
pub const RESPONSE: Target =
    Target { name: "client_response", run: response, seeds: transcript::replies };

/// A watch event with its header.
pub const EVENT: Target = Target { name: "client_event", run: event, seeds: transcript::events };

/// Frames whose bytes come in pieces: the first byte says in which.
pub const FRAMES: Target = Target { name: "client_frames", run: frames, seeds: frames_seeds };

/// The primitives of records: a count of steps, a byte for each, and what they read.
pub const JUTE: Target = Target { name: "jute", run: jute, seeds: jute_seeds };

/// Decodes, and where there is something, encodes it and decodes that: it must be the same.
pub(crate) fn round_trip<T: PartialEq + std::fmt::Debug>(
    input: &[u8],
    decode: impl Fn(Bytes) -> Result<T, DecodeError>,
    encode: impl Fn(&T, &mut Vec<u8>),
) {
    let bytes = Bytes::copy_from_slice(input);
    let Ok(value) = Limit::WIRE.hold(input.len(), || decode(bytes)) else { return };
    let mut encoded = Vec::new();
    encode(&value, &mut encoded);
    let again = decode(encoded.into()).expect("what was encoded is decoded");
    assert_eq!(value, again, "the same value comes out as went in");
}

fn request(input: &[u8]) {
    let decode = |bytes| {
        let mut reader = Reader::new(bytes);
        let header = RequestHeader::decode(&mut reader)?;
        let got = header.opcode.into();
        let opcode = OpCode::from_wire(header.opcode);
        let opcode = opcode.ok_or(DecodeError::Kind { what: "operation", got })?;
        Ok((header, Request::decode(opcode, reader.into_rest())?))
    };
    round_trip(input, decode, |(header, request), out| {
        assert_eq!(request.opcode().to_wire(), header.opcode, "it is what its number says");
        header.encode(out);
        request.encode(out);
    });
}

fn multi(input: &[u8]) {
    let Some((which, body)) = input.split_first() else { return };
    let opcode = if which & 1 == 0 { OpCode::Multi } else { OpCode::MultiRead };
    match which & 2 {
        0 => round_trip(body, |bytes| Request::decode(opcode, bytes), |it, out| it.encode(out)),
        _ => round_trip(body, |bytes| Response::decode(opcode, bytes), |it, out| it.encode(out)),
    }
}

fn multi_seeds() -> Vec<Vec<u8>> {
    let is_multi = |opcode: OpCode| matches!(opcode, OpCode::Multi | OpCode::MultiRead);
    let which = |opcode: OpCode, reply: u8| u8::from(opcode == OpCode::MultiRead) | reply;
    let mut seeds = Vec::new();
    for seed in transcript::requests() {
        let mut reader = Reader::new(seed.into());
        let opcode =
            RequestHeader::decode(&mut reader).ok().and_then(|it| OpCode::from_wire(it.opcode));
        if let Some(opcode) = opcode.filter(|it| is_multi(*it)) {
            seeds.push([&[which(opcode, 0)][..], &reader.into_rest()].concat());
        }
    }
    for seed in transcript::replies() {
        let opcode = OpCode::ALL[seed[0] as usize];
        if is_multi(opcode) {
            seeds.push([&[which(opcode, 2)][..], &seed[1 + REPLY_HEADER_LEN_BYTES..]].concat());
        }
    }
    seeds
}

const REPLY_HEADER_LEN_BYTES: usize = 16;

fn connect(input: &[u8]) {
    let Some((which, body)) = input.split_first() else { return };
    match which & 1 {
        0 => round_trip(body, ConnectRequest::decode, |it, out| it.encode(out)),
        _ => round_trip(body, ConnectResponse::decode, |it, out| it.encode(out)),
    }
}

fn response(input: &[u8]) {
    let Some((which, body)) = input.split_first() else { return };
    let opcode = OpCode::ALL[*which as usize % OpCode::ALL.len()];
    let decode = |bytes| {
        let mut reader = Reader::new(bytes);
        Ok((ReplyHeader::decode(&mut reader)?, Response::decode(opcode, reader.into_rest())?))
    };
    round_trip(body, decode, |(header, response), out| {
        header.encode(out);
        response.encode(out);
    });
}

fn event(input: &[u8]) {
    let decode = |bytes| {
        let mut reader = Reader::new(bytes);
        Ok((ReplyHeader::decode(&mut reader)?, WatchEvent::decode(&mut reader)?))
    };
    round_trip(input, decode, |(header, event), out| {
        header.encode(out);
        event.encode(out);
    });
}

/// Longest frame of the target.
const FRAME_LEN_BYTES_MAX: usize = 64;

fn frames(input: &[u8]) {
    let Some((piece, stream)) = input.split_first() else { return };
    let piece = usize::from(*piece).clamp(1, stream.len().max(1));
    let whole = split(stream, stream.len().max(1));
    let pieces = split(stream, piece);
    assert_eq!(whole, pieces, "the pieces in which bytes come make no difference");
    // What was taken is the front of what came.
    let mut again = BytesMut::new();
    for taken in &whole.0 {
        frame::put_frame(&mut again, |out| out.put_slice(taken));
    }
    assert!(stream.starts_with(&again), "nothing is added and nothing left out");
    if let Some(word) = stream.first_chunk().and_then(frame::four_letter_word) {
        assert_eq!(word.letters().as_bytes(), &stream[..4], "a word is its letters");
    }
}

fn split(stream: &[u8], piece: usize) -> (Vec<Bytes>, Result<(), FrameError>) {
    let (mut buffer, mut found) = (BytesMut::new(), Vec::new());
    for piece in stream.chunks(piece) {
        buffer.extend_from_slice(piece);
        loop {
            match Limit::WIRE.hold(0, || decode_frame(&mut buffer, FRAME_LEN_BYTES_MAX)) {
                Ok(Some(frame)) => found.push(Bytes::copy_from_slice(&frame)),
                Ok(None) => break,
                Err(error) => return (found, Err(error)),
            }
        }
        assert!(buffer.len() < FRAME_LEN_BYTES_MAX + 4, "no more than a frame is kept");
    }
    (found, Ok(()))
}

fn frames_seeds() -> Vec<Vec<u8>> {
    let mut seeds = vec![b"\x01ruok".to_vec(), b"\x04mntrsrvr".to_vec()];
    for (piece, bodies) in
        [(1, &["", "a", "bc"][..]), (3, &["0123456789"]), (200, &["x"; 9]), (7, &[&"y".repeat(64)])]
    {
        let mut stream = BytesMut::new();
        stream.put_u8(piece);
        for body in bodies {
            frame::put_frame(&mut stream, |out| out.put_slice(body.as_bytes()));
        }
        seeds.push(stream.to_vec());
    }
    seeds.push([&[2][..], &i32::MAX.to_be_bytes(), b"abc"].concat());
    seeds.push([&[2][..], &(-1_i32).to_be_bytes(), b"abc"].concat());
    seeds
}

fn jute(input: &[u8]) {
    let Some((count, rest)) = input.split_first() else { return };
    let (steps, record) = rest.split_at(usize::from(*count).min(rest.len()));
    let mut reader = Reader::new(Bytes::copy_from_slice(record));
    for step in steps {
        let left = reader.remaining();
        let before = reader.clone().into_rest();
        let mut encoded = Vec::new();
        let read = Limit::WIRE.hold(left, || read_step(*step, &mut reader, &mut encoded));
        let taken = left - reader.remaining();
        match read {
            // A boolean may be any byte, and is written as one of two.
            Ok(()) if step % STEPS == 1 => assert_eq!(taken, 1),
            Ok(()) => assert_eq!(encoded, before[..taken], "what was read is what is written"),
            Err(_) => return,
        }
    }
}

/// How many kinds of steps there are.
const STEPS: u8 = 11;

fn read_step(step: u8, reader: &mut Reader, out: &mut Vec<u8>) -> Result<(), DecodeError> {
    match step % STEPS {
        0 => out.put_u8(reader.u8()?),
        1 => out.put_bool(reader.bool()?),
        2 => out.put_i32(reader.i32()?),
        3 => out.put_u32(reader.u32()?),
        4 => out.put_i64(reader.i64()?),
        5 => out.put_u64(reader.u64()?),
        6 => out.put_buffer(reader.buffer()?.as_deref()),
        7 => out.put_text(&reader.text()?),
        8 => out.put_slice(&reader.take(usize::from(step))?),
        9 => {
            let numbers = reader.vector(4, Reader::u32)?;
            out.put_vector(numbers.as_deref(), |out, number| out.put_u32(*number));
        }
        _ => {
            let texts = reader.vector(4, Reader::text)?;
            out.put_vector(texts.as_deref(), Write::put_text);
        }
    }
    Ok(())
}

fn jute_seeds() -> Vec<Vec<u8>> {
    let mut record = Vec::new();
    record.put_u8(7);
    record.put_bool(true);
    record.put_i32(-2);
    record.put_i64(i64::MIN);
    record.put_buffer(Some(b"buffer"));
    record.put_buffer(None);
    record.put_text(&"text".into());
    record.put_vector(Some(&[1, 2]), |out, number| out.put_u32(*number));
    record.put_vector(Some(&["a", "b"]), |out, text| out.put_text(&(*text).into()));
    let steps = [0, 1, 2, 4, 6, 6, 7, 9, 10];
    let mut seeds = vec![[&[steps.len() as u8][..], &steps, &record].concat()];
    for step in 0..STEPS {
        seeds.push([&[1, step, 0, 0, 0, 2][..], &[0, 0, 0, 1].repeat(4)].concat());
        seeds.push([&[1, step][..], &i32::MAX.to_be_bytes(), b"abcd"].concat());
    }
    seeds
}
