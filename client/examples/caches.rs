//! Copies of a znode and of a subtree that are kept up to date: `cargo run --example caches`.

use conclave_client::{
    Client, CreateOptions,
    recipes::{node_cache::NodeCache, tree_cache::TreeCache},
};
use conclave_server::embedded::Embedded;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let ensemble = Embedded::start().await?;
    let client = Client::connect(&ensemble.connect_string()).await?;

    let mut mode = NodeCache::start(&client, "/app/mode").await?;
    let mut app = TreeCache::start(&client, "/app").await?;
    let options = CreateOptions::default().parents();
    client.create_as("/app/mode", "normal", &options).await?;
    client.create_as("/app/limits/users", "100", &options).await?;

    println!("mode: {:?}", mode.changed().await?.map(|node| node.data.clone()));
    while app.get("/app/limits/users").is_none() {
        app.changed().await?;
    }
    // What is read at once is the tree as it was at one moment.
    app.read(|tree| tree.iter().for_each(|(path, node)| println!("{path} = {:?}", node.data)));
    assert_eq!(app.children("/app"), ["limits", "mode"]);

    client.close().await?;
    ensemble.stop().await;
    Ok(())
}
