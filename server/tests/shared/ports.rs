//! Ports for members that must be known before they start, as the members tell them to each other.

use std::{
    net::TcpListener,
    sync::atomic::{AtomicU16, Ordering},
};

/// Ports from here on are tried; all below those that systems give to clients, which would take them away
/// between the look and the start.
const PORT_MIN: u16 = 21_000;

/// Ports that are tried at most.
const PORT_COUNT: u16 = 10_000;

/// Returns a port of five digits that nobody listens on, and that is not returned again.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Tests of other processes begin elsewhere.
    let start = (std::process::id() % u32::from(PORT_COUNT)) as u16;
    for _ in 0..PORT_COUNT {
        let offset = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = PORT_MIN + start.wrapping_add(offset) % PORT_COUNT;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no port is free");
}
