//! The recipes against members in this process.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

#[path = "../support/mod.rs"]
mod support;

mod caches;
mod chaos;
mod gates;
mod groups;
mod locks;
mod numbers;
mod world;
