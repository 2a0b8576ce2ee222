//! Linear memory: creation, growth and access by the host (core specification 4.2.9, "Memory Instances").
//!
//! A memory is a store's own or a handle to a [`SharedMemory`]. Two layouts for a store's own. *Reserved* takes all the address space that
//! a 32-bit address plus a 32-bit offset can reach, inaccessible beyond the end, so that growing never moves the memory and machine
//! code may leave bounds to the hardware. *Exact* maps what is in use, and is what remains where address space is short (`ulimit -v`,
//! containers) and for memories with 64-bit addresses.
//!
//! Must stay true: bytes between the old and the new end are zero after growth; `len_bytes` never exceeds what is accessible.
//! Contents are reached through raw pointers, because those of a shared memory may change under our hands.

use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::VmMemory;
use super::shared_memory::SharedMemory;
use crate::budget::{Budget, BudgetKind, Charge};
use crate::error::{Error, ErrorKind};
use crate::memory_pool::{MemoryImage, MemoryPermit, MemoryPool};
use crate::sys::Mapping;
use crate::tuning::MemoryLayout;
use crate::types::{IndexType, MemoryType};

/// 4 GiB of addresses and 4 GiB of static offset, and a page for the access that starts at the very end.
const RESERVED_BYTES: u64 = (8 << 30) + (1 << 16);

/// A memory of a store.
pub(crate) enum LinearMemory {
    Own(OwnMemory),
    Shared(SharedMemory),
}

impl LinearMemory {
    /// Whether an address is in what is reserved for the memory, so that an access may fault there. Safe to ask in a signal handler.
    pub(crate) fn may_fault_at(&self, address: usize) -> bool {
        match self {
            LinearMemory::Own(memory) => memory.reserved && memory.mapping.contains(address),
            // Each access is compared with the length.
            LinearMemory::Shared(_) => false,
        }
    }

    /// The guest's address of what faulted, where [`LinearMemory::may_fault_at`] says so.
    pub(crate) fn guest_address(&self, address: usize) -> Option<u64> {
        match self {
            LinearMemory::Own(memory) if self.may_fault_at(address) => {
                Some((address - memory.mapping.base() as usize) as u64)
            }
            _ => None,
        }
    }
}

/// A memory that one store has for itself.
pub(crate) struct OwnMemory {
    vm: NonNull<VmMemory>,
    mapping: Mapping,
    reserved: bool,
    /// What it has begun with; none where that was zeros.
    image: Option<Arc<MemoryImage>>,
    ty: MemoryType,
    charge: Charge,
    permit: MemoryPermit,
}

// SAFETY: the record and the mapping are owned; access needs the store, which one thread holds at a time.
unsafe impl Send for OwnMemory {}
// SAFETY: as above: a shared reference only reads.
unsafe impl Sync for OwnMemory {}

impl LinearMemory {
    pub(crate) fn vm(&self) -> *mut VmMemory {
        match self {
            LinearMemory::Own(memory) => memory.vm.as_ptr(),
            LinearMemory::Shared(memory) => memory.vm(),
        }
    }

    /// The memory's type, with its current size as the minimum: what import matching looks at.
    pub(crate) fn ty(&self) -> MemoryType {
        let mut ty = match self {
            LinearMemory::Own(memory) => memory.ty,
            LinearMemory::Shared(memory) => memory.ty(),
        };
        ty.pages.min = self.len_bytes() as u64 / ty.page_bytes();
        ty
    }

    pub(crate) fn len_bytes(&self) -> usize {
        // SAFETY: the record lives as long as `self`.
        unsafe { (*self.vm()).len_bytes() }
    }

    /// Grows by `delta` pages of zeros and returns the old size in pages; none where the memory's maximum, the budget or the
    /// operating system forbids it, and then nothing has changed.
    pub(crate) fn grow(&mut self, delta: u64) -> Option<u64> {
        match self {
            LinearMemory::Own(memory) => memory.grow(delta),
            LinearMemory::Shared(memory) => memory.grow_by(delta),
        }
    }

