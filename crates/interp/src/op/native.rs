//! Entering machine code.
//!
//! A function that has been compiled gets a stub of code in place of its own: one instruction, which runs the machine code on the frame
//! that the call made and then returns as the function would have. So calls need no other form, and whoever holds the entry finds the
//! new code the next time.

use std::sync::atomic::{AtomicU32, Ordering};

use innkeeper_engine::index::DefinedFuncIndex;
use innkeeper_engine::sync::Published;
use innkeeper_engine::tier::frame::CallFrame;
use innkeeper_engine::tier::{
    ActivationSegment, FuncEntry, NativeCode, NativeExit, Pending, TailCall, TrapSite, VmContext, VmStore,
    runtime,
};
use innkeeper_engine::{Error, Trap};

use super::call::{OTHER_INSTANCE, caller_of_instance, code_of, is_tagged};
use crate::backtrace::{self, FramePosition, caller};
use crate::code::{ModuleCode, Word};
use crate::machine::{A, Exit, Handler, handlers};
use crate::unwind;

/// The code of a function that has been compiled.
#[repr(C)]
pub(crate) struct Stub {
    handler: Handler,
    /// The function's header, as an operand.
    header: Word,
    code: Published<NativeCode>,
    func: DefinedFuncIndex,
    /// Calls until one is looked at; see [`crate::call_profile`].
    unseen: AtomicU32,
}

impl Stub {
    /// For a function one of whose calls is looked at after so many.
    pub(crate) fn new((func, calls): (DefinedFuncIndex, u32), header: u32, code: NativeCode) -> Box<Stub> {
        let unseen = AtomicU32::new(calls);
        Box::new(Stub {
            handler: enter_native,
            header: Word::from(header),
            code: Published::new(code),
            func,
            unseen,
        })
    }

    pub(crate) fn words(&self) -> *const Word {
        std::ptr::from_ref(self).cast()
    }

    /// The machine code that it enters.
    #[inline(always)]
    pub(crate) fn code(&self) -> &NativeCode {
        self.code.get()
    }
}

/// The machine code that a function has; none where it is interpreted, or has not been called yet.
///
/// # Safety
/// `entry` is one of a module that lives as long as what this returns is used.
#[inline(always)]
pub(crate) unsafe fn machine_code<'a>(entry: *const FuncEntry) -> Option<&'a NativeCode> {
    // SAFETY: an entry's code begins with the address of a handler, and where that is `enter_native`, it is a stub.
    unsafe {
        let code = (*entry).code.load(Ordering::Acquire);
        if code.is_null() || *code != enter_native as Handler as usize as Word {
            return None;
        }
        Some((*code.cast::<Stub>()).code())
    }
}

handlers! {
    /// `[header] [code]`: runs the function's machine code and returns to the caller.
    fn enter_native(m) {
        let header = m.operand(A);
        let stub = &*m.ip.cast::<Stub>();
        // Threads that count at the same time may lose calls; nothing depends on the number.
        let left = stub.unseen.load(Ordering::Relaxed).wrapping_sub(1);
        stub.unseen.store(left, Ordering::Relaxed);
        if left == 0 {
            look(stub, m.ctx, *m.fp.add(header));
        }
        match run(stub.code(), m.ctx, m.fp, header) {
            NativeExit::Done => {
                m.forget();
                m.reload_memory();
                m.return_to(*m.fp.add(header), header)
            }
            NativeExit::Stopped => m.pass_on(leave_callee),
            NativeExit::TailCall => m.pass_on(tail_call),
        }
    }

    /// At a stub: goes on where one of the callers catches what is pending, or leaves them all.
    #[cold]
    #[inline(never)]
    fn leave_callee(m) {
        let vm = m.vm();
        let (position, frame, ctx) = caller(m.fp, m.operand(A), m.ctx, 0);
        let position = unwind::catch(position, frame, ctx, FramePosition::Return, vm);
        if position.is_null() {
            if let Some(Pending::Trap(_)) = (*vm).fiber.pending {
                stop_in_caller(m.fp, m.operand(A), m.ctx);
            }
            // Nobody further out has a backtrace to append.
            (*vm).fiber.trap_site.position = std::ptr::null();
            return Exit::Stopped;
        }
        m.ip = position;
        m.fp = (*vm).fiber.trap_site.frame;
        m.ctx = (*vm).fiber.trap_site.ctx;
        m.reload_memory();
        m.dispatch()
    }

    /// At a stub: makes the frame the callee's of a tail call that machine code asks for, and goes on there. Whoever asks has put the
    /// arguments at the stack's top, with room for a header behind them.
    #[cold]
    #[inline(never)]
    fn tail_call(m) {
        let vm = m.vm();
        let header = m.operand(A);
        let TailCall { entry, ctx, call_slots } = (*vm).fiber.tail_call;
        let (mut address, mut outer) = (*m.fp.add(header), *m.fp.add(header + 1));
        let Some(code) = code_of(entry, ctx) else {
            stop_in_caller(m.fp, header, m.ctx);
            return Exit::Stopped;
        };
        if ctx != m.ctx && !is_tagged(address) {
            address |= OTHER_INSTANCE;
            outer = m.ctx as u64;
        }
        m.fp.copy_from((*vm).fiber.stack_top, call_slots);
        *m.fp.add(call_slots) = address;
        *m.fp.add(call_slots + 1) = outer;
        m.ctx = ctx;
        m.ip = code;
        m.forget();
        m.reload_memory();
        m.dispatch()
    }
}

