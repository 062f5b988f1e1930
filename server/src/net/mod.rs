//! Sockets: the client port and the peer port. Nothing else of the server opens one.

pub mod connection;
pub mod frames;
pub mod listener;
pub mod peers;
mod report;
mod words;

use std::net::SocketAddr;

use tokio::net::TcpListener;

use crate::{admin::Whitelist, config::Config};

/// What the four-letter words tell that never changes.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Words that are answered.
    pub whitelist: Whitelist,
    /// The configuration in effect.
    pub config: Config,
}

/// Connections that wait to be accepted, at most; the kernel may lower it.
const BACKLOG: i32 = 4096;

/// Listens on `address`.
///
/// # Errors
///
/// Those of the operating system, such as an address in use.
pub fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket =
        socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None)?;
    // A member that is restarted must not wait for the old sockets' lingering.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}
