//! Multi and multiRead: several operations in one request, each behind a header of nine bytes
//! (operation, whether this is the end, error), the last header being the end marker.

use alloc::vec::Vec;

use bytes::Bytes;

use crate::{
    jute::{DecodeError, Reader, Write},
    opcode::OpCode,
    request::Create,
    stat::Stat,
    text::Text,
};

const END_OPCODE: i32 = -1;
const NO_ERROR: i32 = -1;

/// One operation of a multi.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Op {
    /// Creates a znode; the result is its path.
    Create(Create),
    /// Creates a znode; the result is its path and stat.
    Create2(Create),
    /// Creates a container.
    CreateContainer(Create),
    /// Creates a TTL znode.
    CreateTtl {
        /// What is created.
        create: Create,
        /// Milliseconds.
        ttl_ms: i64,
    },
    /// Deletes a znode of a version, -1 for any.
    Delete {
        /// Which.
        path: Text,
        /// Expected.
        version: i32,
    },
    /// Replaces the data of a version, -1 for any.
    SetData {
        /// Which.
        path: Text,
        /// The new data.
        data: Option<Bytes>,
        /// Expected.
        version: i32,
    },
    /// Holds only when the znode has this version, -1 for any.
    Check {
        /// Which.
        path: Text,
        /// Expected.
        version: i32,
    },
}

impl Op {
    /// Returns the operation's number.
    pub const fn opcode(&self) -> OpCode {
        match self {
            Self::Create(_) => OpCode::Create,
            Self::Create2(_) => OpCode::Create2,
            Self::CreateContainer(_) => OpCode::CreateContainer,
            Self::CreateTtl { .. } => OpCode::CreateTtl,
            Self::Delete { .. } => OpCode::Delete,
            Self::SetData { .. } => OpCode::SetData,
            Self::Check { .. } => OpCode::Check,
        }
    }

    /// Returns the path it is about.
    pub const fn path(&self) -> &Text {
        match self {
            Self::Create(create) | Self::Create2(create) | Self::CreateContainer(create) => {
                &create.path
            }
            Self::CreateTtl { create, .. } => &create.path,
            Self::Delete { path, .. } | Self::SetData { path, .. } | Self::Check { path, .. } => {
                path
            }
        }
    }

    /// Returns the number that its result has: in a multi the flags alone decide which kind of
    /// create it is, and the stat is told only of containers and TTL znodes.
    pub const fn answered_as(&self) -> OpCode {
        match self {
            Self::Create(create)
            | Self::Create2(create)
            | Self::CreateContainer(create)
            | Self::CreateTtl { create, .. } => match create.flags {
                4..=6 => OpCode::Create2,
                _ => OpCode::Create,
            },
            other => other.opcode(),
        }
    }

    fn decode(opcode: i32, reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(match OpCode::from_wire(opcode) {
            Some(OpCode::Create) => Self::Create(Create::decode(reader)?),
            Some(OpCode::Create2) => Self::Create2(Create::decode(reader)?),
            Some(OpCode::CreateContainer) => Self::CreateContainer(Create::decode(reader)?),
            Some(OpCode::CreateTtl) => {
                Self::CreateTtl { create: Create::decode(reader)?, ttl_ms: reader.i64()? }
            }
            Some(OpCode::Delete) => Self::Delete { path: reader.text()?, version: reader.i32()? },
            Some(OpCode::SetData) => Self::SetData {
                path: reader.text()?,
                data: reader.buffer()?,
                version: reader.i32()?,
            },
            Some(OpCode::Check) => Self::Check { path: reader.text()?, version: reader.i32()? },
            _ => {
                return Err(DecodeError::Kind { what: "operation of a multi", got: opcode.into() });
            }
        })
    }

    fn encode(&self, out: &mut impl Write) {
        match self {
            Self::Create(create) | Self::Create2(create) | Self::CreateContainer(create) => {
                create.encode(out);
            }
            Self::CreateTtl { create, ttl_ms } => {
                create.encode(out);
                out.put_i64(*ttl_ms);
            }
            Self::Delete { path, version } | Self::Check { path, version } => {
                out.put_text(path);
                out.put_i32(*version);
            }
            Self::SetData { path, data, version } => {
                out.put_text(path);
                out.put_buffer(data.as_deref());
                out.put_i32(*version);
            }
        }
    }
}

/// One operation of a multiRead.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ReadOp {
    /// Reads data and stat.
    GetData {
        /// Which.
        path: Text,
        /// Ignored by servers inside a multiRead.
        watch: bool,
    },
    /// Reads the children's names.
    GetChildren {
        /// Which.
        path: Text,
        /// Ignored by servers inside a multiRead.
        watch: bool,
    },
}

/// What one operation of a multi or multiRead gave.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum OpResult {
    /// The path of a create.
    Create {
        /// The final path.
        path: Text,
    },
    /// Path and stat of a create2, createContainer or createTTL.
    Create2 {
        /// Which of them.
        opcode: OpCode,
        /// The final path.
        path: Text,
        /// State right after the operation.
        stat: Stat,
    },
    /// A delete that was done.
    Delete,
    /// The stat of a setData.
    SetData {
        /// State right after the operation.
        stat: Stat,
    },
    /// A check that held.
    Check,
    /// Data and stat of a getData.
    Data {
        /// The data.
        data: Option<Bytes>,
        /// State when it was read.
        stat: Stat,
    },
    /// The names of a getChildren.
    Children(Vec<Text>),
    /// The operation's own code: of the failing one, 0 before it and -2 behind it in a multi.
    Error(i32),
}

