//! What machine code calls: the table of its functions, and the functions.
//!
//! Each wraps what the engine says an instruction means. A function that can fail leaves the reason in the store's record and returns what its
//! row of [`for_each_libcall!`] says; machine code then leaves through [`Libcall::Leave`].

use std::ptr::NonNull;

use innkeeper_engine::Trap;
use innkeeper_engine::index::*;
use innkeeper_engine::tier::frame::CallFrame;
use innkeeper_engine::tier::gc::{self, CastTarget};
use innkeeper_engine::tier::{
    ActivationSegment, FuncEntry, Pending, TailCall, TrapSite, VmContext, VmObject, VmStore, VmTag, runtime,
};

use crate::{backtrace, entry, region, unwind};

/// What happens where a failure is possible.
pub(crate) const OK: u32 = 0;
/// The function was stopped, and the reason is in the store's record.
pub(crate) const STOPPED: u32 = 1;
/// That is what calls of functions of the host tell.
const _: () = assert!(OK == runtime::HOST_DONE && STOPPED == runtime::HOST_STOPPED);
/// The interpreter goes on: see [`innkeeper_engine::tier::NativeExit::TailCall`].
pub(crate) const TAIL_CALL: u32 = 2;
/// As [`STOPPED`], and the reason in the record is complete.
pub(crate) const LEFT: u32 = 3;
/// The callee is a function of the host.
pub(crate) const CALLS_HOST: u32 = 4;
/// What [`entry::leave_with`] is given, and machine code's caller is told.
const _: () = assert!(TAIL_CALL == innkeeper_engine::tier::NativeExit::TailCall as u32);
/// No size that a memory or a table can have, and not the number of a refusal either: growing was stopped, and the reason is in the store's record.
pub(crate) const GROWTH_STOPPED: u64 = u64::MAX - 1;

