//! One client's socket: a reading half that admits requests and a writing half that empties the
//! outbox. The rest of the member sees only the [`Connection`].

use std::{
    io,
    net::{Shutdown, SocketAddr},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bytes::{Buf, Bytes, BytesMut};
use conclave_protocol::{
    frame::{self, FrameError, Word},
    ids::{Password, SessionId},
};
use socket2::SockRef;
use tokio::net::{
    TcpStream,
    tcp::{OwnedReadHalf, OwnedWriteHalf},
};
use tokio_util::sync::CancellationToken;

use super::{
    frames::{Frames, Next},
    words,
};
use crate::{
    driver::Handle,
    lane::{Connection, Greeting},
    pipeline::{admit, connect, forward::Submission, reply},
    shared::Shared,
};

/// Silence of a connection without a session after which it is closed, in milliseconds.
const HANDSHAKE_MS: u64 = 10_000;

/// Time that a client has to take what is written before its connection ends, in milliseconds.
const LAST_WRITE_MS: u64 = 2000;

/// Time for which what a client still sends is read and thrown away once its last answer is written, in
/// milliseconds: a socket that is closed with unread bytes would take that answer back.
const LINGER_MS: u64 = 500;

/// Time after which a client that is not read, as there are too many others, is taken to be there still.
const HEARD: Duration = Duration::from_millis(100);

/// Frames admitted under one guard of the state, at most.
const ADMIT_BATCH_MAX: usize = 256;

/// Serves one client until it goes, is sent away, or `stop`.
pub async fn serve(
    socket: TcpStream,
    address: SocketAddr,
    handle: Handle,
    stop: CancellationToken,
) {
    // A reply waits for nothing: batching is done by the outbox.
    if socket.set_nodelay(true).is_err() {
        return;
    }
    let shared = &handle.shared;
    let identities = shared.terms.access.identities_of(address.ip());
    let (id, wall_ms) = (shared.draw_connection(), handle.clock.wall_ms());
    let connection = Connection::new(id, address, identities.into(), shared.meters(), wall_ms)
        .with_reply_len_bytes_max(shared.limits.reply_len_bytes_max);
    let connection = Arc::new(connection);
    shared.metrics.connections_opened.increment(1);
    let (reading, writing) = socket.into_split();
    let writing = Arc::new(writing);
    let writer = tokio::spawn(write(connection.clone(), writing.clone(), handle.shared.clone()));
    let mut reader = Reader {
        socket: reading,
        writing,
        frames: Frames::default(),
        connection: connection.clone(),
        handle: handle.clone(),
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = connection.cancelled.cancelled() => {}
        () = reader.run() => {
            // What was answered before the client stopped sending is still written.
            connection.close();
            tokio::select! {
                () = stop.cancelled() => {}
                () = connection.cancelled.cancelled() => {}
            }
        }
    }
    shared.drop_connection(&connection);
    shared.metrics.connections_closed.increment(1);
    // It ends with the cancelled connection.
    drop(writer.await);
    if connection.closing.is_cancelled() && !stop.is_cancelled() {
        let linger = Duration::from_millis(LINGER_MS);
        drop(tokio::time::timeout(linger, reader.discard()).await);
    }
}

/// Writes what is queued until the connection is cancelled or its last frame is out.
async fn write(connection: Arc<Connection>, socket: Arc<OwnedWriteHalf>, shared: Arc<Shared>) {
    let cancelled = connection.cancelled.cancelled();
    tokio::pin!(cancelled);
    loop {
        let (mut bytes, is_last) = connection.begin_write();
        if bytes.is_empty() {
            if is_last {
                break;
            }
            tokio::select! {
                () = connection.ready.notified() => continue,
                () = &mut cancelled => break,
            }
        }
        if write_now(&socket, &mut bytes).is_err() {
            break;
        }
        if !bytes.is_empty() {
            tokio::select! {
                written = write_all(&socket, &mut bytes) => if written.is_err() { break },
                () = &mut cancelled => break,
                () = last_chance(&connection) => break,
            }
        }
        if connection.is_held() {
            // Its pings are not read, but it takes its answers.
            shared.touch(&connection);
        }
        connection.end_write(bytes);
        connection.shorter.notify_one();
        answer_stalled(&connection, &shared);
    }
    // Before the client can see the end: with it go its watches.
    shared.drop_connection(&connection);
    // Best effort: the other side may have gone.
    drop(SockRef::from(AsRef::<TcpStream>::as_ref(&*socket)).shutdown(Shutdown::Write));
}

/// Writes what the socket takes at once, and leaves the rest.
fn write_now(socket: &OwnedWriteHalf, bytes: &mut BytesMut) -> io::Result<()> {
    while !bytes.is_empty() {
        match socket.try_write(bytes) {
            Ok(count) => bytes.advance(count),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

async fn write_all(socket: &OwnedWriteHalf, bytes: &mut BytesMut) -> io::Result<()> {
    while !bytes.is_empty() {
        socket.writable().await?;
        write_now(socket, bytes)?;
    }
    Ok(())
}

/// Goes on with reads for whose answers there was no room.
fn answer_stalled(connection: &Connection, shared: &Shared) {
    if connection.take_stall() {
        let state = shared.state.read();
        reply::drain(connection, &state, &shared.watches);
    }
}

/// Ends when a client has not taken its last bytes for as long as it may.
async fn last_chance(connection: &Connection) {
    connection.closing.cancelled().await;
    tokio::time::sleep(Duration::from_millis(LAST_WRITE_MS)).await;
}

struct Reader {
    socket: OwnedReadHalf,
    writing: Arc<OwnedWriteHalf>,
    frames: Frames,
    connection: Arc<Connection>,
    handle: Handle,
}

impl Reader {
    async fn run(&mut self) {
        let first = tokio::time::timeout(Duration::from_millis(HANDSHAKE_MS), self.first_frame());
        let Ok(Some(frame)) = first.await else { return };
        if !self.connect(frame).await {
            return;
        }
        while let Some(Batch { frames, too_long }) = self.batch() {
            let is_empty = frames.is_empty() && too_long.is_none();
            if !frames.is_empty() && !self.admit(frames).await {
                return;
            }
            if let Some(header) = too_long
                && !self.refuse_too_long(header).await
            {
                return;
            }
            if is_empty && !self.read_more().await {
                return;
            }
            if self.frames.is_skipping() {
                // It is heard, though nothing it says is looked at.
                self.handle.shared.touch(&self.connection);
            }
        }
    }

    /// Returns the first frame, or `None` when there is none to be: the client has gone, or asked
    /// a four-letter word and has its answer.
    async fn first_frame(&mut self) -> Option<Bytes> {
        while self.frames.bytes().len() < 4 {
            if !self.read_more().await {
                return None;
            }
        }
        let word = self.frames.bytes()[..4].try_into().expect("four bytes");
        if let Some(word) = frame::four_letter_word(&word) {
            self.answer_word(word).await;
            return None;
        }
        let len_bytes_max = self.frame_len_bytes_max();
        loop {
            match self.frames.first(len_bytes_max) {
                Ok(Some(frame)) => return Some(frame),
                Ok(None) => {
                    if !self.read_more().await {
                        return None;
                    }
                }
                Err(_) => return None,
            }
        }
    }

    /// Answers a four-letter word; `stmk` takes a mask of eight more bytes.
    async fn answer_word(&mut self, word: Word) {
        let mut mask = None;
        if word == Word::Stmk {
            while self.frames.bytes().len() < 12 {
                if !self.read_more().await {
                    return;
                }
            }
            let bytes = self.frames.bytes()[4..12].try_into().expect("eight bytes");
            mask = Some(u64::from_be_bytes(bytes));
        }
        let handle = self.handle.clone();
        handle.shared.metrics.packets_received.increment(1);
        let connection = self.connection.clone();
        // Listing a million watches, or a folder, is no work for those who serve the others.
        let answered = tokio::task::spawn_blocking(move || {
            connection.send_text(&words::answer(word, mask, &handle, &connection));
        });
        drop(answered.await);
    }

    fn frame_len_bytes_max(&self) -> usize {
        self.handle.shared.terms.frame_len_bytes_max
    }

    async fn connect(&mut self, frame: Bytes) -> bool {
        let shared = &self.handle.shared;
        shared.metrics.packets_received.increment(1);
        let now_us = self.handle.clock.now_us();
        shared.time_us.store(now_us, Ordering::Relaxed);
        if !shared.connects.take(now_us) {
            // Without an answer: the client comes back after a while.
            shared.metrics.connections_refused.increment(1);
            return false;
        }
        let Some(password) = draw_password() else { return false };
        // Known before it is admitted: the answer may come at once.
        shared.connections.insert(self.connection.id, self.connection.clone());
        match connect::admit_connect(shared, &self.connection, frame, password) {
            Ok(Some(submission)) => {
                self.handle.submit(vec![submission]).await && self.is_granted().await
            }
            Ok(None) => self.is_granted().await,
            Err(error) => {
                shared.metrics.connections_dropped.increment(1);
                tracing::debug!(address = %self.connection.address, %error, "client refused");
                false
            }
        }
    }

    /// Waits for the answer to the connect request. Until then nothing is admitted: the session that
    /// a client names is not its own before it has shown the password.
    async fn is_granted(&self) -> bool {
        loop {
            match self.connection.greeting() {
                Greeting::Awaited => self.connection.greeted.notified().await,
                Greeting::Granted => return true,
                Greeting::Refused => return false,
            }
        }
    }

    /// Takes the whole frames that are here, up to a batch; `None` when the client talks nonsense.
    fn batch(&mut self) -> Option<Batch> {
        let len_bytes_max = self.frame_len_bytes_max();
        let mut batch = Batch::default();
        while batch.frames.len() < ADMIT_BATCH_MAX && batch.too_long.is_none() {
            match self.frames.next(len_bytes_max) {
                Ok(Next::Frame(frame)) => batch.frames.push(frame),
                Ok(Next::TooLong(header)) => batch.too_long = Some(header),
                Ok(Next::Nothing) => break,
                Err(error) => {
                    self.note_nonsense(error);
                    return None;
                }
            }
        }
        Some(batch)
    }

    fn note_nonsense(&self, error: FrameError) {
        let session = self.connection.session();
        self.handle.shared.metrics.connections_dropped.increment(1);
        tracing::debug!(%session, %error, "client's frame refused");
    }

    async fn admit(&mut self, frames: Vec<Bytes>) -> bool {
        let shared = &self.handle.shared;
        self.note_packets(frames.len() as u64);
        let mut frames = frames.into_iter();
        loop {
            let mut submissions: Vec<Submission> = Vec::new();
            self.connection.cork();
            let admitted = admit::admit(shared, &self.connection, &mut frames, &mut submissions);
            self.write_answers();
            if !submissions.is_empty() && !self.handle.submit(submissions).await {
                return false;
            }
            if admitted.is_err() {
                return false;
            }
            self.wait_for_room().await;
            if frames.len() == 0 || self.connection.closing.is_cancelled() {
                return true;
            }
            if shared.gate.has_permits() {
                self.wait_for_permit().await;
            }
        }
    }

    /// Writes what was answered at once, without waking the writer for it; what the socket does not take is the
    /// writer's.
    fn write_answers(&self) {
        if let Some(mut bytes) = self.connection.uncork() {
            // Whoever writes next meets the same error.
            drop(write_now(&self.writing, &mut bytes));
            self.connection.end_write(bytes);
            answer_stalled(&self.connection, &self.handle.shared);
        }
    }

    /// Answers a request that is too long, in its place; its bytes are skipped meanwhile.
    async fn refuse_too_long(&self, header: Bytes) -> bool {
        self.note_packets(1);
        let is_refused =
            admit::refuse_too_long(&self.handle.shared, &self.connection, header).is_ok();
        self.wait_for_room().await;
        is_refused
    }

    fn note_packets(&self, count: u64) {
        let shared = &self.handle.shared;
        assert_ne!(self.connection.session(), SessionId::NONE, "connected before");
        shared.touch(&self.connection);
        shared.metrics.packets_received.increment(count);
        shared.time_us.store(self.handle.clock.now_us(), Ordering::Relaxed);
    }

    /// Waits until what the client has asked for takes less room, and until it may ask for more: of too
    /// many requests under way, it waits for its own. Those that have none under way do not wait, so
    /// that each gets its turn.
    async fn wait_for_room(&self) {
        let shared = &self.handle.shared;
        loop {
            let waits_for_itself = self.connection.is_lane_full() || !self.connection.has_room();
            let waits_for_others = shared.gate.is_high() && self.connection.lane_len() > 0;
            if !waits_for_itself && !waits_for_others {
                break;
            }
            self.connection.set_held(true);
            tokio::select! {
                () = self.connection.shorter.notified() => {}
                () = tokio::time::sleep(HEARD), if !waits_for_itself => {
                    shared.touch(&self.connection);
                }
            }
        }
        self.connection.set_held(false);
    }

    /// Waits until the next request is let in, or has waited too long.
    async fn wait_for_permit(&self) {
        let shared = &self.handle.shared;
        let permit = shared.gate.permit();
        let too_long = async {
            match shared.limits.throttled_ms {
                0 => std::future::pending().await,
                throttled_ms => tokio::time::sleep(Duration::from_millis(throttled_ms)).await,
            }
        };
        tokio::pin!(permit, too_long);
        loop {
            tokio::select! {
                permit = &mut permit => {
                    self.connection.lane().permit = Some(permit);
                    return;
                }
                () = &mut too_long => {
                    self.connection.lane().is_throttled = true;
                    return;
                }
                // It is not its fault that it is not heard.
                () = tokio::time::sleep(HEARD) => {
                    shared.touch(&self.connection);
                }
            }
        }
    }

    async fn discard(&mut self) {
        loop {
            self.frames.clear();
            if !self.read_more().await {
                return;
            }
        }
    }

    async fn read_more(&mut self) -> bool {
        self.frames.read(&self.socket).await
    }
}

/// What is admitted at a time.
#[derive(Default)]
struct Batch {
    frames: Vec<Bytes>,
    /// The header of a request that is too long, behind them.
    too_long: Option<Bytes>,
}

/// Draws a session's password; `None` when the system has no entropy, and the client must go.
fn draw_password() -> Option<Password> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).ok()?;
    Some(Password(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn len_bytes<A, B, C, F: Future>(_: impl Fn(A, B, C) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn a_silent_connection_is_small() {
        let reader = len_bytes(|a, b, handle| serve(a, b, handle, CancellationToken::new()));
        let writer = len_bytes(write);
        let connection = size_of::<Connection>();
        println!("reader {reader}, writer {writer}, connection {connection}");
        assert!(reader + writer + connection <= 3000, "{reader} + {writer} + {connection}");
    }
}
