//! Why an operation failed, by cause.

use conclave_protocol::code::ErrorCode;
use thiserror::Error;

/// What an error means for the caller.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ErrorKind {
    /// Nothing was done; the same may succeed later.
    NotDone,
    /// It may have been done or not. Look, or do it again where that changes nothing.
    OutcomeUnknown,
    /// The session is over, and with it its ephemerals and watches: a new client is needed. What was
    /// under way may have been done.
    SessionGone,
    /// Nothing was done, and nothing will be until the caller changes something.
    Refused,
}

/// Why an operation failed; [`ClientError::kind`] says what to do about it.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum ClientError {
    /// There is no znode at the path.
    #[error("node does not exist")]
    NoNode,
    /// There is a znode at the path already.
    #[error("node exists already")]
    NodeExists,
    /// The version is not the one expected.
    #[error("version does not match")]
    BadVersion,
    /// The znode has children.
    #[error("node has children")]
    NotEmpty,
    /// Ephemeral znodes have no children.
    #[error("ephemeral nodes have no children")]
    NoChildrenForEphemerals,
    /// The znode's ACL does not allow it.
    #[error("not allowed by the node's ACL")]
    NoAuth,
    /// The ACL is empty or malformed.
    #[error("ACL is empty or malformed")]
    InvalidAcl,
    /// The path, or another argument, cannot be.
    #[error("bad arguments")]
    BadArguments,
    /// There is no such watch.
    #[error("there is no such watch")]
    NoWatcher,
    /// The identity was not accepted; the session's connection is closed.
    #[error("authentication failed")]
    AuthFailed,
    /// The connection broke while the operation was under way: whether it was done is not known.
    #[error("connection lost; whether it was done is not known")]
    ConnectionLoss,
    /// The session is over; its ephemerals are gone. A new client is needed.
    #[error("session expired")]
    SessionExpired,
    /// The client was closed.
    #[error("client is closed")]
    Closed,
    /// More than a limit allows: of operations [`crate::client::REQUESTS_MAX`], of identities
    /// [`crate::session::AUTHS_MAX`].
    #[error("too many at once")]
    Overloaded,
    /// The server has lost its ensemble and serves reads only.
    #[error("server is read-only")]
    NotReadOnly,
    /// A quota of the path is used up.
    #[error("quota exceeded")]
    QuotaExceeded,
    /// The session has moved to another server by another connection.
    #[error("session moved to another server")]
    SessionMoved,
    /// The server does not know the operation.
    #[error("operation is not implemented by the server")]
    Unimplemented,
    /// The server has too much to do; nothing was done.
    #[error("server is overloaded")]
    Throttled,
    /// The server gave up waiting: whether it was done is not known.
    #[error("timed out; whether it was done is not known")]
    Timeout,
    /// The ensemble does not change its members at run time.
    #[error("reconfiguration is disabled")]
    ReconfigDisabled,
    /// Another change of the members is under way.
    #[error("another reconfiguration is in progress")]
    ReconfigInProgress,
    /// The new members have no quorum that is up to date.
    #[error("the new members have no quorum that is up to date")]
    NewConfigNoQuorum,
    /// The session is known to its server only, and can own no ephemerals.
    #[error("a local session can own no ephemerals")]
    EphemeralOnLocalSession,
    /// Another code of the protocol.
    #[error("server answered with code {0}")]
    Code(i32),
    /// The server's answer is not what the protocol says.
    #[error("server's answer is malformed")]
    Malformed,
    /// The connect string names no server.
    #[error("connect string {0:?}: expected host:port[,host:port...][/chroot]")]
    ConnectString(String),
    /// The request is longer than [`crate::ClientBuilder::request_len_bytes_max`].
    #[error("request of {0} bytes is too long")]
    TooLong(usize),
}

/// Why a multi did nothing.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("{}{error}", .index.map_or(String::new(), |index| format!("operation {index}: ")))]
pub struct MultiError {
    /// The operation that was refused, from 0; `None` when it was the whole.
    pub index: Option<usize>,
    /// Why.
    #[source]
    pub error: ClientError,
}

impl MultiError {
    /// Wraps an error that is of no one operation.
    pub(crate) const fn whole(error: ClientError) -> Self {
        Self { index: None, error }
    }
}

impl ClientError {
    /// Returns the error of a reply's code, which is not 0.
    pub fn from_code(code: i32) -> Self {
        match ErrorCode::from_wire(code) {
            Some(ErrorCode::NoNode) => Self::NoNode,
            Some(ErrorCode::NodeExists) => Self::NodeExists,
            Some(ErrorCode::BadVersion) => Self::BadVersion,
            Some(ErrorCode::NotEmpty) => Self::NotEmpty,
            Some(ErrorCode::NoChildrenForEphemerals) => Self::NoChildrenForEphemerals,
            Some(ErrorCode::NoAuth) => Self::NoAuth,
            Some(ErrorCode::InvalidAcl) => Self::InvalidAcl,
            Some(ErrorCode::BadArguments) => Self::BadArguments,
            Some(ErrorCode::NoWatcher) => Self::NoWatcher,
            Some(ErrorCode::AuthFailed) => Self::AuthFailed,
            Some(ErrorCode::ConnectionLoss) => Self::ConnectionLoss,
            Some(ErrorCode::SessionExpired) => Self::SessionExpired,
            Some(ErrorCode::NotReadOnly) => Self::NotReadOnly,
            Some(ErrorCode::QuotaExceeded) => Self::QuotaExceeded,
            Some(ErrorCode::SessionMoved) => Self::SessionMoved,
            Some(ErrorCode::Unimplemented) => Self::Unimplemented,
            Some(ErrorCode::ThrottledOp) => Self::Throttled,
            Some(ErrorCode::OperationTimeout | ErrorCode::RequestTimeout) => Self::Timeout,
            Some(ErrorCode::ReconfigDisabled) => Self::ReconfigDisabled,
            Some(ErrorCode::ReconfigInProgress) => Self::ReconfigInProgress,
            Some(ErrorCode::NewConfigNoQuorum) => Self::NewConfigNoQuorum,
            Some(ErrorCode::EphemeralOnLocalSession) => Self::EphemeralOnLocalSession,
            _ => Self::Code(code),
        }
    }

    /// Returns what the error means for the caller.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Overloaded
            | Self::NotReadOnly
            | Self::SessionMoved
            | Self::Throttled
            | Self::ReconfigInProgress
            | Self::NewConfigNoQuorum => ErrorKind::NotDone,
            Self::ConnectionLoss | Self::Timeout | Self::Malformed => ErrorKind::OutcomeUnknown,
            Self::SessionExpired | Self::Closed | Self::AuthFailed => ErrorKind::SessionGone,
            _ => ErrorKind::Refused,
        }
    }

    /// Returns whether the same may simply be tried again, whatever it was: see [`crate::Retry`].
    pub const fn is_retryable(&self) -> bool {
        matches!(self.kind(), ErrorKind::NotDone)
    }
}
