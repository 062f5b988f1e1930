//! The operations of a multi, and what they did.

use bytes::Bytes;
use conclave_protocol::{
    acl::Acl,
    multi::{self, OpResult},
    request::Create,
    stat::Stat,
};

use crate::{
    client::{CreateMode, text},
    error::ClientError,
};

/// One operation of a multi.
#[derive(Clone, Debug)]
pub enum Op {
    /// Creates a znode open to anyone.
    Create {
        /// Where.
        path: String,
        /// Its data.
        data: Bytes,
        /// What kind.
        mode: CreateMode,
    },
    /// Deletes a znode.
    Delete {
        /// Which.
        path: String,
        /// Expected; `None` for any.
        version: Option<i32>,
    },
    /// Replaces data.
    SetData {
        /// Whose.
        path: String,
        /// The new data.
        data: Bytes,
        /// Expected; `None` for any.
        version: Option<i32>,
    },
    /// Holds only at this version.
    Check {
        /// Whose.
        path: String,
        /// Expected.
        version: i32,
    },
}

/// What one operation of a multi did.
#[derive(Clone, Debug, PartialEq)]
pub enum OpOutcome {
    /// The znode's final path.
    Created(String),
    /// It is gone, or the check held.
    Done,
    /// The znode's new stat.
    Changed(Stat),
}

/// Returns the operation as the protocol has it.
pub(crate) fn encode(op: Op) -> multi::Op {
    match op {
        Op::Create { path, data, mode } => {
            let (data, acl) = (Some(data), Some(vec![Acl::open()]));
            let create = Create { path: path.into(), data, acl, flags: mode.flags() };
            match mode {
                CreateMode::Container => multi::Op::CreateContainer(create),
                CreateMode::Ttl(ttl_ms) => multi::Op::CreateTtl { create, ttl_ms },
                _ => multi::Op::Create(create),
            }
        }
        Op::Delete { path, version } => {
            multi::Op::Delete { path: path.into(), version: version.unwrap_or(-1) }
        }
        Op::SetData { path, data, version } => multi::Op::SetData {
            path: path.into(),
            data: Some(data),
            version: version.unwrap_or(-1),
        },
        Op::Check { path, version } => multi::Op::Check { path: path.into(), version },
    }
}

/// Returns what each operation did, or which one was refused and why.
pub(crate) fn outcomes(
    results: Vec<OpResult>,
) -> Result<Vec<OpOutcome>, (Option<usize>, ClientError)> {
    let failed = results.iter().enumerate().find_map(|(index, result)| match result {
        OpResult::Error(code) if *code != 0 => Some((index, *code)),
        _ => None,
    });
    if let Some((index, code)) = failed {
        return Err((Some(index), ClientError::from_code(code)));
    }
    let malformed = || (None, ClientError::Malformed);
    results
        .iter()
        .map(|result| match result {
            OpResult::Create { path } | OpResult::Create2 { path, .. } => {
                text(path).map(OpOutcome::Created).map_err(|_| malformed())
            }
            OpResult::Delete | OpResult::Check => Ok(OpOutcome::Done),
            OpResult::SetData { stat } => Ok(OpOutcome::Changed(*stat)),
            _ => Err(malformed()),
        })
        .collect()
}
