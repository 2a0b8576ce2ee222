//! Calls and returns.
//!
//! A callee's frame starts at the slot of its first argument in the caller's frame, so that arguments are passed and results
//! returned without copying. Behind the slots that parameters and results share comes the header: the return address and, where the
//! caller is another instance, the caller's context; a tag in the lowest bit of the return address tells. The distance between the
//! frames stands in the word before the return address: the last word of the call instruction. Callers' frames have room for the header,
//! so that writing it needs no check of its own.

use std::sync::atomic::Ordering;

use innkeeper_engine::Trap;
use innkeeper_engine::index::DefinedFuncIndex;
use innkeeper_engine::tier::frame::CallFrame;
use innkeeper_engine::tier::{FuncEntry, Pending, TrapSite, VmContext, VmFunc, runtime};

use crate::backtrace::{FramePosition, caller};
use crate::code::{ModuleCode, Word};
use crate::machine::{A, B, C, D, Exit, Machine, handlers};
use crate::unwind;

/// Set in a return address whose frame returns to another instance.
pub(crate) const OTHER_INSTANCE: u64 = 1;

pub(crate) fn is_tagged(address: u64) -> bool {
    address & OTHER_INSTANCE != 0
}

pub(crate) fn untag(address: u64) -> *const Word {
    (address & !OTHER_INSTANCE) as usize as *const Word
}

/// Where a call returns to within the callee's instance; null where another one has called, for which the callee is another function.
pub(crate) fn caller_of_instance(address: u64) -> *const Word {
    if is_tagged(address) { std::ptr::null() } else { untag(address) }
}

/// Slots between the frames of the caller at `position` and its callee.
///
/// # Safety
/// `position` is a return address.
#[inline(always)]
pub(crate) unsafe fn distance(position: *const Word) -> usize {
    // SAFETY: lowering puts it there, see the module's documentation.
    unsafe { usize::from(*position.sub(1).cast::<u16>()) }
}

/// The code of a function of `ctx`'s module; none where it cannot be lowered, and the reason is in the store's record.
///
/// # Safety
/// `entry` is one of `ctx`'s entries.
#[inline(always)]
pub(crate) unsafe fn code_of(entry: *const FuncEntry, ctx: *mut VmContext) -> Option<*const Word> {
    // SAFETY: handlers pass an entry that lowering has named, or that a function's record holds, with the context of its instance: both live as long as the store.
    let code = unsafe { (*entry).code.load(Ordering::Acquire) };
    // SAFETY: handlers pass an entry that lowering has named, or that a function's record holds, with the context of its instance: both live as long as the store.
    let code = if code.is_null() { unsafe { lower(entry, ctx) } } else { code };
    if code.is_null() { None } else { Some(code) }
}

/// Lowers a function; null where it cannot be, and then the reason is in the store's record.
///
/// # Safety
/// As [`code_of`].
#[cold]
#[inline(never)]
unsafe fn lower(entry: *const FuncEntry, ctx: *mut VmContext) -> *mut Word {
    // SAFETY: `entry` is one of the array that starts at `entries`; the context and its store are alive.
    unsafe {
        let module = runtime::module(ctx);
        let func = DefinedFuncIndex(entry.offset_from((*ctx).entries) as u32);
        let Some(code) = ModuleCode::of(module) else { return std::ptr::null_mut() };
        match runtime::on_host((*ctx).store, || code.lower(module, func)) {
            Ok(code) => code.cast_mut(),
            Err(error) => {
                (*(*ctx).store).fiber.pending = Some(Pending::Error(error));
                std::ptr::null_mut()
            }
        }
    }
}

