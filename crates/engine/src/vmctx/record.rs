//! The record of a store and the guest stack it describes.

use std::ptr::NonNull;
use std::sync::atomic::AtomicUsize;

use super::{TrapSite, VmMemory, VmStore};
use crate::error::Error;
use crate::sys::Mapping;

/// Owns a [`VmStore`], the guest's stack, and the memory that instances without one see.
pub(crate) struct StoreRecord {
    vm: NonNull<VmStore>,
    no_memory: NonNull<VmMemory>,
    _stack: Mapping,
}

// SAFETY: the records are owned; access needs the store, which one thread holds at a time.
unsafe impl Send for StoreRecord {}
// SAFETY: as above: a shared reference only gives out the addresses.
unsafe impl Sync for StoreRecord {}

impl StoreRecord {
    pub(crate) fn new(stack_bytes: usize) -> Result<StoreRecord, Error> {
        let stack_bytes = stack_bytes.next_multiple_of(GUARD_BYTES);
        // The guard beyond the end is never reached by checked code; it is there for the day a check is wrong.
        let stack = Mapping::new(stack_bytes, stack_bytes.saturating_add(GUARD_BYTES))?;
        let vm = VmStore {
            // SAFETY: one past the accessible part of the mapping.
            stack_limit: unsafe { stack.base().add(stack_bytes) }.cast(),
            stack_top: stack.base().cast(),
            trap_site: TrapSite::NONE,
            pending: None,
            scratch: [0; 5],
            owner: std::ptr::null_mut(),
            core: std::ptr::null_mut(),
            nesting: 0,
        };
        let no_memory = VmMemory { base: NonNull::dangling().as_ptr(), len_bytes: AtomicUsize::new(0) };
        Ok(StoreRecord {
            vm: NonNull::from(Box::leak(Box::new(vm))),
            no_memory: NonNull::from(Box::leak(Box::new(no_memory))),
            _stack: stack,
        })
    }

    pub(crate) fn vm(&self) -> *mut VmStore {
        self.vm.as_ptr()
    }

    pub(crate) fn no_memory(&self) -> *mut VmMemory {
        self.no_memory.as_ptr()
    }
}

impl Drop for StoreRecord {
    fn drop(&mut self) {
        // SAFETY: both were made by `Box::leak` in `new`, and are freed once, here, when the store goes.
        unsafe {
            drop(Box::from_raw(self.vm.as_ptr()));
            drop(Box::from_raw(self.no_memory.as_ptr()));
        }
    }
}

const GUARD_BYTES: usize = 1 << 16;
