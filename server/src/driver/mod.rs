//! Tokio and threads around a replica: one owner thread steps it, one store thread carries out its
//! durable work, one snapshot thread at a time walks the tree; sockets live on the runtime.

mod handle;
mod member;
mod owner;
mod store;

pub use handle::{DriverEvent, Handle, LinkEvent};
pub use member::{Member, Settings, StartError};
