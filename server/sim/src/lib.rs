//! Whole members under one seed: the production replica, pipeline, state and storage, with a model of
//! the network and a faulty disk where sockets and files would be. One thread, virtual time; the same
//! seed gives the same run.

mod client;
mod random;
mod world;

pub use client::{Client, Outcome};
pub use random::Random;
pub use world::{Fault, Report, Scenario, run};
