//! Locks, read-write locks, semaphores, elections.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use conclave_client::{
    CreateMode, ErrorKind, Op,
    recipes::{
        Layout, Lost, RecipeError,
        election::{Election, Ended, Kind},
        lock::Lock,
        rw_lock::RwLock,
        semaphore::Semaphore,
    },
};

use super::world::{Flow, SESSION_TIMEOUT_MS, SHORT_TIMEOUT_MS, World, within};

/// Goal: one holder at a time, in the order of coming, with tokens that grow; and a release fires the
/// watch of one of all that wait.
#[tokio::test]
async fn a_lock_has_one_holder_at_a_time_in_the_order_of_coming() {
    let world = World::start().await;
    let client = world.client().await;
    let first = Lock::new(&client, "/l").lock().await.unwrap();
    let mut waiting = Vec::new();
    for number in 0..10 {
        let lock = Lock::new(&client, "/l").identifier(number.to_string());
        waiting.push(tokio::spawn(async move { lock.lock().await }));
        world.children_become("/l", number + 2).await;
    }
    world.watches_become(10).await;
    let contenders = Lock::new(&client, "/l").contenders().await.unwrap();
    assert_eq!(contenders.len(), 11);
    let (mut held, mut left) = (first, 10);
    for next in waiting {
        assert!(!next.is_finished(), "one is held already");
        let token = held.fencing_token();
        held.release().await.unwrap();
        held = within("the next has it", next).await.unwrap().unwrap();
        assert!(held.fencing_token() > token);
        left -= 1;
        world.watches_become(left).await;
    }
    drop(held);
    world.children_become("/l", 0).await;
    client.close().await.unwrap();
    world.stop().await;
}

#[tokio::test]
async fn a_lock_that_is_not_waited_for_any_more_leaves_nothing() {
    let world = World::start().await;
    let (proxy, client) = world.by_proxy(SESSION_TIMEOUT_MS).await;
    let held = Lock::new(&world.client, "/l").lock().await.unwrap();
    let lock = Lock::new(&client, "/l");
    assert_eq!(lock.try_lock().await.unwrap().map(|held| held.is_held()), None);
    let gave_up = lock.try_lock_for(Duration::from_millis(100)).await.unwrap();
    assert!(gave_up.is_none());
    world.children_become("/l", 1).await;
    // Dropped while the creation is under way, its answer held back, and the connection cut.
    proxy.set(Flow::Mute);
    let gave_up = tokio::time::timeout(Duration::from_millis(50), lock.lock()).await;
    assert!(gave_up.is_err());
    world.children_become("/l", 2).await;
    proxy.cut(&client).await;
    proxy.set(Flow::Open);
    world.children_become("/l", 1).await;
    held.release().await.unwrap();
    let again = lock.try_lock().await.unwrap().unwrap();
    again.release().await.unwrap();
    client.close().await.unwrap();
    world.stop().await;
}

#[tokio::test]
async fn the_next_has_the_lock_when_the_holders_session_expires() {
    let world = World::start().await;
    let (proxy, client) = world.by_proxy(SHORT_TIMEOUT_MS).await;
    let held = Lock::new(&client, "/l").lock().await.unwrap();
    assert!(held.is_held());
    let lock = Lock::new(&world.client, "/l");
    let next = tokio::spawn(async move { lock.lock().await });
    proxy.set(Flow::Cut);
    assert_eq!(within("it is told", held.lost()).await, Lost::Suspended);
    assert!(!held.is_held());
    let next = within("the next has it", next).await.unwrap().unwrap();
    assert!(next.fencing_token() > held.fencing_token());
    proxy.set(Flow::Open);
    let error = held.write(vec![Op::set_data("/l", "x", None)]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SessionGone);
    next.release().await.unwrap();
    world.stop().await;
}

