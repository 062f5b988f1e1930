//! The client against a member in this process.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

mod support;

use std::{future::poll_fn, pin::Pin, time::Duration};

use conclave_client::{
    Client, ClientBuilder, ClientError, CreateMode, CreateOptions, ErrorKind, GapCause, Notice,
    ReadOp, ReadOutcome, Retry, SessionState, WatchKind, Watched, ZnodePath,
};
use conclave_protocol::event::EventKind;
use conclave_server::embedded::Embedded;
use futures_core::Stream;

use support::{Flow, Proxy, within};

const PERSISTENT: CreateMode = CreateMode::Persistent;

struct World {
    ensemble: Embedded,
    client: Client,
}

impl World {
    async fn start() -> Self {
        let ensemble = Embedded::start().await.unwrap();
        let client = Client::connect(&ensemble.connect_string()).await.unwrap();
        Self { ensemble, client }
    }

    async fn stop(self) {
        self.client.close().await.unwrap();
        self.ensemble.stop().await;
    }

    /// Returns a client whose connections can be cut.
    async fn by_proxy(
        &self,
        change: impl FnOnce(ClientBuilder) -> ClientBuilder,
    ) -> (Proxy, Client) {
        let proxy = Proxy::start(self.ensemble.connect_string()).await;
        let builder = ClientBuilder::new(proxy.address.to_string()).session_timeout_ms(20_000);
        let client = change(builder).start().unwrap();
        within("the client is connected", client.connected()).await.unwrap();
        (proxy, client)
    }