    /// As [`LinearMemory::grow`], where the memory still is `from_bytes` long; none where it is not, because another thread has grown it meanwhile.
    pub(crate) fn grow_from(&mut self, from_bytes: usize, delta: u64) -> Option<Option<u64>> {
        match self {
            // Nobody else reaches it.
            LinearMemory::Own(memory) => Some(memory.grow(delta)),
            LinearMemory::Shared(memory) => memory.grow_from(from_bytes, delta),
        }
    }

    /// The bytes; none of a shared memory, which nobody can borrow.
    pub(crate) fn bytes(&self) -> Option<&[u8]> {
        let LinearMemory::Own(memory) = self else { return None };
        // SAFETY: the first `len_bytes` of the mapping are accessible and initialised (zero or written); the borrow of the memory,
        // hence of its store, keeps guest code from running meanwhile.
        Some(unsafe { std::slice::from_raw_parts((*memory.vm.as_ptr()).base, self.len_bytes()) })
    }

    /// The bytes, to write to; none of a shared memory, which nobody can borrow.
    #[inline]
    pub(crate) fn bytes_mut(&mut self) -> Option<&mut [u8]> {
        let len_bytes = self.len_bytes();
        let LinearMemory::Own(memory) = self else { return None };
        // SAFETY: as in `bytes`, and the borrow is exclusive.
        Some(unsafe { std::slice::from_raw_parts_mut((*memory.vm.as_ptr()).base, len_bytes) })
    }

    /// Whether it has begun with what its module says.
    pub(crate) fn has_image(&self) -> bool {
        matches!(self, LinearMemory::Own(memory) if memory.image.is_some())
    }

    /// Has it begin with zeros after all, where it had an image.
    pub(crate) fn forget_image(&mut self) {
        if let LinearMemory::Own(memory) = self {
            memory.forget_image();
        }
    }

    /// Where the `len` bytes at `start` are; none where they are not all inside.
    pub(crate) fn range(&self, start: u64, len: u64) -> Option<*mut u8> {
        // SAFETY: the record lives as long as `self`.
        unsafe { (*self.vm()).range(start, len) }
    }

    /// Copies bytes out; none where the range is not inside, and then nothing was copied.
    pub(crate) fn read(&self, start: u64, to: &mut [u8]) -> Option<()> {
        let from = self.range(start, to.len() as u64)?;
        // SAFETY: the range was just checked. `to` is the host's own and overlaps no memory of a guest. If the memory is shared then bytes
        // that another thread writes meanwhile may be read old or new, each.
        unsafe { from.copy_to_nonoverlapping(to.as_mut_ptr(), to.len()) };
        Some(())
    }

    /// Copies bytes in; none where the range is not inside, and then nothing was written.
    pub(crate) fn write(&mut self, start: u64, from: &[u8]) -> Option<()> {
        let to = self.range(start, from.len() as u64)?;
        // SAFETY: as in `read`.
        unsafe { to.copy_from_nonoverlapping(from.as_ptr(), from.len()) };
        Some(())
    }

    /// Sets bytes to `value`; none where the range is not inside, and then nothing was written.
    pub(crate) fn fill(&mut self, start: u64, value: u8, len: u64) -> Option<()> {
        let to = self.range(start, len)?;
        // SAFETY: the range was just checked.
        unsafe { to.write_bytes(value, len as usize) };
        Some(())
    }

    /// Copies `len` bytes from `from` to `to`, which may be the same memory and overlap; none where a range is not inside, and
    /// then nothing was written.
    pub(crate) fn copy(to: (&LinearMemory, u64), from: (&LinearMemory, u64), len: u64) -> Option<()> {
        let (to, from) = (to.0.range(to.1, len)?, from.0.range(from.1, len)?);
        // SAFETY: both ranges were just checked; `copy` allows them to overlap.
        unsafe { to.copy_from(from, len as usize) };
        Some(())
    }
}

impl VmMemory {
    /// Where the `len` bytes at `start` are; none where they are not all inside.
    pub(crate) fn range(&self, start: u64, len: u64) -> Option<*mut u8> {
        if start.checked_add(len)? > self.len_bytes() as u64 {
            return None;
        }
        // SAFETY: `start` is at most the memory's length.
        Some(unsafe { self.base.add(start as usize) })
    }
}

