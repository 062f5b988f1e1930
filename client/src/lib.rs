//! The client SDK: a session with an ensemble that speaks ZooKeeper's protocol, Conclave's or
//! another. [`Client::connect`] opens one; [`session::Session`] is the same without IO.

pub mod client;
pub mod clock;
mod driver;
pub mod error;
pub mod hosts;
pub mod net;
pub mod ops;
pub mod session;
pub mod shell;
pub mod watch;

pub use client::{Answer, Client, ClientBuilder, CreateMode};
pub use error::{ClientError, MultiError};
pub use ops::{Op, OpOutcome};
pub use session::SessionState;
pub use watch::{WatchKind, Watched, Watcher};
