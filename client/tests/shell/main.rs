//! `conclave shell` from outside, as scripts and people use it, against a member in this process.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]
#![expect(
    clippy::disallowed_methods,
    reason = "tests open sockets and files, and look at the clock"
)]

mod hostile;
mod prompt;
mod shape;
mod subtrees;
mod watches;
mod world;
mod znodes;
