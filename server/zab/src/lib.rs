#![no_std]
//! ZAB atomic broadcast as a value: [`Engine::step`] maps an input to outputs. No IO, no clock, no
//! randomness; time comes as ticks, durability as marks.
//!
//! The contract of whoever drives it:
//!
//! - Outputs are carried out in order. What is sent to one member arrives in order or, when the
//!   connection breaks, from some point on not at all; the break is told by `Disconnected` before a
//!   new connection is told by `Connected`.
//! - `Persist`, `PersistEpochs` and `Truncate` are carried out in order, and each mark is answered
//!   by `Persisted` once everything up to it survives a loss of power.
//! - After a crash a new engine is made from what is on the disk.
//!
//! Names follow the paper (Junqueira, Reed, Serafini: "Zab", DSN 2011) and ZooKeeper: election,
//! discovery, synchronization, broadcast.

extern crate alloc;

mod api;
mod broadcast;
mod discovery;
mod election;
mod engine;
mod follower;
mod history;
mod invariants;
mod leader;
mod learners;
mod quorum;
mod synchronization;
mod timeouts;

pub use api::{Broadcast, Config, Input, LearnerCounts, Mark, Output, Recovered, Role};
pub use engine::Engine;
pub use learners::LEARNER_BACKLOG_ENTRIES_MAX;
