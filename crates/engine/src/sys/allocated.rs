//! Address space from the allocator, for Miri, which interprets Rust and knows no protection of pages: what is beyond the accessible bytes can be read and written, and no large range is reserved.
//!
//! The same functions as `unix.rs`; see there what they promise.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ops::Range;
use std::ptr::NonNull;

use crate::error::{Error, ErrorKind};

/// More than that is refused, as by a system whose address space is short: every byte is there.
const MOST_BYTES: usize = 64 << 20;

const PAGE_BYTES: usize = 4096;

/// See `unix.rs`.
pub(crate) struct Mapping {
    base: NonNull<u8>,
    reserved_bytes: usize,
    accessible_bytes: usize,
}

// SAFETY: the mapping is owned memory; it has no thread affinity.
unsafe impl Send for Mapping {}
// SAFETY: a shared reference gives out the base pointer only; using it is the user's promise.
unsafe impl Sync for Mapping {}

impl Mapping {
    pub(crate) fn new(accessible_bytes: usize, reserved_bytes: usize) -> Result<Mapping, Error> {
        let reserved_bytes = round_up(reserved_bytes.max(accessible_bytes).max(1))?;
        let refused = || Error::new(ErrorKind::Os(format!("reserving {reserved_bytes} bytes")));
        let layout = layout(reserved_bytes).filter(|_| reserved_bytes <= MOST_BYTES).ok_or_else(refused)?;
        // SAFETY: the size is at least a page.
        let base = NonNull::new(unsafe { alloc_zeroed(layout) }).ok_or_else(refused)?;
        Ok(Mapping { base, reserved_bytes, accessible_bytes: round_up(accessible_bytes)? })
    }

    pub(crate) fn none() -> Mapping {
        Mapping { base: NonNull::dangling(), reserved_bytes: 0, accessible_bytes: 0 }
    }

    pub(crate) fn of_stacks(bytes: usize) -> Result<Mapping, Error> {
        Mapping::new(bytes, bytes)
    }

    pub(crate) fn forbid(&self, start_bytes: usize, len_bytes: usize) -> Result<(), Error> {
        assert!(start_bytes.saturating_add(len_bytes) <= self.reserved_bytes);
        Ok(())
    }

    pub(crate) fn make_accessible(&mut self, bytes: usize) -> Result<(), Error> {
        let bytes = round_up(bytes)?;
        if bytes > self.reserved_bytes {
            return Err(Error::limit(format!("{bytes} bytes wanted of {}", self.reserved_bytes)));
        }
        self.accessible_bytes = self.accessible_bytes.max(bytes);
        Ok(())
    }

    /// Nothing is moved.
    pub(crate) fn with_pages_of(self, from: Mapping) -> Result<Mapping, Mapping> {
        Err(from)
    }

    pub(crate) fn set_first_page_apart(&mut self) -> Result<(), Error> {
        Ok(())
    }

    /// Nothing reads it: there is no machine code.
    pub(crate) fn set_first_page_readable(&self, _: bool) {}

    pub(crate) fn move_prefix(&mut self, to: &mut Mapping, len_bytes: usize) {
        assert!(len_bytes <= self.accessible_bytes && len_bytes <= to.accessible_bytes);
        // SAFETY: the bytes lie in both mappings, which are distinct.
        unsafe {
            self.base().copy_to_nonoverlapping(to.base(), len_bytes);
            self.base().write_bytes(0, len_bytes);
        }
    }

    pub(crate) fn base(&self) -> *mut u8 {
        self.base.as_ptr()
    }

    pub(crate) fn contains(&self, address: usize) -> bool {
        address.wrapping_sub(self.base() as usize) < self.reserved_bytes
    }

    pub(crate) fn reserved_bytes(&self) -> usize {
        self.reserved_bytes
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        if let Some(layout) = layout(self.reserved_bytes) {
            // SAFETY: made with the same layout in `new`; by the type's contract nothing refers to it any more.
            unsafe { dealloc(self.base.as_ptr(), layout) };
        }
    }
}

/// None for no address space at all.
fn layout(bytes: usize) -> Option<Layout> {
    Layout::from_size_align(bytes, PAGE_BYTES).ok().filter(|_| bytes > 0)
}

/// The system keeps them.
///
/// # Safety
/// As in `unix.rs`.
pub(crate) unsafe fn release_pages(_: *mut u8, _: usize) {}

pub(crate) fn page_bytes() -> usize {
    PAGE_BYTES
}

pub(crate) fn has_room_for_thread() -> bool {
    true
}

pub(crate) fn is_memory_limited() -> bool {
    false
}

pub(crate) fn thread_stack() -> Option<Range<usize>> {
    None
}

fn round_up(bytes: usize) -> Result<usize, Error> {
    bytes
        .checked_next_multiple_of(PAGE_BYTES)
        .ok_or_else(|| Error::limit(format!("{bytes} bytes are more than the address space has")))
}
