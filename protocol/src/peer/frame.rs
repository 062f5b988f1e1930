//! Frames of the peer port: length, checksum, message; and the greeting before the first.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::{
    ids::ServerId,
    jute::{DecodeError, Reader},
    peer::PeerMessage,
};

/// Length of the fields before a frame's message: length and checksum.
const HEADER_LEN_BYTES: usize = 8;

/// Longest message of a frame, in bytes. A longer one is refused before anything is reserved.
pub const MESSAGE_LEN_BYTES_MAX: usize = 256 << 20;

/// Length of a greeting, in bytes.
pub const HELLO_LEN_BYTES: usize = 16;

/// The peer protocol's version; a member of another one is refused.
pub const VERSION: u16 = 1;

const MAGIC: [u8; 4] = *b"CNCV";

/// The first bytes each side sends: who it is and whom it means to reach.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Hello {
    /// Version the sender speaks.
    pub version: u16,
    /// The sender.
    pub from: ServerId,
    /// The member it takes the other side for.
    pub to: ServerId,
    /// Digest of the ensemble's list of members: a member of another ensemble is refused.
    pub ensemble: u64,
}

impl Hello {
    /// Returns the greeting's bytes.
    pub fn encode(&self) -> [u8; HELLO_LEN_BYTES] {
        let mut bytes = [0; HELLO_LEN_BYTES];
        let mut out = &mut bytes[..];
        out.put_slice(&MAGIC);
        out.put_u16(self.version);
        out.put_u8(self.from.0);
        out.put_u8(self.to.0);
        out.put_u64(self.ensemble);
        bytes
    }

    /// Reads a greeting.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Kind`] for bytes that are none.
    pub fn decode(bytes: &[u8; HELLO_LEN_BYTES]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(Bytes::copy_from_slice(bytes));
        if reader.take(4)?[..] != MAGIC {
            return Err(DecodeError::Kind { what: "greeting of a peer", got: bytes[0].into() });
        }
        let version = u16::from_be_bytes([reader.u8()?, reader.u8()?]);
        Ok(Self {
            version,
            from: ServerId(reader.u8()?),
            to: ServerId(reader.u8()?),
            ensemble: reader.u64()?,
        })
    }
}

/// Appends `message` as a frame.
///
/// # Panics
///
/// When the message is longer than [`MESSAGE_LEN_BYTES_MAX`]; every maker of messages bounds its
/// batches far below.
pub fn put_frame(out: &mut BytesMut, message: &PeerMessage) {
    let start = out.len();
    out.put_bytes(0, HEADER_LEN_BYTES);
    message.encode(out);
    let body = start + HEADER_LEN_BYTES;
    let len = out.len() - body;
    assert!(len <= MESSAGE_LEN_BYTES_MAX, "a message of {len} bytes");
    let crc = crc32fast::hash(&out[body..]);
    out[start..start + 4].copy_from_slice(&(len as u32).to_be_bytes());
    out[start + 4..body].copy_from_slice(&crc.to_be_bytes());
}

/// Takes the first whole frame off `buffer` and reads its message; `None` when more must come.
///
/// # Errors
///
/// [`DecodeError`] for a length beyond the limit, a wrong checksum or a malformed message: the
/// connection is of no more use.
pub fn take_frame(buffer: &mut BytesMut) -> Result<Option<PeerMessage>, DecodeError> {
    if buffer.len() < HEADER_LEN_BYTES {
        return Ok(None);
    }
    let len = u32::from_be_bytes(buffer[..4].try_into().expect("four bytes")) as usize;
    if len > MESSAGE_LEN_BYTES_MAX {
        return Err(DecodeError::Length { got: len as i64, max: MESSAGE_LEN_BYTES_MAX });
    }
    if buffer.len() < HEADER_LEN_BYTES + len {
        return Ok(None);
    }
    buffer.advance(4);
    let crc = buffer.get_u32();
    let body = buffer.split_to(len).freeze();
    if crc32fast::hash(&body) != crc {
        return Err(DecodeError::Checksum { what: "peer frame" });
    }
    PeerMessage::decode(body).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flipped_bit_anywhere_is_noticed() {
        let mut frame = BytesMut::new();
        put_frame(&mut frame, &PeerMessage::Sync { seq: 0x0102_0304 });
        for bit in 0..frame.len() * 8 {
            let mut flipped = frame.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            // A flip that makes the length larger waits for more; any other is an error.
            assert!(!matches!(take_frame(&mut flipped), Ok(Some(_))), "bit {bit} went unnoticed");
        }
    }

    #[test]
    fn a_huge_length_is_refused_before_its_bytes_come() {
        let mut buffer = BytesMut::from(&[0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0][..]);
        assert!(take_frame(&mut buffer).is_err());
    }

    #[test]
    fn a_greeting_survives_the_wire_and_others_are_refused() {
        let hello =
            Hello { version: VERSION, from: ServerId(1), to: ServerId(3), ensemble: 0xfeed };
        assert_eq!(Hello::decode(&hello.encode()), Ok(hello));
        assert!(Hello::decode(b"GET / HTTP/1.1\r\n").is_err());
    }
}
