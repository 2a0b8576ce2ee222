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
pub(crate) mod call;
pub mod gc;
pub(crate) mod global;
pub(crate) mod host;
pub(crate) mod instance;
pub(crate) mod memory;
pub(crate) mod object;
pub(crate) mod record;
pub mod runtime;
pub(crate) mod shared_memory;
pub(crate) mod table;
pub(crate) mod tag;

use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use crate::composite::TypeId;
use crate::error::Error;
use crate::registry::TypeRecord;
use crate::store::StoreCore;
use crate::trap::Trap;

pub(crate) use host::HostFunc;
pub(crate) use instance::InstanceEntity;
pub(crate) use memory::LinearMemory;
pub use object::{ObjectKind, VmObject};

/// One per instance: where everything is that its code can reach.
#[repr(C)]
pub struct VmContext {
    /// The record of the store that the instance lives in.
    pub store: *mut VmStore,
    /// The instance's first memory; an empty one if it has none.
    pub memory0: *mut VmMemory,
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
    /// The engine's own record of the instance, for [`runtime`].
    pub(crate) instance: *mut InstanceEntity,
}

/// One per store: what an activation of guest code needs to know.
#[repr(C)]
pub struct VmStore {
    /// The first slot of the guest's stack.
    pub stack_base: *mut u64,
    /// Frames must end at or below this address. Null while somebody asks for attention: then every check fails, and
    /// [`runtime::attend`] says what it is about.
    pub stack_limit: AtomicPtr<u64>,
    /// Fuel that is left, where the engine's configuration meters it.
    pub fuel: u64,
    /// Where the next activation's first frame starts.
    pub stack_top: *mut u64,
    /// Where a trap happened: the tier's own position, frame and instance, for the backtrace.
    pub trap_site: TrapSite,
    /// The error that ended a host call, until the activation has been left.
    pub pending: Option<Pending>,
    /// For the tier: registers it must leave in memory between instructions.
    pub scratch: [u64; 8],
    /// The `StoreInner<T>` that the current call borrows; null between calls.
    pub(crate) owner: *mut (),
    /// The part of it that does not depend on `T`.
    pub(crate) core: *mut StoreCore,
    /// Calls from host into guest that are under way.
    pub(crate) nesting: u32,
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
    pub len_bytes: AtomicUsize,
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
    /// Where callers jump; null for a function of the host.
    pub entry: *const FuncEntry,
    /// The instance that the function belongs to; null for a function of the host.
    pub ctx: *mut VmContext,
    /// The function of the host; null for a guest's.
    pub(crate) host: *const HostFunc,
    /// The function's type.
    pub signature: TypeId,
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
}

impl VmFunc {
    /// Whether the function is the host's.
    #[inline(always)]
    #[must_use]
    pub fn is_host(&self) -> bool {
        !self.host.is_null()
    }
}

impl TrapSite {
    pub(crate) const NONE: TrapSite =
        TrapSite { position: std::ptr::null(), frame: std::ptr::null_mut(), ctx: std::ptr::null_mut() };
}
