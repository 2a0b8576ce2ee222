//! What a C program attaches to an object: a pointer, and what is called with it in the end.

use std::ffi::c_void;
use std::sync::{Mutex, PoisonError};

use crate::boundary::{Env, Finalizer};

/// Attached to one object, whoever refers to it; finalized when it is replaced, and when the object is gone.
#[derive(Default)]
pub(crate) struct HostInfo(Mutex<Option<Env>>);

impl HostInfo {
    pub(crate) fn get(&self) -> *mut c_void {
        let info = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        info.as_ref().map_or(std::ptr::null_mut(), Env::pointer)
    }

    pub(crate) fn set(&self, pointer: *mut c_void, finalizer: Option<Finalizer>) {
        let new = (!pointer.is_null() || finalizer.is_some()).then(|| Env::new(pointer, finalizer));
        let mut info = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let old = std::mem::replace(&mut *info, new);
        drop(info);
        // The program's function, which may ask for this again.
        drop(old);
    }

    pub(crate) fn is_set(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }
}
