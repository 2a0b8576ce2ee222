//! Core WebAssembly for the Innkeeper host: decoding and validation, stores, instances, memories, tables, traps and limits.
//!
//! Architecture invariants: this crate knows no tier and no WASI; [`tier`] is the whole contract that a tier fulfils. What a
//! memory, table, trap or limit *means* is written once, here.
//!
//! `unsafe` code lives only in `sys` (address space), `fiber` (stacks, and the switch between them) and `vmctx` (records shared with executing code).

#![deny(unsafe_code)]

mod arena;
#[cfg(feature = "async")]
mod async_limiter;
mod attachment;
mod budget;
mod byte_count;
mod caller;
mod composite;
mod config;
mod core_dump;
mod deadline;
#[cfg(feature = "dwarf")]
mod dwarf;
mod engine;
mod error;
mod evaluate;
mod extern_;
mod features;
#[allow(unsafe_code, reason = "stacks, and the switch between them")]
mod fiber;
pub mod fork;
mod fuel;
mod func;
mod host_panics;
pub mod index;
mod instance;
mod instance_pre;
mod known_places;
mod limiter;
mod limits;
mod linker;
mod memory_pool;
mod module;
pub mod nan;
pub mod numeric;
pub mod opcode;
mod out_of_bounds;
mod parking;
mod pool;
mod pooling;
mod portions;
mod processor_time;
mod profile;
mod reference;
mod registry;
#[allow(unsafe_code, reason = "it works on the records that executing code sees")]
pub mod runtime;
mod shared_memory;
pub mod simd;
mod store;
mod store_builder;
mod store_context;
pub mod sync;
#[allow(unsafe_code, reason = "address space")]
mod sys;
pub mod thread;
#[allow(unsafe_code, reason = "the contract has an unsafe method")]
pub mod tier;
#[cfg(feature = "async")]
mod time_slice;
pub mod timer;
mod trap;
mod tuning;
#[cfg(feature = "async")]
mod turns;
mod types;
mod value;
mod vmctx;
mod waiting;
pub mod waking;

#[cfg(feature = "async")]
pub use async_limiter::ResourceLimiterAsync;
pub use attachment::{Globals, StoreParts};
pub use budget::{Budget, BudgetKind, Charge, Exceeded};
pub use byte_count::ByteCount;
pub use caller::{Caller, LentMemory};
pub use composite::{CompositeType, FieldType, Finality, StorageType, SubType, TypeId, TypeNumber};
pub use config::{Config, Metering};
pub use engine::{Engine, TextTranslator};
pub use error::{Context, Error, ErrorKind, Result};
pub use extern_::{Extern, Global, Memory, Table, Tag};
pub use features::{Feature, Features};
pub use func::{
    Func, HostParams, IntoFunc, IntoHostResult, NumberTypes, NumbersType, TypedFunc, WasmParams, WasmResults,
    WasmType,
};
pub use instance::Instance;
pub use instance_pre::InstancePre;
pub use limiter::ResourceLimiter;
pub use limits::Limits;
pub use linker::Linker;
pub use module::{ExportType, FunctionInfo, ImportType, Module};
#[cfg(feature = "component")]
pub use module::{Nest, Visit};
pub use nan::NanBits;
pub use out_of_bounds::OutOfBounds;
pub use pooling::Pooling;
#[cfg(feature = "async")]
pub use processor_time::ProcessorTimeCounter;
pub use profile::{OmittedSamples, Profile};
pub use reference::{
    AnyKind, AnyRef, ArrayRef, DefinedType, EqRef, ExnRef, ExternRef, I31, OwnedRooted, Reference, RootScope,
    StructRef,
};
#[cfg(feature = "fibers")]
pub use runtime::fibers::{FiberEnd, FiberId, HostEnding};
pub use runtime::plain::{Plain, is_ascii, numbers_in, text_in};
pub use store::{AsContext, AsContextMut, Store, StoreContext, StoreContextMut};
pub use store_builder::StoreBuilder;
pub use tier::{CompileStatistics, Disassembly, Lacking, NewCode};
pub use trap::{Backtrace, FrameInfo, FrameTier, SourceFrame, Trap};
pub use tuning::{Adapters, Collection, Compilation, Inlining, MemoryLayout, TierUp, Tuning, Unrolling};
pub use types::*;
pub use value::Val;
pub use vmctx::record::{InterruptHandle, WakeOnStop};
pub use vmctx::shared_memory::{SharedMemory, WaitResult};
