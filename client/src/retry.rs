//! Doing again what failed, where that is safe.

use std::time::Duration;

use crate::error::{ClientError, ErrorKind, MultiError};

/// How often, and with which rests, an operation is tried again.
///
/// What the server has certainly not done is tried again. What may have been done is tried again only
/// when [`Retry::idempotent`] says that doing it twice is as good as once: reads are, and writes at an
/// expected version, as the second finds the version changed.
///
/// ```
/// # async fn example(client: conclave_client::Client) -> Result<(), conclave_client::ClientError> {
/// use conclave_client::Retry;
///
/// let (data, stat) = Retry::new().idempotent().run(|| client.get_data("/app")).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Retry {
    tries_max: u32,
    rest_ms: (u64, u64),
    is_idempotent: bool,
}

impl Default for Retry {
    fn default() -> Self {
        Self::new()
    }
}

impl Retry {
    /// Starts from 5 tries with rests from 50 to 2000 milliseconds. An operation that is tried while
    /// the session is suspended waits for the next connection by itself.
    pub const fn new() -> Self {
        Self { tries_max: 5, rest_ms: (50, 2000), is_idempotent: false }
    }

    /// Sets how often it is tried, at least once.
    #[must_use]
    pub const fn tries_max(mut self, tries_max: u32) -> Self {
        self.tries_max = tries_max;
        self
    }

    /// Sets the first and the longest rest, in milliseconds; each is twice the one before.
    #[must_use]
    pub const fn rest_ms(mut self, first_ms: u64, longest_ms: u64) -> Self {
        self.rest_ms = (first_ms, longest_ms);
        self
    }

    /// Says that doing it twice is as good as once.
    #[must_use]
    pub const fn idempotent(mut self) -> Self {
        self.is_idempotent = true;
        self
    }

    /// Runs an operation until it is done, refused, or tried often enough.
    ///
    /// # Errors
    ///
    /// Those of the last try.
    pub async fn run<T, E, F>(&self, mut operation: impl FnMut() -> F) -> Result<T, E>
    where
        E: Retryable,
        F: Future<Output = Result<T, E>>,
    {
        let (mut rest_ms, longest_ms) = self.rest_ms;
        let mut tries = 1;
        loop {
            let error = match operation().await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            let is_safe = match error.kind() {
                ErrorKind::NotDone => true,
                ErrorKind::OutcomeUnknown => self.is_idempotent,
                ErrorKind::SessionGone | ErrorKind::Refused => false,
            };
            if !is_safe || tries >= self.tries_max {
                return Err(error);
            }
            tries += 1;
            tokio::time::sleep(Duration::from_millis(rest_ms)).await;
            rest_ms = (rest_ms * 2).min(longest_ms);
        }
    }
}

/// An error that says what the caller can do.
pub trait Retryable {
    /// Returns what the error means for the caller.
    fn kind(&self) -> ErrorKind;
}

impl Retryable for ClientError {
    fn kind(&self) -> ErrorKind {
        Self::kind(self)
    }
}

impl Retryable for MultiError {
    fn kind(&self) -> ErrorKind {
        self.error.kind()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn tries(retry: Retry, error: ClientError) -> u32 {
        let mut count = 0;
        let outcome: Result<(), ClientError> = retry
            .run(|| {
                count += 1;
                let error = error.clone();
                async move { Err(error) }
            })
            .await;
        assert_eq!(outcome, Err(error));
        count
    }

    #[tokio::test]
    async fn only_what_is_safe_is_done_again() {
        let retry = Retry::new().tries_max(3).rest_ms(0, 0);
        assert_eq!(tries(retry, ClientError::Throttled).await, 3);
        assert_eq!(tries(retry, ClientError::ConnectionLoss).await, 1);
        assert_eq!(tries(retry.idempotent(), ClientError::ConnectionLoss).await, 3);
        assert_eq!(tries(retry.idempotent(), ClientError::BadVersion).await, 1);
        assert_eq!(tries(retry.idempotent(), ClientError::SessionExpired).await, 1);
    }
}
