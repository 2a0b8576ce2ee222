//! Branches, selection and the entry of functions.

use std::sync::atomic::Ordering;

use innkeeper_engine::Trap;
use innkeeper_engine::index::DefinedFuncIndex;
use innkeeper_engine::tier::{VmContext, runtime};

use super::call::caller_of_instance;
use crate::call_profile::Heat;
use crate::code::ModuleCode;
use crate::machine::{A, B, C, D, Exit, Machine, handlers};

/// At a function's first instruction: whether it is hot, and whether its frame fits or a safepoint was requested. No function of its own, since what it leaves the
/// handler with is a jump.
macro_rules! check_entry {
    ($m:ident) => {
        if $m.is_hot() {
            return $m.pass_on(hot);
        }
        let frame_end = $m.fp.wrapping_add($m.immediate() as usize);
        if frame_end > (*$m.vm()).stack_limit.load(Ordering::Relaxed)
            && let Err(trap) = $m.safepoint(frame_end)
        {
            return $m.trap(trap);
        }
    };
}

handlers! {
    /// `[func frame_slots] [zero_from zero_count]`: first instruction of a function: counts the call, checks that the frame fits, and gives
    /// locals their zeros.
    fn enter(m) {
        check_entry!(m);
        let first = m.fp.add(m.word(2) as u32 as usize);
        for i in 0..(m.word(2) >> 32) as usize {
            // Volatile keeps this a loop: a call of memset would cost every function the saving of all registers.
            first.add(i).write_volatile(0);
        }
        m.next(3)
    }

    /// `[func frame_slots] [zero_from zero_count]`: as `enter`, for functions with many locals.
    fn enter_wide(m) {
        check_entry!(m);
        m.fp.add(m.word(2) as u32 as usize).write_bytes(0, (m.word(2) >> 32) as usize);
        m.next(3)
    }

    /// `[func frame_slots] [zero_from zero_count] [param_slots distance]`: as `enter`, for functions with very many locals: moves the frame pointer beyond
    /// them, and parameters along with it. `frame_slots` are counted from the frame's start.
    fn enter_window(m) {
        check_entry!(m);
        m.fp.add(m.word(2) as u32 as usize).write_bytes(0, (m.word(2) >> 32) as usize);
        let window = m.fp.add((m.word(3) >> 32) as usize);
        window.copy_from_nonoverlapping(m.fp, m.word(3) as u32 as usize);
        m.fp = window;
        m.next(4)
    }

    /// `[from _ count] [distance]`: moves the frame pointer from the window back to the frame's start, and `count` slots along with it, to the same distance
    /// from the frame pointer.
    fn leave_window(m) {
        let from = m.fp.add(m.operand(A));
        let start = m.fp.sub(m.word(2) as usize);
        Machine::copy_slots_down(start.add(m.operand(A)), from, m.immediate() as usize);
        m.fp = start;
        m.next(3)
    }

    /// At a function's first instruction: notes who calls it and, when that has been done often enough, says that it is hot. Goes on with what is then
    /// its code.
    #[cold]
    #[inline(never)]
    fn hot(m) {
        let func = DefinedFuncIndex(m.word(1) as u32);
        let entry = (*m.ctx).entries.add(func.index());
        let module = runtime::module(m.ctx);
        let header = module.func_type(module.type_of_func(module.func_index(func))).call_slots();
        let address = *m.fp.add(header as usize);
        match ModuleCode::look_at_call(module, func, caller_of_instance(address)) {
            // This instruction counts again.
            Heat::Warm(calls) => (*entry).calls_left.store(calls + 1, Ordering::Relaxed),
            Heat::Hot => {
                // It is not asked again before long.
                (*entry).calls_left.store(u32::MAX, Ordering::Relaxed);
                say_hot(m.ctx, func);
            }
        }
        m.ip = (*entry).code.load(Ordering::Acquire);
        m.forget();
        m.dispatch()
    }

    /// Ends the activation: what its first function returns to.
    fn exit(_m) {
        Exit::Done
    }

    /// `[_ _ units]`: charges for the run of instructions that starts here.
    fn consume_fuel(m) {
        match (*m.vm()).fuel.checked_sub(u64::from(m.immediate())) {
            Some(left) => {
                (*m.vm()).fuel = left;
                m.next(2)
            }
            None => match runtime::refuel(m.vm(), u64::from(m.immediate())) {
                Ok(()) => {
                    (*m.vm()).fuel -= u64::from(m.immediate());
                    m.next(2)
                }
                Err(trap) => m.trap(trap),
            },
        }
    }

    /// `[]`: `unreachable`.
    fn unreachable(m) {
        m.trap(Trap::Unreachable)
    }

    /// `[_ _ target]`: `br`.
    fn branch(m) {
        m.branch()
    }

    /// `[_ _ target]`: `br` to a loop's header.
    fn back_edge(m) {
        m.back_edge()
    }

    /// `[a _ target]`: `br_if`.
    fn branch_if(m) {
        if m.get::<bool>(A) { m.branch() } else { m.next(2) }
    }

    /// `[a _ target]`: branches where the condition is zero.
    fn branch_unless(m) {
        if m.get::<bool>(A) { m.next(2) } else { m.branch() }
    }

    /// `[a _ target]`: `br_if` to a loop's header.
    fn loop_if(m) {
        if m.get::<bool>(A) { m.back_edge() } else { m.next(2) }
    }

    /// `[a _ target]`: branches to a loop's header where the condition is zero.
    fn loop_unless(m) {
        if m.get::<bool>(A) { m.next(2) } else { m.back_edge() }
    }

    /// `[_ _ target]`: as `branch_if`, of the accumulator.
    fn branch_if_acc(m) {
        if m.last::<bool>() { m.branch() } else { m.next(2) }
    }

    /// `[_ _ target]`: as `branch_unless`, of the accumulator.
    fn branch_unless_acc(m) {
        if m.last::<bool>() { m.next(2) } else { m.branch() }
    }

    /// `[_ _ target]`: as `loop_if`, of the accumulator.
    fn loop_if_acc(m) {
        if m.last::<bool>() { m.back_edge() } else { m.next(2) }
    }

    /// `[_ _ target]`: as `loop_unless`, of the accumulator.
    fn loop_unless_acc(m) {
        if m.last::<bool>() { m.next(2) } else { m.back_edge() }
    }

    /// `[a _ count]` and `count + 1` words of targets, in words from this instruction: `br_table`.
    fn branch_table(m) {
        m.branch_to_entry(m.get(A))
    }

    /// `[_ _ count]` and targets: as `branch_table`, by the accumulator.
    fn branch_table_acc(m) {
        m.branch_to_entry(m.last())
    }

    /// `[a _ count]` and targets: as `branch_table`, where one is a loop's header.
    fn branch_table_back(m) {
        let distance = m.table_entry(m.get(A));
        m.branch_by(distance)
    }

    /// `[r a b c]`: `select` of values of two slots.
    fn select2(m) {
        let value = if m.get::<bool>(D) { m.get2(B) } else { m.get2(C) };
        m.set2(A, value);
        m.next(2)
    }
}

