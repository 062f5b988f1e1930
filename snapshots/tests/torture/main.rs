//! Storage torture: every byte of a log and of a snapshot of more than 1 MiB, every length of both, and
//! every crash point and failing call of a run of 10,000 txns.
//!
//! `cargo test` runs a sample of each. The whole takes longer:
//!
//!     cargo test --profile sim -p conclave-snapshots --test torture -- --ignored --nocapture
//!
//! - `subject`: a disk with a large log or snapshot, which is damaged in place and judged.
//! - `flips`, `cuts`, `sectors`: what is done to it.
//! - `calls`: crashes and failing calls of a long run.
//! - `files`: the same damage on the system's disk.
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "../common/mod.rs"]
mod common;

mod calls;
mod cuts;
mod files;
mod flips;
mod sectors;
mod subject;
