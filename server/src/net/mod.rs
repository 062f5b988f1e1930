//! Sockets: the client port and the peer port. Nothing else of the server opens one.

pub mod connection;
pub mod listener;
pub mod peers;
mod words;

use std::net::SocketAddr;

use conclave_protocol::frame::Word;
use tokio::net::TcpListener;

use crate::clock::Clock;

/// What the four-letter words tell that never changes.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Words that are answered; `None` for all.
    pub words: Option<Vec<String>>,
    /// The answer to `conf`.
    pub conf: String,
    /// The clock, started with the member.
    pub clock: Clock,
}

impl Facts {
    fn allows(&self, word: Word) -> bool {
        self.words.as_ref().is_none_or(|words| words.iter().any(|known| known == word.letters()))
    }

    fn uptime_ms(&self) -> u64 {
        self.clock.now_ms()
    }
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
