//! `conclave config` from outside: what it does to znodes and files, what it prints, and how it ends.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]
#![expect(clippy::disallowed_methods, reason = "a test makes its own files")]

mod apply;
mod bench;
mod broken;
mod follow;
#[path = "../support/mod.rs"]
mod support;
