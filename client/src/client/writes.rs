//! Operations that change something, or prove something of the session.

use bytes::Bytes;
use conclave_protocol::{
    acl::Acl,
    request::{Create, Request},
    response::Response,
    stat::Stat,
    text::Text,
};

use super::{
    Answer, Client,
    reads::{data, stat},
    text,
};
use crate::{
    error::{ClientError, MultiError},
    ops::{self, Op, OpOutcome, Transaction},
};

/// What kind of znode a create makes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CreateMode {
    /// Stays until it is deleted.
    Persistent,
    /// Goes with the session.
    Ephemeral,
    /// Stays; its name gets a number.
    PersistentSequential,
    /// Goes with the session; its name gets a number.
    EphemeralSequential,
    /// Goes some time after its last child.
    Container,
    /// Goes when childless and unchanged for so many milliseconds.
    Ttl(i64),
    /// As [`Self::Ttl`]; its name gets a number.
    TtlSequential(i64),
}

impl CreateMode {
    /// Returns the number on the wire.
    pub(crate) const fn flags(self) -> i32 {
        match self {
            Self::Persistent => 0,
            Self::Ephemeral => 1,
            Self::PersistentSequential => 2,
            Self::EphemeralSequential => 3,
            Self::Container => 4,
            Self::Ttl(_) => 5,
            Self::TtlSequential(_) => 6,
        }
    }
}

impl Client {
    /// Creates a znode open to anyone, and returns its final path.
    ///
    /// # Errors
    ///
    /// [`ClientError::NodeExists`], [`ClientError::NoNode`] when the parent is missing, and others.
    pub fn create(&self, path: &str, data: impl Into<Bytes>, mode: CreateMode) -> Answer<String> {
        self.create_with_acl(path, data, mode, vec![Acl::open()])
    }

    /// Creates a znode with an ACL, and returns its final path.
    ///
    /// # Errors
    ///
    /// As [`Self::create`], and [`ClientError::InvalidAcl`].
    pub fn create_with_acl(
        &self,
        path: &str,
        data: impl Into<Bytes>,
        mode: CreateMode,
        acl: Vec<Acl>,
    ) -> Answer<String> {
        let create = create_record(path, data.into(), mode, acl);
        let request = match mode {
            CreateMode::Container => Request::CreateContainer(create),
            CreateMode::Ttl(ttl_ms) | CreateMode::TtlSequential(ttl_ms) => {
                Request::CreateTtl { create, ttl_ms }
            }
            _ => Request::Create(create),
        };
        self.call(request, |response| match response {
            Response::Path(path) | Response::PathStat { path, .. } => text(&path),
            _ => Err(ClientError::Malformed),
        })
    }

    /// Creates a znode with an ACL, and returns its final path and its stat.
    ///
    /// # Errors
    ///
    /// As [`Self::create_with_acl`]; [`ClientError::Unimplemented`] by servers before 3.5.
    pub fn create_with_stat(
        &self,
        path: &str,
        data: impl Into<Bytes>,
        mode: CreateMode,
        acl: Vec<Acl>,
    ) -> Answer<(String, Stat)> {
        let create = create_record(path, data.into(), mode, acl);
        let request = match mode {
            CreateMode::Container => Request::CreateContainer(create),
            CreateMode::Ttl(ttl_ms) | CreateMode::TtlSequential(ttl_ms) => {
                Request::CreateTtl { create, ttl_ms }
            }
            _ => Request::Create2(create),
        };
        self.call(request, |response| match response {
            Response::PathStat { path, stat } => Ok((text(&path)?, stat)),
            _ => Err(ClientError::Malformed),
        })
    }

    /// Deletes a znode of a version, `None` for any.
    ///
    /// # Errors
    ///
    /// [`ClientError::NoNode`], [`ClientError::BadVersion`], [`ClientError::NotEmpty`], and others.
    pub fn delete(&self, path: &str, version: Option<i32>) -> Answer<()> {
        let request = Request::Delete { path: path.into(), version: version.unwrap_or(-1) };
        self.call(request, |_| Ok(()))
    }

