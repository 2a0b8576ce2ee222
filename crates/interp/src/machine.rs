//! The interpreter's registers and how one instruction leads to the next.
//!
//! An instruction is a word with the address of its handler and one or more words of operands. Word 1 has the slots `a b c d` of
//! 16 bits each, or in place of `c d` an immediate of 32 bits; longer immediates follow in words of their own. In optimized builds every
//! handler ends in a jump to the next one (a sibling call: same signature, all arguments in registers); elsewhere it returns to a loop.
//! Both come from the same handler bodies.
//!
//! Must stay true: handlers have no values that need dropping and let no address of a local escape on the path that ends in a jump, or
//! the call would not be a jump; `tests/dispatch.rs` would overflow the host's stack.

use std::sync::atomic::Ordering;

use innkeeper_engine::tier::{Pending, TrapSite, VmContext, VmFunc, VmStore, runtime};
use innkeeper_engine::{Error, Trap};

use crate::backtrace::{self, FramePosition};
use crate::code::{ModuleCode, Word};

/// One instruction's code. The arguments are the fields of [`Machine`].
///
/// # Safety
/// Whoever jumps to a handler guarantees the following, and each handler guarantees it to the next one:
/// - `ip` points to an instruction that lowering (`lower/`) wrote for this very handler, with all the words that it reads behind it, in code of `ctx`'s module,
///   which is kept for as long as the store lives.
/// - `fp` points to a frame on the guest's stack whose end `enter`, `enter_wide` or `enter_window` has compared with the stack's limit before anything was written. Lowering
///   sees to it that every slot which an operand names lies in that frame (`near`), and so do the slots and the header of each call (`FrameLayout::check_callee`).
/// - `ctx` is the context of the instance that the code is executed for. Nobody else uses its store: `Tier::call` has it borrowed until the activation ends.
/// - `mem` and `mem_len` are address and length of the instance's first memory, read anew behind whatever may have moved or grown it. Without a memory they are anything:
///   validation admits no instruction then whose handler looks at them.
/// - `acc`, `acc32` and `acc64` are what the instruction before has left there, where lowering wrote a form of the instruction that takes an operand from them; else they
///   are anything.
/// - Slots hold values of the types that validation found, a reference being null, an `i31`, or the address of an object or a function's record of this store.
pub(crate) type Handler = unsafe fn(
    ip: *const Word,
    fp: *mut u64,
    ctx: *mut VmContext,
    mem: *mut u8,
    mem_len: usize,
    acc: u64,
    acc32: f32,
    acc64: f64,
) -> Exit;

/// What a handler returns to whoever started it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// The activation's first function has returned.
    Done,
    /// The reason is in the store's record.
    Stopped,
    /// Only without sibling calls: the registers are in the store's record, go on.
    #[cfg_attr(tail_dispatch, allow(dead_code, reason = "the loop's answer"))]
    Continue,
}

/// The registers.
#[derive(Clone, Copy)]
pub(crate) struct Machine {
    /// The instruction.
    pub(crate) ip: *const Word,
    /// The frame: slot 0 is the function's first parameter.
    pub(crate) fp: *mut u64,
    /// The instance whose code is executing.
    pub(crate) ctx: *mut VmContext,
    /// The first memory's bytes.
    pub(crate) mem: *mut u8,
    /// The first memory's length in bytes.
    pub(crate) mem_len: usize,
    /// The last integer, reference or boolean that an instruction wrote to a slot; lowering knows which slot that was.
    pub(crate) acc: u64,
    /// The last `f32`.
    pub(crate) acc32: f32,
    /// The last `f64`.
    pub(crate) acc64: f64,
}

/// A type that a slot can be read and written as.
pub(crate) trait Slot: Copy {
    /// Words of an instruction whose last operand is an immediate of this type.
    const WITH_IMMEDIATE: usize;
    /// The accumulator that values of this type pass through.
    const CLASS: Class;
    fn from_slot(slot: u64) -> Self;
    fn to_slot(self) -> u64;
    fn accumulated(m: &Machine) -> Self;
    fn accumulate(self, m: &mut Machine);
}

