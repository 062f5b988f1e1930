//! Configuration management: directories of files become subtrees of znodes, in one step that readers see
//! whole, with a history.
//!
//! The core has no IO: a [`plan`] is a function of what was applied last, what is there and what is wanted; a [`release`] writes
//! it down, a [`record`] says who and why; [`diff`], [`mask`], [`layer`], [`template`] and [`environment`] show values.
//! Around it, [`files`], [`document`] and [`archive`] read and write what is on disk through the one door [`disk`], [`live`] and
//! [`store`] read the service, [`editor`] holds the lock, [`publish`] makes a plan true, [`follow`] and [`view`] hear of it, and [`cli`] is
//! the command.
//!
#![doc = include_str!("FORMAT.md")]

pub mod archive;
pub mod batch;
pub mod blobs;
pub mod check;
pub mod cli;
pub mod diff;
pub mod digest;
pub mod disk;
pub mod document;
pub mod editor;
pub mod ensemble;
pub mod environment;
pub mod error;
pub mod files;
pub mod follow;
pub mod form;
pub mod key;
pub mod layer;
pub mod live;
pub mod mask;
pub mod meta;
pub mod names;
pub mod plan;
pub mod proposal;
pub mod publish;
pub mod record;
pub mod release;
pub mod rollout;
pub mod secret;
pub mod source;
pub mod store;
pub mod template;
pub mod tree;
pub mod typed;
pub mod view;

pub use self::view::{View, ViewBuilder};