/// Expands `$callback!` with rows `Name function(parameter types) -> result type;`. The first parameter of all is the context, except where a row
/// begins with `bare`.
macro_rules! for_each_libcall {
    ($callback:ident) => {
        $callback! {
            /// Ends the run of machine code that stopped for the reason in the record. Does not return.
            Leave = entry::leave, [] -> [];
            /// Ends the run of machine code, with nothing left to find out: outcome. Does not return.
            LeaveWith = entry::leave_with, [I32] -> [];
            /// Answers requests, and returns only where that does not mean to stop. Keeps all registers.
            Safepoint = entry::safepoint, [] -> [];
            /// Sees to it that there is as much fuel as the record says is needed, and returns only then. Keeps all registers.
            Refuel = entry::refuel, [] -> [];
            /// Calls a function that is not compiled: entry, slots, the trampoline's frame; any outcome.
            Interpret = interpret, [I64 I64 I64 I64] -> [I32];
            /// Calls a function of the host: entry, slots, the store's record; [`OK`] or [`STOPPED`].
            CallHost = runtime::enter_host, [I64 I64 I64 I64] -> [I32];
            /// Asks for a tail call from a loop, or calls a function of the host: entry, slots; see [`entry::tail_call`].
            TailCall = entry::tail_call, [I64 I64 I64] -> [I32];
            /// Whether a function's type is a subtype: record, identity.
            IsSubtype = is_subtype, [I64 I32] -> [I32];
            /// `ref.func`.
            RefFunc = ref_func, [I64 I32] -> [I64];
            /// Whether a reference, not null, has a type: reference, target, type.
            ReferenceIs = reference_is, [I64 I64 I32 I32] -> [I32];
            /// `memory.grow`: memory, pages; [`GROWTH_STOPPED`] where it stopped.
            MemoryGrow = memory_grow, [I64 I32 I64] -> [I64];
            /// `memory.fill`: memory, to, value, length.
            MemoryFill = memory_fill, [I64 I32 I64 I32 I64] -> [I32];
            /// `memory.copy`: memories, to, from, length.
            MemoryCopy = memory_copy, [I64 I32 I32 I64 I64 I64] -> [I32];
            /// Sets bytes that are known to be there: address, value, length. No context.
            SetBytes = set_bytes, [I64 I32 I64] -> [];
            /// Copies bytes that are known to be there, and may overlap: to, from, length. No context.
            MoveBytes = move_bytes, [I64 I64 I64] -> [];
            /// `memory.init`: memory, segment, to, from, length.
            MemoryInit = memory_init, [I64 I32 I32 I64 I64 I64] -> [I32];
            /// `data.drop`.
            DataDrop = data_drop, [I64 I32] -> [];
            /// `table.grow`: table, delta, value; [`GROWTH_STOPPED`] where it stopped.
            TableGrow = table_grow, [I64 I32 I64 I64] -> [I64];
            /// `table.fill`: table, to, value, length.
            TableFill = table_fill, [I64 I32 I64 I64 I64] -> [I32];
            /// `table.copy`: tables, to, from, length.
            TableCopy = table_copy, [I64 I32 I32 I64 I64 I64] -> [I32];
            /// `table.init`: table, segment, to, from, length.
            TableInit = table_init, [I64 I32 I32 I64 I64 I64] -> [I32];
            /// `elem.drop`.
            ElemDrop = elem_drop, [I64 I32] -> [];
            /// `memory.atomic.wait32`: memory, address, expected, timeout; -1 where it stopped.
            Wait32 = wait32, [I64 I32 I64 I32 I64] -> [I64];
            /// `memory.atomic.wait64`: as above.
            Wait64 = wait64, [I64 I32 I64 I64 I64] -> [I64];
            /// `memory.atomic.notify`: memory, address, count; -1 where it stopped.
            Notify = notify, [I64 I32 I64 I32] -> [I64];
            /// A new structure or array of zeros: type, length; 0 where it stopped.
            Allocate = allocate, [I64 I32 I32] -> [I64];
            /// A new exception: tag; 0 where it stopped.
            AllocateException = allocate_exception, [I64 I32] -> [I64];
            /// Sets the exception that is thrown, and says [`STOPPED`].
            Throw = throw, [I64 I64] -> [I32];
            /// `array.fill`: array, start, halves of the value, length.
            ArrayFill = array_fill, [I64 I64 I32 I64 I64 I32] -> [I32];
            /// `array.copy`: array, start, array, start, length.
            ArrayCopy = array_copy, [I64 I64 I32 I64 I32 I32] -> [I32];
            /// `array.new_data`: type, segment, start, length; 0 where it stopped.
            ArrayNewData = array_new_data, [I64 I32 I32 I32 I32] -> [I64];
            /// `array.new_elem`: as above.
            ArrayNewElem = array_new_elem, [I64 I32 I32 I32 I32] -> [I64];
            /// `array.init_data`: array, segment, to, from, length.
            ArrayInitData = array_init_data, [I64 I64 I32 I32 I32 I32] -> [I32];
            /// `array.init_elem`: as above.
            ArrayInitElem = array_init_elem, [I64 I64 I32 I32 I32 I32] -> [I32];
        }
    };
}

