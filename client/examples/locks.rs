//! Locks, read-write locks and semaphores: `cargo run --example locks`.

use std::time::Duration;

use conclave_client::{
    Client, CreateMode, Op,
    recipes::{lock::Lock, rw_lock::RwLock, semaphore::Semaphore},
};
use conclave_server::embedded::Embedded;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let ensemble = Embedded::start().await?;
    let client = Client::connect(&ensemble.connect_string()).await?;
    client.create("/report", "", CreateMode::Persistent).await?;

    // One holder at a time; what must not be done by two is written with the lock checked in the same multi.
    let lock = Lock::new(&client, "/locks/report").identifier("host-7");
    let held = lock.lock().await?;
    held.write(vec![Op::set_data("/report", "by host-7", None)]).await?;
    println!("held with token {:?}", held.fencing_token());
    assert!(lock.try_lock_for(Duration::from_millis(50)).await?.is_none());
    held.release().await?;

    // Work that ends when the lock cannot be relied on any more.
    let held = lock.lock().await?;
    tokio::select! {
        lost = held.lost() => println!("given up: {lost:?}"),
        () = tokio::time::sleep(Duration::from_millis(20)) => println!("done"),
    }
    drop(held);

    let catalogue = RwLock::new(&client, "/locks/catalogue");
    let (one, other) = (catalogue.read().await?, catalogue.read().await?);
    println!("two read");
    drop((one, other));
    println!("one writes: {}", catalogue.write().await?.path());

    let licences = Semaphore::new(&client, "/licences", 2);
    let (_one, _two) = (licences.acquire().await?, licences.acquire().await?);
    assert!(licences.try_acquire_for(Duration::from_millis(50)).await?.is_none());
    println!("both licences are out");

    client.close().await?;
    ensemble.stop().await;
    Ok(())
}
