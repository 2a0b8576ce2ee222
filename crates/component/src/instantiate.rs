//! Carries a plan out in a store.

use std::sync::Arc;

use innkeeper_engine as core;
use innkeeper_engine::{AsContextMut, Error, StoreContextMut};

use crate::abi::Side;
use crate::call::Lowered;
use crate::component::Component;
use crate::func::{HostCall, HostFunc, LiftedFunc};
use crate::instance::Instance;
use crate::link::{Resolved, ResourceSource};
use crate::plan::{
    CoreDef, CoreInstanceDef, FuncDef, FuncNumber, ImportKind, InstanceNumber, ModuleArgs, ModuleDef,
    Options, Plan, ResourceDef, Step, TrampolineKind, TrampolineNumber,
};
use crate::resource::{ResourceTypeDef, ResourceTypeId, usage};
use crate::state::{FuncId, FuncInst, InstanceId, Root, RootId, Shared, State};
use crate::trampoline::Trampoline;
use crate::typed::BoundResources;
use crate::types::{ResourceSlot, fits};

/// Makes an instance of a component, whose imports were found.
pub(crate) fn instantiate<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    component: &Component,
    imports: &[Resolved<T>],
) -> Result<Instance, Error> {
    let mut making = prepare(store, component, imports)?;
    let made = making.begin(store).and_then(|()| making.run(store));
    making.finish(store.attachment(), made)
}

/// As [`instantiate`], where start functions can wait.
#[cfg(feature = "async")]
pub(crate) async fn instantiate_async<T: Send + 'static>(
    store: &mut StoreContextMut<'_, T>,
    component: &Component,
    imports: &[Resolved<T>],
) -> Result<Instance, Error> {
    let mut making = prepare(store, component, imports)?;
    let made = match making.begin(store) {
        Ok(()) => making.run_async(store).await,
        Err(error) => Err(error),
    };
    making.finish(store.attachment(), made)
}

/// Notes the instances and resource types that there will be.
fn prepare<'a, T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    component: &'a Component,
    imports: &'a [Resolved<T>],
) -> Result<Making<'a, T>, Error> {
    if !core::Engine::same(store.engine(), component.engine()) {
        return Err(usage("the component was made for another engine than the store"));
    }
    let plan = component.plan();
    let resources = resource_types(store, plan, imports)?;
    let state = store.attachment::<State>();
    let mut first = None;
    for parent in &plan.parents {
        let parent = parent.and_then(|parent| first.map(|first| instance_id(first, parent)));
        let id = state.new_instance(parent);
        first.get_or_insert(id);
    }
    let first = first.unwrap_or(InstanceId(0));
    for (slot, resource) in plan.resources.iter().enumerate() {
        if let ResourceDef::Own { instance, .. } = resource {
            let ty = resources[slot];
            state.resource_types[ty.0 as usize].instance = Some(instance_id(first, *instance));
        }
    }
    let shared = Arc::new(Shared { types: Arc::clone(&plan.types), resources: resources.into() });
    Ok(Making {
        component,
        plan,
        shared,
        first,
        imports,
        modules: Vec::new(),
        core_instances: Vec::new(),
        trampolines: vec![None; plan.trampolines.len()],
        funcs: vec![None; plan.funcs.len()],
    })
}

fn instance_id(first: InstanceId, number: InstanceNumber) -> InstanceId {
    InstanceId(first.0 + number.0)
}