/// `select`: `a` where a value is not zero, else `b`. Conditions of `select` are those that compilers found hard to predict.
pub(crate) mod select_by {
    use std::hint::select_unpredictable;

    /// `[r a b c]`.
    pub(crate) mod slot {
        use super::select_unpredictable;
        use crate::machine::{A, B, C, D, handlers};

        handlers! {
            fn u32(m) {
                m.set(A, select_unpredictable(m.get::<u32>(D) != 0, m.get::<u64>(B), m.get(C)));
                m.next(2)
            }

            fn u64(m) {
                m.set(A, select_unpredictable(m.get::<u64>(D) != 0, m.get::<u64>(B), m.get(C)));
                m.next(2)
            }
        }
    }

    /// `[r a b _]`: the value is in the accumulator.
    pub(crate) mod acc {
        use super::select_unpredictable;
        use crate::machine::{A, B, C, handlers};

        handlers! {
            fn u32(m) {
                m.set(A, select_unpredictable(m.last::<u32>() != 0, m.get::<u64>(B), m.get(C)));
                m.next(2)
            }

            fn u64(m) {
                m.set(A, select_unpredictable(m.last::<u64>() != 0, m.get::<u64>(B), m.get(C)));
                m.next(2)
            }
        }
    }
}

/// Says that a function is hot, for which it may be compiled here and now.
///
/// # Safety
/// `ctx` is the context that is being executed with, and `func` one of its module.
#[cold]
#[inline(never)]
unsafe fn say_hot(ctx: *mut VmContext, func: DefinedFuncIndex) {
    // SAFETY: `hot` passes the context that it runs with, on the store's fiber.
    unsafe { runtime::on_host((*ctx).store, || ModuleCode::say_hot(runtime::module(ctx), func)) };
}

/// # Safety
/// The contract of [`crate::machine::Handler`], at a function's first instruction.
impl Machine {
    /// Counts a call; whether the function has been called often enough.
    #[inline(always)]
    unsafe fn is_hot(self) -> bool {
        // SAFETY: see the impl.
        unsafe {
            let calls_left = &(*(*self.ctx).entries.add(self.word(1) as u32 as usize)).calls_left;
            // Threads that count at the same time may lose calls; nothing depends on the number.
            let left = calls_left.load(Ordering::Relaxed).wrapping_sub(1);
            calls_left.store(left, Ordering::Relaxed);
            left == 0
        }
    }
}

/// # Safety
/// The contract of [`crate::machine::Handler`], at an instruction with a table of targets.
impl Machine {
    /// The distance, in words, to the target of the table's entry `index`.
    #[inline(always)]
    unsafe fn table_entry(self, index: u32) -> isize {
        // SAFETY: see the impl; the table has one entry more than its count.
        unsafe { self.word(2 + index.min(self.immediate()) as usize).cast_signed() as isize }
    }

    /// Goes on at the target of the table's entry `index`.
    #[inline(always)]
    unsafe fn branch_to_entry(mut self, index: u32) -> Exit {
        // SAFETY: see the impl; lowering has resolved the targets.
        unsafe {
            self.ip = self.ip.offset(self.table_entry(index));
            self.dispatch()
        }
    }
}
