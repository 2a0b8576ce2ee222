//! The whole contract between the engine and what executes guest code.
//!
//! The engine owns what things mean (memories, tables, traps, limits); a tier owns how instructions are executed. A tier sees
//! modules as validated bytes ([`ModuleParts`]), reaches state through [`VmContext`], and asks [`crate::runtime`] for whatever is
//! not a plain read or write. It is told nothing about WASI.
//!
//! Architecture invariant: this file names no tier, and no tier names another.

mod contract;
mod no_code;

#[cfg(all(target_arch = "x86_64", unix, not(miri)))]
#[doc(hidden)]
pub use crate::fiber::switch::offsets as host_call;
pub use crate::fuel::FuelRuns;
pub use crate::known_places::KnownPlaces;
pub use crate::module::ModuleParts;
pub use crate::registry::TypeRecord;
pub use crate::runtime;
pub use crate::runtime::gc;
pub use crate::vmctx::memory::can_reserve;
pub use crate::vmctx::{
    ActivationSegment, FuncEntry, HostEntry, NATIVE_HEADROOM_BYTES, NativeHandler, NativeSite, ObjectKind,
    POLL_BEFORE_RECORD_BYTES, Pending, TailCall, TrapSite, VmContext, VmFiber, VmFunc, VmGlobal, VmImport,
    VmMemory, VmObject, VmStore, VmTable, VmTag,
};
pub use crate::vmctx::{atomic, frame};

pub use contract::*;
pub use no_code::{NoCode, NoTier};
