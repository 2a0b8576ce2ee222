//! Shared memory: one memory that several stores, on as many threads, use at once (threads proposal).
//!
//! All users see one record. Its base never changes, because address space for the maximum is reserved up front, and its length only grows.
//! Guests' plain accesses to the same bytes from several threads race; the standard leaves open which values they then see, and
//! executing code as well as the bulk operations here do them through raw pointers, never through references.
//!
//! Must stay true: the record and the mapping live until the last handle, and every store that uses them holds one.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::memory::{grown, len_bytes, reserve};
use super::{VmMemory, atomic};
use crate::budget::{Budget, BudgetKind, Charge};
use crate::error::Error;
use crate::parking::{Parking, WaitOutcome};
use crate::sys::Mapping;
use crate::trap::Trap;
use crate::tuning::MemoryLayout;
use crate::types::{IndexType, MemoryType, Sharing};

/// A memory that several stores of one engine can use at once. Cloning is cheap and gives the same memory.
#[derive(Clone)]
pub struct SharedMemory(Arc<Inner>);

/// How a wait in a shared memory has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitResult {
    /// Somebody has woken the thread.
    Ok,
    /// The memory does not hold what was expected: there was no wait.
    Mismatch,
    /// The time has passed.
    TimedOut,
}

struct Inner {
    vm: VmMemory,
    /// Locked while growing.
    extent: Mutex<Extent>,
    ty: MemoryType,
    /// Where threads wait for each other: that of the engine whose stores can use the memory.
    parking: Arc<Parking>,
}

/// What the memory holds of the machine.
struct Extent {
    mapping: Mapping,
    charge: Charge,
}

// SAFETY: the base is never written after creation, and the length is atomic; the bytes behind it are only reached through raw pointers.
unsafe impl Send for Inner {}
// SAFETY: as above.
unsafe impl Sync for Inner {}

impl SharedMemory {
    /// A memory of zeros that is charged to `budget`, once for all stores; threads that wait in it do so in `parking`.
    ///
    /// # Errors
    /// Where `ty` is not shared or states no maximum, and where the budget or the operating system refuses the memory.
    pub(crate) fn with_layout(
        ty: MemoryType,
        layout: MemoryLayout,
        parking: &Arc<Parking>,
        budget: &Budget,
    ) -> Result<SharedMemory, Error> {
        ty.check()?;
        let (Some(max), Sharing::Shared) = (ty.pages.max, ty.sharing) else {
            return Err(Error::usage("a shared memory's type is shared and states a maximum"));
        };
        if ty.pages.min > max {
            return Err(Error::usage(format!(
                "a shared memory of {} pages is over its own maximum of {max}",
                ty.pages.min
            )));
        }
        let len_bytes = len_bytes(&ty, ty.pages.min)?;
        let charge = budget.hold(BudgetKind::LinearMemory, len_bytes as u64)?;
        // More than the limit is never used, whatever the type says.
        let most = ty.max_pages().saturating_mul(ty.page_bytes()).min(budget.limit_bytes());
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let exact = || Mapping::new(len_bytes, most);
        let mapping = match (ty.index, layout) {
            (IndexType::I64, _) | (_, MemoryLayout::Exact) => exact(),
            (_, MemoryLayout::Reserved) => reserve(len_bytes),
            (_, MemoryLayout::Auto) => reserve(len_bytes).or_else(|_| exact()),
        }?;
        let vm = VmMemory { base: mapping.base(), len_bytes: AtomicUsize::new(len_bytes) };
        let extent = Mutex::new(Extent { mapping, charge });
        Ok(SharedMemory(Arc::new(Inner { vm, extent, ty, parking: Arc::clone(parking) })))
    }

    /// The type that the memory was made with.
    #[must_use]
    pub fn ty(&self) -> MemoryType {
        self.0.ty
    }

    /// Whether threads that wait in the memory do so in `parking`.
    pub(crate) fn waits_in(&self, parking: &Arc<Parking>) -> bool {
        Arc::ptr_eq(&self.0.parking, parking)
    }

    /// What the memory is charged to.
    #[must_use]
    pub fn budget(&self) -> Budget {
        self.0.extent.lock().unwrap_or_else(PoisonError::into_inner).charge.budget().clone()
    }

    /// The size in pages; it may have grown by the time the caller looks at it.
    #[must_use]
    pub fn pages(&self) -> u64 {
        self.0.vm.len_bytes() as u64 / self.0.ty.page_bytes()
    }

    /// The size in bytes; it may have grown by the time the caller looks at it.
    #[must_use]
    pub fn data_size(&self) -> usize {
        self.0.vm.len_bytes()
    }

    /// `memory.atomic.notify`: wakes at most `count` of the threads that wait at an address, guests' and the host's, and says how many.
    ///
    /// # Errors
    /// Where the address is no multiple of 4, or not inside the memory.
    pub fn atomic_notify(&self, address: u64, count: u32) -> Result<u32, Error> {
        let cell = self.cell::<u32>(address)?;
        let (count, woken) = self.0.parking.notify(cell.addr(), count);
        // Guests that wait without holding a thread are told by their pollers.
        #[cfg(feature = "async")]
        woken.ring();
        #[cfg(not(feature = "async"))]
        drop(woken);
        Ok(count)
    }

