//! The interpreter and the compiler together.
//!
//! The interpreter is the tier that the engine calls; what is compiled takes the place of its code, function by function. Here the two, which do
//! not know each other, are put beside each other.

use std::any::Any;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use innkeeper_engine::index::DefinedFuncIndex;
use innkeeper_engine::tier::{
    CacheLookup, CallSeen, FuncEntry, Hot, Lacking, ModuleParts, NativeCode, Stopped, Tier, TierModule,
    VmContext, VmFunc,
};
use innkeeper_engine::{Compilation, CompileStatistics, Config, Disassembly, Engine};
use innkeeper_interp::Interpreter;
use innkeeper_jit::cache::Cache;
use innkeeper_jit::{Jit, NativeModule};

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

/// What both keep for a module.
struct Module {
    interpreted: Box<dyn TierModule>,
    native: NativeModule,
    module: Weak<ModuleParts>,
    compilation: Compilation,
}

#[allow(unsafe_code, reason = "the contract has an unsafe method")]
// SAFETY: what the cache has was validated by the same build, for which the cache or the file vouches; the entries are the compiler's.
unsafe impl Tier for Compiling {
    fn cache_lookup(&self, config: &Config, bytes: &[u8]) -> CacheLookup {
        self.jit.cache_lookup(config, bytes)
    }

    fn prepare(&self, parts: &Arc<ModuleParts>, lookup: CacheLookup) -> Box<dyn TierModule> {
        let interpreted = Interpreter::prepare_beside(parts, self.jit.guest_entry());
        let module = Module {
            interpreted,
            native: self.jit.module(parts, lookup),
            module: Arc::downgrade(parts),
            compilation: parts.engine().config().tuning.tier_up.compilation,
        };
        if self.tiers == Tiers::Compiled {
            module.compile_all(parts);
        }
        Box::new(module)
    }

    fn host_entry(&self) -> *const u8 {
        self.jit.host_entry()
    }

    fn compile_statistics(&self) -> CompileStatistics {
        self.jit.compile_statistics()
    }

    fn libcalls(&self) -> *const () {
        self.jit.libcalls()
    }

    unsafe fn call(&self, func: &VmFunc, slots: &mut [u64]) -> Result<(), Stopped> {
        // SAFETY: the same contract.
        unsafe { Interpreter.call(func, slots) }
    }
}

impl Module {
    /// Compiles every function, on all processors.
    fn compile_all(&self, parts: &ModuleParts) {
        let next = AtomicUsize::new(0);
        let work = || {
            loop {
                let func = next.fetch_add(1, Ordering::Relaxed);
                if func >= parts.defined_func_count() {
                    return;
                }
                self.compile(parts, DefinedFuncIndex(func as u32));
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

    fn compile(&self, parts: &ModuleParts, func: DefinedFuncIndex) {
        let cached = self.native.cached(parts, func);
        if let Some(code) = cached.or_else(|| self.native.compile(parts, func)) {
            let call_slots = parts.func_type(parts.type_of_func(parts.func_index(func))).call_slots();
            // SAFETY: compiled, or cached, as this function of this module, whose type says how many slots there are; the code is kept in `native`.
            #[allow(unsafe_code, reason = "the contract has an unsafe method")]
            unsafe {
                self.interpreted.publish(func, call_slots, code);
            }
        }
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        self.write_cache();
    }
}

#[allow(unsafe_code, reason = "the contract has an unsafe method")]
// SAFETY: entries are the interpreter's; what is cached is what the compiler keeps for this module in `native`.
unsafe impl TierModule for Module {
    fn entries(&self) -> *const FuncEntry {
        self.interpreted.entries()
    }

    fn as_any(&self) -> &dyn Any {
        self.interpreted.as_any()
    }

    fn native(&self) -> Option<&dyn Any> {
        Some(&self.native)
    }

    unsafe fn call_within(&self, entry: *const FuncEntry, ctx: *mut VmContext, slots: *mut u64) -> bool {
        // SAFETY: the same contract.
        unsafe { self.interpreted.call_within(entry, ctx, slots) }
    }

    unsafe fn publish(&self, func: DefinedFuncIndex, call_slots: u32, code: NativeCode) {
        // SAFETY: the same contract.
        unsafe { self.interpreted.publish(func, call_slots, code) };
    }

    unsafe fn publish_loop(
        &self,
        func: DefinedFuncIndex,
        position: usize,
        call_slots: u32,
        code: NativeCode,
    ) {
        // SAFETY: the same contract.
        unsafe { self.interpreted.publish_loop(func, position, call_slots, code) };
    }

    fn explain(&self, module: &ModuleParts, func: DefinedFuncIndex) -> Option<Result<Disassembly, String>> {
        self.native.explain(module, func)
    }

    fn hot(&self, what: Hot) {
        self.native.hot(what, self.compilation);
    }

    fn cached(&self, func: DefinedFuncIndex) -> Option<NativeCode> {
        self.native.cached(&*self.module.upgrade()?, func)
    }

    fn was_called(&self, func: DefinedFuncIndex) -> bool {
        self.interpreted.was_called(func)
    }

    fn calls_seen(&self, module: &ModuleParts, func: DefinedFuncIndex) -> Vec<CallSeen> {
        self.interpreted.calls_seen(module, func)
    }

    fn write_cache(&self) -> Lacking {
        self.native.finish_cache(|| self.interpreted.called())
    }

    fn uses_since_hot(&self, what: &Hot) -> u64 {
        self.interpreted.uses_since_hot(what)
    }

    fn cool(&self, what: &Hot) {
        self.interpreted.cool(what);
    }
}
