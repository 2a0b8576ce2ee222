//! The component model for the Innkeeper host: decoding, types, plans, linking, handles and the canonical ABI.
//!
//! A component is decoded and validated with everything nested in it ([`Component`]), which gives one flat list of steps; carrying it out in a store makes an
//! [`Instance`]. Calls go through the canonical ABI by one walk over types (`abi`), for the host and between guests. Names are those of the standard's
//! `definitions.py`.
//!
//! Architecture invariants: this crate knows no WASI and no tier. Core modules are validated once, as parts of their component. What has trapped is never
//! entered again.

// But in `precompiled`, which says what whoever loads machine code vouches for.
#![deny(unsafe_code)]

mod abi;
mod adapter;
mod call;
mod check;
mod component;
mod concurrent;
mod decode;
mod entry;
mod features;
mod func;
mod instance;
mod instantiate;
mod link;
mod linker;
mod making;
mod module_type;
mod names;
mod observe;
mod plan;
mod precompiled;
mod reentry;
mod resource;
mod state;
mod table;
mod trampoline;
mod trap;
mod typed;
mod types;
mod under_way;
mod val;
#[cfg(feature = "async")]
mod waiting;

pub use adapter::Walked;
pub use component::{Component, ImportItem, ImportItemKind};
pub use concurrent::{
    Accessor, FutureAny, FutureReader, FutureWriter, Stopped, StreamAny, StreamReader, StreamWriter, Turn,
    spawn,
};
#[cfg(feature = "async")]
pub use concurrent::{run_concurrent, run_to_end};
pub use features::{Feature, Features};
pub use func::Func;
/// What generated code names.
#[doc(hidden)]
pub use innkeeper_engine::{AsContextMut, Error};
#[cfg(feature = "bindgen")]
pub use innkeeper_macros::bindgen;
pub use innkeeper_macros::{ComponentType, Lift, Lower};
pub use instance::{Export, Instance};
pub use link::MissingImport;
pub use linker::{InstancePre, Linker, LinkerInstance};
pub use names::NameMap;
pub use observe::{
    Compound, HostCallName, HostCallObserver, ObservedCall, Part, ValueVisitor, observe_host_calls,
};
pub use resource::{ResourceAny, ResourceType};
pub use trap::{ResourceOwner, Trap};
#[cfg(feature = "async")]
pub use typed::Answering;
pub use typed::{
    Borrowed, BorrowedAny, ComponentType, FutureOf, GivenHandles, GuestBorrowed, GuestResource, Lent, Lift,
    LiftContext, LiftOwned, Lower, LowerContext, ParamList, Resource, ResourceTable, Running, Shape, Slots,
    SlotsMut, StreamOf, TypedFunc, WitType, WitTypes,
};
pub use types::{FuncType, Type, TypeKind, TypeResource};
pub use val::{List, Val};
