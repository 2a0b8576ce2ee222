//! Works out the plan: walks the outermost component's items, and where one instantiates a component, that one's items in its place.
//!
//! Must stay true: a component of a few bytes may stand for any amount of work, so whatever is walked is counted by what it costs ([`PlanCosts`]).

use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;

use innkeeper_engine::{Error, ErrorKind};
use wasmparser::component_types::{
    ComponentAnyTypeId, ComponentCoreModuleTypeId, ComponentFuncTypeId, ComponentInstanceTypeId,
    ComponentValType, ResourceId,
};
use wasmparser::types::TypesRef;

use super::cost::steps_of_name;
use super::frame::{Args, ComponentDef, Env, EnvIndex, Frame, FuncUse, InstanceDef, ItemDef};
use super::imports::Path;
use super::*;
use crate::decode::{Canonical, Definition, Item, ItemRef, ItemType};
use crate::types::{Interner, Known};

/// Components inside components that are instantiated: each takes some of the native stack.
pub(super) const MAX_DEPTH: usize = 100;

pub(super) fn plan(decoded: &Decoded, budget: &Budget) -> Result<(Plan, Charge), Error> {
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
            module_types: Vec::new(),
            exports: Exports::default(),
            parents: Vec::new(),
            core_instances: 0,
            may_call_relatives: false,
            import_names: Vec::new(),
        },
        frames: Vec::new(),
        envs: Vec::new(),
        import_exports: HashMap::new(),
        known: Known::default(),
        names: HashMap::new(),
        module_imports: HashMap::new(),
        used_resources: HashSet::new(),
        costs: PlanCosts::new(budget),
    };
    inliner.instantiate(0, Args::Imports, None)?;
    let exports = std::mem::take(&mut inliner.frames[0].exports);
    inliner.plan.exports = inliner.exports(&exports, (0, 0))?;
    for slot in inliner.used_resources.drain() {
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
    Ok((inliner.plan, inliner.costs.into_charge()))
}

pub(super) struct Inliner<'a> {
    pub(super) types: TypesRef<'a>,
    definitions: &'a [Definition],
    table: TypeTable,
    pub(super) plan: Plan,
    /// Component instances that are being made, the outermost first. That one stays.
    pub(super) frames: Vec<Frame>,
    /// Of all instances that were made.
    envs: Vec<Env>,
    /// Parts of imported instances that were asked for before.
    pub(super) import_exports: HashMap<(usize, Arc<str>), ItemDef>,
    /// Types that are the same in all instances.
    known: Known,
    /// Names of types' parts, each once.
    names: HashMap<&'a str, Arc<str>>,
    /// What modules of a type import.
    module_imports: HashMap<ComponentCoreModuleTypeId, Rc<ModuleImports>>,
    /// Resource types that there are handles of.
    used_resources: HashSet<ResourceSlot>,
    pub(super) costs: PlanCosts,
}

/// What a module imports: from where, and names.
struct ModuleImports {
    names: Box<[(Arc<str>, Arc<str>)]>,
    steps: usize,
}

/// Steps that an item is.
fn steps_of(item: &Item) -> usize {
    match item {
        Item::Import { name, .. }
        | Item::CoreAlias { name, .. }
        | Item::Alias { name, .. }
        | Item::Export { name, .. } => 1 + steps_of_name(name),
        Item::CoreInstantiate { args, .. } => {
            1 + args.iter().map(|(name, _)| steps_of_name(name)).sum::<usize>()
        }
        Item::CoreExports(exports) => 1 + exports.iter().map(|(name, ..)| steps_of_name(name)).sum::<usize>(),
        // They stand in a list and in a map.
        Item::Instantiate { args: named, .. } | Item::Exports { exports: named, .. } => {
            4 + 2 * named.iter().map(|(name, _)| steps_of_name(name)).sum::<usize>()
        }
        Item::Lift { .. } | Item::CoreFunc { .. } => 4,
        _ => 1,
    }
}

impl<'a> Inliner<'a> {
    /// A name of a type's part, shared.
    pub(super) fn name(&mut self, name: &'a str) -> Result<Arc<str>, Error> {
        self.costs.spend_on_name(name)?;
        Ok(Arc::clone(self.names.entry(name).or_insert_with(|| name.into())))
    }

    fn instantiate(&mut self, definition: usize, args: Args, outer: Option<EnvIndex>) -> Result<(), Error> {
        if self.frames.len() >= MAX_DEPTH {
            return Err(Error::limit(format!(
                "components are instantiated in each other more than {MAX_DEPTH} deep"
            )));
        }
        let parent = self.frames.last().map(|frame| InstanceNumber(frame.number));
        let number = self.plan.parents.len() as u32;
        self.plan.parents.push(parent);
        let env = EnvIndex(self.envs.len());
        self.envs.push(Env { outer, ..Env::default() });
        self.frames.push(Frame { number, env, ..Frame::default() });
        let definitions = self.definitions;
        for item in &definitions[definition].items {
            self.costs.spend(steps_of(item))?;
            self.item(item, &args)?;
        }
        Ok(())
    }

    pub(super) fn frame(&mut self) -> &mut Frame {
        let last = self.frames.len() - 1;
        &mut self.frames[last]
    }

    fn env(&mut self) -> &mut Env {
        let env = self.frame().env;
        &mut self.envs[env.0]
    }