/// Which accumulator a value passes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Integer,
    F32,
    F64,
}

macro_rules! slot {
    ($($ty:ty, $words:literal, $class:ident: |$slot:ident| $from:expr, |$value:ident| $to:expr, |$m:ident| $acc:expr => $back:expr;)*) => {$(
        impl Slot for $ty {
            const WITH_IMMEDIATE: usize = $words;
            const CLASS: Class = Class::$class;
            #[inline(always)]
            fn accumulated($m: &Machine) -> Self {
                let $slot = $acc;
                $back
            }
            #[inline(always)]
            fn accumulate(self, $m: &mut Machine) {
                let $value = self;
                $acc = slot!(@acc $class $value $to);
            }
            #[inline(always)]
            fn from_slot($slot: u64) -> Self {
                $from
            }
            #[inline(always)]
            fn to_slot(self) -> u64 {
                let $value = self;
                $to
            }
        }
    )*};
    (@acc Integer $value:ident $to:expr) => { $to };
    (@acc $class:ident $value:ident $to:expr) => { $value };
}

slot! {
    u32, 2, Integer: |slot| slot as u32, |value| u64::from(value), |m| m.acc => slot as u32;
    u64, 3, Integer: |slot| slot, |value| value, |m| m.acc => slot;
    f32, 2, F32: |slot| f32::from_bits(slot as u32), |value| u64::from(value.to_bits()), |m| m.acc32 => slot;
    f64, 3, F64: |slot| f64::from_bits(slot), |value| value.to_bits(), |m| m.acc64 => slot;
    bool, 2, Integer: |slot| slot as u32 != 0, |value| u64::from(value), |m| m.acc => slot as u32 != 0;
}

/// Where operands stand in word 1.
pub(crate) const A: usize = 0;
pub(crate) const B: usize = 1;
pub(crate) const C: usize = 2;
pub(crate) const D: usize = 3;

impl Machine {
    /// The registers at a function's entry, with the first memory's yet to be loaded.
    pub(crate) fn at(ip: *const Word, fp: *mut u64, ctx: *mut VmContext) -> Machine {
        Machine { ip, fp, ctx, mem: std::ptr::null_mut(), mem_len: 0, acc: 0, acc32: 0.0, acc64: 0.0 }
    }
}

/// # Safety
/// All methods share the contract of [`Handler`]; operand positions are those of the instruction at `ip`.
impl Machine {
    /// The operand at position `i` of word 1, as a number.
    #[inline(always)]
    pub(crate) unsafe fn operand(self, i: usize) -> usize {
        // SAFETY: the contract of `Handler`, which lowering and `enter` keep for what this names.
        unsafe { usize::from(*self.ip.add(1).cast::<u16>().add(i)) }
    }

    /// The operand at position `i` of word `word`, as a number.
    #[inline(always)]
    pub(crate) unsafe fn operand_of(self, word: usize, i: usize) -> usize {
        // SAFETY: the contract of `Handler`, which lowering and `enter` keep for what this names.
        unsafe { usize::from(*self.ip.add(word).cast::<u16>().add(i)) }
    }

    /// The immediate in the upper half of word `word`.
    #[inline(always)]
    pub(crate) unsafe fn immediate_of(self, word: usize) -> u32 {
        // SAFETY: the contract of `Handler`, which lowering and `enter` keep for what this names.
        unsafe { *self.ip.add(word).cast::<u32>().add(1) }
    }

    /// The immediate in the upper half of word 1.
    #[inline(always)]
    pub(crate) unsafe fn immediate(self) -> u32 {
        // SAFETY: the contract of `Handler`, which lowering and `enter` keep for what this names.
        unsafe { self.immediate_of(1) }
    }

    /// A whole word of the instruction.
    #[inline(always)]
    pub(crate) unsafe fn word(self, word: usize) -> Word {
        // SAFETY: the contract of `Handler`, which lowering and `enter` keep for what this names.
        unsafe { *self.ip.add(word) }
    }

