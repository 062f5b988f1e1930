//! A configuration as a value of the program: typed, of two layers, and told of changes.
//!
//! Run with `cargo run -p conclave-client --example config_view`; it starts a member of its own.

use std::error::Error;

use conclave_client::{
    Client, CreateMode, CreateOptions,
    config::{View, ViewBuilder},
};
use conclave_server::embedded::Embedded;
use serde::Deserialize;

#[derive(Debug, Deserialize)]
struct Settings {
    workers: u32,
    greeting: String,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let member = Embedded::start().await?;
    let client = Client::connect(&member.connect_string()).await?;
    let options = CreateOptions::new(CreateMode::Persistent).parents();
    // An operator writes these with `conclave config apply`.
    for (path, value) in
        [("/default/workers", "4"), ("/default/greeting", "hello"), ("/app/greeting", "welcome")]
    {
        client.create_as(path, value, &options).await?;
    }

    let view: View<Settings> =
        ViewBuilder::new(client.clone()).layer("/default").layer("/app").start().await?;
    let settings = view.snapshot();
    println!("{} workers say {:?}", settings.value.workers, settings.value.greeting);

    let mut snapshots = view.snapshots();
    view.on_change(|old, new| println!("workers: {} -> {}", old.workers, new.workers));
    client.set_data("/default/workers", "8", None).await?;
    snapshots.wait_for(|snapshot| snapshot.value.workers == 8).await?;

    client.close().await?;
    member.stop().await;
    Ok(())
}
