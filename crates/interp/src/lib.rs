//! Tier 0 of the Innkeeper host: an interpreter of register code.
//!
//! A function is lowered on its first call, from validated bytes to three-address code over the slots of a frame
//! ([`lower`]), and executed by one handler per operation, each of which jumps to the next ([`op`], [`machine`]). Code belongs to the module and is shared by
//! all its instances; everything of an instance is reached through its `VmContext`.
//!
//! Architecture invariants: this crate knows no other tier and no WASI. What memories, tables and traps mean is the engine's
//! business; the semantics of numeric instructions come from the engine's opcode table. `unsafe` code lives in [`machine`], [`op`],
//! [`activation`], [`backtrace`] and [`unwind`] only.

#![deny(unsafe_code)]

#[allow(unsafe_code, reason = "entering and leaving guest frames")]
mod activation;
#[allow(unsafe_code, reason = "frames are walked by address")]
mod backtrace;
mod call_profile;
mod code;
mod lower;
#[allow(unsafe_code, reason = "the interpreter's registers are addresses")]
mod machine;
#[allow(unsafe_code, reason = "handlers read and write through the machine's registers")]
mod op;
#[allow(unsafe_code, reason = "frames are walked by address")]
mod unwind;

use std::sync::Arc;

use innkeeper_engine::tier::{
    Baseline, FramePosition, HostCaller, ModuleParts, ModuleTiers, Preparation, Tier, Verdict, VmFunc,
};
use innkeeper_engine::{CompileStatistics, Config, Error};

/// The interpreter as a tier of an engine.
#[derive(Clone, Copy, Debug, Default)]
pub struct Interpreter;

impl Interpreter {
    /// What the interpreter keeps for a module beside a tier that compiles, whose machine code jumps to `native` to call functions that it has
    /// not compiled.
    #[must_use]
    pub fn prepare_beside(module: &ModuleParts, native: *const u8) -> Box<dyn Baseline> {
        let tier_up = &module.engine().config().tuning.tier_up;
        Box::new(code::ModuleCode::new(module.defined_func_count(), native, tier_up))
    }
}

#[allow(unsafe_code, reason = "the contract has an unsafe method")]
// SAFETY: it makes no machine code.
unsafe impl Tier for Interpreter {
    fn cache_lookup(&self, _: &Config, _: &[u8]) -> Box<dyn Preparation> {
        Box::new(Interpreter)
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

    unsafe fn call(&self, func: &VmFunc, slots: &mut [u64]) -> bool {
        // SAFETY: the same contract.
        unsafe { activation::run(func, slots) }
    }

    unsafe fn describe_caller(&self, caller: HostCaller, error: &mut Error) {
        if let HostCaller::Interpreter(site) = caller {
            // SAFETY: the same contract; the place is that of the instruction that has called.
            unsafe { backtrace::append(error, site, FramePosition::Instruction) };
        }
    }
}

#[allow(unsafe_code, reason = "the contract is unsafe to fulfil")]
// SAFETY: it has no cache, and so knows of no module that it is valid.
unsafe impl Preparation for Interpreter {
    fn verdict(&self) -> Verdict {
        Verdict::Unknown
    }

    fn part(&self, _: u32, _: Option<&[u8]>) -> Box<dyn Preparation> {
        Box::new(Interpreter)
    }

    fn prepare(self: Box<Self>, module: &Arc<ModuleParts>) -> ModuleTiers {
        ModuleTiers { baseline: Interpreter::prepare_beside(module, std::ptr::null()), compiler: None }
    }
}
