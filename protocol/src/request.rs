//! What clients ask.

use alloc::vec::Vec;

use bytes::Bytes;

use crate::{
    acl::{Acl, Identity, Perms},
    ids::Xid,
    jute::{DecodeError, Reader, Write},
    multi::{self, Op, ReadOp},
    opcode::OpCode,
    text::Text,
    zxid::Zxid,
};

/// Bytes that the shortest string or buffer takes: its length.
const TEXT_LEN_MIN: usize = 4;

/// Bytes that the shortest ACL entry takes.
const ACL_LEN_MIN: usize = 12;

/// What stands before the body of every request but the first.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RequestHeader {
    /// The client's number of the request.
    pub xid: Xid,
    /// What is asked; see [`OpCode`].
    pub opcode: i32,
}

impl RequestHeader {
    /// Its length, in bytes.
    pub const LEN_BYTES: usize = 8;

    /// Reads a header.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Short`].
    pub fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self { xid: Xid(reader.i32()?), opcode: reader.i32()? })
    }

    /// Appends the header.
    pub fn encode(&self, out: &mut impl Write) {
        out.put_i32(self.xid.0);
        out.put_i32(self.opcode);
    }
}

/// What every kind of create carries.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Create {
    /// Path, or the part before the sequence number.
    pub path: Text,
    /// Data; null and empty are kept apart.
    pub data: Option<Bytes>,
    /// Who may do what with it.
    pub acl: Option<Vec<Acl>>,
    /// ZooKeeper's create mode: 0 persistent, 1 ephemeral, 2 sequential, 3 both, 4 container, 5 and
    /// 6 TTL.
    pub flags: i32,
}

impl Create {
    pub(crate) fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            path: reader.text()?,
            data: reader.buffer()?,
            acl: decode_acl(reader)?,
            flags: reader.i32()?,
        })
    }

    pub(crate) fn encode(&self, out: &mut impl Write) {
        out.put_text(&self.path);
        out.put_buffer(self.data.as_deref());
        encode_acl(self.acl.as_deref(), out);
        out.put_i32(self.flags);
    }
}

pub(crate) fn decode_acl(reader: &mut Reader) -> Result<Option<Vec<Acl>>, DecodeError> {
    reader.vector(ACL_LEN_MIN, |reader| {
        Ok(Acl {
            perms: Perms(reader.i32()?),
            identity: Identity { scheme: reader.text()?, id: reader.text()? },
        })
    })
}

pub(crate) fn encode_acl(acl: Option<&[Acl]>, out: &mut impl Write) {
    out.put_vector(acl, |out, entry| {
        out.put_i32(entry.perms.0);
        out.put_text(&entry.identity.scheme);
        out.put_text(&entry.identity.id);
    });
}

/// A request's body.
#[derive(Clone, Debug, Eq, PartialEq)]
#[allow(missing_docs, reason = "the fields are those of ZooKeeper's records of the same names")]
pub enum Request {
    Create(Create),
    Delete {
        path: Text,
        version: i32,
    },
    Exists {
        path: Text,
        watch: bool,
    },
    GetData {
        path: Text,
        watch: bool,
    },
    SetData {
        path: Text,
        data: Option<Bytes>,
        version: i32,
    },
    GetAcl {
        path: Text,
    },
    SetAcl {
        path: Text,
        acl: Option<Vec<Acl>>,
        version: i32,
    },
    GetChildren {
        path: Text,
        watch: bool,
    },
    Sync {
        path: Text,
    },
    Ping,
    GetChildren2 {
        path: Text,
        watch: bool,
    },
    Check {
        path: Text,
        version: i32,
    },
    Multi(Vec<Op>),
    Create2(Create),
    Reconfig {
        joining: Text,
        leaving: Text,
        members: Text,
        version: i64,
    },
    CheckWatches {
        path: Text,
        kind: i32,
    },
    RemoveWatches {
        path: Text,
        kind: i32,
    },
    CreateContainer(Create),
    CreateTtl {
        create: Create,
        ttl_ms: i64,
    },
    MultiRead(Vec<ReadOp>),
    Auth {
        kind: i32,
        scheme: Text,
        data: Option<Bytes>,
    },
    SetWatches {
        relative_zxid: Zxid,
        data: Vec<Text>,
        exist: Vec<Text>,
        child: Vec<Text>,
    },
    Sasl {
        token: Option<Bytes>,
    },
    GetEphemerals {
        prefix: Text,
    },
    GetAllChildrenNumber {
        path: Text,
    },
    SetWatches2 {
        relative_zxid: Zxid,
        data: Vec<Text>,
        exist: Vec<Text>,
        child: Vec<Text>,
        persistent: Vec<Text>,
        recursive: Vec<Text>,
    },
    AddWatch {
        path: Text,
        mode: i32,
    },
    WhoAmI,
    CloseSession,
}

