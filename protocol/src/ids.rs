//! Identities: servers, sessions, requests.

use core::fmt;

/// A member of the ensemble: the `N` of `server.N`, 1 to 255.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ServerId(pub u8);

impl fmt::Display for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A client's session; the top byte is the number of the member that opened it. 0 is none.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SessionId(pub i64);

impl SessionId {
    /// No session: what a client sends to open a new one, and the owner of a persistent znode.
    pub const NONE: Self = Self(0);
}

/// `0x` and lower-case hexadecimal, as ZooKeeper logs it.
impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:x}", self.0)
    }
}

/// A client's number of a request, echoed in the reply.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Xid(pub i32);

impl Xid {
    /// A watch event.
    pub const EVENT: Self = Self(-1);
    /// A ping and its reply.
    pub const PING: Self = Self(-2);
    /// An auth request and its reply.
    pub const AUTH: Self = Self(-4);
    /// A setWatches and its reply.
    pub const SET_WATCHES: Self = Self(-8);
}

/// Proves at re-attachment that a session is the client's own.
#[derive(Clone, Copy, Default, Eq, Hash, PartialEq)]
pub struct Password(pub [u8; 16]);

impl Password {
    /// What a refusal carries.
    pub const ZERO: Self = Self([0; 16]);
}

/// Hidden: a password in a log would be a key to the session.
impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}
