//! Values as they will be when everything in flight is applied, laid over those of the state.

use std::collections::HashMap;

/// Values by path, each for as long as a txn that sets it is in flight.
#[derive(Debug)]
pub(super) struct Overlay<T> {
    records: HashMap<String, Record<T>>,
    /// What the txn being prepared has set, with the value before it: undone when it is refused.
    current: Vec<(String, Option<T>)>,
}

#[derive(Debug)]
struct Record<T> {
    /// How often txns in flight set it; at 0 the state itself tells the truth.
    in_flight: u32,
    value: T,
}

impl<T> Default for Overlay<T> {
    fn default() -> Self {
        Self { records: HashMap::new(), current: Vec::new() }
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
        self.records.iter().map(|(path, record)| (path.as_str(), &record.value))
    }

    /// Sets a value for the txn being prepared and those behind it.
    pub(super) fn set(&mut self, path: &str, value: T) {
        let before = match self.records.get_mut(path) {
            Some(record) => {
                record.in_flight += 1;
                Some(std::mem::replace(&mut record.value, value))
            }
            None => {
                self.records.insert(path.to_owned(), Record { in_flight: 1, value });
                None
            }
        };
        self.current.push((path.to_owned(), before));
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

    /// Ends the preparation of a txn and returns the paths it set, for [`Self::applied`].
    pub(super) fn prepared(&mut self) -> Vec<String> {
        self.current.drain(..).map(|(path, _)| path).collect()
    }

    /// Notes that a txn is applied that set these.
    pub(super) fn applied(&mut self, paths: Vec<String>) {
        for path in paths {
            let record = self.records.get_mut(&path).expect("in flight until now");
            record.in_flight -= 1;
            if record.in_flight == 0 {
                self.records.remove(&path);
            }
        }
    }
}