    /// `memory.atomic.wait32`: waits at an address that holds `expected` until somebody wakes this thread, or `timeout` has passed.
    ///
    /// # Errors
    /// Where the address is no multiple of 4, or not inside the memory.
    pub fn atomic_wait32(
        &self,
        address: u64,
        expected: u32,
        timeout: Option<Duration>,
    ) -> Result<WaitResult, Error> {
        let cell = self.cell::<u32>(address)?;
        // SAFETY: `cell` has found it to be inside the memory, which never moves or shrinks, and aligned.
        Ok(self.wait(cell.addr(), || unsafe { atomic::u32::load(cell) } == expected, timeout))
    }

    /// `memory.atomic.wait64`: as [`SharedMemory::atomic_wait32`], for 64 bits.
    ///
    /// # Errors
    /// Where the address is no multiple of 8, or not inside the memory.
    pub fn atomic_wait64(
        &self,
        address: u64,
        expected: u64,
        timeout: Option<Duration>,
    ) -> Result<WaitResult, Error> {
        let cell = self.cell::<u64>(address)?;
        // SAFETY: as in `atomic_wait32`.
        Ok(self.wait(cell.addr(), || unsafe { atomic::u64::load(cell) } == expected, timeout))
    }

    fn wait(&self, cell: usize, is_expected: impl FnOnce() -> bool, timeout: Option<Duration>) -> WaitResult {
        // No store's record is where this thread has something of its own.
        let here = 0_u8;
        let place = ((&raw const here).addr(), cell);
        match self.0.parking.wait(place, is_expected, timeout, || false) {
            WaitOutcome::Woken => WaitResult::Ok,
            WaitOutcome::NotEqual => WaitResult::Mismatch,
            WaitOutcome::TimedOut | WaitOutcome::Interrupted => WaitResult::TimedOut,
        }
    }

    /// The cell at an address.
    fn cell<Cell>(&self, address: u64) -> Result<*mut Cell, Error> {
        let size = size_of::<Cell>();
        if !address.is_multiple_of(size as u64) {
            return Err(Trap::UnalignedAtomic.into());
        }
        self.range(address, size).map(<*mut u8>::cast)
    }

    /// Grows by `delta_pages` pages and returns the old size in pages.
    ///
    /// # Errors
    /// Where the memory's maximum, a limit or the operating system refuses it.
    pub fn grow(&self, delta_pages: u64) -> Result<u64, Error> {
        self.grow_by(delta_pages)
            .ok_or_else(|| Error::limit(format!("a shared memory cannot grow by {delta_pages} pages")))
    }

    /// Copies bytes out. Bytes that another thread writes meanwhile are read old or new, each.
    ///
    /// # Errors
    /// Where the range is not inside the memory.
    pub fn read(&self, address: u64, to: &mut [u8]) -> Result<(), Error> {
        let from = self.range(address, to.len())?;
        // SAFETY: the range was just checked, and the memory never shrinks or moves; `to` is no memory of a guest.
        unsafe { from.copy_to_nonoverlapping(to.as_mut_ptr(), to.len()) };
        Ok(())
    }

    /// Copies bytes in. Another thread that reads them meanwhile sees each old or new.
    ///
    /// # Errors
    /// Where the range is not inside the memory.
    pub fn write(&self, address: u64, from: &[u8]) -> Result<(), Error> {
        let to = self.range(address, from.len())?;
        // SAFETY: as in `read`.
        unsafe { to.copy_from_nonoverlapping(from.as_ptr(), from.len()) };
        Ok(())
    }

    /// Whether both are the same memory.
    #[must_use]
    pub fn same(a: &SharedMemory, b: &SharedMemory) -> bool {
        Arc::ptr_eq(&a.0, &b.0)
    }

    /// The record; written only through its atomic length.
    pub(crate) fn vm(&self) -> *mut VmMemory {
        (&raw const self.0.vm).cast_mut()
    }

    /// As `LinearMemory::grow`.
    pub(super) fn grow_by(&self, delta: u64) -> Option<u64> {
        let mut extent = self.0.extent.lock().unwrap_or_else(PoisonError::into_inner);
        self.grow_locked(&mut extent, delta)
    }

    /// As `LinearMemory::grow_from`.
    pub(super) fn grow_from(&self, from_bytes: usize, delta: u64) -> Option<Option<u64>> {
        let mut extent = self.0.extent.lock().unwrap_or_else(PoisonError::into_inner);
        (self.0.vm.len_bytes() == from_bytes).then(|| self.grow_locked(&mut extent, delta))
    }

    fn grow_locked(&self, extent: &mut Extent, delta: u64) -> Option<u64> {
        let len_bytes = self.0.vm.len_bytes();
        let (old_pages, new_bytes) = grown(&self.0.ty, len_bytes, delta)?;
        if new_bytes > extent.mapping.reserved_bytes() {
            return None;
        }
        extent.charge.set(new_bytes as u64).ok()?;
        if extent.mapping.make_accessible(new_bytes).is_err() {
            // To hold less is never refused.
            let _ = extent.charge.set(len_bytes as u64);
            return None;
        }
        self.0.vm.len_bytes.store(new_bytes, Ordering::SeqCst);
        Some(old_pages)
    }

    fn range(&self, address: u64, len: usize) -> Result<*mut u8, Error> {
        let range = self.0.vm.range(address, len as u64);
        range
            .ok_or_else(|| Error::usage(format!("{len} bytes at {address} are not inside the shared memory")))
    }
}

impl std::fmt::Debug for SharedMemory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedMemory").field("ty", &self.0.ty).field("pages", &self.pages()).finish()
    }
}
