//! The client against a server: a real ZooKeeper, or the one that `CONCLAVE_TEST_HOSTS` names.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

mod support;

use conclave_client::{
    ClientBuilder, ClientError, CreateMode, Op, OpOutcome, SessionState, WatchKind, Watched,
    Watcher,
};
use conclave_protocol::{
    acl::{Acl, Identity, Perms},
    event::EventKind,
};

use support::{Fixture, Flow, within};

async fn event(watcher: &mut Watcher) -> Option<(EventKind, String)> {
    let event = within("an event comes", watcher.event()).await?;
    Some((event.kind, event.path.as_str().unwrap().to_owned()))
}

fn heard(kind: EventKind, path: &str) -> Option<(EventKind, String)> {
    Some((kind, path.to_owned()))
}

#[tokio::test]
async fn znodes_are_created_read_changed_and_deleted() {
    let Some(fixture) = Fixture::new("basics").await else { return };
    let client = fixture.client().await;
    assert_eq!(client.exists("/a").await.unwrap(), None);
    assert_eq!(client.create("/a", "one", CreateMode::Persistent).await.unwrap(), "/a");
    let (data, stat) = client.get_data("/a").await.unwrap();
    assert_eq!((&data[..], stat.version, stat.data_length), (&b"one"[..], 0, 3));
    let stat = client.set_data("/a", "second", Some(0)).await.unwrap();
    assert_eq!(stat.version, 1);
    assert_eq!(client.exists("/a").await.unwrap(), Some(stat));
    assert_eq!(client.set_data("/a", "x", Some(0)).await, Err(ClientError::BadVersion));
    assert_eq!(client.delete("/a", Some(0)).await, Err(ClientError::BadVersion));
    client.create("/a/b", "", CreateMode::Persistent).await.unwrap();
    assert_eq!(client.delete("/a", None).await, Err(ClientError::NotEmpty));
    client.delete("/a/b", Some(0)).await.unwrap();
    client.delete("/a", None).await.unwrap();
    assert_eq!(client.get_data("/a").await, Err(ClientError::NoNode));
    client.close().await.unwrap();
}

#[tokio::test]
async fn refusals_have_their_own_names() {
    let Some(fixture) = Fixture::new("refusals").await else { return };
    let client = fixture.client().await;
    let create = |path: &str, mode| client.create(path, "", mode);
    create("/a", CreateMode::Persistent).await.unwrap();
    create("/e", CreateMode::Ephemeral).await.unwrap();
    let persistent = CreateMode::Persistent;
    assert_eq!(create("/a", persistent).await, Err(ClientError::NodeExists));
    assert_eq!(create("/x/y", persistent).await, Err(ClientError::NoNode));
    assert_eq!(create("/e/y", persistent).await, Err(ClientError::NoChildrenForEphemerals));
    assert_eq!(create("/a//b", persistent).await, Err(ClientError::NoNode));
    assert_eq!(create("/a/", persistent).await, Err(ClientError::BadArguments));
    let acl = client.create_with_acl("/n", "", persistent, Vec::new());
    assert_eq!(acl.await, Err(ClientError::InvalidAcl));
    let removed = client.remove_watches("/a", Watched::Any);
    assert_eq!(removed.await, Err(ClientError::NoWatcher));
    let once = client.add_watch("/a", WatchKind::Data);
    assert_eq!(once.await.unwrap_err(), ClientError::BadArguments);
    client.close().await.unwrap();
}

#[tokio::test]
async fn numbered_znodes_are_numbered_also_in_the_root_of_a_chroot() {
    let Some(fixture) = Fixture::new("numbers").await else { return };
    let client = fixture.client().await;
    for (mode, number) in
        [(CreateMode::PersistentSequential, 0), (CreateMode::EphemeralSequential, 1)]
    {
        let path = client.create("/n-", "", mode).await.unwrap();
        assert_eq!(path, format!("/n-{number:010}"));
    }
    let path = client.create("/", "", CreateMode::PersistentSequential).await.unwrap();
    assert_eq!(path, "/0000000002");
    let (names, stat) = client.get_children("/").await.unwrap();
    assert_eq!(names, ["0000000002", "n-0000000000", "n-0000000001"]);
    assert_eq!(stat.num_children, 3);
    client.close().await.unwrap();
}