impl OwnMemory {
    /// A memory that begins with zeros, or with `image` where it is laid out so that it can; whoever has given one asks [`OwnMemory::has_image`].
    pub(crate) fn new(
        ty: MemoryType,
        (layout, pool): (MemoryLayout, &Arc<MemoryPool>),
        image: Option<&Arc<MemoryImage>>,
        budget: &Budget,
    ) -> Result<OwnMemory, Error> {
        let len_bytes = len_bytes(&ty, ty.pages.min)?;
        let permit = pool.permit()?;
        let charge = budget.hold(BudgetKind::LinearMemory, len_bytes as u64)?;
        let image = image.filter(|_| pool.maps_images());
        let waiting = match wants_reservation(&ty, layout) {
            true => permit.take(len_bytes, image),
            false => None,
        };
        let (mapping, reserved, image) = match waiting {
            Some(mapping) => (mapping, true, image),
            None => map_with_image(&ty, len_bytes, layout, image)?,
        };
        let image = image.cloned();
        let vm = Box::new(VmMemory { base: mapping.base(), len_bytes: AtomicUsize::new(len_bytes) });
        Ok(OwnMemory { vm: NonNull::from(Box::leak(vm)), mapping, reserved, image, ty, charge, permit })
    }

    /// Has it begin with zeros after all: nobody has looked at it yet. The image stays mapped beneath, for whoever has the memory next.
    fn forget_image(&mut self) {
        if let Some(image) = &self.image {
            let range = image.range();
            // SAFETY: an image was mapped over pages that the mapping had made accessible (`Mapping::with_image`), and guest code is not running.
            unsafe { self.mapping.base().add(range.start).write_bytes(0, range.len()) };
        }
    }

    fn grow(&mut self, delta: u64) -> Option<u64> {
        // SAFETY: `vm` lives as long as `self`.
        let len_bytes = unsafe { (*self.vm.as_ptr()).len_bytes() };
        let (old_pages, new_bytes) = grown(&self.ty, len_bytes, delta)?;
        self.charge.set(new_bytes as u64).ok()?;
        if self.map_grown(len_bytes, new_bytes).is_none() {
            // To hold less is never refused.
            let _ = self.charge.set(len_bytes as u64);
            return None;
        }
        // SAFETY: `vm` lives as long as `self`, and guest code is not running: it has called us.
        unsafe {
            (*self.vm.as_ptr()).base = self.mapping.base();
            (*self.vm.as_ptr()).len_bytes.store(new_bytes, Ordering::Release);
        }
        Some(old_pages)
    }

    /// Makes `new_bytes` accessible that begin with the `len_bytes` there are.
    fn map_grown(&mut self, len_bytes: usize, new_bytes: usize) -> Option<()> {
        if self.reserved || new_bytes <= self.mapping.reserved_bytes() {
            self.mapping.make_accessible(new_bytes).ok()?;
        } else {
            // Room for half as much again keeps the copying linear over many small growths.
            let spare = new_bytes.saturating_add(new_bytes / 2);
            let mapping = Mapping::new(0, spare).or_else(|_| Mapping::new(0, new_bytes)).ok()?;
            self.move_to(mapping, (len_bytes, new_bytes))?;
        }
        Some(())
    }

    /// Goes on in another mapping, of which nothing is accessible yet, with its first `old` bytes as they are, zeros up to `new`. Moving pages takes no
    /// time worth mentioning, whatever is in them; copying does, and is for where the system does not move them.
    fn move_to(&mut self, mapping: Mapping, (old, new): (usize, usize)) -> Option<()> {
        let here = std::mem::replace(&mut self.mapping, Mapping::none());
        let reserved_bytes = mapping.reserved_bytes();
        let (done, kept) = match mapping.with_pages_of(here) {
            Ok(mut mapping) => (mapping.make_accessible(new).is_ok(), mapping),
            // The one that was to take them is given up.
            Err(mut here) => match Mapping::new(new, reserved_bytes) {
                Ok(mut mapping) => {
                    here.move_prefix(&mut mapping, old);
                    (true, mapping)
                }
                Err(_) => (false, here),
            },
        };
        self.mapping = kept;
        // SAFETY: `vm` lives as long as `self`, and guest code is not running: it has called us.
        unsafe { (*self.vm.as_ptr()).base = self.mapping.base() };
        done.then_some(())
    }
}

