//! How much clients may ask of a member at a time, and what happens to those that ask for more.

mod bucket;
mod gate;

pub use self::{
    bucket::TokenBucket,
    gate::{Gate, Permit, Place},
};
use crate::lane::REPLY_LEN_BYTES_MAX_DEFAULT;

/// The limits, from the configuration. The default is none but that of a reply.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RequestLimits {
    /// Requests under way from which on a connection that has one under way is not read, until it is
    /// answered; 0 for no limit (`globalOutstandingLimit`).
    pub outstanding_high: usize,
    /// Requests under way at most: while there are as many, no connection's next request is looked at;
    /// 0 for no limit (`requestThrottleLimit`).
    pub outstanding_max: usize,
    /// Time that a request waits for those at most before it is refused with ThrottledOp, in
    /// milliseconds; 0 to wait for as long as it takes (`throttledOpWaitTime`).
    pub throttled_ms: u64,
    /// How often clients may connect; those that do too often are sent away.
    pub connects: ConnectRate,
    /// Longest answer to a read, in bytes; a longer one is refused with MarshallingError
    /// (`reply.maxbuffer`).
    pub reply_len_bytes_max: usize,
}

/// How often clients may connect, new sessions and old ones: so many at once, and so many in a time.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ConnectRate {
    /// At once; 0 for no limit (`connectionMaxTokens`).
    pub burst: u32,
    /// Time in which `fill_count` more may, in milliseconds (`connectionTokenFillTime`).
    pub fill_ms: u32,
    /// How many more may in that time (`connectionTokenFillCount`).
    pub fill_count: u32,
}

impl Default for RequestLimits {
    fn default() -> Self {
        Self {
            outstanding_high: 0,
            outstanding_max: 0,
            throttled_ms: 0,
            connects: ConnectRate::default(),
            reply_len_bytes_max: REPLY_LEN_BYTES_MAX_DEFAULT,
        }
    }
}
