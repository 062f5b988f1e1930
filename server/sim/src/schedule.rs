//! What happens next: a queue in virtual time.

use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
};

/// Things that will happen, each at its time; of those at one time, the one noted first is first.
#[derive(Debug)]
pub(crate) struct Schedule<T> {
    heap: BinaryHeap<Reverse<Item<T>>>,
    noted: u64,
}

#[derive(Debug)]
struct Item<T> {
    at_us: u64,
    order: u64,
    what: T,
}

impl<T> Item<T> {
    const fn key(&self) -> (u64, u64) {
        (self.at_us, self.order)
    }
}

impl<T> PartialEq for Item<T> {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl<T> Eq for Item<T> {}

impl<T> PartialOrd for Item<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Item<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl<T> Schedule<T> {
    pub(crate) const fn new() -> Self {
        Self { heap: BinaryHeap::new(), noted: 0 }
    }

    pub(crate) fn note(&mut self, at_us: u64, what: T) {
        self.noted += 1;
        self.heap.push(Reverse(Item { at_us, order: self.noted, what }));
    }

    /// Takes what is next, and when it is.
    pub(crate) fn next(&mut self) -> Option<(u64, T)> {
        self.heap.pop().map(|Reverse(item)| (item.at_us, item.what))
    }
}
