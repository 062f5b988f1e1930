//! Sessions: the replicated table of who is open, the leader's clock over them, and the sessions that
//! only one member knows.

mod local;
mod table;
mod tracker;

pub use local::{Local, Locals};
pub use table::{Session, Table};
pub use tracker::Tracker;