    /// Replaces a znode's data at a version, `None` for any, and returns its new stat.
    ///
    /// # Errors
    ///
    /// [`ClientError::NoNode`], [`ClientError::BadVersion`], and others.
    pub fn set_data(
        &self,
        path: &str,
        data: impl Into<Bytes>,
        version: Option<i32>,
    ) -> Answer<Stat> {
        let request = Request::SetData {
            path: path.into(),
            data: Some(data.into()),
            version: version.unwrap_or(-1),
        };
        self.call(request, stat)
    }

    /// Replaces a znode's ACL at an ACL version, `None` for any, and returns its new stat.
    ///
    /// # Errors
    ///
    /// [`ClientError::InvalidAcl`], [`ClientError::BadVersion`], and others.
    pub fn set_acl(&self, path: &str, acl: Vec<Acl>, aversion: Option<i32>) -> Answer<Stat> {
        let version = aversion.unwrap_or(-1);
        self.call(Request::SetAcl { path: path.into(), acl: Some(acl), version }, stat)
    }

    /// Does all of several operations, or none.
    ///
    /// # Errors
    ///
    /// [`MultiError`] says which operation was refused and why.
    pub fn multi(&self, ops: Vec<Op>) -> Answer<Vec<OpOutcome>, MultiError> {
        self.multi_as(ops, |outcomes| outcomes)
    }

    pub(crate) fn multi_as<T>(
        &self,
        ops: Vec<Op>,
        read: impl FnOnce(Vec<OpOutcome>) -> T + Send + 'static,
    ) -> Answer<T, MultiError> {
        let ops = ops.into_iter().map(ops::encode).collect();
        self.call_and_watch(Request::Multi(ops), None, |answered| {
            match answered.map_err(MultiError::whole)? {
                Response::Multi(results) => ops::outcomes(&results).map(read),
                _ => Err(MultiError::whole(ClientError::Malformed)),
            }
        })
    }

    /// Begins a multi whose results have types.
    pub fn transaction(&self) -> Transaction {
        Transaction::new(self.clone())
    }

    /// Changes the members of the ensemble at run time, by what joins (`server.N=...` lines) and the
    /// numbers that leave, and returns the new configuration; `version` is the one expected to be in
    /// effect, `None` for any.
    ///
    /// # Errors
    ///
    /// [`ClientError::ReconfigDisabled`], [`ClientError::ReconfigInProgress`],
    /// [`ClientError::NewConfigNoQuorum`], [`ClientError::NoAuth`], and others.
    pub fn reconfig(
        &self,
        joining: &[&str],
        leaving: &[u8],
        version: Option<i64>,
    ) -> Answer<(Bytes, Stat)> {
        let leaving: Vec<String> = leaving.iter().map(u8::to_string).collect();
        let list = |all: String| if all.is_empty() { Text::NULL } else { all.into() };
        self.reconfigure(list(joining.join(",")), list(leaving.join(",")), Text::NULL, version)
    }

    /// Changes the members of the ensemble at run time to exactly these (`server.N=...` lines), and
    /// returns the new configuration.
    ///
    /// # Errors
    ///
    /// As [`Self::reconfig`].
    pub fn reconfig_to(&self, members: &[&str], version: Option<i64>) -> Answer<(Bytes, Stat)> {
        self.reconfigure(Text::NULL, Text::NULL, members.join(",").into(), version)
    }

    fn reconfigure(
        &self,
        joining: Text,
        leaving: Text,
        members: Text,
        version: Option<i64>,
    ) -> Answer<(Bytes, Stat)> {
        let version = version.unwrap_or(-1);
        self.call(Request::Reconfig { joining, leaving, members, version }, data)
    }

    /// Proves an identity to the server, on this and every later connection of the session.
    ///
    /// # Errors
    ///
    /// [`ClientError::AuthFailed`], and the session is over; [`ClientError::Overloaded`] beyond
    /// [`crate::session::AUTHS_MAX`] identities.
    pub fn add_auth(&self, scheme: &str, data: impl Into<Bytes>) -> Answer<()> {
        let request = Request::Auth { kind: 0, scheme: scheme.into(), data: Some(data.into()) };
        self.call(request, |_| Ok(()))
    }
}

fn create_record(path: &str, data: Bytes, mode: CreateMode, acl: Vec<Acl>) -> Create {
    Create { path: path.into(), data: Some(data), acl: Some(acl), flags: mode.flags() }
}
