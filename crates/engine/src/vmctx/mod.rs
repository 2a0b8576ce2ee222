//! The records that executing code sees: their layout, and who owns them.
//!
//! Everything here is `repr(C)`: tiers, and later machine code, know these layouts and nothing else. Each record is
//! allocated once, at an address that never changes while its store lives, and is reached through raw pointers, because guest code and host
//! code take turns on it. Owners ([`LinearMemory`], [`Table`](table::TableEntity), ...) give the rest of the engine a safe face.
//!
//! Must stay true: a record is freed only when its store is dropped; guest code runs only inside a call that holds the store
//! exclusively, so that no two threads touch a record at once. The exception are shared memories, whose record belongs to all its
//! users and is read and written atomically; what guests write into them races, by the standard's own design.

#![allow(unsafe_code, reason = "this is the room for it; see the module's documentation")]

pub mod atomic;
pub(crate) mod fiber;
pub mod frame;
pub(crate) mod global;
pub(crate) mod host_stack;
pub(crate) mod memory;
pub(crate) mod object;
pub(crate) mod polled;
pub(crate) mod record;
pub(crate) mod shared_memory;
pub(crate) mod table;
pub(crate) mod tag;

use std::sync::atomic::Ordering;

use crate::composite::TypeNumber;
use crate::error::Error;
use crate::registry::TypeRecord;
use crate::sync::atomic::{AtomicPtr, AtomicU32, AtomicUsize};
use crate::trap::Trap;

pub use fiber::{NATIVE_HEADROOM_BYTES, VmFiber};
pub(crate) use memory::LinearMemory;
pub use object::{ObjectKind, VmObject};
pub use polled::POLL_BEFORE_RECORD_BYTES;

/// One per instance: where everything is that its code can reach. Behind it lie the globals that the module defines, see
/// [`VmContext::own_global_offset_bytes`], and then how its imported functions are called, see [`VmContext::import_offset_bytes`].
#[repr(C, align(16))]
pub struct VmContext {
    /// The record of the store that the instance lives in.
    pub store: *mut VmStore,
    /// Back-edges to loops' headers until one of the loops is looked at: whether it is hot (see [`crate::TierUp`]), and whether somebody
    /// requests a safepoint. The tier counts down.
    pub countdown: u32,
    /// The instance's first memory; an empty one if it has none.
    pub memory0: *mut VmMemory,
    /// Its first byte when the instance was made, which a memory that is laid out with guard regions keeps.
    pub memory0_base: *mut u8,
    /// The first table; null if there is none.
    pub table0: *mut VmTable,
    /// Entries of the functions that the module defines, by [`crate::index::DefinedFuncIndex`]; shared by all its instances.
    pub entries: *const FuncEntry,
    /// Imported functions, by [`crate::index::FuncIndex`].
    pub imported_funcs: *const *const VmFunc,
    /// Memories, by [`crate::index::MemoryIndex`].
    pub memories: *const *mut VmMemory,
    /// Tables, by [`crate::index::TableIndex`].
    pub tables: *const *mut VmTable,
    /// Globals, by [`crate::index::GlobalIndex`].
    pub globals: *const *mut VmGlobal,
    /// Tags, by [`crate::index::TagIndex`].
    pub tags: *const *mut VmTag,
    /// Identities of the module's types, by [`crate::index::TypeIndex`].
    pub type_numbers: *const TypeNumber,
    /// The engine's own record of the instance, for [`runtime`].
    pub(crate) instance: *mut (),
}

impl VmContext {
    /// Bytes from a context to a global that its module defines, counted from the first of those.
    #[must_use]
    pub const fn own_global_offset_bytes(i: usize) -> usize {
        size_of::<VmContext>() + i * size_of::<VmGlobal>()
    }

    /// Bytes from a context to the [`VmImport`] of a function, whose module defines so many globals.
    #[must_use]
    pub const fn import_offset_bytes(own_globals: usize, func: usize) -> usize {
        VmContext::own_global_offset_bytes(own_globals) + func * size_of::<VmImport>()
    }
}

/// How an imported function is called, of which nothing changes: what its record says, where no other record must be read.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct VmImport {
    /// The function's context; of a function of the host, which has none and wants to know who calls, that of the instance.
    pub ctx: *mut VmContext,
    /// The function's entry.
    pub entry: *const FuncEntry,
}

