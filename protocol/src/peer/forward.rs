//! What a member passes on to the leader for a client.

use alloc::vec::Vec;

use bytes::Bytes;

use crate::{
    acl::Identity,
    ids::{Password, SessionId, Xid},
    jute::{DecodeError, Reader, Write},
    text::Text,
};

/// Bytes that the shortest forwarded request takes.
pub const ENCODED_LEN_MIN: usize = 8 + 8 + 4 + 4 + 1;

/// One request on its way to the leader.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Forwarded {
    /// The member's own number of it, never used twice by that member.
    pub seq: u64,
    /// Whose it is.
    pub session: SessionId,
    /// The client's number of it.
    pub xid: Xid,
    /// Who the client has proved to be.
    pub identities: Vec<Identity>,
    /// What is asked.
    pub action: Action,
}

/// What a forwarded request asks.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Action {
    /// A write of the client protocol, as the client sent it.
    Request {
        /// The client protocol's number of the operation.
        opcode: i32,
        /// Its body.
        body: Bytes,
    },
    /// A write of a session that only the sending member knows, as the client sent it.
    LocalRequest {
        /// The client protocol's number of the operation.
        opcode: i32,
        /// Its body.
        body: Bytes,
    },
    /// A new session.
    Open {
        /// Timeout negotiated, in milliseconds.
        timeout_ms: u32,
        /// The password drawn for it.
        password: Password,
    },
    /// A session that was open before, perhaps elsewhere.
    Attach {
        /// Timeout negotiated, in milliseconds.
        timeout_ms: u32,
        /// What the client claims the password to be.
        password: Password,
    },
    /// The client ends its session.
    Close,
}

impl Forwarded {
    /// Returns about how many bytes it is on the wire.
    pub fn len_bytes(&self) -> usize {
        let text_len = |text: &Text| text.as_bytes().map_or(0, Bytes::len);
        let identities = self.identities.iter();
        let identities: usize =
            identities.map(|it| 8 + text_len(&it.scheme) + text_len(&it.id)).sum();
        let body = match &self.action {
            Action::Request { body, .. } | Action::LocalRequest { body, .. } => body.len(),
            Action::Open { .. } | Action::Attach { .. } | Action::Close => 0,
        };
        ENCODED_LEN_MIN + identities + body
    }

    /// Appends the request.
    pub fn encode(&self, out: &mut impl Write) {
        out.put_u64(self.seq);
        out.put_i64(self.session.0);
        out.put_i32(self.xid.0);
        out.put_vector(Some(&self.identities), |out, identity| {
            out.put_text(&identity.scheme);
            out.put_text(&identity.id);
        });
        match &self.action {
            Action::Request { opcode, body } => {
                out.put_u8(1);
                out.put_i32(*opcode);
                out.put_buffer(Some(body));
            }
            Action::Open { timeout_ms, password } => {
                out.put_u8(2);
                out.put_u32(*timeout_ms);
                out.put_slice(&password.0);
            }
            Action::Attach { timeout_ms, password } => {
                out.put_u8(3);
                out.put_u32(*timeout_ms);
                out.put_slice(&password.0);
            }
            Action::Close => out.put_u8(4),
            Action::LocalRequest { opcode, body } => {
                out.put_u8(5);
                out.put_i32(*opcode);
                out.put_buffer(Some(body));
            }
        }
    }

    /// Reads a request.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] for an unknown action or a record that ends early.
    pub fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            seq: reader.u64()?,
            session: SessionId(reader.i64()?),
            xid: Xid(reader.i32()?),
            identities: reader
                .vector(8, |reader| Ok(Identity { scheme: reader.text()?, id: reader.text()? }))?
                .unwrap_or_default(),
            action: match reader.u8()? {
                1 => Action::Request {
                    opcode: reader.i32()?,
                    body: reader.buffer()?.unwrap_or_default(),
                },
                2 => Action::Open { timeout_ms: reader.u32()?, password: decode_password(reader)? },
                3 => {
                    Action::Attach { timeout_ms: reader.u32()?, password: decode_password(reader)? }
                }
                4 => Action::Close,
                5 => Action::LocalRequest {
                    opcode: reader.i32()?,
                    body: reader.buffer()?.unwrap_or_default(),
                },
                got => return Err(DecodeError::Kind { what: "action", got: got.into() }),
            },
        })
    }
}

fn decode_password(reader: &mut Reader) -> Result<Password, DecodeError> {
    let bytes = reader.take(16)?;
    Ok(Password(bytes[..].try_into().expect("sixteen bytes were taken")))
}
