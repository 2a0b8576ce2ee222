//! The memory of fibers' stacks: where guest code keeps its frames.
//!
//! A fiber has two stacks in one range of addresses, which grow towards each other:
//!
//! ```text
//! | slots of interpreted frames ->      | gap |      <- native stack |
//! ^ base                          slots_end   native_base            ^ top
//! ```
//!
//! Ends are checked by whoever uses the stacks, and what is not used takes no memory. A page between them that faults would be one more mapping a fiber, of which
//! a process can have only so many. So only the first few have their gap forbidden, where it costs nothing to be safe on the day a check is wrong; all later
//! ones lie side by side in *slabs*, one mapping each.
//!
//! Stacks are taken from a pool, which belongs to an engine, and go back there. They come with whatever their last user has left on them: guest code reads no slot
//! before it has written it, and a collection takes a stale address for one that keeps an object at worst.

use std::ptr::NonNull;
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::Error;
use crate::sys::{Mapping, page_bytes, release_pages};

/// How large the stacks of a pool are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StackShape {
    /// Bytes for slots, whole pages.
    pub(crate) slots_bytes: usize,
    /// Bytes of the native stack, whole pages.
    pub(crate) native_bytes: usize,
}

impl StackShape {
    /// Stacks of at least so many bytes each.
    pub(crate) fn new(slots_bytes: usize, native_bytes: usize) -> StackShape {
        // More than that no system maps; sums of both stay numbers.
        let whole = |bytes: usize| bytes.min(usize::MAX / 4).next_multiple_of(page_bytes());
        StackShape { slots_bytes: whole(slots_bytes), native_bytes: whole(native_bytes) }
    }

    /// Bytes of a fiber's range of addresses.
    fn range_bytes(self) -> usize {
        self.slots_bytes + GAP_BYTES + self.native_bytes
    }
}

/// The stacks of a fiber; back in the pool when dropped.
pub(crate) struct FiberStack {
    base: NonNull<u8>,
    pool: Arc<StackPool>,
    /// Bytes at the start of the range, and at its end, that may have been written.
    touched: (usize, usize),
}

// SAFETY: the range is owned memory; it has no thread affinity.
unsafe impl Send for FiberStack {}
// SAFETY: a shared reference gives out addresses only; using them is the user's promise.
unsafe impl Sync for FiberStack {}

impl FiberStack {
    /// What a stack that is not in use keeps of its memory, at either end: as much as guests may use before they ask for more, so that nothing has to be given back where they have not.
    pub(crate) const KEPT_BYTES: usize = 256 << 10;

    /// The first slot.
    pub(crate) fn base(&self) -> *mut u64 {
        self.base.as_ptr().cast()
    }

    /// One past the last slot.
    pub(crate) fn slots_end(&self) -> *mut u64 {
        self.base.as_ptr().wrapping_add(self.pool.shape.slots_bytes).cast()
    }

    /// The lowest address of the native stack.
    pub(crate) fn native_base(&self) -> usize {
        self.top() - self.pool.shape.native_bytes
    }

    /// One past the highest address of the native stack, where it begins; a multiple of a page.
    pub(crate) fn top(&self) -> usize {
        self.base.as_ptr() as usize + self.pool.shape.range_bytes()
    }

    /// Says how much of slots and native stack may have been used by now.
    pub(crate) fn set_touched(&mut self, slots_bytes: usize, native_bytes: usize) {
        let shape = self.pool.shape;
        self.touched = (slots_bytes.min(shape.slots_bytes), native_bytes.min(shape.native_bytes));
    }
}

impl Drop for FiberStack {
    fn drop(&mut self) {
        let (slots, native) = self.touched;
        let is_kept_warm = self.pool.wants_warm();
        let (slots, native, kept_bytes) = match is_kept_warm {
            true => (slots, native, FiberStack::KEPT_BYTES),
            // What an earlier user has left, too.
            false => (
                self.pool.shape.slots_bytes.min(slots.max(FiberStack::KEPT_BYTES)),
                native.max(FiberStack::KEPT_BYTES),
                0,
            ),
        };
        let native = native.min(self.pool.shape.native_bytes);
        let (slots_rest, native_rest) = (slots.saturating_sub(kept_bytes), native.saturating_sub(kept_bytes));
        // SAFETY: both are parts of the range, which is private, anonymous memory and accessible outside of the gap; nobody uses it any more.
        unsafe {
            if slots_rest > 0 {
                release_pages(self.base.as_ptr().add(kept_bytes), slots_rest);
            }
            if native_rest > 0 {
                release_pages((self.top() - native) as *mut u8, native_rest);
            }
        }
        self.pool.put(self.base, is_kept_warm);
    }
}