impl Request {
    /// Returns the operation's number.
    pub const fn opcode(&self) -> OpCode {
        match self {
            Self::Create(_) => OpCode::Create,
            Self::Delete { .. } => OpCode::Delete,
            Self::Exists { .. } => OpCode::Exists,
            Self::GetData { .. } => OpCode::GetData,
            Self::SetData { .. } => OpCode::SetData,
            Self::GetAcl { .. } => OpCode::GetAcl,
            Self::SetAcl { .. } => OpCode::SetAcl,
            Self::GetChildren { .. } => OpCode::GetChildren,
            Self::Sync { .. } => OpCode::Sync,
            Self::Ping => OpCode::Ping,
            Self::GetChildren2 { .. } => OpCode::GetChildren2,
            Self::Check { .. } => OpCode::Check,
            Self::Multi(_) => OpCode::Multi,
            Self::Create2(_) => OpCode::Create2,
            Self::Reconfig { .. } => OpCode::Reconfig,
            Self::CheckWatches { .. } => OpCode::CheckWatches,
            Self::RemoveWatches { .. } => OpCode::RemoveWatches,
            Self::CreateContainer(_) => OpCode::CreateContainer,
            Self::CreateTtl { .. } => OpCode::CreateTtl,
            Self::MultiRead(_) => OpCode::MultiRead,
            Self::Auth { .. } => OpCode::Auth,
            Self::SetWatches { .. } => OpCode::SetWatches,
            Self::Sasl { .. } => OpCode::Sasl,
            Self::GetEphemerals { .. } => OpCode::GetEphemerals,
            Self::GetAllChildrenNumber { .. } => OpCode::GetAllChildrenNumber,
            Self::SetWatches2 { .. } => OpCode::SetWatches2,
            Self::AddWatch { .. } => OpCode::AddWatch,
            Self::WhoAmI => OpCode::WhoAmI,
            Self::CloseSession => OpCode::CloseSession,
        }
    }

