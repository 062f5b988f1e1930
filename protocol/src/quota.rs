//! Quotas: the texts that ZooKeeper's tools keep below `/zookeeper/quota`, and what they cover.
//!
//! A quota on `/a/b` is two znodes: `/zookeeper/quota/a/b/zookeeper_limits`, which its owner writes,
//! and `/zookeeper/quota/a/b/zookeeper_stats`, which the service keeps while both are there.

use alloc::{format, string::String};
use core::{fmt, ops::AddAssign};

/// The znode that quotas are kept below.
pub const QUOTA_ROOT: &str = "/zookeeper/quota";

/// The znodes of the service itself: no quota covers them.
const SYSTEM_ROOT: &str = "/zookeeper";

/// The name of what a quota allows.
pub const LIMITS_NAME: &str = "zookeeper_limits";

/// The name of what a quota counts.
pub const STATS_NAME: &str = "zookeeper_stats";

/// One of the two znodes of a quota.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Part {
    /// What may be used.
    Limits,
    /// What is used.
    Stats,
}

/// Returns which part of which quota a znode is, as the path that the quota is on; `None` for any
/// other znode, and where no quota counts: on the root, and on the service's own znodes.
pub fn part_of(path: &str) -> Option<(&str, Part)> {
    let (above, name) = path.rsplit_once('/')?;
    let part = match name {
        LIMITS_NAME => Part::Limits,
        STATS_NAME => Part::Stats,
        _ => return None,
    };
    let covered = above.strip_prefix(QUOTA_ROOT)?;
    (covered.starts_with('/') && can_cover(covered)).then_some((covered, part))
}

/// Returns the path of the limits of the quota on `covered`.
pub fn limits_path(covered: &str) -> String {
    format!("{QUOTA_ROOT}{covered}/{LIMITS_NAME}")
}

/// Returns the path of the stats of the quota on `covered`.
pub fn stats_path(covered: &str) -> String {
    format!("{QUOTA_ROOT}{covered}/{STATS_NAME}")
}

/// Returns whether a quota on `path` would count.
pub fn can_cover(path: &str) -> bool {
    path != "/" && !is_at_or_below(path, SYSTEM_ROOT)
}

/// Returns whether `path` is `top` or below it: `/ab` is not below `/a`.
pub fn is_at_or_below(path: &str, top: &str) -> bool {
    match path.strip_prefix(top) {
        Some(rest) => rest.is_empty() || rest.starts_with('/') || top == "/",
        None => false,
    }
}

/// How much there is of a part of the tree, or how much more of it.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Usage {
    /// Znodes.
    pub count: i64,
    /// Bytes of data.
    pub bytes: i64,
}

impl Usage {
    /// Reads the text of a stats znode; a number that cannot be read is 0.
    pub fn parse(text: &[u8]) -> Self {
        let mut usage = Self::default();
        for (key, value) in pairs(text) {
            match key {
                b"count" => usage.count = value,
                b"bytes" => usage.bytes = value,
                _ => {}
            }
        }
        usage
    }

    /// Returns what is there without `other`.
    pub const fn without(self, other: Self) -> Self {
        Self {
            count: self.count.saturating_sub(other.count),
            bytes: self.bytes.saturating_sub(other.bytes),
        }
    }
}

impl AddAssign for Usage {
    fn add_assign(&mut self, more: Self) {
        // What a client wrote into the stats may be any number.
        self.count = self.count.saturating_add(more.count);
        self.bytes = self.bytes.saturating_add(more.bytes);
    }
}

/// The text of a stats znode.
impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "count={},bytes={}", self.count, self.bytes)
    }
}

/// How much of one thing there may be; each bound is `None` where there is none.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Bounds {
    /// Beyond this there is a warning.
    pub soft: Option<i64>,
    /// Beyond this there is a refusal.
    pub hard: Option<i64>,
}

