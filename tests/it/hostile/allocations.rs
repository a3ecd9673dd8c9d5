//! Counts what a thread allocates, so that a decoder cannot take memory out of proportion unseen.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// The system's allocator, with a tally a thread.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

thread_local! {
    // no destructor and no lazy start: fit to be used from within an allocator
    static HELD: Cell<usize> = const { Cell::new(0) };
    static PEAK: Cell<usize> = const { Cell::new(0) };
}

fn took(bytes: usize) {
    let held = HELD.get().saturating_add(bytes);
    HELD.set(held);
    PEAK.set(PEAK.get().max(held));
}

fn gave(bytes: usize) {
    HELD.set(HELD.get().saturating_sub(bytes)); // what another thread took may be given back here
}

// SAFETY: every call is handed to the system's allocator as it came; the tally touches thread-local
// cells only, which neither allocate nor unwind.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        took(layout.size());
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        gave(layout.size());
        // SAFETY: the caller keeps the contract of `dealloc`, and `at` came from the system's allocator.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        took(layout.size());
        // SAFETY: the caller keeps the contract of `alloc_zeroed`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        gave(layout.size());
        took(new_size);
        // SAFETY: the caller keeps the contract of `realloc`, and `at` came from the system's allocator.
        unsafe { System.realloc(at, layout, new_size) }
    }
}

/// The most bytes that this thread held during `work`, above what it held before.
pub(crate) fn peak_during(work: impl FnOnce()) -> usize {
    let before = HELD.get();
    PEAK.set(before);
    work();
    PEAK.get() - before
}

#[test]
fn a_large_allocation_is_seen() {
    let peak = peak_during(|| drop(std::hint::black_box(vec![1u8; 3 << 20])));
    assert!((3 << 20..4 << 20).contains(&peak), "{peak}");
    assert!(peak_during(|| ()) < 1 << 10);
}
