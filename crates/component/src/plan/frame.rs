//! A component instance that is being planned: its index spaces, and what may stand in them.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use wasmparser::ExternalKind;
use wasmparser::component_types::{ComponentCoreModuleTypeId, ComponentInstanceTypeId, ResourceId};

use super::imports::Path;
use super::{CoreDef, CoreInstanceDef, FuncNumber, ModuleDef, Options};
use crate::decode;
use crate::types::{FuncTypeIndex, Known, ResourceSlot};

/// A component instance that is being made: its index spaces.
#[derive(Default)]
pub(super) struct Frame {
    pub(super) number: u32,
    pub(super) core_funcs: Vec<CoreDef>,
    pub(super) core_tables: Vec<CoreDef>,
    pub(super) core_memories: Vec<CoreDef>,
    pub(super) core_globals: Vec<CoreDef>,
    pub(super) core_tags: Vec<CoreDef>,
    pub(super) core_instances: Vec<CoreInstanceDef>,
    pub(super) funcs: Vec<FuncUse>,
    pub(super) instances: Vec<InstanceDef>,
    /// What each resource type is that this instance knows, by the validator's name of it here.
    pub(super) resources: HashMap<ResourceId, ResourceSlot>,
    /// Types with handles of these.
    pub(super) known: Known,
    pub(super) exports: Vec<(Arc<str>, ItemDef)>,
    pub(super) env: EnvIndex,
}

/// Modules and components of a component that is being made, which those nested in it can name too. As they are numbered in the order of their definition, those that come later
/// do not matter to who was defined before.
#[derive(Clone, Copy, Default)]
pub(super) struct EnvIndex(pub(super) usize);

/// See [`EnvIndex`].
#[derive(Default)]
pub(super) struct Env {
    pub(super) modules: Vec<(ModuleDef, ComponentCoreModuleTypeId)>,
    pub(super) components: Vec<Option<ComponentDef>>,
    pub(super) outer: Option<EnvIndex>,
}

/// A component, with what it sees of those around it.
#[derive(Clone, Copy)]
pub(super) struct ComponentDef {
    pub(super) definition: usize,
    pub(super) env: EnvIndex,
}

#[derive(Clone, Copy)]
pub(super) struct FuncUse {
    pub(super) number: FuncNumber,
    /// Its type, as whoever made it knows it.
    pub(super) ty: FuncTypeIndex,
}

/// Something that a component can be instantiated with.
#[derive(Clone)]
pub(super) enum ItemDef {
    Module(ModuleDef, ComponentCoreModuleTypeId),
    Func(FuncUse),
    Instance(InstanceDef),
    /// None for one that is imported.
    Component(Option<ComponentDef>),
    /// A type, with its slot where it is a resource.
    Type(Option<ResourceSlot>),
}

#[derive(Clone)]
pub(super) enum InstanceDef {
    Exports(Rc<HashMap<Arc<str>, ItemDef>>, Rc<[Arc<str>]>),
    Imported { path: Rc<Path>, ty: ComponentInstanceTypeId, resources: Rc<Resources> },
}

/// Resource types of an imported instance, and of those in it.
#[derive(Default)]
pub(super) struct Resources {
    pub(super) own: HashMap<Arc<str>, ResourceSlot>,
    pub(super) inner: HashMap<Arc<str>, Rc<Resources>>,
}

/// Where a component finds what it imports.
pub(super) enum Args {
    /// Nowhere yet: it is the outermost.
    Imports,
    Items(HashMap<Arc<str>, ItemDef>),
}

impl Frame {
    pub(super) fn core(&mut self, kind: ExternalKind) -> &mut Vec<CoreDef> {
        match kind {
            ExternalKind::Func | ExternalKind::FuncExact => &mut self.core_funcs,
            ExternalKind::Table => &mut self.core_tables,
            ExternalKind::Memory => &mut self.core_memories,
            ExternalKind::Global => &mut self.core_globals,
            ExternalKind::Tag => &mut self.core_tags,
        }
    }

    pub(super) fn options(&self, options: &decode::Options) -> Options {
        let func = |index: Option<u32>| index.map(|index| self.core_funcs[index as usize].clone());
        Options {
            encoding: options.encoding,
            memory: options.memory.map(|memory| self.core_memories[memory as usize].clone()),
            realloc: func(options.realloc),
            post_return: func(options.post_return),
            callback: func(options.callback),
            is_async: options.is_async,
        }
    }
}
