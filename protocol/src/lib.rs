#![no_std]
//! What goes over a wire, as types: the ZooKeeper client protocol (3.4 to 3.9), the txns that are
//! logged and broadcast, and the messages between members. No IO, no clock, no async.

extern crate alloc;

pub mod acl;
pub mod code;
pub mod connect;
pub mod event;
pub mod frame;
pub mod ids;
pub mod jute;
pub mod multi;
pub mod opcode;
pub mod path;
pub mod peer;
pub mod quota;
pub mod request;
pub mod response;
pub mod stat;
pub mod text;
pub mod txn;
pub mod zxid;
