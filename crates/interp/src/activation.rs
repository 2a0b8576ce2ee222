//! Entering guest code from the host, and leaving it again.
//!
//! An activation is one call from the host: its first frame starts at the store's stack top, and its first function returns to a
//! fixed instruction that ends the run.

use std::sync::atomic::Ordering;

use innkeeper_engine::index::DefinedFuncIndex;
use innkeeper_engine::tier::frame::CallFrame;
use innkeeper_engine::tier::{FuncEntry, Pending, TrapSite, VmContext, VmFunc, runtime};

use crate::backtrace::{self, FramePosition};
use crate::code::Word;
use crate::machine::{Exit, Handler, Machine};
use crate::op::{call, control};

/// What the first function of an activation returns to. `return` looks for the distance to the caller's frame in the
/// word before the return address.
#[repr(C)]
struct ReturnToHost {
    distance: Word,
    handler: Handler,
}

static RETURN_TO_HOST: ReturnToHost = ReturnToHost { distance: 0, handler: control::exit };

/// Calls a guest function. False where it was stopped; the reason is in the record, complete.
///
/// # Safety
/// The contract of [`innkeeper_engine::tier::Tier::call`].
pub(crate) unsafe fn run(func: &VmFunc, slots: &mut [u64]) -> bool {
    // SAFETY: the contract: records of the store are alive and ours for the time of the call.
    unsafe {
        let vm = (*func.ctx).store;
        // What is suspended further out belongs to other activations: the host stands between.
        let segments = std::mem::replace(&mut (*vm).fiber.segments, std::ptr::null());
        let is_done = run_frame(func.entry, func.ctx, slots.as_mut_ptr(), func.call_slots as usize);
        (*vm).fiber.segments = segments;
        is_done
    }
}

/// Calls a guest function for machine code, within the activation.
///
/// # Safety
/// The contract of [`innkeeper_engine::tier::Code::call_within`].
pub(crate) unsafe fn run_within(entry: *const FuncEntry, ctx: *mut VmContext, slots: *mut u64) -> bool {
    // SAFETY: the contract; `entry` is one of the array that starts at `entries`.
    unsafe {
        let module = runtime::module(ctx);
        let func = DefinedFuncIndex(entry.offset_from((*ctx).entries) as u32);
        let ty = module.func_type(module.type_of_func(module.func_index(func)));
        run_frame(entry, ctx, slots, ty.call_slots() as usize)
    }
}

/// Runs a function on a new frame at the stack's top. False where it was stopped; the reason is in the record, complete.
///
/// # Safety
/// As [`run_within`]; there are `header` slots.
unsafe fn run_frame(entry: *const FuncEntry, ctx: *mut VmContext, slots: *mut u64, header: usize) -> bool {
    // SAFETY: `Tier::call` and `call_within` give an entry of `ctx`'s module and as many slots as its type has; the engine has compared the types.
    unsafe {
        let vm = (*ctx).store;
        let frame = (*vm).fiber.stack_top;
        let header_end = CallFrame::new(frame, header).header_end();
        if header_end > (*vm).stack_limit.load(Ordering::Relaxed)
            && let Err(trap) = runtime::safepoint(vm, header_end, |_| {})
        {
            (*vm).fiber.pending = Some(Pending::Trap(trap));
            runtime::complete_stop(vm, |_| {});
            return false;
        }
        let Some(code) = call::code_of(entry, ctx) else {
            runtime::complete_stop(vm, |_| {});
            return false;
        };
        frame.copy_from_nonoverlapping(slots, header);
        *frame.add(header) = host_return_address() as u64;
        let mut machine = Machine::at(code, frame, ctx);
        machine.reload_memory();
        let exit = machine.run();
        (*vm).fiber.stack_top = frame;
        match exit {
            Exit::Done => {
                slots.copy_from_nonoverlapping(frame, header);
                true
            }
            Exit::Stopped | Exit::Continue => {
                // Without a place, somebody further in has completed the reason.
                let site = std::mem::replace(&mut (*vm).fiber.trap_site, TrapSite::NONE);
                if !site.position.is_null() {
                    runtime::complete_stop(vm, |error| {
                        backtrace::append(error, site, FramePosition::Instruction)
                    });
                }
                false
            }
        }
    }
}

/// The return address of an activation's first frame.
pub(crate) fn host_return_address() -> *const Word {
    std::ptr::from_ref(&RETURN_TO_HOST.handler).cast()
}