    /// Modules and components that a component so many further out has, 0 being the one that is being made.
    fn outer(&mut self, count: u32) -> Result<&Env, Error> {
        let mut env = self.frame().env;
        for _ in 0..count {
            env = self.envs[env.0].outer.ok_or_else(unseen)?;
        }
        Ok(&self.envs[env.0])
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
            Item::Module { number, ty } => self.env().modules.push((ModuleDef::Own(*number), *ty)),
            Item::CoreInstantiate { module, args } => self.core_instantiate(*module, args)?,
            Item::CoreExports(exports) => {
                let exports = exports.iter().map(|(name, kind, index)| {
                    (Arc::clone(name), self.frame().core(*kind)[*index as usize].clone())
                });
                let exports: HashMap<_, _> = exports.collect();
                self.frame().core_instances.push(CoreInstanceDef::Exports(Arc::new(exports)));
            }
            Item::CoreAlias { kind, instance, name } => {
                let frame = self.frame();
                let item = frame.core_instances[*instance as usize].export(name).ok_or_else(unseen)?;
                frame.core(*kind).push(item);
            }
            Item::OuterModule { count, index } => {
                let module = self.outer(*count)?.modules[*index as usize];
                self.env().modules.push(module);
            }
            Item::OuterComponent { count, index } => {
                let component = self.outer(*count)?.components[*index as usize];
                self.env().components.push(component);
            }
            Item::Component(definition) => {
                let env = self.frame().env;
                self.env().components.push(Some(ComponentDef { definition: *definition, env }));
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
            Canonical::Concurrent { builtin, ty, options, table } => {
                let ty =
                    ty.map(|ty| self.interner(innermost).value(ComponentValType::Type(ty))).transpose()?;
                let frame = self.frame();
                let table = table.map(|table| frame.core_tables[table as usize].clone());
                TrampolineKind::Concurrent { builtin: *builtin, ty, options: frame.options(options), table }
            }
            Canonical::Missing(name) => TrampolineKind::Missing(name),
        })
    }

    fn resource(&mut self, id: ResourceId) -> Result<ResourceSlot, Error> {
        let slot = *self.frame().resources.get(&id).ok_or_else(unseen)?;
        self.used_resources.insert(slot);
        Ok(slot)
    }

    fn interner(&mut self, frame: usize) -> Interner<'_> {
        let Frame { resources, known, .. } = &mut self.frames[frame];
        Interner {
            types: self.types,
            table: &mut self.table,
            resources,
            shared: &mut self.known,
            own: known,
            used: &mut self.used_resources,
            costs: &mut self.costs,
            has_handles: false,
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
        let (module, ty) = self.env().modules[module as usize];
        let imports = self.module_imports(ty)?;
        let frame = self.frame();
        let args = match module {
            ModuleDef::Own(_) => {
                let given: HashMap<&str, &CoreInstanceDef> = args
                    .iter()
                    .map(|(name, index)| (&**name, &frame.core_instances[*index as usize]))
                    .collect();
                let imports = imports.names.iter().map(|(from, name)| given.get(&**from)?.export(name));
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

    /// What a module of a type imports, which is about to be looked up.
    fn module_imports(&mut self, ty: ComponentCoreModuleTypeId) -> Result<Rc<ModuleImports>, Error> {
        if let Some(known) = self.module_imports.get(&ty).cloned() {
            self.costs.spend(known.steps)?;
            return Ok(known);
        }
        let types = self.types;
        let imports = types.get(ty).ok_or_else(unseen)?.imports.keys();
        let names = imports.map(|(from, name)| Ok((self.name(from)?, self.name(name)?)));
        let names = names.collect::<Result<Box<[_]>, Error>>()?;
        let steps = names.iter().map(|(from, name)| steps_of_name(from) + steps_of_name(name)).sum();
        let imports = Rc::new(ModuleImports { names, steps });
        self.module_imports.insert(ty, Rc::clone(&imports));
        Ok(imports)
    }

    /// Instantiates a component in the one that is being made.
    fn nested(
        &mut self,
        component: u32,
        args: &[(Arc<str>, ItemRef)],
        ty: ComponentInstanceTypeId,
    ) -> Result<(), Error> {
        let Some(component) = self.env().components[component as usize] else {
            return Err(Error::new(ErrorKind::Unsupported(
                "components that are imported, and instantiated by the component that imports them"
                    .to_owned(),
            )));
        };
        let args = args.iter().map(|(name, item)| Ok((Arc::clone(name), self.get(*item)?)));
        let args = args.collect::<Result<HashMap<_, _>, Error>>()?;
        self.instantiate(component.definition, Args::Items(args), Some(component.env))?;
        let exports = self.frames.pop().map(|frame| frame.exports).unwrap_or_default();
        self.add_instance(exports, ty)
    }

    fn add_instance(
        &mut self,
        items: Vec<(Arc<str>, ItemDef)>,
        ty: ComponentInstanceTypeId,
    ) -> Result<(), Error> {
        self.costs.spend(items.iter().map(|(name, _)| 2 * steps_of_name(name)).sum())?;
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
                let (module, ty) = self.env().modules[index as usize];
                ItemDef::Module(module, ty)
            }
            ItemRef::Func(index) => ItemDef::Func(frame.funcs[index as usize]),
            ItemRef::Instance(index) => ItemDef::Instance(frame.instances[index as usize].clone()),
            ItemRef::Component(index) => ItemDef::Component(self.env().components[index as usize]),
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
            ItemDef::Module(module, ty) => self.env().modules.push((module, ty)),
            ItemDef::Func(func) => frame.funcs.push(func),
            ItemDef::Instance(instance) => frame.instances.push(instance),
            ItemDef::Component(component) => self.env().components.push(component),
            ItemDef::Type(_) => {}
        }
    }
}

/// Validation has seen that it is there.
pub(super) fn unseen() -> Error {
    Error::new(ErrorKind::Unsupported("a component that names what its validation has not seen".to_owned()))
}