/// What each resource type of the component is in the store.
fn resource_types<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    plan: &Plan,
    imports: &[Resolved<T>],
) -> Result<Vec<ResourceTypeId>, Error> {
    let mut types = Vec::with_capacity(plan.resources.len());
    for resource in &plan.resources {
        let given = match resource {
            ResourceDef::Imported(import) => &imports[import.index()],
            ResourceDef::Own { .. } => &Resolved::Missing,
        };
        types.push(match given {
            Resolved::Resource(ResourceSource::Host(ty, dtor)) => {
                let known = store.attachment::<State>().host_types.get(&ty.id).copied();
                match known {
                    Some(known) => known,
                    None => {
                        let dtor = dtor.clone();
                        let dtor = core::Func::wrap(
                            store.as_context_mut(),
                            move |mut caller: core::Caller<'_, T>, rep: i32| -> Result<(), Error> {
                                dtor(caller.as_context_mut(), rep.cast_unsigned())
                            },
                        )?;
                        ty.in_store(store.attachment(), || Some(dtor))
                    }
                }
            }
            Resolved::Resource(ResourceSource::Store { store: of, ty }) => {
                if *of != store.attachment::<State>().id {
                    return Err(crate::func::other_store());
                }
                *ty
            }
            // The component's own, or one of which there are no handles.
            _ => {
                let state = store.attachment::<State>();
                state.resource_types.push(ResourceTypeDef { instance: None, dtor: None });
                ResourceTypeId(state.resource_types.len() as u32 - 1)
            }
        });
    }
    Ok(types)
}

/// An instance that is being made.
struct Making<'a, T: 'static> {
    component: &'a Component,
    plan: &'a Plan,
    shared: Arc<Shared>,
    first: InstanceId,
    imports: &'a [Resolved<T>],
    modules: Vec<Option<core::Module>>,
    core_instances: Vec<core::Instance>,
    trampolines: Vec<Option<core::Func>>,
    funcs: Vec<Option<FuncId>>,
}

impl<T: 'static> Making<'_, T> {
    /// Finds what was imported.
    fn begin(&mut self, store: &mut StoreContextMut<'_, T>) -> Result<(), Error> {
        self.modules = self
            .imports
            .iter()
            .map(|import| match import {
                Resolved::Module(module) => Some(module.clone()),
                _ => None,
            })
            .collect();
        for (number, func) in self.plan.funcs.iter().enumerate() {
            if let FuncDef::Imported(import) = func {
                self.funcs[number] = Some(self.imported_func(store, import.index())?);
            }
        }
        Ok(())
    }

    fn run(&mut self, store: &mut StoreContextMut<'_, T>) -> Result<(), Error> {
        let plan = self.plan;
        for step in &plan.steps {
            if let Step::Module { module, args } = step {
                let (module, externs) = self.module(store, (*module, args))?;
                let call = begin_start(store);
                let made = core::Instance::new(store.as_context_mut(), &module, &externs);
                self.started(store, call, made)?;
            } else {
                self.step(store, step)?;
            }
        }
        Ok(())
    }

