//! What executing code asks the engine to do: everything that is not a plain read or write of the records.
//!
//! Here stands what bulk operations, growth and segments mean (core specification 4.6, "Execution": table, memory and
//! reference instructions; threads proposal: atomic instructions), once for all tiers. Operands are 64 bits wide: a tier extends 32-bit operands with zeros.
//!
//! # Safety
//! All functions share one contract: `ctx` is the context of an instance whose store the running activation has exclusive use of,
//! and indices are those of validated code. They keep no reference into guest state after they return.

mod atomic;
pub(crate) mod call;
mod fuel;
#[cfg(feature = "async")]
pub(crate) mod future;
pub mod gc;
mod growth;
pub(crate) mod host;
pub(crate) mod instance;
mod memory;
mod safepoint;
mod table;

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::composite::TypeNumber;
use crate::error::{Error, ErrorKind};
use crate::fiber::switch;
use crate::index::*;
use crate::registry::TypeRecord;
use crate::store::StoreCore;
use crate::tier::ModuleParts;
use crate::trap::Trap;
use crate::value::Val;
use crate::vmctx::record::Request;
use crate::vmctx::{ActivationSegment, Pending, VmContext, VmFunc, VmStore};

pub use atomic::*;
pub use fuel::refuel;
pub use growth::ReasonInRecord;
pub use memory::*;
pub(crate) use safepoint::heed_stop;
pub use safepoint::heed_stop_in;
pub(crate) use table::copy_between;
pub use table::*;

use host::HostFunc;
use instance::InstanceEntity;

/// What a store holds, by its record.
///
/// # Safety
/// `vm` is the record of a store under which a call has been entered: [`call::call`] has put the pointer there.
#[inline(always)]
pub(crate) unsafe fn core_of(vm: *mut VmStore) -> *mut StoreCore {
    // SAFETY: tiers pass the record of the store that they run for, which this activation alone has (the contract of `runtime`).
    unsafe { (*vm).core.cast() }
}

/// The instance that a context is of.
///
/// # Safety
/// `ctx` is a living context: [`instance::InstanceBox`] has put the pointer there.
#[inline(always)]
unsafe fn instance_of(ctx: *mut VmContext) -> *mut InstanceEntity {
    // SAFETY: handlers and libcalls pass the context that they run with, whose store this activation alone has (the contract of `runtime`).
    unsafe { (*ctx).instance.cast() }
}

/// The module that an instance is of.
///
/// # Safety
/// See the module's documentation; the reference is good for as long as the store lives.
#[must_use]
pub unsafe fn module<'a>(ctx: *mut VmContext) -> &'a ModuleParts {
    // SAFETY: the instance lives as long as its store and holds the module.
    unsafe { &(*instance_of(ctx)).module.0 }
}

/// Calls a host function for the guest, on the host's stack; false where the activation must be left, and then the reason is in `pending`. Whoever wants the guest to stop
/// is heard before the call: without a loop around them, many may stand in a row.
///
/// # Safety
/// See the module's documentation; `func` is a host function of the same store, `slots` points to its `call_slots` slots,
/// and `stack_top` lies beyond them.
#[must_use]
#[inline(never)]
pub unsafe fn call_host(ctx: *mut VmContext, func: *const VmFunc, slots: *mut u64) -> bool {
    // SAFETY: handlers and libcalls pass the context that they run with, whose store this activation alone has (the contract of `runtime`).
    unsafe {
        let slots = std::slice::from_raw_parts_mut(slots, (*func).call_slots as usize);
        call_host_of((*ctx).store, func, ctx, slots)
    }
}

/// As [`call_host`], in the store whose record `vm` is; `ctx` is null where the host itself calls, on the fiber.
///
/// # Safety
/// As [`call_host`].
#[inline(always)]
pub(crate) unsafe fn call_host_of(
    vm: *mut VmStore,
    func: *const VmFunc,
    ctx: *mut VmContext,
    slots: &mut [u64],
) -> bool {
    // SAFETY: `call_host` passes the record of its context's store, and a call that waits that of its own: both run on the store's fiber, and the function's code is
    // made for the store's type.
    unsafe {
        if let Err(trap) = heed_stop_in(vm) {
            (*vm).fiber.pending = Some(Pending::Trap(trap));
            return false;
        }
        let roots = (*core_of(vm)).roots.len();
        #[cfg(feature = "async")]
        let (mark, nesting) = ((*vm).fiber.mark(), (*vm).nesting);
        #[cfg(feature = "async")]
        let mut below = 0;
        let is_done = switch::call_on_host(&raw mut (*vm).fiber.switch, || {
            #[cfg(feature = "async")]
            {
                below = (*vm).fiber.switch.fiber;
            }
            let result = catch_host(vm, func, ctx, slots);
            #[cfg(feature = "async")]
            if (*vm).nesting != nesting {
                // The function has let a call wait, and leaked it.
                (*vm).nesting = nesting;
                (*vm).fiber.return_to(mark);
            }
            #[cfg(feature = "async")]
            if (*vm).fiber.waiting.is_for_host() {
                return false;
            }
            end_host_call(vm, roots, result)
        });
        #[cfg(feature = "async")]
        if !is_done && (*vm).fiber.waiting.is_for_host() {
            let result = future::wait_for_host(vm, below);
            return end_host_call(vm, roots, result);
        }
        is_done
    }
}

