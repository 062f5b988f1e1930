//! Dialling: the only place of the client that opens a socket.

use std::{io, time::Duration};

use tokio::net::TcpStream;

/// Resolves a host anew and connects to it, within a time in milliseconds.
///
/// # Errors
///
/// Those of the operating system, and [`io::ErrorKind::TimedOut`].
#[expect(clippy::disallowed_methods, reason = "net/ is where sockets are opened")]
pub(crate) async fn dial(host: &str, port: u16, timeout_ms: u64) -> io::Result<TcpStream> {
    let dialled =
        tokio::time::timeout(Duration::from_millis(timeout_ms), TcpStream::connect((host, port)));
    let socket = dialled.await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    socket.set_nodelay(true)?;
    Ok(socket)
}