handlers! {
    /// `[base header func]`: calls a function that the module defines.
    fn call(m) {
        let entry = (*m.ctx).entries.add(m.immediate() as usize);
        let Some(code) = code_of(entry, m.ctx) else { return m.stop() };
        let frame = m.fp.add(m.operand(A));
        *frame.add(m.operand(B)) = m.ip.add(2) as u64;
        m.fp = frame;
        m.ip = code;
        m.dispatch()
    }

    /// `[base header func]`: calls an imported function.
    fn call_import(m) {
        let func = *(*m.ctx).imported_funcs.add(m.immediate() as usize);
        let frame = m.fp.add(m.operand(A));
        if (*func).is_host() {
            return m.call_host(func, frame, 2);
        }
        m.call_record(func, frame, m.operand(B), 2)
    }

    /// `[index _ table] [base header type]`.
    fn call_indirect(m) {
        let func = match m.indirect_callee(m.get(A), m.immediate(), m.immediate_of(2)) {
            Ok(func) => func,
            Err(trap) => return m.trap(trap),
        };
        let frame = m.fp.add(m.operand_of(2, A));
        if (*func).is_host() {
            return m.call_host(func, frame, 3);
        }
        m.call_record(func, frame, m.operand_of(2, B), 3)
    }

    /// `[callee] [base header]`: calls a function by reference.
    fn call_ref(m) {
        let func = Machine::func_record(m.get(A));
        if func.is_null() {
            return m.trap(Trap::NullFunction);
        }
        let frame = m.fp.add(m.operand_of(2, A));
        if (*func).is_host() {
            return m.call_host(func, frame, 3);
        }
        m.call_record(func, frame, m.operand_of(2, B), 3)
    }

    /// `[base arg_slots header new_header] [callee _ result_slots]`: `return_call_ref`.
    fn return_call_ref(m) {
        let func = Machine::func_record(*m.fp.add(m.operand_of(2, A)));
        if func.is_null() {
            return m.trap(Trap::NullFunction);
        }
        m.return_call_record(func, m.immediate_of(2) as usize)
    }

    /// `[header]`: returns nothing.
    fn return0(m) {
        m.return_to(*m.fp.add(m.operand(A)), m.operand(A))
    }

    /// `[a header]`: returns one slot.
    fn return1(m) {
        let header = m.operand(B);
        let address = *m.fp.add(header);
        *m.fp = m.get(A);
        m.return_to(address, header)
    }

    /// `[header] [imm64]`: returns a constant.
    fn return_constant(m) {
        let header = m.operand(A);
        let address = *m.fp.add(header);
        *m.fp = m.word(2);
        m.return_to(address, header)
    }

    /// `[from count header]`: returns any number of slots.
    fn return_many(m) {
        // Results never reach the header: it lies behind them.
        Machine::copy_slots_down(m.fp, m.fp.add(m.operand(A)), m.operand(B));
        m.return_to(*m.fp.add(m.operand(C)), m.operand(C))
    }

    /// `[base arg_slots header new_header] [func]`: `return_call` of a function that the module defines.
    fn return_call(m) {
        let entry = (*m.ctx).entries.add(m.word(2) as u32 as usize);
        let Some(code) = code_of(entry, m.ctx) else { return m.stop() };
        let (address, caller) = m.header();
        m.replace_frame(address, caller);
        m.ip = code;
        m.dispatch()
    }

    /// `[base arg_slots header new_header] [func _ result_slots]`: `return_call` of an imported function.
    fn return_call_import(m) {
        let func = *(*m.ctx).imported_funcs.add(m.word(2) as u32 as usize);
        m.return_call_record(func, m.immediate_of(2) as usize)
    }

    /// `[base arg_slots header new_header] [index _ result_slots] [table signature]`: `return_call_indirect`.
    fn return_call_indirect(m) {
        let index = *m.fp.add(m.operand_of(2, A)) as u32;
        let func = match m.indirect_callee(index, m.word(3) as u32, m.immediate_of(3)) {
            Ok(func) => func,
            Err(trap) => return m.trap(trap),
        };
        m.return_call_record(func, m.immediate_of(2) as usize)
    }
}

handlers! {
    /// At a tail call of a function of the host that did not return: goes on where one of the callers catches what is pending, or stops.
    #[cold]
    #[inline(never)]
    fn leave_tail_call(m) {
        let (position, frame, ctx) = caller(m.fp, m.operand(C), m.ctx, 0);
        let position = unwind::catch(position, frame, ctx, FramePosition::Return, m.vm());
        if position.is_null() {
            return m.stop();
        }
        m.ip = position;
        m.fp = (*m.vm()).fiber.trap_site.frame;
        m.ctx = (*m.vm()).fiber.trap_site.ctx;
        m.reload_memory();
        m.dispatch()
    }
}

/// # Safety
/// All methods share the contract of [`crate::machine::Handler`]; `func` is a function of the same store.
impl Machine {
    /// The function at `index` of a table, checked against the type that the call expects.
    #[inline(always)]
    unsafe fn indirect_callee(self, index: u32, table: u32, signature: u32) -> Result<*const VmFunc, Trap> {
        // SAFETY: see the impl; elements of function tables are null or records of functions.
        unsafe {
            let table = *(*self.ctx).tables.add(table as usize);
            if u64::from(index) >= (*table).len {
                return Err(Trap::UndefinedElement);
            }
            let func = Machine::func_record(*(*table).elements.add(index as usize));
            if func.is_null() {
                return Err(Trap::UninitializedElement);
            }
            if (*func).signature.0 != signature && !runtime::is_subtype(&*(*func).ty, signature) {
                return Err(Trap::IndirectCallTypeMismatch);
            }
            Ok(func)
        }
    }

