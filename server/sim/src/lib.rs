//! Whole members under one seed: the production replica, pipeline, state and storage, with a model of
//! the network, the clocks and a faulty disk where sockets and files would be. One thread, virtual
//! time; the same scenario gives the same run.
//!
//! `world` is the run, `machine` a member and its disk, `network` the links between them, `faults` what
//! goes wrong, `gray` what is promised of slow disks, `settle` how a run ends. The checkers know nothing of how members work: `ledger` holds what all of them deliver
//! to one order, `model` is the tree that this order makes (with `access` and `quota`), `judge` and `watched` hold what clients
//! are told against it; `coverage` tells what was visited.

mod access;
mod bounds;
mod client;
mod clients;
mod coverage;
mod faults;
mod gray;
mod judge;
mod ledger;
mod machine;
mod model;
mod network;
mod plan;
mod quota;
mod random;
mod scenario;
mod schedule;
mod settle;
mod watched;
mod workload;
mod world;

pub use coverage::{CRASHES, Coverage, FAULTS, SERVICE, WAYS};
pub use random::Random;
pub use scenario::{Fault, Report, Scenario};
pub use world::run;
