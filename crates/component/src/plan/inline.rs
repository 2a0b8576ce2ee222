//! Works out the plan: walks the outermost component's items, and where one instantiates a component, that one's items in its place.
//!
//! Must stay true: a component of a few bytes may stand for any amount of work, so every item that is walked counts against [`MAX_STEPS`].

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use innkeeper_engine::{Error, ErrorKind};
use wasmparser::component_types::{
    ComponentAnyTypeId, ComponentFuncTypeId, ComponentInstanceTypeId, ResourceId,
};
use wasmparser::types::TypesRef;

use super::frame::{Args, ComponentDef, Env, Frame, FuncUse, InstanceDef, ItemDef};
use super::imports::Path;
use super::*;
use crate::decode::{Canonical, Definition, Item, ItemRef, ItemType};
use crate::types::Interner;

/// Items that are walked at most; what toolchains make has some thousands.
pub(super) const MAX_STEPS: usize = 200_000;

/// Components inside components that are instantiated: each takes some of the native stack.
pub(super) const MAX_DEPTH: usize = 100;

pub(super) fn plan(decoded: &Decoded) -> Result<Plan, Error> {
    let mut inliner = Inliner {
        types: decoded.nest.types(),
        definitions: &decoded.definitions,
        table: TypeTable::default(),
        plan: Plan {
            types: Arc::default(),
            steps: Vec::new(),
            trampolines: Vec::new(),
            funcs: Vec::new(),
            resources: Vec::new(),
            imports: Vec::new(),
            exports: Exports::default(),
            parents: Vec::new(),
            core_instances: 0,
            may_call_relatives: false,
            import_names: Vec::new(),
        },
        frames: Vec::new(),
        import_exports: HashMap::new(),
        used_resources: Vec::new(),
        steps: 0,
    };
    inliner.instantiate(0, Args::Imports, &Rc::default())?;
    let exports = std::mem::take(&mut inliner.frames[0].exports);
    inliner.plan.exports = inliner.exports(&exports, 0)?;
    for slot in inliner.used_resources {
        if let ResourceDef::Imported(import) = inliner.plan.resources[slot.0 as usize] {
            inliner.plan.imports[import.index()].is_needed = true;
        }
    }
    inliner.plan.exports.name_resources(&mut inliner.table);
    for (slot, resource) in inliner.plan.resources.iter().enumerate() {
        if let ResourceDef::Imported(import) = resource
            && let Some(name) = inliner.plan.imports[import.index()].path.last()
        {
            inliner.table.name_resource(ResourceSlot(slot as u32), name);
        }
    }
    inliner.plan.types = Arc::new(inliner.table);
    Ok(inliner.plan)
}

pub(super) struct Inliner<'a> {
    pub(super) types: TypesRef<'a>,
    definitions: &'a [Definition],
    table: TypeTable,
    pub(super) plan: Plan,
    /// Component instances that are being made, the outermost first. That one stays.
    pub(super) frames: Vec<Frame>,
    /// Parts of imported instances that were asked for before.
    pub(super) import_exports: HashMap<(usize, Arc<str>), ItemDef>,
    /// Resource types that there are handles of.
    used_resources: Vec<ResourceSlot>,
    steps: usize,
}