/// What is left to do when a function of the host has ended, before which there were so many roots.
///
/// # Safety
/// As [`call_host`].
#[inline(always)]
unsafe fn end_host_call(vm: *mut VmStore, roots: usize, result: Result<(), Pending>) -> bool {
    // SAFETY: `call_host_of` passes the record that it runs for; `core` was set by the call that this activation is in.
    unsafe {
        let result = result.map_err(|reason| for_guest(&*core_of(vm), reason));
        // References made during the call are the embedder's only until it returns.
        (*core_of(vm)).roots.truncate(roots);
        match result {
            Ok(()) => true,
            Err(stopped) => {
                (*vm).fiber.pending = Some(stopped);
                false
            }
        }
    }
}

/// Does something on the host's stack that may need more of it than a fiber has: whatever is neither the guest's own code nor quickly done. A panic goes on on the
/// fiber's.
///
/// # Safety
/// `vm` is the record of the store whose guest code is running here.
#[cold]
#[inline(never)]
pub unsafe fn on_host<R>(vm: *mut VmStore, act: impl FnOnce() -> R) -> R {
    // SAFETY: tiers pass the record of the store that they run for, on its fiber.
    unsafe { switch::on_host(&raw mut (*vm).fiber.switch, act) }
}

/// The reason for a host call's end, as it is to the guest: an exception that the host passes on can be caught.
fn for_guest(core: &StoreCore, reason: Pending) -> Pending {
    match reason {
        Pending::Error(error) => match error.kind() {
            ErrorKind::Exception(exception) => match Val::ExnRef(Some(*exception)).to_slots(core) {
                Ok([slot, _]) => Pending::Exception(slot),
                Err(stale) => Pending::Error(stale),
            },
            _ => Pending::Error(error),
        },
        other => other,
    }
}

/// Takes the reason for a stop out of the record, for the host that has called: no exception, since one that nobody has caught is an error to the host.
///
/// # Safety
/// As [`safepoint`]; the guest's code was left.
pub(crate) unsafe fn take_reason(vm: *mut VmStore) -> Pending {
    // SAFETY: `runtime::call` and `runtime::future` pass the record of the store that they call in, before they give it back.
    unsafe {
        match (*vm).fiber.pending.take() {
            Some(Pending::Exception(exception)) => Pending::Error(uncaught(vm, exception)),
            Some(reason) => reason,
            // Every stop leaves a reason; a missing one is reported as what it is rather than ignored.
            None => Pending::Error(Error::limit("the guest's code stopped without a reason")),
        }
    }
}

/// The error that an exception becomes which no frame of an activation catches.
///
/// # Safety
/// See the module's documentation; `exception` is a reference to an exception of the same store.
unsafe fn uncaught(vm: *mut VmStore, exception: u64) -> Error {
    // SAFETY: `take_reason` and `complete_stop` pass the record of the store that they run for, which this activation alone has (the contract of `runtime`).
    let core = unsafe { &mut *core_of(vm) };
    Error::new(ErrorKind::Exception(core.root_exception(exception)))
}

/// Calls a host function; a panic comes back as a value, so that it never unwinds guest frames.
///
/// # Safety
/// As [`super::host::HostCode::call`].
pub(crate) unsafe fn catch_host(
    vm: *mut VmStore,
    func: *const VmFunc,
    caller: *mut VmContext,
    slots: &mut [u64],
) -> Result<(), Pending> {
    // SAFETY: `core` was set by the call that this activation is in.
    let before = unsafe { (*core_of(vm)).profile.is_some().then(|| (*core_of(vm)).record.ticks()) };
    // SAFETY: passed on. Whatever the panic left half done belongs to the host, which sees the panic go on.
    let caught = catch_unwind(AssertUnwindSafe(|| unsafe {
        (*(*func).host.cast::<HostFunc>()).call(vm, caller, slots)
    }));
    if let Some(before) = before {
        // SAFETY: as above.
        unsafe { note_host_time(vm, func, caller, before) };
    }
    match caught {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(Pending::Error(error)),
        Err(payload) => Err(Pending::Panic(payload)),
    }
}

