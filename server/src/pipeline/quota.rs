//! Quotas as prepare sees them, with all that is in flight counted. A znode counts for the nearest
//! quota that covers it. The txn tells what the stats say after it, so that apply has nothing to
//! count and a txn may be applied twice.
//!
//! A quota is in force while both of its znodes are there. Then its stats are the service's own:
//! what a client writes into them is replaced in the same txn. Otherwise they are data like any.

use std::collections::{BTreeSet, HashMap};

use conclave_protocol::{
    code::ErrorCode,
    path,
    quota::{Bounds, Limits, Part, Usage, can_cover, is_at_or_below, part_of},
    txn::QuotaUsage,
};

use super::{
    outstanding::{Future, Outstanding},
    overlay::Overlay,
};
use crate::{state::State, tree::Quota};

/// How often one quota is warned of, at most, in milliseconds.
const WARNING_INTERVAL_MS: i64 = 10_000;

/// Quotas remembered to have been warned of; beyond that all are forgotten, and warned of anew.
const WARNED_MAX: usize = 1000;

/// What a hard limit does.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum HardLimits {
    /// It refuses the request that would exceed it.
    #[default]
    Enforced,
    /// It warns, as a soft limit does: what ZooKeeper does by default.
    Warned,
}

/// The quotas that txns in flight change.
#[derive(Debug, Default)]
pub struct Quotas {
    overlay: Overlay<Quota>,
    /// Paths whose stats the txn being prepared changes.
    counted: BTreeSet<String>,
    /// When each path was warned of last, by the leader's wall clock.
    warned: HashMap<String, i64>,
}

impl Quotas {
    pub(super) fn undo(&mut self) {
        self.overlay.undo();
        self.counted.clear();
    }

    pub(super) fn prepared(&mut self) -> usize {
        assert!(self.counted.is_empty(), "what was counted is in the txn");
        self.overlay.prepared()
    }

    pub(super) fn applied(&mut self, count: usize) {
        self.overlay.applied(count);
    }

    fn find(&self, state: &State, covered: &str) -> Quota {
        self.overlay.find(covered).copied().unwrap_or_else(|| state.tree.quota(covered))
    }

    fn has_limits(&self, state: &State, covered: &str) -> bool {
        match self.overlay.find(covered) {
            Some(quota) => quota.limits.is_some(),
            None => state.tree.has_limits(covered),
        }
    }

    /// Returns the nearest path with limits, from `path` upwards.
    fn nearest<'p>(&self, state: &State, path: &'p str) -> Option<&'p str> {
        // Most trees have none.
        if self.overlay.is_empty() && !state.tree.has_quotas() || !can_cover(path) {
            return None;
        }
        let mut at = path;
        while at != "/" {
            if self.has_limits(state, at) {
                return Some(at);
            }
            at = path::parent(at)?;
        }
        None
    }

    /// Returns the paths below `top` that have limits, none of them below another.
    fn nearest_below(&self, state: &State, top: &str) -> Vec<String> {
        let in_state = state.tree.quotas_below(top).map(str::to_owned);
        let in_flight = self.overlay.iter().map(|(covered, _)| covered.to_owned());
        let mut below: BTreeSet<String> = in_state
            .chain(in_flight)
            .filter(|covered| covered != top && is_at_or_below(covered, top))
            .collect();
        below.retain(|covered| {
            let above = path::parent(covered).expect("no quota is on the root");
            self.has_limits(state, covered) && self.nearest(state, above) == Some(top)
        });
        below.into_iter().collect()
    }
}

