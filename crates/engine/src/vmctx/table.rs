//! Tables: growable vectors of references (core specification 4.2.8, "Table Instances").
//!
//! An element is one slot: a pointer to a [`super::VmFunc`], or the number of a host object; 0 is null.

use std::alloc::{Layout, alloc_zeroed};
use std::ptr::NonNull;

use super::VmTable;
use crate::budget::{Budget, BudgetKind, Charge};
use crate::error::{Error, ErrorKind};
use crate::portions::portions;
use crate::trap::Trap;
use crate::types::TableType;

/// Elements that any table can have: less than the greatest 32-bit number, so that a 64-bit index can be cut down to that number
/// and still be out of bounds (see [`runtime::narrow_index`](super::runtime::narrow_index)).
const MAX_ELEMENTS: u64 = u32::MAX as u64 - 1;

/// The largest allocation that allocators copy when it grows.
const MOST_COPIED_BYTES: u64 = 32 << 20;

pub(crate) struct TableEntity {
    vm: NonNull<VmTable>,
    elements: Vec<u64>,
    ty: TableType,
    limit: u64,
    charge: Charge,
}

// SAFETY: record and elements are owned; access needs the store, which one thread holds at a time.
unsafe impl Send for TableEntity {}
// SAFETY: as above: a shared reference only reads.
unsafe impl Sync for TableEntity {}

impl TableEntity {
    /// A table of nulls. `limit` bounds its elements beyond what its type says.
    pub(crate) fn new(ty: TableType, limit: u64, budget: &Budget) -> Result<TableEntity, Error> {
        TableEntity::check_limit(&ty, limit)?;
        let limit = limit.min(MAX_ELEMENTS);
        let charge = budget.hold(BudgetKind::Table, bytes(ty.size.min))?;
        let mut elements = nulls(ty.size.min as usize).ok_or_else(|| {
            Error::new(ErrorKind::Os(format!("there is no memory for a table of {} elements", ty.size.min)))
        })?;
        let vm = Box::new(VmTable { elements: elements.as_mut_ptr(), len: ty.size.min });
        Ok(TableEntity { vm: NonNull::from(Box::leak(vm)), elements, ty, limit, charge })
    }

    /// Checks that there may be a table of a type under a limit.
    ///
    /// # Errors
    /// Where it has more elements than that.
    pub(crate) fn check_limit(ty: &TableType, limit: u64) -> Result<(), Error> {
        let limit = limit.min(MAX_ELEMENTS);
        if ty.size.min <= limit {
            return Ok(());
        }
        let min = ty.size.min;
        let message =
            format!("a table of {min} elements is over the limit of {limit} (Limits::table_elements)");
        Err(Error::limit(message))
    }

    pub(crate) fn vm(&self) -> *mut VmTable {
        self.vm.as_ptr()
    }

    /// The table's type, with its current size as the minimum: what import matching looks at.
    pub(crate) fn ty(&self) -> TableType {
        let mut ty = self.ty;
        ty.size.min = self.len();
        ty
    }

    pub(crate) fn len(&self) -> u64 {
        self.elements.len() as u64
    }

    pub(crate) fn get(&self, index: u64) -> Option<u64> {
        self.elements().get(usize::try_from(index).ok()?).copied()
    }

    /// The elements.
    pub(crate) fn elements(&self) -> &[u64] {
        // Read through the record: guest code writes elements through it.
        // SAFETY: `vm` lives as long as `self`, and describes the allocation of `elements`.
        unsafe { std::slice::from_raw_parts((*self.vm.as_ptr()).elements, self.elements.len()) }
    }

    /// The elements, for bulk operations.
    pub(crate) fn elements_mut(&mut self) -> &mut [u64] {
        // SAFETY: as in `elements`, and the borrow is exclusive.
        unsafe { std::slice::from_raw_parts_mut((*self.vm.as_ptr()).elements, self.elements.len()) }
    }

    /// Grows by `delta` elements of `value` and returns the old size; none where a maximum forbids it. `heed` is asked after each portion whether to
    /// go on.
    ///
    /// # Errors
    /// That of `heed`, and then the table is as it was.
    pub(crate) fn grow_in_portions(
        &mut self,
        delta: u64,
        value: u64,
        heed: impl Fn() -> Result<(), Trap>,
    ) -> Result<Option<u64>, Trap> {
        let old = self.len();
        let Some(new) = self.grown(delta) else { return Ok(None) };
        let mut done = Ok(());
        for portion in portions(delta as usize, size_of::<u64>()) {
            self.elements.resize(old as usize + portion.end, value);
            done = heed();
            if done.is_err() {
                self.elements.truncate(old as usize);
                break;
            }
        }
        // Room for more may be elsewhere than the elements were.
        let len = if done.is_ok() { new } else { old };
        // SAFETY: `vm` lives as long as `self`, and guest code is not running: it has called us.
        unsafe { *self.vm.as_ptr() = VmTable { elements: self.elements.as_mut_ptr(), len } };
        done.map(|()| Some(old))
    }

    /// The size after growth by `delta` elements; none where the type or the limit forbids it.
    pub(crate) fn size_after(&self, delta: u64) -> Option<u64> {
        let new = self.len().checked_add(delta)?;
        (new <= self.ty.size.max.unwrap_or(u64::MAX).min(self.limit)).then_some(new)
    }

    /// The size after growth by `delta` elements, for which there is room then; none where a maximum or the system forbids it.
    fn grown(&mut self, delta: u64) -> Option<u64> {
        let new = self.size_after(delta)?;
        self.reserve(new)?;
        Some(new)
    }

    /// Makes room for `len` elements.
    fn reserve(&mut self, len: u64) -> Option<()> {
        let capacity = self.elements.capacity() as u64;
        if len <= capacity {
            return Some(());
        }
        // Room for half as much again keeps the copying linear over many small growths; near the limits there is room for what is asked.
        let spare = len.max(capacity.saturating_add(capacity / 2)).min(self.limit);
        for len in [spare, len] {
            // While elements are copied, there are both. Large allocations move without being copied.
            let copied = bytes(capacity).min(MOST_COPIED_BYTES);
            let Ok(_copy) = self.charge.budget().hold(BudgetKind::Table, copied) else { continue };
            if self.charge.set(bytes(len)).is_err() {
                continue;
            }
            if self.elements.try_reserve_exact(len as usize - self.elements.len()).is_ok() {
                return Some(());
            }
            // To hold less is never refused.
            let _ = self.charge.set(bytes(capacity));
        }
        None
    }
}

/// So many null references; none where there is no memory for them.
fn nulls(len: usize) -> Option<Vec<u64>> {
    if len == 0 {
        return Some(Vec::new());
    }
    let layout = Layout::array::<u64>(len).ok()?;
    // SAFETY: the size is not 0. Memory of zeros of the array's own layout is a vector's, full of nulls.
    unsafe {
        let elements = NonNull::new(alloc_zeroed(layout))?;
        Some(Vec::from_raw_parts(elements.cast().as_ptr(), len, len))
    }
}

/// Bytes that so many elements take.
fn bytes(elements: u64) -> u64 {
    elements.saturating_mul(size_of::<u64>() as u64)
}

impl Drop for TableEntity {
    fn drop(&mut self) {
        // SAFETY: made by `Box::leak` in `new`, freed once, here, when the store goes.
        drop(unsafe { Box::from_raw(self.vm.as_ptr()) });
    }
}
