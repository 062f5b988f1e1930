//! Running members in this process, asked through their sockets.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]
#![expect(clippy::disallowed_methods, reason = "the configuration is a file, clients are sockets")]

mod access;
mod connections;
mod limits;
mod local_sessions;
mod losses;
#[path = "../shared/ports.rs"]
mod ports;
mod reads;
mod reaping;
mod sessions;
mod support;
mod words;
