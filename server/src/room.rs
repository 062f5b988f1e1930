//! When a disk counts as nearly full. What is kept free lets deletes and sessions go on, an operator
//! log in, and a member start again.

use conclave_snapshots::fs::Room;

/// Room that is kept free, in bytes, on a disk that is large enough.
const KEPT_BYTES_MAX: u64 = 64 << 20;

/// The share of a small disk that is kept free: one part of this many.
const KEPT_SHARE: u64 = 16;

/// How often a member looks at its disk, in milliseconds.
pub const LOOK_INTERVAL_MS: u64 = 250;

/// Returns whether a disk is nearly full. Once it is, it has to have half as much again before it is
/// not any more, so that the answer does not change with every file.
pub fn is_short(room: Room, was_short: bool) -> bool {
    let kept_bytes = KEPT_BYTES_MAX.min(room.total_bytes / KEPT_SHARE);
    let enough_bytes = if was_short { kept_bytes + kept_bytes / 2 } else { kept_bytes };
    room.free_bytes < enough_bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn room(free_bytes: u64, total_bytes: u64) -> Room {
        Room { free_bytes, total_bytes }
    }

    #[test]
    fn a_large_disk_keeps_64_mib_and_a_small_one_its_share() {
        assert!(!is_short(room(64 << 20, 1 << 40), false));
        assert!(is_short(room((64 << 20) - 1, 1 << 40), false));
        assert!(!is_short(room(2 << 20, 32 << 20), false));
        assert!(is_short(room((2 << 20) - 1, 32 << 20), false));
    }

    #[test]
    fn a_disk_that_was_short_needs_half_as_much_again() {
        assert!(is_short(room(95 << 20, 1 << 40), true));
        assert!(!is_short(room(96 << 20, 1 << 40), true));
    }
}
