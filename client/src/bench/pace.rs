//! When the next request is due. Without a rate: at once, as soon as there is room in flight. With one: at times
//! set beforehand, and a request that could not go out in time is measured from when it was due, so that a server
//! that stalls is charged for all that would have been asked meanwhile.

/// Lateness that is the timer's and not the server's, in nanoseconds: timers of the runtime have milliseconds.
const TIMER_SLACK_NS: u64 = 2_000_000;

/// The times at which one connection sends.
#[derive(Clone, Debug)]
pub(super) enum Pace {
    /// As soon as there is room in flight.
    Closed,
    /// At set times.
    Open {
        /// Between two requests, in nanoseconds.
        every_ns: u64,
        /// When the next one is due.
        due_ns: u64,
        /// Whether a request that was due found no room in flight.
        was_held: bool,
    },
}

/// What to do about the next request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Next {
    /// Send it; it is measured from then.
    From(u64),
    /// Nothing before then.
    At(u64),
}

impl Pace {
    /// Makes the pace of connection `index` of `count` that together send `rate` requests a second, 0 for no
    /// rate, from `now_ns` on.
    pub(super) fn new(rate: f64, index: usize, count: usize, now_ns: u64) -> Self {
        if rate <= 0.0 {
            return Self::Closed;
        }
        let every_ns = ((count as f64) * 1e9 / rate).max(1.0) as u64;
        // They take turns.
        let due_ns = now_ns + every_ns * index as u64 / count as u64;
        Self::Open { every_ns, due_ns, was_held: false }
    }

    /// Takes the next request, if it is due.
    pub(super) fn next(&mut self, now_ns: u64) -> Next {
        match self {
            Self::Closed => Next::From(now_ns),
            Self::Open { due_ns, .. } if *due_ns > now_ns => Next::At(*due_ns),
            Self::Open { every_ns, due_ns, was_held } => {
                let due = *due_ns;
                *due_ns += *every_ns;
                let is_on_time = !*was_held && now_ns - due <= TIMER_SLACK_NS;
                if *due_ns > now_ns {
                    // It has caught up.
                    *was_held = false;
                }
                Next::From(if is_on_time { now_ns } else { due })
            }
        }
    }

    /// Notes that there is no room in flight: what becomes due meanwhile is late.
    pub(super) fn held(&mut self, now_ns: u64) {
        if let Self::Open { due_ns, was_held, .. } = self
            && *due_ns <= now_ns
        {
            *was_held = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn without_a_rate_the_next_request_goes_at_once() {
        let mut pace = Pace::new(0.0, 3, 4, 5);
        assert_eq!((pace.next(7), pace.next(7)), (Next::From(7), Next::From(7)));
    }

    #[test]
    fn connections_take_turns_at_the_rate() {
        // 1000 a second over 4 connections: each every 4 ms, one of them every millisecond.
        for index in 0..4 {
            let mut pace = Pace::new(1000.0, index, 4, 0);
            let first = index as u64 * MS;
            if index > 0 {
                assert_eq!(pace.next(0), Next::At(first));
            }
            assert_eq!(pace.next(first + 1), Next::From(first + 1));
            assert_eq!(pace.next(first + 1), Next::At(first + 4 * MS));
        }
    }

    #[test]
    fn what_a_stall_held_up_is_measured_from_when_it_was_due() {
        let mut pace = Pace::new(1000.0, 0, 1, 0);
        assert_eq!(pace.next(0), Next::From(0));
        // No answer for 10 ms, and no room in flight.
        pace.held(MS);
        let late: Vec<_> = (1..=10).map(|_| pace.next(10 * MS)).collect();
        let due: Vec<_> = (1..=10).map(|ms| Next::From(ms * MS)).collect();
        assert_eq!(late, due);
        assert_eq!(pace.next(10 * MS), Next::At(11 * MS));
        assert_eq!(pace.next(11 * MS + 7), Next::From(11 * MS + 7), "caught up");
    }

    #[test]
    fn a_stall_of_the_load_generator_itself_counts_too() {
        let mut pace = Pace::new(1000.0, 0, 1, 0);
        assert_eq!(pace.next(5 * MS), Next::From(0));
    }
}
