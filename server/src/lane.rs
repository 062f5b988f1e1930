//! A client's connection without its socket: its requests in order, and what goes out to it.
//! Shared by the connection's own task and the owner of the state.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU64, Ordering},
    },
};

use bytes::BytesMut;
use conclave_protocol::{
    acl::Identity,
    event::WatchEvent,
    frame,
    ids::{SessionId, Xid},
    opcode::OpCode,
    request::Request,
    response::{ReplyHeader, Response},
    text::Text,
    zxid::Zxid,
};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{
    limit::Permit,
    traffic::{Figures, Meters, Traffic},
    watch::ConnId,
};

/// Bytes that wait to be written to one client at most; beyond, it is too slow to keep and its
/// connection is closed (the session lives on). Only events and answers to writes get there.
pub const OUTBOX_LEN_BYTES_MAX: usize = 256 << 20;

/// Bytes of an answer to a read at most, where nothing else is configured (`reply.maxbuffer`).
pub const REPLY_LEN_BYTES_MAX_DEFAULT: usize = 64 << 20;

/// Bytes that wait to be written to one client beyond which none of its requests is looked at, and no
/// read of it answered, until it has taken them.
pub const OUTBOX_LEN_BYTES_HIGH: usize = 1 << 20;

/// Bytes of one connection's requests that are not answered yet, beyond which its socket is not read.
pub const LANE_LEN_BYTES_MAX: usize = 8 << 20;

/// Requests of one connection that are not answered yet, at most; beyond, its socket is not read.
pub const LANE_REQUESTS_MAX: usize = 4096;

/// Reads of one connection that wait behind writes, beyond which its socket is not read: the next write
/// makes all of them be answered at once, however long their answers are.
pub const LANE_READS_MAX: usize = 128;

/// One client's connection.
#[derive(Debug)]
pub struct Connection {
    /// Its number, never used twice by a running member.
    pub id: ConnId,
    /// The client's address.
    pub address: SocketAddr,
    /// Cancelled when the connection has to go at once.
    pub cancelled: CancellationToken,
    /// Told whenever there is something to write, or to end.
    pub ready: Notify,
    /// Told whenever the lane or what waits to be written has become shorter.
    pub shorter: Notify,
    /// Cancelled when the connection ends once all that is queued is written.
    pub closing: CancellationToken,
    /// Told when the wish for a session is answered.
    pub greeted: Notify,
    greeting: AtomicU8,
    /// Who the client has proved to be, for events; the lane has it for requests.
    pub identities: Mutex<Arc<[Identity]>>,
    session: AtomicI64,
    granted_timeout_ms: AtomicU64,
    is_touched: AtomicBool,
    is_local: AtomicBool,
    is_stalled: AtomicBool,
    is_held: AtomicBool,
    reply_len_bytes_max: usize,
    established_ms: i64,
    meters: Meters,
    lane: Mutex<Lane>,
    outbox: Mutex<Outbox>,
}

/// Requests that are not answered yet, oldest first.
#[derive(Debug, Default)]
pub struct Lane {
    /// The requests.
    pub pending: VecDeque<Pending>,
    /// How many of them are reads.
    pub reads: usize,
    /// Who the client has proved to be.
    pub identities: Arc<[Identity]>,
    /// What the next request is let in by, where each needs it.
    pub permit: Option<Permit>,
    /// Whether the next request has waited for that too long, and is refused.
    pub is_throttled: bool,
    /// Whether what comes is still looked at.
    pub phase: Phase,
}

/// Whether a connection's requests are looked at.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Phase {
    /// They are.
    #[default]
    Open,
    /// One of them ends the connection with its answer: those behind it are not.
    Ending,
    /// The connection is gone, and nothing of it may be answered, armed or waited for.
    Over,
}

/// What became of a connection's wish for a session.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Greeting {
    /// It is not known yet.
    Awaited,
    /// It has its session.
    Granted,
    /// It has none: unknown, over, or not its own.
    Refused,
}

