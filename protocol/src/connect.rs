//! The first frame in each direction.

use bytes::Bytes;

use crate::{
    ids::SessionId,
    jute::{DecodeError, Reader, Write},
    zxid::Zxid,
};

/// What a client asks for first. ZooKeeper's clients of 3.4 may leave the last byte out.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ConnectRequest {
    /// 0; servers ignore it.
    pub protocol_version: i32,
    /// The newest zxid the client was told; a server that is not that far must not serve it.
    pub last_zxid_seen: Zxid,
    /// Session timeout asked for, in milliseconds.
    pub timeout_ms: i32,
    /// [`SessionId::NONE`] for a new session.
    pub session: SessionId,
    /// Proof for an old session.
    pub password: Option<Bytes>,
    /// Whether a read-only server will do; `None` where the byte is left out.
    pub read_only: Option<bool>,
}

impl ConnectRequest {
    /// Reads a request; bytes behind it are ignored.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] for a record that ends early.
    pub fn decode(frame: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(frame);
        Ok(Self {
            protocol_version: reader.i32()?,
            last_zxid_seen: Zxid::from_wire(reader.i64()?),
            timeout_ms: reader.i32()?,
            session: SessionId(reader.i64()?),
            password: reader.buffer()?,
            read_only: if reader.remaining() > 0 { Some(reader.bool()?) } else { None },
        })
    }

    /// Appends the request.
    pub fn encode(&self, out: &mut impl Write) {
        out.put_i32(self.protocol_version);
        out.put_i64(self.last_zxid_seen.to_wire());
        out.put_i32(self.timeout_ms);
        out.put_i64(self.session.0);
        out.put_buffer(self.password.as_deref());
        if let Some(read_only) = self.read_only {
            out.put_bool(read_only);
        }
    }
}

/// What a client is granted; all zero when it is refused.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ConnectResponse {
    /// 0.
    pub protocol_version: i32,
    /// Session timeout granted, in milliseconds; 0 refuses.
    pub timeout_ms: i32,
    /// The session.
    pub session: SessionId,
    /// Proof for a later attach.
    pub password: Option<Bytes>,
    /// Whether this server serves reads only; `None` for clients that left the byte out.
    pub read_only: Option<bool>,
}

impl ConnectResponse {
    /// Reads a response; bytes behind it are ignored.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] for a record that ends early.
    pub fn decode(frame: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(frame);
        Ok(Self {
            protocol_version: reader.i32()?,
            timeout_ms: reader.i32()?,
            session: SessionId(reader.i64()?),
            password: reader.buffer()?,
            read_only: if reader.remaining() > 0 { Some(reader.bool()?) } else { None },
        })
    }

    /// Appends the response.
    pub fn encode(&self, out: &mut impl Write) {
        out.put_i32(self.protocol_version);
        out.put_i32(self.timeout_ms);
        out.put_i64(self.session.0);
        out.put_buffer(self.password.as_deref());
        if let Some(read_only) = self.read_only {
            out.put_bool(read_only);
        }
    }
}
