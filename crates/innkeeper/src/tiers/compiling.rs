//! The interpreter and the compiler together.
//!
//! The interpreter is the tier that the engine calls; what is compiled takes the place of its code, function by function. Here the two, which do
//! not know each other, are put beside each other.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use innkeeper_engine::index::DefinedFuncIndex;
use innkeeper_engine::tier::{
    Baseline, HostCaller, Hot, ModuleParts, ModuleTiers, Preparation, Serialized, Tier, Verdict, VmFunc,
};
use innkeeper_engine::{CompileStatistics, Config, Engine, Error};
use innkeeper_interp::Interpreter;
use innkeeper_jit::cache::Cache;
use innkeeper_jit::{CacheLookup, Jit, NativeModule};

use super::Tiers;

/// An engine whose guests are compiled; the configuration comes back where that is not possible, or not wanted.
#[expect(clippy::result_large_err, reason = "the configuration is handed back, once an engine")]
pub(super) fn engine(mut config: Config, tiers: Tiers, cache: Cache) -> Result<Engine, Config> {
    if tiers == Tiers::Interpreter {
        return Err(config);
    }
    let jit = Jit::new(config.nan_bits, cache);
    Jit::settle(&mut config);
    Ok(Engine::with_tier(config, Compiling { jit, tiers }))
}

struct Compiling {
    jit: Jit,
    tiers: Tiers,
}

#[allow(unsafe_code, reason = "the contract has an unsafe method")]
// SAFETY: the entries are the compiler's.
unsafe impl Tier for Compiling {
    fn cache_lookup(&self, config: &Config, bytes: &[u8]) -> Box<dyn Preparation> {
        let lookup = self.jit.cache_lookup(config, bytes);
        Box::new(Prepared { jit: self.jit.clone(), tiers: self.tiers, lookup })
    }

    fn before_instance(&self) {
        self.jit.before_instance();
    }

    fn host_entry(&self) -> *const u8 {
        self.jit.host_entry()
    }

    unsafe fn deserialize(
        &self,
        config: &Config,
        serialized: Serialized<'_>,
    ) -> Result<(Vec<u8>, Box<dyn Preparation>), Error> {
        let (module, lookup) = self.jit.deserialize(config, serialized).map_err(Error::precompiled)?;
        Ok((module, Box::new(Prepared { jit: self.jit.clone(), tiers: self.tiers, lookup })))
    }

    fn compile_statistics(&self) -> CompileStatistics {
        self.jit.compile_statistics()
    }

    fn libcalls(&self) -> *const () {
        self.jit.libcalls()
    }

    unsafe fn call(&self, func: &VmFunc, slots: &mut [u64]) -> bool {
        // SAFETY: the same contract.
        unsafe { Interpreter.call(func, slots) }
    }

    unsafe fn describe_caller(&self, caller: HostCaller, error: &mut Error) {
        // SAFETY: the same contract.
        unsafe {
            match caller {
                HostCaller::Interpreter(_) => Interpreter.describe_caller(caller, error),
                HostCaller::MachineCode { pc, frame } => self.jit.describe_caller(pc, frame, error),
            }
        }
    }
}

/// A module that is about to be decoded, with what the cache has of it.
struct Prepared {
    jit: Jit,
    tiers: Tiers,
    lookup: CacheLookup,
}

#[allow(unsafe_code, reason = "the contract is unsafe to fulfil")]
// SAFETY: what the cache has was validated by the same build, for which the cache or the file vouches.
unsafe impl Preparation for Prepared {
    fn verdict(&self) -> Verdict {
        self.lookup.verdict()
    }

    fn part(&self, number: u32, generated: Option<&[u8]>) -> Box<dyn Preparation> {
        let lookup = self.lookup.part(number, generated);
        Box::new(Prepared { jit: self.jit.clone(), tiers: self.tiers, lookup })
    }

    fn prepare(self: Box<Self>, parts: &Arc<ModuleParts>) -> ModuleTiers {
        let baseline = Interpreter::prepare_beside(parts, self.jit.guest_entry());
        let native = self.jit.module(parts, self.lookup);
        if self.tiers == Tiers::Compiled {
            compile_all(&native, &*baseline, parts);
        }
        ModuleTiers { baseline, compiler: Some(Box::new(native)) }
    }
}

/// Compiles every function, on all processors.
fn compile_all(native: &NativeModule, baseline: &dyn Baseline, parts: &ModuleParts) {
    let next = AtomicUsize::new(0);
    let work = || {
        loop {
            let func = next.fetch_add(1, Ordering::Relaxed);
            if func >= parts.defined_func_count() {
                return;
            }
            compile(native, baseline, parts, DefinedFuncIndex(func as u32));
        }
    };
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let helpers = processors.min(parts.defined_func_count()).saturating_sub(1);
    std::thread::scope(|scope| {
        for _ in 0..helpers {
            // Where there can be no thread, the others do its share.
            let _ = std::thread::Builder::new().spawn_scoped(scope, work);
        }
        work();
    });
}

fn compile(native: &NativeModule, baseline: &dyn Baseline, parts: &ModuleParts, func: DefinedFuncIndex) {
    let cached = native.cached_of(parts, func);
    if let Some(code) = cached.or_else(|| native.compile(parts, func)) {
        let call_slots = parts.func_type(parts.type_of_func(parts.func_index(func))).call_slots();
        // SAFETY: compiled, or cached, as this function of this module, whose type says how many slots there are; `native`, which lives as long as the module,
        // keeps the code.
        #[allow(unsafe_code, reason = "the contract has an unsafe method")]
        unsafe {
            baseline.publish(&Hot::Function(func), call_slots, code);
        }
    }
}