    #[cfg(feature = "async")]
    async fn run_async(&mut self, store: &mut StoreContextMut<'_, T>) -> Result<(), Error>
    where
        T: Send,
    {
        let plan = self.plan;
        for step in &plan.steps {
            if let Step::Module { module, args } = step {
                let (module, externs) = self.module(store, (*module, args))?;
                let call = begin_start(store);
                let made = core::Instance::new_async(store.as_context_mut(), &module, &externs).await;
                self.started(store, call, made)?;
            } else {
                self.step(store, step)?;
            }
        }
        Ok(())
    }

    /// A step that starts nothing.
    fn step(&mut self, store: &mut StoreContextMut<'_, T>, step: &Step) -> Result<(), Error> {
        match step {
            Step::Trampoline(number) => self.trampoline(store, *number),
            Step::Func(number) => self.func(store, *number),
            Step::Resource(slot) => self.resource(store, *slot),
            Step::Module { .. } => Ok(()),
        }
    }

    fn started(
        &mut self,
        store: &mut StoreContextMut<'_, T>,
        call: u32,
        made: Result<core::Instance, Error>,
    ) -> Result<(), Error> {
        store.attachment::<State>().calls.truncate(call as usize);
        self.core_instances.push(made.map_err(crate::trap::trap_on_throw)?);
        Ok(())
    }

    /// The instance that was made; where something has failed, nothing of it can be used.
    fn finish(self, state: &mut State, made: Result<(), Error>) -> Result<Instance, Error> {
        let Making { component, plan, shared, funcs, modules, first, .. } = self;
        if let Err(error) = made {
            for number in 0..plan.parents.len() as u32 {
                state.instance(instance_id(first, InstanceNumber(number))).handles = Default::default();
            }
            return Err(error);
        }
        let root = RootId(state.roots.len() as u32);
        state.roots.push(Root { component: component.clone(), shared, funcs, first, modules });
        Ok(Instance { store: state.id, root })
    }

    fn imported_func(&self, store: &mut StoreContextMut<'_, T>, import: usize) -> Result<FuncId, Error> {
        let state = store.attachment::<State>();
        match &self.imports[import] {
            Resolved::HostFunc(call) => {
                let import = &self.plan.imports[import];
                let resources = match (call, import.kind) {
                    (HostCall::Typed(typed), ImportKind::Func(ty)) => {
                        typed.check(&import.written(), (&self.shared, ty), state)?
                    }
                    #[cfg(feature = "async")]
                    (HostCall::Waiting(waiting), ImportKind::Func(ty)) => {
                        waiting.check(&import.written(), (&self.shared, ty), state)?
                    }
                    _ => BoundResources::default(),
                };
                state.funcs.push(FuncInst::Host(HostFunc::new(call.clone(), resources)));
                Ok(FuncId(state.funcs.len() as u32 - 1))
            }
            Resolved::Func(func) if func.store == state.id => {
                let import = &self.plan.imports[import];
                let ImportKind::Func(want) = import.kind else { return Err(unresolved(&import.written())) };
                let theirs = &state.roots[func.root.0 as usize].shared;
                let mut same = |have: ResourceSlot, want: ResourceSlot| {
                    theirs.resources[have.0 as usize] == self.shared.resources[want.0 as usize]
                };
                if !fits((&theirs.types, func.ty), (&self.shared.types, want), &mut same) {
                    let have = crate::types::FuncType::new(&theirs.types, func.ty);
                    let want = crate::types::FuncType::new(&self.shared.types, want);
                    return Err(Error::new(core::ErrorKind::Link(format!(
                        "the component imports `{}` as {want}, but it is {have}",
                        import.written()
                    ))));
                }
                Ok(func.func)
            }
            Resolved::Func(_) => Err(crate::func::other_store()),
            _ => Err(unresolved(&self.plan.imports[import].written())),
        }
    }

    /// A module, and what it is instantiated with.
    fn module(
        &self,
        store: &mut StoreContextMut<'_, T>,
        (module, args): (ModuleDef, &ModuleArgs),
    ) -> Result<(core::Module, Vec<core::Extern>), Error> {
        let module = match module {
            ModuleDef::Own(number) => self.component.module(number)?.clone(),
            ModuleDef::Imported(import) => {
                let module = self.modules.get(import.index()).cloned().flatten();
                module.ok_or_else(|| unresolved(&self.plan.imports[import.index()].written()))?
            }
        };
        let mut externs = Vec::with_capacity(module.imports().len());
        match args {
            ModuleArgs::InOrder(items) => {
                for item in items {
                    externs.push(self.core(store, item)?);
                }
            }
            ModuleArgs::ByName(instances) => {
                for import in module.imports() {
                    let given = instances.iter().find(|(name, _)| **name == *import.module);
                    let item = given.and_then(|(_, given): &(_, CoreInstanceDef)| given.export(import.name));
                    let item =
                        item.ok_or_else(|| unresolved(&format!("{}#{}", import.module, import.name)))?;
                    externs.push(self.core(store, &item)?);
                }
            }
        }
        Ok((module, externs))
    }

    fn core(&self, store: &mut StoreContextMut<'_, T>, item: &CoreDef) -> Result<core::Extern, Error> {
        match item {
            CoreDef::Export(instance, name) => {
                let instance = self.core_instances.get(instance.index());
                let export = instance.and_then(|instance| instance.get_export(store.as_context_mut(), name));
                export.ok_or_else(|| unresolved(name))
            }
            CoreDef::Trampoline(number) => {
                let func = self.trampolines[number.index()].ok_or_else(|| unresolved("a function"))?;
                Ok(func.into())
            }
        }
    }

    fn core_func(&self, store: &mut StoreContextMut<'_, T>, item: &CoreDef) -> Result<core::Func, Error> {
        self.core(store, item)?.into_func().ok_or_else(|| unresolved("a function"))
    }

    fn side(
        &self,
        store: &mut StoreContextMut<'_, T>,
        options: &Options,
        instance: InstanceNumber,
    ) -> Result<Side, Error> {
        let memory = options
            .memory
            .as_ref()
            .map(|memory| self.core(store, memory)?.into_memory().ok_or_else(|| unresolved("a memory")));
        Ok(Side {
            shared: Arc::clone(&self.shared),
            instance: instance_id(self.first, instance),
            encoding: options.encoding,
            memory: memory.transpose()?,
            realloc: options.realloc.as_ref().map(|func| self.core_func(store, func)).transpose()?,
        })
    }

    fn trampoline(
        &mut self,
        store: &mut StoreContextMut<'_, T>,
        number: TrampolineNumber,
    ) -> Result<(), Error> {
        let plan = self.plan;
        let def = &plan.trampolines[number.index()];
        let resource = |slot: &ResourceSlot| self.shared.resources[slot.0 as usize];
        let trampoline = match &def.kind {
            TrampolineKind::Lower { func, ty, options } => Trampoline::Lower(Lowered {
                side: self.side(store, options, def.instance)?,
                func: self.funcs[func.index()].ok_or_else(|| unresolved("a function"))?,
                ty: *ty,
                is_async: options.is_async,
            }),
            TrampolineKind::ResourceNew(slot) => Trampoline::ResourceNew(resource(slot)),
            TrampolineKind::ResourceDrop(slot) => Trampoline::ResourceDrop(resource(slot)),
            TrampolineKind::ResourceRep(slot) => Trampoline::ResourceRep(resource(slot)),
            TrampolineKind::ContextGet(slot) => Trampoline::ContextGet(*slot),
            TrampolineKind::ContextSet(slot) => Trampoline::ContextSet(*slot),
            TrampolineKind::BackpressureInc => Trampoline::BackpressureInc,
            TrampolineKind::BackpressureDec => Trampoline::BackpressureDec,
            TrampolineKind::TaskReturn { result, options } => {
                Trampoline::TaskReturn { result: *result, side: self.side(store, options, def.instance)? }
            }
            TrampolineKind::Missing(name) => Trampoline::Missing(name),
        };
        let func = trampoline.func(store, instance_id(self.first, def.instance), &def.ty)?;
        self.trampolines[number.index()] = Some(func);
        Ok(())
    }

    fn func(&mut self, store: &mut StoreContextMut<'_, T>, number: FuncNumber) -> Result<(), Error> {
        let plan = self.plan;
        let FuncDef::Lifted(lifted) = &plan.funcs[number.index()] else { return Ok(()) };
        let mut optional =
            |func: &Option<CoreDef>| func.as_ref().map(|func| self.core_func(store, func)).transpose();
        let (post_return, callback) =
            (optional(&lifted.options.post_return)?, optional(&lifted.options.callback)?);
        let func = LiftedFunc {
            core: self.core_func(store, &lifted.core)?,
            side: self.side(store, &lifted.options, lifted.instance)?,
            ty: lifted.ty,
            post_return,
            callback,
            is_async: lifted.options.is_async,
        };
        let state = store.attachment::<State>();
        state.funcs.push(FuncInst::Lifted(Arc::new(func)));
        self.funcs[number.index()] = Some(FuncId(state.funcs.len() as u32 - 1));
        Ok(())
    }

    fn resource(&mut self, store: &mut StoreContextMut<'_, T>, slot: ResourceSlot) -> Result<(), Error> {
        let plan = self.plan;
        if let ResourceDef::Own { dtor: Some(dtor), .. } = &plan.resources[slot.0 as usize] {
            let dtor = self.core_func(store, dtor)?;
            let ty = self.shared.resources[slot.0 as usize];
            store.attachment::<State>().resource_types[ty.0 as usize].dtor = Some(dtor);
        }
        Ok(())
    }
}

/// What a start function does belongs to no call but its own.
fn begin_start<T: 'static>(store: &mut StoreContextMut<'_, T>) -> u32 {
    store.attachment::<State>().begin(None)
}

/// The plan has been made from a component that was validated, and all its imports were found.
fn unresolved(what: &str) -> Error {
    Error::new(core::ErrorKind::Link(format!(
        "a module of the component wants `{what}`, which nobody provides"
    )))
}