macro_rules! table {
    ($($(#[$doc:meta])* $name:ident = $function:path, [$($param:ident)*] -> [$($result:ident)?];)*) => {
        /// A function of the table, by its position.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(usize)]
        pub(crate) enum Libcall {
            $($(#[$doc])* $name,)*
        }

        impl Libcall {
            /// The convention that the function is called by.
            pub(crate) fn convention(self) -> CallConv {
                match self {
                    // What is called beside the path that is usually taken should not move that path's values out of registers.
                    Libcall::Safepoint | Libcall::Refuel | Libcall::Leave => CallConv::PreserveAll,
                    _ => CallConv::SystemV,
                }
            }

            /// Types of parameters and of the result.
            pub(crate) fn types(self) -> (&'static [Type], &'static [Type]) {
                match self {
                    $(Libcall::$name => (&[$(types::$param),*], &[$(types::$result)?]),)*
                }
            }
        }

        /// What [`VmStore::libcalls`] points to.
        static TABLE: Table = Table([$($function as *const ()),*]);

        const LEN: usize = [$(Libcall::$name),*].len();
    };
}

use cranelift_codegen::ir::{Type, types};
use cranelift_codegen::isa::CallConv;
for_each_libcall!(table);

struct Table([*const (); LEN]);

// SAFETY: addresses of functions.
unsafe impl Sync for Table {}

/// The table's address.
pub(crate) fn table() -> *const () {
    TABLE.0.as_ptr().cast()
}

/// # Safety
/// `ctx` is a context of the activation.
unsafe fn stop(ctx: *mut VmContext, trap: Trap) -> u32 {
    // SAFETY: libcalls pass the context that machine code gave them, which is that of its instance: the store is in use by this activation alone.
    unsafe { (*(*ctx).store).fiber.pending = Some(Pending::Trap(trap)) };
    STOPPED
}

/// # Safety
/// As [`stop`].
unsafe fn done(ctx: *mut VmContext, result: Result<(), Trap>) -> u32 {
    match result {
        Ok(()) => OK,
        // SAFETY: libcalls pass the context that machine code gave them.
        Err(trap) => unsafe { stop(ctx, trap) },
    }
}

/// # Safety
/// As [`stop`].
unsafe fn object(ctx: *mut VmContext, result: Result<NonNull<VmObject>, Trap>) -> u64 {
    match result {
        Ok(object) => object.as_ptr() as u64,
        Err(trap) => {
            // SAFETY: libcalls pass the context that machine code gave them.
            unsafe { stop(ctx, trap) };
            0
        }
    }
}

/// Defines functions of the table; their contract is that machine code calls them, with operands of validated instructions.
macro_rules! libcalls {
    ($($(#[$doc:meta])* fn $name:ident($($param:ident: $ty:ty),*) $(-> $result:ty)? $body:block)*) => {$(
        $(#[$doc])*
        pub(crate) unsafe extern "sysv64" fn $name($($param: $ty),*) $(-> $result)? {
            // SAFETY: only machine code of ours calls these, with what translation (`translate/`, `trampoline.rs`) has put there. `ctx` is the context of the
            // instance whose
            // code calls, and nobody else uses its store until the activation ends: `Tier::call` has it borrowed. Indices and types are those of validated
            // instructions, references are values of the types that validation found, and null where the libcall expects that: the contract of `runtime` and `gc`.
            // `slots` are slots of the calling function's frame, as many as the callee's type has (`slots_on_stack`); `callee` is an entry of `ctx`'s module, or a host
            // function's. `to` and `from` of `set_bytes` and `move_bytes`, which know no context, are ranges that `translate/bulk.rs` has compared with the memory's length.
            unsafe { $body }
        }
    )*};
}

libcalls! {
    fn interpret(ctx: *mut VmContext, callee: *const FuncEntry, slots: *mut u64, frame: *const usize) -> u32 {
        let vm = (*ctx).store;
        // The trampoline's own frame: the caller's frame pointer, and where it returns to.
        let (is_first, returns_to) = (entry::returns_to_first(vm, frame), *frame.add(1));
        debug_assert!(is_first || !region::is_trampoline(returns_to));
        if is_first && region::is_trampoline(returns_to) {
            // The interpreter has called machine code that ends in this call: it can go on itself, and the stack does not grow.
            return ask_for_tail_call(ctx, callee, slots);
        }
        let segment = suspend(vm, frame);
        (*vm).fiber.segments = &raw const segment;
        let done = runtime::module(ctx).code().call_within(callee, ctx, slots);
        (*vm).fiber.segments = segment.outer;
        match (*vm).fiber.pending {
            _ if done => OK,
            // Somebody catches it, perhaps here.
            Some(Pending::Exception(_)) => STOPPED,
            _ => LEFT,
        }
    }

    /// [`CALLS_HOST`] for functions of the host, of which nothing has been done.
    fn tail_call(ctx: *mut VmContext, callee: *const FuncEntry, slots: *mut u64) -> u32 {
        // Functions of the host come with the caller's context, in whose array they are not.
        let entries = std::slice::from_raw_parts((*ctx).entries, runtime::module(ctx).defined_func_count());
        if !entries.as_ptr_range().contains(&callee) {
            return CALLS_HOST;
        }
        ask_for_tail_call(ctx, callee, slots)
    }

    fn is_subtype(func: *const innkeeper_engine::tier::VmFunc, ty: u32) -> u32 {
        u32::from(runtime::is_subtype(&*(*func).ty, ty))
    }

    fn ref_func(ctx: *mut VmContext, func: u32) -> u64 {
        runtime::ref_func(ctx, FuncIndex(func)) as u64
    }

    fn reference_is(ctx: *mut VmContext, reference: u64, target: u32, ty: u32) -> u32 {
        u32::from(gc::reference_is(ctx, reference, CastTarget::ALL[target as usize], TypeIndex(ty)))
    }

    fn memory_grow(ctx: *mut VmContext, memory: u32, pages: u64) -> u64 {
        runtime::memory_grow(ctx, MemoryIndex(memory), pages).unwrap_or(GROWTH_STOPPED)
    }

    fn memory_fill(ctx: *mut VmContext, memory: u32, to: u64, value: u32, len: u64) -> u32 {
        done(ctx, runtime::memory_fill(ctx, MemoryIndex(memory), to, value as u8, len))
    }

    fn memory_copy(ctx: *mut VmContext, to_memory: u32, from_memory: u32, to: u64, from: u64, len: u64) -> u32 {
        let (to, from) = ((MemoryIndex(to_memory), to), (MemoryIndex(from_memory), from));
        done(ctx, runtime::memory_copy(ctx, to, from, len))
    }

    fn set_bytes(to: *mut u8, value: u32, len: usize) {
        to.write_bytes(value as u8, len);
    }

    fn move_bytes(to: *mut u8, from: *const u8, len: usize) {
        to.copy_from(from, len);
    }

    fn memory_init(ctx: *mut VmContext, memory: u32, data: u32, to: u64, from: u64, len: u64) -> u32 {
        done(ctx, runtime::memory_init(ctx, MemoryIndex(memory), DataIndex(data), to, from, len))
    }

    fn data_drop(ctx: *mut VmContext, data: u32) {
        runtime::data_drop(ctx, DataIndex(data));
    }

    fn table_grow(ctx: *mut VmContext, table: u32, delta: u64, value: u64) -> u64 {
        runtime::table_grow(ctx, TableIndex(table), delta, value).unwrap_or(GROWTH_STOPPED)
    }

    fn table_fill(ctx: *mut VmContext, table: u32, to: u64, value: u64, len: u64) -> u32 {
        done(ctx, runtime::table_fill(ctx, TableIndex(table), to, value, len))
    }

    fn table_copy(ctx: *mut VmContext, to_table: u32, from_table: u32, to: u64, from: u64, len: u64) -> u32 {
        let (to, from) = ((TableIndex(to_table), to), (TableIndex(from_table), from));
        done(ctx, runtime::table_copy(ctx, to, from, len))
    }

    fn table_init(ctx: *mut VmContext, table: u32, elem: u32, to: u64, from: u64, len: u64) -> u32 {
        done(ctx, runtime::table_init(ctx, TableIndex(table), ElemIndex(elem), to, from, len))
    }

    fn elem_drop(ctx: *mut VmContext, elem: u32) {
        runtime::elem_drop(ctx, ElemIndex(elem));
    }

    fn wait32(ctx: *mut VmContext, memory: u32, address: u64, expected: u32, timeout_ns: i64) -> u64 {
        runtime::atomic_wait32(ctx, MemoryIndex(memory), address, expected, timeout_ns).map_or(u64::MAX, u64::from)
    }

    fn wait64(ctx: *mut VmContext, memory: u32, address: u64, expected: u64, timeout_ns: i64) -> u64 {
        runtime::atomic_wait64(ctx, MemoryIndex(memory), address, expected, timeout_ns).map_or(u64::MAX, u64::from)
    }

    fn notify(ctx: *mut VmContext, memory: u32, address: u64, count: u32) -> u64 {
        woken(ctx, runtime::atomic_notify(ctx, MemoryIndex(memory), address, count))
    }

    fn allocate(ctx: *mut VmContext, ty: u32, len: u32) -> u64 {
        object(ctx, gc::allocate(ctx, TypeIndex(ty), len, (*(*ctx).store).fiber.stack_top))
    }

    fn allocate_exception(ctx: *mut VmContext, tag: u32) -> u64 {
        let tag: *mut VmTag = *(*ctx).tags.add(tag as usize);
        object(ctx, gc::allocate_exception(ctx, tag, (*(*ctx).store).fiber.stack_top))
    }

    fn throw(ctx: *mut VmContext, exception: u64) -> u32 {
        (*(*ctx).store).fiber.pending = Some(Pending::Exception(exception));
        STOPPED
    }

    fn array_fill(ctx: *mut VmContext, array: NonNull<VmObject>, to: u32, low: u64, high: u64, len: u32) -> u32 {
        done(ctx, gc::array_fill(ctx, array, to, u128::from(low) | u128::from(high) << 64, len))
    }

    fn array_copy(
        ctx: *mut VmContext,
        to_array: NonNull<VmObject>,
        to: u32,
        from_array: NonNull<VmObject>,
        from: u32,
        len: u32
    ) -> u32 {
        done(ctx, gc::array_copy(ctx, (to_array, to), (from_array, from), len))
    }

    fn array_new_data(ctx: *mut VmContext, ty: u32, data: u32, from: u32, len: u32) -> u64 {
        let (ty, data) = (TypeIndex(ty), DataIndex(data));
        object(ctx, (|| {
            // The range first, so that nothing large is allocated in vain.
            gc::check_data_range(ctx, ty, data, from, len)?;
            let array = gc::allocate(ctx, ty, len, (*(*ctx).store).fiber.stack_top)?;
            gc::array_init_data(ctx, array, data, 0, from, len)?;
            Ok(array)
        })())
    }

    fn array_new_elem(ctx: *mut VmContext, ty: u32, elem: u32, from: u32, len: u32) -> u64 {
        let (ty, elem) = (TypeIndex(ty), ElemIndex(elem));
        object(ctx, (|| {
            gc::check_elem_range(ctx, elem, from, len)?;
            let array = gc::allocate(ctx, ty, len, (*(*ctx).store).fiber.stack_top)?;
            gc::array_init_elem(ctx, array, elem, 0, from, len)?;
            Ok(array)
        })())
    }

    fn array_init_data(ctx: *mut VmContext, array: NonNull<VmObject>, data: u32, to: u32, from: u32, len: u32) -> u32 {
        done(ctx, gc::array_init_data(ctx, array, DataIndex(data), to, from, len))
    }

    fn array_init_elem(ctx: *mut VmContext, array: NonNull<VmObject>, elem: u32, to: u32, from: u32, len: u32) -> u32 {
        done(ctx, gc::array_init_elem(ctx, array, ElemIndex(elem), to, from, len))
    }
}

/// What [`entry::safepoint`] does with all registers saved: [`OK`] or [`STOPPED`].
///
/// # Safety
/// `vm` is the record of the store that machine code runs for, whose stack pointer is given.
pub(crate) unsafe extern "sysv64" fn safepoint(vm: *mut VmStore, stack_pointer: usize, frame: usize) -> u32 {
    // SAFETY: passed on.
    unsafe { answer(vm, stack_pointer, frame, runtime::Afterwards::GoesOn) }
}

/// As [`safepoint`], where what has brought us here is tried again afterwards.
///
/// # Safety
/// As [`safepoint`].
pub(crate) unsafe extern "sysv64" fn safepoint_in_loop(
    vm: *mut VmStore,
    stack_pointer: usize,
    frame: usize,
) -> u32 {
    // SAFETY: passed on.
    unsafe { answer(vm, stack_pointer, frame, runtime::Afterwards::TriesAgain) }
}

/// What [`entry::refuel`] does with all registers saved: [`OK`] or [`STOPPED`].
///
/// # Safety
/// As [`safepoint`].
pub(crate) unsafe extern "sysv64" fn refuel(vm: *mut VmStore, _stack_pointer: usize, _frame: usize) -> u32 {
    // SAFETY: as in `answer`; machine code has written there what it needs.
    unsafe {
        match runtime::refuel(vm, (*vm).fuel_needed) {
            Ok(()) => OK,
            Err(trap) => {
                (*vm).fiber.pending = Some(Pending::Trap(trap));
                STOPPED
            }
        }
    }
}

/// # Safety
/// As [`safepoint`].
unsafe fn answer(
    vm: *mut VmStore,
    stack_pointer: usize,
    frame: usize,
    afterwards: runtime::Afterwards,
) -> u32 {
    // SAFETY: `entry.rs`, alone in calling what calls this, passes r15, which is the store's record in all machine code, and its own stack pointer; a call has put its return
    // address below where the stack pointer was.
    unsafe {
        let pc = *(stack_pointer as *const usize).sub(1);
        let describe = |error: &mut innkeeper_engine::Error| {
            backtrace::append(error, pc, frame, backtrace::FramePosition::Return);
        };
        match runtime::native_safepoint(vm, stack_pointer, afterwards, describe) {
            Ok(()) => OK,
            Err(trap) => {
                (*vm).fiber.pending = Some(Pending::Trap(trap));
                STOPPED
            }
        }
    }
}

/// # Safety
/// As [`stop`].
unsafe fn woken(ctx: *mut VmContext, result: Result<u32, Trap>) -> u64 {
    match result {
        Ok(result) => u64::from(result),
        Err(trap) => {
            // SAFETY: libcalls pass the context that machine code gave them.
            unsafe { stop(ctx, trap) };
            u64::MAX
        }
    }
}

/// The segment of the machine code whose trampoline has the frame at `frame`.
///
/// # Safety
/// `frame` is the frame pointer of a trampoline that calls a libcall.
unsafe fn suspend(vm: *mut VmStore, frame: *const usize) -> ActivationSegment {
    // SAFETY: trampolines pass their own frame pointer (`trampoline.rs`, `leave`), and keep frame pointers: a frame begins with the caller's frame pointer and the
    // return address.
    let (caller, return_address) = unsafe { (*frame, *frame.add(1)) };
    let site = TrapSite {
        position: return_address as *const u64,
        frame: caller as *mut u64,
        ctx: std::ptr::null_mut(),
    };
    // SAFETY: the record is alive.
    let outer = unsafe { (*vm).fiber.segments };
    ActivationSegment { outer, site, describe: backtrace::describe, catches: unwind::catches }
}

/// Leaves a tail call for the interpreter in the record, with its arguments at the stack's top.
///
/// # Safety
/// `callee` is an entry of a guest function of `ctx`'s module, and `slots` has its arguments.
unsafe fn ask_for_tail_call(ctx: *mut VmContext, callee: *const FuncEntry, slots: *const u64) -> u32 {
    // SAFETY: translation passes the callee's context and entry (`Callee`), and slots of the frame that have the arguments (`return_call_from_loop`); room is
    // compared here.
    unsafe {
        let vm = (*ctx).store;
        let module = runtime::module(ctx);
        let func = DefinedFuncIndex(callee.offset_from((*ctx).entries) as u32);
        let ty = module.func_type(module.type_of_func(module.func_index(func)));
        let call_slots = ty.call_slots() as usize;
        let end = CallFrame::new((*vm).fiber.stack_top, call_slots).header_end();
        if end > (*vm).stack_limit.load(std::sync::atomic::Ordering::Relaxed)
            && let Err(trap) = runtime::safepoint(vm, end, |_| {})
        {
            return stop(ctx, trap);
        }
        (*vm).fiber.stack_top.copy_from_nonoverlapping(slots, call_slots);
        (*vm).fiber.tail_call = TailCall { entry: callee, ctx, call_slots };
        TAIL_CALL
    }
}
