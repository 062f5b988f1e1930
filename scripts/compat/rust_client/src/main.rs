//! A program on the crate zookeeper-client over an ensemble: data, node kinds, sequences, ephemerals, watches of
//! each kind, multis, ACLs, its lock, and the leader killed under its session.
//!
//! Reads ENSEMBLE_HOSTS and ENSEMBLE_PIDS (port=pid,...). Prints a line per fact; ends with 1 at the first that does
//! not hold.

use std::{env, process, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, sleep, timeout},
};
use zookeeper_client::{
    Acl, Acls, AddWatchMode, AuthId, Client, CreateMode, CreateOptions, Error, EventType,
    LockOptions, LockPrefix, MultiReadResult, Permission,
};

const SESSION_TIMEOUT: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(20);
const OPEN: Acls<'static> = Acls::anyone_all();

fn check(holds: bool, fact: &str) {
    if !holds {
        println!("  FAILED: {fact}");
        process::exit(1);
    }
    println!("  ok: {fact}");
}

fn must<T, E: std::fmt::Debug>(result: Result<T, E>, what: &str) -> T {
    result.unwrap_or_else(|error| {
        check(false, &format!("{what}: {error:?}"));
        unreachable!()
    })
}

const fn persistent() -> CreateOptions<'static> {
    CreateMode::Persistent.with_acls(OPEN)
}

async fn connect(hosts: &str) -> Client {
    let connector = Client::connector().with_session_timeout(SESSION_TIMEOUT);
    must(connector.connect(hosts).await, "connect")
}

/// Returns a client that sees all that was done before; it may be connected to a member that lags.
async fn synced(client: &Client) -> &Client {
    must(client.sync("/").await, "sync");
    client
}

async fn data(one: &Client, other: &Client) {
    let (stat, _) = must(one.create("/rust", b"one", &persistent()).await, "create");
    check(stat.version == 0 && stat.data_length == 3, "create answers with the stat");
    let again = one.create("/rust", b"", &persistent()).await;
    check(again.err() == Some(Error::NodeExists), "a second create is refused");
    let (value, stat) = must(synced(other).await.get_data("/rust").await, "get");
    check(value == b"one" && stat.version == 0, "another client reads it");
    let stat = must(one.set_data("/rust", b"two", Some(0)).await, "set");
    check(stat.version == 1, "set answers with the new version");
    let stale = one.set_data("/rust", b"three", Some(0)).await;
    check(stale.err() == Some(Error::BadVersion), "an old version is refused");
    let sequential = CreateMode::PersistentSequential.with_acls(OPEN);
    let (_, first) = must(one.create("/rust/s-", b"", &sequential).await, "create in sequence");
    let (_, second) = must(one.create("/rust/s-", b"", &sequential).await, "create in sequence");
    check(first.into_i64() < second.into_i64(), "sequential numbers rise");
    must(
        one.create("/rust/c", b"", &CreateMode::Container.with_acls(OPEN)).await,
        "create a container",
    );
    let with_ttl = persistent().with_ttl(Duration::from_secs(60));
    let (stat, _) = must(one.create("/rust/t", b"", &with_ttl).await, "create with a time to live");
    check(stat.ephemeral_owner == 0, "containers and nodes with a time to live are created");
    let children = must(one.list_children("/rust").await, "children");
    check(children.len() == 4, "children are listed");
    check(must(one.count_descendants_number("/").await, "count") >= 5, "descendants are counted");
    check(one.delete("/rust", None).await == Err(Error::NotEmpty), "a node with children stays");
    must(one.mkdir("/rust/deep/er/still", &persistent()).await, "mkdir");
    check(must(one.check_stat("/rust/deep/er").await, "stat").is_some(), "a path is made whole");
    let inside = must(one.clone().chroot("/rust/deep").map_err(|_| "chroot"), "chroot");
    check(must(inside.check_stat("/er/still").await, "stat").is_some(), "and seen from within");
    let big = vec![7; 1_000_000];
    must(one.create("/rust/big", &big, &persistent()).await, "create a large one");
    check(
        must(synced(other).await.get_data("/rust/big").await, "get").0 == big,
        "a megabyte comes back whole",
    );
}