/// What becomes of a znode that is part of a quota.
#[derive(Clone, Copy, Debug)]
pub enum PartChange<'d> {
    /// It appears with this data.
    Created(&'d [u8]),
    /// Its data is replaced by this.
    Replaced(&'d [u8]),
    /// It goes.
    Removed,
}

/// A change that a quota in force has counted.
#[derive(Debug)]
pub struct Counted {
    covered: String,
    limits: Limits,
    /// What there is more than before.
    more: Usage,
    /// What there is then.
    usage: Usage,
}

impl Outstanding {
    /// Counts `more` at `path` for the quota that covers it; `None` when none does.
    pub fn count(&mut self, state: &State, path: &str, more: Usage) -> Option<Counted> {
        if more == Usage::default() {
            return None;
        }
        let covered = self.quotas.nearest(state, path)?;
        let mut quota = self.quotas.find(state, covered);
        let Quota { limits: Some(limits), usage: Some(usage) } = &mut quota else { return None };
        *usage += more;
        let counted = Counted { covered: covered.to_owned(), limits: *limits, more, usage: *usage };
        self.set_quota(covered, quota);
        self.quotas.counted.insert(covered.to_owned());
        Some(counted)
    }

    /// Checks that what was counted is within its limits. What makes less of something is never
    /// refused, even where there is still too much of it.
    pub fn check_quota(
        &mut self,
        counted: &Counted,
        hard_limits: HardLimits,
        time_ms: i64,
    ) -> Result<(), ErrorCode> {
        let Counted { covered, limits, more, usage } = counted;
        let kinds = [
            ("znodes", limits.count, more.count, usage.count),
            ("bytes", limits.bytes, more.bytes, usage.bytes),
        ];
        for (what, Bounds { soft, hard }, more, used) in kinds {
            let is_beyond = |bound: &i64| more > 0 && used > *bound;
            let beyond_hard = hard.filter(is_beyond);
            if beyond_hard.is_some() && hard_limits == HardLimits::Enforced {
                return Err(ErrorCode::QuotaExceeded);
            }
            if let Some(limit) = beyond_hard.or(soft.filter(is_beyond))
                && self.quotas.is_warning_due(covered, time_ms)
            {
                tracing::warn!(path = covered, what, used, limit, "quota exceeded");
            }
        }
        Ok(())
    }

    /// Notes what becomes of a znode, if it is part of a quota.
    pub fn change_quota(&mut self, state: &State, path: &str, change: PartChange<'_>) {
        let Some((covered, part)) = part_of(path) else { return };
        let mut quota = self.quotas.find(state, covered);
        let is_in_force = quota.limits.is_some() && quota.usage.is_some();
        match (part, change) {
            (Part::Limits, PartChange::Created(data) | PartChange::Replaced(data)) => {
                quota.limits = Some(Limits::parse(data));
            }
            (Part::Limits, PartChange::Removed) => quota.limits = None,
            (Part::Stats, PartChange::Created(_)) => quota.usage = Some(Usage::default()),
            (Part::Stats, PartChange::Replaced(_)) if is_in_force => {
                self.quotas.counted.insert(covered.to_owned());
            }
            (Part::Stats, PartChange::Replaced(data)) => {
                quota.usage = Some(Usage::parse(data));
                self.quotas.counted.remove(covered);
            }
            (Part::Stats, PartChange::Removed) => quota.usage = None,
        }
        self.set_quota(covered, quota);
        if matches!(change, PartChange::Created(_)) {
            self.recount(state, covered);
        }
        // What this quota covers is what the next one above it does not.
        if part == Part::Limits
            && !matches!(change, PartChange::Replaced(_))
            && let Some(above) = path::parent(covered)
            && let Some(outer) = self.quotas.nearest(state, above)
        {
            self.recount(state, outer);
        }
    }

    /// Returns what the stats of each quota say after the txn being prepared, where it changes them
    /// and they are still there.
    pub fn take_counted(&mut self) -> Vec<QuotaUsage> {
        let counted = std::mem::take(&mut self.quotas.counted);
        let usage = |covered: String| {
            let usage = self.quotas.overlay.find(&covered)?.usage?;
            Some(QuotaUsage { covered, usage })
        };
        counted.into_iter().filter_map(usage).collect()
    }

    fn set_quota(&mut self, covered: &str, quota: Quota) {
        self.quotas.overlay.set(covered, quota);
    }

    /// Counts anew what the quota on a path covers, if there are stats to tell it.
    fn recount(&mut self, state: &State, covered: &str) {
        let mut quota = self.quotas.find(state, covered);
        if quota.usage.is_none() {
            return;
        }
        let mut usage = self.usage(state, covered);
        for nested in self.quotas.nearest_below(state, covered) {
            usage = usage.without(self.usage(state, &nested));
        }
        quota.usage = Some(usage);
        self.set_quota(covered, quota);
        self.quotas.counted.insert(covered.to_owned());
    }

    /// Counts what there will be at a path and below it.
    fn usage(&self, state: &State, top: &str) -> Usage {
        let mut usage = state.tree.usage(top);
        for (path, future) in self.znodes.iter().filter(|(path, _)| is_at_or_below(path, top)) {
            if let Some(node) = state.tree.node(path) {
                usage = usage.without(one(node.data_len()));
            }
            if let Some(Future { data_len, .. }) = future {
                usage += one(*data_len);
            }
        }
        usage
    }
}

impl Quotas {
    pub(super) fn is_warning_due(&mut self, covered: &str, time_ms: i64) -> bool {
        let is_recent = |at: &i64| (*at..at.saturating_add(WARNING_INTERVAL_MS)).contains(&time_ms);
        if self.warned.get(covered).is_some_and(is_recent) {
            return false;
        }
        if self.warned.len() >= WARNED_MAX {
            self.warned.clear();
        }
        self.warned.insert(covered.to_owned(), time_ms);
        true
    }
}

/// Returns what one znode counts.
pub const fn one(data_len: usize) -> Usage {
    Usage { count: 1, bytes: data_len as i64 }
}
