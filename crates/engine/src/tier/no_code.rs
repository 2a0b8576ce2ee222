//! Tiers' parts that execute nothing: what a module has before its tier has prepared it, and a tier for models of what stands around code.

use std::sync::Arc;

use super::contract::{
    Baseline, CallSeen, Called, Code, CompileStatistics, HostCaller, Hot, ModuleTiers, NativeCode,
    Preparation, Tier, Verdict,
};
use crate::config::Config;
use crate::error::Error;
use crate::index::DefinedFuncIndex;
use crate::module::ModuleParts;
use crate::vmctx::{FuncEntry, VmContext, VmFunc};

/// What a module has before its tier has prepared it, and where nobody executes it.
pub struct NoCode;

// SAFETY: it has no entries and no code. Modules are anybody's only when it has been replaced, but for those of models that execute none.
unsafe impl Code for NoCode {
    fn entries(&self) -> *const FuncEntry {
        std::ptr::null()
    }

    unsafe fn call_within(&self, _: *const FuncEntry, _: *mut VmContext, _: *mut u64) -> bool {
        false
    }
}

impl Baseline for NoCode {
    unsafe fn publish(&self, _: &Hot, _: u32, _: NativeCode) {}

    fn uses_since_hot(&self, _: &Hot) -> u64 {
        0
    }

    fn cool(&self, _: &Hot) {}

    fn called(&self) -> Vec<Called> {
        Vec::new()
    }

    fn was_called(&self, _: DefinedFuncIndex) -> bool {
        false
    }

    fn calls_seen(&self, _: &ModuleParts, _: DefinedFuncIndex) -> Vec<CallSeen> {
        Vec::new()
    }
}

/// A tier that executes nothing, whose modules have the baseline that it makes.
#[derive(Clone, Copy)]
pub struct NoTier(fn() -> Box<dyn Baseline>);

impl NoTier {
    /// One whose modules have what `baseline` makes.
    ///
    /// # Safety
    /// No function of its modules is called.
    #[must_use]
    pub unsafe fn new(baseline: fn() -> Box<dyn Baseline>) -> NoTier {
        NoTier(baseline)
    }
}

// SAFETY: there is no machine code.
unsafe impl Tier for NoTier {
    fn cache_lookup(&self, _: &Config, _: &[u8]) -> Box<dyn Preparation> {
        Box::new(*self)
    }

    fn host_entry(&self) -> *const u8 {
        std::ptr::null()
    }

    fn libcalls(&self) -> *const () {
        std::ptr::null()
    }

    fn compile_statistics(&self) -> CompileStatistics {
        CompileStatistics::default()
    }

    unsafe fn call(&self, _: &VmFunc, _: &mut [u64]) -> bool {
        true
    }

    unsafe fn describe_caller(&self, _: HostCaller, _: &mut Error) {}
}

// SAFETY: it knows of no module that it is valid.
unsafe impl Preparation for NoTier {
    fn verdict(&self) -> Verdict {
        Verdict::Unknown
    }

    fn part(&self, _: u32, _: Option<&[u8]>) -> Box<dyn Preparation> {
        Box::new(*self)
    }

    fn prepare(self: Box<Self>, _: &Arc<ModuleParts>) -> ModuleTiers {
        ModuleTiers { baseline: (self.0)(), compiler: None }
    }
}
