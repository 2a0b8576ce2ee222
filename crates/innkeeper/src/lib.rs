//! Innkeeper: a WASI host to embed.
//!
//! A guest is a [`Module`] that is instantiated into a [`Store`] through a [`Linker`], and holds only the keys that the store's data
//! gives it. The names and shapes are those that Rust users know from other hosts.
//!
//! ```
//! use innkeeper::{Config, Engine, Linker, Module, Store};
//!
//! let engine = Engine::new(Config::default())?;
//! let module = Module::new(&engine, r#"
//!     (module (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))
//! "#)?;
//! let mut store = Store::new(&engine, ())?;
//! let instance = Linker::new(&engine).instantiate(&mut store, &module)?;
//! let add = instance.get_typed_func::<(i32, i32), i32>(&store, "add")?;
//! assert_eq!(add.call(&mut store, (2, 3))?, 5);
//! # Ok::<(), innkeeper::Error>(())
//! ```
//!
//! With the feature `async`, calls are futures for any executor (`Func::call_async`, `Linker::func_wrap_async`): a guest that waits holds no thread, be it for a
//! function of yours or in WASI.
#![cfg_attr(feature = "async", doc = include_str!("waiting.md"))]
#![cfg_attr(all(feature = "component", feature = "wat"), doc = include_str!("components.md"))]
//!
//! Architecture invariant: this crate alone picks tiers, and alone promises stability.

#![deny(unsafe_code, missing_docs)]

#[cfg(feature = "cache")]
mod cache;
#[cfg(feature = "wat")]
mod text;
mod tiers;

#[cfg(feature = "cache")]
pub use cache::{
    Cache, CacheContents, CacheDirectory, CacheError, CacheSeal, CacheSealError, Compilable, Precompiled,
    PrecompiledError, Progress, fill_cache, fill_cache_with_called, precompile,
};
#[cfg(feature = "component")]
pub use innkeeper_component as component;
#[cfg(feature = "async")]
pub use innkeeper_engine::ResourceLimiterAsync;
pub use innkeeper_engine::index::FuncIndex;
pub use innkeeper_engine::thread::spawn_for_host;
pub use innkeeper_engine::{
    Adapters, AnyKind, AnyRef, ArrayRef, AsContext, AsContextMut, Backtrace, Budget, BudgetKind, ByteCount,
    Caller, Charge, Collection, Compilation, CompileStatistics, CompositeType, Config, Context, DefinedType,
    Disassembly, Engine, EqRef, Error, ErrorKind, Exceeded, ExnRef, ExportType, Extern, ExternRef,
    ExternType, Feature, Features, FieldType, Finality, FrameInfo, FrameTier, Func, FuncType, FunctionInfo,
    Global, GlobalType, HeapType, HostParams, I31, ImportType, IndexType, Inlining, Instance, InstancePre,
    InterruptHandle, IntoFunc, IntoHostResult, Lacking, LentMemory, Limits, Linker, Memory, MemoryLayout,
    MemoryType, Metering, Module, Mutability, NanBits, NewCode, OmittedSamples, OutOfBounds, OwnedRooted,
    Pooling, Profile, RefType, Reference, ResourceLimiter, Result, RootScope, SharedMemory, Sharing,
    SizeRange, SourceFrame, StorageType, Store, StoreBuilder, StoreContext, StoreContextMut, StructRef,
    SubType, Table, TableType, Tag, TierUp, Trap, Tuning, TypeId, TypedFunc, Unrolling, Val, ValType,
    WaitResult, WakeOnStop, WasmParams, WasmResults, WasmType,
};
#[cfg(feature = "wasi")]
pub use innkeeper_wasi as wasi;
#[cfg(feature = "wat")]
pub use text::{message_in_text, text_memory_bytes, to_binary};
#[cfg(feature = "cache")]
pub use tiers::engine_cached;
pub use tiers::{Tiers, engine_with, is_compiling, watch_code};

/// The guest's functions that were active: that of an error, or of a function of the host that asks for it ([`Caller::backtrace`], [`Backtrace::capture`]).
pub type WasmBacktrace = Backtrace;

/// An engine with the default choice of tiers, as [`Engine::new`] makes it.
#[must_use]
pub fn engine(config: Config) -> Engine {
    engine_with(config, Tiers::default())
}
