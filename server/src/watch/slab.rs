//! Places with numbers that stay: half the size of pointers, and nothing is copied to keep order.

/// No place.
pub(super) const NONE: u32 = u32::MAX;

/// Values by number; numbers of removed ones are used again.
#[derive(Debug)]
pub(super) struct Slab<T> {
    places: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { places: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slab<T> {
    pub(super) fn insert(&mut self, value: T) -> u32 {
        if let Some(at) = self.free.pop() {
            self.places[at as usize] = Some(value);
            return at;
        }
        let at = u32::try_from(self.places.len()).expect("memory ends before the numbers");
        assert!(at != NONE, "the last number means none");
        self.places.push(Some(value));
        at
    }

    pub(super) fn remove(&mut self, at: u32) -> T {
        let value = self.places[at as usize].take().expect("a number that is linked is in use");
        self.free.push(at);
        value
    }

    pub(super) fn get(&self, at: u32) -> &T {
        self.places[at as usize].as_ref().expect("a number that is linked is in use")
    }

    pub(super) fn get_mut(&mut self, at: u32) -> &mut T {
        self.places[at as usize].as_mut().expect("a number that is linked is in use")
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.places.iter().flatten()
    }

    pub(super) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }
}
