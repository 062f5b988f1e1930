//! How much memory one piece of work holds: the allocator of every program that this crate is in.
#![expect(unsafe_code, reason = "an allocator that counts cannot be written without")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

/// What one piece of work may hold at once, for an input of a known length.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// Bytes for each byte of the input.
    pub per_byte: usize,
    /// Bytes besides.
    pub base_bytes: usize,
}

impl Limit {
    /// Decoders of what comes over a wire. The largest factor is that of a multi's results: nine bytes
    /// of a header become one of at most 128, in a vector that has grown to twice its length.
    pub const WIRE: Self = Self { per_byte: 32, base_bytes: 1024 };

    /// Returns the bytes that an input of `len_bytes` allows.
    pub const fn bytes(self, len_bytes: usize) -> usize {
        self.per_byte * len_bytes + self.base_bytes
    }

    /// Does `work` on an input of `len_bytes`.
    ///
    /// # Panics
    ///
    /// When this thread holds more than allowed at any time meanwhile.
    pub fn hold<T>(self, len_bytes: usize, work: impl FnOnce() -> T) -> T {
        let before = LIVE_BYTES.get();
        PEAK_BYTES.set(before);
        let result = work();
        let held = PEAK_BYTES.get() - before;
        let allowed = self.bytes(len_bytes);
        assert!(
            held <= allowed as isize,
            "{held} bytes were allocated for an input of {len_bytes}, which allows {allowed}"
        );
        result
    }
}

thread_local! {
    /// Bytes allocated and not freed by this thread; less than zero where it frees what others gave it.
    static LIVE_BYTES: Cell<isize> = const { Cell::new(0) };

    /// The most of them since [`Limit::hold`] began.
    static PEAK_BYTES: Cell<isize> = const { Cell::new(0) };
}

fn note(bytes: isize) {
    let live = LIVE_BYTES.get() + bytes;
    LIVE_BYTES.set(live);
    PEAK_BYTES.set(PEAK_BYTES.get().max(live));
}

/// The system's allocator, which this counts.
#[derive(Debug)]
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call goes to the system's allocator as it came; the counters are cells of the thread,
// made without allocation and never dropped.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size() as isize);
        // SAFETY: the caller's promises are those of the system's allocator.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(layout.size() as isize);
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        note(-(layout.size() as isize));
        // SAFETY: as above.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, len: usize) -> *mut u8 {
        note(len as isize - layout.size() as isize);
        // SAFETY: as above.
        unsafe { System.realloc(place, layout, len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Limit = Limit { per_byte: 2, base_bytes: 1000 };

    #[test]
    fn what_is_freed_again_counts_only_while_it_is_held() {
        let piece = || Vec::<u8>::with_capacity(1000).capacity();
        assert_eq!(LIMIT.hold(10, || piece() + piece()), 2000);
    }

    #[test]
    #[should_panic(expected = "1021 bytes were allocated for an input of 10, which allows 1020")]
    fn a_byte_more_than_allowed_is_noticed() {
        LIMIT.hold(10, || drop(Vec::<u8>::with_capacity(1021)));
    }

    /// A vector that grows lets go of the smaller one: what is held then counts as well.
    #[test]
    #[should_panic(expected = "were allocated")]
    fn what_grows_is_noticed() {
        LIMIT.hold(10, || {
            let mut bytes = Vec::with_capacity(500);
            bytes.resize(1021, 7_u8);
            bytes
        });
    }
}
