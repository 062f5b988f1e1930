//! Values as they will be when everything in flight is applied, laid over those of the state.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use foldhash::fast::RandomState;

/// Values by path, each for as long as a txn that sets it is in flight.
#[derive(Debug)]
pub(super) struct Overlay<T> {
    /// A path is kept once, however often it is in flight.
    records: HashMap<Arc<str>, Record<T>, RandomState>,
    /// What the txn being prepared has set, with the value before it: undone when it is refused.
    current: Vec<(Arc<str>, Option<T>)>,
    /// The paths that prepared txns have set, oldest first.
    prepared: VecDeque<Arc<str>>,
}

#[derive(Debug)]
struct Record<T> {
    /// How often txns in flight set it; at 0 the state itself tells the truth.
    in_flight: u32,
    value: T,
}

impl<T> Default for Overlay<T> {
    fn default() -> Self {
        Self { records: HashMap::default(), current: Vec::new(), prepared: VecDeque::new() }
    }
}

impl<T: Clone> Overlay<T> {
    /// Returns whether nothing is in flight.
    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Returns the value that will be; `None` when the state tells it.
    pub(super) fn find(&self, path: &str) -> Option<&T> {
        self.records.get(path).map(|record| &record.value)
    }

    /// Iterates over all that is in flight, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &T)> {
        self.records.iter().map(|(path, record)| (&**path, &record.value))
    }

    /// Sets a value for the txn being prepared and those behind it.
    pub(super) fn set(&mut self, path: &str, value: T) {
        if let Some((path, _)) = self.records.get_key_value(path) {
            let path = path.clone();
            let record = self.records.get_mut(&path).expect("found just now");
            record.in_flight += 1;
            let before = std::mem::replace(&mut record.value, value);
            self.current.push((path, Some(before)));
        } else {
            let path: Arc<str> = Arc::from(path);
            self.records.insert(path.clone(), Record { in_flight: 1, value });
            self.current.push((path, None));
        }
    }

    /// Takes back what the txn being prepared has set.
    pub(super) fn undo(&mut self) {
        while let Some((path, before)) = self.current.pop() {
            let record = self.records.get_mut(&path).expect("set by the txn being prepared");
            match before {
                Some(value) => {
                    record.in_flight -= 1;
                    record.value = value;
                }
                None => {
                    self.records.remove(&path);
                }
            }
        }
    }

    /// Ends the preparation of a txn and returns how much it has set, for [`Self::applied`].
    pub(super) fn prepared(&mut self) -> usize {
        let count = self.current.len();
        self.prepared.extend(self.current.drain(..).map(|(path, _)| path));
        count
    }

    /// Notes that the oldest txn in flight is applied, which has set so much.
    pub(super) fn applied(&mut self, count: usize) {
        for path in self.prepared.drain(..count) {
            let record = self.records.get_mut(&path).expect("in flight until now");
            record.in_flight -= 1;
            if record.in_flight == 0 {
                self.records.remove(&path);
            }
        }
    }
}
