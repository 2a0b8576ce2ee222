//! Entering guest code from the host, and leaving it again.
//!
//! An activation is one call from the host: its first frame starts at the store's stack top, and its first function returns to a
//! fixed instruction that ends the run. A function that has machine code is entered there at once, without a frame of this tier.

use std::sync::atomic::Ordering;

use innkeeper_engine::index::DefinedFuncIndex;
use innkeeper_engine::tier::frame::CallFrame;
use innkeeper_engine::tier::{
    ActivationSegment, FuncEntry, NativeCode, NativeExit, Pending, TailCall, TrapSite, VmContext, VmFunc,
    VmStore, runtime,
};

use crate::backtrace::{self, FramePosition};
use crate::code::Word;
use crate::machine::{Exit, Handler, Machine};
use crate::op::{call, control, native};

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
        let is_done = match native::machine_code(func.entry) {
            Some(code) if has_room(vm, func.call_slots as usize) => run_machine_code(code, func, slots),
            _ => run_frame(func.entry, func.ctx, slots.as_mut_ptr(), func.call_slots as usize),
        };
        (*vm).fiber.segments = segments;
        is_done
    }
}

/// Whether a frame of a function of so many call slots begins without anybody being asked: there is room, and nobody requests a safepoint.
///
/// # Safety
/// As [`run`].
#[inline(always)]
unsafe fn has_room(vm: *mut VmStore, call_slots: usize) -> bool {
    // SAFETY: `run` passes the record of its function's store.
    unsafe {
        let header_end = CallFrame::new((*vm).fiber.stack_top, call_slots).header_end();
        header_end <= (*vm).stack_limit.load(Ordering::Relaxed)
    }
}

/// Calls a function that has machine code, which takes its parameters from the host's slots and leaves its results there.
///
/// # Safety
/// As [`run`]; the code is the function's.
#[inline(always)]
unsafe fn run_machine_code(code: &NativeCode, func: &VmFunc, slots: &mut [u64]) -> bool {
    // SAFETY: the contract of `run`; the code is published for this function.
    unsafe {
        let vm = (*func.ctx).store;
        let top = (*vm).fiber.stack_top;
        (*vm).fiber.segments = &raw const NO_FRAMES.0;
        let exit = (code.enter)(code, func.ctx, slots.as_mut_ptr());
        let is_done = exit == NativeExit::Done || left_early(vm, exit, slots);
        (*vm).fiber.stack_top = top;
        is_done
    }
}

/// What is left to do where machine code that the host has called has not returned; whether the function has after all.
///
/// # Safety
/// As [`run_machine_code`], which has been left so.
#[cold]
#[inline(never)]
unsafe fn left_early(vm: *mut VmStore, exit: NativeExit, slots: &mut [u64]) -> bool {
    // SAFETY: `run_machine_code` passes its own store and slots; where a tail call is asked for, it is described in the record, with its arguments at the stack's top.
    unsafe {
        match exit {
            NativeExit::TailCall => {
                let TailCall { entry, ctx, call_slots } = (*vm).fiber.tail_call;
                let frame = (*vm).fiber.stack_top;
                (*vm).fiber.segments = std::ptr::null();
                let is_done = run_frame(entry, ctx, frame, call_slots);
                // It has the same results, and so room for them.
                frame.copy_to_nonoverlapping(slots.as_mut_ptr(), slots.len().min(call_slots));
                is_done
            }
            _ => {
                if let Some(Pending::Trap(_)) = (*vm).fiber.pending {
                    runtime::complete_stop(vm, |_| {});
                }
                (*vm).fiber.trap_site = TrapSite::NONE;
                false
            }
        }
    }
}

/// What stands for this tier's frames below machine code that the host has called: the tiers take turns, this one first.
struct NoFrames(ActivationSegment);

// SAFETY: the segment refers to nothing.
unsafe impl Sync for NoFrames {}

static NO_FRAMES: NoFrames = NoFrames(ActivationSegment {
    outer: std::ptr::null(),
    site: TrapSite::NONE,
    describe: |_, _| {},
    catches: |_, _, _| Ok(false),
});

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

/// Runs a function on a new frame at the stack's top, where the slots may be. False where it was stopped; the reason is in the record, complete.
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
        frame.copy_from(slots, header);
        *frame.add(header) = host_return_address() as u64;
        let mut machine = Machine::at(code, frame, ctx);
        machine.reload_memory();
        let exit = machine.run();
        (*vm).fiber.stack_top = frame;
        match exit {
            Exit::Done => {
                slots.copy_from(frame, header);
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
    // The handler is found by its address: what is read as a word may then be called.
    let _ = RETURN_TO_HOST.handler as usize;
    std::ptr::from_ref(&RETURN_TO_HOST.handler).cast()
}
