//! Barriers and queues.

use std::collections::BTreeSet;

use conclave_client::recipes::{barrier::Barrier, double_barrier::DoubleBarrier, queue::Queue};

use super::world::{World, within};

#[tokio::test]
async fn a_barrier_holds_all_until_it_is_opened() {
    let world = World::start().await;
    let barrier = Barrier::new(&world.client, "/gates/one");
    within("it is open at first", barrier.wait()).await.unwrap();
    barrier.close().await.unwrap();
    barrier.close().await.unwrap();
    let waiting: Vec<_> = (0..5)
        .map(|_| {
            let barrier = barrier.clone();
            tokio::spawn(async move { barrier.wait().await })
        })
        .collect();
    // All of one session: the server holds one.
    world.watches_become(1).await;
    assert!(waiting.iter().all(|one| !one.is_finished()));
    barrier.open().await.unwrap();
    for one in waiting {
        within("all go on", one).await.unwrap().unwrap();
    }
    world.stop().await;
}

#[tokio::test]
async fn a_double_barrier_begins_and_ends_for_all_together() {
    let world = World::start().await;
    let client = world.client().await;
    for round in 0..3 {
        let (left, mut leaving) = tokio::sync::mpsc::unbounded_channel();
        let mut parts = Vec::new();
        for number in 0..4 {
            let mut barrier = DoubleBarrier::new(&client, "/both", 4);
            let left = left.clone();
            parts.push(tokio::spawn(async move {
                barrier.enter().await.unwrap();
                left.send("in").unwrap();
                barrier.leave().await.unwrap();
                left.send("out").unwrap();
            }));
            if number < 3 {
                world.children_become("/both", number + 1).await;
                assert!(leaving.try_recv().is_err(), "not before all are there");
            }
        }
        for part in parts {
            within("all leave", part).await.unwrap();
        }
        drop(left);
        let mut told = Vec::new();
        while let Some(one) = leaving.recv().await {
            told.push(one);
        }
        let first_out = told.iter().position(|one| *one == "out");
        assert_eq!(first_out, Some(4), "round {round}: {told:?}");
        world.children_become("/both", 0).await;
    }
    // One that gives up waiting is not counted.
    let mut barrier = DoubleBarrier::new(&client, "/both", 2);
    let short = std::time::Duration::from_millis(50);
    assert!(tokio::time::timeout(short, barrier.enter()).await.is_err());
    drop(barrier);
    world.children_become("/both", 0).await;
    client.close().await.unwrap();
    world.stop().await;
}

#[tokio::test]
async fn a_queue_gives_each_item_once_in_order_of_priority_and_coming() {
    let world = World::start().await;
    let queue = Queue::new(&world.client, "/q");
    assert!(queue.is_empty().await.unwrap());
    assert_eq!(queue.try_take().await.unwrap(), None);
    for (item, priority) in [("c", 100), ("d", 100), ("a", 1), ("e", 999), ("b", 50)] {
        queue.put_by_priority(item, priority).await.unwrap();
    }
    assert!(queue.put_by_priority("x", 1000).await.is_err());
    let mut taken = Vec::new();
    while let Some(item) = queue.try_take().await.unwrap() {
        taken.push(item);
    }
    assert_eq!(taken, ["a", "b", "c", "d", "e"]);
    world.stop().await;
}

#[tokio::test]
async fn many_takers_share_a_queue_and_wait_in_line() {
    let world = World::start().await;
    let client = world.client().await;
    let takers: Vec<_> = (0..4)
        .map(|_| {
            let queue = Queue::new(&client, "/q");
            tokio::spawn(async move {
                let mut taken = Vec::new();
                loop {
                    let item = queue.take().await.unwrap();
                    if item.is_empty() {
                        return taken;
                    }
                    taken.push(item);
                }
            })
        })
        .collect();
    // Three wait for the one before them in line, and that one for the queue.
    world.watches_become(4).await;
    let queue = Queue::new(&world.client, "/q");
    for number in 0..40 {
        queue.put(format!("{number}")).await.unwrap();
    }
    for _ in 0..4 {
        queue.put_by_priority("", 999).await.unwrap();
    }
    let mut all = BTreeSet::new();
    for taker in takers {
        for item in within("all is taken", taker).await.unwrap() {
            assert!(all.insert(item), "an item was taken twice");
        }
    }
    assert_eq!(all.len(), 40);
    assert!(queue.is_empty().await.unwrap());
    world.children_become("/q-waiting", 0).await;
    client.close().await.unwrap();
    world.stop().await;
}
