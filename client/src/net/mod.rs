//! Dialling: the only place of the client that opens a socket, and the seam for other transports.

use std::{fmt, io, pin::Pin};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

/// A connection's two directions, whatever is below: TCP, or TLS over it.
pub trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

/// A connection on its way.
pub type Dial<'a> = Pin<Box<dyn Future<Output = io::Result<Box<dyn Connection>>> + Send + 'a>>;

/// How a server is reached. TLS is one of these: [`tcp`] first, then its handshake over what that
/// gives, with `host` as the name to verify.
///
/// ```
/// use conclave_client::net::{self, Dial, Transport};
///
/// #[derive(Debug)]
/// struct Counted(std::sync::atomic::AtomicU64);
///
/// impl Transport for Counted {
///     fn dial<'a>(&'a self, host: &'a str, port: u16) -> Dial<'a> {
///         self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
///         Box::pin(async move { Ok(Box::new(net::tcp(host, port).await?) as _) })
///     }
/// }
/// ```
pub trait Transport: fmt::Debug + Send + Sync + 'static {
    /// Connects to a host, by a name that is resolved anew. A dial that takes too long is dropped.
    fn dial<'a>(&'a self, host: &'a str, port: u16) -> Dial<'a>;
}

/// Plain TCP: the default.
#[derive(Clone, Copy, Debug)]
pub struct Tcp;

impl Transport for Tcp {
    fn dial<'a>(&'a self, host: &'a str, port: u16) -> Dial<'a> {
        Box::pin(async move { Ok(Box::new(tcp(host, port).await?) as _) })
    }
}

/// Resolves a host anew and connects to the first of its addresses that answers.
///
/// # Errors
///
/// Those of the operating system.
#[expect(clippy::disallowed_methods, reason = "net/ is where sockets are opened")]
pub async fn tcp(host: &str, port: u16) -> io::Result<TcpStream> {
    let socket = TcpStream::connect((host, port)).await?;
    socket.set_nodelay(true)?;
    Ok(socket)
}