    /// Calls a guest function, of this instance or another; the call instruction is `words` long.
    #[inline(always)]
    unsafe fn call_record(
        mut self,
        func: *const VmFunc,
        frame: *mut u64,
        header: usize,
        words: usize,
    ) -> Exit {
        // SAFETY: see the impl.
        unsafe {
            let Some(code) = code_of((*func).entry, (*func).ctx) else { return self.stop() };
            let mut address = self.ip.add(words) as u64;
            if (*func).ctx != self.ctx {
                address |= OTHER_INSTANCE;
                *frame.add(header + 1) = self.ctx as u64;
                self.ctx = (*func).ctx;
                self.reload_memory();
            }
            *frame.add(header) = address;
            self.fp = frame;
            self.ip = code;
            self.dispatch()
        }
    }

    /// Calls a host function and goes on `words` further.
    #[inline(always)]
    unsafe fn call_host(mut self, func: *const VmFunc, frame: *mut u64, words: usize) -> Exit {
        // SAFETY: see the impl; lowering has made the frame large enough for the call's slots.
        unsafe {
            CallFrame::new(frame, (*func).call_slots as usize).run_host(self.vm());
            self.note_call_site();
            if !runtime::call_host(self.ctx, func, frame) {
                return self.catch_pending();
            }
            self.notice();
            self.forget();
            self.reload_memory();
            self.next(words)
        }
    }

    /// Says where this is, for backtraces that the function of the host may ask for which is called now.
    #[inline(always)]
    unsafe fn note_call_site(self) {
        // SAFETY: see the impl.
        unsafe {
            (*self.vm()).fiber.call_site = TrapSite { position: self.ip, frame: self.fp, ctx: self.ctx };
        }
    }

    /// Goes on in the caller, at `address`, which was read from slot `header`.
    #[inline(always)]
    pub(crate) unsafe fn return_to(mut self, address: u64, header: usize) -> Exit {
        // SAFETY: see the impl; the header is as the call wrote it.
        unsafe {
            if is_tagged(address) {
                self.ctx = *self.fp.add(header + 1) as *mut VmContext;
                self.reload_memory();
            }
            self.ip = untag(address);
            self.fp = self.fp.sub(distance(self.ip));
            self.dispatch()
        }
    }

    /// This frame's return address and the slot behind it. `C` of word 1 names the header's slot.
    #[inline(always)]
    unsafe fn header(self) -> (u64, u64) {
        // SAFETY: see the impl.
        unsafe {
            let header = self.fp.add(self.operand(C));
            (*header, *header.add(1))
        }
    }

    /// Makes this frame the callee's: arguments to its start, the header to where the callee expects it.
    #[inline(always)]
    unsafe fn replace_frame(self, address: u64, caller: u64) {
        // SAFETY: see the impl; lowering has made the frame large enough for the callee's call slots and header.
        unsafe {
            Machine::copy_slots_down(self.fp, self.fp.add(self.operand(A)), self.operand(B));
            let header = self.fp.add(self.operand(D));
            *header = address;
            *header.add(1) = caller;
        }
    }

    /// Tail-calls a function that may be another instance's or the host's.
    #[inline(always)]
    unsafe fn return_call_record(mut self, func: *const VmFunc, result_slots: usize) -> Exit {
        // SAFETY: see the impl.
        unsafe {
            let (mut address, mut caller) = self.header();
            if (*func).is_host() {
                let frame = self.fp.add(self.operand(A));
                CallFrame::new(frame, (*func).call_slots as usize).run_host(self.vm());
                self.note_call_site();
                if !runtime::call_host(self.ctx, func, frame) {
                    return self.pass_on(leave_tail_call);
                }
                self.reload_memory();
                Machine::copy_slots_down(self.fp, frame, result_slots);
                return self.return_to(address, self.operand(C));
            }
            let Some(code) = code_of((*func).entry, (*func).ctx) else { return self.stop() };
            if (*func).ctx != self.ctx && !is_tagged(address) {
                address |= OTHER_INSTANCE;
                caller = self.ctx as u64;
            }
            self.replace_frame(address, caller);
            self.ctx = (*func).ctx;
            self.reload_memory();
            self.ip = code;
            self.dispatch()
        }
    }
}
