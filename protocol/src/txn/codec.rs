//! Bytes of a txn, big-endian: version (1), origin server (1), origin number (8), session (8), xid
//! (4), time in ms (8), then the change: its kind (1) and fields. Strings and buffers are as in the
//! client protocol.
//!
//! That is version 1. Version 2 has more behind it: what quotas count after the change, as a vector
//! of path, znodes (8) and bytes (8). It is written only where there is such.

use alloc::{string::String, vec::Vec};

use bytes::Bytes;

use super::{Change, CreateChange, Origin, Owner, QuotaUsage, Txn};
use crate::{
    acl::Acl,
    code::ErrorCode,
    ids::{Password, ServerId, SessionId, Xid},
    jute::{DecodeError, Reader, Write},
    quota::Usage,
    request::{decode_acl, encode_acl},
};

const VERSION: u8 = 1;

/// The version of a txn that quotas count.
const VERSION_WITH_USAGE: u8 = 2;

/// Bytes of a [`QuotaUsage`] at least.
const USAGE_LEN_MIN: usize = 20;

impl Txn {
    /// Appends the txn.
    pub fn encode(&self, out: &mut impl Write) {
        let has_usage = !self.usage.is_empty();
        out.put_u8(if has_usage { VERSION_WITH_USAGE } else { VERSION });
        out.put_u8(self.origin.server.0);
        out.put_u64(self.origin.seq);
        out.put_i64(self.session.0);
        out.put_i32(self.xid.0);
        out.put_i64(self.time_ms);
        self.change.encode(out);
        if has_usage {
            out.put_vector(Some(&self.usage), |out, usage| usage.encode(out));
        }
    }

    /// Reads a txn.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] for another version, an unknown kind, or bytes that do not end with it.
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let version = reader.u8()?;
        if !matches!(version, VERSION | VERSION_WITH_USAGE) {
            return Err(DecodeError::Kind { what: "version of a txn", got: version.into() });
        }
        let mut txn = Self {
            origin: Origin { server: ServerId(reader.u8()?), seq: reader.u64()? },
            session: SessionId(reader.i64()?),
            xid: Xid(reader.i32()?),
            time_ms: reader.i64()?,
            change: Change::decode(&mut reader, Depth::Outer)?,
            usage: Vec::new(),
        };
        if version == VERSION_WITH_USAGE {
            txn.usage = reader.vector(USAGE_LEN_MIN, QuotaUsage::decode)?.unwrap_or_default();
        }
        match reader.remaining() {
            0 => Ok(txn),
            rest => Err(DecodeError::Length { got: rest as i64, max: 0 }),
        }
    }
}

/// Bytes of a change in a multi at least: its kind, and the length of a path.
const CHANGE_IN_MULTI_LEN_MIN: usize = 5;

/// A multi holds changes of znodes only: no other multi, so that decoding never recurses further, and
/// nothing that is a single byte, of which a short record could claim to hold a great many.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Depth {
    Outer,
    InMulti,
}

impl Change {
    fn encode(&self, out: &mut impl Write) {
        match self {
            Self::Error(code) => {
                out.put_u8(0);
                out.put_i32(code.to_wire());
            }
            Self::MultiError { failed_op, code } => {
                out.put_u8(1);
                out.put_u32(*failed_op);
                out.put_i32(code.to_wire());
            }
            Self::CreateSession { timeout_ms, password } => {
                out.put_u8(2);
                out.put_u32(*timeout_ms);
                out.put_slice(&password.0);
            }
            Self::AttachSession { timeout_ms } => {
                out.put_u8(3);
                out.put_u32(*timeout_ms);
            }
            Self::CloseSession => out.put_u8(4),
            Self::Create(create) => {
                out.put_u8(5);
                create.encode(out);
            }
            Self::Delete { path } => {
                out.put_u8(6);
                out.put_buffer(Some(path.as_bytes()));
            }
            Self::SetData { path, data, version } => {
                out.put_u8(7);
                out.put_buffer(Some(path.as_bytes()));
                out.put_buffer(data.as_deref());
                out.put_i32(*version);
            }
            Self::SetAcl { path, acl, aversion } => {
                out.put_u8(8);
                out.put_buffer(Some(path.as_bytes()));
                encode_acl(Some(acl), out);
                out.put_i32(*aversion);
            }
            Self::Check { path } => {
                out.put_u8(9);
                out.put_buffer(Some(path.as_bytes()));
            }
            Self::Multi(changes) => {
                out.put_u8(10);
                out.put_vector(Some(changes), |out, change| change.encode(out));
            }
        }
    }

    fn decode(reader: &mut Reader, depth: Depth) -> Result<Self, DecodeError> {
        let kind = reader.u8()?;
        if depth == Depth::InMulti && !(5..=9).contains(&kind) {
            return Err(DecodeError::Kind { what: "change in a multi", got: kind.into() });
        }
        Ok(match kind {
            0 => Self::Error(decode_code(reader)?),
            1 => Self::MultiError { failed_op: reader.u32()?, code: decode_code(reader)? },
            2 => {
                let timeout_ms = reader.u32()?;
                let bytes = reader.take(16)?;
                let password = Password(bytes[..].try_into().expect("sixteen bytes were taken"));
                Self::CreateSession { timeout_ms, password }
            }
            3 => Self::AttachSession { timeout_ms: reader.u32()? },
            4 => Self::CloseSession,
            5 => Self::Create(CreateChange::decode(reader)?),
            6 => Self::Delete { path: decode_path(reader)? },
            7 => Self::SetData {
                path: decode_path(reader)?,
                data: reader.buffer()?,
                version: reader.i32()?,
            },
            8 => Self::SetAcl {
                path: decode_path(reader)?,
                acl: decode_list(reader)?,
                aversion: reader.i32()?,
            },
            9 => Self::Check { path: decode_path(reader)? },
            10 => Self::Multi(
                reader
                    .vector(CHANGE_IN_MULTI_LEN_MIN, |reader| Self::decode(reader, Depth::InMulti))?
                    .unwrap_or_default(),
            ),
            got => return Err(DecodeError::Kind { what: "change", got: got.into() }),
        })
    }
}