#[tokio::test]
async fn a_create_tells_the_stat_when_asked() {
    let Some(fixture) = Fixture::new("create-stat").await else { return };
    let client = fixture.client().await;
    let created =
        client.create_with_stat("/a", "abc", CreateMode::Persistent, vec![Acl::open()]).await;
    let (path, stat) = created.unwrap();
    assert_eq!((path.as_str(), stat.data_length), ("/a", 3));
    assert_eq!(client.exists("/a").await.unwrap(), Some(stat));
    client.close().await.unwrap();
}

#[tokio::test]
async fn containers_and_ttls_are_created() {
    let Some(fixture) = Fixture::new("extended").await else { return };
    let client = fixture.client().await;
    let modes = [
        ("/c", CreateMode::Container, "/c"),
        ("/t", CreateMode::Ttl(100_000), "/t"),
        ("/s-", CreateMode::TtlSequential(100_000), "/s-0000000002"),
    ];
    for (path, mode, created) in modes {
        match client.create(path, "x", mode).await {
            // One of ours may not have them yet.
            Err(ClientError::Unimplemented) if !fixture.server.is_reference() => {
                eprintln!("SKIPPED: {mode:?} is not implemented by the server");
                return;
            }
            answer => assert_eq!(answer.unwrap(), created),
        }
    }
    client.close().await.unwrap();
}

#[tokio::test]
async fn ephemerals_are_listed_and_go_with_their_session() {
    let Some(fixture) = Fixture::new("ephemerals").await else { return };
    let (client, other) = (fixture.client().await, fixture.client().await);
    client.create("/p", "", CreateMode::Persistent).await.unwrap();
    client.create("/p/x", "", CreateMode::Ephemeral).await.unwrap();
    client.create("/y", "", CreateMode::Ephemeral).await.unwrap();
    assert_eq!(client.get_all_children_number("/").await.unwrap(), 3);
    assert_eq!(client.get_ephemerals("/").await.unwrap(), ["/p/x", "/y"]);
    assert_eq!(client.get_ephemerals("/p").await.unwrap(), ["/p/x"]);
    assert_eq!(other.get_ephemerals("/").await.unwrap(), [""; 0]);
    client.close().await.unwrap();
    assert_eq!(client.state(), SessionState::Closed);
    assert_eq!(client.get_data("/p").await.unwrap_err(), ClientError::Closed);
    other.sync("/").await.unwrap();
    assert_eq!(other.get_children("/").await.unwrap().0, ["p"]);
    other.close().await.unwrap();
}

#[tokio::test]
async fn a_multi_does_all_or_names_the_operation_that_was_refused() {
    let Some(fixture) = Fixture::new("multi").await else { return };
    let client = fixture.client().await;
    let done = client.multi(vec![
        Op::create("/a", "one", CreateMode::Persistent),
        Op::set_data("/a", "two", Some(0)),
        Op::check("/a", 1),
        Op::create("/a/s-", "", CreateMode::PersistentSequential),
        Op::create("/b", "", CreateMode::Persistent),
        Op::delete("/b", None),
    ]);
    let done = done.await.unwrap();
    let OpOutcome::Changed(stat) = done[1] else { panic!("{done:?}") };
    assert_eq!(stat.version, 1);
    let created = |path: &str| OpOutcome::Created(path.to_owned());
    assert_eq!(done[0], created("/a"));
    assert_eq!(done[2..4], [OpOutcome::Done, created("/a/s-0000000000")]);
    assert_eq!(done[4..], [created("/b"), OpOutcome::Done]);
    let refused = client.multi(vec![
        Op::create("/c", "", CreateMode::Persistent),
        Op::check("/a", 7),
        Op::delete("/nothing", None),
    ]);
    let error = refused.await.unwrap_err();
    assert_eq!((error.index, &error.error), (Some(1), &ClientError::BadVersion));
    assert_eq!(error.to_string(), "operation 1: version does not match");
    assert_eq!(client.exists("/c").await.unwrap(), None);
    assert_eq!(client.multi(Vec::new()).await.unwrap(), []);
    client.close().await.unwrap();
}

