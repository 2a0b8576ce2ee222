//! From bytes to definitions: what a component says it is made of, item by item, in the validator's terms.
//!
//! Must stay true: everything here has been validated, so that what is at an index is what is wanted there. What instantiating comes to is worked out
//! from this by `plan`.

mod canonical;
mod section;

use std::sync::Arc;

use innkeeper_engine as core;
use innkeeper_engine::{Engine, Error, Nest, Visit};
use wasmparser::component_types::{
    ComponentAnyTypeId, ComponentCoreModuleTypeId, ComponentDefinedTypeId, ComponentFuncTypeId,
    ComponentInstanceTypeId, ComponentValType, ResourceId,
};
use wasmparser::{ExternalKind, Payload, WasmFeatures};

use section::Builder;

use crate::concurrent::Builtin;

/// A component with all those nested in it.
pub(crate) struct Decoded {
    pub(crate) nest: Nest,
    /// The outermost is the first.
    pub(crate) definitions: Vec<Definition>,
}

/// One component as it is written down.
#[derive(Default)]
pub(crate) struct Definition {
    pub(crate) items: Vec<Item>,
}

/// What is defined, imported or exported, in order. Indices are those of the component's index spaces.
pub(crate) enum Item {
    Import {
        name: Arc<str>,
        ty: ItemType,
    },
    /// A module by its number in the nest.
    Module {
        number: usize,
        ty: ComponentCoreModuleTypeId,
    },
    CoreInstantiate {
        module: u32,
        args: Box<[(Arc<str>, u32)]>,
    },
    CoreExports(Box<[(Arc<str>, ExternalKind, u32)]>),
    CoreAlias {
        kind: ExternalKind,
        instance: u32,
        name: Arc<str>,
    },
    OuterModule {
        count: u32,
        index: u32,
    },
    OuterComponent {
        count: u32,
        index: u32,
    },
    /// A nested component by its number.
    Component(usize),
    Instantiate {
        component: u32,
        args: Box<[(Arc<str>, ItemRef)]>,
        ty: ComponentInstanceTypeId,
    },
    Exports {
        exports: Box<[(Arc<str>, ItemRef)]>,
        ty: ComponentInstanceTypeId,
    },
    Alias {
        instance: u32,
        name: Arc<str>,
    },
    Resource {
        id: ResourceId,
        dtor: Option<u32>,
    },
    Lift {
        func: u32,
        ty: ComponentFuncTypeId,
        options: Options,
    },
    /// A core function made by the host, of this type.
    CoreFunc {
        ty: core::FuncType,
        canonical: Canonical,
    },
    Export {
        name: Arc<str>,
        item: ItemRef,
        ty: ItemType,
    },
}

/// Something of an index space.
#[derive(Clone, Copy)]
pub(crate) enum ItemRef {
    Module(u32),
    Func(u32),
    Instance(u32),
    Component(u32),
    Type(ComponentAnyTypeId),
    Value,
}

/// The type of something that is imported or exported.
#[derive(Clone, Copy)]
pub(crate) enum ItemType {
    Module(ComponentCoreModuleTypeId),
    Func(ComponentFuncTypeId),
    Instance(ComponentInstanceTypeId),
    Component,
    Type(ComponentAnyTypeId),
    Value,
}

/// How strings are encoded in a memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Encoding {
    #[default]
    Utf8,
    Utf16,
    /// One byte a character where all are of Latin-1, else UTF-16; the length says which.
    Latin1OrUtf16,
}

/// The options of a canonical definition.
#[derive(Clone, Default)]
pub(crate) struct Options {
    pub(crate) encoding: Encoding,
    pub(crate) memory: Option<u32>,
    pub(crate) realloc: Option<u32>,
    pub(crate) post_return: Option<u32>,
    pub(crate) callback: Option<u32>,
    pub(crate) is_async: bool,
}

/// What makes a core function.
pub(crate) enum Canonical {
    Lower {
        func: u32,
        ty: ComponentFuncTypeId,
        options: Options,
    },
    ResourceNew(ResourceId),
    ResourceDrop(ResourceId),
    ResourceRep(ResourceId),
    ContextGet(u32),
    ContextSet(u32),
    BackpressureInc,
    BackpressureDec,
    TaskReturn {
        result: Option<ComponentValType>,
        options: Options,
    },
    /// One of those around tasks.
    Concurrent {
        builtin: Builtin,
        /// The type of the stream or future that it works on.
        ty: Option<ComponentDefinedTypeId>,
        options: Options,
        /// The table that it takes functions from.
        table: Option<u32>,
    },
    /// Defined by the standard, and not built yet.
    Missing(&'static str),
}

impl Decoded {
    pub(crate) fn new(engine: &Engine, bytes: Vec<u8>, features: WasmFeatures) -> Result<Decoded, Error> {
        Decoded::by(|visit| Nest::new(engine, bytes, features, visit))
    }

    /// What `read` reads and validates, with the visitor that it is given.
    pub(crate) fn by(read: impl FnOnce(&mut Visit<'_>) -> Result<Nest, Error>) -> Result<Decoded, Error> {
        let mut builder = Builder::default();
        let nest = read(&mut |payload: &Payload<'_>, types| builder.payload(payload, types))?;
        Ok(Decoded { nest, definitions: builder.finish() })
    }
}
