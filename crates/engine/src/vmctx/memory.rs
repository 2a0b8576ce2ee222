//! Linear memory: creation, growth and access by the host (core specification 4.2.9, "Memory Instances").
//!
//! Two layouts. *Reserved* takes all the address space that a 32-bit address plus a 32-bit offset can reach, inaccessible
//! beyond the end, so that growing never moves the memory and machine code may leave bounds to the hardware. *Exact* maps what is in use,
//! and is what remains where address space is short (`ulimit -v`, containers).
//!
//! Must stay true: bytes between the old and the new end are zero after growth; `len_bytes` never exceeds what is accessible.

use std::ptr::NonNull;

use super::VmMemory;
use crate::error::{Error, ErrorKind};
use crate::sys::Mapping;
use crate::tuning::MemoryLayout;
use crate::types::MemoryType;

/// Bytes of a page.
pub(crate) const PAGE_BYTES: u64 = 65536;
/// Pages that a memory with 32-bit addresses can have.
const MAX_PAGES: u64 = 65536;
/// 4 GiB of addresses and 4 GiB of static offset, and a page for the access that starts at the very end.
const RESERVED_BYTES: u64 = (8 << 30) + PAGE_BYTES;

pub(crate) struct LinearMemory {
    vm: NonNull<VmMemory>,
    mapping: Mapping,
    reserved: bool,
    ty: MemoryType,
}

// SAFETY: the record and the mapping are owned; access needs the store, which one thread holds at a time.
unsafe impl Send for LinearMemory {}
// SAFETY: as above: a shared reference only reads.
unsafe impl Sync for LinearMemory {}

impl LinearMemory {
    pub(crate) fn new(ty: MemoryType, layout: MemoryLayout) -> Result<LinearMemory, Error> {
        let len_bytes = ty.pages.min.checked_mul(PAGE_BYTES).and_then(|bytes| usize::try_from(bytes).ok());
        let len_bytes = len_bytes.ok_or_else(|| {
            Error::limit(format!("a memory of {} pages is more than the address space has", ty.pages.min))
        })?;
        let (mapping, reserved) = map(len_bytes, layout)?;
        let vm = Box::new(VmMemory { base: mapping.base(), len_bytes });
        Ok(LinearMemory { vm: NonNull::from(Box::leak(vm)), mapping, reserved, ty })
    }

    pub(crate) fn vm(&self) -> *mut VmMemory {
        self.vm.as_ptr()
    }

    /// The memory's type, with its current size as the minimum: what import matching looks at.
    pub(crate) fn ty(&self) -> MemoryType {
        let mut ty = self.ty;
        ty.pages.min = self.pages();
        ty
    }

    pub(crate) fn len_bytes(&self) -> usize {
        // SAFETY: `vm` lives as long as `self`.
        unsafe { (*self.vm.as_ptr()).len_bytes }
    }

    pub(crate) fn pages(&self) -> u64 {
        self.len_bytes() as u64 / PAGE_BYTES
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: the first `len_bytes` of the mapping are accessible and initialised (zero or written); the borrow of the memory,
        // hence of its store, keeps guest code from running meanwhile.
        unsafe { std::slice::from_raw_parts((*self.vm.as_ptr()).base, self.len_bytes()) }
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`, and the borrow is exclusive.
        unsafe { std::slice::from_raw_parts_mut((*self.vm.as_ptr()).base, self.len_bytes()) }
    }

    /// Grows by `delta` pages of zeros and returns the old size in pages; none where the memory's maximum, `budget_bytes` (what the
    /// store may still add) or the operating system forbids it, and then nothing has changed.
    pub(crate) fn grow(&mut self, delta: u64, budget_bytes: u64) -> Option<u64> {
        let old_pages = self.pages();
        let new_pages = old_pages.checked_add(delta)?;
        if new_pages > self.ty.pages.max.unwrap_or(MAX_PAGES).min(MAX_PAGES)
            || delta.checked_mul(PAGE_BYTES)? > budget_bytes
        {
            return None;
        }
        let new_bytes = usize::try_from(new_pages.checked_mul(PAGE_BYTES)?).ok()?;
        if self.reserved {
            self.mapping.make_accessible(new_bytes).ok()?;
        } else if new_bytes > self.mapping.reserved_bytes() {
            // Room for half as much again keeps the copying linear over many small growths.
            let spare = new_bytes.saturating_add(new_bytes / 2);
            let mut mapping =
                Mapping::new(new_bytes, spare).or_else(|_| Mapping::new(new_bytes, new_bytes)).ok()?;
            copy_prefix(&self.mapping, &mut mapping, self.len_bytes());
            self.mapping = mapping;
        } else {
            self.mapping.make_accessible(new_bytes).ok()?;
        }
        // SAFETY: `vm` lives as long as `self`, and guest code is not running: it has called us.
        unsafe { *self.vm.as_ptr() = VmMemory { base: self.mapping.base(), len_bytes: new_bytes } };
        Some(old_pages)
    }
}

impl Drop for LinearMemory {
    fn drop(&mut self) {
        // SAFETY: made by `Box::leak` in `new`, freed once, here, when the store goes.
        drop(unsafe { Box::from_raw(self.vm.as_ptr()) });
    }
}

fn map(len_bytes: usize, layout: MemoryLayout) -> Result<(Mapping, bool), Error> {
    let reserved = || {
        let bytes = usize::try_from(RESERVED_BYTES).map_err(|_| {
            Error::new(ErrorKind::Os("the address space is too small for a reserved memory".to_owned()))
        })?;
        Ok((Mapping::new(len_bytes, bytes)?, true))
    };
    let exact = || Ok((Mapping::new(len_bytes, len_bytes)?, false));
    match layout {
        MemoryLayout::Reserved => reserved(),
        MemoryLayout::Exact => exact(),
        MemoryLayout::Auto => reserved().or_else(|_: Error| exact()),
    }
}

fn copy_prefix(from: &Mapping, to: &mut Mapping, len_bytes: usize) {
    // SAFETY: both mappings have `len_bytes` accessible bytes, and they are distinct.
    unsafe { std::ptr::copy_nonoverlapping(from.base(), to.base(), len_bytes) };
}
