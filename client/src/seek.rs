//! While a server serves reads only: the search for one that serves all.

use std::{io, sync::Arc, time::Duration};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{hosts::Hosts, net::Transport};

/// Rest between two questions, in milliseconds: first and longest.
const REST_MS: (u64, u64) = (100, 10_000);

/// How long one server may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// Bytes of an answer that are looked at.
const ANSWER_LEN_BYTES: u64 = 2;

/// Asks one host after the other, until one says that it serves writes too.
pub(crate) async fn writable(transport: Arc<dyn Transport>, mut hosts: Hosts) -> (String, u16) {
    let mut rest_ms = REST_MS.0;
    loop {
        tokio::time::sleep(Duration::from_millis(rest_ms)).await;
        rest_ms = (rest_ms * 2).min(REST_MS.1);
        let attempt = hosts.next_attempt();
        let asked = is_writable(&*transport, &attempt.host, attempt.port);
        if matches!(tokio::time::timeout(ANSWER_TIMEOUT, asked).await, Ok(Ok(true))) {
            return (attempt.host, attempt.port);
        }
    }
}

async fn is_writable(transport: &dyn Transport, host: &str, port: u16) -> io::Result<bool> {
    let mut connection = transport.dial(host, port).await?;
    connection.write_all(b"isro").await?;
    let mut answer = Vec::new();
    connection.take(ANSWER_LEN_BYTES).read_to_end(&mut answer).await?;
    Ok(answer == b"rw")
}
