//! One leader among candidates: `cargo run --example election`.

use conclave_client::{
    Client,
    recipes::election::{Election, Ended},
};
use conclave_server::embedded::Embedded;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let ensemble = Embedded::start().await?;
    let one = Client::connect(&ensemble.connect_string()).await?;
    let other = Client::connect(&ensemble.connect_string()).await?;

    // A latch: lead, and go on until the lead is lost.
    let mut candidate = Election::new(&one, "/election").identifier("one").stand().await?;
    let lead = candidate.lead().await?;
    println!("one leads with token {:?}", lead.fencing_token());

    // A selector: a task that runs while it leads, and is dropped when it does not any more.
    let election = Election::new(&other, "/election").identifier("other");
    let following =
        tokio::spawn(async move { election.run(|lead| async move { lead.fencing_token() }).await });

    // The first leader goes without a word; with its session the lead goes to the next.
    one.close().await?;
    println!("one has lost the lead: {:?}", lead.lost().await);
    let Ended::Done(token) = following.await?? else { return Err("it was lost again".into()) };
    assert!(token > lead.fencing_token());
    println!("other led with token {token:?}");

    other.close().await?;
    ensemble.stop().await;
    Ok(())
}
