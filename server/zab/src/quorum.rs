//! The arithmetic of majorities: pure functions, no state.

use alloc::{collections::BTreeSet, vec::Vec};

use conclave_protocol::ids::ServerId;

/// Returns whether `members`, voters or not, hold a majority of `voters`.
pub(crate) fn is_quorum(
    voters: &BTreeSet<ServerId>,
    members: impl IntoIterator<Item = ServerId>,
) -> bool {
    let present: BTreeSet<ServerId> =
        members.into_iter().filter(|member| voters.contains(member)).collect();
    present.len() > voters.len() / 2
}

/// Returns the greatest value that a majority of `voters` members has reached, if one has; `reached`
/// holds at most one value of each voter.
pub(crate) fn reached_by_quorum<T: Copy + Ord>(voters: usize, mut reached: Vec<T>) -> Option<T> {
    assert!(reached.len() <= voters, "one value of each voter");
    reached.sort_unstable_by(|a, b| b.cmp(a));
    reached.get(voters / 2).copied()
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    #[test]
    fn half_is_no_quorum_and_strangers_do_not_count() {
        let voters: BTreeSet<ServerId> = [1, 2, 3, 4].map(ServerId).into();
        assert!(!is_quorum(&voters, [1, 2, 9, 8].map(ServerId)));
        assert!(is_quorum(&voters, [1, 2, 4].map(ServerId)));
        assert!(!is_quorum(&voters, [1, 1, 1].map(ServerId)));
    }

    #[test]
    fn the_median_is_what_a_quorum_has_reached() {
        assert_eq!(reached_by_quorum(3, vec![5, 9]), Some(5));
        assert_eq!(reached_by_quorum(3, vec![9]), None);
        assert_eq!(reached_by_quorum(5, vec![1, 2, 3, 4, 5]), Some(3));
        assert_eq!(reached_by_quorum(1, vec![7]), Some(7));
    }
}
