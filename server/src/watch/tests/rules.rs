//! The rules one by one.

use conclave_protocol::event::EventKind::{
    self, NodeChildrenChanged, NodeCreated, NodeDataChanged, NodeDeleted,
};

use crate::watch::{ConnId, Fired, Side, WatchKind, Watches};

const A: ConnId = ConnId(1);
const B: ConnId = ConnId(2);

fn told(fired: Vec<Fired>) -> Vec<(u64, EventKind, String)> {
    fired.into_iter().map(|fired| (fired.conn.0, fired.kind, fired.path)).collect()
}

fn event(conn: ConnId, kind: EventKind, path: &str) -> (u64, EventKind, String) {
    (conn.0, kind, path.to_owned())
}

#[test]
fn one_shot_watch_fires_once() {
    let watches = Watches::default();
    watches.arm(A, "/x", WatchKind::Data);
    assert_eq!(told(watches.data_changed("/x")), [event(A, NodeDataChanged, "/x")]);
    assert_eq!(watches.data_changed("/x"), []);
    assert_eq!((watches.count(), watches.summary()), (0, (0, 0, 0)));
}

#[test]
fn data_side_hears_of_the_znode_alone() {
    for (fire, kind) in [
        (Watches::created as fn(&Watches, &str) -> Vec<Fired>, NodeCreated),
        (Watches::data_changed, NodeDataChanged),
        (Watches::deleted, NodeDeleted),
    ] {
        let watches = Watches::default();
        watches.arm(A, "/x", WatchKind::Data);
        assert_eq!(watches.created("/x/y"), []);
        assert_eq!(watches.data_changed("/x/y"), []);
        assert_eq!(watches.deleted("/x/y"), []);
        assert_eq!(watches.created("/xy"), []);
        assert_eq!(watches.created("/"), []);
        assert_eq!(told(fire(&watches, "/x")), [event(A, kind, "/x")]);
    }
}

#[test]
fn child_side_hears_of_the_list_and_of_the_deletion() {
    let watches = Watches::default();
    watches.arm(A, "/x", WatchKind::Child);
    assert_eq!(watches.created("/x"), []);
    assert_eq!(watches.data_changed("/x"), []);
    assert_eq!(watches.data_changed("/x/y"), []);
    assert_eq!(told(watches.created("/x/y")), [event(A, NodeChildrenChanged, "/x")]);
    assert_eq!(watches.deleted("/x/y"), []);
    watches.arm(A, "/x", WatchKind::Child);
    assert_eq!(told(watches.deleted("/x/y")), [event(A, NodeChildrenChanged, "/x")]);
    watches.arm(A, "/x", WatchKind::Child);
    assert_eq!(told(watches.deleted("/x")), [event(A, NodeDeleted, "/x")]);
    assert_eq!(watches.count(), 0);
}

#[test]
fn root_is_the_parent_of_what_is_below_it_and_has_none() {
    let watches = Watches::default();
    watches.arm(A, "/", WatchKind::Persistent);
    assert_eq!(told(watches.created("/x")), [event(A, NodeChildrenChanged, "/")]);
    assert_eq!(told(watches.data_changed("/")), [event(A, NodeDataChanged, "/")]);
    assert_eq!(watches.created("/x/y"), []);
}

#[test]
fn deletion_is_told_once_to_who_watches_both_sides_and_before_the_parent() {
    let watches = Watches::default();
    watches.arm(A, "/x/y", WatchKind::Data);
    watches.arm(A, "/x/y", WatchKind::Child);
    watches.arm(B, "/x/y", WatchKind::Child);
    watches.arm(A, "/x", WatchKind::Child);
    assert_eq!(
        told(watches.deleted("/x/y")),
        [
            event(A, NodeDeleted, "/x/y"),
            event(B, NodeDeleted, "/x/y"),
            event(A, NodeChildrenChanged, "/x"),
        ]
    );
    assert_eq!(watches.count(), 0, "both sides are used up by the one event");
}

#[test]
fn creation_is_told_before_the_parents_list() {
    let watches = Watches::default();
    watches.arm(B, "/x/y", WatchKind::Data);
    watches.arm(A, "/x", WatchKind::Child);
    watches.arm(B, "/x", WatchKind::Child);
    assert_eq!(
        told(watches.created("/x/y")),
        [
            event(B, NodeCreated, "/x/y"),
            event(A, NodeChildrenChanged, "/x"),
            event(B, NodeChildrenChanged, "/x"),
        ]
    );
}

