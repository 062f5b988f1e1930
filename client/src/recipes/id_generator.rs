//! Numbers that nobody gets twice.
//!
//! **Guarantees.** A number is given once, over all processes and for ever; numbers of one generator grow.
//! They are taken in blocks, so most cost no request.
//!
//! **Failures.** Numbers of a block that a process had left when it ended are never given. A lost answer
//! costs a block, and never gives one twice.
//!
//! **Watches.** None.

use tokio::sync::Mutex;

use super::{RecipeError, counter::Counter};
use crate::{client::Client, error::ErrorKind};

/// A source of numbers, from 0.
#[derive(Debug)]
pub struct IdGenerator {
    counter: Counter,
    block: i64,
    left: Mutex<std::ops::Range<i64>>,
}

impl IdGenerator {
    /// Makes a generator at a path that takes `block` numbers at a time.
    ///
    /// # Panics
    ///
    /// When a block has no numbers.
    pub fn new(client: &Client, path: impl Into<String>, block: u32) -> Self {
        assert!(block > 0, "a block has numbers");
        Self { counter: Counter::new(client, path), block: block.into(), left: Mutex::new(0..0) }
    }

    /// Returns a number that nobody has had.
    ///
    /// # Errors
    ///
    /// Those of the session.
    pub async fn next(&self) -> Result<i64, RecipeError> {
        let mut left = self.left.lock().await;
        loop {
            if let Some(id) = left.next() {
                return Ok(id);
            }
            match self.counter.add(self.block).await {
                Ok(end) => *left = end - self.block..end,
                // The block may have been taken: it is left to nobody.
                Err(error) if error.kind() == ErrorKind::OutcomeUnknown => {}
                Err(error) => return Err(error),
            }
        }
    }
}
