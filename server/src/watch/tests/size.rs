//! What a watch costs. Not run by default: it wants a release build, a quiet machine, and a process
//! of its own, as memory that was freed before would not count. Each by its name:
//! `cargo test --release -p conclave-server --lib paths_that_many_watch -- --ignored --nocapture`
#![expect(clippy::disallowed_methods, reason = "a measurement reads the clock and the process")]

use std::time::Instant;

use crate::watch::{ConnId, WatchKind, Watches};

const WATCHES: u64 = 1_000_000;

fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap();
    status.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

fn measure(what: &str, arm: impl Fn(&Watches, u64)) -> usize {
    let before = resident_bytes();
    let watches = Watches::default();
    let started = Instant::now();
    for at in 0..WATCHES {
        arm(&watches, at);
    }
    let took = started.elapsed();
    let each = (resident_bytes() - before) / WATCHES as usize;
    println!("{what}: {each} bytes a watch, {took:?} to arm");
    assert_eq!(watches.count() as u64, WATCHES);
    let started = Instant::now();
    for conn in 0..1000 {
        watches.drop_connection(ConnId(conn));
    }
    println!("{what}: {:?} to drop a thousand connections", started.elapsed());
    each
}

#[test]
#[ignore = "a measurement"]
fn path_that_one_watches_takes_as_little_memory_as_promised() {
    let each = measure("a path each, 1000 connections", |watches, at| {
        watches.arm(ConnId(at % 1000), &format!("/service/member-{at:010}"), WatchKind::Data);
    });
    assert!((60..=160).contains(&each), "{each} bytes a watch");
}

#[test]
#[ignore = "a measurement"]
fn paths_that_many_watch_take_as_little_memory_as_promised() {
    let each = measure("1000 paths, 1000 connections", |watches, at| {
        let path = format!("/service/member-{:010}", at / 1000);
        watches.arm(ConnId(at % 1000), &path, WatchKind::Data);
    });
    assert!((30..=80).contains(&each), "{each} bytes a watch");
}
