//! Containers and TTL znodes go by themselves: the leader looks for those whose time has come and
//! deletes them by txn, a few at a time.

use std::collections::VecDeque;

use conclave_protocol::txn::Owner;

use super::Replica;
use crate::{pipeline::prepare, state::State, tree::Reapable};

/// Deletes per minute are counted in thousandths of a second.
const MINUTE_MS: u64 = 60_000;

/// When containers and TTL znodes are looked for.
#[derive(Clone, Copy, Debug)]
pub struct ReapSettings {
    /// Time between two searches, in milliseconds (`znode.container.checkIntervalMs`).
    pub interval_ms: u64,
    /// Deletes in a minute, at most (`znode.container.maxPerMinute`).
    pub per_minute_max: u64,
    /// Time after which a container that never had a child goes too, in milliseconds; 0 for never
    /// (`znode.container.maxNeverUsedIntervalMs`).
    pub never_used_ms: u64,
}

/// A leader's search under way.
#[derive(Debug, Default)]
pub(super) struct Reaper {
    /// Paths found by the last search and not deleted yet.
    found: VecDeque<String>,
    next_search_ms: u64,
    last_ms: u64,
    /// Deletes that may be made now, times [`MINUTE_MS`].
    allowance: u64,
}

impl Reaper {
    /// Begins a reign: the first search comes after one interval.
    pub(super) fn new(settings: ReapSettings, now_ms: u64) -> Self {
        let next_search_ms = now_ms + settings.interval_ms;
        Self { next_search_ms, last_ms: now_ms, ..Self::default() }
    }

    /// Returns the next paths to delete, as many as the time since the last call allows.
    fn take(&mut self, settings: ReapSettings, now_ms: u64) -> Vec<String> {
        let gained = (now_ms - self.last_ms) * settings.per_minute_max;
        self.last_ms = now_ms;
        // What is not used in a second is lost: no burst after a rest.
        let most = settings.per_minute_max * (MINUTE_MS / 60);
        self.allowance = (self.allowance + gained).min(most.max(MINUTE_MS));
        let count = (self.allowance / MINUTE_MS).min(self.found.len() as u64);
        self.allowance -= count * MINUTE_MS;
        self.found.drain(..count as usize).collect()
    }
}

impl Replica {
    /// Deletes containers and TTL znodes whose time has come.
    pub(super) fn reap(&mut self) {
        let settings = self.settings.reap;
        let (now_ms, wall_ms) = (self.time.now_ms, self.time.wall_ms);
        let Some(leading) = &mut self.leading else { return };
        let reaper = &mut leading.reaper;
        let is_due = now_ms >= reaper.next_search_ms && reaper.found.is_empty();
        if !is_due && reaper.found.is_empty() {
            reaper.last_ms = now_ms;
            return;
        }
        let state = self.shared.state.read();
        if is_due {
            reaper.next_search_ms = now_ms + settings.interval_ms;
            reaper.found = search(&state, settings, wall_ms);
        }
        for path in reaper.take(settings, now_ms) {
            let is_over = |znode: &Reapable| is_over(znode, settings, wall_ms);
            let outstanding = &mut leading.outstanding;
            let txn =
                prepare::prepare_reap(outstanding, &state, self.shared.me, &path, wall_ms, is_over);
            if let Some(txn) = txn {
                tracing::debug!(path, "znode reaped");
                leading.propose(&txn, &self.shared.figures);
            }
        }
    }
}

fn search(state: &State, settings: ReapSettings, wall_ms: i64) -> VecDeque<String> {
    let over = state.tree.reapable().filter(|znode| is_over(znode, settings, wall_ms));
    over.map(|znode| znode.path()).collect()
}

/// Returns whether a childless container or TTL znode has to go, by ZooKeeper's rules.
fn is_over(znode: &Reapable, settings: ReapSettings, wall_ms: i64) -> bool {
    let age_ms = u64::try_from(wall_ms - znode.mtime_ms).unwrap_or(0);
    match znode.owner {
        _ if znode.child_count > 0 => false,
        Owner::Container if znode.created > 0 => true,
        Owner::Container => settings.never_used_ms > 0 && age_ms > settings.never_used_ms,
        Owner::Ttl(ttl_ms) => age_ms > ttl_ms,
        Owner::Persistent | Owner::Ephemeral(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: ReapSettings =
        ReapSettings { interval_ms: 1000, per_minute_max: 600, never_used_ms: 0 };

    #[test]
    fn deletes_are_spread_over_the_minute() {
        let mut reaper = Reaper::new(SETTINGS, 0);
        reaper.found = (0..1000).map(|number| format!("/{number}")).collect();
        let counts: Vec<usize> =
            (1..=10).map(|second| reaper.take(SETTINGS, second * 1000).len()).collect();
        assert_eq!(counts, [10; 10]);
        assert_eq!(reaper.take(SETTINGS, 3_600_000).len(), 10, "a rest saves nothing up");
    }

    #[test]
    fn even_the_least_allowance_deletes_in_the_end() {
        let slow = ReapSettings { per_minute_max: 1, ..SETTINGS };
        let mut reaper = Reaper::new(slow, 0);
        reaper.found = (0..10).map(|number| format!("/{number}")).collect();
        let deleted: usize = (1..=180).map(|second| reaper.take(slow, second * 1000).len()).sum();
        assert_eq!(deleted, 3);
    }
}
