//! Quotas, written down anew: which part of the tree each covers, what there is of it, what may be.

use std::fmt;

use bytes::Bytes;
use conclave_protocol::path;

use crate::model::Znode;

/// Where quotas are kept.
pub(crate) const ROOT: &str = "/zookeeper/quota";

const LIMITS: &str = "/zookeeper_limits";
const STATS: &str = "/zookeeper_stats";

/// Returns whether a znode is below the root of quotas.
pub(crate) fn is_part(path: &str) -> bool {
    path.starts_with(ROOT)
}

/// Returns the path that a znode limits, if that is what it is for.
pub(crate) fn limited(path: &str) -> Option<String> {
    path.strip_prefix(ROOT)?.strip_suffix(LIMITS).map(str::to_owned)
}

/// Returns the path of which a znode tells what there is, if that is what it is for.
pub(crate) fn counted(path: &str) -> Option<String> {
    path.strip_prefix(ROOT)?.strip_suffix(STATS).map(str::to_owned)
}

/// Returns the znode with the limits of a path.
pub(crate) fn limits(covered: &str) -> String {
    format!("{ROOT}{covered}{LIMITS}")
}

/// Returns the znode with what there is of a path.
pub(crate) fn stats(covered: &str) -> String {
    format!("{ROOT}{covered}{STATS}")
}

/// Returns the path whose quota a znode counts for: the nearest that has limits.
pub(crate) fn nearest(path: &str, is_there: impl Fn(&str) -> bool) -> Option<String> {
    if path.starts_with("/zookeeper") {
        return None;
    }
    let above = std::iter::successors(Some(path), |path| path::parent(path));
    above.filter(|path| *path != "/").find(|path| is_there(&limits(path))).map(str::to_owned)
}

/// What there is of a part of the tree.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Usage {
    pub(crate) znodes: i64,
    pub(crate) bytes: i64,
}

/// The text of the stats.
impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "count={},bytes={}", self.znodes, self.bytes)
    }
}

/// Counts what belongs to a quota, of all znodes.
pub(crate) fn usage(
    covered: &str,
    all: &[(&str, &Znode)],
    is_there: impl Fn(&str) -> bool,
) -> Usage {
    let mut usage = Usage::default();
    let is_at_or_below = |path: &str| {
        let rest = path.strip_prefix(covered);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let has_limits = is_there(&limits(covered));
    for (path, znode) in all.iter().filter(|(path, _)| is_at_or_below(path)) {
        // Without limits of its own it tells of all that is there.
        if !has_limits || nearest(path, &is_there).as_deref() == Some(covered) {
            usage.znodes += 1;
            usage.bytes += len(znode.data.as_ref());
        }
    }
    usage
}

pub(crate) fn len(data: Option<&Bytes>) -> i64 {
    data.map_or(0, Bytes::len) as i64
}

/// Returns the hard limits that a text sets: of znodes, and of bytes.
pub(crate) fn hard_limits(text: Option<&Bytes>) -> (Option<i64>, Option<i64>) {
    let text = text.map(|text| String::from_utf8_lossy(text).into_owned()).unwrap_or_default();
    let limit = |name: &str| {
        let value = text.split([',', ';']).find_map(|pair| pair.strip_prefix(name))?;
        value.trim_end_matches('=').parse().ok().filter(|limit| *limit >= 0)
    };
    (limit("countHardLimit="), limit("byteHardLimit="))
}

/// Writes limits as the tools do.
pub(crate) fn limits_text(znodes: i64, bytes: i64) -> Bytes {
    format!("count=-1,bytes=-1=;byteHardLimit={bytes};countHardLimit={znodes}").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_as_they_are_written() {
        assert_eq!(hard_limits(Some(&limits_text(5, 100))), (Some(5), Some(100)));
        assert_eq!(hard_limits(Some(&limits_text(-1, 0))), (None, Some(0)));
        assert_eq!(hard_limits(None), (None, None));
    }

    #[test]
    fn a_znode_counts_for_the_nearest_path_with_limits() {
        let limited = ["/a", "/a/b"].map(limits);
        let is_there = |path: &str| limited.iter().any(|limits| limits == path);
        assert_eq!(nearest("/a/b/c", is_there).as_deref(), Some("/a/b"));
        assert_eq!(nearest("/a/c", is_there).as_deref(), Some("/a"));
        assert_eq!(nearest("/ab", is_there), None);
    }
}
