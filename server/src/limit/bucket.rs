//! A bucket of tokens without a lock: what is kept is not how many there are, but when it will be full.

use std::sync::atomic::{AtomicU64, Ordering};

use super::ConnectRate;

/// Gives as many tokens at once as it holds, and others as it fills up again.
#[derive(Debug)]
pub struct TokenBucket {
    /// When it will be full, in nanoseconds of the member's clock.
    full_at_ns: AtomicU64,
    /// Time in which one token comes, in nanoseconds.
    token_ns: u64,
    /// Time in which all come; 0 for no limit.
    all_ns: u64,
}

impl TokenBucket {
    /// Makes a full one.
    pub fn new(rate: ConnectRate) -> Self {
        let fill_ns = u64::from(rate.fill_ms) * 1_000_000;
        let token_ns = (fill_ns / u64::from(rate.fill_count.max(1))).max(1);
        Self { full_at_ns: AtomicU64::new(0), token_ns, all_ns: token_ns * u64::from(rate.burst) }
    }

    /// Takes a token at a time of the member's clock, in microseconds; returns false when there is none.
    pub fn take(&self, now_us: u64) -> bool {
        if self.all_ns == 0 {
            return true;
        }
        let now_ns = now_us * 1000;
        let with_one_less = |full_at_ns: u64| {
            let full_at_ns = full_at_ns.max(now_ns) + self.token_ns;
            (full_at_ns <= now_ns + self.all_ns).then_some(full_at_ns)
        };
        self.full_at_ns.fetch_update(Ordering::Relaxed, Ordering::Relaxed, with_one_less).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(bucket: &TokenBucket, now_ms: u64) -> usize {
        (0..100).take_while(|_| bucket.take(now_ms * 1000)).count()
    }

    #[test]
    fn a_bucket_gives_what_it_holds_and_then_as_it_fills() {
        let bucket = TokenBucket::new(ConnectRate { burst: 10, fill_ms: 100, fill_count: 2 });
        assert_eq!(taken(&bucket, 1000), 10);
        assert_eq!(taken(&bucket, 1049), 0);
        assert_eq!(taken(&bucket, 1100), 2);
        assert_eq!(taken(&bucket, 1250), 3);
        assert_eq!(taken(&bucket, 99_000), 10, "it holds no more");
    }

    #[test]
    fn a_bucket_of_nothing_is_no_limit() {
        let bucket = TokenBucket::new(ConnectRate { burst: 0, fill_ms: 1, fill_count: 1 });
        assert_eq!(taken(&bucket, 0), 100);
    }

    #[test]
    fn no_token_is_given_twice() {
        let bucket = TokenBucket::new(ConnectRate { burst: 1000, fill_ms: 1000, fill_count: 1 });
        let given: usize = std::thread::scope(|scope| {
            let takers: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| (0..1000).filter(|_| bucket.take(1)).count()))
                .collect();
            takers.into_iter().map(|taker| taker.join().unwrap()).sum()
        });
        assert_eq!(given, 1000);
    }
}
