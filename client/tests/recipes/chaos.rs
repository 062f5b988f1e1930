//! Recipes while leaders die.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use conclave_client::{
    Client, CreateMode, ErrorKind, Op, OpOutcome,
    recipes::{RecipeError, counter::Counter, election::Election, lock::Lock},
};

use super::world::{World, within};

/// Writes the holder's token to a znode, if it still holds; returns the token that stood there before.
async fn mark(client: &Client, lock: &Lock) -> Result<Option<(u64, u64)>, RecipeError> {
    let held = lock.lock().await?;
    let (before, stat) = client.get_data("/mark").await?;
    let before: u64 = std::str::from_utf8(&before).unwrap().parse().unwrap();
    let token = held.fencing_token().0;
    let write = Op::set_data("/mark", token.to_string(), Some(stat.version));
    let written = match held.write(vec![write]).await {
        Ok(outcomes) => {
            assert!(matches!(outcomes[..], [OpOutcome::Changed(_)]));
            Some((before, token))
        }
        Err(RecipeError::Lost) => None,
        Err(error) => return Err(error),
    };
    held.release().await?;
    Ok(written)
}

/// Goal: one holder at a time, tokens that grow, and nothing left behind, whatever leader dies. Method:
/// three members of which the leader is stopped and started again while six contend.
#[tokio::test(flavor = "multi_thread")]
async fn locks_and_counters_hold_over_the_death_of_leaders() {
    let mut world = World::of(3).await;
    world.client.create("/mark", "0", CreateMode::Persistent).await.unwrap();
    let (is_over, turns) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut contending = Vec::new();
    for _ in 0..3 {
        let client = world.client().await;
        for _ in 0..2 {
            let (client, is_over, turns) = (client.clone(), is_over.clone(), turns.clone());
            contending.push(tokio::spawn(async move {
                let lock = Lock::new(&client, "/l");
                let counter = Counter::new(&client, "/n");
                let (mut added, mut unknown) = (0, 0);
                while !is_over.load(Ordering::Relaxed) {
                    match mark(&client, &lock).await {
                        Ok(Some((before, token))) => {
                            assert!(before < token, "{before} then {token}");
                        }
                        Ok(None) => panic!("no session has expired"),
                        Err(error) => {
                            assert_eq!(error.kind(), ErrorKind::OutcomeUnknown, "{error}");
                        }
                    }
                    match counter.add(1).await {
                        Ok(_) => added += 1,
                        Err(error) if error.kind() == ErrorKind::OutcomeUnknown => unknown += 1,
                        Err(error) => panic!("{error}"),
                    }
                    turns.fetch_add(1, Ordering::Relaxed);
                }
                (added, unknown, client)
            }));
        }
    }
    for _ in 0..3 {
        let reached = turns.load(Ordering::Relaxed) + 10;
        within("turns are taken", async {
            while turns.load(Ordering::Relaxed) < reached {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        let leader = within("there is a leader", leader(&world)).await;
        world.ensemble.stop_member(leader).await;
        within("there is another", self::leader(&world)).await;
        world.ensemble.start_member(leader).await.unwrap();
        within("all serve", world.ensemble.serving()).await;
    }
    is_over.store(true, Ordering::Relaxed);
    let (mut added, mut unknown, mut clients) = (0, 0, Vec::new());
    for one in contending {
        let (sure, perhaps, client) = within("all end", one).await.unwrap();
        (added, unknown) = (added + sure, unknown + perhaps);
        clients.push(client);
    }
    world.client.sync("/").await.unwrap();
    let count = Counter::new(&world.client, "/n").get().await.unwrap();
    assert!((added..=added + unknown).contains(&count), "{added} and {unknown} made {count}");
    world.children_become("/l", 0).await;
    world.watches_become(0).await;
    drop(clients);
    world.stop().await;
}

async fn leader(world: &World) -> u8 {
    loop {
        if let Some(leader) = world.ensemble.leader() {
            return leader;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Goal: the lead of an election is never with two, and is taken up again after a leader's death.
#[tokio::test(flavor = "multi_thread")]
async fn an_election_goes_on_over_the_death_of_a_leader() {
    let mut world = World::of(3).await;
    let clients = [world.client().await, world.client().await];
    let mut first = Election::new(&clients[0], "/e").stand().await.unwrap();
    let lead = first.lead().await.unwrap();
    let mut second = Election::new(&clients[1], "/e").stand().await.unwrap();
    let next = tokio::spawn(async move { second.lead().await.map(|lead| (lead, second)) });
    let leader = within("there is a leader", leader(&world)).await;
    world.ensemble.stop_member(leader).await;
    within("there is another", self::leader(&world)).await;
    let again = within("it leads again, or still", first.lead()).await.unwrap();
    assert_eq!(again.fencing_token(), lead.fencing_token());
    assert!(!next.is_finished());
    first.resign().await.unwrap();
    let (next, _second) = within("the next leads", next).await.unwrap().unwrap();
    assert!(next.fencing_token() > lead.fencing_token());
    assert!(next.is_held());
    drop((next, _second));
    world.children_become("/e", 0).await;
    world.stop().await;
}
