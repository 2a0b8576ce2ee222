//! Tables: growable vectors of references (core specification 4.2.8, "Table Instances").
//!
//! An element is one slot: a pointer to a [`super::VmFunc`], or the number of a host object; 0 is null.

use std::ptr::NonNull;

use super::VmTable;
use crate::error::Error;
use crate::types::TableType;

/// Elements that any table can have: less than the greatest 32-bit number, so that a 64-bit index can be cut down to that number
/// and still be out of bounds (see [`runtime::narrow_index`](super::runtime::narrow_index)).
const MAX_ELEMENTS: u64 = u32::MAX as u64 - 1;

pub(crate) struct TableEntity {
    vm: NonNull<VmTable>,
    elements: Vec<u64>,
    ty: TableType,
    limit: u64,
}

// SAFETY: record and elements are owned; access needs the store, which one thread holds at a time.
unsafe impl Send for TableEntity {}
// SAFETY: as above: a shared reference only reads.
unsafe impl Sync for TableEntity {}

impl TableEntity {
    /// A table of nulls. `limit` bounds its elements beyond what its type says.
    pub(crate) fn new(ty: TableType, limit: u64) -> Result<TableEntity, Error> {
        let limit = limit.min(MAX_ELEMENTS);
        if ty.size.min > limit {
            let message = format!(
                "a table of {} elements is over the limit of {limit} (Limits::table_elements)",
                ty.size.min
            );
            return Err(Error::limit(message));
        }
        let mut elements = vec![0; ty.size.min as usize];
        let vm = Box::new(VmTable { elements: elements.as_mut_ptr(), len: ty.size.min });
        Ok(TableEntity { vm: NonNull::from(Box::leak(vm)), elements, ty, limit })
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

    /// Grows by `delta` elements of `value` and returns the old size; none where a maximum forbids it.
    pub(crate) fn grow(&mut self, delta: u64, value: u64) -> Option<u64> {
        let old = self.len();
        let new = old.checked_add(delta)?;
        if new > self.ty.size.max.unwrap_or(u64::MAX).min(self.limit) {
            return None;
        }
        self.elements.try_reserve(usize::try_from(delta).ok()?).ok()?;
        self.elements.resize(new as usize, value);
        // SAFETY: `vm` lives as long as `self`, and guest code is not running: it has called us.
        unsafe { *self.vm.as_ptr() = VmTable { elements: self.elements.as_mut_ptr(), len: new } };
        Some(old)
    }
}

impl Drop for TableEntity {
    fn drop(&mut self) {
        // SAFETY: made by `Box::leak` in `new`, freed once, here, when the store goes.
        drop(unsafe { Box::from_raw(self.vm.as_ptr()) });
    }
}