/// What a quota allows.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Limits {
    /// Znodes.
    pub count: Bounds,
    /// Bytes of data.
    pub bytes: Bounds,
}

impl Limits {
    /// Reads the text of a limits znode. Negative numbers are no bounds, and so is what cannot be
    /// read.
    pub fn parse(text: &[u8]) -> Self {
        let mut limits = Self::default();
        for (key, value) in pairs(text) {
            let bound = (value >= 0).then_some(value);
            match key {
                b"count" => limits.count.soft = bound,
                b"countHardLimit" => limits.count.hard = bound,
                b"bytes" => limits.bytes.soft = bound,
                b"byteHardLimit" => limits.bytes.hard = bound,
                _ => {}
            }
        }
        limits
    }
}

/// Iterates over the pairs of `count=5,bytes=100=;byteHardLimit=200;countHardLimit=7`. The `=`
/// before the `;` is ZooKeeper's own: it keeps old servers from reading on.
fn pairs(text: &[u8]) -> impl Iterator<Item = (&[u8], i64)> {
    text.split(|byte| matches!(byte, b',' | b';')).filter_map(|pair| {
        let mut sides = pair.split(|byte| *byte == b'=');
        let (key, value) = (sides.next()?, sides.next()?);
        Some((key, core::str::from_utf8(value).ok()?.parse().ok()?))
    })
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    const fn bounds(soft: Option<i64>, hard: Option<i64>) -> Bounds {
        Bounds { soft, hard }
    }

    #[test]
    fn limits_are_read_as_zookeepers_shell_writes_them() {
        let none = bounds(None, None);
        for (text, count, bytes) in [
            ("count=5,bytes=-1=;byteHardLimit=-1;countHardLimit=-1", bounds(Some(5), None), none),
            (
                "count=5,bytes=100=;byteHardLimit=200;countHardLimit=7",
                bounds(Some(5), Some(7)),
                bounds(Some(100), Some(200)),
            ),
            ("count=2,bytes=20", bounds(Some(2), None), bounds(Some(20), None)),
            ("count=-1,bytes=-1=;byteHardLimit=0", none, bounds(None, Some(0))),
            ("", none, none),
            ("count=,bytes=x,countHardLimit,;;=3,=", none, none),
        ] {
            assert_eq!(Limits::parse(text.as_bytes()), Limits { count, bytes }, "{text}");
        }
    }

    #[test]
    fn stats_are_written_and_read_as_zookeepers_are() {
        let usage = Usage { count: 3, bytes: 25 };
        assert_eq!(usage.to_string(), "count=3,bytes=25");
        assert_eq!(Usage::parse(b"count=3,bytes=25"), usage);
        assert_eq!(Usage::parse(b"junk\xff"), Usage::default());
    }

    #[test]
    fn parts_of_a_quota_are_told_from_other_znodes() {
        let path = limits_path("/a/b");
        assert_eq!(path, "/zookeeper/quota/a/b/zookeeper_limits");
        assert_eq!(part_of(&path), Some(("/a/b", Part::Limits)));
        assert_eq!(part_of(&stats_path("/a")), Some(("/a", Part::Stats)));
        for other in [
            "/zookeeper/quota/zookeeper_limits",
            "/zookeeper/quotas/a/zookeeper_limits",
            "/zookeeper/quota/zookeeper/config/zookeeper_stats",
            "/zookeeper/quota/a/zookeeper_limit",
            "/a/zookeeper_stats",
            "/",
        ] {
            assert_eq!(part_of(other), None, "{other}");
        }
        assert!(part_of("/zookeeper/quota/zookeepers/zookeeper_stats").is_some());
    }

    #[test]
    fn a_quota_does_not_cover_names_that_begin_alike() {
        assert!(is_at_or_below("/a", "/a") && is_at_or_below("/a/b/c", "/a"));
        assert!(!is_at_or_below("/ab", "/a") && !is_at_or_below("/", "/a"));
        assert!(is_at_or_below("/a", "/"));
    }
}
