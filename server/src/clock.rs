//! The only file of the server that reads a clock; everything else is told the time.
#![expect(clippy::disallowed_methods, reason = "this is the file they are allowed in")]

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// A monotonic clock and the wall clock, both in milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// Starts the monotonic clock at zero.
    pub fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// Returns the monotonic time, in milliseconds since the start.
    pub fn now_ms(&self) -> u64 {
        self.start.elapsed().as_millis() as u64
    }

    /// Returns the monotonic time, in microseconds since the start.
    pub fn now_us(&self) -> u64 {
        self.start.elapsed().as_micros() as u64
    }

    /// Returns the wall clock, in milliseconds since 1970.
    pub fn wall_ms(&self) -> i64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
    }
}
