//! Messages between members. One connection per pair of members carries all of them; WIRE.md has
//! the bytes.

pub mod forward;
pub mod frame;
pub mod zab;

use alloc::vec::Vec;

use bytes::Bytes;

use crate::{
    ids::SessionId,
    jute::{DecodeError, Reader, Write},
    zxid::Zxid,
};

use self::forward::Forwarded;

/// Sessions named in one touch at most; a member with more sends several messages.
pub const TOUCH_SESSIONS_MAX: usize = 65_536;

/// Bytes of a snapshot that one chunk carries at most.
pub const CHUNK_LEN_BYTES_MAX: usize = 1 << 20;

/// What one member tells another.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum PeerMessage {
    /// The broadcast protocol's own.
    Zab(zab::Message),
    /// Requests of clients, in the order they were admitted; to the leader.
    Forward(Vec<Forwarded>),
    /// Sessions whose clients were heard since the last one; to the leader.
    Touch(Vec<SessionId>),
    /// Asks for the zxid that a read must have seen to be fresh; to the leader.
    Sync {
        /// The asking member's number of the request.
        seq: u64,
    },
    /// Answers [`Self::Sync`] after a quorum confirmed the leader.
    Synced {
        /// The number asked with.
        seq: u64,
        /// Everything up to here was committed when the leader was confirmed.
        upto: Zxid,
    },
    /// Asks for a piece of a snapshot.
    FetchImage {
        /// Which snapshot; [`Zxid::ZERO`] asks for the newest.
        zxid: Zxid,
        /// Where the piece begins, in bytes.
        offset: u64,
    },
    /// A piece of a snapshot.
    ImageChunk {
        /// Which snapshot.
        zxid: Zxid,
        /// Length of the whole file in bytes.
        len_bytes: u64,
        /// Where the piece begins, in bytes.
        offset: u64,
        /// The piece; at most [`CHUNK_LEN_BYTES_MAX`].
        data: Bytes,
    },
    /// Answers [`Self::FetchImage`] when the snapshot is gone or cannot be read.
    ImageGone {
        /// Which snapshot.
        zxid: Zxid,
    },
    /// Nothing to say, but still here: a link on which nothing comes is given up.
    KeepAlive,
    /// Whether the sender's disk is nearly full; to the leader, and answered by [`Self::Refusal`].
    Room {
        /// It is.
        is_short: bool,
    },
    /// Whether too many disks are nearly full, so that what adds data is refused; from the leader.
    Refusal {
        /// It is refused.
        is_on: bool,
    },
}

impl PeerMessage {
    /// Appends the kind byte and the body.
    pub fn encode(&self, out: &mut impl Write) {
        match self {
            Self::Zab(message) => {
                out.put_u8(1);
                message.encode(out);
            }
            Self::Forward(requests) => {
                out.put_u8(2);
                out.put_vector(Some(requests), |out, request| request.encode(out));
            }
            Self::Touch(sessions) => {
                out.put_u8(3);
                out.put_vector(Some(sessions), |out, session| out.put_i64(session.0));
            }
            Self::Sync { seq } => {
                out.put_u8(4);
                out.put_u64(*seq);
            }
            Self::Synced { seq, upto } => {
                out.put_u8(5);
                out.put_u64(*seq);
                out.put_u64(upto.0);
            }
            Self::FetchImage { zxid, offset } => {
                out.put_u8(6);
                out.put_u64(zxid.0);
                out.put_u64(*offset);
            }
            Self::ImageChunk { zxid, len_bytes, offset, data } => {
                out.put_u8(7);
                out.put_u64(zxid.0);
                out.put_u64(*len_bytes);
                out.put_u64(*offset);
                out.put_buffer(Some(data));
            }
            Self::ImageGone { zxid } => {
                out.put_u8(8);
                out.put_u64(zxid.0);
            }
            Self::KeepAlive => out.put_u8(9),
            Self::Room { is_short } => {
                out.put_u8(10);
                out.put_bool(*is_short);
            }
            Self::Refusal { is_on } => {
                out.put_u8(11);
                out.put_bool(*is_on);
            }
        }
    }