#[tokio::test]
async fn acls_keep_others_out() {
    let Some(fixture) = Fixture::new("acls").await else { return };
    let (client, other) = (fixture.client().await, fixture.client().await);
    client.add_auth("digest", "user:secret").await.unwrap();
    let mine =
        Acl { perms: Perms::ALL, identity: Identity { scheme: "auth".into(), id: "".into() } };
    let created = client.create_with_acl("/a", "x", CreateMode::Persistent, vec![mine]);
    created.await.unwrap();
    assert_eq!(other.get_data("/a").await.unwrap_err(), ClientError::NoAuth);
    let (acl, stat) = client.get_acl("/a").await.unwrap();
    assert_eq!((acl[0].identity.scheme.as_str(), stat.aversion), (Some("digest"), 0));
    let readable = vec![Acl::world(Perms::READ)];
    let stat = client.set_acl("/a", readable.clone(), Some(0)).await.unwrap();
    assert_eq!(stat.aversion, 1);
    assert_eq!(&other.get_data("/a").await.unwrap().0[..], b"x");
    assert_eq!(other.get_acl("/a").await.unwrap().0, readable);
    let who = client.who_am_i().await.unwrap();
    assert!(who.iter().any(|info| info.user.as_str() == Some("user")), "{who:?}");
    client.close().await.unwrap();
    other.close().await.unwrap();
}

#[tokio::test]
async fn a_scheme_that_the_server_does_not_know_ends_the_session() {
    let Some(fixture) = Fixture::new("scheme").await else { return };
    let client = fixture.client().await;
    assert_eq!(client.add_auth("nonsense", "x").await, Err(ClientError::AuthFailed));
    assert_eq!(client.state(), SessionState::AuthFailed);
    assert_eq!(client.get_data("/").await.unwrap_err(), ClientError::AuthFailed);
}

#[tokio::test]
async fn one_shot_watchers_hear_one_event() {
    let Some(fixture) = Fixture::new("one-shot").await else { return };
    let (client, other) = (fixture.client().await, fixture.client().await);
    let (found, mut created) = client.exists_and_watch("/a").await.unwrap();
    assert_eq!(found, None);
    let (_, mut children) = client.get_children_and_watch("/").await.unwrap();
    other.create("/a", "", CreateMode::Persistent).await.unwrap();
    assert_eq!(event(&mut created).await, heard(EventKind::NodeCreated, "/a"));
    assert_eq!(event(&mut created).await, None);
    assert_eq!(event(&mut children).await, heard(EventKind::NodeChildrenChanged, "/"));
    let (_, mut changed) = client.get_data_and_watch("/a").await.unwrap();
    let (found, mut deleted) = client.exists_and_watch("/a").await.unwrap();
    assert!(found.is_some());
    other.set_data("/a", "x", None).await.unwrap();
    assert_eq!(event(&mut changed).await, heard(EventKind::NodeDataChanged, "/a"));
    assert_eq!(event(&mut deleted).await, heard(EventKind::NodeDataChanged, "/a"));
    let (_, mut gone) = client.get_data_and_watch("/a").await.unwrap();
    other.delete("/a", None).await.unwrap();
    assert_eq!(event(&mut gone).await, heard(EventKind::NodeDeleted, "/a"));
    let refused = client.get_data_and_watch("/a").await;
    assert_eq!(refused.unwrap_err(), ClientError::NoNode);
    client.close().await.unwrap();
    other.close().await.unwrap();
}

#[tokio::test]
async fn persistent_watchers_hear_until_they_are_removed() {
    let Some(fixture) = Fixture::new("persistent").await else { return };
    let (client, other) = (fixture.client().await, fixture.client().await);
    let mut node = client.add_watch("/a", WatchKind::Persistent).await.unwrap();
    let mut tree = client.add_watch("/", WatchKind::Recursive).await.unwrap();
    other.create("/a", "", CreateMode::Persistent).await.unwrap();
    other.create("/a/b", "", CreateMode::Persistent).await.unwrap();
    other.set_data("/a", "x", None).await.unwrap();
    other.set_data("/a/b", "x", None).await.unwrap();
    let of_node =
        [EventKind::NodeCreated, EventKind::NodeChildrenChanged, EventKind::NodeDataChanged];
    for kind in of_node {
        assert_eq!(event(&mut node).await, heard(kind, "/a"));
    }
    let of_tree = [
        (EventKind::NodeCreated, "/a"),
        (EventKind::NodeCreated, "/a/b"),
        (EventKind::NodeDataChanged, "/a"),
        (EventKind::NodeDataChanged, "/a/b"),
    ];
    for (kind, path) in of_tree {
        assert_eq!(event(&mut tree).await, heard(kind, path));
    }
    client.remove_watches("/a", Watched::Any).await.unwrap();
    assert_eq!(event(&mut node).await, None);
    other.set_data("/a", "y", None).await.unwrap();
    assert_eq!(event(&mut tree).await, heard(EventKind::NodeDataChanged, "/a"));
    client.close().await.unwrap();
    assert_eq!(event(&mut tree).await, None);
    other.close().await.unwrap();
}

