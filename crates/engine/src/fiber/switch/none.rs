//! Where no switch is written for a processor: fibers run on the stack of whoever calls them, and cannot wait.
//!
//! Nothing but the interpreter runs there, which keeps references in slots only.

use super::{Body, Switch, with_convention};
use crate::vmctx::{HostEntry, VmContext, VmStore};

/// Whether a fiber has a stack of its own on this processor.
#[cfg(any(test, feature = "fibers"))]
pub(crate) const HAS_STACKS: bool = false;

/// See [`super::enter`].
#[inline(always)]
pub(super) unsafe fn enter(_: *mut Switch, body: Body, data: *mut ()) -> u32 {
    // SAFETY: `super::Job::enter` passes the body with its data.
    unsafe { body(data) };
    0
}

/// See [`super::on_host`].
#[inline(always)]
pub(super) unsafe fn on_host(_: *mut Switch, call: Body, data: *mut ()) {
    // SAFETY: `super::on_host` passes the call with its data.
    unsafe { call(data) }
}

with_convention! {
    /// See [`super::enter_host`].
    ///
    /// # Safety
    /// That is described there.
    pub fn enter_host<>(ctx: *mut VmContext, entry: *const HostEntry, slots: *mut u64, vm: *mut VmStore) -> u32 {
        // SAFETY: whoever calls passes the entry of a function of the host with its slots.
        unsafe { ((*entry).call)(ctx, entry, slots, vm) }
    }
}

/// Where machine code has called the host: nowhere, since none is made for this processor.
///
/// # Safety
/// Nothing is asked.
pub(crate) unsafe fn caller_of_host(_: usize) -> Option<(usize, usize)> {
    None
}

/// See [`super::suspend`]: goes on at once.
#[cfg(any(test, feature = "async"))]
#[inline(always)]
pub(super) unsafe fn suspend(_: *mut Switch) -> u32 {
    0
}

/// See [`super::resume`]: nothing is ever suspended.
#[cfg(any(test, feature = "fibers"))]
#[inline(always)]
pub(super) unsafe fn resume(_: *mut Switch, _: u32) -> u32 {
    0
}
