//! ZooKeeper's four-letter words: what a member tells of itself to anyone who asks.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::net;

/// How long a member may take, in milliseconds.
const TIMEOUT_MS: u64 = 3000;

/// The longest answer that is read, in bytes: `cons` has a line for each connection.
const ANSWER_LEN_BYTES_MAX: u64 = 32 << 20;

/// Asks a member, and returns its answer or why there is none.
pub(super) async fn ask(host: &str, port: u16, word: &'static str) -> Result<String, String> {
    let asked = tokio::time::timeout(Duration::from_millis(TIMEOUT_MS), exchange(host, port, word));
    let answer = match asked.await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => return Err(error.to_string()),
        Err(_) => return Err(format!("no answer within {TIMEOUT_MS} ms")),
    };
    let text = String::from_utf8_lossy(&answer).into_owned();
    if text.contains("is not executed because it is not in the whitelist") {
        return Err(format!("{word} is not in the member's 4lw.commands.whitelist"));
    }
    if text.trim().is_empty() {
        return Err(format!("an empty answer to {word}"));
    }
    Ok(text)
}

async fn exchange(host: &str, port: u16, word: &str) -> std::io::Result<Vec<u8>> {
    let mut socket = net::tcp(host, port).await?;
    socket.write_all(word.as_bytes()).await?;
    let mut answer = Vec::new();
    socket.take(ANSWER_LEN_BYTES_MAX).read_to_end(&mut answer).await?;
    Ok(answer)
}
