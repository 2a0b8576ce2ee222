//! Address space by `mmap` (POSIX.1-2024).
//!
//! Must stay true: a [`Mapping`] owns its whole range and nothing else refers to it after drop. Bytes that were never
//! made accessible fault when touched; bytes that were are zero until written.

use std::ptr::NonNull;

use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect, munmap};

use crate::error::{Error, ErrorKind};

/// A range of address space, of which a prefix can be read and written.
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
    /// Reserves `reserved_bytes` of which the first `accessible_bytes` are zero and can be used. Both are rounded up to pages.
    pub(crate) fn new(accessible_bytes: usize, reserved_bytes: usize) -> Result<Mapping, Error> {
        let reserved_bytes = round_up(reserved_bytes.max(accessible_bytes).max(1))?;
        // SAFETY: an anonymous mapping at an address of the kernel's choice touches no existing memory.
        let base = unsafe {
            mmap_anonymous(
                std::ptr::null_mut(),
                reserved_bytes,
                ProtFlags::empty(),
                MapFlags::PRIVATE | MapFlags::NORESERVE,
            )
        };
        let base = base.map_err(|errno| {
            Error::new(ErrorKind::Os(format!("reserving {reserved_bytes} bytes of address space: {errno}")))
        })?;
        let base = NonNull::new(base.cast())
            .ok_or_else(|| Error::new(ErrorKind::Os("a mapping at address 0".to_owned())))?;
        let mut mapping = Mapping { base, reserved_bytes, accessible_bytes: 0 };
        mapping.make_accessible(accessible_bytes)?;
        Ok(mapping)
    }

    /// A stack: `bytes` that can be used above `guard_bytes` that cannot. The base is the guard's.
    pub(crate) fn with_guard(bytes: usize, guard_bytes: usize) -> Result<Mapping, Error> {
        let guard_bytes = round_up(guard_bytes)?;
        let mut mapping = Mapping::new(0, bytes.saturating_add(guard_bytes))?;
        let len = mapping.reserved_bytes - guard_bytes;
        // SAFETY: the range lies within this mapping, which is ours alone.
        let result = unsafe {
            let start = mapping.base.as_ptr().add(guard_bytes);
            mprotect(start.cast(), len, MprotectFlags::READ | MprotectFlags::WRITE)
        };
        result
            .map_err(|errno| Error::new(ErrorKind::Os(format!("mapping a stack of {len} bytes: {errno}"))))?;
        mapping.accessible_bytes = 0;
        Ok(mapping)
    }

    /// Lets the first `bytes` bytes, which must lie in the reservation, be read and written.
    pub(crate) fn make_accessible(&mut self, bytes: usize) -> Result<(), Error> {
        let bytes = round_up(bytes)?;
        if bytes > self.reserved_bytes {
            return Err(Error::limit(format!(
                "{bytes} bytes wanted of a reservation of {}",
                self.reserved_bytes
            )));
        }
        if bytes > self.accessible_bytes {
            // SAFETY: the range from `accessible_bytes` to `bytes` lies within this mapping, which is ours alone.
            let result = unsafe {
                let start = self.base.as_ptr().add(self.accessible_bytes);
                let len = bytes - self.accessible_bytes;
                mprotect(start.cast(), len, MprotectFlags::READ | MprotectFlags::WRITE)
            };
            result.map_err(|errno| {
                Error::new(ErrorKind::Os(format!("making {bytes} bytes of memory usable: {errno}")))
            })?;
            self.accessible_bytes = bytes;
        }
        Ok(())
    }

    /// The first byte.
    pub(crate) fn base(&self) -> *mut u8 {
        self.base.as_ptr()
    }

    /// How much was reserved.
    pub(crate) fn reserved_bytes(&self) -> usize {
        self.reserved_bytes
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the range is ours and, by the type's contract, nothing refers to it any more.
        let result = unsafe { munmap(self.base.as_ptr().cast(), self.reserved_bytes) };
        debug_assert!(result.is_ok());
    }
}

/// A page that is read for its protection alone: it holds zeros.
pub(crate) struct SharedPage(NonNull<u8>);

// SAFETY: the page is owned and never written; it has no thread affinity.
unsafe impl Send for SharedPage {}
// SAFETY: as above.
unsafe impl Sync for SharedPage {}

impl SharedPage {
    /// A page that can be read.
    pub(crate) fn new() -> Result<SharedPage, Error> {
        // Shared, though with nobody: the kernel joins private mappings side by side, and to change the protection of one of them may have to split
        // them again, for which there may be no room.
        // SAFETY: an anonymous mapping at an address of the kernel's choice touches no existing memory.
        let page = unsafe {
            mmap_anonymous(
                std::ptr::null_mut(),
                rustix::param::page_size(),
                ProtFlags::READ,
                MapFlags::SHARED | MapFlags::NORESERVE,
            )
        };
        let page = page.map_err(|errno| Error::new(ErrorKind::Os(format!("mapping a page: {errno}"))))?;
        let page = NonNull::new(page.cast());
        page.map(SharedPage).ok_or_else(|| Error::new(ErrorKind::Os("a mapping at address 0".to_owned())))
    }

    /// The page's first byte.
    pub(crate) fn address(&self) -> *const u8 {
        self.0.as_ptr()
    }

    /// Lets the page be read, or makes reading it fault.
    pub(crate) fn set_readable(&self, is_readable: bool) {
        let protection = if is_readable { MprotectFlags::READ } else { MprotectFlags::empty() };
        // SAFETY: the page is this one's own, and what reads it expects the fault.
        let result = unsafe { mprotect(self.0.as_ptr().cast(), rustix::param::page_size(), protection) };
        // A mapping of its own, as a whole: there is nothing that the kernel could refuse.
        assert!(result.is_ok(), "a page's protection cannot be changed: {result:?}");
    }
}

impl Drop for SharedPage {
    fn drop(&mut self) {
        // SAFETY: the page is ours and, by the type's contract, nothing refers to it any more.
        let result = unsafe { munmap(self.0.as_ptr().cast(), rustix::param::page_size()) };
        debug_assert!(result.is_ok());
    }
}

fn round_up(bytes: usize) -> Result<usize, Error> {
    let page = rustix::param::page_size();
    bytes
        .checked_next_multiple_of(page)
        .ok_or_else(|| Error::limit(format!("{bytes} bytes are more than the address space has")))
}