/// A request that is not answered yet.
#[derive(Debug)]
pub enum Pending {
    /// Waits for the writes before it.
    Read {
        /// The client's number of it.
        xid: Xid,
        /// What is asked.
        request: Request,
        /// Who the client was when it asked.
        identities: Arc<[Identity]>,
    },
    /// Waits for the ensemble.
    Write {
        /// The member's number of it.
        seq: u64,
    },
    /// Waits for the leader to prove that it leads, and then for this member to be that far.
    Sync {
        /// The member's number of it.
        seq: u64,
        /// The client's number of it.
        xid: Xid,
        /// Echoed in the answer.
        path: Text,
        /// What must be applied before it is answered, once the leader has told.
        fresh_from: Option<Zxid>,
    },
    /// Is answered already, but not before those ahead of it.
    Answered {
        /// The client's number of it.
        xid: Xid,
        /// The answer's error, 0 for none.
        error: i32,
        /// What the header tells of the order of txns.
        position: Position,
        /// The answer itself, when there is no error.
        body: Response,
        /// Whether the connection ends with it.
        then: Then,
    },
}

/// The zxid in the header of an answer that needed no look at the state.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Position {
    /// The last applied.
    Applied,
    /// 0, as in answers to auth.
    Zero,
    /// -1, as in answers to unknown operations.
    None,
}

/// What follows an answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Then {
    /// The next one.
    Continue,
    /// The end of the connection, once all is written.
    Close,
}

#[derive(Debug, Default)]
struct Outbox {
    bytes: BytesMut,
    is_closing: bool,
    /// Whether its reader is at work, and will write what comes of it.
    is_corked: bool,
    /// Whether somebody writes what was taken out: nobody else may, or it would come out of order.
    is_being_written: bool,
    traffic: Traffic,
}

impl Lane {
    /// Returns whether as many requests wait as may.
    pub fn is_full(&self) -> bool {
        self.pending.len() >= LANE_REQUESTS_MAX || self.reads >= LANE_READS_MAX
    }
}

impl Connection {
    /// Makes a connection that has neither session nor requests; `wall_ms` is the time, in
    /// milliseconds since 1970.
    pub fn new(
        id: ConnId,
        address: SocketAddr,
        identities: Arc<[Identity]>,
        meters: Meters,
        wall_ms: i64,
    ) -> Self {
        Self {
            id,
            address,
            cancelled: CancellationToken::new(),
            ready: Notify::new(),
            shorter: Notify::new(),
            closing: CancellationToken::new(),
            greeted: Notify::new(),
            greeting: AtomicU8::new(Greeting::Awaited as u8),
            identities: Mutex::new(identities.clone()),
            session: AtomicI64::new(0),
            granted_timeout_ms: AtomicU64::new(0),
            is_touched: AtomicBool::new(false),
            is_local: AtomicBool::new(false),
            is_stalled: AtomicBool::new(false),
            is_held: AtomicBool::new(false),
            reply_len_bytes_max: REPLY_LEN_BYTES_MAX_DEFAULT,
            established_ms: wall_ms,
            meters,
            lane: Mutex::new(Lane {
                pending: VecDeque::new(),
                reads: 0,
                identities,
                permit: None,
                is_throttled: false,
                phase: Phase::Open,
            }),
            outbox: Mutex::new(Outbox::default()),
        }
    }

    /// Sets how long an answer to a read may be.
    #[must_use]
    pub fn with_reply_len_bytes_max(self, reply_len_bytes_max: usize) -> Self {
        Self { reply_len_bytes_max, ..self }
    }

    /// Returns how long an answer to a read may be, in bytes.
    pub const fn reply_len_bytes_max(&self) -> usize {
        self.reply_len_bytes_max
    }

    /// Returns the session it serves, [`SessionId::NONE`] before one is asked for.
    pub fn session(&self) -> SessionId {
        SessionId(self.session.load(Ordering::Relaxed))
    }

    /// Notes the session it serves.
    pub fn set_session(&self, session: SessionId) {
        self.session.store(session.0, Ordering::Relaxed);
    }

    /// Returns whether its session is known to this member only.
    pub fn is_local(&self) -> bool {
        self.is_local.load(Ordering::Relaxed)
    }

    /// Notes whether its session is known to this member only.
    pub fn set_local(&self, is_local: bool) {
        self.is_local.store(is_local, Ordering::Relaxed);
    }

    /// Returns the timeout its session was granted, in milliseconds.
    pub fn timeout_ms(&self) -> u64 {
        self.granted_timeout_ms.load(Ordering::Relaxed)
    }

    /// Notes the timeout its session was granted.
    pub fn set_timeout_ms(&self, timeout_ms: u32) {
        self.granted_timeout_ms.store(timeout_ms.into(), Ordering::Relaxed);
    }