    /// The last operand of an operation on `T`s, where it is a constant.
    #[inline(always)]
    pub(crate) unsafe fn constant<T: Slot>(self) -> T {
        // SAFETY: the contract of `Handler`, which lowering and `enter` keep for what this names.
        unsafe {
            if T::WITH_IMMEDIATE == 2 {
                T::from_slot(u64::from(self.immediate()))
            } else {
                T::from_slot(self.word(2))
            }
        }
    }

    /// The constant of a whole word.
    #[inline(always)]
    pub(crate) unsafe fn constant_of<T: Slot>(self, word: usize) -> T {
        // SAFETY: the contract of `Handler`, which lowering and `enter` keep for what this names.
        T::from_slot(unsafe { self.word(word) })
    }

    /// The slot that the operand at position `i` of word `word` names.
    #[inline(always)]
    pub(crate) unsafe fn get_of<T: Slot>(self, word: usize, i: usize) -> T {
        // SAFETY: the contract of `Handler`, which lowering and `enter` keep for what this names.
        unsafe { T::from_slot(*self.fp.add(self.operand_of(word, i))) }
    }

    /// The slot that the operand at position `i` names.
    #[inline(always)]
    pub(crate) unsafe fn get<T: Slot>(self, i: usize) -> T {
        // SAFETY: the contract of `Handler`, which lowering and `enter` keep for what this names.
        unsafe { T::from_slot(*self.fp.add(self.operand(i))) }
    }

    /// Writes the slot that the operand at position `i` names, and the accumulator.
    #[inline(always)]
    pub(crate) unsafe fn set<T: Slot>(&mut self, i: usize, value: T) {
        // SAFETY: the contract of `Handler`, which lowering and `enter` keep for what this names.
        unsafe { *self.fp.add(self.operand(i)) = value.to_slot() }
        value.accumulate(self);
    }

    /// The value in the accumulator of its type, where lowering knows that it is the operand.
    #[inline(always)]
    pub(crate) fn last<T: Slot>(&self) -> T {
        T::accumulated(self)
    }

    /// The record of the instance's store.
    #[inline(always)]
    pub(crate) unsafe fn vm(self) -> *mut VmStore {
        // SAFETY: the contract of `Handler`, which lowering and `enter` keep for what this names.
        unsafe { (*self.ctx).store }
    }

    /// Lets go of the accumulators, so that nothing need be saved over a call of Rust code.
    #[inline(always)]
    pub(crate) fn forget(&mut self) {
        (self.acc, self.acc32, self.acc64) = (0, 0.0, 0.0);
    }

    /// The two slots from the one that the operand at position `i` names.
    #[inline(always)]
    pub(crate) unsafe fn get2(self, i: usize) -> [u64; 2] {
        // SAFETY: the contract of `Handler`, which lowering and `enter` keep for what this names.
        unsafe { *self.fp.add(self.operand(i)).cast::<[u64; 2]>() }
    }

    /// Writes the two slots from the one that the operand at position `i` names.
    #[inline(always)]
    pub(crate) unsafe fn set2(self, i: usize, value: [u64; 2]) {
        // SAFETY: the contract of `Handler`, which lowering and `enter` keep for what this names.
        unsafe { *self.fp.add(self.operand(i)).cast::<[u64; 2]>() = value }
    }

    /// Goes on with the instruction `words` further on.
    #[inline(always)]
    pub(crate) unsafe fn next(mut self, words: usize) -> Exit {
        // SAFETY: the contract of `Handler`, which lowering and `enter` keep for what this names; lowering ends every function in an instruction that does not fall
        // through.
        unsafe {
            self.ip = self.ip.add(words);
            self.dispatch()
        }
    }

    /// Goes on at the branch target in the upper half of word 1, in words from this instruction; the target is further on.
    #[inline(always)]
    pub(crate) unsafe fn branch(self) -> Exit {
        // SAFETY: the contract of `Handler`, which lowering and `enter` keep for what this names; lowering has resolved the target.
        unsafe { self.next(self.immediate() as usize) }
    }

    /// As [`Machine::branch`], to a loop's header.
    #[inline(always)]
    pub(crate) unsafe fn back_edge(self) -> Exit {
        // SAFETY: the contract of `Handler`, which lowering and `enter` keep for what this names; lowering has resolved the target.
        unsafe { self.branch_by(self.immediate().cast_signed() as isize) }
    }

