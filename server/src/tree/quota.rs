//! Quotas in the tree: which paths have one, what its two znodes say, and what there is below a
//! path. Which quota a znode counts for is decided by prepare.

use std::{
    collections::BTreeSet,
    ops::Bound::{Included, Unbounded},
};

use conclave_protocol::quota::{Limits, Part, Usage, limits_path, part_of, stats_path};

use super::Tree;

/// A quota: what its two znodes say, as far as they are there.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Quota {
    /// What may be used; without it nothing is counted.
    pub limits: Option<Limits>,
    /// What is used.
    pub usage: Option<Usage>,
}

/// The paths that have limits.
pub(super) type Quotas = BTreeSet<String>;

impl Tree {
    /// Returns whether any path has a quota.
    pub fn has_quotas(&self) -> bool {
        !self.quotas.is_empty()
    }

    /// Returns whether there are limits for exactly this path.
    pub fn has_limits(&self, covered: &str) -> bool {
        self.quotas.contains(covered)
    }

    /// Returns what the two znodes of the quota on a path say.
    pub fn quota(&self, covered: &str) -> Quota {
        let data = |path: String| self.node(&path).map(|node| node.data().unwrap_or_default());
        Quota {
            limits: data(limits_path(covered)).map(Limits::parse),
            usage: data(stats_path(covered)).map(Usage::parse),
        }
    }

    /// Iterates over the paths below `top` that have limits.
    pub fn quotas_below(&self, top: &str) -> impl Iterator<Item = &str> {
        let below = format!("{top}/");
        let from = self.quotas.range::<str, _>((Included(below.as_str()), Unbounded));
        from.map(String::as_str).take_while(move |covered| covered.starts_with(&below))
    }

    /// Counts the znode at a path and all below it.
    pub fn usage(&self, top: &str) -> Usage {
        let mut usage = Usage::default();
        let mut open: Vec<u32> = self.arena.find(top).into_iter().collect();
        while let Some(slot) = open.pop() {
            let bytes = self.arena.get(slot).data().map_or(0, <[u8]>::len) as i64;
            usage += Usage { count: 1, bytes };
            open.extend(self.arena.children(slot));
        }
        usage
    }

    /// Writes what there is into a quota's stats, if they are there. That is no change that the
    /// stat tells of but by the length, and none that a watch waits for, as in ZooKeeper.
    pub fn set_usage(&mut self, covered: &str, usage: Usage) {
        if let Some(slot) = self.arena.find(&stats_path(covered)) {
            self.replace_data(slot, Some(usage.to_string().as_bytes()));
        }
    }

    pub(super) fn note_quota(&mut self, path: &str) {
        if let Some((covered, Part::Limits)) = part_of(path) {
            self.quotas.insert(covered.to_owned());
        }
    }

    pub(super) fn forget_quota(&mut self, path: &str) {
        if let Some((covered, Part::Limits)) = part_of(path) {
            self.quotas.remove(covered);
        }
    }
}

#[cfg(test)]
impl Tree {
    /// Panics unless the paths with limits are those whose limits are there.
    pub(super) fn check_quotas(&self) {
        let paths: Vec<String> = self.arena.slots().map(|slot| self.arena.path(slot)).collect();
        let limited = paths.iter().filter_map(|path| match part_of(path) {
            Some((covered, Part::Limits)) => Some(covered.to_owned()),
            _ => None,
        });
        assert_eq!(self.quotas, limited.collect());
    }
}
