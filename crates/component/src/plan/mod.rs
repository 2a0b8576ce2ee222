//! What instantiating a component comes to: one flat list of steps for the whole nest.
//!
//! Which component is instantiated with what is known before there is any store, so that nesting, aliases and re-exports are gone here: what is left is modules to
//! instantiate, functions to make, and where each finds what it needs. Component instances are numbers, that of the outermost being 0.
//!
//! Must stay true: a step needs only what steps before it have made, since a component's items are in the order of their definition.

mod cost;
mod exports;
mod frame;
mod imports;
mod inline;

use std::collections::HashMap;
use std::sync::Arc;

use innkeeper_engine as core;
use innkeeper_engine::{Budget, Charge, Error};

pub(crate) use cost::PlanCosts;

use crate::concurrent::Builtin;
use crate::decode::{Decoded, Encoding};
use crate::features::{Feature, Features};
use crate::module_type::ModuleType;
use crate::names::NameMap;
use crate::types::{FuncTypeIndex, ResourceSlot, TypeIndex, TypeTable};

/// A component instance of the nest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct InstanceNumber(pub(crate) u32);

macro_rules! numbers {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub(crate) struct $name(pub(crate) u32);

        impl $name {
            pub(crate) fn index(self) -> usize {
                self.0 as usize
            }
        }
    )*};
}

numbers! {
    /// An instance of a module of the nest.
    CoreInstanceNumber;
    /// A core function that the host makes.
    TrampolineNumber;
    /// A function of the nest, lifted or imported.
    FuncNumber;
    /// What the outermost component imports, or a part of an instance that it imports.
    ImportNumber;
}

/// See the module's documentation.
pub(crate) struct Plan {
    pub(crate) types: Arc<TypeTable>,
    pub(crate) steps: Vec<Step>,
    pub(crate) trampolines: Vec<Trampoline>,
    pub(crate) funcs: Vec<FuncDef>,
    /// By slot.
    pub(crate) resources: Vec<ResourceDef>,
    pub(crate) imports: Vec<Import>,
    /// Of modules that are imported.
    pub(crate) module_types: Vec<ModuleType>,
    pub(crate) exports: Exports,
    /// The component instance that each is nested in; none for the first.
    pub(crate) parents: Vec<Option<InstanceNumber>>,
    pub(crate) core_instances: u32,
    /// Whether instances of it may call those that they are nested in, and that are nested in them.
    pub(crate) may_call_relatives: bool,
    /// The names of what is imported, with those that nothing is used of.
    pub(crate) import_names: Vec<Arc<str>>,
}

/// A thing to make.
pub(crate) enum Step {
    /// Instantiates a module; it becomes the next instance of one.
    Module {
        module: ModuleDef,
        args: ModuleArgs,
    },
    Trampoline(TrampolineNumber),
    Func(FuncNumber),
    Resource(ResourceSlot),
}

/// A module.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ModuleDef {
    /// One of the nest.
    Own(usize),
    Imported(ImportNumber),
}

/// What a module is instantiated with.
pub(crate) enum ModuleArgs {
    /// In the order of its imports.
    InOrder(Box<[CoreDef]>),
    /// By the names of its imports, where the module is not known before.
    ByName(Box<[(Arc<str>, CoreInstanceDef)]>),
}

/// An instance of a module, or what stands for one.
#[derive(Clone)]
pub(crate) enum CoreInstanceDef {
    Instance(CoreInstanceNumber),
    Exports(Arc<HashMap<Arc<str>, CoreDef>>),
}

/// Something that a module can import.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum CoreDef {
    Export(CoreInstanceNumber, Arc<str>),
    Trampoline(TrampolineNumber),
}

impl CoreInstanceDef {
    pub(crate) fn export(&self, name: &Arc<str>) -> Option<CoreDef> {
        match self {
            CoreInstanceDef::Instance(number) => Some(CoreDef::Export(*number, Arc::clone(name))),
            CoreInstanceDef::Exports(exports) => exports.get(name).cloned(),
        }
    }
}

/// Options of a canonical definition, with what they stand for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Options {
    pub(crate) encoding: Encoding,
    pub(crate) memory: Option<CoreDef>,
    pub(crate) realloc: Option<CoreDef>,
    pub(crate) post_return: Option<CoreDef>,
    pub(crate) callback: Option<CoreDef>,
    pub(crate) is_async: bool,
}

/// A core function that the host makes for a component instance.
pub(crate) struct Trampoline {
    pub(crate) instance: InstanceNumber,
    pub(crate) ty: core::FuncType,
    pub(crate) kind: TrampolineKind,
}

