//! The crate zookeeper-client as fast as it goes: `throughput HOSTS get|exists|set COUNT DEPTH LEN_BYTES` keeps DEPTH
//! operations under way until COUNT are answered, and prints the seconds that they took. Part of scripts/scale/sdk;
//! the same on our SDK is client/examples/throughput.rs.

use std::{collections::VecDeque, env, time::Instant};

use zookeeper_client::{Acls, Client, CreateMode, Error};

const PATH: &str = "/throughput-other";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let arguments: Vec<String> = env::args().collect();
    let [_, hosts, operation, count, depth, len_bytes] = &arguments[..] else {
        panic!("usage: throughput HOSTS get|exists|set COUNT DEPTH LEN_BYTES");
    };
    let number = |text: &str| text.parse::<usize>().expect("a number");
    let (count, depth, data) = (number(count), number(depth), vec![b'x'; number(len_bytes)]);
    let client = Client::connect(hosts).await?;
    let options = CreateMode::Persistent.with_acls(Acls::anyone_all());
    match client.create(PATH, &data, &options).await {
        Ok(_) | Err(Error::NodeExists) => {}
        Err(error) => return Err(error),
    }
    client.set_data(PATH, &data, None).await?;
    let start = Instant::now();
    // Each kind of future in a loop of its own: none pays for a box.
    match operation.as_str() {
        "get" => {
            let mut under_way = VecDeque::with_capacity(depth);
            for _ in 0..count {
                if under_way.len() == depth {
                    let answer: (Vec<u8>, _) = under_way.pop_front().expect("it is full").await?;
                    assert_eq!(answer.0.len(), data.len());
                }
                under_way.push_back(client.get_data(PATH));
            }
            for answer in under_way {
                answer.await?;
            }
        }
        "exists" => {
            let mut under_way = VecDeque::with_capacity(depth);
            for _ in 0..count {
                if under_way.len() == depth {
                    let answer: Option<_> = under_way.pop_front().expect("it is full").await?;
                    assert!(answer.is_some());
                }
                under_way.push_back(client.check_stat(PATH));
            }
            for answer in under_way {
                answer.await?;
            }
        }
        "set" => {
            let mut under_way = VecDeque::with_capacity(depth);
            for _ in 0..count {
                if under_way.len() == depth {
                    under_way.pop_front().expect("it is full").await?;
                }
                under_way.push_back(client.set_data(PATH, &data, None));
            }
            for answer in under_way {
                answer.await?;
            }
        }
        other => panic!("no operation {other}"),
    }
    println!("{:.6}", start.elapsed().as_secs_f64());
    Ok(())
}