/// Notes a call of a stub, which returns to `address`.
///
/// # Safety
/// `ctx` is the context that the stub is executed with.
#[cold]
#[inline(never)]
unsafe fn look(stub: &Stub, ctx: *mut VmContext, address: u64) {
    // SAFETY: the handler of the stub passes the context that it runs with, which is alive as long as its store.
    let module = unsafe { runtime::module(ctx) };
    let calls = ModuleCode::look_at_native_call(module, stub.func, caller_of_instance(address));
    stub.unseen.store(calls, Ordering::Relaxed);
}

/// Runs machine code while the frames below are suspended.
///
/// # Safety
/// The contract of [`Handler`]; `fp` is a frame of `code`'s function, whose header is at slot `header`.
#[inline(never)]
unsafe fn run(code: &NativeCode, ctx: *mut VmContext, fp: *mut u64, header: usize) -> NativeExit {
    // SAFETY: the handlers here pass what the stub was published with (`ModuleCode::publish`), their own context, and the frame whose header lowering has placed;
    // callers' frames have room for the header.
    unsafe {
        let vm = (*ctx).store;
        let segment = ActivationSegment {
            outer: (*vm).fiber.segments,
            site: site_of_caller(fp, header, ctx),
            describe,
            catches,
        };
        (*vm).fiber.segments = &raw const segment;
        CallFrame::new(fp, header).run_native(vm);
        let left = (code.enter)(code, ctx, fp);
        (*vm).fiber.segments = segment.outer;
        left
    }
}

unsafe fn site_of_caller(fp: *mut u64, header: usize, ctx: *mut VmContext) -> TrapSite {
    // SAFETY: the contract of `run`.
    let (position, frame, ctx) = unsafe { caller(fp, header, ctx, 0) };
    TrapSite { position, frame, ctx }
}

unsafe fn describe(segment: &ActivationSegment, error: &mut Error) {
    // SAFETY: the segment is of this tier, and suspended.
    unsafe { backtrace::append(error, segment.site, FramePosition::Return) };
}

unsafe fn catches(segment: &ActivationSegment, vm: *mut VmStore, exception: u64) -> Result<bool, Trap> {
    // SAFETY: the segment is of this tier, and suspended; the exception is one of its store.
    unsafe { unwind::search(vm, segment.site, FramePosition::Return, exception).map(|found| found.is_some()) }
}

/// Completes the reason for a stop of the function at `fp`, which has no frame of its own any more.
///
/// # Safety
/// As [`run`].
#[cold]
#[inline(never)]
unsafe fn stop_in_caller(fp: *mut u64, header: usize, ctx: *mut VmContext) {
    // SAFETY: `run` passes on what it was given: a frame of the function, whose header is where its type puts it.
    unsafe {
        let site = site_of_caller(fp, header, ctx);
        (*(*ctx).store).fiber.trap_site = TrapSite::NONE;
        runtime::complete_stop((*ctx).store, |error| backtrace::append(error, site, FramePosition::Return));
    }
}