async fn watches(one: &Client, other: &Client) {
    let (stat, watcher) = must(one.check_and_watch_stat("/rust/w").await, "watch");
    check(stat.is_none(), "it is not there yet");
    must(other.create("/rust/w", b"a", &persistent()).await, "create");
    check(watcher.changed().await.event_type == EventType::NodeCreated, "its creation is told");
    let (_, _, watcher) = must(one.get_and_watch_data("/rust/w").await, "watch");
    let (_, listed) = must(one.list_and_watch_children("/rust/w").await, "watch");
    must(other.set_data("/rust/w", b"b", None).await, "set");
    check(watcher.changed().await.event_type == EventType::NodeDataChanged, "its change is told");
    must(other.create("/rust/w/x", b"", &persistent()).await, "create");
    check(listed.changed().await.event_type == EventType::NodeChildrenChanged, "its child is told");
    let mut all = must(one.watch("/rust/w", AddWatchMode::PersistentRecursive).await, "watch");
    let mut node = must(one.watch("/rust/c", AddWatchMode::Persistent).await, "watch");
    must(other.create("/rust/c/x", b"", &persistent()).await, "create");
    must(other.delete("/rust/c/x", None).await, "delete");
    must(other.create("/rust/w/y", b"", &persistent()).await, "create");
    must(other.set_data("/rust/w/y", b"c", None).await, "set");
    must(other.delete("/rust/w/y", None).await, "delete");
    for kind in [EventType::NodeCreated, EventType::NodeDataChanged, EventType::NodeDeleted] {
        let event = all.changed().await;
        check(
            (event.event_type, &*event.path) == (kind, "/rust/w/y"),
            "a recursive watch tells of a child",
        );
    }
    for _ in 0..2 {
        let event = node.changed().await;
        let expected = (EventType::NodeChildrenChanged, "/rust/c");
        check(
            (event.event_type, &*event.path) == expected,
            "a persistent one of the list of children",
        );
    }
}

async fn multis(one: &Client) {
    let mut writer = one.new_multi_writer();
    must(writer.add_check_version("/rust", 1), "check");
    must(writer.add_create("/rust/m", b"m", &persistent()), "create");
    must(writer.add_set_data("/rust/m", b"n", Some(0)), "set");
    must(writer.add_delete("/rust/m", Some(1)), "delete");
    check(must(writer.commit().await, "multi").len() == 4, "a multi answers for each operation");
    must(writer.add_create("/rust/n", b"", &persistent()), "create");
    must(writer.add_check_version("/rust", 9), "check");
    check(writer.commit().await.is_err(), "one that cannot be done is refused");
    check(must(one.check_stat("/rust/n").await, "stat").is_none(), "and leaves nothing");
    let mut reader = one.new_multi_reader();
    must(reader.add_get_data("/rust/w"), "get");
    must(reader.add_get_children("/rust/w"), "children");
    must(reader.add_get_data("/absent"), "get");
    let read = must(reader.commit().await, "multi read");
    let is_right = matches!(&read[..], [
        MultiReadResult::Data { data, .. },
        MultiReadResult::Children { children },
        MultiReadResult::Error { err: Error::NoNode },
    ] if data == b"b" && children[..] == ["x"]);
    check(is_right, "a read of several is answered one by one");
}

async fn identities(one: &Client, hosts: &str) {
    let owner = connect(hosts).await;
    must(owner.auth("digest", b"user:secret").await, "auth");
    let mine = CreateMode::Persistent.with_acls(Acls::creator_all());
    must(owner.create("/rust/mine", b"secret", &mine).await, "create");
    let refused = synced(one).await.get_data("/rust/mine").await;
    check(refused.err() == Some(Error::NoAuth), "who has no identity may not read");
    check(must(owner.get_data("/rust/mine").await, "get").0 == b"secret", "its owner may");
    let (acls, stat) = must(owner.get_acl("/rust/mine").await, "get the ACL");
    check(acls.len() == 1 && acls[0].scheme() == "digest", "the ACL is told");
    let users = must(owner.list_auth_users().await, "whoami");
    check(
        users.iter().any(|user| (user.scheme(), user.user()) == ("digest", "user")),
        "and who one is",
    );
    let stat = must(
        owner
            .set_acl(
                "/rust/mine",
                &[Acl::new(Permission::ALL, AuthId::anyone())],
                Some(stat.aversion),
            )
            .await,
        "set the ACL",
    );
    check(stat.aversion == 1, "and changed");
}