    /// Goes on `distance` words from this instruction, and counts: every loop passes here, and at the countdown's end is looked at.
    #[inline(always)]
    pub(crate) unsafe fn branch_by(mut self, distance: isize) -> Exit {
        // SAFETY: the contract of `Handler`, which lowering and `enter` keep for what this names; lowering has resolved the target.
        unsafe {
            self.ip = self.ip.offset(distance);
            if !cfg!(unpolled) {
                let left = (*self.ctx).countdown.wrapping_sub(1);
                (*self.ctx).countdown = left;
                if left == 0 {
                    return self.pass_on(look_at_loop);
                }
            }
            self.dispatch()
        }
    }

    /// Ends the countdown if somebody requests a safepoint: after what may have taken long, so that it does not happen many times before the
    /// next look.
    #[inline(always)]
    pub(crate) unsafe fn notice(self) {
        // SAFETY: the contract of `Handler`, which lowering and `enter` keep for what this names.
        unsafe {
            if (*self.vm()).stack_limit.load(Ordering::Relaxed).is_null() {
                (*self.ctx).countdown = 1;
            }
        }
    }

    /// Goes on after an operation on many elements, or traps.
    #[inline(always)]
    pub(crate) unsafe fn proceed(self, done: Result<(), Trap>, words: usize) -> Exit {
        // SAFETY: the contract of `Handler`, which lowering and `enter` keep for what this names.
        unsafe {
            self.notice();
            match done {
                Ok(()) => self.next(words),
                Err(trap) => self.trap(trap),
            }
        }
    }

    /// Calls something with all registers as they are.
    #[inline(always)]
    pub(crate) unsafe fn pass_on(self, handler: Handler) -> Exit {
        let Machine { ip, fp, ctx, mem, mem_len, acc, acc32, acc64 } = self;
        // SAFETY: the contract of `Handler`, which lowering and `enter` keep for what this names.
        unsafe { handler(ip, fp, ctx, mem, mem_len, acc, acc32, acc64) }
    }

    /// Executes the instruction at `ip`.
    #[cfg(tail_dispatch)]
    #[inline(always)]
    pub(crate) unsafe fn dispatch(self) -> Exit {
        // SAFETY: the contract of `Handler`, which lowering and `enter` keep for what this names.
        unsafe { self.pass_on(handler(self.ip)) }
    }

    /// Leaves the registers where the loop finds them.
    #[cfg(not(tail_dispatch))]
    #[inline(always)]
    pub(crate) unsafe fn dispatch(self) -> Exit {
        // SAFETY: the contract of `Handler`, which lowering and `enter` keep for what this names.
        unsafe {
            (*self.vm()).scratch = [
                self.ip as u64,
                self.fp as u64,
                self.ctx as u64,
                self.mem as u64,
                self.mem_len as u64,
                self.acc,
                u64::from(self.acc32.to_bits()),
                self.acc64.to_bits(),
            ];
        }
        Exit::Continue
    }

    /// Executes from the instruction at `ip` until the activation's first function returns or is stopped.
    pub(crate) unsafe fn run(self) -> Exit {
        let mut machine = self;
        loop {
            // SAFETY: the contract of `Handler`, which lowering and `enter` keep for what this names.
            let (vm, exit) = unsafe { (machine.vm(), machine.pass_on(handler(machine.ip))) };
            if exit != Exit::Continue {
                return exit;
            }
            // SAFETY: `dispatch` has just put the registers there.
            let [ip, fp, ctx, mem, mem_len, acc, acc32, acc64] = unsafe { (*vm).scratch };
            machine = Machine {
                ip: ip as usize as *const Word,
                fp: fp as usize as *mut u64,
                ctx: ctx as usize as *mut VmContext,
                mem: mem as usize as *mut u8,
                mem_len: mem_len as usize,
                acc,
                acc32: f32::from_bits(acc32 as u32),
                acc64: f64::from_bits(acc64),
            };
        }
    }