    /// Reads the body of a request; bytes behind it are ignored, as ZooKeeper does.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] for a malformed body, and for an operation that clients cannot ask.
    pub fn decode(opcode: OpCode, body: Bytes) -> Result<Self, DecodeError> {
        let r = &mut Reader::new(body);
        Ok(match opcode {
            OpCode::Create => Self::Create(Create::decode(r)?),
            OpCode::Delete => Self::Delete { path: r.text()?, version: r.i32()? },
            OpCode::Exists => Self::Exists { path: r.text()?, watch: r.bool()? },
            OpCode::GetData => Self::GetData { path: r.text()?, watch: r.bool()? },
            OpCode::SetData => {
                Self::SetData { path: r.text()?, data: r.buffer()?, version: r.i32()? }
            }
            OpCode::GetAcl => Self::GetAcl { path: r.text()? },
            OpCode::SetAcl => {
                Self::SetAcl { path: r.text()?, acl: decode_acl(r)?, version: r.i32()? }
            }
            OpCode::GetChildren => Self::GetChildren { path: r.text()?, watch: r.bool()? },
            OpCode::Sync => Self::Sync { path: r.text()? },
            OpCode::Ping => Self::Ping,
            OpCode::GetChildren2 => Self::GetChildren2 { path: r.text()?, watch: r.bool()? },
            OpCode::Check => Self::Check { path: r.text()?, version: r.i32()? },
            OpCode::Multi => Self::Multi(multi::decode_ops(r)?),
            OpCode::Create2 => Self::Create2(Create::decode(r)?),
            OpCode::Reconfig => Self::Reconfig {
                joining: r.text()?,
                leaving: r.text()?,
                members: r.text()?,
                version: r.i64()?,
            },
            OpCode::CheckWatches => Self::CheckWatches { path: r.text()?, kind: r.i32()? },
            OpCode::RemoveWatches => Self::RemoveWatches { path: r.text()?, kind: r.i32()? },
            OpCode::CreateContainer => Self::CreateContainer(Create::decode(r)?),
            OpCode::CreateTtl => Self::CreateTtl { create: Create::decode(r)?, ttl_ms: r.i64()? },
            OpCode::MultiRead => Self::MultiRead(multi::decode_read_ops(r)?),
            OpCode::Auth => Self::Auth { kind: r.i32()?, scheme: r.text()?, data: r.buffer()? },
            OpCode::SetWatches => Self::SetWatches {
                relative_zxid: Zxid::from_wire(r.i64()?),
                data: decode_texts(r)?,
                exist: decode_texts(r)?,
                child: decode_texts(r)?,
            },
            OpCode::Sasl => Self::Sasl { token: r.buffer()? },
            OpCode::GetEphemerals => Self::GetEphemerals { prefix: r.text()? },
            OpCode::GetAllChildrenNumber => Self::GetAllChildrenNumber { path: r.text()? },
            OpCode::SetWatches2 => Self::SetWatches2 {
                relative_zxid: Zxid::from_wire(r.i64()?),
                data: decode_texts(r)?,
                exist: decode_texts(r)?,
                child: decode_texts(r)?,
                persistent: decode_texts(r)?,
                recursive: decode_texts(r)?,
            },
            OpCode::AddWatch => Self::AddWatch { path: r.text()?, mode: r.i32()? },
            OpCode::WhoAmI => Self::WhoAmI,
            OpCode::CloseSession => Self::CloseSession,
            OpCode::CreateSession
            | OpCode::Error
            | OpCode::Notification
            | OpCode::DeleteContainer => {
                let got = opcode.to_wire().into();
                return Err(DecodeError::Kind { what: "request", got });
            }
        })
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut impl Write) {
        match self {
            Self::Ping | Self::WhoAmI | Self::CloseSession => {}
            Self::Create(create) | Self::Create2(create) | Self::CreateContainer(create) => {
                create.encode(out);
            }
            Self::CreateTtl { create, ttl_ms } => {
                create.encode(out);
                out.put_i64(*ttl_ms);
            }
            Self::Delete { path, version: number }
            | Self::Check { path, version: number }
            | Self::CheckWatches { path, kind: number }
            | Self::RemoveWatches { path, kind: number }
            | Self::AddWatch { path, mode: number } => {
                out.put_text(path);
                out.put_i32(*number);
            }
            Self::Exists { path, watch }
            | Self::GetData { path, watch }
            | Self::GetChildren { path, watch }
            | Self::GetChildren2 { path, watch } => {
                out.put_text(path);
                out.put_bool(*watch);
            }
            Self::SetData { path, data, version } => {
                out.put_text(path);
                out.put_buffer(data.as_deref());
                out.put_i32(*version);
            }
            Self::GetAcl { path }
            | Self::Sync { path }
            | Self::GetEphemerals { prefix: path }
            | Self::GetAllChildrenNumber { path } => out.put_text(path),
            Self::SetAcl { path, acl, version } => {
                out.put_text(path);
                encode_acl(acl.as_deref(), out);
                out.put_i32(*version);
            }
            Self::Multi(ops) => multi::encode_ops(ops, out),
            Self::MultiRead(ops) => multi::encode_read_ops(ops, out),
            Self::Reconfig { joining, leaving, members, version } => {
                out.put_text(joining);
                out.put_text(leaving);
                out.put_text(members);
                out.put_i64(*version);
            }
            Self::Auth { kind, scheme, data } => {
                out.put_i32(*kind);
                out.put_text(scheme);
                out.put_buffer(data.as_deref());
            }
            Self::Sasl { token } => out.put_buffer(token.as_deref()),
            Self::SetWatches { relative_zxid, data, exist, child } => {
                out.put_i64(relative_zxid.to_wire());
                encode_lists(&[data, exist, child], out);
            }
            Self::SetWatches2 { relative_zxid, data, exist, child, persistent, recursive } => {
                out.put_i64(relative_zxid.to_wire());
                encode_lists(&[data, exist, child, persistent, recursive], out);
            }
        }
    }
}

fn decode_texts(reader: &mut Reader) -> Result<Vec<Text>, DecodeError> {
    Ok(reader.vector(TEXT_LEN_MIN, Reader::text)?.unwrap_or_default())
}

fn encode_lists(lists: &[&Vec<Text>], out: &mut impl Write) {
    for list in lists {
        out.put_vector(Some(list), Write::put_text);
    }
}
