//! Requests to stop, as instructions hear of them whose length a guest chooses: they work in portions ([`crate::portions`]), and ask between two.
//!
//! Must stay true: no instruction works longer than for one portion without [`heed_stop`], also where many stand in a row without a loop:
//! each heeds a stop at its own end, too. What an instruction has done when it stops stays done, as after any trap in its middle that the
//! specification allows for; bounds are checked for the whole before the first portion.

use std::sync::atomic::Ordering;

use crate::trap::Trap;
use crate::vmctx::{VmContext, VmStore};

/// Traps where somebody wants the guest to stop. Whoever wants a sample of its stack waits for its next loop or call.
///
/// # Errors
/// [`Trap::Interrupted`], [`Trap::DeadlineExceeded`].
///
/// # Safety
/// See the parent module's documentation.
#[inline(always)]
pub(crate) unsafe fn heed_stop(ctx: *mut VmContext) -> Result<(), Trap> {
    // SAFETY: handlers and libcalls pass the context that they run with, whose store this activation alone has (the contract of `runtime`).
    unsafe { heed_stop_in((*ctx).store) }
}

/// As `heed_stop`, by the record of the store: for the search among very many frames.
///
/// # Errors
/// [`Trap::Interrupted`], [`Trap::DeadlineExceeded`].
///
/// # Safety
/// `vm` is the record of a store that the running activation has exclusive use of.
#[inline(always)]
pub unsafe fn heed_stop_in(vm: *mut VmStore) -> Result<(), Trap> {
    // SAFETY: tiers pass the record of the store that they run for, which this activation alone has (the contract of `runtime`).
    unsafe {
        match (*vm).stack_limit.load(Ordering::Relaxed).is_null() {
            true => stop_if_asked(vm),
            false => Ok(()),
        }
    }
}

/// # Safety
/// As [`heed_stop_in`].
#[cold]
#[inline(never)]
unsafe fn stop_if_asked(vm: *mut VmStore) -> Result<(), Trap> {
    // SAFETY: handlers and libcalls pass the context that they run with, whose store this activation alone has (the contract of `runtime`): `core` was set by the
    // call that this activation is in. Nothing but its record is borrowed, whatever else of it
    // the instruction works on.
    unsafe { (*super::core_of(vm)).record.stop_if_asked() }
}
