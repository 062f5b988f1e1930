//! What goes into a session and what comes out of it.

use bytes::Bytes;
use conclave_protocol::{event::WatchEvent, response::Response};

use crate::{
    error::ClientError,
    watch::{WatchId, WatchKind},
};

/// What a session is made with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Session timeout asked for, in milliseconds; the server may grant another.
    pub session_timeout_ms: u32,
    /// Longest frame accepted from a server, in bytes; a longer one breaks the connection.
    pub frame_len_bytes_max: usize,
    /// Longest request sent, in bytes; a longer one is refused here, for a server would close the
    /// connection.
    pub request_len_bytes_max: usize,
    /// Whether a server that serves reads only will do.
    pub read_only: bool,
    /// Servers to choose from: the more there are, the sooner one that does not answer is given up.
    pub host_count: usize,
}

/// Where a session stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SessionState {
    /// It has never had a connection, and will.
    Connecting,
    /// It has one.
    Connected,
    /// It has one to a server that serves reads only.
    ConnectedReadOnly,
    /// It has lost its connection, and seeks another: it is suspended. Its ephemerals are there until
    /// the server has not heard of it for the session's timeout, which cannot be known from here.
    Disconnected,
    /// An identity was refused; the server has closed the connection.
    AuthFailed,
    /// It is over, against our will.
    Expired,
    /// It is over, as asked.
    Closed,
}

impl SessionState {
    /// Returns whether there is a connection.
    pub const fn is_connected(self) -> bool {
        matches!(self, Self::Connected | Self::ConnectedReadOnly)
    }

    /// Returns whether the session has lost its connection and seeks another: what is held by an
    /// ephemeral may be another's by the time it is back.
    pub const fn is_suspended(self) -> bool {
        matches!(self, Self::Disconnected)
    }

    /// Returns whether the session is over.
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Expired | Self::Closed | Self::AuthFailed)
    }
}

/// Names a submitted request.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RequestId(pub u64);

/// What the driver is to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Write these bytes to the connection.
    Write(Bytes),
    /// Close the connection; a new one will be wanted unless the session is over.
    Disconnect,
    /// Tell the caller how its request ended.
    Complete {
        /// Which.
        id: RequestId,
        /// The answer.
        result: Result<Response, ClientError>,
    },
    /// Tell a watcher of an event.
    Event {
        /// Which.
        watch: WatchId,
        /// What.
        event: WatchEvent,
    },
    /// Tell a watcher that events may be missing, as its connection was another.
    Gap(WatchId),
    /// Tell a watcher that it will hear no more: its watch was removed, or could not be armed again.
    Unwatched(WatchId),
    /// The session's state has changed.
    State(SessionState),
}

/// A watch that a request arms.
#[derive(Clone, Debug)]
pub struct WatchRequest {
    /// Which.
    pub id: WatchId,
    /// What for.
    pub kind: WatchKind,
    /// Where, as the server knows it.
    pub path: String,
}
