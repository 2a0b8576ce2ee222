//! The system's allocator, which counts the bytes that are in use: for tests of what something takes, each in a process of its own.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

struct Counting;

static IN_USE: AtomicUsize = AtomicUsize::new(0);
static MOST_IN_USE: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What `act` gives, and how many bytes more than before were in use meanwhile at most.
pub(crate) fn peak_of<R>(act: impl FnOnce() -> R) -> (R, usize) {
    let held = IN_USE.load(Ordering::Relaxed);
    MOST_IN_USE.store(held, Ordering::Relaxed);
    let result = act();
    (result, MOST_IN_USE.load(Ordering::Relaxed) - held)
}

/// How many bytes are in use.
#[allow(dead_code, reason = "not every test asks what is left")]
pub(crate) fn in_use() -> usize {
    IN_USE.load(Ordering::Relaxed)
}

// SAFETY: the system's allocator does it all.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = IN_USE.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        MOST_IN_USE.fetch_max(now, Ordering::Relaxed);
        // SAFETY: whoever calls this keeps the trait's contract, which is the system allocator's as well.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: whoever calls this keeps the trait's contract, which is the system allocator's as well; every block is the system's.
        unsafe { System.dealloc(block, layout) }
    }
}
