//! The operations of a multi and of a multiRead, and what they did.

use std::{fmt, marker::PhantomData};

use bytes::Bytes;
use conclave_protocol::{
    acl::Acl,
    multi::{self, OpResult},
    request::Create,
    stat::Stat,
};

use crate::{
    client::{Answer, Client, CreateMode, sorted, text},
    error::{ClientError, ErrorKind, MultiError},
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

/// One operation of a multi in the making; gives its result in [`Results`] its type.
pub struct OpRef<T> {
    index: usize,
    result: PhantomData<fn() -> T>,
}

impl<T> Clone for OpRef<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for OpRef<T> {}

impl<T> fmt::Debug for OpRef<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "operation {}", self.index)
    }
}

/// A multi in the making: several operations of which all are done or none.
///
/// ```
/// # async fn example(client: conclave_client::Client) -> Result<(), conclave_client::MultiError> {
/// use conclave_client::CreateMode;
///
/// let mut transaction = client.transaction();
/// transaction.check("/lock", 0);
/// let job = transaction.create("/jobs/job-", "work", CreateMode::PersistentSequential);
/// let count = transaction.set_data("/jobs", "1 job", None);
/// let results = transaction.commit().await?;
/// println!("{} is job {}", results.of(job), results.of(count).version);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "nothing is done before commit"]
pub struct Transaction {
    client: Client,
    ops: Vec<Op>,
}

impl Transaction {
    pub(crate) const fn new(client: Client) -> Self {
        Self { client, ops: Vec::new() }
    }

    /// Adds any operation, whose outcome has no type of its own.
    pub fn add(&mut self, op: Op) -> OpRef<OpOutcome> {
        self.push(op)
    }

    /// Adds the creation of a znode open to anyone; the result is its final path.
    pub fn create(
        &mut self,
        path: impl Into<String>,
        data: impl Into<Bytes>,
        mode: CreateMode,
    ) -> OpRef<String> {
        self.push(Op::create(path, data, mode))
    }

    /// Adds the creation of a znode with an ACL; the result is its final path.
    pub fn create_with_acl(
        &mut self,
        path: impl Into<String>,
        data: impl Into<Bytes>,
        mode: CreateMode,
        acl: Vec<Acl>,
    ) -> OpRef<String> {
        self.push(Op::Create { path: path.into(), data: data.into(), mode, acl })
    }

    /// Adds the deletion of a znode of a version, `None` for any.
    pub fn delete(&mut self, path: impl Into<String>, version: Option<i32>) -> OpRef<()> {
        self.push(Op::delete(path, version))
    }

    /// Adds the replacement of a znode's data at a version, `None` for any; the result is its new stat.
    pub fn set_data(
        &mut self,
        path: impl Into<String>,
        data: impl Into<Bytes>,
        version: Option<i32>,
    ) -> OpRef<Stat> {
        self.push(Op::set_data(path, data, version))
    }

    /// Adds the demand that a znode have this version; -1 that it be there.
    pub fn check(&mut self, path: impl Into<String>, version: i32) -> OpRef<()> {
        self.push(Op::check(path, version))
    }

    fn push<T>(&mut self, op: Op) -> OpRef<T> {
        self.ops.push(op);
        OpRef { index: self.ops.len() - 1, result: PhantomData }
    }

    /// Sends it now; the future is what its operations did.
    ///
    /// # Errors
    ///
    /// [`MultiError`] says which operation was refused and why.
    pub fn commit(self) -> Answer<Results, MultiError> {
        self.client.multi_as(self.ops, Results)
    }
}

/// What the operations of a multi did.
#[derive(Clone, Debug, PartialEq)]
pub struct Results(Vec<OpOutcome>);

impl Results {
    /// Returns what an operation did.
    ///
    /// # Panics
    ///
    /// When the operation is one of another multi.
    pub fn of<T: FromOutcome>(&self, op: OpRef<T>) -> T {
        let outcome = self.0.get(op.index).and_then(T::from_outcome);
        outcome.expect("an operation belongs to the multi that made it")
    }

    /// Returns all that was done, in order.
    pub fn into_outcomes(self) -> Vec<OpOutcome> {
        self.0
    }
}

/// What the result of an operation can be.
pub trait FromOutcome: Sized {
    /// Reads it from an outcome, if it is of this type.
    fn from_outcome(outcome: &OpOutcome) -> Option<Self>;
}

impl FromOutcome for OpOutcome {
    fn from_outcome(outcome: &OpOutcome) -> Option<Self> {
        Some(outcome.clone())
    }
}

impl FromOutcome for String {
    fn from_outcome(outcome: &OpOutcome) -> Option<Self> {
        match outcome {
            OpOutcome::Created(path) => Some(path.clone()),
            _ => None,
        }
    }
}

impl FromOutcome for Stat {
    fn from_outcome(outcome: &OpOutcome) -> Option<Self> {
        match outcome {
            OpOutcome::Changed(stat) => Some(*stat),
            _ => None,
        }
    }
}

impl FromOutcome for () {
    fn from_outcome(outcome: &OpOutcome) -> Option<Self> {
        (*outcome == OpOutcome::Done).then_some(())
    }
}

impl MultiError {
    /// Returns whether it was this operation that was refused.
    pub fn is_of<T>(&self, op: OpRef<T>) -> bool {
        self.index == Some(op.index)
    }

    /// Returns what the error means for the caller.
    pub const fn kind(&self) -> ErrorKind {
        self.error.kind()
    }
}

/// One operation of a multiRead.
#[derive(Clone, Debug)]
pub enum ReadOp {
    /// Reads data and stat.
    GetData(String),
    /// Reads the children's names.
    GetChildren(String),
}

/// What one operation of a multiRead gave.
#[derive(Clone, Debug, PartialEq)]
pub enum ReadOutcome {
    /// Data and stat.
    Data(Bytes, Stat),
    /// The children's names, in order.
    Children(Vec<String>),
}

/// Returns the operation as the protocol has it.
pub(crate) fn encode_read(op: ReadOp) -> multi::ReadOp {
    match op {
        ReadOp::GetData(path) => multi::ReadOp::GetData { path: path.into(), watch: false },
        ReadOp::GetChildren(path) => multi::ReadOp::GetChildren { path: path.into(), watch: false },
    }
}

/// Returns what each operation of a multiRead gave.
pub(crate) fn read_outcomes(
    results: Vec<OpResult>,
) -> Result<Vec<Result<ReadOutcome, ClientError>>, ClientError> {
    let outcome = |result| {
        Ok(match result {
            OpResult::Data { data, stat } => Ok(ReadOutcome::Data(data.unwrap_or_default(), stat)),
            OpResult::Children(names) => Ok(ReadOutcome::Children(sorted(&names)?)),
            OpResult::Error(code) => Err(ClientError::from_code(code)),
            _ => return Err(ClientError::Malformed),
        })
    };
    results.into_iter().map(outcome).collect()
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
