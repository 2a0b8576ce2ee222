//! Globals: one value each (core specification 4.2.11, "Global Instances").

use std::ptr::NonNull;

use super::VmGlobal;
use crate::types::GlobalType;

pub(crate) struct GlobalEntity {
    vm: NonNull<VmGlobal>,
    /// Whether the record is this one's own; else it belongs to an instance of the same store.
    is_owner: bool,
    ty: GlobalType,
}

// SAFETY: the record is owned; access needs the store, which one thread holds at a time.
unsafe impl Send for GlobalEntity {}
// SAFETY: as above: a shared reference only reads.
unsafe impl Sync for GlobalEntity {}

impl GlobalEntity {
    pub(crate) fn new(ty: GlobalType, slots: [u64; 2]) -> GlobalEntity {
        GlobalEntity { vm: NonNull::from(Box::leak(Box::new(VmGlobal { slots }))), is_owner: true, ty }
    }

    /// A global that a module defines.
    ///
    /// # Safety
    /// `vm` is good for as long as the store.
    pub(crate) unsafe fn of_instance(ty: GlobalType, vm: NonNull<VmGlobal>) -> GlobalEntity {
        GlobalEntity { vm, is_owner: false, ty }
    }

    pub(crate) fn vm(&self) -> *mut VmGlobal {
        self.vm.as_ptr()
    }

    pub(crate) fn ty(&self) -> GlobalType {
        self.ty
    }

    pub(crate) fn slots(&self) -> [u64; 2] {
        // SAFETY: `vm` lives as long as `self`; guest code is not running while the store is borrowed.
        unsafe { (*self.vm.as_ptr()).slots }
    }

    /// The bits of a value of at most 64 bits.
    #[inline]
    pub(crate) fn slot(&self) -> u64 {
        // SAFETY: as in `slots`.
        unsafe { (*self.vm.as_ptr()).slots[0] }
    }

    #[inline]
    pub(crate) fn set_slot(&mut self, slot: u64) {
        // SAFETY: as in `set_slots`.
        unsafe { (*self.vm.as_ptr()).slots[0] = slot };
    }

    pub(crate) fn set_slots(&mut self, slots: [u64; 2]) {
        // SAFETY: as in `slots`, and the borrow is exclusive.
        unsafe { (*self.vm.as_ptr()).slots = slots };
    }
}

impl Drop for GlobalEntity {
    fn drop(&mut self) {
        if self.is_owner {
            // SAFETY: made by `Box::leak` in `new`, freed once, here, when the store goes.
            drop(unsafe { Box::from_raw(self.vm.as_ptr()) });
        }
    }
}
