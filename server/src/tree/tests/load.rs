//! Loading records that no walk gave.

use bytes::Bytes;
use conclave_protocol::{acl::Acl, ids::SessionId, txn::Owner, zxid::Zxid};
use conclave_snapshots::image::NodeRecord;
use proptest::prelude::*;

use super::workload::all_paths;
use crate::tree::{LoadTreeError, Tree, TreeLoader};

fn record(number: u32, parent: u32, name: &str) -> NodeRecord {
    NodeRecord {
        number,
        parent,
        name: name.to_owned(),
        data: Some(Bytes::from_static(b"data")),
        acl: 0,
        owner: Owner::Persistent,
        czxid: Zxid(1),
        mzxid: Zxid(2),
        pzxid: Zxid(3),
        ctime_ms: 4,
        mtime_ms: 5,
        version: 6,
        aversion: 7,
        created: 8,
    }
}

fn load(records: impl IntoIterator<Item = NodeRecord>) -> Result<Tree, LoadTreeError> {
    let mut loader = TreeLoader::new(1);
    loader.acl(0, vec![Acl::open()])?;
    for record in records {
        loader.node(record)?;
    }
    let tree = loader.finish()?;
    tree.check();
    Ok(tree)
}

#[test]
fn records_may_come_in_any_order() {
    let records = [record(9, 5, "b"), record(5, 0, "a"), record(0, 0, "")];
    for turn in 0..3 {
        let mut records = records.clone();
        records.rotate_left(turn);
        let tree = load(records).unwrap();
        assert_eq!(all_paths(&tree), ["/", "/a", "/a/b"]);
        let stat = tree.node("/a/b").unwrap().stat();
        assert_eq!((stat.czxid, stat.mzxid, stat.pzxid), (Zxid(1), Zxid(2), Zxid(3)));
        assert_eq!((stat.ctime_ms, stat.mtime_ms, stat.version, stat.aversion), (4, 5, 6, 7));
        assert_eq!((stat.cversion, tree.node("/a/b").unwrap().created()), (16, 8));
    }
}

/// A tree that had millions of znodes and has two: its snapshot has to be loadable, and cheap.
#[test]
fn numbers_may_be_far_apart() {
    let tree = load([record(0, 0, ""), record(u32::MAX, 0, "a"), record(1 << 31, u32::MAX, "b")]);
    let tree = tree.unwrap();
    assert_eq!(all_paths(&tree), ["/", "/a", "/a/b"]);
    assert_eq!(tree.arena.slot_count(), 3, "nothing is reserved for the gaps");
}

#[test]
fn nonsense_is_refused_by_its_name() {
    let root = || record(0, 0, "");
    let refused = |records: Vec<NodeRecord>| load(records).unwrap_err();
    assert_eq!(refused(vec![]), LoadTreeError::NoRoot);
    assert_eq!(refused(vec![record(1, 0, "a")]), LoadTreeError::NoRoot);
    assert_eq!(refused(vec![root(), root()]), LoadTreeError::Twice(0));
    let twice = vec![root(), record(1, 0, "a"), record(1, 0, "b")];
    assert_eq!(refused(twice), LoadTreeError::Twice(1));
    let same_name = vec![root(), record(1, 0, "a"), record(2, 0, "a")];
    assert_eq!(refused(same_name), LoadTreeError::Name { parent: 0 });
    assert_eq!(refused(vec![root(), record(1, 7, "a")]), LoadTreeError::NoParent(7));
    assert_eq!(refused(vec![root(), record(1, 1, "a")]), LoadTreeError::Cycle(1));
    let cycle = vec![root(), record(1, 2, "a"), record(2, 1, "b"), record(3, 0, "c")];
    assert_eq!(refused(cycle), LoadTreeError::Cycle(2));
    for name in ["", "/", "a/b"] {
        assert_eq!(refused(vec![root(), record(1, 0, name)]), LoadTreeError::NoName(1));
    }
    let unknown_list = NodeRecord { acl: 1, ..record(1, 0, "a") };
    assert_eq!(refused(vec![root(), unknown_list]), LoadTreeError::Acl(1));
    let ephemeral = NodeRecord { owner: Owner::Ephemeral(SessionId(1)), ..root() };
    assert_eq!(refused(vec![ephemeral]), LoadTreeError::EphemeralRoot);
}

#[test]
fn lists_come_in_order() {
    let mut loader = TreeLoader::new(1);
    assert_eq!(loader.acl(1, Vec::new()), Err(LoadTreeError::Acl(1)));
    assert_eq!(loader.acl(0, Vec::new()), Ok(()));
    assert_eq!(loader.acl(0, Vec::new()), Err(LoadTreeError::Acl(0)));
}

#[test]
fn equal_lists_with_two_numbers_become_one() {
    let mut loader = TreeLoader::new(1);
    for number in 0..2 {
        loader.acl(number, vec![Acl::open()]).unwrap();
    }
    loader.node(record(0, 0, "")).unwrap();
    loader.node(NodeRecord { acl: 1, ..record(1, 0, "a") }).unwrap();
    loader.finish().unwrap().check();
}

proptest! {
    /// Goal: whatever the records say, loading ends in a sound tree or an error. Method: few
    /// numbers and names, so that they meet.
    #[test]
    fn no_records_make_the_loader_panic(
        records in prop::collection::vec((0_u32..8, 0_u32..8, "[ab/]{0,2}", 0_u32..2, 0_u32..3), 0..10)
    ) {
        let records = records.into_iter().map(|(number, parent, name, acl, session)| {
            let owner = match session {
                0 => Owner::Persistent,
                _ => Owner::Ephemeral(SessionId(i64::from(session))),
            };
            NodeRecord { acl, owner, ..record(number, parent, &name) }
        });
        // A root at least, most times: without one there is little to see.
        let _ = load(std::iter::once(record(0, 0, "")).chain(records));
    }
}
