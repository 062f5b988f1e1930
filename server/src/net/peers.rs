//! The peer port: one connection with each other member, made by the one with the greater number,
//! and made again whenever it breaks.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use bytes::BytesMut;
use conclave_protocol::{
    ids::ServerId,
    peer::{
        PeerMessage,
        frame::{self, HELLO_LEN_BYTES, Hello, VERSION},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, tcp::OwnedReadHalf, tcp::OwnedWriteHalf},
    sync::mpsc,
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use crate::driver::{Handle, LinkEvent};

/// Messages that wait for one link at most; beyond, the link is given up and made anew.
pub const LINK_MESSAGES_MAX: usize = 65_536;

/// Rest between attempts to reach a member, in milliseconds: first and longest.
const DIAL_REST_MS: (u64, u64) = (20, 500);

/// Time in which a connection and its greeting must be made, in milliseconds.
const HELLO_MS: u64 = 2000;

/// Signs of life in the time after which silence ends a link.
const KEEP_ALIVES: u64 = 4;

/// Bytes gathered for one write to a link.
const WRITE_LEN_BYTES: usize = 256 << 10;

/// Connections to the peer port whose greeting is awaited, at most; more are closed at once.
const GREETING_MAX: usize = 64;

/// Another member, and how it is reached.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Which.
    pub id: ServerId,
    /// Its host name or address.
    pub host: String,
    /// Its peer port.
    pub port: u16,
}

/// Keeps a link with every other member until `stop`. `ensemble` tells ensembles apart. What is returned ends
/// once nobody listens any more.
pub fn serve(
    listener: TcpListener,
    peers: &[Peer],
    ensemble: u64,
    silence_ms: u64,
    handle: &Handle,
    stop: &CancellationToken,
) -> JoinHandle<()> {
    let mut callers = BTreeMap::new();
    let me = handle.shared.me;
    for peer in peers.iter().filter(|peer| peer.id != me) {
        let link = Link {
            me,
            peer: peer.clone(),
            ensemble,
            silence_ms,
            handle: handle.clone(),
            stop: stop.clone(),
        };
        if me > peer.id {
            tokio::spawn(link.dial());
        } else {
            let (sender, receiver) = mpsc::channel(4);
            callers.insert(peer.id, sender);
            tokio::spawn(link.answer(receiver));
        }
    }
    let accept = Accept { me, ensemble, callers, stop: stop.clone() };
    tokio::spawn(accept.run(listener))
}

/// Takes calls and hands each to the link of the member that greets.
struct Accept {
    me: ServerId,
    ensemble: u64,
    callers: BTreeMap<ServerId, mpsc::Sender<TcpStream>>,
    stop: CancellationToken,
}

impl Accept {
    async fn run(self, listener: TcpListener) {
        let greeting = std::sync::Arc::new(tokio::sync::Semaphore::new(GREETING_MAX));
        loop {
            let accepted = tokio::select! {
                () = self.stop.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            let Ok((socket, address)) = accepted else {
                tokio::time::sleep(Duration::from_millis(DIAL_REST_MS.0)).await;
                continue;
            };
            let Ok(permit) = greeting.clone().try_acquire_owned() else { continue };
            let (me, ensemble, callers) = (self.me, self.ensemble, self.callers.clone());
            tokio::spawn(async move {
                let met = timely(greet_caller(socket, address, me, ensemble, &callers)).await;
                drop(permit);
                if let Some((link, socket)) = met {
                    // A link that has ended takes no more calls; the caller will notice.
                    drop(link.send(socket).await);
                }
            });
        }
    }
}

async fn greet_caller(
    mut socket: TcpStream,
    address: SocketAddr,
    me: ServerId,
    ensemble: u64,
    callers: &BTreeMap<ServerId, mpsc::Sender<TcpStream>>,
) -> Option<(mpsc::Sender<TcpStream>, TcpStream)> {
    let hello = read_hello(&mut socket).await?;
    let is_meant = hello.version == VERSION && hello.to == me && hello.ensemble == ensemble;
    let Some(link) = callers.get(&hello.from).filter(|_| is_meant) else {
        tracing::warn!(%address, ?hello, "refused a caller: not a member that calls this one");
        return None;
    };
    let answer = Hello { version: VERSION, from: me, to: hello.from, ensemble };
    socket.write_all(&answer.encode()).await.ok()?;
    Some((link.clone(), socket))
}

async fn read_hello(socket: &mut TcpStream) -> Option<Hello> {
    let mut bytes = [0; HELLO_LEN_BYTES];
    socket.read_exact(&mut bytes).await.ok()?;
    Hello::decode(&bytes).ok()
}

async fn timely<T>(work: impl Future<Output = Option<T>>) -> Option<T> {
    tokio::time::timeout(Duration::from_millis(HELLO_MS), work).await.ok().flatten()
}

struct Link {
    me: ServerId,
    peer: Peer,
    ensemble: u64,
    /// Silence after which the link is given up, in milliseconds: cables are cut without a word.
    silence_ms: u64,
    handle: Handle,
    stop: CancellationToken,
}

impl Link {
    /// Calls the other member, again and again.
    async fn dial(self) {
        let mut rest_ms = DIAL_REST_MS.0;
        while !self.stop.is_cancelled() {
            if let Some(socket) = timely(self.call()).await {
                rest_ms = DIAL_REST_MS.0;
                self.run(socket, std::future::pending()).await;
            }
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(Duration::from_millis(rest_ms)) => {}
            }
            rest_ms = (rest_ms * 2).min(DIAL_REST_MS.1);
        }
    }