    async fn watches_become(&self, count: usize) {
        within("watches are removed", async {
            while self.ensemble.watches_and_sessions().0 != count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }
}

async fn heard(watcher: &mut conclave_client::Watcher) -> (EventKind, String) {
    let event = within("an event comes", watcher.event()).await.unwrap();
    (event.kind, event.path.as_str().unwrap().to_owned())
}

#[tokio::test]
async fn views_of_a_session_begin_where_they_are_told_and_share_it() {
    let world = World::start().await;
    let app = world.client.chroot("/app").unwrap();
    let deep = app.chroot("/x/y").unwrap();
    assert_eq!((app.root().as_str(), deep.root().as_str()), ("/app", "/app/x/y"));
    assert_eq!(app.session_id(), world.client.session_id());
    let created = deep.create_as("/z", "v", &CreateOptions::default().parents()).await.unwrap();
    assert_eq!(created.path, "/z");
    assert_eq!(&world.client.get_data("/app/x/y/z").await.unwrap().0[..], b"v");
    let mut recursive = app.add_watch("/x", WatchKind::Recursive).await.unwrap();
    assert_eq!(recursive.path(), "/x");
    deep.set_data("/z", "w", None).await.unwrap();
    assert_eq!(heard(&mut recursive).await, (EventKind::NodeDataChanged, "/x/y/z".to_owned()));
    deep.create("/e", "", CreateMode::Ephemeral).await.unwrap();
    world.client.create("/e", "", CreateMode::Ephemeral).await.unwrap();
    assert_eq!(app.get_ephemerals("/").await.unwrap(), ["/x/y/e"]);
    let mut transaction = deep.transaction();
    let made = transaction.create("/n-", "", CreateMode::PersistentSequential);
    transaction.delete("/e", None);
    assert_eq!(transaction.commit().await.unwrap().of(made), "/n-0000000002");
    assert_eq!(deep.get_data("z").await.unwrap_err(), ClientError::BadArguments);
    assert!(app.chroot("no/slash").is_err());
    let (members, _) = deep.get_config().await.unwrap();
    assert!(members.is_empty(), "a member without others tells none, whatever the chroot");
    world.stop().await;
}

#[tokio::test]
async fn results_of_a_multi_have_the_types_of_their_operations() {
    let world = World::start().await;
    let mut transaction = world.client.transaction();
    let created = transaction.create("/a", "one", PERSISTENT);
    let changed = transaction.set_data("/a", "two", Some(0));
    let checked = transaction.check("/a", 1);
    let results = transaction.commit().await.unwrap();
    assert_eq!((results.of(created), results.of(changed).version), ("/a".to_owned(), 1));
    results.of(checked);
    let mut transaction = world.client.transaction();
    transaction.create("/b", "", PERSISTENT);
    let checked = transaction.check("/a", 7);
    let refused = transaction.commit().await.unwrap_err();
    assert!(refused.is_of(checked));
    assert_eq!((refused.kind(), refused.error), (ErrorKind::Refused, ClientError::BadVersion));
    world.stop().await;
}

#[tokio::test]
async fn what_else_the_protocol_has_can_be_asked() {
    let world = World::start().await;
    let client = &world.client;
    let path: ZnodePath = "/a".parse().unwrap();
    client.create(&path, "one", PERSISTENT).await.unwrap();
    client.create(&path.join("b").unwrap(), "", PERSISTENT).await.unwrap();
    let read = client.multi_read(vec![
        ReadOp::GetData("/a".to_owned()),
        ReadOp::GetData("/none".to_owned()),
        ReadOp::GetChildren("/a".to_owned()),
    ]);
    let read = read.await.unwrap();
    let Ok(ReadOutcome::Data(data, stat)) = &read[0] else { panic!("{read:?}") };
    assert_eq!((&data[..], stat.num_children), (&b"one"[..], 1));
    assert_eq!(read[1], Err(ClientError::NoNode));
    assert_eq!(read[2], Ok(ReadOutcome::Children(vec!["b".to_owned()])));
    let refused = client.reconfig(&["server.9=127.0.0.1:1:2"], &[3], None).await.unwrap_err();
    assert_eq!(refused, ClientError::ReconfigDisabled);
    let refused = client.reconfig_to(&["server.9=127.0.0.1:1:2"], Some(1)).await.unwrap_err();
    assert_eq!(refused, ClientError::ReconfigDisabled);
    assert_eq!(client.check_watches("/a", Watched::Any).await, Err(ClientError::NoWatcher));
    let (_, watcher) = client.get_data_and_watch("/a").await.unwrap();
    client.check_watches("/a", Watched::Data).await.unwrap();
    drop(watcher);
    assert_eq!(client.check_watches("/a", Watched::Any).await, Err(ClientError::NoWatcher));
    world.stop().await;
}

/// Goal: a dropped watcher leaves nothing at the server, and takes nobody else's watch along.
#[tokio::test]
async fn dropping_the_last_watcher_removes_the_watch_at_the_server() {
    let world = World::start().await;
    let client = &world.client;
    client.create("/a", "", PERSISTENT).await.unwrap();
    let (_, first) = client.get_data_and_watch("/a").await.unwrap();
    let (_, mut second) = client.get_data_and_watch("/a").await.unwrap();
    let recursive = client.add_watch("/a", WatchKind::Recursive).await.unwrap();
    drop(first);
    drop(recursive);
    client.set_data("/a", "x", None).await.unwrap();
    assert_eq!(heard(&mut second).await, (EventKind::NodeDataChanged, "/a".to_owned()));
    assert_eq!(within("a one-shot watch ends", second.event()).await, None);
    world.watches_become(0).await;
    // An answer that nobody waits for arms nothing that stays.
    drop(client.get_children_and_watch("/a"));
    drop(client.exists_and_watch("/none"));
    client.sync("/").await.unwrap();
    world.watches_become(0).await;
    world.stop().await;
}

#[tokio::test]
async fn a_new_connection_tells_persistent_watchers_of_the_gap() {
    let world = World::start().await;
    let (proxy, client) = world.by_proxy(|builder| builder).await;
    client.create("/a", "", PERSISTENT).await.unwrap();
    let mut watcher = client.add_watch("/a", WatchKind::Persistent).await.unwrap();
    let (_, mut once) = client.get_data_and_watch("/a").await.unwrap();
    proxy.cut(&client).await;
    assert!(client.state().is_suspended());
    world.client.set_data("/a", "missed", None).await.unwrap();
    proxy.set(Flow::Open);
    let next = poll_fn(|context| Pin::new(&mut watcher).poll_next(context));
    let notice = within("the gap is told", next).await;
    assert_eq!(notice, Some(Notice::Gap(GapCause::Reconnected)));
    assert_eq!(&client.get_data("/a").await.unwrap().0[..], b"missed");
    world.client.set_data("/a", "heard", None).await.unwrap();
    assert_eq!(heard(&mut watcher).await, (EventKind::NodeDataChanged, "/a".to_owned()));
    assert_eq!(heard(&mut once).await, (EventKind::NodeDataChanged, "/a".to_owned()));
    client.close().await.unwrap();
    // What the one-shot watch heard at the same path, it heard too.
    while let Some(notice) = within("it ends", watcher.next()).await {
        assert!(matches!(notice, Notice::Event(_)), "{notice:?}");
    }
    world.stop().await;
}

#[tokio::test]
async fn a_caller_that_is_far_behind_finds_a_gap_and_goes_on() {
    let world = World::start().await;
    let client = &world.client;
    client.create("/a", "", PERSISTENT).await.unwrap();
    let mut watcher = client.add_watch("/a", WatchKind::Persistent).await.unwrap();
    let count = conclave_client::watch::EVENTS_MAX + 10;
    let answers: Vec<_> = (0..count).map(|_| client.set_data("/a", "x", None)).collect();
    for answer in answers {
        answer.await.unwrap();
    }
    assert_eq!(watcher.next().await, Some(Notice::Gap(GapCause::Behind)));
    for _ in 0..10 {
        assert_eq!(heard(&mut watcher).await.0, EventKind::NodeDataChanged);
    }
    world.stop().await;
}

/// Goal: a lost answer makes no second znode. Method: the answer is held back, the connection cut.
#[tokio::test]
async fn a_protected_create_makes_one_znode_whatever_is_lost() {
    let world = World::start().await;
    let (proxy, client) = world.by_proxy(|builder| builder).await;
    world.client.create("/jobs", "", PERSISTENT).await.unwrap();
    for is_done in [true, false] {
        proxy.set(if is_done { Flow::Mute } else { Flow::Stalled });
        let options = CreateOptions::new(CreateMode::EphemeralSequential).protected();
        let other = client.clone();
        let creating =
            tokio::spawn(async move { other.create_as("/jobs/job-", "x", &options).await });
        if is_done {
            within("the server has done it", async {
                while world.client.get_children("/jobs").await.unwrap().0.is_empty() {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            })
            .await;
        } else {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        proxy.cut(&client).await;
        proxy.set(Flow::Open);
        let created = within("it is created", creating).await.unwrap().unwrap();
        let (names, _) = world.client.get_children("/jobs").await.unwrap();
        assert_eq!(names.len(), 1, "{names:?}");
        assert_eq!(created.path, format!("/jobs/{}", names[0]));
        assert!(names[0].starts_with("_c_") && names[0].contains("-job-00000000"), "{names:?}");
        client.delete(&created.path, None).await.unwrap();
    }
    client.close().await.unwrap();
    world.stop().await;
}

#[tokio::test]
async fn an_expired_session_is_over_or_renewed_as_asked() {
    let world = World::start().await;
    for renews in [false, true] {
        let (proxy, client) = world
            .by_proxy(|builder| {
                let builder = builder.session_timeout_ms(300);
                if renews { builder.renew_expired() } else { builder }
            })
            .await;
        let (session, timeout_ms) = (client.session_id(), client.session_timeout_ms());
        assert_eq!(timeout_ms, 300);
        client.create("/e", "", CreateMode::Ephemeral).await.unwrap();
        let mut watcher = client.add_watch("/e", WatchKind::Persistent).await.unwrap();
        proxy.cut(&client).await;
        within("the session expires", async {
            while world.client.exists("/e").await.unwrap().is_some() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
        let waiting = client.get_data("/");
        proxy.set(Flow::Open);
        let error = within("the expiry is told", waiting).await.unwrap_err();
        assert_eq!((error.kind(), error), (ErrorKind::SessionGone, ClientError::SessionExpired));
        assert_eq!(within("the watcher ends", watcher.next()).await, None);
        if renews {
            let mut states = client.states();
            within("there is another", states.wait_for(|state| state.is_connected()))
                .await
                .unwrap();
            assert_ne!(client.session_id(), session);
            client.create("/e", "", CreateMode::Ephemeral).await.unwrap();
            client.close().await.unwrap();
        } else {
            assert_eq!(client.state(), SessionState::Expired);
        }
    }
    world.stop().await;
}

#[tokio::test]
async fn reads_are_retried_over_a_lost_connection() {
    let world = World::start().await;
    let (proxy, client) = world.by_proxy(|builder| builder).await;
    proxy.set(Flow::Stalled);
    let other = client.clone();
    let reading =
        tokio::spawn(
            async move { Retry::new().idempotent().run(|| other.get_children("/")).await },
        );
    tokio::time::sleep(Duration::from_millis(50)).await;
    proxy.cut(&client).await;
    proxy.set(Flow::Open);
    let (names, _) = within("it is read", reading).await.unwrap().unwrap();
    assert_eq!(names, ["zookeeper"]);
    client.close().await.unwrap();
    world.stop().await;
}
