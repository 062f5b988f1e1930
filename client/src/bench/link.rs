//! One connection with its session: a socket around a [`Pipe`].

use std::{io, time::Duration};

use bytes::{Buf, BytesMut};
use thiserror::Error;
use tokio::{io::Interest, net::TcpStream};

use super::{
    pipe::{Answered, OutOfTurn, Pipe},
    plan::Plan,
    wire,
};
use crate::net;

/// How long a connection may take to come about, its session included, in milliseconds.
const OPEN_MS_MAX: u64 = 30_000;

/// Why the load generator could not go on with a connection, or at all.
#[derive(Debug, Error)]
pub(super) enum BenchError {
    /// The connection did not come about or broke.
    #[error("{host}: {source}")]
    Socket {
        /// Which server.
        host: String,
        /// How.
        source: io::Error,
    },
    /// The server granted no session.
    #[error(
        "{0}: no session was granted; servers allow an address maxClientCnxns connections, mostly 60"
    )]
    NoSession(String),
    /// The server's answers are not in order.
    #[error("{host}: answer {got} where {expected:?} was due")]
    OutOfTurn {
        /// Which server.
        host: String,
        /// The number that came.
        got: i32,
        /// The number that was due.
        expected: Option<i32>,
    },
    /// What has to be there could not be made.
    #[error("{what} was refused: {error}")]
    Refused {
        /// What was asked.
        what: String,
        /// The code.
        error: i32,
    },
    /// The run was ended before it had begun to measure.
    #[error("interrupted")]
    Interrupted,
}

/// A connection with a session.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) pipe: Pipe,
    socket: TcpStream,
    host: String,
    read_len_bytes: usize,
}

impl Link {
    /// Opens connection `index` and its session; at most `read_len_bytes` are read at a time.
    pub(super) async fn open(
        plan: &Plan,
        index: usize,
        read_len_bytes: usize,
    ) -> Result<Self, BenchError> {
        let (host, port) = &plan.hosts[index % plan.hosts.len()];
        let name = format!("{host}:{port}");
        let lost = |source| BenchError::Socket { host: name.clone(), source };
        let dialled =
            tokio::time::timeout(Duration::from_millis(OPEN_MS_MAX), net::tcp(host, *port));
        let late = |_| Err(io::ErrorKind::TimedOut.into());
        let socket = dialled.await.unwrap_or_else(late).map_err(lost)?;
        let pipe = Pipe::default();
        let mut link = Self { pipe, socket, host: name.clone(), read_len_bytes };
        wire::put_connect(&mut link.pipe.out, plan.timeout_ms as i32);
        let granted = async {
            loop {
                link.turn(None).await?;
                if let Some(granted) = wire::take_granted(&mut link.pipe.input) {
                    return Ok::<_, BenchError>(granted);
                }
            }
        };
        match tokio::time::timeout(Duration::from_millis(OPEN_MS_MAX), granted).await {
            Ok(Ok(Ok(granted))) if granted.timeout_ms > 0 => Ok(link),
            Ok(Ok(_) | Err(_)) => Err(BenchError::NoSession(name)),
            Err(_) => Err(lost(io::ErrorKind::TimedOut.into())),
        }
    }

    /// Writes what waits, and reads what comes; returns without it when `at_most` has passed.
    pub(super) async fn turn(&mut self, at_most: Option<Duration>) -> Result<(), BenchError> {
        let turned = match at_most {
            None => self.exchange().await,
            Some(time) => tokio::time::timeout(time, self.exchange()).await.unwrap_or(Ok(())),
        };
        turned.map_err(|source| BenchError::Socket { host: self.host.clone(), source })
    }

    async fn exchange(&mut self) -> io::Result<()> {
        loop {
            while !self.pipe.out.is_empty() {
                match self.socket.try_write(&self.pipe.out) {
                    Ok(count) => self.pipe.out.advance(count),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error),
                }
            }
            let mut interest = Interest::READABLE;
            if !self.pipe.out.is_empty() {
                interest |= Interest::WRITABLE;
            }
            self.socket.ready(interest).await?;
            self.pipe.input.reserve(self.read_len_bytes);
            match self.socket.try_read_buf(&mut self.pipe.input) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes the next answer that has come.
    pub(super) fn take(&mut self) -> Result<Option<Answered>, BenchError> {
        self.pipe.take().map_err(|OutOfTurn { expected, got }| BenchError::OutOfTurn {
            host: self.host.clone(),
            got,
            expected,
        })
    }

    /// Asks all `requests`, at most `in_flight` at a time, and calls `answered` with each one's error.
    pub(super) async fn ask_all<P: FnOnce(&mut BytesMut, i32)>(
        &mut self,
        requests: impl Iterator<Item = P>,
        in_flight: usize,
        mut answered: impl FnMut(i32),
    ) -> Result<(), BenchError> {
        let mut requests = requests.peekable();
        while requests.peek().is_some() || self.pipe.in_flight() > 0 {
            while self.pipe.in_flight() < in_flight
                && let Some(put) = requests.next()
            {
                self.pipe.send(0, false, put);
            }
            self.turn(None).await?;
            while let Some(Answered { error, .. }) = self.take()? {
                answered(error);
            }
        }
        Ok(())
    }

    /// Asks one request and returns its error.
    pub(super) async fn ask(
        &mut self,
        put: impl FnOnce(&mut BytesMut, i32),
    ) -> Result<i32, BenchError> {
        let mut got = 0;
        self.ask_all(std::iter::once(put), 1, |error| got = error).await?;
        Ok(got)
    }

    /// Ends the session; a connection that has broken has nothing to end.
    pub(super) async fn close(mut self) {
        drop(self.ask(wire::put_close).await);
    }
}
