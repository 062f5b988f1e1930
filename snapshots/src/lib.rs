//! All that is durable: the write-ahead log, the snapshots, the epochs, and the only door to the
//! disk. Synchronous, without a clock. FORMAT.md has the bytes and what is assumed of a disk.

pub mod epochs;
mod error;
mod foreign;
pub mod fs;
pub mod image;
pub mod log;
mod name;
pub mod owner;
mod record;
pub mod recover;
pub mod retain;
pub mod set_aside;
mod whole;

pub use error::{Damage, StorageError};
pub use record::RECORD_LEN_BYTES_MAX;
