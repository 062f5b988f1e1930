//! Barriers, double barriers and queues: `cargo run --example gates`.

use conclave_client::{
    Client,
    recipes::{barrier::Barrier, double_barrier::DoubleBarrier, queue::Queue},
};
use conclave_server::embedded::Embedded;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let ensemble = Embedded::start().await?;
    let client = Client::connect(&ensemble.connect_string()).await?;

    let gate = Barrier::new(&client, "/gate");
    gate.close().await?;
    let waiting = tokio::spawn({
        let gate = gate.clone();
        async move { gate.wait().await }
    });
    gate.open().await?;
    waiting.await??;
    println!("the gate is open");

    // Three begin together and end together.
    let parts = (0..3).map(|number| {
        let mut barrier = DoubleBarrier::new(&client, "/computation", 3);
        tokio::spawn(async move {
            barrier.enter().await?;
            println!("part {number} computes");
            barrier.leave().await
        })
    });
    for part in parts.collect::<Vec<_>>() {
        part.await??;
    }

    let queue = Queue::new(&client, "/jobs");
    queue.put("later").await?;
    queue.put_by_priority("first", 1).await?;
    assert_eq!(queue.take().await?, "first");
    assert_eq!(queue.take().await?, "later");
    println!("jobs are taken by priority");

    client.close().await?;
    ensemble.stop().await;
    Ok(())
}
