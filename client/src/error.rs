//! Why an operation failed, by cause.

use conclave_protocol::code::ErrorCode;
use thiserror::Error;

/// Why an operation failed.
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
            _ => Self::Code(code),
        }
    }
}
