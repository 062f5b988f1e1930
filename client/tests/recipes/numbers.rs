//! Counters, values, numbers.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use conclave_client::{
    CreateMode, ErrorKind,
    recipes::{
        RecipeError,
        counter::{Counter, Format},
        id_generator::IdGenerator,
        shared_value::SharedValue,
    },
};

use super::world::{Flow, SESSION_TIMEOUT_MS, World, within};

/// Until what was set at the proxy holds.
const SHORT: Duration = Duration::from_millis(50);

#[tokio::test]
async fn no_addition_is_lost_among_many() {
    let world = World::start().await;
    for format in [Format::Text, Format::Binary] {
        let counter = Counter::new(&world.client, format!("/count/{format:?}")).format(format);
        assert_eq!(counter.get().await.unwrap(), 0);
        let adders: Vec<_> = (0..4)
            .map(|_| {
                let counter = counter.clone();
                tokio::spawn(async move {
                    for _ in 0..25 {
                        counter.add(3).await.unwrap();
                    }
                })
            })
            .collect();
        for adder in adders {
            within("all add", adder).await.unwrap();
        }
        assert_eq!(counter.add(-1).await.unwrap(), 299);
    }
    let (text, _) = world.client.get_data("/count/Text").await.unwrap();
    let (binary, _) = world.client.get_data("/count/Binary").await.unwrap();
    assert_eq!((&text[..], &binary[..]), (&b"299"[..], &299_i64.to_be_bytes()[..]));
    world.client.create("/foreign", "x", CreateMode::Persistent).await.unwrap();
    let foreign = Counter::new(&world.client, "/foreign").get().await;
    assert_eq!(foreign, Err(RecipeError::Foreign("/foreign".to_owned())));
    world.stop().await;
}

/// Goal: a lost answer is repeated when nothing was done, and told when that cannot be known. Method: the
/// answer to the read comes, and then nothing passes, or no more answers.
#[tokio::test(flavor = "multi_thread")]
async fn an_addition_whose_answer_is_lost_is_never_made_twice() {
    let world = World::start().await;
    let (proxy, client) = world.by_proxy(SESSION_TIMEOUT_MS).await;
    let proxy = Arc::new(proxy);
    let (counter, looking) = (Counter::new(&client, "/n"), Counter::new(&world.client, "/n"));
    counter.add(1).await.unwrap();
    for flow in [Flow::Stalled, Flow::Mute] {
        let before = looking.get().await.unwrap();
        let (other, changing) = (counter.clone(), proxy.clone());
        let is_first = AtomicBool::new(true);
        let adding = tokio::spawn(async move {
            let change = |number| {
                if is_first.swap(false, Ordering::Relaxed) {
                    changing.set(flow);
                    tokio::task::block_in_place(|| std::thread::sleep(SHORT));
                }
                number + 1
            };
            other.update(change).await
        });
        tokio::time::sleep(SHORT * 4).await;
        proxy.cut(&client).await;
        proxy.set(Flow::Open);
        let added = within("it ends", adding).await.unwrap();
        let after = looking.get().await.unwrap();
        match added {
            Ok(number) => assert_eq!((number, after), (before + 1, before + 1)),
            Err(error) => {
                assert_eq!((error.kind(), after), (ErrorKind::OutcomeUnknown, before + 1));
            }
        }
    }
    client.close().await.unwrap();
    world.stop().await;
}

#[tokio::test]
async fn nobody_gets_a_number_twice() {
    let world = World::start().await;
    let mut all = BTreeSet::new();
    let generators: Vec<_> = (0..3)
        .map(|_| {
            let ids = IdGenerator::new(&world.client, "/ids", 10);
            tokio::spawn(async move {
                let mut taken = Vec::new();
                for _ in 0..35 {
                    taken.push(ids.next().await.unwrap());
                }
                assert!(taken.is_sorted());
                taken
            })
        })
        .collect();
    for generator in generators {
        for id in within("all have theirs", generator).await.unwrap() {
            assert!(all.insert(id), "{id} was given twice");
        }
    }
    assert_eq!((all.len(), *all.first().unwrap()), (105, 0));
    assert!(*all.last().unwrap() < 120, "blocks are used up");
    world.stop().await;
}

#[tokio::test]
async fn a_shared_value_is_changed_only_by_who_has_seen_the_newest() {
    let world = World::start().await;
    let value = SharedValue::new(&world.client, "/config/value");
    let first = value.get_or("one").await.unwrap();
    assert_eq!(&first.value[..], b"one");
    let second = value.try_set(&first, "two").await.unwrap().unwrap();
    assert_eq!(value.try_set(&first, "three").await.unwrap(), None);
    assert_eq!(value.get_or("other").await.unwrap(), second);
    world.stop().await;
}