#[test]
fn connections_are_told_in_the_order_of_their_numbers() {
    let watches = Watches::default();
    for conn in [7, 3, 9, 1, 5] {
        let kind = if conn % 3 == 0 { WatchKind::PersistentRecursive } else { WatchKind::Data };
        watches.arm(ConnId(conn), "/x", kind);
    }
    watches.arm(ConnId(4), "/", WatchKind::PersistentRecursive);
    let order: Vec<u64> =
        watches.data_changed("/x").into_iter().map(|fired| fired.conn.0).collect();
    assert_eq!(order, [1, 3, 4, 5, 7, 9]);
}

#[test]
fn persistent_watch_survives_and_hears_no_descendants() {
    let watches = Watches::default();
    watches.arm(A, "/x", WatchKind::Persistent);
    for _ in 0..2 {
        assert_eq!(told(watches.created("/x")), [event(A, NodeCreated, "/x")]);
        assert_eq!(told(watches.data_changed("/x")), [event(A, NodeDataChanged, "/x")]);
        assert_eq!(told(watches.created("/x/y")), [event(A, NodeChildrenChanged, "/x")]);
        assert_eq!(watches.data_changed("/x/y"), []);
        assert_eq!(told(watches.deleted("/x/y")), [event(A, NodeChildrenChanged, "/x")]);
        assert_eq!(told(watches.deleted("/x")), [event(A, NodeDeleted, "/x")]);
    }
    assert_eq!(watches.created("/x/y/z"), []);
}

#[test]
fn recursive_watch_tells_the_changed_path_and_no_lists() {
    let watches = Watches::default();
    watches.arm(A, "/x", WatchKind::PersistentRecursive);
    for path in ["/x", "/x/y", "/x/y/z"] {
        for _ in 0..2 {
            assert_eq!(told(watches.created(path)), [event(A, NodeCreated, path)]);
            assert_eq!(told(watches.data_changed(path)), [event(A, NodeDataChanged, path)]);
            assert_eq!(told(watches.deleted(path)), [event(A, NodeDeleted, path)]);
        }
    }
    assert_eq!(watches.created("/xy"), [], "a longer name is no descendant");
    assert_eq!(watches.created("/w"), []);
}

#[test]
fn overlapping_recursive_watches_give_one_event() {
    let watches = Watches::default();
    for path in ["/", "/x", "/x/y"] {
        watches.arm(A, path, WatchKind::PersistentRecursive);
    }
    assert_eq!(told(watches.created("/x/y")), [event(A, NodeCreated, "/x/y")]);
    watches.arm(A, "/x/z", WatchKind::Data);
    assert_eq!(told(watches.created("/x/z")), [event(A, NodeCreated, "/x/z")]);
    assert!(!watches.disarm(A, "/x/z", Side::Any), "it was used up all the same");
}

#[test]
fn list_watch_on_a_recursive_watch_adds_one_event_of_the_list() {
    let watches = Watches::default();
    watches.arm(A, "/x", WatchKind::PersistentRecursive);
    watches.arm(A, "/x", WatchKind::Child);
    let both = [event(A, NodeCreated, "/x/y"), event(A, NodeChildrenChanged, "/x")];
    assert_eq!(told(watches.created("/x/y")), both);
    assert_eq!(told(watches.created("/x/z")), [event(A, NodeCreated, "/x/z")]);
}

#[test]
fn later_registration_replaces_the_mode_of_its_sides() {
    let watches = Watches::default();
    watches.arm(A, "/x", WatchKind::Persistent);
    watches.arm(A, "/x", WatchKind::Data);
    assert_eq!(watches.data_changed("/x").len(), 1);
    assert_eq!(watches.data_changed("/x"), []);
    // The child side is persistent still.
    assert_eq!(watches.created("/x/y").len(), 1);
    assert_eq!(watches.created("/x/z").len(), 1);

    watches.arm(A, "/x", WatchKind::Data);
    watches.arm(A, "/x", WatchKind::Persistent);
    assert_eq!(watches.data_changed("/x").len(), 1);
    assert_eq!(watches.data_changed("/x").len(), 1);
}

