//! A user's test against an ensemble in its own process: `cargo run --example embedded`.

use conclave_client::{Client, CreateMode, WatchKind};
use conclave_server::embedded::Embedded;

/// What is to be tested: a counter of visits.
async fn count_visit(client: &Client) -> Result<u64, conclave_client::ClientError> {
    let (data, stat) = client.get_data("/visits").await?;
    let count = std::str::from_utf8(&data).map_or(0, |text| text.parse().unwrap_or(0)) + 1;
    client.set_data("/visits", count.to_string(), Some(stat.version)).await?;
    Ok(count)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut ensemble = Embedded::builder().members(3).start().await?;
    let client = Client::connect(&ensemble.connect_string()).await?;
    client.create("/visits", "0", CreateMode::Persistent).await?;
    let mut watcher = client.add_watch("/visits", WatchKind::Persistent).await?;
    assert_eq!(count_visit(&client).await?, 1);
    println!("heard: {:?}", watcher.event().await);

    // The leader dies; the client goes on.
    let leader = ensemble.leader().ok_or("there is a leader")?;
    ensemble.stop_member(leader).await;
    let retry = conclave_client::Retry::new().idempotent();
    println!("visit {}", retry.run(|| count_visit(&client)).await?);

    client.close().await?;
    ensemble.stop().await;
    Ok(())
}