#[tokio::test]
async fn a_guarded_write_takes_effect_only_while_the_lock_is_held() {
    let world = World::start().await;
    let client = world.client().await;
    client.create("/value", "", CreateMode::Persistent).await.unwrap();
    let held = Lock::new(&client, "/l").lock().await.unwrap();
    held.write(vec![Op::set_data("/value", "mine", None)]).await.unwrap();
    let refused = held.write(vec![Op::check("/value", 1), Op::check("/value", 7)]).await;
    let Err(RecipeError::Multi(refused)) = refused else { panic!("{refused:?}") };
    assert_eq!(refused.index, Some(1), "numbered as the caller has it");
    let (lost, deleted) = tokio::join!(within("it is told", held.lost()), async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        world.client.delete(held.path(), None).await
    });
    deleted.unwrap();
    assert_eq!(lost, Lost::Deleted);
    let refused = held.write(vec![Op::set_data("/value", "still mine", None)]).await;
    assert_eq!(refused, Err(RecipeError::Lost));
    assert_eq!(&client.get_data("/value").await.unwrap().0[..], b"mine");
    drop(held);
    client.close().await.unwrap();
    world.stop().await;
}

#[tokio::test]
async fn a_reentrant_lock_is_given_back_with_the_last() {
    let world = World::start().await;
    let lock = Lock::new(&world.client, "/l").reentrant();
    let one = lock.lock().await.unwrap();
    let other = lock.clone().lock().await.unwrap();
    assert_eq!(one.path(), other.path());
    one.release().await.unwrap();
    let stranger = Lock::new(&world.client, "/l");
    assert!(stranger.try_lock().await.unwrap().is_none());
    other.release().await.unwrap();
    stranger.try_lock().await.unwrap().unwrap().release().await.unwrap();
    world.stop().await;
}

#[tokio::test]
async fn names_are_those_of_the_layout() {
    let world = World::start().await;
    let curators = Lock::new(&world.client, "/l").lock().await.unwrap();
    assert!(curators.path().starts_with("/l/_c_") && curators.path().ends_with("-lock-0000000000"));
    let kazoos = Lock::new(&world.client, "/l").layout(Layout::Kazoo);
    assert!(kazoos.try_lock().await.unwrap().is_none(), "ours see each other");
    curators.release().await.unwrap();
    let kazoos = kazoos.lock().await.unwrap();
    assert!(kazoos.path().ends_with("-__lock__0000000002"), "{}", kazoos.path());
    kazoos.release().await.unwrap();
    world.stop().await;
}

#[tokio::test]
async fn readers_share_and_a_writer_is_alone() {
    let world = World::start().await;
    let lock = RwLock::new(&world.client, "/rw");
    let (one, two) = (lock.read().await.unwrap(), lock.read().await.unwrap());
    let writer = lock.clone();
    let writer = tokio::spawn(async move { writer.write().await });
    world.children_become("/rw", 3).await;
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let lock = lock.clone();
            tokio::spawn(async move { lock.read().await })
        })
        .collect();
    world.children_become("/rw", 6).await;
    // The writer watches one reader, the readers behind it the writer: for the server, all of one session.
    world.watches_become(2).await;
    one.release().await.unwrap();
    assert!(!writer.is_finished(), "another still reads");
    two.release().await.unwrap();
    let writer = within("the writer has it", writer).await.unwrap().unwrap();
    assert!(readers.iter().all(|reader| !reader.is_finished()), "a writer is alone");
    writer.release().await.unwrap();
    for reader in readers {
        drop(within("the readers have it", reader).await.unwrap().unwrap());
    }
    world.children_become("/rw", 0).await;
    world.stop().await;
}

#[tokio::test]
async fn a_semaphore_has_no_more_holders_than_leases() {
    let world = World::start().await;
    let client = world.client().await;
    let semaphore = Semaphore::new(&client, "/s", 3);
    let mut leases = Vec::new();
    for _ in 0..3 {
        leases.push(within("there are three", semaphore.acquire()).await.unwrap());
    }
    let next = tokio::spawn(async move { semaphore.acquire().await });
    world.children_become("/s/leases", 4).await;
    // Its turn is next, and it watches the leases.
    world.watches_become(1).await;
    assert!(!next.is_finished(), "there are no more than three");
    leases.pop().unwrap().release().await.unwrap();
    drop(within("a lease came back", next).await.unwrap().unwrap());
    drop(leases);
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let workers: Vec<_> = (0..8)
        .map(|_| {
            let semaphore = Semaphore::new(&client, "/s", 3);
            let (now, most) = (now.clone(), most.clone());
            tokio::spawn(async move {
                for _ in 0..3 {
                    let lease = semaphore.acquire().await.unwrap();
                    let count = now.fetch_add(1, Ordering::SeqCst) + 1;
                    most.fetch_max(count, Ordering::SeqCst);
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    now.fetch_sub(1, Ordering::SeqCst);
                    lease.release().await.unwrap();
                }
            })
        })
        .collect();
    for worker in workers {
        within("all have their turns", worker).await.unwrap();
    }
    assert!(most.load(Ordering::SeqCst) <= 3, "there are no more than three");
    world.children_become("/s/leases", 0).await;
    world.children_become("/s/locks", 0).await;
    client.close().await.unwrap();
    world.stop().await;
}

