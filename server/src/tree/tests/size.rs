//! What a znode costs. Not run by default: it wants a release build, a quiet machine, and a process
//! of its own, as memory that was freed before would not count. Each by its name:
//! `cargo test --release -p conclave-server --lib million_znodes_take -- --ignored --nocapture`
#![expect(clippy::disallowed_methods, reason = "a measurement reads the clock and the process")]

use std::time::Instant;

use bytes::Bytes;
use conclave_protocol::{
    acl::Acl,
    txn::{CreateChange, Owner},
    zxid::Zxid,
};
use conclave_snapshots::image::ImageRecord;

use crate::tree::{Tree, TreeLoader, Walk};

const ZNODES: usize = 1_000_000;
const PARENTS: usize = 1_000;
const DATA_LEN_BYTES: usize = 100;

/// Bytes of a znode in memory, at most.
const ZNODE_BYTES_MAX: usize = 260;

fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap();
    status.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

fn path_of(at: usize) -> String {
    match at {
        0..PARENTS => format!("/service-{at:04}"),
        _ => format!("/service-{:04}/member-{at:010}", at % PARENTS),
    }
}

fn filled() -> Tree {
    let mut tree = Tree::new(1);
    for at in 0..ZNODES {
        let create = CreateChange {
            path: path_of(at),
            data: Some(Bytes::from(vec![b'x'; DATA_LEN_BYTES])),
            acl: vec![Acl::open()],
            owner: Owner::Persistent,
            parent_created: 1,
        };
        tree.create(Zxid(at as u64 + 1), at as i64, &create).unwrap();
    }
    tree
}

#[test]
#[ignore = "a measurement"]
fn million_znodes_take_as_little_memory_as_promised() {
    let before = resident_bytes();
    let started = Instant::now();
    let tree = filled();
    println!("create: {:?}", started.elapsed());
    let each = (resident_bytes() - before) / ZNODES;
    println!("memory: {each} bytes a znode");

    let started = Instant::now();
    let found = (0..ZNODES).filter(|at| tree.node(&path_of(*at)).is_some()).count();
    println!("find: {:?}", started.elapsed());
    assert_eq!((found, tree.count()), (ZNODES, ZNODES + 4));
    assert!((DATA_LEN_BYTES..=ZNODE_BYTES_MAX).contains(&each), "{each} bytes a znode");
}

#[test]
#[ignore = "a measurement"]
fn million_znodes_are_walked_and_loaded_in_a_second() {
    let mut tree = filled();
    let mut walk = Walk::begin(&mut tree);
    let mut loader = TreeLoader::new(2);
    let (mut walked, mut longest, mut taken) = (0, 0, 0);
    while let Some(records) = {
        let started = Instant::now();
        let slice = walk.slice(&tree, 1000);
        let micros = started.elapsed().as_micros();
        walked += micros;
        longest = longest.max(micros);
        slice
    } {
        let started = Instant::now();
        for record in records {
            match record {
                ImageRecord::Acl { number, list } => loader.acl(number, list).unwrap(),
                ImageRecord::Node(node) => loader.node(node).unwrap(),
                other => panic!("a walk gives no {other:?}"),
            }
        }
        taken += started.elapsed().as_micros();
    }
    let started = Instant::now();
    let loaded = loader.finish().unwrap();
    println!("walk: {walked} us, longest slice {longest} us");
    println!("load: {taken} us to take records, {:?} to link", started.elapsed());
    assert_eq!(loaded.digest(), tree.digest());
}