/// Tells the profile how much time has passed in a function of the host, which began when `before` samples had been asked for.
///
/// # Safety
/// As [`catch_host`].
#[cold]
unsafe fn note_host_time(vm: *mut VmStore, func: *const VmFunc, caller: *mut VmContext, before: u64) {
    // SAFETY: `catch_host` passes the record and the context of the call that it has made; `core` was set by the call that this activation is in.
    unsafe {
        let core = &mut *core_of(vm);
        let ticks = core.record.ticks().saturating_sub(before);
        if ticks > 0
            && !caller.is_null()
            && let Some(profile) = &mut core.profile
        {
            profile.note_host((*instance_of(caller)).describe_host(func), ticks);
        }
    }
}

/// What a failed check against the stack's limit means at a frame that ends at `frame_end`: nothing, where a safepoint was requested and has
/// been given; else a trap. `describe` appends the innermost run of frames where somebody wants a sample of them.
///
/// # Errors
/// [`Trap::Interrupted`], [`Trap::DeadlineExceeded`], [`Trap::CallStackExhausted`].
///
/// # Safety
/// `vm` is the record of a store that the running activation has exclusive use of; its segments are those of this activation.
#[cold]
#[inline(never)]
pub unsafe fn safepoint(
    vm: *mut VmStore,
    frame_end: *const u64,
    describe: impl FnOnce(&mut Error),
) -> Result<(), Trap> {
    // SAFETY: tiers pass the record of the store that they run for, which this activation alone has (the contract of `runtime`).
    unsafe {
        answer_request(vm, Afterwards::GoesOn, describe)?;
        match (*core_of(vm)).extend_stack(frame_end) {
            true => Ok(()),
            false => Err(Trap::CallStackExhausted),
        }
    }
}

/// What a guest does once a safepoint has been given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Afterwards {
    /// It goes on behind the check that has failed.
    GoesOn,
    /// It makes the same check again.
    TriesAgain,
}

/// What a failed check of machine code's stack pointer means; as [`safepoint`].
///
/// # Errors
/// As [`safepoint`].
///
/// # Safety
/// As [`safepoint`].
#[cold]
#[inline(never)]
pub unsafe fn native_safepoint(
    vm: *mut VmStore,
    stack_pointer: usize,
    afterwards: Afterwards,
    describe: impl FnOnce(&mut Error),
) -> Result<(), Trap> {
    // SAFETY: handlers and libcalls pass the context that they run with, whose store this activation alone has (the contract of `runtime`).
    unsafe {
        answer_request(vm, afterwards, describe)?;
        match (*core_of(vm)).extend_native_stack(stack_pointer) {
            true => Ok(()),
            false => Err(Trap::CallStackExhausted),
        }
    }
}

/// # Safety
/// As [`safepoint`].
unsafe fn answer_request(
    vm: *mut VmStore,
    #[cfg_attr(not(feature = "async"), expect(unused_variables))] afterwards: Afterwards,
    describe: impl FnOnce(&mut Error),
) -> Result<(), Trap> {
    // SAFETY: tiers pass the record of the store that they run for, which this activation alone has (the contract of `runtime`): `core` was set by the call that
    // this activation is in.
    unsafe {
        match (*core_of(vm)).take_request() {
            None => Ok(()),
            Some(Request::Sample) => {
                if (*core_of(vm)).profile.is_some() {
                    let mut sample = Error::for_profile();
                    describe_all(vm, &mut sample, describe);
                    (*core_of(vm)).add_sample(sample.into_backtrace());
                }
                Ok(())
            }
            #[cfg(feature = "async")]
            Some(Request::Yield) => future::let_others_run(vm, afterwards),
            #[cfg(not(feature = "async"))]
            Some(Request::Yield) => Ok(()),
            Some(request @ (Request::Interrupt | Request::Deadline)) => Err(request.trap()),
        }
    }
}

/// Appends the innermost run of frames, and then those of the segments below.
///
/// # Safety
/// As [`safepoint`].
unsafe fn describe_all(vm: *mut VmStore, error: &mut Error, describe: impl FnOnce(&mut Error)) {
    describe(error);
    // SAFETY: tiers pass the record of the store that they run for, which this activation alone has (the contract of `runtime`).
    unsafe {
        let mut segment = (*vm).fiber.segments.as_ref();
        while let Some(below) = segment {
            (below.describe)(below, error);
            segment = below.outer.as_ref();
        }
    }
}