impl Drop for OwnMemory {
    fn drop(&mut self) {
        if self.reserved {
            let mapping = std::mem::replace(&mut self.mapping, Mapping::none());
            self.permit.put(mapping, self.image.take());
        }
        // SAFETY: made by `Box::leak` in `new`, freed once, here, when the store goes.
        drop(unsafe { Box::from_raw(self.vm.as_ptr()) });
    }
}

/// The length in bytes of a memory of `pages` pages.
pub(super) fn len_bytes(ty: &MemoryType, pages: u64) -> Result<usize, Error> {
    let len_bytes = pages.checked_mul(ty.page_bytes()).and_then(|bytes| usize::try_from(bytes).ok());
    len_bytes.ok_or_else(|| {
        Error::limit(format!(
            "a memory of {pages} pages of {} bytes is more than the address space has",
            ty.page_bytes()
        ))
    })
}

/// The old size in pages and the new one in bytes after growth by `delta` pages; none where the type forbids it.
pub(super) fn grown(ty: &MemoryType, len_bytes: usize, delta: u64) -> Option<(u64, usize)> {
    let old_pages = len_bytes as u64 / ty.page_bytes();
    let new_pages = old_pages.checked_add(delta)?;
    if new_pages > ty.max_pages() {
        return None;
    }
    let new_bytes = usize::try_from(new_pages.checked_mul(ty.page_bytes())?).ok()?;
    Some((old_pages, new_bytes))
}

/// Whether the address space has room for a memory that is reserved.
#[must_use]
pub fn can_reserve() -> bool {
    reserve(0).is_ok()
}

/// All that a 32-bit address and offset can reach.
pub(super) fn reserve(len_bytes: usize) -> Result<Mapping, Error> {
    let bytes = usize::try_from(RESERVED_BYTES).map_err(|_| {
        Error::new(ErrorKind::Os("the address space is too small for a reserved memory".to_owned()))
    })?;
    Mapping::new(len_bytes, bytes)
}

fn wants_reservation(ty: &MemoryType, layout: MemoryLayout) -> bool {
    ty.index == IndexType::I32 && layout != MemoryLayout::Exact
}

fn map(ty: &MemoryType, len_bytes: usize, layout: MemoryLayout) -> Result<(Mapping, bool), Error> {
    let exact = || Ok((Mapping::new(len_bytes, len_bytes)?, false));
    match (ty.index, layout) {
        // No reservation covers what 64 bits can address.
        (IndexType::I64, _) | (_, MemoryLayout::Exact) => exact(),
        (_, MemoryLayout::Reserved) => Ok((reserve(len_bytes)?, true)),
        (_, MemoryLayout::Auto) => reserve(len_bytes).map(|mapping| (mapping, true)).or_else(|_| exact()),
    }
}

/// As [`map`], with an image to begin with, where that is possible and the system does not refuse it; tells which it is.
fn map_with_image<'a>(
    ty: &MemoryType,
    len_bytes: usize,
    layout: MemoryLayout,
    image: Option<&'a Arc<MemoryImage>>,
) -> Result<(Mapping, bool, Option<&'a Arc<MemoryImage>>), Error> {
    let (mapping, reserved) = map(ty, len_bytes, layout)?;
    let Some(image) = image.filter(|_| reserved) else { return Ok((mapping, reserved, None)) };
    if let Ok(mapping) = image.map_into(mapping) {
        return Ok((mapping, true, Some(image)));
    }
    // That address space is given up.
    let (mapping, reserved) = map(ty, len_bytes, layout)?;
    Ok((mapping, reserved, None))
}
