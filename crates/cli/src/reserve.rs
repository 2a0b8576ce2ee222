//! The command's allocator: the system's, with a reserve for when that has nothing left.
//!
//! The standard library ends the process where a small allocation fails, and a guest can bring that about by taking what is left. What guests ask for in bulk may
//! fail, and says so; everything else is small, and is served from the reserve then. From that moment the guest gets nothing more ([`Budget::system_has_no_more`]),
//! so that it ends, or goes on with what it has. The reserve is part of the program's image: it costs nothing until it is used.
//!
//! Must stay true: a block belongs to one of the two for as long as it lives, which its address tells; blocks of the reserve have a power of two as size, and
//! are found again by it.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::mem::MaybeUninit;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, Ordering};

use innkeeper::Budget;

/// Bytes of the reserve.
const RESERVE_BYTES: usize = 16 << 20;
/// Sizes of blocks are powers of two from this one on.
const SMALLEST_BYTES: usize = 32;
/// What is larger must be able to fail.
const LARGEST_BYTES: usize = 1 << 20;
/// What the compiler allocates cannot, and was tried for before; others may have taken it since.
const LARGEST_OF_COMPILER_BYTES: usize = 4 << 20;
const CLASSES: usize = (LARGEST_OF_COMPILER_BYTES / SMALLEST_BYTES).ilog2() as usize + 1;

/// The system's allocator with a reserve.
pub(crate) struct WithReserve {
    reserve: Reserve,
}

#[repr(C, align(4096))]
struct Reserve {
    bytes: UnsafeCell<[MaybeUninit<u8>; RESERVE_BYTES]>,
    lists: UnsafeCell<Lists>,
    is_locked: AtomicBool,
}

/// What of the reserve is free.
struct Lists {
    /// Blocks that were given back, by size; each begins with the address of the next.
    free: [*mut u8; CLASSES],
    /// Bytes that were never used begin here.
    unused: usize,
}

// SAFETY: bytes and lists are touched under the lock only; blocks belong to whoever has them.
unsafe impl Sync for Reserve {}

/// Heaps of the system's allocator: the main thread has one, the compiler's another, and those that begin before it a third and a fourth. With fewer, the compiler and the
/// guest wait for each other.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const HEAPS: std::ffi::c_int = 4;

/// Has all threads share a few heaps of the system's allocator, and these give back to the system what guests have let go of. What is freed stays in the heap that it is from, for the
/// threads that have it, and there would be eight for each processor: guests' threads that take turns had the host keep ten times what one number bounds.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(crate) fn share_heaps() {
    // A heap takes 64 MiB of addresses when a thread first needs it: where these are limited, at a moment at which others were promised them.
    let heaps = if is_limited() { 1 } else { HEAPS };
    // SAFETY: it takes two numbers, and is called before there is another thread.
    unsafe { libc::mallopt(libc::M_ARENA_MAX, heaps) };
    Budget::when_much_is_given_back(|| {
        // SAFETY: it takes a number, and looks at what is free only.
        unsafe { libc::malloc_trim(0) };
    });
}

/// Other allocators have heaps of their own.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn share_heaps() {}

impl WithReserve {
    pub(crate) const fn new() -> WithReserve {
        let lists = Lists { free: [null_mut(); CLASSES], unused: 0 };
        WithReserve {
            reserve: Reserve {
                bytes: UnsafeCell::new([MaybeUninit::uninit(); RESERVE_BYTES]),
                lists: UnsafeCell::new(lists),
                is_locked: AtomicBool::new(false),
            },
        }
    }
}

// SAFETY: blocks are the system's, or distinct parts of the reserve of at least the size and alignment asked for. Nothing here unwinds.
unsafe impl GlobalAlloc for WithReserve {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller promises.
        let block = unsafe { System.alloc(layout) };
        if block.is_null() { self.reserve.take(layout) } else { block }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller promises.
        let block = unsafe { System.alloc_zeroed(layout) };
        if !block.is_null() {
            return block;
        }
        let block = self.reserve.take(layout);
        if !block.is_null() {
            // SAFETY: the block has the layout's size, and is nobody else's.
            unsafe { block.write_bytes(0, layout.size()) };
        }
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        match self.reserve.has(block) {
            true => self.reserve.give_back(block, layout),
            // SAFETY: as the caller promises; what is not the reserve's is the system's.
            false => unsafe { System.dealloc(block, layout) },
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: as the caller promises: the new size is that of a layout. Both blocks have the smaller size's bytes, and are distinct.
        unsafe {
            if !self.reserve.has(block) {
                let moved = System.realloc(block, layout, new_size);
                if !moved.is_null() {
                    return moved;
                }
            }
            let moved = self.alloc(Layout::from_size_align_unchecked(new_size, layout.align()));
            if !moved.is_null() {
                moved.copy_from_nonoverlapping(block, layout.size().min(new_size));
                self.dealloc(block, layout);
            }
            moved
        }
    }
}

