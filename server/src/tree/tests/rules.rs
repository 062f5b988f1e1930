//! The rules one by one.

use bytes::Bytes;
use conclave_protocol::{
    acl::{Acl, Perms},
    ids::SessionId,
    stat::Stat,
    txn::{CreateChange, Owner},
    zxid::Zxid,
};

use crate::tree::Tree;

const ME: SessionId = SessionId(0x1_0000_2731_3600);
const OTHER: SessionId = SessionId(2);

fn change(path: &str, data: &[u8], owner: Owner, parent_created: i32) -> CreateChange {
    CreateChange {
        path: path.to_owned(),
        data: Some(Bytes::copy_from_slice(data)),
        acl: vec![Acl::open()],
        owner,
        parent_created,
    }
}

/// Creates as prepare would: the parent's count goes up by one.
fn create(tree: &mut Tree, zxid: u64, path: &str, owner: Owner) -> Stat {
    let parent = tree.node(conclave_protocol::path::parent(path).unwrap()).unwrap();
    let change = change(path, b"data", owner, parent.created() + 1);
    tree.create(Zxid(zxid), zxid as i64 * 10, &change).unwrap()
}

fn stat(tree: &Tree, path: &str) -> Stat {
    tree.node(path).unwrap().stat()
}

#[test]
fn fresh_tree_is_that_of_a_fresh_zookeeper() {
    let tree = Tree::new(1);
    let root = Stat { cversion: -1, num_children: 1, ..Stat::default() };
    assert_eq!(stat(&tree, "/"), root);
    let system = Stat { cversion: -2, num_children: 2, ..Stat::default() };
    assert_eq!(stat(&tree, "/zookeeper"), system);
    assert_eq!(stat(&tree, "/zookeeper/config"), Stat { aversion: -1, ..Stat::default() });
    assert_eq!(stat(&tree, "/zookeeper/quota"), Stat::default());
    for path in ["/", "/zookeeper", "/zookeeper/config", "/zookeeper/quota"] {
        assert_eq!(tree.node(path).unwrap().data(), Some(&b""[..]));
    }
    assert_eq!(tree.node("/zookeeper/config").unwrap().acl(), [Acl::world(Perms::READ)]);
    assert_eq!(tree.node("/").unwrap().acl(), [Acl::open()]);
    assert_eq!(tree.count(), 4);
}

#[test]
fn created_znode_has_the_creations_zxid_and_time_and_no_versions() {
    let mut tree = Tree::new(1);
    let expected = Stat {
        czxid: Zxid(5),
        mzxid: Zxid(5),
        pzxid: Zxid(5),
        ctime_ms: 50,
        mtime_ms: 50,
        data_length: 4,
        ..Stat::default()
    };
    assert_eq!(create(&mut tree, 5, "/a", Owner::Persistent), expected);
    assert_eq!(stat(&tree, "/a"), expected);
}

#[test]
fn creation_moves_the_parents_cversion_pzxid_and_count_alone() {
    let mut tree = Tree::new(1);
    create(&mut tree, 1, "/a", Owner::Persistent);
    let (root, before) = (stat(&tree, "/"), stat(&tree, "/a"));
    create(&mut tree, 2, "/a/b", Owner::Persistent);
    let expected = Stat { cversion: 1, pzxid: Zxid(2), num_children: 1, ..before };
    assert_eq!(stat(&tree, "/a"), expected);
    assert_eq!(stat(&tree, "/"), root, "grandchildren do not touch it");
}

#[test]
fn deletion_moves_the_parents_cversion_and_pzxid_too() {
    let mut tree = Tree::new(1);
    create(&mut tree, 1, "/a", Owner::Persistent);
    create(&mut tree, 2, "/a/b", Owner::Persistent);
    let before = stat(&tree, "/a");
    assert!(tree.delete(Zxid(3), "/a/b").is_some());
    let expected = Stat { cversion: 2, pzxid: Zxid(3), num_children: 0, ..before };
    assert_eq!(stat(&tree, "/a"), expected);
    assert_eq!(tree.node("/a").unwrap().created(), 1, "sequence numbers do not go back");
    assert!(tree.node("/a/b").is_none());
}

