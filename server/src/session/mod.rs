//! Sessions: the replicated table of who is open, and the leader's clock over them.

mod table;
mod tracker;

pub use table::{Session, Table};
pub use tracker::Tracker;
