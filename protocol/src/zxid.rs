//! Positions in the total order of txns.

use core::fmt;

/// Reign of one leader; the high half of a [`Zxid`].
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Epoch(pub u32);

impl Epoch {
    /// Returns the next epoch, or `None` when the 32 bits are spent.
    pub const fn successor(self) -> Option<Self> {
        match self.0.checked_add(1) {
            Some(next) => Some(Self(next)),
            None => None,
        }
    }
}

/// Position of a txn in the total order: epoch in the high 32 bits, counter in the low 32.
#[derive(Clone, Copy, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Zxid(pub u64);

impl Zxid {
    /// Before every txn: what an empty member has.
    pub const ZERO: Self = Self(0);
    /// What reply headers of watch events carry: -1 on the wire.
    pub const NONE: Self = Self(u64::MAX);

    /// Returns the position `counter` in `epoch`.
    pub const fn new(epoch: Epoch, counter: u32) -> Self {
        Self((epoch.0 as u64) << 32 | counter as u64)
    }

    /// Returns the epoch half.
    pub const fn epoch(self) -> Epoch {
        Epoch((self.0 >> 32) as u32)
    }

    /// Returns the counter half.
    pub const fn counter(self) -> u32 {
        self.0 as u32
    }

    /// Returns the next zxid of the same epoch, or `None` when the counter is spent and the leader
    /// must step down so that a new epoch begins.
    pub const fn successor(self) -> Option<Self> {
        if self.counter() == u32::MAX { None } else { Some(Self(self.0 + 1)) }
    }

    /// Returns whether a log may hold `next` directly behind `self`: the successor, or the first
    /// txn of a later epoch.
    pub const fn is_followed_by(self, next: Self) -> bool {
        if self.epoch().0 == next.epoch().0 {
            self.counter() != u32::MAX && next.0 == self.0 + 1
        } else {
            self.epoch().0 < next.epoch().0 && next.counter() == 1
        }
    }

    /// Returns whether it is after `other`, where either may be a client's word, and negative: such a
    /// one is before every txn.
    pub const fn is_after(self, other: Self) -> bool {
        self.to_wire() > other.to_wire()
    }

    /// Returns the wire form of reply headers, where [`Self::NONE`] is -1.
    pub const fn to_wire(self) -> i64 {
        self.0 as i64
    }

    /// Reads the wire form of reply headers.
    pub const fn from_wire(value: i64) -> Self {
        Self(value as u64)
    }
}

/// Lower-case hexadecimal without padding, as in file names and logs.
impl fmt::Display for Zxid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

/// `epoch.counter`, for failure messages.
impl fmt::Debug for Zxid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch().0, self.counter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spent_counter_has_no_successor() {
        let last = Zxid::new(Epoch(3), u32::MAX);
        assert_eq!(last.successor(), None);
        assert!(!last.is_followed_by(Zxid::new(Epoch(4), 0)));
        assert!(last.is_followed_by(Zxid::new(Epoch(4), 1)));
    }

    #[test]
    fn only_the_successor_or_a_new_epoch_follows() {
        let here = Zxid::new(Epoch(2), 7);
        assert!(here.is_followed_by(Zxid::new(Epoch(2), 8)));
        assert!(here.is_followed_by(Zxid::new(Epoch(5), 1)));
        assert!(!here.is_followed_by(Zxid::new(Epoch(2), 9)));
        assert!(!here.is_followed_by(here));
        assert!(!here.is_followed_by(Zxid::new(Epoch(1), 1)));
    }
}
