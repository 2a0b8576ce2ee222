//! Tags of exceptions (core specification 4.2.12, "Tag Instances").

use std::ptr::NonNull;
use std::sync::Arc;

use super::VmTag;
use crate::registry::TypeRecord;
use crate::types::FuncType;

pub(crate) struct TagEntity {
    vm: NonNull<VmTag>,
    ty: Arc<TypeRecord>,
}

// SAFETY: the record is owned and never changes.
unsafe impl Send for TagEntity {}
// SAFETY: as above.
unsafe impl Sync for TagEntity {}

impl TagEntity {
    /// A tag of a function type.
    pub(crate) fn new(ty: Arc<TypeRecord>) -> TagEntity {
        let param_slots = ty.ty.composite.as_func().map_or(0, FuncType::param_slots);
        let vm = Box::new(VmTag { ty: Arc::as_ptr(&ty), param_slots });
        TagEntity { vm: NonNull::from(Box::leak(vm)), ty }
    }

    pub(crate) fn vm(&self) -> *mut VmTag {
        self.vm.as_ptr()
    }

    pub(crate) fn ty(&self) -> &Arc<TypeRecord> {
        &self.ty
    }
}

impl Drop for TagEntity {
    fn drop(&mut self) {
        // SAFETY: made by `Box::leak` in `new`, freed once, here, when the store goes.
        drop(unsafe { Box::from_raw(self.vm.as_ptr()) });
    }
}