impl Inliner<'_> {
    pub(super) fn step(&mut self) -> Result<(), Error> {
        self.steps += 1;
        if self.steps > MAX_STEPS { Err(limit()) } else { Ok(()) }
    }

    fn instantiate(&mut self, definition: usize, args: Args, env: &Rc<Env>) -> Result<(), Error> {
        if self.frames.len() >= MAX_DEPTH {
            return Err(Error::limit(format!(
                "components are instantiated in each other more than {MAX_DEPTH} deep"
            )));
        }
        let parent = self.frames.last().map(|frame| InstanceNumber(frame.number));
        let number = self.plan.parents.len() as u32;
        self.plan.parents.push(parent);
        self.frames.push(Frame { number, env: Rc::clone(env), ..Frame::default() });
        let definitions = self.definitions;
        for item in &definitions[definition].items {
            self.step()?;
            self.item(item, &args)?;
        }
        Ok(())
    }

    pub(super) fn frame(&mut self) -> &mut Frame {
        let last = self.frames.len() - 1;
        &mut self.frames[last]
    }

    fn item(&mut self, item: &Item, args: &Args) -> Result<(), Error> {
        match item {
            Item::Import { name, ty } => {
                let item = match args {
                    Args::Imports => {
                        self.plan.import_names.push(Arc::clone(name));
                        self.imported(Path::new(None, name), *ty)?
                    }
                    Args::Items(items) => items.get(name).cloned().ok_or_else(unseen)?,
                };
                self.register(&item, *ty)?;
                self.add(item);
            }
            Item::Module { number, ty } => self.frame().modules.push((ModuleDef::Own(*number), *ty)),
            Item::CoreInstantiate { module, args } => self.core_instantiate(*module, args)?,
            Item::CoreExports(exports) => {
                let exports = exports.iter().map(|(name, kind, index)| {
                    (Arc::clone(name), self.frame().core(*kind)[*index as usize].clone())
                });
                let exports = exports.collect();
                self.frame().core_instances.push(CoreInstanceDef::Exports(exports));
            }
            Item::CoreAlias { kind, instance, name } => {
                let frame = self.frame();
                let item = frame.core_instances[*instance as usize].export(name).ok_or_else(unseen)?;
                frame.core(*kind).push(item);
            }
            Item::OuterModule { count, index } => {
                let module = match self.frame().outer(*count) {
                    None => self.frame().modules[*index as usize],
                    Some(env) => env.modules[*index as usize],
                };
                self.frame().modules.push(module);
            }
            Item::OuterComponent { count, index } => {
                let component = match self.frame().outer(*count) {
                    None => self.frame().components[*index as usize].clone(),
                    Some(env) => env.components[*index as usize].clone(),
                };
                self.frame().components.push(component);
            }
            Item::Component(definition) => {
                let env = match self.definitions[*definition].uses_outer {
                    true => self.frame().as_env(),
                    false => Rc::default(),
                };
                self.frame().components.push(Some(ComponentDef { definition: *definition, env }));
            }
            Item::Instantiate { component, args, ty } => self.nested(*component, args, *ty)?,
            Item::Exports { exports, ty } => {
                let items = exports.iter().map(|(name, item)| Ok((Arc::clone(name), self.get(*item)?)));
                let items = items.collect::<Result<Vec<_>, Error>>()?;
                self.add_instance(items, *ty)?;
            }
            Item::Alias { instance, name } => {
                let instance = self.frame().instances[*instance as usize].clone();
                let item = self.export_of(&instance, name)?;
                self.add(item);
            }
            Item::Resource { id, dtor } => {
                let frame = self.frame();
                let dtor = dtor.map(|dtor| frame.core_funcs[dtor as usize].clone());
                let instance = InstanceNumber(frame.number);
                let slot = ResourceSlot(self.plan.resources.len() as u32);
                self.plan.resources.push(ResourceDef::Own { instance, dtor });
                self.plan.steps.push(Step::Resource(slot));
                self.frame().resources.insert(*id, slot);
            }
            Item::Lift { func, ty, options } => {
                let ty = self.func_type(self.frames.len() - 1, *ty)?;
                let frame = self.frame();
                let lifted = Lifted {
                    core: frame.core_funcs[*func as usize].clone(),
                    ty,
                    options: frame.options(options),
                    instance: InstanceNumber(frame.number),
                };
                let number = FuncNumber(self.plan.funcs.len() as u32);
                self.plan.funcs.push(FuncDef::Lifted(lifted));
                self.plan.steps.push(Step::Func(number));
                self.frame().funcs.push(FuncUse { number, ty });
            }
            Item::CoreFunc { ty, canonical } => {
                let kind = self.trampoline(canonical)?;
                let number = TrampolineNumber(self.plan.trampolines.len() as u32);
                let instance = InstanceNumber(self.frame().number);
                self.plan.trampolines.push(Trampoline { instance, ty: ty.clone(), kind });
                self.plan.steps.push(Step::Trampoline(number));
                self.frame().core_funcs.push(CoreDef::Trampoline(number));
            }
            Item::Export { name, item, ty } => {
                let item = self.get(*item)?;
                self.register(&item, *ty)?;
                self.frame().exports.push((Arc::clone(name), item.clone()));
                self.add(item);
            }
        }
        Ok(())
    }

    fn trampoline(&mut self, canonical: &Canonical) -> Result<TrampolineKind, Error> {
        let innermost = self.frames.len() - 1;
        Ok(match canonical {
            Canonical::Lower { func, ty, options } => {
                let ty = self.func_type(innermost, *ty)?;
                let func = self.frame().funcs[*func as usize].number;
                TrampolineKind::Lower { func, ty, options: self.frame().options(options) }
            }
            Canonical::ResourceNew(id) => TrampolineKind::ResourceNew(self.resource(*id)?),
            Canonical::ResourceDrop(id) => TrampolineKind::ResourceDrop(self.resource(*id)?),
            Canonical::ResourceRep(id) => TrampolineKind::ResourceRep(self.resource(*id)?),
            Canonical::ContextGet(slot) => TrampolineKind::ContextGet(*slot),
            Canonical::ContextSet(slot) => TrampolineKind::ContextSet(*slot),
            Canonical::BackpressureInc => TrampolineKind::BackpressureInc,
            Canonical::BackpressureDec => TrampolineKind::BackpressureDec,
            Canonical::TaskReturn { result, options } => {
                let result = result.map(|ty| self.interner(innermost).value(ty)).transpose()?;
                TrampolineKind::TaskReturn { result, options: self.frame().options(options) }
            }
            Canonical::Missing(name) => TrampolineKind::Missing(name),
        })
    }

    fn resource(&mut self, id: ResourceId) -> Result<ResourceSlot, Error> {
        let slot = *self.frame().resources.get(&id).ok_or_else(unseen)?;
        self.used_resources.push(slot);
        Ok(slot)
    }

    fn interner(&mut self, frame: usize) -> Interner<'_> {
        let Frame { resources, known, .. } = &mut self.frames[frame];
        Interner {
            types: self.types,
            table: &mut self.table,
            resources,
            known,
            used: &mut self.used_resources,
        }
    }

    pub(super) fn func_type(
        &mut self,
        frame: usize,
        ty: ComponentFuncTypeId,
    ) -> Result<FuncTypeIndex, Error> {
        self.interner(frame).func(ty)
    }

    fn core_instantiate(&mut self, module: u32, args: &[(Arc<str>, u32)]) -> Result<(), Error> {
        let types = self.types;
        let frame = self.frame();
        let (module, ty) = frame.modules[module as usize];
        let given = |name: &str| {
            let (_, index) = args.iter().find(|(known, _)| **known == *name)?;
            Some(frame.core_instances[*index as usize].clone())
        };
        let args = match module {
            ModuleDef::Own(_) => {
                let imports = &types.get(ty).ok_or_else(unseen)?.imports;
                let imports = imports.keys().map(|(from, name)| given(from)?.export(name));
                ModuleArgs::InOrder(imports.collect::<Option<_>>().ok_or_else(unseen)?)
            }
            ModuleDef::Imported(_) => {
                let args = args
                    .iter()
                    .map(|(name, index)| (Arc::clone(name), frame.core_instances[*index as usize].clone()));
                ModuleArgs::ByName(args.collect())
            }
        };
        let number = CoreInstanceNumber(self.plan.core_instances);
        self.plan.core_instances += 1;
        self.plan.steps.push(Step::Module { module, args });
        self.frame().core_instances.push(CoreInstanceDef::Instance(number));
        Ok(())
    }

    /// Instantiates a component in the one that is being made.
    fn nested(
        &mut self,
        component: u32,
        args: &[(Arc<str>, ItemRef)],
        ty: ComponentInstanceTypeId,
    ) -> Result<(), Error> {
        let Some(component) = self.frame().components[component as usize].clone() else {
            return Err(Error::new(ErrorKind::Unsupported(
                "components that are imported, and instantiated by the component that imports them"
                    .to_owned(),
            )));
        };
        let args = args.iter().map(|(name, item)| Ok((Arc::clone(name), self.get(*item)?)));
        let args = args.collect::<Result<HashMap<_, _>, Error>>()?;
        self.instantiate(component.definition, Args::Items(args), &component.env)?;
        let exports = self.frames.pop().map(|frame| frame.exports).unwrap_or_default();
        self.add_instance(exports, ty)
    }

    fn add_instance(
        &mut self,
        items: Vec<(Arc<str>, ItemDef)>,
        ty: ComponentInstanceTypeId,
    ) -> Result<(), Error> {
        let names = items.iter().map(|(name, _)| Arc::clone(name)).collect();
        let instance = InstanceDef::Exports(Rc::new(items.into_iter().collect()), names);
        self.register(&ItemDef::Instance(instance.clone()), ItemType::Instance(ty))?;
        self.frame().instances.push(instance);
        Ok(())
    }

    fn get(&mut self, item: ItemRef) -> Result<ItemDef, Error> {
        let frame = self.frame();
        Ok(match item {
            ItemRef::Module(index) => {
                let (module, ty) = frame.modules[index as usize];
                ItemDef::Module(module, ty)
            }
            ItemRef::Func(index) => ItemDef::Func(frame.funcs[index as usize]),
            ItemRef::Instance(index) => ItemDef::Instance(frame.instances[index as usize].clone()),
            ItemRef::Component(index) => ItemDef::Component(frame.components[index as usize].clone()),
            ItemRef::Type(ComponentAnyTypeId::Resource(id)) => {
                ItemDef::Type(Some(*frame.resources.get(&id.resource()).ok_or_else(unseen)?))
            }
            ItemRef::Type(_) => ItemDef::Type(None),
            ItemRef::Value => return Err(unseen()),
        })
    }

    fn add(&mut self, item: ItemDef) {
        let frame = self.frame();
        match item {
            ItemDef::Module(module, ty) => frame.modules.push((module, ty)),
            ItemDef::Func(func) => frame.funcs.push(func),
            ItemDef::Instance(instance) => frame.instances.push(instance),
            ItemDef::Component(component) => frame.components.push(component),
            ItemDef::Type(_) => {}
        }
    }
}

/// Validation has seen that it is there.
pub(super) fn unseen() -> Error {
    Error::new(ErrorKind::Unsupported("a component that names what its validation has not seen".to_owned()))
}

pub(super) fn limit() -> Error {
    Error::limit(format!(
        "instantiating the component would take more than {MAX_STEPS} steps, the most that is planned"
    ))
}
