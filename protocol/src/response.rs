//! What clients are answered.

use alloc::vec::Vec;

use bytes::Bytes;

use crate::{
    acl::Acl,
    ids::Xid,
    jute::{DecodeError, Reader, Write},
    multi::{self, OpResult},
    opcode::OpCode,
    request::{decode_acl, encode_acl},
    stat::Stat,
    text::Text,
    zxid::Zxid,
};

/// Bytes that the shortest [`ClientInfo`] takes.
const CLIENT_INFO_LEN_MIN: usize = 8;

/// What stands before the body of every reply but the first.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ReplyHeader {
    /// The client's number of the request.
    pub xid: Xid,
    /// A write's own zxid; the last applied one for a read.
    pub zxid: Zxid,
    /// 0, or why the request was refused.
    pub error: i32,
}

impl ReplyHeader {
    /// Reads a header.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Short`].
    pub fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            xid: Xid(reader.i32()?),
            zxid: Zxid::from_wire(reader.i64()?),
            error: reader.i32()?,
        })
    }

    /// Appends the header.
    pub fn encode(&self, out: &mut impl Write) {
        out.put_i32(self.xid.0);
        out.put_i64(self.zxid.to_wire());
        out.put_i32(self.error);
    }
}

/// One identity of a client, as whoAmI tells it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ClientInfo {
    /// How it was proved.
    pub scheme: Text,
    /// Whose it is, without secrets.
    pub user: Text,
}

/// A reply's body.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Response {
    /// Nothing: errors, delete, ping, auth, setWatches, closeSession, check and its like.
    Empty,
    /// The path of a create.
    Path(Text),
    /// Path and stat of create2, createContainer, createTTL.
    PathStat {
        /// The final path.
        path: Text,
        /// State right after the creation.
        stat: Stat,
    },
    /// The stat of exists, setData, setACL.
    Stat(Stat),
    /// Data and stat of getData and reconfig.
    Data {
        /// The data; null and empty are kept apart.
        data: Option<Bytes>,
        /// State when it was read.
        stat: Stat,
    },
    /// List and stat of getACL.
    Acl {
        /// Who may do what.
        acl: Vec<Acl>,
        /// State when it was read.
        stat: Stat,
    },
    /// The names of getChildren.
    Children(Vec<Text>),
    /// Names and stat of getChildren2.
    Children2 {
        /// The children's names.
        children: Vec<Text>,
        /// State when they were read.
        stat: Stat,
    },
    /// The path of a sync.
    Sync(Text),
    /// The results of a multi or multiRead.
    Multi(Vec<OpResult>),
    /// The paths of getEphemerals.
    Ephemerals(Vec<Text>),
    /// The count of getAllChildrenNumber.
    AllChildrenNumber(i32),
    /// The identities of whoAmI.
    WhoAmI(Vec<ClientInfo>),
    /// The result of addWatch.
    AddWatch {
        /// Always 0.
        error: i32,
    },
    /// The token of sasl.
    Sasl(Option<Bytes>),
}

impl Response {
    /// Reads the body of a reply without error to a request of `opcode`; the bytes behind it are
    /// ignored.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] for a malformed body, and for an operation that has no reply.
    pub fn decode(opcode: OpCode, body: Bytes) -> Result<Self, DecodeError> {
        let r = &mut Reader::new(body);
        Ok(match opcode {
            OpCode::Create => Self::Path(r.text()?),
            OpCode::Create2 | OpCode::CreateContainer | OpCode::CreateTtl => {
                Self::PathStat { path: r.text()?, stat: Stat::decode(r)? }
            }
            OpCode::Exists | OpCode::SetData | OpCode::SetAcl => Self::Stat(Stat::decode(r)?),
            OpCode::GetData | OpCode::Reconfig => {
                Self::Data { data: r.buffer()?, stat: Stat::decode(r)? }
            }
            OpCode::GetAcl => {
                Self::Acl { acl: decode_acl(r)?.unwrap_or_default(), stat: Stat::decode(r)? }
            }
            OpCode::GetChildren => Self::Children(decode_texts(r)?),
            OpCode::GetChildren2 => {
                Self::Children2 { children: decode_texts(r)?, stat: Stat::decode(r)? }
            }
            OpCode::Sync => Self::Sync(r.text()?),
            OpCode::Multi | OpCode::MultiRead => Self::Multi(multi::decode_results(r)?),
            OpCode::GetEphemerals => Self::Ephemerals(decode_texts(r)?),
            OpCode::GetAllChildrenNumber => Self::AllChildrenNumber(r.i32()?),
            OpCode::WhoAmI => Self::WhoAmI(
                r.vector(CLIENT_INFO_LEN_MIN, |r| {
                    Ok(ClientInfo { scheme: r.text()?, user: r.text()? })
                })?
                .unwrap_or_default(),
            ),
            OpCode::AddWatch => Self::AddWatch { error: r.i32()? },
            OpCode::Sasl => Self::Sasl(r.buffer()?),
            OpCode::Delete
            | OpCode::Ping
            | OpCode::Check
            | OpCode::CheckWatches
            | OpCode::RemoveWatches
            | OpCode::DeleteContainer
            | OpCode::Auth
            | OpCode::SetWatches
            | OpCode::SetWatches2
            | OpCode::CloseSession => Self::Empty,
            OpCode::CreateSession | OpCode::Error | OpCode::Notification => {
                return Err(DecodeError::Kind { what: "reply", got: opcode.to_wire().into() });
            }
        })
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut impl Write) {
        match self {
            Self::Empty => {}
            Self::Path(path) | Self::Sync(path) => out.put_text(path),
            Self::PathStat { path, stat } => {
                out.put_text(path);
                stat.encode(out);
            }
            Self::Stat(stat) => stat.encode(out),
            Self::Data { data, stat } => {
                out.put_buffer(data.as_deref());
                stat.encode(out);
            }
            Self::Acl { acl, stat } => {
                encode_acl(Some(acl), out);
                stat.encode(out);
            }
            Self::Children(names) | Self::Ephemerals(names) => {
                out.put_vector(Some(names), Write::put_text);
            }
            Self::Children2 { children, stat } => {
                out.put_vector(Some(children), Write::put_text);
                stat.encode(out);
            }
            Self::Multi(results) => multi::encode_results(results, out),
            Self::AllChildrenNumber(number) | Self::AddWatch { error: number } => {
                out.put_i32(*number);
            }
            Self::WhoAmI(infos) => out.put_vector(Some(infos), |out, info| {
                out.put_text(&info.scheme);
                out.put_text(&info.user);
            }),
            Self::Sasl(token) => out.put_buffer(token.as_deref()),
        }
    }
}

fn decode_texts(reader: &mut Reader) -> Result<Vec<Text>, DecodeError> {
    Ok(reader.vector(4, Reader::text)?.unwrap_or_default())
}
