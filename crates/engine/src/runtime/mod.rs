//! What executing code asks the engine to do: everything that is not a plain read or write of the records.
//!
//! Here stands what bulk operations, growth and segments mean (core specification 4.6, "Execution": table, memory and
//! reference instructions; threads proposal: atomic instructions), once for all tiers. Operands are 64 bits wide: a tier extends 32-bit operands with zeros.
//!
//! # Safety
//! All functions share one contract: `ctx` is the context of an instance whose store the running activation has exclusive use of,
//! and indices are those of validated code. They keep no reference into guest state after they return.

mod atomic;
pub(crate) mod backtrace;
pub(crate) mod call;
mod default_engine;
#[cfg(feature = "fibers")]
pub(crate) mod fibers;
mod fuel;
#[cfg(feature = "async")]
pub(crate) mod future;
pub mod gc;
mod growth;
pub(crate) mod host;
mod host_call;
pub(crate) mod instance;
mod memory;
pub(crate) mod objects;
pub(crate) mod plain;
mod precompiled;
mod raw;
mod safepoint;
mod table;

use crate::composite::TypeNumber;
use crate::error::{Error, ErrorKind};
use crate::fiber::switch;
use crate::index::*;
use crate::registry::TypeRecord;
use crate::store::StoreCore;
use crate::tier::ModuleParts;
use crate::trap::Trap;
use crate::vmctx::record::Request;
use crate::vmctx::{ActivationSegment, Pending, VmContext, VmFunc, VmStore};

pub use crate::fiber::switch::enter_host;
pub use atomic::*;
pub use fuel::refuel;
pub use growth::ReasonInRecord;
#[cfg(feature = "async")]
pub(crate) use host_call::call_host_in;
#[cfg(feature = "fibers")]
#[doc(hidden)]
pub use host_call::end_wait;
pub use host_call::{HOST_DONE, HOST_STOPPED, call_host};
pub(crate) use host_call::{call_code, catch_host};
pub use memory::*;
pub(crate) use safepoint::heed_stop;
pub use safepoint::heed_stop_in;
pub(crate) use table::copy_between;
pub use table::*;

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

/// Takes the reason for a stop out of the record, for the host that has called: no exception, since one that nobody has caught is an error to the host.
///
/// # Safety
/// As [`safepoint`]; the guest's code was left.
#[cold]
#[inline(never)]
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

/// Makes machine code possible on the fiber that runs, if that has not been done: see [`crate::vmctx::VmFiber::NATIVE_LIMIT_OFFSET`].
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
