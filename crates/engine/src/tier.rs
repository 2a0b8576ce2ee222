//! The whole contract between the engine and what executes guest code.
//!
//! The engine owns what things mean (memories, tables, traps, limits); a tier owns how instructions are executed. A tier sees
//! modules as validated bytes ([`ModuleParts`]), reaches state through [`VmContext`], and asks [`crate::vmctx::runtime`] for whatever is
//! not a plain read or write. It is told nothing about WASI.
//!
//! Architecture invariant: this file names no tier, and no tier names another.

use std::any::Any;

pub use crate::module::ModuleParts;
pub use crate::registry::TypeRecord;
pub use crate::vmctx::{
    FuncEntry, ObjectKind, Pending, TrapSite, VmContext, VmFunc, VmGlobal, VmMemory, VmObject, VmStore,
    VmTable, VmTag,
};
pub use crate::vmctx::{atomic, gc, runtime};

use crate::error::Error;

/// Executes guest code.
pub trait Tier: Send + Sync + 'static {
    /// Makes what the tier keeps for a module, before its first instance; must be cheap, whatever the module's size.
    fn prepare(&self, module: &ModuleParts) -> Box<dyn TierModule>;

    /// Calls a guest function. `slots` holds the parameters on entry and the results on return, and is `call_slots` long.
    ///
    /// # Errors
    /// [`Stopped`] where the function did not return.
    ///
    /// # Safety
    /// `func` is a guest function of the store whose record is `(*func.ctx).store`, the caller has exclusive use of
    /// that store until the call returns, and `slots` holds values of the function's parameter types.
    unsafe fn call(&self, func: &VmFunc, slots: &mut [u64]) -> Result<(), Stopped>;
}

/// What a tier keeps for a module; dropped with it.
pub trait TierModule: Any + Send + Sync {
    /// One entry for each function that the module defines, at an address that stays.
    fn entries(&self) -> *const FuncEntry;

    /// For the tier to find its own type again.
    fn as_any(&self) -> &dyn Any;
}

/// Why a guest function did not return.
pub enum Stopped {
    /// A trap or an error of the host, with the guest frames that were left.
    Error(Error),
    /// A host function panicked.
    Panic(Box<dyn Any + Send>),
}

/// What a module has before its tier has prepared it.
pub(crate) struct NoCode;

impl TierModule for NoCode {
    fn entries(&self) -> *const FuncEntry {
        std::ptr::null()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