#[tokio::test]
async fn a_lease_comes_back_when_its_holders_session_expires() {
    let world = World::start().await;
    let (proxy, client) = world.by_proxy(SHORT_TIMEOUT_MS).await;
    let semaphore = Semaphore::new(&world.client, "/s", 1);
    let lease = Semaphore::new(&client, "/s", 1).identifier("one").acquire().await.unwrap();
    assert!(semaphore.try_acquire_for(Duration::from_millis(50)).await.unwrap().is_none());
    assert_eq!(&semaphore.holders().await.unwrap()[0][..], b"one");
    proxy.set(Flow::Cut);
    let next = within("the lease comes back", semaphore.acquire()).await.unwrap();
    assert!(next.fencing_token() > lease.fencing_token());
    next.release().await.unwrap();
    world.stop().await;
}

#[tokio::test]
async fn the_lead_ends_at_a_suspension_and_comes_back_with_the_session() {
    let world = World::start().await;
    let (proxy, client) = world.by_proxy(SESSION_TIMEOUT_MS).await;
    for kind in [Kind::Latch, Kind::Selector, Kind::Kazoo] {
        let path = format!("/e-{kind:?}");
        let election = Election::new(&client, &path).kind(kind).identifier("one");
        let mut candidate = election.stand().await.unwrap();
        let lead = candidate.lead().await.unwrap();
        let other = Election::new(&world.client, &path).kind(kind).identifier("other");
        let mut second = other.stand().await.unwrap();
        assert_eq!(election.candidates().await.unwrap(), ["one", "other"]);
        proxy.cut(&client).await;
        assert_eq!(lead.lost().await, Lost::Suspended);
        proxy.set(Flow::Open);
        let again = within("it leads again", candidate.lead()).await.unwrap();
        assert_eq!(again.fencing_token(), lead.fencing_token());
        drop(candidate);
        let next = within("the next leads", second.lead()).await.unwrap();
        assert!(next.fencing_token() > again.fencing_token());
        assert_eq!(within("it is told", again.lost()).await, Lost::Deleted);
        assert_eq!(other.leader().await.unwrap().unwrap(), "other");
        second.resign().await.unwrap();
        assert_eq!(other.leader().await.unwrap(), None);
    }
    client.close().await.unwrap();
    world.stop().await;
}

#[tokio::test]
async fn the_lead_changes_when_the_leaders_session_expires_and_its_task_is_dropped() {
    let world = World::start().await;
    let (proxy, client) = world.by_proxy(SHORT_TIMEOUT_MS).await;
    let (begun, begins) = tokio::sync::oneshot::channel();
    let election = Election::new(&client, "/e");
    let leading = tokio::spawn(async move {
        let ended = election.run(|_lead| async move {
            begun.send(()).unwrap();
            std::future::pending::<()>().await;
        });
        ended.await
    });
    begins.await.unwrap();
    let other = Election::new(&world.client, "/e");
    let next = tokio::spawn(async move { other.run(|lead| async move { lead.is_held() }).await });
    proxy.set(Flow::Cut);
    assert_eq!(within("the next leads", next).await.unwrap().unwrap(), Ended::Done(true));
    proxy.set(Flow::Open);
    // The session is gone, and with it the candidate; or the task was dropped before that was known.
    match within("the task is dropped", leading).await.unwrap() {
        Ok(ended) => assert_eq!(ended, Ended::Lost(Lost::Suspended)),
        Err(error) => assert_eq!(error.kind(), ErrorKind::SessionGone),
    }
    world.children_become("/e", 0).await;
    world.stop().await;
}