async fn locks(clients: &[&Client]) {
    let first = must(LockPrefix::new_curator("/rust/lock", "l-"), "prefix");
    let options = || LockOptions::new(OPEN).with_ancestor_options(persistent()).unwrap();
    let held = must(clients[0].lock(first, b"", options()).await, "lock");
    let second = must(LockPrefix::new_curator("/rust/lock", "l-"), "prefix");
    let mut waits = Box::pin(clients[1].lock(second, b"", options()));
    check(
        timeout(Duration::from_millis(300), &mut waits).await.is_err(),
        "a held lock is waited for",
    );
    must(held.create("/rust/fenced", b"", &persistent()).await, "a write under the lock");
    drop(held);
    let got = timeout(PATIENCE, waits).await;
    check(matches!(got, Ok(Ok(_))), "and had when it is let go");
}

/// Returns the answer to a four-letter word, empty when there is none.
async fn word(text: &str, host: &str) -> String {
    let mut answer = String::new();
    if let Ok(mut stream) = TcpStream::connect(host).await
        && stream.write_all(text.as_bytes()).await.is_ok()
    {
        let _ = stream.read_to_string(&mut answer).await;
    }
    answer
}

async fn leader(hosts: &str) -> String {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        for host in hosts.split(',') {
            if word("srvr", host).await.contains("Mode: leader") {
                return host.to_owned();
            }
        }
        sleep(Duration::from_millis(50)).await;
    }
    check(false, "somebody leads");
    unreachable!()
}

async fn survives(one: &Client, hosts: &str) {
    let first = leader(hosts).await;
    let ephemeral = CreateMode::EphemeralSequential.with_acls(OPEN);
    let (_, number) = must(one.create("/rust/e-", b"", &ephemeral).await, "create an ephemeral");
    let path = format!("/rust/e-{number}");
    let (_, _, watcher) = must(one.get_and_watch_data("/rust").await, "watch");
    let session = one.session_id();
    let port = first.rsplit(':').next().unwrap();
    let pids = env::var("ENSEMBLE_PIDS").unwrap();
    let pid = pids.split(',').find_map(|member| member.strip_prefix(port)?.strip_prefix('='));
    let killed = process::Command::new("kill").args(["-9", pid.unwrap()]).status();
    check(killed.is_ok_and(|status| status.success()), "the leader is killed");
    let end = Instant::now() + PATIENCE;
    while one.set_data("/rust", b"after", None).await.is_err() && Instant::now() < end {
        sleep(Duration::from_millis(20)).await;
    }
    check(one.session_id() == session, "the session goes on");
    let owner = must(one.check_stat(&path).await, "stat").map(|stat| stat.ephemeral_owner);
    check(owner.is_some_and(|owner| owner != 0), "its ephemeral is there");
    check(watcher.changed().await.event_type == EventType::NodeDataChanged, "its watch is there");
    check(leader(hosts).await != first, "another member leads");
}

#[tokio::main]
async fn main() {
    if timeout(4 * PATIENCE, run()).await.is_err() {
        check(false, "all is done in time");
    }
}

async fn run() {
    let hosts = env::var("ENSEMBLE_HOSTS").expect("started by scripts/ensemble");
    let (one, other) = (connect(&hosts).await, connect(&hosts).await);
    data(&one, &other).await;
    watches(&one, &other).await;
    multis(&one).await;
    identities(&one, &hosts).await;
    locks(&[&one, &other]).await;
    let ephemeral = CreateMode::Ephemeral.with_acls(OPEN);
    must(other.create("/rust/gone", b"", &ephemeral).await, "create");
    let listed = must(synced(&other).await.list_ephemerals("/rust").await, "list ephemerals");
    check(listed == ["/rust/gone"], "ephemerals of a session are listed");
    let (_, watcher) = must(synced(&one).await.check_and_watch_stat("/rust/gone").await, "watch");
    drop(other);
    check(
        watcher.changed().await.event_type == EventType::NodeDeleted,
        "an ephemeral goes with its session",
    );
    survives(&one, &hosts).await;
}