    /// Reads a message; the buffers in it share `bytes`.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] for an unknown kind, a body that ends early, or bytes behind its end.
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let kind = reader.u8()?;
        if kind == 1 {
            return Ok(Self::Zab(zab::Message::decode(reader.into_rest())?));
        }
        let message = match kind {
            2 => Self::Forward(
                reader.vector(forward::ENCODED_LEN_MIN, Forwarded::decode)?.unwrap_or_default(),
            ),
            3 => Self::Touch(
                reader.vector(8, |reader| reader.i64().map(SessionId))?.unwrap_or_default(),
            ),
            4 => Self::Sync { seq: reader.u64()? },
            5 => Self::Synced { seq: reader.u64()?, upto: Zxid(reader.u64()?) },
            6 => Self::FetchImage { zxid: Zxid(reader.u64()?), offset: reader.u64()? },
            7 => Self::ImageChunk {
                zxid: Zxid(reader.u64()?),
                len_bytes: reader.u64()?,
                offset: reader.u64()?,
                data: reader.buffer()?.unwrap_or_default(),
            },
            8 => Self::ImageGone { zxid: Zxid(reader.u64()?) },
            9 => Self::KeepAlive,
            10 => Self::Room { is_short: reader.bool()? },
            11 => Self::Refusal { is_on: reader.bool()? },
            got => return Err(DecodeError::Kind { what: "peer message", got: got.into() }),
        };
        match reader.remaining() {
            0 => Ok(message),
            rest => Err(DecodeError::Length { got: rest as i64, max: 0 }),
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::{
        acl::Identity,
        ids::{Password, Xid},
        peer::forward::Action,
    };

    fn samples() -> Vec<PeerMessage> {
        let identity = Identity { scheme: "ip".into(), id: "127.0.0.1".into() };
        let action = |action| Forwarded {
            seq: 7,
            session: SessionId(0x0100_0000_0000_0001),
            xid: Xid(3),
            identities: vec![identity.clone()],
            action,
        };
        vec![
            PeerMessage::Forward(vec![
                action(Action::Request { opcode: 1, body: Bytes::from_static(b"abc") }),
                action(Action::Open { timeout_ms: 4000, password: Password([9; 16]) }),
                action(Action::Attach { timeout_ms: 4000, password: Password([9; 16]) }),
                action(Action::Close),
                action(Action::LocalRequest { opcode: 5, body: Bytes::from_static(b"abc") }),
            ]),
            PeerMessage::Touch(vec![SessionId(1), SessionId(-1)]),
            PeerMessage::Sync { seq: 9 },
            PeerMessage::Synced { seq: 9, upto: Zxid(5) },
            PeerMessage::FetchImage { zxid: Zxid(5), offset: 1 << 33 },
            PeerMessage::ImageChunk {
                zxid: Zxid(5),
                len_bytes: 10,
                offset: 4,
                data: Bytes::from_static(b"piece"),
            },
            PeerMessage::ImageGone { zxid: Zxid(5) },
            PeerMessage::KeepAlive,
            PeerMessage::Room { is_short: true },
            PeerMessage::Refusal { is_on: false },
        ]
    }

    #[test]
    fn every_kind_survives_the_wire() {
        for message in samples() {
            let mut bytes = Vec::new();
            message.encode(&mut bytes);
            assert_eq!(PeerMessage::decode(bytes.into()), Ok(message));
        }
    }

    #[test]
    fn a_message_cut_anywhere_is_refused() {
        for message in samples() {
            let mut bytes = Vec::new();
            message.encode(&mut bytes);
            for len in 0..bytes.len() {
                let cut = Bytes::copy_from_slice(&bytes[..len]);
                assert!(PeerMessage::decode(cut).is_err(), "{message:?} cut to {len}");
            }
        }
    }

    #[test]
    fn bytes_behind_the_end_are_refused() {
        for message in samples() {
            let mut bytes = Vec::new();
            message.encode(&mut bytes);
            bytes.push(0);
            assert!(PeerMessage::decode(bytes.into()).is_err(), "{message:?}");
        }
    }
}