/// Makes machine code possible on the fiber that runs, if that has not been done: see [`super::VmFiber::is_ready_for_native`].
///
/// # Errors
/// Where the operating system refuses the page that machine code polls.
///
/// # Safety
/// As [`safepoint`].
#[cold]
#[inline(never)]
pub unsafe fn prepare_native_stack(vm: *mut VmStore) -> Result<(), Error> {
    // SAFETY: tiers pass the record of the store that they run for, which this activation alone has (the contract of `runtime`): `core` was set by the call that
    // this activation is in.
    unsafe { (*core_of(vm)).prepare_native_stack() }
}

/// Completes the reason for a stop before any frame is left: `describe` appends the innermost run of frames, then come the segments below. An
/// exception that one of the segments catches stays what it is.
///
/// # Safety
/// As [`safepoint`]; there is a reason in the record, and the segments are those of this activation.
#[cold]
#[inline(never)]
pub unsafe fn complete_stop(vm: *mut VmStore, describe: impl FnOnce(&mut Error)) {
    // SAFETY: tiers pass the record of the store that they run for, which this activation alone has (the contract of `runtime`).
    unsafe {
        let error = match (*vm).fiber.pending.take() {
            Some(Pending::Trap(trap)) => trap.into(),
            Some(Pending::Error(error)) => error,
            Some(Pending::Exception(exception)) => {
                if (*vm).fiber.catching.is_null() {
                    match catching_segment(vm, exception) {
                        Ok(segment) => (*vm).fiber.catching = segment,
                        Err(trap) => return complete(vm, trap.into(), describe),
                    }
                }
                if !(*vm).fiber.catching.is_null() {
                    (*vm).fiber.pending = Some(Pending::Exception(exception));
                    return;
                }
                uncaught(vm, exception)
            }
            Some(Pending::Panic(payload)) => {
                (*vm).fiber.pending = Some(Pending::Panic(payload));
                return;
            }
            // Every stop leaves a reason; a missing one is reported as what it is rather than ignored.
            None => Error::limit("the guest's code stopped without a reason"),
        };
        complete(vm, error, describe);
    }
}

/// Makes an error the reason for a stop, with the backtrace of all runs of frames.
///
/// # Safety
/// As [`complete_stop`].
unsafe fn complete(vm: *mut VmStore, mut error: Error, describe: impl FnOnce(&mut Error)) {
    // SAFETY: tiers pass the record of the store that they run for, which this activation alone has (the contract of `runtime`).
    unsafe {
        error.set_out_of_bounds((*core_of(vm)).beyond.take());
        describe_all(vm, &mut error, describe);
        (*vm).fiber.catching = std::ptr::null();
        (*vm).fiber.pending = Some(Pending::Error(error));
    }
}

/// The innermost of the suspended segments one of whose frames catches the exception; null if none does.
///
/// # Errors
/// As [`heed_stop_in`].
///
/// # Safety
/// As [`complete_stop`].
unsafe fn catching_segment(vm: *mut VmStore, exception: u64) -> Result<*const ActivationSegment, Trap> {
    // SAFETY: tiers pass the record of the store that they run for, which this activation alone has (the contract of `runtime`): what is suspended is still there.
    unsafe {
        let mut segment = (*vm).fiber.segments;
        while let Some(below) = segment.as_ref() {
            if (below.catches)(below, vm, exception)? {
                return Ok(segment);
            }
            segment = below.outer;
        }
    }
    Ok(std::ptr::null())
}

/// Whether a function's type is a subtype of the type with the number `of`, given that it is not that type itself.
#[must_use]
#[cold]
#[inline(never)]
pub fn is_subtype(ty: &TypeRecord, of: u32) -> bool {
    ty.supertypes.contains(&TypeNumber(of))
}

/// `ref.func`: the reference to a function that the module declares it refers to.
///
/// # Safety
/// See the module's documentation.
#[must_use]
pub unsafe fn ref_func(ctx: *mut VmContext, func: FuncIndex) -> *const VmFunc {
    // SAFETY: handlers and libcalls pass the context that they run with, whose store this activation alone has (the contract of `runtime`).
    let (_, instance) = unsafe { parts(ctx) };
    // Validation admits only declared functions, so that null, which any use would trap on, does not happen.
    instance.func_ref(func).unwrap_or(std::ptr::null())
}

/// # Safety
/// As the module's functions; the two references are to distinct records.
unsafe fn parts<'a>(ctx: *mut VmContext) -> (&'a mut StoreCore, &'a mut InstanceEntity) {
    // SAFETY: `core` was set by the call that this activation is in and is borrowed exclusively by it; the instance is a
    // record of its own, which the core refers to by pointer.
    unsafe { (&mut *core_of((*ctx).store), &mut *instance_of(ctx)) }
}