#[tokio::test]
async fn the_order_is_that_of_the_calls_and_not_of_the_awaits() {
    let Some(fixture) = Fixture::new("order").await else { return };
    let client = fixture.client().await;
    let mut answers: Vec<_> = (0..500)
        .map(|number| {
            let created =
                client.create("/n-", format!("{number}"), CreateMode::PersistentSequential);
            (number, created)
        })
        .collect();
    // A read that is called last sees all, though it is awaited first.
    let children = client.get_children("/");
    assert_eq!(children.await.unwrap().0.len(), 500);
    while let Some((number, created)) = answers.pop() {
        assert_eq!(created.await.unwrap(), format!("/n-{number:010}"));
    }
    client.close().await.unwrap();
}

#[tokio::test]
async fn a_call_is_done_though_its_answer_is_not_awaited() {
    let Some(fixture) = Fixture::new("dropped").await else { return };
    let client = fixture.client().await;
    drop(client.create("/a", "", CreateMode::Persistent));
    assert!(client.exists("/a").await.unwrap().is_some());
    client.close().await.unwrap();
}

#[tokio::test]
async fn a_request_that_the_server_would_not_take_is_refused_here() {
    let Some(fixture) = Fixture::new("long").await else { return };
    let client = fixture.client().await;
    client.create("/a", "", CreateMode::Ephemeral).await.unwrap();
    let fits = vec![b'x'; 1_000_000];
    client.set_data("/a", fits.clone(), None).await.unwrap();
    assert_eq!(client.get_data("/a").await.unwrap().0, fits);
    // Too long with its header only, and by itself.
    for len_bytes in [(1 << 20) - 10, 2 << 20] {
        let refused = client.set_data("/a", vec![b'x'; len_bytes], None).await;
        assert!(matches!(refused, Err(ClientError::TooLong(_))), "{refused:?}");
    }
    assert!(client.exists("/a").await.unwrap().is_some(), "the session goes on");
    client.close().await.unwrap();
}

#[tokio::test]
async fn long_lists_of_children_come_in_one_reply() {
    let Some(fixture) = Fixture::new("list").await else { return };
    let client = fixture.client().await;
    let name = "x".repeat(200);
    for batch in 0..12 {
        let ops = (0..500).map(|number| {
            Op::create(format!("/{name}-{batch}-{number}"), "", CreateMode::Persistent)
        });
        client.multi(ops.collect()).await.unwrap();
    }
    assert_eq!(client.get_children("/").await.unwrap().0.len(), 6000);
    client.close().await.unwrap();
}