#[test]
fn persistent_and_recursive_replace_each_other() {
    let watches = Watches::default();
    watches.arm(A, "/x", WatchKind::PersistentRecursive);
    watches.arm(A, "/x", WatchKind::Persistent);
    assert_eq!(told(watches.created("/x/y")), [event(A, NodeChildrenChanged, "/x")]);
    watches.arm(A, "/x", WatchKind::PersistentRecursive);
    assert_eq!(told(watches.created("/x/y")), [event(A, NodeCreated, "/x/y")]);
    assert_eq!(watches.count(), 2, "one on each side");
}

#[test]
fn half_of_a_persistent_watch_can_be_removed() {
    let watches = Watches::default();
    watches.arm(A, "/x", WatchKind::Persistent);
    assert!(watches.disarm(A, "/x", Side::Data));
    assert!(!watches.disarm(A, "/x", Side::Data));
    assert_eq!(watches.data_changed("/x"), []);
    assert_eq!(watches.created("/x/y").len(), 1);
    assert!(watches.disarm(A, "/x", Side::Any), "either side is enough");
    assert!(!watches.disarm(A, "/x", Side::Any));

    watches.arm(A, "/x", WatchKind::Persistent);
    assert!(watches.disarm(A, "/x", Side::Child));
    assert_eq!(watches.created("/x/y"), []);
    assert_eq!(watches.data_changed("/x").len(), 1);
}

#[test]
fn removal_looks_at_ones_own_watches_and_the_check_at_anyones() {
    let watches = Watches::default();
    watches.arm(A, "/x", WatchKind::Child);
    assert!(!watches.disarm(B, "/x", Side::Any));
    assert!(watches.is_watched("/x", Side::Child));
    assert!(watches.is_watched("/x", Side::Any));
    assert!(!watches.is_watched("/x", Side::Data));
    assert!(!watches.is_watched("/y", Side::Any));
    assert!(!watches.disarm(A, "/x", Side::Data));
    assert!(watches.disarm(A, "/x", Side::Child));
    assert!(!watches.is_watched("/x", Side::Any));
}

#[test]
fn connection_takes_its_watches_along() {
    let watches = Watches::default();
    watches.arm(A, "/x", WatchKind::PersistentRecursive);
    watches.arm(A, "/y", WatchKind::Child);
    watches.arm(B, "/y", WatchKind::Child);
    watches.drop_connection(A);
    assert_eq!(watches.summary(), (1, 1, 1));
    assert_eq!(watches.created("/x"), []);
    assert_eq!(told(watches.created("/y/z")), [event(B, NodeChildrenChanged, "/y")]);
    watches.drop_connection(A);
    assert_eq!(watches.summary(), (0, 0, 0));
}

#[test]
fn listing_has_each_pair_once_in_order() {
    let watches = Watches::default();
    watches.arm(B, "/x", WatchKind::Persistent);
    watches.arm(A, "/y", WatchKind::Data);
    watches.arm(A, "/x", WatchKind::Child);
    let pair = |conn: ConnId, path: &str| (conn, path.to_owned());
    assert_eq!(watches.listing(), [pair(A, "/x"), pair(A, "/y"), pair(B, "/x")]);
    assert_eq!(watches.summary(), (2, 2, 4));
}

#[test]
fn paths_that_name_no_znode_can_be_watched_and_never_fire() {
    let watches = Watches::default();
    for path in ["", "x", "//", "/x/"] {
        watches.arm(A, path, WatchKind::PersistentRecursive);
        assert!(watches.is_watched(path, Side::Any));
    }
    assert_eq!(watches.created("/y"), []);
    watches.drop_connection(A);
    assert_eq!(watches.count(), 0);
}

/// Goal: tasks that arm, fire and go at once leave nothing behind. Method: threads on few paths.
#[test]
fn many_tasks_at_once_leave_nothing_behind() {
    let watches = Watches::default();
    std::thread::scope(|scope| {
        for task in 0..4 {
            let watches = &watches;
            scope.spawn(move || {
                for round in 0..500 {
                    let conn = ConnId(task * 1000 + round);
                    for at in 0..10 {
                        watches.arm(conn, &format!("/{at}"), WatchKind::Persistent);
                        watches.arm(conn, "/", WatchKind::PersistentRecursive);
                        watches.arm(conn, &format!("/{at}/x"), WatchKind::Data);
                    }
                    let fired = watches.deleted(&format!("/{}/x", round % 10));
                    assert!(fired.iter().any(|fired| fired.conn == conn));
                    watches.drop_connection(conn);
                }
            });
        }
    });
    assert_eq!((watches.summary(), watches.count()), ((0, 0, 0), 0));
    assert_eq!(watches.listing(), []);
}
