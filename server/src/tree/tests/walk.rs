//! A snapshot's walk while the tree changes: loaded, with the txns since the walk began replayed
//! over it, it is the live tree.

use conclave_protocol::zxid::Zxid;
use conclave_snapshots::image::ImageRecord;

use super::workload::{Delivered, Random, all_paths, apply, draw};
use crate::tree::{Tree, TreeLoader, Walk};

const SEED: u64 = 7;

/// Loads what a walk gave.
fn load(records: Vec<ImageRecord>) -> Tree {
    let mut loader = TreeLoader::new(SEED + 1);
    for record in records {
        match record {
            ImageRecord::Acl { number, list } => loader.acl(number, list).unwrap(),
            ImageRecord::Node(node) => loader.node(node).unwrap(),
            other => panic!("a walk gives no {other:?}"),
        }
    }
    loader.finish().unwrap()
}

/// Compares two trees znode by znode first: a digest alone would not say what differs.
fn assert_same(loaded: &Tree, live: &Tree, what: &str) {
    let paths = all_paths(live);
    assert_eq!(all_paths(loaded), paths, "{what}");
    for path in &paths {
        let (one, other) = (loaded.node(path).unwrap(), live.node(path).unwrap());
        assert_eq!(one.stat(), other.stat(), "{what}: {path}");
        assert_eq!(one.data(), other.data(), "{what}: {path}");
        assert_eq!(one.acl(), other.acl(), "{what}: {path}");
        assert_eq!(one.owner(), other.owner(), "{what}: {path}");
        assert_eq!(one.created(), other.created(), "{what}: {path}");
    }
    assert_eq!(loaded.digest(), live.digest(), "{what}");
    assert_eq!(loaded.count(), live.count(), "{what}");
    assert_eq!(loaded.ephemeral_count(), live.ephemeral_count(), "{what}");
    assert_eq!(loaded.data_len_bytes(), live.data_len_bytes(), "{what}");
    for session in live.ephemeral_owners() {
        assert!(loaded.ephemerals(session).eq(live.ephemerals(session)), "{what}");
    }
}

struct Run {
    random: Random,
    tree: Tree,
    zxid: Zxid,
    what: String,
}

impl Run {
    fn new(seed: u64) -> Self {
        let what = format!("seed {seed}");
        Self { random: Random(seed), tree: Tree::new(SEED), zxid: Zxid(0), what }
    }

    fn txns(&mut self, count: usize) -> Vec<Delivered> {
        let mut txns = Vec::new();
        for _ in 0..count {
            self.zxid = Zxid(self.zxid.0 + 1);
            txns.push(draw(&mut self.random, &mut self.tree, self.zxid));
            self.tree.check();
        }
        txns
    }

    /// Takes a snapshot in slices with txns in between; returns what loading it gives.
    fn snapshot(&mut self) -> Tree {
        let mut walk = Walk::begin(&mut self.tree);
        let (mut records, mut tail) = (Vec::new(), Vec::new());
        loop {
            let count = self.random.below(8);
            tail.extend(self.txns(count));
            let znodes_max = 1 + self.random.below(6);
            let Some(slice) = walk.slice(&self.tree, znodes_max) else { break };
            records.extend(slice);
        }
        self.tree.end_walk();
        self.tree.check();
        let mut loaded = load(records);
        loaded.check();
        for txn in &tail {
            apply(&mut loaded, txn);
            loaded.check();
        }
        loaded
    }
}

/// Goal: a snapshot is exact although nothing stops for it. Method: many seeds; in each, several
/// snapshots of one tree, so that freed slots are used again between them.
#[test]
fn snapshot_taken_while_the_tree_changes_is_the_tree_after_its_tail() {
    for seed in 0..400 {
        let mut run = Run::new(seed);
        for _ in 0..4 {
            let count = run.random.below(60);
            run.txns(count);
            let loaded = run.snapshot();
            assert_same(&loaded, &run.tree, &run.what);
        }
    }
}

/// Goal: a loaded tree goes on like any other. Method: the next snapshot is of a loaded tree.
#[test]
fn loaded_tree_is_walked_and_loaded_again() {
    for seed in 1000..1100 {
        let mut run = Run::new(seed);
        for _ in 0..4 {
            run.txns(30);
            run.tree = run.snapshot();
            run.tree.check();
        }
        let loaded = run.snapshot();
        assert_same(&loaded, &run.tree, &run.what);
    }
}

/// Goal: nothing that is replayed over a later tree panics or breaks a link.
#[test]
fn whole_history_replayed_over_its_end_leaves_a_sound_tree() {
    for seed in 2000..2100 {
        let mut run = Run::new(seed);
        let history = run.txns(120);
        for txn in &history {
            apply(&mut run.tree, txn);
            run.tree.check();
        }
    }
}