    /// Reads the first memory's registers again, after something that may have changed them.
    #[inline(always)]
    pub(crate) unsafe fn reload_memory(&mut self) {
        // SAFETY: the contract of `Handler`, which lowering and `enter` keep for what this names.
        unsafe {
            let memory = (*self.ctx).memory0;
            self.mem = (*memory).base;
            self.mem_len = (*memory).len_bytes();
        }
    }

    /// Goes on where an access to the first memory ends beyond the length in the register: with the same instruction once more if
    /// another thread has grown the memory meanwhile, else with a trap. The access is of a cell at `address`.
    #[inline(always)]
    pub(crate) unsafe fn beyond_memory<Cell>(self, address: u64) -> Exit {
        let handler: Handler = const {
            match size_of::<Cell>() {
                1 => beyond_memory_1,
                2 => beyond_memory_2,
                4 => beyond_memory_4,
                8 => beyond_memory_8,
                _ => beyond_memory_16,
            }
        };
        // The register of the memory's start is read again before anybody needs it.
        let mem = std::ptr::without_provenance_mut(address as usize);
        // SAFETY: the contract of `Handler`, which lowering and `enter` keep for what this names.
        unsafe { Machine { mem, ..self }.pass_on(handler) }
    }

    /// What [`Machine::beyond_memory`] goes on with: the address is in the register of the memory's start.
    #[inline(always)]
    unsafe fn look_beyond(mut self, len_bytes: u64) -> Exit {
        // SAFETY: the contract of `Handler`, which lowering and `enter` keep for what this names.
        unsafe {
            let memory_bytes = (*(*self.ctx).memory0).len_bytes();
            if memory_bytes > self.mem_len {
                self.reload_memory();
                return self.dispatch();
            }
            runtime::note_beyond_memory(self.ctx, memory_bytes, self.mem as u64, len_bytes);
            self.trap(Trap::MemoryOutOfBounds)
        }
    }

    /// Stops the activation with a trap at this instruction.
    #[inline(always)]
    pub(crate) unsafe fn trap(self, trap: Trap) -> Exit {
        // SAFETY: the contract of `Handler`, which lowering and `enter` keep for what this names.
        unsafe { stop_with_trap(self.ip, self.fp, self.ctx, trap, self.vm()) }
    }

    /// Stops the activation at this instruction, for the reason already in the store's record.
    #[inline(always)]
    pub(crate) unsafe fn stop(self) -> Exit {
        // SAFETY: the contract of `Handler`, which lowering and `enter` keep for what this names.
        unsafe {
            (*self.vm()).fiber.trap_site = TrapSite { position: self.ip, frame: self.fp, ctx: self.ctx }
        };
        Exit::Stopped
    }

    /// What the stack's limit has to say of a frame that ends at `frame_end`, at this instruction.
    #[inline(always)]
    pub(crate) unsafe fn safepoint(self, frame_end: *const u64) -> Result<(), Trap> {
        // SAFETY: the contract of `Handler`, which lowering and `enter` keep for what this names; the frame has its header, which the call has written.
        unsafe { safepoint(self.ip, self.fp, self.ctx, frame_end) }
    }

    /// The record of a function reference in a slot.
    #[inline(always)]
    pub(crate) fn func_record(slot: u64) -> *const VmFunc {
        slot as usize as *const VmFunc
    }
}

#[inline(always)]
unsafe fn handler(ip: *const Word) -> Handler {
    // SAFETY: the first word of an instruction is a handler's address: lowering writes no other.
    unsafe { std::mem::transmute::<*const (), Handler>(*ip as usize as *const ()) }
}

#[cold]
#[inline(never)]
unsafe fn stop_with_trap(
    ip: *const Word,
    fp: *mut u64,
    ctx: *mut VmContext,
    trap: Trap,
    vm: *mut VmStore,
) -> Exit {
    // SAFETY: the contract of `Handler`.
    unsafe {
        (*vm).fiber.trap_site = TrapSite { position: ip, frame: fp, ctx };
        (*vm).fiber.pending = Some(Pending::Trap(trap));
    }
    Exit::Stopped
}

