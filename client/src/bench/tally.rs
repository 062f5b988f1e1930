//! What was measured: latencies as a histogram, errors by code, and what came of both.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

/// Longest latency that is told apart, in nanoseconds; beyond, it counts as this.
const LATENCY_NS_MAX: u64 = 600_000_000_000;

/// Decimal digits that a latency keeps.
const DIGITS: u8 = 3;

/// Latencies and errors of one kind of request.
#[derive(Clone, Debug)]
pub(super) struct Tally {
    latency_ns: Histogram<u64>,
    errors: BTreeMap<i32, u64>,
}

impl Default for Tally {
    fn default() -> Self {
        let latency_ns = Histogram::new_with_bounds(1, LATENCY_NS_MAX, DIGITS)
            .expect("the bounds are far enough apart");
        Self { latency_ns, errors: BTreeMap::new() }
    }
}

impl Tally {
    /// Notes a request that was answered; an error's latency is one, too.
    pub(super) fn answered(&mut self, latency_ns: u64, error: i32) {
        self.latency_ns.saturating_record(latency_ns);
        if error != 0 {
            *self.errors.entry(error).or_default() += 1;
        }
    }

    /// Adds what another one noted.
    pub(super) fn add(&mut self, other: &Self) {
        self.latency_ns.add(&other.latency_ns).expect("both have the same bounds");
        for (error, count) in &other.errors {
            *self.errors.entry(*error).or_default() += count;
        }
    }

    /// Returns how many were answered, errors among them.
    pub(super) fn answers(&self) -> u64 {
        self.latency_ns.len()
    }

    /// Returns how many answers told each error.
    pub(super) const fn errors(&self) -> &BTreeMap<i32, u64> {
        &self.errors
    }

    /// Returns what the latencies come to.
    pub(super) fn latency(&self) -> Latency {
        let us = |ns: u64| ns as f64 / 1000.0;
        let at = |quantile| us(self.latency_ns.value_at_quantile(quantile));
        Latency {
            mean_us: self.latency_ns.mean() / 1000.0,
            min_us: us(self.latency_ns.min()),
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: us(self.latency_ns.max()),
        }
    }
}

/// Latencies in microseconds; all 0 when there were none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Latency {
    pub(super) mean_us: f64,
    pub(super) min_us: f64,
    pub(super) p50_us: f64,
    pub(super) p90_us: f64,
    pub(super) p99_us: f64,
    pub(super) p999_us: f64,
    pub(super) max_us: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_what_was_noted() {
        let mut tally = Tally::default();
        for us in 1..=1000 {
            tally.answered(us * 1000, if us <= 2 { -110 } else { 0 });
        }
        let mut both = Tally::default();
        both.add(&tally);
        let latency = both.latency();
        let is_near = |got: f64, wanted: f64| (got - wanted).abs() <= wanted * 0.002;
        assert!(is_near(latency.p50_us, 500.0) && is_near(latency.p99_us, 990.0), "{latency:?}");
        assert!(is_near(latency.p999_us, 999.0) && is_near(latency.max_us, 1000.0), "{latency:?}");
        assert!(is_near(latency.mean_us, 500.5) && is_near(latency.min_us, 1.0), "{latency:?}");
        assert_eq!((both.answers(), both.errors().get(&-110)), (1000, Some(&2)));
    }

    #[test]
    fn a_latency_beyond_the_longest_counts_as_the_longest() {
        let mut tally = Tally::default();
        tally.answered(u64::MAX, 0);
        assert_eq!(tally.answers(), 1);
        assert!(tally.latency().max_us >= LATENCY_NS_MAX as f64 / 1000.0);
    }
}
