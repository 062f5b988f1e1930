//! Quotas, written down anew: which part of the tree each covers, what there is of it, what may be.

use std::{fmt, sync::Arc};

use crate::model::Znode;
use bytes::Bytes;

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

/// Returns the path whose quota a znode counts for: the nearest of those that have limits.
pub(crate) fn nearest<'a>(path: &str, limited: &'a [String]) -> Option<&'a String> {
    limited.iter().filter(|covered| is_at_or_below(path, covered)).max_by_key(|path| path.len())
}

fn is_at_or_below(path: &str, top: &str) -> bool {
    path.strip_prefix(top).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
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

/// Counts what belongs to the quota of a path, of these znodes.
pub(crate) fn usage<'a>(
    covered: &str,
    limited: &[String],
    znodes: impl Iterator<Item = (&'a str, &'a Arc<Znode>)>,
) -> Usage {
    let mut usage = Usage::default();
    // Without limits of its own it tells of all that is there.
    let has_limits = limited.iter().any(|path| path == covered);
    for (path, znode) in znodes.filter(|(path, _)| is_at_or_below(path, covered)) {
        if !has_limits || nearest(path, limited).is_some_and(|nearest| nearest == covered) {
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
        let limited = ["/a", "/a/b"].map(str::to_owned);
        assert_eq!(nearest("/a/b/c", &limited), Some(&limited[1]));
        assert_eq!(nearest("/a/c", &limited), Some(&limited[0]));
        assert_eq!(nearest("/ab", &limited), None);
    }
}
