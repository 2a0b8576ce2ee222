//! Tier 1 of the Innkeeper host: compiles functions to machine code with Cranelift.
//!
//! A function is translated from validated bytes ([`translate`]), compiled ([`compiler`]), put where it can be executed
//! ([`code_memory`]) and published through its entry. Compiled functions pass values in registers ([`abi`]); trampolines stand between them
//! and everybody else ([`trampoline`]). They run on a stack of the store's own, entered and left through a few lines of assembly ([`entry`]);
//! what they cannot do themselves they ask the engine for ([`libcall`]). Traps arrive as signals ([`signal`]).
//!
//! What has been compiled is kept from one run to the next ([`cache`]), and can be compiled [`ahead`] of the first.
//!
//! A function that cannot be compiled stays with the interpreter, which the code here knows by the engine's contract only.
//!
//! Architecture invariants: this crate knows no other tier and no WASI. What memories, tables and traps mean is the engine's business.
//! `unsafe` code lives in [`trampoline`], [`backtrace`], [`libcall`], `cache::mapping`, [`code_memory`], [`entry`], [`publish`], [`region`], [`signal`], [`trap`] and [`unwind`] only.

#![deny(unsafe_code)]
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

mod abi;
mod ahead;
mod allowance;
#[allow(unsafe_code, reason = "frames are walked by address")]
mod backtrace;
pub mod cache;
#[allow(unsafe_code, reason = "memory that is executed")]
mod code_memory;
mod compiler;
mod constants;
mod cost;
#[allow(unsafe_code, reason = "entering and leaving machine code")]
mod entry;
#[allow(unsafe_code, reason = "called by machine code")]
mod libcall;
mod module;
#[allow(unsafe_code, reason = "the contract has unsafe methods")]
mod publish;
mod queue;
mod region;
#[allow(unsafe_code, reason = "a signal handler")]
mod signal;
mod tables;
#[allow(unsafe_code, reason = "called by machine code")]
mod trampoline;
mod translate;
#[allow(unsafe_code, reason = "called by machine code")]
mod trap;
#[allow(unsafe_code, reason = "frames are walked by address")]
mod unwind;
mod watch;
mod worth;

use std::sync::{Arc, Mutex, OnceLock};

use cranelift_codegen::isa::TargetIsa;
use innkeeper_engine::tier::{ModuleParts, Serialized, can_reserve};
use innkeeper_engine::{CompileStatistics, Config, MemoryLayout, NanBits};

use compiler::Compiler;

use cache::kept::Kept;
use cache::key::{Key, Target};
use cache::{Cache, Precompiled, PrecompiledError};

pub use ahead::{Progress, Whole, compile_ahead, fill_cache, fill_cache_with_called};
pub use cache::kept::CacheLookup;
pub use compiler::is_compiling;
pub use module::NativeModule;
pub use watch::watch_code;

/// The compiler of an engine, with what its modules share.
#[derive(Clone)]
pub struct Jit(Arc<Shared>);

struct Shared {
    nan_bits: NanBits,
    /// Made when something is first compiled: most runs are over before.
    isa: OnceLock<Option<Arc<dyn TargetIsa>>>,
    trampolines: trampoline::Trampolines,
    statistics: Mutex<CompileStatistics>,
    queue: queue::Queue,
    cache: Cache,
}

impl Jit {
    /// A compiler for the processor that this process runs on. Where there turns out to be none, everything stays interpreted.
    #[must_use]
    pub fn new(nan_bits: NanBits, cache: Cache) -> Jit {
        signal::install();
        Jit(Arc::new(Shared {
            nan_bits,
            isa: OnceLock::new(),
            trampolines: trampoline::Trampolines::new(),
            statistics: Mutex::default(),
            queue: queue::Queue::new(),
            cache,
        }))
    }