#[test]
fn new_data_moves_version_mzxid_mtime_and_length_alone() {
    let mut tree = Tree::new(1);
    let before = create(&mut tree, 1, "/a", Owner::Persistent);
    let root = stat(&tree, "/");
    let data = Some(Bytes::from_static(b"longer"));
    let after = tree.set_data(Zxid(2), 20, "/a", data, 1);
    let expected = Stat { version: 1, mzxid: Zxid(2), mtime_ms: 20, data_length: 6, ..before };
    assert_eq!(after, Some(expected));
    assert_eq!(stat(&tree, "/a"), expected);
    assert_eq!(stat(&tree, "/"), root);
}

#[test]
fn new_acl_moves_aversion_alone() {
    let mut tree = Tree::new(1);
    let before = create(&mut tree, 1, "/a", Owner::Persistent);
    let list = [Acl::world(Perms::READ)];
    assert_eq!(tree.set_acl("/a", &list, 1), Some(Stat { aversion: 1, ..before }));
    assert_eq!(tree.node("/a").unwrap().acl(), list);
}

#[test]
fn null_data_and_empty_data_are_kept_apart() {
    let mut tree = Tree::new(1);
    create(&mut tree, 1, "/a", Owner::Persistent);
    tree.set_data(Zxid(2), 20, "/a", None, 1);
    assert_eq!((tree.node("/a").unwrap().data(), stat(&tree, "/a").data_length), (None, 0));
    tree.set_data(Zxid(3), 30, "/a", Some(Bytes::new()), 2);
    assert_eq!(tree.node("/a").unwrap().data(), Some(&b""[..]));
    let null = CreateChange { data: None, ..change("/n", b"", Owner::Persistent, 2) };
    tree.create(Zxid(4), 40, &null);
    assert_eq!(tree.node("/n").unwrap().data(), None);
}

#[test]
fn only_a_session_shows_as_ephemeral_owner() {
    let mut tree = Tree::new(1);
    assert_eq!(create(&mut tree, 1, "/e", Owner::Ephemeral(ME)).ephemeral_owner, ME.0);
    assert_eq!(create(&mut tree, 2, "/c", Owner::Container).ephemeral_owner, 0);
    assert_eq!(create(&mut tree, 3, "/t", Owner::Ttl(1000)).ephemeral_owner, 0);
    assert_eq!(tree.node("/c").unwrap().owner(), Owner::Container);
    assert_eq!(tree.node("/t").unwrap().owner(), Owner::Ttl(1000));
    assert_eq!(tree.ephemeral_count(), 1);
}

#[test]
fn session_takes_its_ephemerals_along_in_order_of_their_paths() {
    let mut tree = Tree::new(1);
    create(&mut tree, 1, "/a", Owner::Persistent);
    for (zxid, path) in [(2, "/z"), (3, "/a/2"), (4, "/a/1")] {
        create(&mut tree, zxid, path, Owner::Ephemeral(ME));
    }
    create(&mut tree, 5, "/a/other", Owner::Ephemeral(OTHER));
    assert!(tree.ephemerals(ME).eq(["/a/1", "/a/2", "/z"]));

    let gone: Vec<String> =
        tree.close_session(Zxid(6), ME).into_iter().map(|(path, _)| path).collect();
    assert_eq!(gone, ["/a/1", "/a/2", "/z"]);
    let Stat { cversion, pzxid, num_children, .. } = stat(&tree, "/a");
    assert_eq!((cversion, pzxid, num_children), (5, Zxid(6), 1), "one for each that goes");
    assert_eq!(tree.ephemerals(ME).count(), 0);
    assert!(tree.ephemeral_owners().eq([OTHER]));
    assert!(tree.close_session(Zxid(7), ME).is_empty());
    tree.check();
}

#[test]
fn deleted_ephemeral_is_its_sessions_no_more() {
    let mut tree = Tree::new(1);
    create(&mut tree, 1, "/e", Owner::Ephemeral(ME));
    tree.delete(Zxid(2), "/e");
    create(&mut tree, 3, "/e", Owner::Persistent);
    assert!(tree.close_session(Zxid(4), ME).is_empty());
    assert!(tree.node("/e").is_some());
    tree.check();
}