impl Reserve {
    fn has(&self, block: *mut u8) -> bool {
        (block as usize).wrapping_sub(self.bytes.get() as usize) < RESERVE_BYTES
    }

    /// A block of the reserve; null where it is too large, or the reserve is used up.
    #[cold]
    fn take(&self, layout: Layout) -> *mut u8 {
        let Some((class, bytes)) = class(layout) else { return null_mut() };
        if bytes > LARGEST_BYTES && !innkeeper::is_compiling() {
            return null_mut();
        }
        Budget::system_has_no_more();
        self.locked(|lists| {
            let free = lists.free[class];
            if !free.is_null() {
                // SAFETY: a block that is free begins with the address of the next, and is large enough for it and aligned.
                lists.free[class] = unsafe { free.cast::<*mut u8>().read() };
                return free;
            }
            let start = lists.unused.next_multiple_of(bytes.min(4096));
            if start + bytes > RESERVE_BYTES {
                return null_mut();
            }
            lists.unused = start + bytes;
            // SAFETY: the block lies in the reserve.
            unsafe { self.bytes.get().cast::<u8>().add(start) }
        })
    }

    #[cold]
    fn give_back(&self, block: *mut u8, layout: Layout) {
        let Some((class, _)) = class(layout) else { return };
        self.locked(|lists| {
            // SAFETY: the block is the reserve's and nobody's any more; it is large enough for an address and aligned.
            unsafe { block.cast::<*mut u8>().write(lists.free[class]) };
            lists.free[class] = block;
        });
    }

    fn locked<R>(&self, act: impl FnOnce(&mut Lists) -> R) -> R {
        while self.is_locked.swap(true, Ordering::Acquire) {
            std::hint::spin_loop();
        }
        // SAFETY: whoever holds the lock is alone with the lists; `act` does not take it again.
        let result = act(unsafe { &mut *self.lists.get() });
        self.is_locked.store(false, Ordering::Release);
        result
    }
}

/// The size of the blocks that an allocation is served with: which of the sizes, and its bytes.
fn class(layout: Layout) -> Option<(usize, usize)> {
    let bytes = layout.size().max(layout.align()).max(SMALLEST_BYTES).checked_next_power_of_two()?;
    let is_served = bytes <= LARGEST_OF_COMPILER_BYTES && layout.align() <= 4096;
    is_served.then(|| ((bytes / SMALLEST_BYTES).ilog2() as usize, bytes))
}

/// Whether so many bytes more may be allocated, where memory is limited; without a limit the system finds out when they are used.
pub(crate) fn has_room(bytes: usize) -> bool {
    !is_limited() || Vec::<u8>::new().try_reserve_exact(bytes).is_ok()
}

fn is_limited() -> bool {
    use rustix::process::{Resource, getrlimit};
    getrlimit(Resource::As).current.is_some() || getrlimit(Resource::Data).current.is_some()
}

/// Makes the first thread's stack as large as it gets, where address space is limited: it grows as it is used, and would have to when nothing is left.
pub(crate) fn reach_for_stack() {
    if is_limited() {
        reach(STACK_PAGES);
    }
}

/// Pages of stack that the command's own functions need at most.
const STACK_PAGES: usize = 256;

#[inline(never)]
fn reach(pages: usize) {
    let page = std::hint::black_box([0_u8; 4096]);
    if pages > 0 {
        reach(pages - 1);
    }
    std::hint::black_box(&page);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_distinct_aligned_and_used_again() {
        static ALLOCATOR: WithReserve = WithReserve::new();
        let mut taken: Vec<(usize, Layout)> = Vec::new();
        for i in 0..2000 {
            let layout = Layout::from_size_align(1 + i * 37 % 5000, 1 << (i % 13)).unwrap();
            let block = ALLOCATOR.reserve.take(layout);
            assert!(ALLOCATOR.reserve.has(block) && (block as usize).is_multiple_of(layout.align()));
            taken.push((block as usize, layout));
        }
        taken.sort_by_key(|(block, _)| *block);
        for pair in taken.windows(2) {
            assert!(pair[0].0 + pair[0].1.size() <= pair[1].0);
        }
        let (block, layout) = taken[7];
        ALLOCATOR.reserve.give_back(block as *mut u8, layout);
        assert_eq!(ALLOCATOR.reserve.take(layout) as usize, block);
    }

    #[test]
    fn what_is_large_fails_and_so_does_what_is_left_over() {
        static ALLOCATOR: WithReserve = WithReserve::new();
        let take = |bytes| ALLOCATOR.reserve.take(Layout::from_size_align(bytes, 8).unwrap());
        assert!(take(LARGEST_BYTES + 1).is_null());
        for _ in 0..RESERVE_BYTES / LARGEST_BYTES {
            assert!(!take(LARGEST_BYTES).is_null());
        }
        assert!(take(1).is_null());
    }
}