    /// Decides what a configuration leaves open: whether code leaves bounds to the hardware, for all memories or for none.
    pub fn settle(config: &mut Config) {
        if config.tuning.memory_layout == MemoryLayout::Auto {
            // It is asked once, for an engine: later refusals are errors.
            let has_room = can_reserve();
            config.tuning.memory_layout = if has_room { MemoryLayout::Reserved } else { MemoryLayout::Exact };
        }
    }

    fn isa(&self) -> Option<&Arc<dyn TargetIsa>> {
        let make = || {
            let isa = compiler::isa(self.0.nan_bits);
            let has_handlers = signal::install();
            if isa.is_some() && !has_handlers {
                let reason = "everything: the system refuses handlers for the signals of machine code";
                module::lock(&self.0.statistics).refused.insert(reason.to_owned(), 1);
            }
            isa.filter(|_| has_handlers)
        };
        self.0.isa.get_or_init(make).as_ref()
    }

    /// What compiles for this processor.
    fn compiler(&self) -> Option<Compiler> {
        Some(Compiler::new(Arc::clone(self.isa()?)))
    }

    /// Sees to it that faults in machine code come to this crate before anybody else, whatever handlers of signals others have installed meanwhile: to be called before
    /// there is an instance whose code may fault. Costs next to nothing; looks only once in some milliseconds.
    pub fn before_instance(&self) {
        signal::install_again();
    }

    /// Where machine code jumps to call a guest function that is not compiled.
    #[must_use]
    pub fn guest_entry(&self) -> *const u8 {
        entry::bind_guest as *const u8
    }

    /// Where machine code jumps to call a function of the host.
    #[must_use]
    pub fn host_entry(&self) -> *const u8 {
        entry::bind_host as *const u8
    }

    /// What machine code finds as the record's `libcalls`.
    #[must_use]
    pub fn libcalls(&self) -> *const () {
        libcall::table()
    }

    /// What has been compiled, and what has not.
    #[must_use]
    pub fn compile_statistics(&self) -> CompileStatistics {
        module::lock(&self.0.statistics).clone()
    }

    /// What the cache has of a module or a component, for an engine with this configuration.
    #[must_use]
    pub fn cache_lookup(&self, config: &Config, bytes: &[u8]) -> CacheLookup {
        if self.0.cache.is_off() {
            return CacheLookup::default();
        }
        let Some(isa) = self.isa() else { return CacheLookup::default() };
        let key = Key::new(bytes, Target::new(&**isa, config));
        let saved = self.0.cache.find(&key);
        if saved.is_some() {
            module::lock(&self.0.statistics).known_valid += 1;
        }
        CacheLookup::of(Kept::new(key, saved, self.0.cache.shared_directory(), bytes.len()))
    }

    /// What [`compile_ahead`] has written, for an engine with this configuration: the module, and its code.
    ///
    /// # Errors
    /// As [`cache::Precompiled::open_trusted`].
    pub fn deserialize(
        &self,
        config: &Config,
        serialized: Serialized<'_>,
    ) -> Result<(Vec<u8>, CacheLookup), PrecompiledError> {
        let mut precompiled = match serialized {
            Serialized::Bytes(bytes) => Precompiled::of_trusted_bytes(bytes, config),
            Serialized::File(path) => Precompiled::open_trusted(path, config),
        }?;
        self.isa().ok_or(PrecompiledError::NoCompiler)?;
        let module = precompiled.take_module();
        let (key, code) = precompiled.into_code().ok_or(PrecompiledError::Damaged)?;
        let kept = Kept::new(key, Some(code), self.0.cache.shared_directory(), module.len());
        module::lock(&self.0.statistics).known_valid += 1;
        Ok((module, CacheLookup::of(kept)))
    }

    /// What is kept for a module. `lookup` is what [`Jit::cache_lookup`] said.
    #[must_use]
    pub fn module(&self, module: &Arc<ModuleParts>, lookup: CacheLookup) -> NativeModule {
        NativeModule::new(self.clone(), module, lookup)
    }
}

impl std::fmt::Debug for Jit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Jit").field("nan_bits", &self.0.nan_bits).finish_non_exhaustive()
    }
}
