//! Entering guest code from the host, and leaving it again.
//!
//! An activation is one call from the host: its first frame starts at the store's stack top, and its first function returns to a
//! fixed instruction that ends the run.

use std::sync::atomic::Ordering;

use innkeeper_engine::Error;
use innkeeper_engine::tier::{Pending, Stopped, TrapSite, VmFunc, VmStore, runtime};

use crate::backtrace;
use crate::code::Word;
use crate::machine::{Exit, Handler, Machine};
use crate::op::{call, control};

/// Slots between a frame's call slots and its other locals: the return address, and the caller's context where the call
/// came from another instance.
pub(crate) const HEADER_SLOTS: u32 = 2;

/// What the first function of an activation returns to. `return` looks for the distance to the caller's frame in the
/// word before the return address.
#[repr(C)]
struct ReturnToHost {
    distance: Word,
    handler: Handler,
}

static RETURN_TO_HOST: ReturnToHost = ReturnToHost { distance: 0, handler: control::exit };

/// Calls a guest function.
///
/// # Safety
/// The contract of [`innkeeper_engine::tier::Tier::call`].
pub(crate) unsafe fn run(func: &VmFunc, slots: &mut [u64]) -> Result<(), Stopped> {
    // SAFETY: the contract: records of the store are alive and ours for the time of the call.
    unsafe {
        let vm = (*func.ctx).store;
        let frame = (*vm).stack_top;
        let header = func.call_slots as usize;
        let header_end = frame.wrapping_add(header + HEADER_SLOTS as usize);
        if header_end > (*vm).stack_limit.load(Ordering::Relaxed)
            && let Err(trap) = runtime::attend(vm, header_end)
        {
            return Err(Stopped::Error(trap.into()));
        }
        let Some(code) = call::code_of(func.entry, func.ctx) else {
            return Err(take_stopped(vm, std::ptr::null()));
        };
        frame.copy_from_nonoverlapping(slots.as_ptr(), header);
        *frame.add(header) = host_return_address() as u64;
        let mut machine = Machine::at(code, frame, func.ctx);
        machine.reload_memory();
        let exit = machine.run();
        (*vm).stack_top = frame;
        match exit {
            Exit::Done => {
                slots.as_mut_ptr().copy_from_nonoverlapping(frame, header);
                Ok(())
            }
            Exit::Stopped | Exit::Continue => Err(take_stopped(vm, host_return_address())),
        }
    }
}

/// The return address of an activation's first frame.
pub(crate) fn host_return_address() -> *const Word {
    std::ptr::from_ref(&RETURN_TO_HOST.handler).cast()
}

/// Takes the reason for a stop out of the record, with the frames down to `bottom`.
unsafe fn take_stopped(vm: *mut VmStore, bottom: *const Word) -> Stopped {
    // SAFETY: the contract of `run`.
    unsafe {
        let site = std::mem::replace(
            &mut (*vm).trap_site,
            TrapSite { position: std::ptr::null(), frame: std::ptr::null_mut(), ctx: std::ptr::null_mut() },
        );
        let mut error = match (*vm).pending.take() {
            Some(Pending::Trap(trap)) => trap.into(),
            Some(Pending::Error(error)) => error,
            Some(Pending::Exception(exception)) => runtime::uncaught(vm, exception),
            Some(Pending::Panic(payload)) => return Stopped::Panic(payload),
            // Every stop leaves a reason; a missing one is reported as what it is rather than ignored.
            None => Error::limit("the interpreter stopped without a reason"),
        };
        backtrace::append(&mut error, site, bottom);
        Stopped::Error(error)
    }
}
