//! A member of a Conclave ensemble. `pipeline` has the way of a request, `replica` the member as a
//! value, `driver` the threads and sockets around it.

pub mod acl;
pub mod admin;
pub mod boot;
pub mod clock;
pub mod config;
pub mod driver;
pub mod embedded;
pub mod lane;
pub mod limit;
pub mod load;
pub mod metric;
pub mod net;
pub mod pipeline;
pub mod replica;
pub mod room;
pub mod session;
pub mod shared;
pub mod snapshot;
pub mod state;
pub mod store;
pub mod traffic;
pub mod tree;
pub mod watch;