impl CreateChange {
    fn encode(&self, out: &mut impl Write) {
        out.put_buffer(Some(self.path.as_bytes()));
        out.put_buffer(self.data.as_deref());
        encode_acl(Some(&self.acl), out);
        self.owner.encode(out);
        out.put_i32(self.parent_created);
    }

    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            path: decode_path(reader)?,
            data: reader.buffer()?,
            acl: decode_list(reader)?,
            owner: Owner::decode(reader)?,
            parent_created: reader.i32()?,
        })
    }
}

impl QuotaUsage {
    fn encode(&self, out: &mut impl Write) {
        out.put_buffer(Some(self.covered.as_bytes()));
        out.put_i64(self.usage.count);
        out.put_i64(self.usage.bytes);
    }

    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            covered: decode_path(reader)?,
            usage: Usage { count: reader.i64()?, bytes: reader.i64()? },
        })
    }
}

impl Owner {
    /// Appends the owner: its kind (1), then session or milliseconds (8) where there is one.
    pub fn encode(self, out: &mut impl Write) {
        match self {
            Self::Persistent => out.put_u8(0),
            Self::Ephemeral(session) => {
                out.put_u8(1);
                out.put_i64(session.0);
            }
            Self::Container => out.put_u8(2),
            Self::Ttl(ttl_ms) => {
                out.put_u8(3);
                out.put_u64(ttl_ms);
            }
        }
    }

    /// Reads an owner.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] for an unknown kind or a record that ends early.
    pub fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(match reader.u8()? {
            0 => Self::Persistent,
            1 => Self::Ephemeral(SessionId(reader.i64()?)),
            2 => Self::Container,
            3 => Self::Ttl(reader.u64()?),
            got => return Err(DecodeError::Kind { what: "owner", got: got.into() }),
        })
    }
}

fn decode_code(reader: &mut Reader) -> Result<ErrorCode, DecodeError> {
    let got = reader.i32()?;
    ErrorCode::from_wire(got).ok_or(DecodeError::Kind { what: "error code", got: got.into() })
}

fn decode_path(reader: &mut Reader) -> Result<String, DecodeError> {
    let bytes = reader.buffer()?.unwrap_or_default();
    let text = core::str::from_utf8(&bytes)
        .map_err(|_| DecodeError::Kind { what: "text of a txn", got: 0 })?;
    Ok(text.into())
}

fn decode_list(reader: &mut Reader) -> Result<Vec<Acl>, DecodeError> {
    Ok(decode_acl(reader)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    fn txn(usage: Vec<QuotaUsage>) -> Txn {
        Txn {
            origin: Origin { server: ServerId(1), seq: 2 },
            session: SessionId(3),
            xid: Xid(4),
            time_ms: 5,
            change: Change::CloseSession,
            usage,
        }
    }

    fn bytes(txn: &Txn) -> Vec<u8> {
        let mut bytes = Vec::new();
        txn.encode(&mut bytes);
        bytes
    }

    /// Found by the fuzzer: a change of a hundred bytes was reserved for each byte that was there.
    #[test]
    fn a_count_of_changes_in_a_multi_reserves_no_more_than_could_be_there() {
        let mut record = bytes(&Txn { change: Change::Multi(Vec::new()), ..txn(Vec::new()) });
        let count = record.len() - 4;
        record.extend([4; 20]);
        record[count..count + 4].copy_from_slice(&20_i32.to_be_bytes());
        let refused = DecodeError::Length { got: 20, max: 4 };
        assert_eq!(Txn::decode(record.clone().into()), Err(refused));
        record[count..count + 4].copy_from_slice(&4_i32.to_be_bytes());
        let refused = DecodeError::Kind { what: "change in a multi", got: 4 };
        assert_eq!(Txn::decode(record.into()), Err(refused));
    }

    /// The bytes are on disks: other ones need another version.
    #[test]
    fn what_quotas_count_follows_the_change_in_version_two() {
        let plain = bytes(&txn(Vec::new()));
        let expected = [
            &[1, 1][..],
            &[0, 0, 0, 0, 0, 0, 0, 2],
            &[0, 0, 0, 0, 0, 0, 0, 3],
            &[0, 0, 0, 4],
            &[0, 0, 0, 0, 0, 0, 0, 5],
            &[4],
        ];
        assert_eq!(plain, expected.concat());

        let usage = Usage { count: 6, bytes: -1 };
        let counted = txn(vec![QuotaUsage { covered: "/q".into(), usage }]);
        let behind =
            [&[0, 0, 0, 1][..], &[0, 0, 0, 2, b'/', b'q'], &[0, 0, 0, 0, 0, 0, 0, 6], &[0xff; 8]];
        let expected = [&[2][..], &plain[1..], &behind.concat()].concat();
        assert_eq!(bytes(&counted), expected);
        assert_eq!(Txn::decode(expected.into()), Ok(counted));
    }
}
