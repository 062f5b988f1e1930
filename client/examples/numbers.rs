//! Counters, shared values and numbers that nobody gets twice: `cargo run --example numbers`.

use conclave_client::{
    Client,
    recipes::{counter::Counter, id_generator::IdGenerator, shared_value::SharedValue},
};
use conclave_server::embedded::Embedded;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let ensemble = Embedded::start().await?;
    let client = Client::connect(&ensemble.connect_string()).await?;

    let visits = Counter::new(&client, "/visits");
    visits.add(2).await?;
    println!("{} visits", visits.update(|count| count * 10).await?);

    let ids = IdGenerator::new(&client, "/ids", 100);
    let (one, other) = (ids.next().await?, ids.next().await?);
    assert!(one < other);
    println!("{one} and {other} are ours alone");

    let value = SharedValue::new(&client, "/mode");
    let seen = value.get_or("normal").await?;
    let changed = value.try_set(&seen, "maintenance").await?;
    assert!(changed.is_some(), "nobody was faster");
    assert!(value.try_set(&seen, "other").await?.is_none(), "that was not the newest");

    client.close().await?;
    ensemble.stop().await;
    Ok(())
}