/// Stacks of one shape, in use and not.
pub(crate) struct StackPool {
    shape: StackShape,
    /// How many keep some of their memory while they are not in use.
    most_warm: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Everything that was ever mapped. It stays until the pool goes: address space is all that it takes.
    slabs: Vec<Mapping>,
    /// What has no memory.
    cold: Vec<NonNull<u8>>,
    /// What has kept some of its last user's.
    warm: Vec<NonNull<u8>>,
}

// SAFETY: addresses of memory that the slabs own.
unsafe impl Send for State {}

impl StackPool {
    /// An empty pool.
    pub(crate) fn new(shape: StackShape, most_warm: usize) -> StackPool {
        StackPool { shape, most_warm, state: Mutex::new(State::default()) }
    }

    pub(crate) fn shape(&self) -> StackShape {
        self.shape
    }

    /// A pool of small stacks.
    #[cfg(test)]
    pub(crate) fn for_tests() -> Arc<StackPool> {
        Arc::new(StackPool::new(StackShape::new(64 << 10, 1 << 20), 1))
    }

    /// The stacks of a new fiber.
    ///
    /// # Errors
    /// Where the operating system refuses the address space.
    pub(crate) fn take(self: &Arc<StackPool>) -> Result<FiberStack, Error> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let base = match state.warm.pop().or_else(|| state.cold.pop()) {
            Some(base) => base,
            None => state.map(self.shape)?,
        };
        Ok(FiberStack { base, pool: Arc::clone(self), touched: (0, 0) })
    }

    fn wants_warm(&self) -> bool {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).warm.len() < self.most_warm
    }

    fn put(&self, base: NonNull<u8>, is_warm: bool) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if is_warm { state.warm.push(base) } else { state.cold.push(base) }
    }
}

impl State {
    /// Maps one slab more, and takes its first stack.
    fn map(&mut self, shape: StackShape) -> Result<NonNull<u8>, Error> {
        let wanted = stacks_in_slab(self.slabs.len());
        let bytes = shape.range_bytes();
        let (slab, count) = match Mapping::of_stacks(bytes.saturating_mul(wanted)) {
            Ok(slab) => (slab, wanted),
            // Where there is no room for many there may be some for one.
            Err(_) if wanted > 1 => (Mapping::of_stacks(bytes)?, 1),
            Err(error) => return Err(error),
        };
        if count == 1 {
            slab.forbid(shape.slots_bytes, GAP_BYTES)?;
        }
        let base = |i: usize| {
            // SAFETY: the slab has room for `count` stacks; addresses in a mapping are not null.
            unsafe { NonNull::new_unchecked(slab.base().add(i * bytes)) }
        };
        self.cold.extend((1..count).rev().map(base));
        let first = base(0);
        self.slabs.push(slab);
        Ok(first)
    }
}

/// How many stacks the next slab has where there are so many slabs: twice as many as the one before, up to the most.
fn stacks_in_slab(slabs: usize) -> usize {
    let Some(doublings) = slabs.checked_sub(FORBIDDEN_GAPS) else { return 1 };
    let doublings = doublings.saturating_add(1).min(MOST_IN_SLAB.ilog2() as usize);
    1 << doublings
}

/// Between slots and native stack; no frame of interpreted code is as large: 50,000 vectors as locals, and as many slots as operands reach.
const GAP_BYTES: usize = 2 << 20;

/// So many stacks have a gap that faults.
const FORBIDDEN_GAPS: usize = 4;

/// Stacks of a slab, once there are many.
const MOST_IN_SLAB: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slabs_grow_to_the_most_and_stay_there() {
        let first: Vec<usize> = (0..12).map(stacks_in_slab).collect();
        assert_eq!(first, [1, 1, 1, 1, 2, 4, 8, 16, 32, 64, 64, 64]);
        for slabs in (12..300).chain([usize::MAX - 1, usize::MAX]) {
            assert_eq!(stacks_in_slab(slabs), MOST_IN_SLAB);
        }
    }

    #[test]
    fn stacks_of_any_size_are_whole_pages_whose_sum_is_a_number() {
        for bytes in
            [0, 1, usize::MAX / 4 - 1, usize::MAX / 4, usize::MAX / 4 + 1, usize::MAX - 1, usize::MAX]
        {
            let shape = StackShape::new(bytes, bytes);
            assert_eq!(
                (shape.slots_bytes % page_bytes(), shape.native_bytes % page_bytes()),
                (0, 0),
                "{bytes}"
            );
            assert!(shape.range_bytes() >= shape.slots_bytes);
        }
    }
}