/// One per store: what an activation of guest code needs to know.
#[repr(C)]
pub struct VmStore {
    /// Frames must end at or below this address. Null while somebody requests a safepoint: then every check fails, and
    /// [`crate::runtime::safepoint`] says what it is about.
    pub stack_limit: AtomicPtr<u64>,
    /// Machine code's stack pointer must not be below this address. All ones while somebody requests a safepoint, as with `stack_limit`.
    pub native_limit: AtomicUsize,
    /// What machine code calls: a table of the compiling tier's.
    pub libcalls: *const (),
    /// Fuel that is at hand, where the engine's configuration meters it. Whoever needs more than that asks [`crate::runtime::refuel`].
    pub fuel: u64,
    /// What instances' countdowns start from.
    pub countdown_from: u32,
    /// Calls from host into guest that are under way.
    pub(crate) nesting: u32,
    /// The `StoreInner<T>` that the current call borrows; null between calls.
    pub(crate) owner: *mut (),
    /// The part of it that does not depend on `T`.
    pub(crate) core: *mut (),
    /// The execution that is under way, or was last.
    pub fiber: VmFiber,
    /// For the tier: registers it must leave in memory between instructions.
    pub scratch: [u64; 8],
    /// For the compiling tier: how much fuel its code needs that asks for more.
    pub fuel_needed: u64,
    /// The fuel that is left beside what is at hand.
    pub(crate) fuel_reserve: u64,
    /// How much fuel is put at hand at once: after so much a guest lets others have their turn.
    pub(crate) fuel_portion: u64,
}

impl VmStore {
    /// The record of a store that nobody has called into, whose loops look at the count of their rounds every so many.
    pub(crate) fn new(fiber: VmFiber, libcalls: *const (), countdown_from: u32) -> VmStore {
        VmStore {
            stack_limit: AtomicPtr::new(fiber.slots_limit),
            native_limit: AtomicUsize::new(usize::MAX),
            libcalls,
            fuel: 0,
            countdown_from,
            nesting: 0,
            owner: std::ptr::null_mut(),
            core: std::ptr::null_mut(),
            fiber,
            scratch: [0; 8],
            fuel_needed: 0,
            fuel_reserve: 0,
            fuel_portion: u64::MAX,
        }
    }
}

/// A place in machine code, and its frame.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub struct NativeSite {
    /// The instruction's address.
    pub pc: usize,
    /// The frame pointer.
    pub frame: usize,
    /// The address whose access faulted; 0 where something else has happened.
    pub fault: usize,
}

/// Where machine code catches an exception, and the frame there.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub struct NativeHandler {
    /// The handler's address.
    pub pc: usize,
    /// The frame pointer.
    pub frame: usize,
    /// The stack pointer.
    pub stack_pointer: usize,
}

/// A tail call that leaves machine code: its arguments lie at the store's `stack_top`.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct TailCall {
    /// The callee.
    pub entry: *const FuncEntry,
    /// The callee's instance.
    pub ctx: *mut VmContext,
    /// Slots that the callee's parameters and results share.
    pub call_slots: usize,
}

/// What a tier has suspended while another one runs on its behalf: a run of frames. Segments of an activation form a list, innermost
/// first; they are records on the host's stack.
#[repr(C)]
pub struct ActivationSegment {
    /// The segment below.
    pub outer: *const ActivationSegment,
    /// The innermost frame of the run: the tier's own notion of a place.
    pub site: TrapSite,
    /// Appends the run's frames to an error's backtrace, innermost first.
    pub describe: unsafe fn(&ActivationSegment, &mut Error),
    /// Whether one of the frames catches an exception; a trap where the search is interrupted: it polls (see [`crate::runtime::heed_stop_in`]) at each frame.
    pub catches: unsafe fn(&ActivationSegment, vm: *mut VmStore, exception: u64) -> Result<bool, Trap>,
}

/// Where execution was when it stopped.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct TrapSite {
    /// The tier's position in its code.
    pub position: *const u64,
    /// The frame.
    pub frame: *mut u64,
    /// The instance whose code was executing.
    pub ctx: *mut VmContext,
}

/// Why an activation is being left before its function returned.
pub enum Pending {
    /// The guest trapped.
    Trap(Trap),
    /// A host function, or the engine on the guest's behalf, failed.
    Error(Error),
    /// The guest threw an exception: a reference to it. Handlers are looked for frame by frame.
    Exception(u64),
    /// A host function panicked; the panic goes on once the guest's frames are left.
    Panic(Box<dyn std::any::Any + Send>),
}

/// A linear memory as code sees it. That of a shared memory is seen by several stores at once: its base never changes, and its length
/// only grows.
#[repr(C)]
pub struct VmMemory {
    /// The first byte.
    pub base: *mut u8,
    /// Bytes in use; at the same place as a `usize` would be.
    pub len_bytes: std::sync::atomic::AtomicUsize,
}

impl VmMemory {
    /// Bytes in use.
    #[inline(always)]
    #[must_use]
    pub fn len_bytes(&self) -> usize {
        self.len_bytes.load(Ordering::Acquire)
    }
}