/// What such a function does.
pub(crate) enum TrampolineKind {
    Lower {
        func: FuncNumber,
        ty: FuncTypeIndex,
        options: Options,
    },
    ResourceNew(ResourceSlot),
    ResourceDrop(ResourceSlot),
    ResourceRep(ResourceSlot),
    ContextGet(u32),
    ContextSet(u32),
    BackpressureInc,
    BackpressureDec,
    TaskReturn {
        result: Option<TypeIndex>,
        options: Options,
    },
    /// The type is that of the stream or future.
    Concurrent {
        builtin: Builtin,
        ty: Option<TypeIndex>,
        options: Options,
        table: Option<CoreDef>,
    },
    Missing(&'static str),
}

/// A function of a component.
pub(crate) enum FuncDef {
    Imported(ImportNumber),
    Lifted(Lifted),
}

/// A core function, lifted.
#[derive(PartialEq, Eq, Hash)]
pub(crate) struct Lifted {
    pub(crate) core: CoreDef,
    pub(crate) ty: FuncTypeIndex,
    pub(crate) options: Options,
    pub(crate) instance: InstanceNumber,
}

/// A resource type.
pub(crate) enum ResourceDef {
    Imported(ImportNumber),
    Own { instance: InstanceNumber, dtor: Option<CoreDef> },
}

/// What the outermost component imports, or a part of an instance that it imports.
pub(crate) struct Import {
    /// The import's name, then those of exports.
    pub(crate) path: Arc<[Arc<str>]>,
    pub(crate) kind: ImportKind,
    /// Whether there must be something. A resource type of which there are no handles may be missing.
    pub(crate) is_needed: bool,
}

/// What kind of thing is imported.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ImportKind {
    Func(FuncTypeIndex),
    /// Of which of the plan's module types.
    Module(usize),
    Resource,
    Component,
}

impl Import {
    /// As it is written in messages: `package/interface#function`.
    pub(crate) fn written(&self) -> String {
        self.path.join("#")
    }
}

/// What an instance exports.
#[derive(Default)]
pub(crate) struct Exports {
    pub(crate) items: Vec<(Arc<str>, ExportDef)>,
    by_name: NameMap<usize>,
}

/// Something that is exported.
pub(crate) enum ExportDef {
    Func(FuncNumber, FuncTypeIndex),
    Instance(Exports),
    Module(ModuleDef),
    Resource(ResourceSlot),
    /// A type that is no resource, of which nothing is left.
    Type,
    Component,
}

impl Exports {
    fn push(&mut self, name: &Arc<str>, item: ExportDef) {
        self.by_name.insert(name, self.items.len());
        self.items.push((Arc::clone(name), item));
    }

    /// What is exported under a name, or that of a compatible version.
    pub(crate) fn get(&self, name: &str) -> Option<&ExportDef> {
        self.by_name.get(name).map(|index| &self.items[*index].1)
    }
}

impl Plan {
    /// Gives also what the plan takes, which is charged to the budget.
    pub(crate) fn new(
        decoded: &Decoded,
        features: Features,
        budget: &Budget,
    ) -> Result<(Plan, Charge), Error> {
        let may_call_relatives = features.contains(Feature::CallsToRelatives);
        let (plan, charge) = inline::plan(decoded, budget)?;
        Ok((Plan { may_call_relatives, ..plan }, charge))
    }
}

impl Exports {
    /// All functions, with those of instances inside.
    pub(crate) fn add_funcs(
        &self,
        (prefix, types): (&str, &Arc<TypeTable>),
        found: &mut Vec<(String, crate::types::FuncType)>,
    ) {
        for (name, item) in &self.items {
            match item {
                ExportDef::Func(_, ty) => {
                    found.push((format!("{prefix}{name}"), crate::types::FuncType::new(types, *ty)));
                }
                ExportDef::Instance(inner) => inner.add_funcs((&format!("{prefix}{name}#"), types), found),
                _ => {}
            }
        }
    }

    /// Calls resource types by the names under which they are exported.
    fn name_resources(&self, types: &mut TypeTable) {
        for (name, item) in &self.items {
            match item {
                ExportDef::Resource(slot) => types.name_resource(*slot, name),
                ExportDef::Instance(inner) => inner.name_resources(types),
                _ => {}
            }
        }
    }

    /// The resource type that a path of names leads to.
    pub(crate) fn resource(&self, path: &str) -> Option<ResourceSlot> {
        match path.split_once('#') {
            Some((instance, rest)) => match self.get(instance)? {
                ExportDef::Instance(inner) => inner.resource(rest),
                _ => None,
            },
            None => match self.get(path)? {
                ExportDef::Resource(slot) => Some(*slot),
                _ => None,
            },
        }
    }
}
