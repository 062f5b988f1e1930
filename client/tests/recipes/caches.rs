//! Copies in memory.

use std::time::Duration;

use conclave_client::{
    Client, CreateMode, Op,
    recipes::{
        node_cache::NodeCache,
        tree_cache::{Tree, TreeCache},
    },
};

use super::world::{Flow, SESSION_TIMEOUT_MS, World, within};

#[tokio::test]
async fn a_node_cache_follows_its_znode_over_lost_connections() {
    let world = World::start().await;
    let (proxy, client) = world.by_proxy(SESSION_TIMEOUT_MS).await;
    let mut cache = NodeCache::start(&client, "/n").await.unwrap();
    assert_eq!(cache.current(), None);
    world.client.create("/n", "one", CreateMode::Persistent).await.unwrap();
    let node = within("it is created", cache.changed()).await.unwrap().unwrap();
    assert_eq!(&node.data[..], b"one");
    proxy.cut(&client).await;
    world.client.set_data("/n", "two", None).await.unwrap();
    proxy.set(Flow::Open);
    let node = within("it is changed", cache.changed()).await.unwrap().unwrap();
    assert_eq!((&node.data[..], node.stat.version), (&b"two"[..], 1));
    world.client.delete("/n", None).await.unwrap();
    assert_eq!(within("it is deleted", cache.changed()).await.unwrap(), None);
    client.close().await.unwrap();
    assert!(within("the session is over", cache.changed()).await.is_err());
    world.stop().await;
}

/// Reads a whole subtree, as a client without a cache does.
async fn read_tree(client: &Client, root: &str) -> Vec<(String, Vec<u8>)> {
    let (mut all, mut paths) = (Vec::new(), vec![root.to_owned()]);
    while let Some(path) = paths.pop() {
        let Ok((data, _)) = client.get_data(&path).await else { continue };
        let (names, _) = client.get_children(&path).await.unwrap();
        paths.extend(names.iter().map(|name| format!("{path}/{name}")));
        all.push((path, data.to_vec()));
    }
    all.sort();
    all
}

fn cached(tree: &Tree) -> Vec<(String, Vec<u8>)> {
    tree.iter().map(|(path, node)| (path.clone(), node.data.to_vec())).collect()
}

async fn becomes(cache: &mut TreeCache, expected: &[(String, Vec<u8>)]) {
    while cache.read(cached) != expected {
        within("the cache catches up", cache.changed()).await.unwrap();
    }
}

/// Goal: after any changes, seen or missed, the copy is the tree. Method: random changes, some of them
/// while the connection is cut.
#[tokio::test]
async fn a_tree_cache_is_the_tree_after_any_changes() {
    let world = World::start().await;
    let (proxy, client) = world.by_proxy(SESSION_TIMEOUT_MS).await;
    let mut cache = TreeCache::start(&client, "/t").await.unwrap();
    assert_eq!(cache.read(Tree::len), 0);
    world.client.create("/t", "root", CreateMode::Persistent).await.unwrap();
    let mut random = 42_u64;
    let mut draw = |bound: u64| {
        random =
            random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % bound
    };
    for round in 0..30 {
        if round % 3 == 1 {
            proxy.cut(&client).await;
        }
        for step in 0..20 {
            let (top, below) = (format!("/t/{}", draw(4)), draw(4));
            let path = if draw(2) == 0 { top } else { format!("{top}/{below}") };
            // Those that cannot be done change nothing.
            match draw(3) {
                0 => drop(world.client.delete(&path, None).await),
                1 => drop(world.client.set_data(&path, format!("{round}.{step}"), None).await),
                _ => drop(world.client.create(&path, "new", CreateMode::Persistent).await),
            }
        }
        proxy.set(Flow::Open);
        let expected = read_tree(&world.client, "/t").await;
        becomes(&mut cache, &expected).await;
    }
    let children = world.client.get_children("/t").await.unwrap().0;
    assert_eq!(cache.children("/t"), children);
    assert_eq!(&cache.get("/t").unwrap().data[..], b"root");
    drop(cache);
    client.close().await.unwrap();
    world.stop().await;
}

/// Goal: what is seen at a moment is the tree at one zxid. Method: multis set two znodes far apart to
/// one value, and create and delete a third in the same; a reader looks all the time, over lost
/// connections too.
#[tokio::test(flavor = "multi_thread")]
async fn a_tree_cache_never_shows_half_of_a_multi() {
    let world = World::start().await;
    let (proxy, client) = world.by_proxy(SESSION_TIMEOUT_MS).await;
    for path in ["/t", "/t/a", "/t/a/x", "/t/z"] {
        world.client.create(path, "0", CreateMode::Persistent).await.unwrap();
    }
    let cache = TreeCache::start(&client, "/t").await.unwrap();
    let is_even = |tree: &Tree| {
        let data = |path: &str| tree.get(path).map(|node| node.data.clone());
        let value = data("/t/a/x").unwrap();
        assert_eq!(data("/t/z").as_ref(), Some(&value), "half of a multi");
        let number: u64 = std::str::from_utf8(&value).unwrap().parse().unwrap();
        assert_eq!(data("/t/m").is_some(), number % 2 == 1, "half of a multi");
        number
    };
    let writer = world.client.clone();
    let writing = tokio::spawn(async move {
        for number in 1..=300_u64 {
            let value = number.to_string();
            let third = match number % 2 {
                1 => Op::create("/t/m", "", CreateMode::Persistent),
                _ => Op::delete("/t/m", None),
            };
            let set = |path: &str| Op::set_data(path, value.clone(), None);
            writer.multi(vec![set("/t/a/x"), third, set("/t/z")]).await.unwrap();
        }
    });
    let (mut last, mut seen) = (0, 0);
    let looking = async {
        while last < 300 {
            let number = cache.read(is_even);
            assert!(number >= last, "it went back in time");
            seen += usize::from(number > last);
            last = number;
            tokio::task::yield_now().await;
        }
    };
    let cutting = async {
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_millis(30)).await;
            proxy.cut(&client).await;
            proxy.set(Flow::Open);
        }
    };
    tokio::join!(within("the last is seen", looking), cutting);
    writing.await.unwrap();
    assert!(seen > 2, "it was followed: {seen}");
    drop(cache);
    client.close().await.unwrap();
    world.stop().await;
}
