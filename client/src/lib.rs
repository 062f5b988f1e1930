//! The client SDK: a session with an ensemble that speaks ZooKeeper's protocol, Conclave's or
//! another.
//!
//! # First steps
//!
//! ```no_run
//! use conclave_client::{Client, CreateMode};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), conclave_client::ClientError> {
//! let client = Client::connect("host1:2181,host2:2181,host3:2181/app").await?;
//! client.create("/greeting", "hello", CreateMode::Persistent).await?;
//! let (data, stat) = client.get_data("/greeting").await?;
//! client.set_data("/greeting", "hello again", Some(stat.version)).await?;
//! client.close().await?;
//! # Ok(())
//! # }
//! ```
//!
//! The connect string is ZooKeeper's: hosts with ports, and perhaps the path that stands for the root.
//! Hosts are tried in a shuffled order and resolved anew at every dial. [`ClientBuilder`] has the
//! rest: timeouts, read-only servers, another [`net::Transport`] such as TLS.
//!
//! # Calls
//!
//! A call sends its request at once and returns a future of the answer. The order of operations is
//! the order of the calls, not of the awaits, so calls can be pipelined:
//!
//! ```
//! # async fn example(client: conclave_client::Client) -> Result<(), conclave_client::ClientError> {
//! let writes: Vec<_> = (0..100).map(|n| client.set_data("/n", n.to_string(), None)).collect();
//! let read = client.get_data("/n");
//! for write in writes {
//!     write.await?;
//! }
//! assert_eq!(&read.await?.0[..], b"99");
//! # Ok(())
//! # }
//! ```
//!
//! [`Client`] is cheap to clone, and [`Client::chroot`] gives a view of a subtree that shares the
//! session. [`CreateOptions`] has parents, ACLs and protection; [`Client::transaction`] a multi whose
//! results have types.
//!
//! # Errors
//!
//! [`ClientError::kind`] says what a caller can do: [`ErrorKind::NotDone`] may be tried again,
//! [`ErrorKind::OutcomeUnknown`] only where doing it twice is as good as once,
//! [`ErrorKind::SessionGone`] needs a new client, [`ErrorKind::Refused`] another request. [`Retry`]
//! does what is safe and no more. A create whose answer is lost is found again when it is
//! [`CreateOptions::protected`].
//!
//! Calls made without a connection wait for one; bound them with a timeout of your own.
//!
//! # Watches
//!
//! A [`Watcher`] is a stream of what happens; dropping it removes the watch. Events are never lost in
//! silence: where some may be missing there is a [`Notice::Gap`], and what is read after it is current.
//!
//! ```
//! # async fn example(client: conclave_client::Client) -> Result<(), conclave_client::ClientError> {
//! use conclave_client::{Notice, WatchKind};
//!
//! let mut watcher = client.add_watch("/app", WatchKind::Recursive).await?;
//! while let Some(notice) = watcher.next().await {
//!     match notice {
//!         Notice::Event(event) => println!("{:?} {:?}", event.kind, event.path),
//!         Notice::Gap(_) => println!("read all of /app again"),
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Sessions
//!
//! [`Client::states`] is a watch channel of [`SessionState`]s. A session that is suspended
//! ([`SessionState::Disconnected`]) may have expired already: who holds something by an ephemeral
//! stops to rely on it until the session is back. An expired session is over, unless
//! [`ClientBuilder::renew_expired`] asks for another.
//!
//! # Recipes
//!
//! Locks, elections, queues, caches and more are in [`recipes`].
//!
//! # Tests
//!
//! `conclave_server::embedded::Embedded` is a whole ensemble inside a test; `examples/embedded.rs` shows
//! one.
//!
//! # Inside
//!
//! [`session::Session`] is the protocol as a value, without sockets, clocks or tasks; one task drives it.

pub mod bench;
pub mod client;
pub mod clock;
pub mod config;
mod driver;
pub mod error;
pub mod hosts;
pub mod net;
pub mod ops;
pub mod recipes;
pub mod retry;
mod seek;
pub mod session;
pub mod shell;
pub mod watch;

pub use client::{Answer, Client, ClientBuilder, CreateMode, CreateOptions, Created};
pub use conclave_protocol::path::{PathError, ZnodePath};
pub use error::{ClientError, ErrorKind, MultiError};
pub use ops::{Op, OpOutcome, OpRef, ReadOp, ReadOutcome, Results, Transaction};
pub use retry::Retry;
pub use session::SessionState;
pub use watch::{GapCause, Notice, WatchKind, Watched, Watcher};
