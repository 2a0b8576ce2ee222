//! What a store's record has to do with fibers beside the store's first one: another one goes on in the place of that which is under way.

use super::StoreRecord;
use crate::vmctx::fiber::{FIRST_NATIVE_BYTES, VmFiber};

impl StoreRecord {
    /// Has the execution that `other` describes go on, in the place of the one that is under way, which `other` describes then.
    pub(crate) fn exchange(&mut self, other: &mut VmFiber) {
        std::mem::swap(self.fiber_mut(), other);
        // Limits are those of the execution that runs, unless somebody requests a safepoint.
        self.shared().settle(|_| 0);
    }

    /// Gives back what was charged while a stack grew that is gone.
    pub(crate) fn release_stack(&mut self, bytes: usize) {
        let left = self.charge.bytes().saturating_sub(bytes as u64);
        // Less than before is never refused.
        let _ = self.charge.set_quietly(left);
    }

    /// What of the native stack of the fiber that runs was charged when it was made; none of the store's first one.
    pub(super) fn first_native_bytes(&self) -> Option<usize> {
        (self.fiber().parked.level > 0).then_some(FIRST_NATIVE_BYTES)
    }
}