#[test]
fn znode_that_is_created_again_starts_anew() {
    let mut tree = Tree::new(1);
    create(&mut tree, 1, "/a", Owner::Persistent);
    create(&mut tree, 2, "/a/b", Owner::Persistent);
    tree.set_data(Zxid(3), 30, "/a", None, 1);
    tree.set_acl("/a", &[Acl::world(Perms::READ)], 1);
    tree.delete(Zxid(4), "/a/b");
    tree.delete(Zxid(5), "/a");
    let new = create(&mut tree, 6, "/a", Owner::Persistent);
    let Stat { czxid, version, cversion, aversion, .. } = new;
    assert_eq!((czxid, version, cversion, aversion), (Zxid(6), 0, 0, 0));
    let node = tree.node("/a").unwrap();
    assert_eq!((node.created(), node.acl()), (0, &[Acl::open()][..]));
}

#[test]
fn deletion_tells_the_list_that_the_znode_had() {
    let mut tree = Tree::new(1);
    create(&mut tree, 1, "/a", Owner::Ephemeral(ME));
    create(&mut tree, 1, "/b", Owner::Persistent);
    let list = [Acl::world(Perms(0))];
    for path in ["/a", "/b"] {
        tree.set_acl(path, &list, 1);
    }
    assert_eq!(tree.delete(Zxid(2), "/b").unwrap().acl, list);
    assert_eq!(tree.close_session(Zxid(3), ME), [("/a".to_owned(), list.to_vec())]);
}

#[test]
fn what_cannot_be_done_is_passed_over() {
    let mut tree = Tree::new(1);
    create(&mut tree, 1, "/a", Owner::Persistent);
    create(&mut tree, 2, "/a/b", Owner::Persistent);
    let before = tree.digest();
    let orphan = change("/none/b", b"", Owner::Persistent, 1);
    assert_eq!(tree.create(Zxid(3), 0, &orphan), None);
    assert!(tree.create(Zxid(3), 0, &change("/", b"", Owner::Persistent, 1)).is_none());
    assert!(tree.delete(Zxid(3), "/none").is_none());
    assert!(tree.delete(Zxid(3), "/a").is_none(), "it has a child");
    assert!(tree.delete(Zxid(3), "/").is_none());
    assert_eq!(tree.set_data(Zxid(3), 0, "/none", None, 1), None);
    assert_eq!(tree.set_acl("/none", &[], 1), None);
    for path in ["", "a", "//", "/a/", "/a//b", "/a/b/c"] {
        assert!(tree.node(path).is_none(), "{path:?}");
    }
    assert_eq!(tree.digest(), before);
    tree.check();
}

#[test]
fn counters_and_pzxid_do_not_go_back() {
    let mut tree = Tree::new(1);
    for zxid in 1..=5 {
        create(&mut tree, zxid, &format!("/{zxid}"), Owner::Persistent);
    }
    // The first creation, replayed.
    let again = tree.create(Zxid(1), 10, &change("/1", b"other", Owner::Container, 1));
    assert_eq!(again, Some(stat(&tree, "/1")));
    let Stat { cversion, pzxid, .. } = stat(&tree, "/");
    assert_eq!((cversion, pzxid, tree.node("/").unwrap().created()), (4, Zxid(5), 5));
    assert_eq!(tree.node("/1").unwrap().owner(), Owner::Persistent);
}

#[test]
fn digest_sees_every_field_and_no_history() {
    let mut one = Tree::new(1);
    let fresh = one.digest();
    assert_eq!(Tree::new(99).digest(), fresh, "the table's key is not part of it");
    create(&mut one, 1, "/a", Owner::Container);
    create(&mut one, 1, "/b", Owner::Container);
    let base = one.digest();
    let mut other = Tree::new(1);
    create(&mut other, 1, "/b", Owner::Container);
    create(&mut other, 1, "/a", Owner::Container);
    assert_eq!(other.digest(), base);

    let mut seen = vec![fresh, base];
    one.set_data(Zxid(1), 10, "/a", None, 0);
    seen.push(one.digest());
    one.set_data(Zxid(1), 10, "/a", Some(Bytes::new()), 0);
    seen.push(one.digest());
    one.set_data(Zxid(2), 10, "/a", Some(Bytes::new()), 0);
    seen.push(one.digest());
    one.set_acl("/a", &[Acl::world(Perms::READ)], 0);
    seen.push(one.digest());
    one.set_acl("/a", &[Acl::world(Perms::READ)], 1);
    seen.push(one.digest());
    one.delete(Zxid(3), "/b");
    seen.push(one.digest());
    let count = seen.len();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), count);
}