/// A table as code sees it. An element is a pointer to a [`VmFunc`] or the number of a host object; 0 is null.
#[repr(C)]
pub struct VmTable {
    /// The first element.
    pub elements: *mut u64,
    /// Elements in use.
    pub len: u64,
}

/// The value of a global: one slot, or two for a vector.
#[repr(C, align(16))]
pub struct VmGlobal {
    /// The value's slots.
    pub slots: [u64; 2],
}

/// A tag of exceptions; its address is its identity.
#[repr(C)]
pub struct VmTag {
    /// The type, whose parameters are an exception's values.
    pub ty: *const TypeRecord,
    /// Slots of an exception's values.
    pub param_slots: u32,
}

/// What a function reference points to.
#[repr(C)]
pub struct VmFunc {
    /// Where callers jump; a [`HostEntry`] for a function of the host.
    pub entry: *const FuncEntry,
    /// The instance that the function belongs to; null for a function of the host.
    pub ctx: *mut VmContext,
    /// The function of the host; null for a guest's.
    pub(crate) host: *const (),
    /// The function's type.
    pub signature: TypeNumber,
    /// The function's type, for subtyping.
    pub ty: *const TypeRecord,
    /// Slots that its parameters and results share.
    pub call_slots: u32,
}

/// Where callers of a function jump: replaced, atomically, when a tier has something better.
#[repr(C)]
pub struct FuncEntry {
    /// The tier's code, null until the function is first called.
    pub code: AtomicPtr<u64>,
    /// Where machine code jumps: the compiled function, or what calls it in another tier. Null where no tier compiles.
    pub native: AtomicPtr<u8>,
    /// Calls until the function counts as hot.
    pub calls_left: AtomicU32,
}

impl FuncEntry {
    /// An entry of a function that was never called.
    #[must_use]
    pub fn new(native: *const u8, calls_left: u32) -> FuncEntry {
        FuncEntry {
            code: AtomicPtr::new(std::ptr::null_mut()),
            native: AtomicPtr::new(native.cast_mut()),
            calls_left: AtomicU32::new(calls_left),
        }
    }

    /// Lets machine code call through `trampoline` what it has called through `stub` so far, unless something better has come meanwhile.
    pub fn bind(&self, stub: *const u8, trampoline: *const u8) {
        let (stub, trampoline) = (stub.cast_mut(), trampoline.cast_mut());
        let _ = self.native.compare_exchange(stub, trampoline, Ordering::Release, Ordering::Relaxed);
    }

    /// Lets callers jump to machine code from now on: to `code` where interpreted code goes on, and to `native` from machine code.
    pub fn publish(&self, code: *const u64, native: *const u8) {
        // Machine code first: whoever finds the other may be about to call the function from there. A store would do, as `bind` comes wholly before it or
        // fails; that an exchange has its place in the order is something that the model checker knows too.
        self.native.swap(native.cast_mut(), Ordering::AcqRel);
        self.code.store(code.cast_mut(), Ordering::Release);
    }
}

/// The entry of a function of the host.
#[repr(C)]
pub struct HostEntry {
    /// What all functions have.
    pub entry: FuncEntry,
    /// The function's record.
    pub func: *const VmFunc,
    /// What calls it, once the host's stack is in use.
    pub(crate) call: HostCall,
    /// For that: the function's code.
    pub(crate) code: *const (),
    /// Slots that its parameters and results share.
    pub(crate) call_slots: usize,
}

/// Calls a function of the host, given the caller's context, or null where that is the host itself, the function's entry, its slots and the record of the store.
/// Tells how the call has ended, by the numbers of [`crate::runtime`]; it does not unwind.
///
/// # Safety
/// The record is of a store that this call has exclusive use of, the function is one of it, and the context is null or of an instance of it. The slots are exclusive and as
/// many as the function's type asks; the store's `stack_top` lies beyond them, or they are not on its stack.
#[cfg(target_arch = "x86_64")]
pub(crate) type HostCall = unsafe extern "sysv64" fn(
    ctx: *mut VmContext,
    entry: *const HostEntry,
    slots: *mut u64,
    vm: *mut VmStore,
) -> u32;
#[cfg(not(target_arch = "x86_64"))]
pub(crate) type HostCall = unsafe extern "C" fn(
    ctx: *mut VmContext,
    entry: *const HostEntry,
    slots: *mut u64,
    vm: *mut VmStore,
) -> u32;

impl VmFunc {
    /// Whether the function is the host's.
    #[inline(always)]
    #[must_use]
    pub fn is_host(&self) -> bool {
        !self.host.is_null()
    }
}

impl TrapSite {
    /// No place.
    pub const NONE: TrapSite =
        TrapSite { position: std::ptr::null(), frame: std::ptr::null_mut(), ctx: std::ptr::null_mut() };
}
