//! Bytes of a record and of the footer, version 1.

use bytes::{BufMut, Bytes};
use conclave_protocol::{
    acl::{Acl, Identity, Perms},
    ids::{Password, ServerId, SessionId},
    jute::{DecodeError, Reader, Write},
    text::Text,
    txn::{Entry, Owner},
    zxid::Zxid,
};

use super::{BLOCK_FOOTER, Counts, Footer, ImageRecord, NodeRecord, SessionRecord};

/// Bytes that the shortest list entry takes.
const ACL_LEN_MIN: usize = 12;

impl ImageRecord {
    /// Appends the record: its kind (1), then its fields.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Session(session) => {
                out.put_u8(1);
                out.put_i64(session.id.0);
                out.put_u32(session.timeout_ms);
                out.put_slice(&session.password.0);
                out.put_u8(session.owner.0);
            }
            Self::Acl { number, list } => {
                out.put_u8(2);
                out.put_u32(*number);
                out.put_vector(Some(list), |out, entry| {
                    out.put_i32(entry.perms.0);
                    out.put_text(&entry.identity.scheme);
                    out.put_text(&entry.identity.id);
                });
            }
            Self::Node(node) => {
                out.put_u8(3);
                node.encode(out);
            }
            Self::Txn(entry) => {
                out.put_u8(4);
                out.put_u64(entry.zxid.0);
                out.put_buffer(Some(&entry.txn));
            }
        }
    }

    /// Reads a record. Its buffers are copies, so that a small one keeps no block alive.
    pub(super) fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(match reader.u8()? {
            1 => Self::Session(SessionRecord {
                id: SessionId(reader.i64()?),
                timeout_ms: reader.u32()?,
                password: Password(reader.take(16)?[..].try_into().expect("16 were taken")),
                owner: ServerId(reader.u8()?),
            }),
            2 => Self::Acl { number: reader.u32()?, list: decode_list(reader)? },
            3 => Self::Node(NodeRecord::decode(reader)?),
            4 => Self::Txn(Entry {
                zxid: Zxid(reader.u64()?),
                txn: owned(reader.buffer()?).unwrap_or_default(),
            }),
            got => return Err(DecodeError::Kind { what: "image record", got: got.into() }),
        })
    }
}

impl NodeRecord {
    fn encode(&self, out: &mut Vec<u8>) {
        out.put_u32(self.number);
        out.put_u32(self.parent);
        out.put_buffer(Some(self.name.as_bytes()));
        out.put_buffer(self.data.as_deref());
        out.put_u32(self.acl);
        self.owner.encode(out);
        out.put_u64(self.czxid.0);
        out.put_u64(self.mzxid.0);
        out.put_u64(self.pzxid.0);
        out.put_i64(self.ctime_ms);
        out.put_i64(self.mtime_ms);
        out.put_i32(self.version);
        out.put_i32(self.aversion);
        out.put_i32(self.created);
    }

    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            number: reader.u32()?,
            parent: reader.u32()?,
            name: decode_name(reader)?,
            data: owned(reader.buffer()?),
            acl: reader.u32()?,
            owner: Owner::decode(reader)?,
            czxid: Zxid(reader.u64()?),
            mzxid: Zxid(reader.u64()?),
            pzxid: Zxid(reader.u64()?),
            ctime_ms: reader.i64()?,
            mtime_ms: reader.i64()?,
            version: reader.i32()?,
            aversion: reader.i32()?,
            created: reader.i32()?,
        })
    }
}

fn owned(buffer: Option<Bytes>) -> Option<Bytes> {
    buffer.map(|bytes| Bytes::copy_from_slice(&bytes))
}

fn decode_name(reader: &mut Reader) -> Result<String, DecodeError> {
    let bytes = reader.buffer()?.unwrap_or_default();
    let text = str::from_utf8(&bytes);
    text.map(str::to_owned).map_err(|_| DecodeError::Kind { what: "name that is UTF-8", got: -1 })
}

fn decode_list(reader: &mut Reader) -> Result<Vec<Acl>, DecodeError> {
    let text = |reader: &mut Reader| {
        reader.buffer().map(|bytes| owned(bytes).map_or(Text::NULL, Text::from_bytes))
    };
    let list = reader.vector(ACL_LEN_MIN, |reader| {
        Ok(Acl {
            perms: Perms(reader.i32()?),
            identity: Identity { scheme: text(reader)?, id: text(reader)? },
        })
    })?;
    Ok(list.unwrap_or_default())
}

impl Footer {
    pub(super) fn encode(self, out: &mut Vec<u8>) {
        out.put_u8(BLOCK_FOOTER);
        out.put_u64(self.end.0);
        out.put_u64(self.counts.sessions);
        out.put_u64(self.counts.acls);
        out.put_u64(self.counts.nodes);
        out.put_u64(self.counts.txns);
        out.put_u32(self.chain);
    }

    pub(super) fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(Bytes::copy_from_slice(payload));
        match reader.u8()? {
            BLOCK_FOOTER => {}
            got => return Err(DecodeError::Kind { what: "footer", got: got.into() }),
        }
        Ok(Self {
            end: Zxid(reader.u64()?),
            counts: Counts {
                sessions: reader.u64()?,
                acls: reader.u64()?,
                nodes: reader.u64()?,
                txns: reader.u64()?,
            },
            chain: reader.u32()?,
        })
    }
}
