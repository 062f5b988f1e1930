//! What a connection's requests and answers add up to, for the four-letter words.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use conclave_protocol::{ids::Xid, opcode::OpCode, zxid::Zxid};

use crate::metric::{Count, Spread};

/// What a member's connections count into, and the clock they are measured by.
#[derive(Clone, Debug)]
pub struct Meters {
    /// All that goes to clients.
    pub packets_sent: Count,
    /// Time from request to answer.
    pub latency_ms: Spread,
    /// The member's clock in microseconds, as of its last turn. Nothing is decided by it.
    pub time_us: Arc<AtomicU64>,
}

/// One connection's figures.
#[derive(Debug, Default)]
pub struct Traffic {
    /// Requests without an answer, when they came, and their bytes; oldest first, as many as the
    /// lane holds.
    asked: VecDeque<(Option<OpCode>, u64, usize)>,
    asked_len_bytes: usize,
    received: u64,
    sent: u64,
    last: Option<Answer>,
    count: u64,
    sum_us: u64,
    min_us: u64,
    max_us: u64,
}

/// A connection's last answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Answer {
    /// What was asked; `None` for what is no operation.
    pub opcode: Option<OpCode>,
    /// The client's number of it.
    pub xid: Xid,
    /// The zxid in its header.
    pub zxid: Zxid,
    /// When it was given, in microseconds of the member's clock.
    pub at_us: u64,
    /// How long it took, in microseconds.
    pub latency_us: u64,
}

/// A connection's figures at one moment.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Figures {
    /// Requests that came.
    pub received: u64,
    /// Answers and events that went.
    pub sent: u64,
    /// The last answer.
    pub last: Option<Answer>,
    /// Least, mean and greatest time from request to answer, in milliseconds.
    pub latency_ms: (u64, u64, u64),
}

impl Traffic {
    /// Notes a request; it will be answered in turn.
    pub fn asked(&mut self, opcode: Option<OpCode>, at_us: u64, len_bytes: usize) {
        self.received += 1;
        self.asked.push_back((opcode, at_us, len_bytes));
        self.asked_len_bytes += len_bytes;
    }

    /// Returns the bytes of the requests without an answer.
    pub const fn asked_len_bytes(&self) -> usize {
        self.asked_len_bytes
    }

    /// Notes the answer to the oldest request, and returns how long it took, in microseconds.
    pub fn answered(&mut self, xid: Xid, zxid: Zxid, at_us: u64) -> u64 {
        self.sent += 1;
        let (opcode, asked_us, len_bytes) = self.asked.pop_front().unwrap_or((None, at_us, 0));
        self.asked_len_bytes -= len_bytes;
        let latency_us = at_us.saturating_sub(asked_us);
        self.last = Some(Answer { opcode, xid, zxid, at_us, latency_us });
        self.min_us = if self.count == 0 { latency_us } else { self.min_us.min(latency_us) };
        self.max_us = self.max_us.max(latency_us);
        self.count += 1;
        self.sum_us += latency_us;
        latency_us
    }

    /// Notes an event.
    pub const fn event(&mut self) {
        self.sent += 1;
    }

    /// Lets the figures begin anew; what waits for an answer still does.
    pub fn reset(&mut self) {
        let (asked, asked_len_bytes) = (std::mem::take(&mut self.asked), self.asked_len_bytes);
        *self = Self { asked, asked_len_bytes, ..Self::default() };
    }

    /// Returns the figures.
    pub fn figures(&self) -> Figures {
        let mean_us = self.sum_us.checked_div(self.count).unwrap_or(0);
        Figures {
            received: self.received,
            sent: self.sent,
            last: self.last,
            latency_ms: (self.min_us / 1000, mean_us / 1000, self.max_us / 1000),
        }
    }
}

impl Meters {
    /// Returns the time of the member's last turn, in microseconds.
    pub fn now_us(&self) -> u64 {
        self.time_us.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_measured_from_the_request_they_answer() {
        let mut traffic = Traffic::default();
        traffic.asked(Some(OpCode::GetData), 1000, 10);
        traffic.asked(Some(OpCode::SetData), 2000, 20);
        assert_eq!(traffic.asked_len_bytes(), 30);
        assert_eq!(traffic.answered(Xid(1), Zxid(4), 3000), 2000);
        assert_eq!(traffic.answered(Xid(2), Zxid(5), 10_000), 8000);
        let figures = traffic.figures();
        assert_eq!((figures.received, figures.sent), (2, 2));
        assert_eq!(figures.latency_ms, (2, 5, 8));
        assert_eq!(traffic.asked_len_bytes(), 0);
        assert_eq!(figures.last.map(|last| last.opcode), Some(Some(OpCode::SetData)));
    }

    #[test]
    fn what_waits_for_an_answer_is_measured_over_a_reset() {
        let mut traffic = Traffic::default();
        traffic.asked(Some(OpCode::GetData), 1000, 10);
        traffic.reset();
        assert_eq!(traffic.figures(), Figures::default());
        assert_eq!(traffic.answered(Xid(1), Zxid(4), 5000), 4000);
        assert_eq!(traffic.figures().latency_ms, (4, 4, 4));
    }
}