/// Not inlined, and given no address of a handler's: either would keep handlers from jumping to each other.
#[cold]
#[inline(never)]
unsafe fn safepoint(
    ip: *const Word,
    fp: *mut u64,
    ctx: *mut VmContext,
    frame_end: *const u64,
) -> Result<(), Trap> {
    let site = TrapSite { position: ip, frame: fp, ctx };
    let describe = |error: &mut Error| {
        // SAFETY: the contract of `Handler`; the frame has its header.
        unsafe { backtrace::append(error, site, FramePosition::Instruction) };
    };
    // SAFETY: the contract of `Handler`.
    unsafe { runtime::safepoint((*ctx).store, frame_end, describe) }
}

/// Defines handlers: `fn name(m) { ... }` becomes a [`Handler`] whose body ends in `m.next(..)`, `m.branch()` and the like.
macro_rules! handlers {
    ($($(#[$meta:meta])* fn $name:ident($m:ident) $body:block)*) => {$(
        $(#[$meta])*
        #[allow(unused_mut, unused_unsafe, reason = "some handlers change registers, and one does nothing")]
        #[allow(clippy::too_many_arguments, reason = "the machine's registers")]
        pub(crate) unsafe fn $name(
            ip: *const $crate::code::Word,
            fp: *mut u64,
            ctx: *mut innkeeper_engine::tier::VmContext,
            mem: *mut u8,
            mem_len: usize,
            acc: u64,
            acc32: f32,
            acc64: f64,
        ) -> $crate::machine::Exit {
            let mut $m = $crate::machine::Machine { ip, fp, ctx, mem, mem_len, acc, acc32, acc64 };
            // SAFETY: whoever jumps here keeps the contract of `Handler`: the handler before this one, or who starts an activation (`activation.rs`,
            // `op/native.rs`). It
            // is all that methods of `Machine` and the engine's `runtime` and `gc` ask. What bodies read and write themselves are words behind `ip` and slots of
            // the frame, by lowering, fields of the context and of the store's record, and cells of memories that `Machine` has checked.
            unsafe { $body }
        }
    )*};
}
pub(crate) use handlers;

handlers! {
    /// At a loop's header, before its first instruction: answers a request, then goes on in machine code if there is
    /// some, and may ask for it.
    #[cold]
    #[inline(never)]
    fn look_at_loop(m) {
        let vm = m.vm();
        (*m.ctx).countdown = (*vm).countdown_from;
        if m.fp > (*vm).stack_limit.load(Ordering::Relaxed)
            && let Err(trap) = m.safepoint(m.fp)
        {
            return m.trap(trap);
        }
        let stub = stub_of_loop(m.ctx, m.ip);
        if !stub.is_null() {
            m.ip = stub;
        }
        m.forget();
        m.dispatch()
    }

    /// Executes the access to one byte again if the memory has grown meanwhile, else traps.
    #[cold]
    #[inline(never)]
    fn beyond_memory_1(m) {
        m.look_beyond(1)
    }

    /// The same for two bytes.
    #[cold]
    #[inline(never)]
    fn beyond_memory_2(m) {
        m.look_beyond(2)
    }

    /// The same for four bytes.
    #[cold]
    #[inline(never)]
    fn beyond_memory_4(m) {
        m.look_beyond(4)
    }

    /// The same for eight bytes.
    #[cold]
    #[inline(never)]
    fn beyond_memory_8(m) {
        m.look_beyond(8)
    }

    /// The same for sixteen bytes.
    #[cold]
    #[inline(never)]
    fn beyond_memory_16(m) {
        m.look_beyond(16)
    }
}

/// Where a loop that is being looked at goes on, for which it may be compiled here and now; null where it goes on as it is.
///
/// # Safety
/// `ctx` is the context that is being executed with, and `header` the first instruction of a loop of its module.
#[cold]
#[inline(never)]
unsafe fn stub_of_loop(ctx: *mut VmContext, header: *const Word) -> *const Word {
    // SAFETY: `look_at_loop` passes the context that it runs with, on the store's fiber, and its own position.
    unsafe { runtime::on_host((*ctx).store, || ModuleCode::look_at_loop(runtime::module(ctx), header)) }
}
