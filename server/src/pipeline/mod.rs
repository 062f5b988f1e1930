//! The way of a request. The files are the stages, in the order a write passes them:
//!
//! 1. [`admit`]: a connection's frames become requests in the session's order; reads are answered
//!    here, writes get a number.
//! 2. [`forward`]: the member passes its writes to the leader, or keeps them when it leads.
//! 3. [`prepare`] with [`outstanding`]: the leader resolves a request into an idempotent txn,
//!    judged by the tree and all that is in flight, and by the quotas that cover it ([`quota`]).
//! 4. The engine orders the txns, the log stores them, a quorum acks: see `replica`.
//! 5. [`apply`]: the state changes; cannot fail.
//! 6. [`notify`]: changes become watch events.
//! 7. [`reply`]: outcomes become answers, in the session's order.
//!
//! [`read`] answers reads from wherever the order lets them be answered: 1 or 7.

pub mod admit;
pub mod apply;
pub mod connect;
pub mod forward;
mod kind;
pub mod notify;
pub mod outstanding;
mod overlay;
pub mod prepare;
pub mod quota;
pub mod read;
pub mod reply;

#[cfg(test)]
mod tests;
