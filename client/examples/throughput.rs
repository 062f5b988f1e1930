//! The SDK as fast as it goes: `throughput HOSTS get|exists|set COUNT DEPTH LEN_BYTES` keeps DEPTH operations under way
//! until COUNT are answered, and prints the seconds that they took. Part of `scripts/scale/sdk`, which runs the
//! same on the crate zookeeper-client.

use std::{collections::VecDeque, error::Error};

use bytes::Bytes;
use conclave_client::{Answer, Client, ClientError, CreateMode, clock::Clock};

const PATH: &str = "/throughput";

/// Keeps so many operations under way.
async fn run<T>(
    count: usize,
    depth: usize,
    call: impl Fn() -> Answer<T>,
    judge: impl Fn(T),
) -> Result<(), ClientError> {
    let mut under_way = VecDeque::with_capacity(depth);
    for _ in 0..count {
        if under_way.len() == depth
            && let Some(answer) = under_way.pop_front()
        {
            judge(answer.await?);
        }
        under_way.push_back(call());
    }
    for answer in under_way {
        judge(answer.await?);
    }
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments = arguments();
    let [hosts, operation, count, depth, len_bytes] = &arguments[..] else {
        return Err("usage: throughput HOSTS get|exists|set COUNT DEPTH LEN_BYTES".into());
    };
    let (count, depth, len_bytes) = (count.parse()?, depth.parse()?, len_bytes.parse()?);
    let data = Bytes::from(vec![b'x'; len_bytes]);
    let client = Client::connect(hosts).await?;
    match client.create(PATH, data.clone(), CreateMode::Persistent).await {
        Ok(_) | Err(ClientError::NodeExists) => {}
        Err(error) => return Err(error.into()),
    }
    client.set_data(PATH, data.clone(), None).await?;
    let clock = Clock::start();
    match operation.as_str() {
        "get" => {
            let call = || client.get_data(PATH);
            run(count, depth, call, |(data, _)| assert_eq!(data.len(), len_bytes)).await?;
        }
        "exists" => {
            run(count, depth, || client.exists(PATH), |stat| assert!(stat.is_some())).await?;
        }
        "set" => run(count, depth, || client.set_data(PATH, data.clone(), None), drop).await?,
        other => return Err(format!("no operation {other}").into()),
    }
    println!("{:.3}", clock.now_ms() as f64 / 1000.0);
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "an example is a program")]
fn arguments() -> Vec<String> {
    std::env::args().skip(1).collect()
}