    /// Notes that the client was heard; returns whether that is news since [`Self::take_touch`].
    pub fn touch(&self) -> bool {
        !self.is_touched.swap(true, Ordering::Relaxed)
    }

    /// Returns whether the client was heard, and forgets it.
    pub fn take_touch(&self) -> bool {
        self.is_touched.swap(false, Ordering::Relaxed)
    }

    /// Gives access to the lane. A guard of the state is taken before, never after.
    pub fn lane(&self) -> parking_lot::MutexGuard<'_, Lane> {
        self.lane.lock()
    }

    /// Returns whether as many requests wait as may.
    pub fn is_lane_full(&self) -> bool {
        self.lane.lock().is_full()
    }

    /// Returns the number of requests not answered yet.
    pub fn lane_len(&self) -> usize {
        self.lane.lock().pending.len()
    }

    /// Returns when it was made, in milliseconds since 1970.
    pub const fn established_ms(&self) -> i64 {
        self.established_ms
    }

    /// Returns its figures.
    pub fn figures(&self) -> Figures {
        self.outbox.lock().traffic.figures()
    }

    /// Lets its figures begin anew.
    pub fn reset_figures(&self) {
        self.outbox.lock().traffic.reset();
    }

    /// Notes a request of so many bytes, before it is answered; `None` is no operation.
    pub fn asked(&self, opcode: Option<OpCode>, len_bytes: usize) {
        self.outbox.lock().traffic.asked(opcode, self.meters.now_us(), len_bytes);
    }

    /// Returns whether one more request is looked at: those before it, and their answers, do not
    /// take too much room.
    pub fn has_room(&self) -> bool {
        let outbox = self.outbox.lock();
        outbox.bytes.len() <= OUTBOX_LEN_BYTES_HIGH
            && outbox.traffic.asked_len_bytes() <= LANE_LEN_BYTES_MAX
    }

    /// Returns whether its socket is not read for now, so that the client cannot be heard.
    pub fn is_held(&self) -> bool {
        self.is_held.load(Ordering::Relaxed)
    }

    /// Notes whether its socket is not read for now.
    pub fn set_held(&self, is_held: bool) {
        self.is_held.store(is_held, Ordering::Relaxed);
    }

    /// Returns whether one more read is answered; otherwise whoever empties the outbox goes on.
    pub fn can_take_more(&self) -> bool {
        // Noted under the lock: whoever empties the outbox after this sees it.
        let outbox = self.outbox.lock();
        let can = outbox.bytes.len() <= OUTBOX_LEN_BYTES_HIGH;
        self.is_stalled.fetch_or(!can, Ordering::AcqRel);
        can
    }

    /// Returns whether reads wait for the outbox to be emptied, and takes it that they go on now.
    pub fn take_stall(&self) -> bool {
        self.is_stalled.swap(false, Ordering::AcqRel)
    }

    /// Queues text for who asked a four-letter word, and ends the connection with it.
    pub fn send_text(&self, text: &str) {
        let mut outbox = self.outbox.lock();
        outbox.bytes.extend_from_slice(text.as_bytes());
        self.sent(outbox, Then::Close);
    }

    /// Returns what became of its wish for a session.
    pub fn greeting(&self) -> Greeting {
        match self.greeting.load(Ordering::Acquire) {
            0 => Greeting::Awaited,
            1 => Greeting::Granted,
            _ => Greeting::Refused,
        }
    }

    /// Queues the answer to a connect request, as an encoded frame. A refusal ends the connection.
    pub fn greet(&self, frame: &[u8], zxid: Zxid, greeting: Greeting) {
        let then = if greeting == Greeting::Refused { Then::Close } else { Then::Continue };
        let mut outbox = self.outbox.lock();
        if outbox.is_closing {
            return;
        }
        outbox.bytes.extend_from_slice(frame);
        self.answered(outbox, Xid(0), zxid, then);
        // Told last: who hears of a refusal ends the connection once what is queued is written.
        self.greeting.store(greeting as u8, Ordering::Release);
        self.greeted.notify_one();
    }

    /// Queues a reply for the client.
    pub fn reply(&self, xid: Xid, zxid: Zxid, error: i32, body: &Response, then: Then) {
        let mut outbox = self.outbox.lock();
        if outbox.is_closing {
            return;
        }
        put_reply(&mut outbox.bytes, xid, zxid, error, body);
        self.answered(outbox, xid, zxid, then);
    }

    /// Queues a watch event for the client.
    pub fn event(&self, event: &WatchEvent) {
        let mut outbox = self.outbox.lock();
        if outbox.is_closing {
            return;
        }
        frame::put_frame(&mut outbox.bytes, |out| {
            ReplyHeader { xid: Xid::EVENT, zxid: Zxid::NONE, error: 0 }.encode(out);
            event.encode(out);
        });
        outbox.traffic.event();
        self.sent(outbox, Then::Continue);
    }

    fn answered(
        &self,
        mut outbox: parking_lot::MutexGuard<'_, Outbox>,
        xid: Xid,
        zxid: Zxid,
        then: Then,
    ) {
        let latency_us = outbox.traffic.answered(xid, zxid, self.meters.now_us());
        self.sent(outbox, then);
        self.shorter.notify_one();
        self.meters.latency_ms.record(latency_us as f64 / 1000.0);
    }

    fn sent(&self, mut outbox: parking_lot::MutexGuard<'_, Outbox>, then: Then) {
        self.meters.packets_sent.increment(1);
        if then == Then::Close {
            outbox.is_closing = true;
            self.closing.cancel();
        }
        let is_over = outbox.bytes.len() > OUTBOX_LEN_BYTES_MAX;
        if is_over {
            // Nothing more is queued for a client that is given up.
            outbox.is_closing = true;
            outbox.bytes = BytesMut::new();
        }
        let is_corked = outbox.is_corked;
        drop(outbox);
        if is_over {
            self.cancelled.cancel();
        }
        if !is_corked {
            self.ready.notify_one();
        }
    }

    /// Ends the connection once all that is queued is written.
    pub fn close(&self) {
        self.outbox.lock().is_closing = true;
        self.closing.cancel();
        self.ready.notify_one();
    }

    /// Lets nothing more be queued; what is may still be written.
    pub fn seal(&self) {
        self.outbox.lock().is_closing = true;
    }

    /// Keeps its writer asleep: whoever admits requests writes what comes of them, by [`Self::uncork`].
    pub fn cork(&self) {
        self.outbox.lock().is_corked = true;
    }

    /// Takes what waits to be written, and is to be given to [`Self::end_write`]; `None` when there is nothing to
    /// be written by the caller.
    pub fn uncork(&self) -> Option<BytesMut> {
        let mut outbox = self.outbox.lock();
        outbox.is_corked = false;
        if outbox.is_being_written {
            return None;
        }
        if outbox.bytes.is_empty() {
            let is_closing = outbox.is_closing;
            drop(outbox);
            if is_closing {
                self.ready.notify_one();
            }
            return None;
        }
        outbox.is_being_written = true;
        Some(std::mem::take(&mut outbox.bytes))
    }

    /// Takes what waits to be written, and whether that is the last. What is not empty is to be written, and then
    /// given to [`Self::end_write`]; meanwhile nobody else gets anything.
    pub fn begin_write(&self) -> (BytesMut, bool) {
        let mut outbox = self.outbox.lock();
        if outbox.is_corked || outbox.is_being_written {
            return (BytesMut::new(), false);
        }
        outbox.is_being_written = !outbox.bytes.is_empty();
        (std::mem::take(&mut outbox.bytes), outbox.is_closing)
    }

    /// Ends a write; `rest` is what could not be written, and comes before all else.
    pub fn end_write(&self, mut rest: BytesMut) {
        let mut outbox = self.outbox.lock();
        assert!(outbox.is_being_written, "ended as often as begun");
        outbox.is_being_written = false;
        if !rest.is_empty() {
            rest.extend_from_slice(&outbox.bytes);
            outbox.bytes = rest;
        }
        let has_more = !outbox.bytes.is_empty() || outbox.is_closing;
        drop(outbox);
        if has_more {
            self.ready.notify_one();
        }
    }

    /// Takes what waits to be written, and whether that is the last.
    pub fn take_outbox(&self) -> (BytesMut, bool) {
        let mut outbox = self.outbox.lock();
        (std::mem::take(&mut outbox.bytes), outbox.is_closing)
    }
}

/// Appends a reply as a frame.
pub fn put_reply(out: &mut BytesMut, xid: Xid, zxid: Zxid, error: i32, body: &Response) {
    frame::put_frame(out, |out| {
        ReplyHeader { xid, zxid, error }.encode(out);
        body.encode(out);
    });
}
