//! Groups, services, divided sets.

use std::collections::BTreeSet;

use conclave_client::recipes::{
    discovery::{Discovery, Strategy},
    group::Group,
    partitioner::Partition,
};

use super::world::{Flow, SHORT_TIMEOUT_MS, World, within};

#[tokio::test]
async fn members_are_listed_while_their_sessions_live() {
    let world = World::start().await;
    let (proxy, client) = world.by_proxy(SHORT_TIMEOUT_MS).await;
    let group = Group::new(&world.client, "/group");
    let mut members = group.follow().await.unwrap();
    let one = group.join("one", "1").await.unwrap();
    let other = Group::new(&client, "/group").join("other", "2").await.unwrap();
    let names = |members: std::collections::BTreeMap<String, _>| -> Vec<String> {
        members.into_keys().collect()
    };
    assert_eq!(names(group.members().await.unwrap()), ["one", "other"]);
    while names(members.current()) != ["one", "other"] {
        within("the group is followed", members.changed()).await.unwrap();
    }
    // A name is waited for while a session that may be dead still has it.
    let waiting = group.clone();
    let again = tokio::spawn(async move { waiting.join("other", "3").await });
    proxy.set(Flow::Cut);
    let again = within("the name is free", again).await.unwrap().unwrap();
    assert_eq!(again.path(), "/group/other");
    assert_eq!(&group.members().await.unwrap()["other"][..], b"3");
    one.leave().await.unwrap();
    assert_eq!(names(group.members().await.unwrap()), ["other"]);
    drop(other);
    again.leave().await.unwrap();
    drop(members);
    world.stop().await;
}

#[tokio::test]
async fn instances_are_picked_by_strategy() {
    let world = World::start().await;
    let discovery = Discovery::new(&world.client, "/services");
    let mut web = discovery.follow("web", Strategy::RoundRobin).await.unwrap();
    assert_eq!(web.pick(), None);
    let mut registered = Vec::new();
    for port in [1, 2, 3] {
        let address = format!("host:{port}");
        registered.push(discovery.register("web", &format!("web-{port}"), address).await.unwrap());
    }
    while web.instances().len() < 3 {
        within("instances are seen", web.changed()).await.unwrap();
    }
    assert_eq!(discovery.look_up("web").await.unwrap(), web.instances());
    let picked: Vec<_> = (0..6).map(|_| web.pick().unwrap().id).collect();
    assert_eq!(picked.iter().collect::<BTreeSet<_>>().len(), 3);
    assert_eq!(picked[..3], picked[3..]);
    let random = discovery.follow("web", Strategy::Random).await.unwrap();
    let picked: BTreeSet<_> = (0..100).map(|_| random.pick().unwrap().id).collect();
    assert_eq!(picked.len(), 3);
    let mut sticky = discovery.follow("web", Strategy::Sticky).await.unwrap();
    let chosen = sticky.pick().unwrap();
    assert!((0..10).all(|_| sticky.pick().unwrap() == chosen));
    let gone = registered.iter().position(|one| one.path().ends_with(&chosen.id)).unwrap();
    registered.remove(gone).leave().await.unwrap();
    while sticky.instances().len() == 3 {
        within("the instance goes", sticky.changed()).await.unwrap();
    }
    assert_ne!(sticky.pick().unwrap(), chosen);
    drop((web, random, sticky));
    world.stop().await;
}

#[tokio::test]
async fn a_set_is_divided_among_those_who_are_there() {
    let world = World::start().await;
    let set: BTreeSet<String> = (0..10).map(|number| format!("item-{number}")).collect();
    let join = |name| Partition::join(&world.client, "/parts", name, set.clone());
    let mut one = join("one").await.unwrap();
    assert_eq!(within("one has all", one.settle()).await.unwrap(), set);
    let mut two = join("two").await.unwrap();
    while one.surplus().is_empty() {
        within("two is seen", one.changed()).await.unwrap();
    }
    let both = async { tokio::join!(one.settle(), two.settle()) };
    let (first, second) = within("both have theirs", both).await;
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_eq!((first.len(), second.len()), (5, 5));
    assert_eq!(first.union(&second).cloned().collect::<BTreeSet<_>>(), set);
    two.leave().await.unwrap();
    while within("one has all again", one.settle()).await.unwrap() != set {
        one.changed().await.unwrap();
    }
    assert_eq!(one.items().count(), 10);
    one.leave().await.unwrap();
    world.stop().await;
}
