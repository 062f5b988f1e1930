//! Groups, service discovery and divided sets: `cargo run --example groups`.

use conclave_client::{
    Client,
    recipes::{
        discovery::{Discovery, Strategy},
        group::Group,
        partitioner::Partition,
    },
};
use conclave_server::embedded::Embedded;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let ensemble = Embedded::start().await?;
    let client = Client::connect(&ensemble.connect_string()).await?;

    let group = Group::new(&client, "/workers");
    let membership = group.join("worker-1", "rack 3").await?;
    println!("{:?}", group.members().await?);
    membership.leave().await?;

    let discovery = Discovery::new(&client, "/services");
    let _one = discovery.register("web", "web-1", "10.0.0.1:80").await?;
    let _other = discovery.register("web", "web-2", "10.0.0.2:80").await?;
    let web = discovery.follow("web", Strategy::RoundRobin).await?;
    for _ in 0..3 {
        println!("{:?}", web.pick());
    }

    let shards = || (0..6).map(|number| format!("shard-{number}"));
    let mut one = Partition::join(&client, "/shards", "one", shards()).await?;
    assert_eq!(one.settle().await?.len(), 6);
    let mut other = Partition::join(&client, "/shards", "other", shards()).await?;
    while one.surplus().is_empty() {
        one.changed().await?;
    }
    let (mine, theirs) = tokio::join!(one.settle(), other.settle());
    println!("{:?} and {:?}", mine?, theirs?);

    client.close().await?;
    ensemble.stop().await;
    Ok(())
}