    /// Resolves and reaches the other member; its address may have changed since the last time.
    #[expect(clippy::disallowed_methods, reason = "net/ is where sockets are opened")]
    async fn call(&self) -> Option<TcpStream> {
        let mut socket =
            TcpStream::connect((self.peer.host.as_str(), self.peer.port)).await.ok()?;
        let hello =
            Hello { version: VERSION, from: self.me, to: self.peer.id, ensemble: self.ensemble };
        socket.write_all(&hello.encode()).await.ok()?;
        let answer = read_hello(&mut socket).await?;
        let is_meant = answer.version == VERSION
            && answer.from == self.peer.id
            && answer.to == self.me
            && answer.ensemble == self.ensemble;
        is_meant.then_some(socket)
    }

    /// Takes the other member's calls; a new one replaces the one before.
    async fn answer(self, mut calls: mpsc::Receiver<TcpStream>) {
        let mut next = None;
        loop {
            let socket = match next.take() {
                Some(socket) => socket,
                None => tokio::select! {
                    () = self.stop.cancelled() => return,
                    call = calls.recv() => match call {
                        Some(socket) => socket,
                        None => return,
                    },
                },
            };
            next = self.run(socket, calls.recv()).await;
        }
    }

    /// Carries messages until the connection breaks, is replaced, or the member stops.
    async fn run(
        &self,
        socket: TcpStream,
        replaced: impl Future<Output = Option<TcpStream>>,
    ) -> Option<TcpStream> {
        if socket.set_nodelay(true).is_err() {
            return None;
        }
        let (sender, receiver) = mpsc::channel(LINK_MESSAGES_MAX);
        let broken = CancellationToken::new();
        let up = LinkEvent::Up { peer: self.peer.id, sender, broken: broken.clone() };
        if !self.handle.link(up).await {
            return None;
        }
        let (reading, writing) = socket.into_split();
        let replacement = tokio::select! {
            () = self.stop.cancelled() => None,
            // The owner gave it up: too much waits for it.
            () = broken.cancelled() => None,
            () = self.read(reading) => None,
            () = write(writing, receiver, self.silence_ms / KEEP_ALIVES) => None,
            replacement = replaced => replacement,
        };
        // Down is told before the next up: the engine sees one connection at a time.
        self.handle.link(LinkEvent::Down { peer: self.peer.id }).await;
        replacement
    }

    async fn read(&self, mut socket: OwnedReadHalf) {
        let mut buffer = BytesMut::new();
        loop {
            match frame::take_frame(&mut buffer) {
                Ok(Some(PeerMessage::KeepAlive)) => {}
                Ok(Some(message)) => {
                    if !self.handle.peer(self.peer.id, message).await {
                        return;
                    }
                }
                Ok(None) => {
                    buffer.reserve(WRITE_LEN_BYTES);
                    let silence = Duration::from_millis(self.silence_ms);
                    let read = tokio::time::timeout(silence, socket.read_buf(&mut buffer)).await;
                    if !matches!(read, Ok(Ok(count)) if count > 0) {
                        return;
                    }
                }
                Err(error) => {
                    tracing::warn!(peer = %self.peer.id, %error, "link broken by a bad frame");
                    return;
                }
            }
        }
    }
}

/// Writes messages as they come, those that wait together in one go; and a sign of life when there
/// is nothing to say.
async fn write(
    mut socket: OwnedWriteHalf,
    mut messages: mpsc::Receiver<PeerMessage>,
    keep_alive_ms: u64,
) {
    let mut buffer = BytesMut::new();
    let keep_alive = Duration::from_millis(keep_alive_ms);
    loop {
        let message = match tokio::time::timeout(keep_alive, messages.recv()).await {
            Ok(Some(message)) => message,
            Ok(None) => return,
            Err(_) => PeerMessage::KeepAlive,
        };
        buffer.clear();
        frame::put_frame(&mut buffer, &message);
        while buffer.len() < WRITE_LEN_BYTES {
            let Ok(message) = messages.try_recv() else { break };
            frame::put_frame(&mut buffer, &message);
        }
        if socket.write_all(&buffer).await.is_err() {
            return;
        }
    }
}