/// Goal: a cut connection costs nothing but time. Method: a proxy cuts it, and another client
/// changes what is watched meanwhile.
#[tokio::test]
async fn a_cut_connection_keeps_session_watches_and_identity() {
    let Some(fixture) = Fixture::new("cut").await else { return };
    let (proxy, client) = fixture.client_by_proxy().await;
    let other = fixture.client().await;
    client.add_auth("digest", "user:secret").await.unwrap();
    let mine =
        Acl { perms: Perms::ALL, identity: Identity { scheme: "auth".into(), id: "".into() } };
    client.create_with_acl("/mine", "x", CreateMode::Ephemeral, vec![mine]).await.unwrap();
    for path in ["/changed", "/deleted", "/kept", "/listed"] {
        client.create(path, "", CreateMode::Persistent).await.unwrap();
    }
    let (_, mut changed) = client.get_data_and_watch("/changed").await.unwrap();
    let (_, mut deleted) = client.get_data_and_watch("/deleted").await.unwrap();
    let (_, mut kept) = client.get_data_and_watch("/kept").await.unwrap();
    let (_, mut listed) = client.get_children_and_watch("/listed").await.unwrap();
    let (_, mut created) = client.exists_and_watch("/created").await.unwrap();
    let mut tree = client.add_watch("/kept", WatchKind::Recursive).await.unwrap();
    proxy.cut(&client).await;
    assert_eq!(client.state(), SessionState::Disconnected);
    other.set_data("/changed", "x", None).await.unwrap();
    other.delete("/deleted", None).await.unwrap();
    other.create("/listed/x", "", CreateMode::Persistent).await.unwrap();
    other.create("/created", "", CreateMode::Persistent).await.unwrap();
    // Called without a connection, answered with the next.
    let waiting = client.get_data("/mine");
    proxy.set(Flow::Open);
    assert_eq!(&within("the read is answered", waiting).await.unwrap().0[..], b"x");
    assert_eq!(client.state(), SessionState::Connected);
    assert_eq!(event(&mut changed).await, heard(EventKind::NodeDataChanged, "/changed"));
    assert_eq!(event(&mut deleted).await, heard(EventKind::NodeDeleted, "/deleted"));
    assert_eq!(event(&mut listed).await, heard(EventKind::NodeChildrenChanged, "/listed"));
    assert_eq!(event(&mut created).await, heard(EventKind::NodeCreated, "/created"));
    other.set_data("/kept", "x", None).await.unwrap();
    assert_eq!(event(&mut kept).await, heard(EventKind::NodeDataChanged, "/kept"));
    // No server tells a persistent watch what it has missed.
    assert_eq!(event(&mut tree).await, heard(EventKind::None, "/kept"));
    assert_eq!(event(&mut tree).await, heard(EventKind::NodeDataChanged, "/kept"));
    client.close().await.unwrap();
    other.close().await.unwrap();
}

#[tokio::test]
async fn what_is_in_flight_on_a_dead_connection_is_lost_and_the_next_call_is_not() {
    let Some(fixture) = Fixture::new("stall").await else { return };
    let (proxy, client) = fixture.client_by_proxy().await;
    proxy.set(Flow::Stalled);
    let lost = client.create("/a", "", CreateMode::Persistent);
    // Nothing is heard for two thirds of the timeout.
    let answer = within("the silence is noticed", lost).await;
    assert_eq!(answer, Err(ClientError::ConnectionLoss));
    proxy.set(Flow::Cut);
    let next = client.exists("/b");
    proxy.set(Flow::Open);
    assert_eq!(within("the next call is answered", next).await, Ok(None));
    client.close().await.unwrap();
}

#[tokio::test]
async fn a_session_that_was_away_too_long_has_expired() {
    let Some(fixture) = Fixture::new("expiry").await else { return };
    let (proxy, client) = fixture.client_by_proxy().await;
    let other = fixture.client().await;
    client.create("/e", "", CreateMode::Ephemeral).await.unwrap();
    let (_, mut watcher) = client.get_data_and_watch("/e").await.unwrap();
    let (_, mut gone) = other.get_data_and_watch("/e").await.unwrap();
    proxy.cut(&client).await;
    assert_eq!(event(&mut gone).await, heard(EventKind::NodeDeleted, "/e"));
    let waiting = client.get_data("/");
    proxy.set(Flow::Open);
    let answer = within("the expiry is told", waiting).await;
    assert_eq!(answer.unwrap_err(), ClientError::SessionExpired);
    assert_eq!(client.state(), SessionState::Expired);
    assert_eq!(event(&mut watcher).await, None);
    assert_eq!(client.get_data("/").await.unwrap_err(), ClientError::SessionExpired);
    other.close().await.unwrap();
}

#[tokio::test]
async fn the_next_server_is_tried_when_one_is_not_there() {
    let Some(fixture) = Fixture::new("next").await else { return };
    for seed in 0..4 {
        let nobody = support::free_port();
        let hosts = format!("127.0.0.1:{nobody},{}", fixture.hosts());
        let client = ClientBuilder::new(hosts).host_seed(seed).start().unwrap();
        within("the other is found", client.connected()).await.unwrap();
        client.close().await.unwrap();
    }
}