fn put_header(out: &mut impl Write, opcode: i32, is_end: bool, error: i32) {
    out.put_i32(opcode);
    out.put_bool(is_end);
    out.put_i32(error);
}

fn decode_all<T>(
    reader: &mut Reader,
    mut one: impl FnMut(i32, &mut Reader) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    // Grows with what is there: each operation takes at least its header's bytes.
    let mut all = Vec::new();
    loop {
        let opcode = reader.i32()?;
        let is_end = reader.bool()?;
        reader.i32()?;
        if is_end {
            return Ok(all);
        }
        all.push(one(opcode, reader)?);
    }
}

/// Reads the body of a multi.
pub(crate) fn decode_ops(reader: &mut Reader) -> Result<Vec<Op>, DecodeError> {
    decode_all(reader, Op::decode)
}

/// Appends the body of a multi.
pub(crate) fn encode_ops(ops: &[Op], out: &mut impl Write) {
    for op in ops {
        put_header(out, op.opcode().to_wire(), false, NO_ERROR);
        op.encode(out);
    }
    put_header(out, END_OPCODE, true, NO_ERROR);
}

/// Reads the body of a multiRead.
pub(crate) fn decode_read_ops(reader: &mut Reader) -> Result<Vec<ReadOp>, DecodeError> {
    decode_all(reader, |opcode, reader| match OpCode::from_wire(opcode) {
        Some(OpCode::GetData) => {
            Ok(ReadOp::GetData { path: reader.text()?, watch: reader.bool()? })
        }
        Some(OpCode::GetChildren) => {
            Ok(ReadOp::GetChildren { path: reader.text()?, watch: reader.bool()? })
        }
        _ => Err(DecodeError::Kind { what: "operation of a multiRead", got: opcode.into() }),
    })
}

/// Appends the body of a multiRead.
pub(crate) fn encode_read_ops(ops: &[ReadOp], out: &mut impl Write) {
    for op in ops {
        let (opcode, path, watch) = match op {
            ReadOp::GetData { path, watch } => (OpCode::GetData, path, watch),
            ReadOp::GetChildren { path, watch } => (OpCode::GetChildren, path, watch),
        };
        put_header(out, opcode.to_wire(), false, NO_ERROR);
        out.put_text(path);
        out.put_bool(*watch);
    }
    put_header(out, END_OPCODE, true, NO_ERROR);
}

/// Reads the body of a reply to multi or multiRead.
pub(crate) fn decode_results(reader: &mut Reader) -> Result<Vec<OpResult>, DecodeError> {
    decode_all(reader, |opcode, reader| {
        Ok(match OpCode::from_wire(opcode) {
            Some(OpCode::Create) => OpResult::Create { path: reader.text()? },
            Some(opcode @ (OpCode::Create2 | OpCode::CreateContainer | OpCode::CreateTtl)) => {
                OpResult::Create2 { opcode, path: reader.text()?, stat: Stat::decode(reader)? }
            }
            Some(OpCode::Delete) => OpResult::Delete,
            Some(OpCode::SetData) => OpResult::SetData { stat: Stat::decode(reader)? },
            Some(OpCode::Check) => OpResult::Check,
            Some(OpCode::GetData) => {
                OpResult::Data { data: reader.buffer()?, stat: Stat::decode(reader)? }
            }
            Some(OpCode::GetChildren) => {
                OpResult::Children(reader.vector(4, Reader::text)?.unwrap_or_default())
            }
            Some(OpCode::Error) => OpResult::Error(reader.i32()?),
            _ => return Err(DecodeError::Kind { what: "result of a multi", got: opcode.into() }),
        })
    })
}

/// Appends the body of a reply to multi or multiRead.
pub(crate) fn encode_results(results: &[OpResult], out: &mut impl Write) {
    for result in results {
        let (opcode, error) = match result {
            OpResult::Create { .. } => (OpCode::Create, 0),
            OpResult::Create2 { opcode, .. } => (*opcode, 0),
            OpResult::Delete => (OpCode::Delete, 0),
            OpResult::SetData { .. } => (OpCode::SetData, 0),
            OpResult::Check => (OpCode::Check, 0),
            OpResult::Data { .. } => (OpCode::GetData, 0),
            OpResult::Children(_) => (OpCode::GetChildren, 0),
            OpResult::Error(code) => (OpCode::Error, *code),
        };
        put_header(out, opcode.to_wire(), false, error);
        match result {
            OpResult::Create { path } => out.put_text(path),
            OpResult::Create2 { path, stat, .. } => {
                out.put_text(path);
                stat.encode(out);
            }
            OpResult::SetData { stat } => stat.encode(out),
            OpResult::Data { data, stat } => {
                out.put_buffer(data.as_deref());
                stat.encode(out);
            }
            OpResult::Children(names) => out.put_vector(Some(names), Write::put_text),
            OpResult::Error(code) => out.put_i32(*code),
            OpResult::Delete | OpResult::Check => {}
        }
    }
    put_header(out, END_OPCODE, true, NO_ERROR);
}
