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
    error::{ClientError, MultiError},
};

/// One operation of a multi.
#[derive(Clone, Debug)]
pub enum Op {
    /// Creates a znode.
    Create {
        /// Where.
        path: String,
        /// Its data.
        data: Bytes,
        /// What kind.
        mode: CreateMode,
        /// Who may do what with it.
        acl: Vec<Acl>,
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

impl Op {
    /// Returns the creation of a znode open to anyone.
    pub fn create(path: impl Into<String>, data: impl Into<Bytes>, mode: CreateMode) -> Self {
        Self::Create { path: path.into(), data: data.into(), mode, acl: vec![Acl::open()] }
    }

    /// Returns the deletion of a znode of a version, `None` for any.
    pub fn delete(path: impl Into<String>, version: Option<i32>) -> Self {
        Self::Delete { path: path.into(), version }
    }

    /// Returns the replacement of a znode's data at a version, `None` for any.
    pub fn set_data(path: impl Into<String>, data: impl Into<Bytes>, version: Option<i32>) -> Self {
        Self::SetData { path: path.into(), data: data.into(), version }
    }

    /// Returns the demand that a znode have this version.
    pub fn check(path: impl Into<String>, version: i32) -> Self {
        Self::Check { path: path.into(), version }
    }
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
        Op::Create { path, data, mode, acl } => {
            let (data, acl) = (Some(data), Some(acl));
            let create = Create { path: path.into(), data, acl, flags: mode.flags() };
            match mode {
                CreateMode::Container => multi::Op::CreateContainer(create),
                CreateMode::Ttl(ttl_ms) | CreateMode::TtlSequential(ttl_ms) => {
                    multi::Op::CreateTtl { create, ttl_ms }
                }
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
pub(crate) fn outcomes(results: &[OpResult]) -> Result<Vec<OpOutcome>, MultiError> {
    let failed = results.iter().enumerate().find_map(|(index, result)| match result {
        OpResult::Error(code) if *code != 0 => Some((index, *code)),
        _ => None,
    });
    if let Some((index, code)) = failed {
        return Err(MultiError { index: Some(index), error: ClientError::from_code(code) });
    }
    let outcomes = results.iter().map(|result| match result {
        OpResult::Create { path } | OpResult::Create2 { path, .. } => {
            text(path).map(OpOutcome::Created)
        }
        OpResult::Delete | OpResult::Check => Ok(OpOutcome::Done),
        OpResult::SetData { stat } => Ok(OpOutcome::Changed(*stat)),
        _ => Err(ClientError::Malformed),
    });
    outcomes.collect::<Result<_, _>>().map_err(MultiError::whole)
}
