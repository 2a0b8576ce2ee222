//! Innkeeper: a WASI host to embed.
//!
//! A guest is a [`Module`] that is instantiated into a [`Store`] through a [`Linker`], and holds only the keys that the store's data
//! gives it. The names and shapes are those that Rust users know from other hosts.
//!
//! ```
//! use innkeeper::{Linker, Module, Store};
//!
//! let engine = innkeeper::engine(innkeeper::Config::default());
//! let module = Module::new(&engine, innkeeper::to_binary(br#"
//!     (module (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))
//! "#)?.as_ref())?;
//! let mut store = Store::new(&engine, ())?;
//! let instance = Linker::new(&engine).instantiate(&mut store, &module)?;
//! let add = instance.get_typed_func::<(i32, i32), i32>(&mut store, "add")?;
//! assert_eq!(add.call(&mut store, (2, 3))?, 5);
//! # Ok::<(), innkeeper::Error>(())
//! ```
//!
//! With the feature `async`, calls are futures for any executor ([`Func::call_async`], [`Linker::func_wrap_async`]): a guest that waits holds no thread, be it for a
//! function of yours or in WASI.
#![cfg_attr(feature = "async", doc = include_str!("waiting.md"))]
//!
//! Architecture invariant: this crate alone picks tiers, and alone promises stability.

#![deny(unsafe_code)]

mod cache;
#[cfg(feature = "wat")]
mod text;
mod tiers;

pub use cache::{
    Cache, CacheContents, CacheDirectory, CacheError, CacheSeal, CacheSealError, Precompiled,
    PrecompiledError, Progress, fill_cache, fill_cache_with_called, precompile,
};
#[cfg(feature = "async")]
pub use innkeeper_engine::ResourceLimiterAsync;
pub use innkeeper_engine::index::FuncIndex;
pub use innkeeper_engine::{
    AnyKind, AnyRef, AsContext, AsContextMut, Backtrace, Budget, BudgetKind, ByteCount, Caller, Charge,
    Collection, Compilation, CompileStatistics, CompositeType, Config, Disassembly, Engine, Error, ErrorKind,
    Exceeded, ExnRef, ExportType, Extern, ExternRef, ExternType, Feature, Features, FieldType, Finality,
    FrameInfo, FrameTier, Func, FuncType, FunctionInfo, Global, GlobalType, HeapType, HostParams, ImportType,
    IndexType, Inlining, Instance, InstancePre, InterruptHandle, IntoFunc, IntoHostResult, Lacking,
    LentMemory, Limits, Linker, Memory, MemoryLayout, MemoryType, Metering, Module, Mutability, NanBits,
    NewCode, OmittedSamples, OutOfBounds, Pooling, Profile, RefType, ResourceLimiter, SharedMemory, Sharing,
    SizeRange, StorageType, Store, StoreBuilder, StoreContext, StoreContextMut, SubType, Table, TableType,
    Tag, TierUp, Trap, Tuning, TypeId, TypedFunc, Unrolling, Val, ValType, WakeOnStop, WasmParams,
    WasmResults, WasmType,
};
pub use innkeeper_wasi as wasi;
#[cfg(feature = "wat")]
pub use text::{message_in_text, text_memory_bytes, to_binary};
pub use tiers::{Tiers, engine_cached, engine_with, is_compiling, watch_code};

/// An engine with the default choice of tiers.
#[must_use]
pub fn engine(config: Config) -> Engine {
    engine_with(config, Tiers::default())
}
