//! Carries a plan out in a store.

use std::sync::Arc;

use innkeeper_engine as core;
use innkeeper_engine::{AsContextMut, Error, StoreContextMut};

use crate::adapter::{Allowance, Walked};
use crate::component::Component;
use crate::entry::Entry;
use crate::func::LiftedFunc;
use crate::instance::Instance;
use crate::link::{Imports, Resolved, ResourceSource};
use crate::plan::{FuncDef, InstanceNumber, Plan, ResourceDef, Step};
use crate::resource::{ResourceTypeDef, ResourceTypeId, destroy, usage};
use crate::state::{FuncId, FuncInst, InstanceId, InstanceState, Root, RootId, Shared, State};
use crate::trampoline::Trampoline;
use crate::under_way::CallUnderWay;

/// Makes an instance of a component, whose imports were found.
pub(crate) fn instantiate<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    component: &Component,
    imports: &Imports<T>,
) -> Result<Instance, Error> {
    let mut making = prepare(store, component, imports)?;
    let made = making.begin(store).and_then(|()| making.run(store));
    making.finish(store, made)
}

/// As [`instantiate`], where start functions can wait.
#[cfg(feature = "async")]
pub(crate) async fn instantiate_async<T: Send + 'static>(
    store: &mut StoreContextMut<'_, T>,
    component: &Component,
    imports: &Imports<T>,
) -> Result<Instance, Error> {
    let mut making = prepare(store, component, imports)?;
    let made = match making.begin(store) {
        Ok(()) => making.run_async(store).await,
        Err(error) => Err(error),
    };
    making.finish(store, made)
}

/// Notes the instances and resource types that there will be.
fn prepare<'a, T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    component: &'a Component,
    imports: &'a Imports<T>,
) -> Result<Making<'a, T>, Error> {
    if !core::Engine::same(store.engine(), component.engine()) {
        return Err(usage("the component was made for another engine than the store"));
    }
    let plan = component.plan();
    // What is made stays with the store, also where not all could be.
    let charge = store.budget().hold(core::BudgetKind::Instance, instance_bytes(plan) as u64)?;
    store.attachment::<State>().charges.push(charge);
    let resources = resource_types(store, component, &imports.resolved)?;
    let state = store.attachment::<State>();
    let mut first = None;
    for parent in &plan.parents {
        let parent = parent.and_then(|parent| first.map(|first| instance_id(first, parent)));
        let id = state.new_instance(parent, plan.may_call_relatives);
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
        walked: Vec::new(),
        batches_made: 0,
        allowance: component.allowance(),
    })
}

impl<T> Making<'_, T> {
    /// What a component instance of the nest is in the store.
    pub(crate) fn instance(&self, number: InstanceNumber) -> InstanceId {
        instance_id(self.first, number)
    }
}

fn instance_id(first: InstanceId, number: InstanceNumber) -> InstanceId {
    InstanceId(first.0 + number.0)
}

/// Takes back what instances hold that have failed to be made: nothing of them can be used, and the host's resources that they own are dropped.
fn give_up<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    (first, count): (InstanceId, usize),
) -> Result<(), Error> {
    for number in 0..count as u32 {
        let state = store.attachment::<State>();
        let handles = std::mem::take(&mut state.instance(instance_id(first, InstanceNumber(number))).handles);
        for (ty, rep) in handles.owned() {
            if store.attachment::<State>().resource_type(ty).instance.is_none() {
                destroy(store, ty, rep, Entry::Host)?;
            }
        }
    }
    Ok(())
}

/// What an instance takes on the host's side beside its modules' instances.
fn instance_bytes(plan: &Plan) -> usize {
    /// A function that the host makes, with its type, as the engine keeps it.
    const HOST_FUNC_BYTES: usize = 640;
    plan.trampolines.len() * (size_of::<Trampoline>() + HOST_FUNC_BYTES)
        + plan.funcs.len() * (size_of::<LiftedFunc>() + 2 * size_of::<FuncInst>() + 64)
        + plan.parents.len() * (2 * size_of::<InstanceState>() + 64)
        + plan.resources.len() * (2 * size_of::<ResourceTypeDef>() + HOST_FUNC_BYTES)
        + plan.imports.len() * size_of::<Option<core::Module>>()
        + plan.core_instances as usize * size_of::<core::Instance>()
        + size_of::<Root>()
}

/// What each resource type of the component is in the store.
fn resource_types<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    component: &Component,
    imports: &[Resolved<T>],
) -> Result<Vec<ResourceTypeId>, Error> {
    let plan = component.plan();
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
                        let of_dtors = component.number_types()?.get(plan.trampolines.len());
                        let of_dtors = of_dtors.ok_or_else(|| crate::making::unresolved("a type"))?;
                        let dtor = core::Func::new_of_numbers(
                            store.as_context_mut(),
                            of_dtors,
                            move |mut caller: core::Caller<'_, T>, slots: &mut [u64]| {
                                let rep = slots.first().copied().unwrap_or_default() as u32;
                                dtor(caller.as_context_mut(), rep)
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
pub(crate) struct Making<'a, T: 'static> {
    pub(crate) component: &'a Component,
    pub(crate) plan: &'a Plan,
    pub(crate) shared: Arc<Shared>,
    first: InstanceId,
    pub(crate) imports: &'a Imports<T>,
    pub(crate) modules: Vec<Option<core::Module>>,
    pub(crate) core_instances: Vec<core::Instance>,
    pub(crate) trampolines: Vec<Option<core::Func>>,
    pub(crate) funcs: Vec<Option<FuncId>>,
    /// Why calls to other components are walked that are.
    pub(crate) walked: Vec<Walked>,
    batches_made: usize,
    /// What code for the batches that are left may come to.
    pub(crate) allowance: Allowance,
}

impl<T: 'static> Making<'_, T> {
    /// Finds what was imported.
    fn begin(&mut self, store: &mut StoreContextMut<'_, T>) -> Result<(), Error> {
        self.modules = self
            .imports
            .resolved
            .iter()
            .map(|import| match import {
                Resolved::Module(module) => Some(module.clone()),
                _ => None,
            })
            .collect();
        let (imports, shared) = (self.imports, Arc::clone(&self.shared));
        let checked = imports.checked(&shared.resources);
        let mut found = Vec::new();
        for (number, func) in self.plan.funcs.iter().enumerate() {
            let FuncDef::Imported(import) = func else { continue };
            let import = import.index();
            let known = checked.and_then(|checked| checked[import].as_ref());
            let id = match known {
                Some(known) => store.attachment::<State>().new_host_func(known.clone()),
                None => self.imported_func(store, import)?,
            };
            self.funcs[number] = Some(id);
            if checked.is_none() {
                found.push((import, id));
            }
        }
        if checked.is_none() {
            let state = store.attachment::<State>();
            let mut funcs = vec![None; imports.resolved.len()];
            for (import, id) in found {
                if let (Resolved::HostFunc(_), FuncInst::Host(host)) =
                    (&imports.resolved[import], &state.funcs[id.0 as usize])
                {
                    funcs[import] = Some(host.clone());
                }
            }
            imports.keep_checked(&shared.resources, funcs);
        }
        Ok(())
    }

    fn run(&mut self, store: &mut StoreContextMut<'_, T>) -> Result<(), Error> {
        let plan = self.plan;
        for (number, step) in plan.steps.iter().enumerate() {
            self.generated(store, number)?;
            if let Step::Module { module, args } = step {
                let (module, externs) = self.module(store, (*module, args))?;
                // What a start function does belongs to no call but its own.
                let call = CallUnderWay::begin(store, None);
                let made = core::Instance::new(call.store.as_context_mut(), &module, &externs);
                self.core_instances.push(made.map_err(crate::trap::trap_on_throw)?);
            } else {
                self.step(store, step)?;
            }
        }
        self.generated(store, plan.steps.len())
    }

    #[cfg(feature = "async")]
    async fn run_async(&mut self, store: &mut StoreContextMut<'_, T>) -> Result<(), Error>
    where
        T: Send,
    {
        let plan = self.plan;
        for (number, step) in plan.steps.iter().enumerate() {
            self.generated(store, number)?;
            if let Step::Module { module, args } = step {
                let (module, externs) = self.module(store, (*module, args))?;
                let call = CallUnderWay::begin(store, None);
                let made = core::Instance::new_async(call.store.as_context_mut(), &module, &externs).await;
                self.core_instances.push(made.map_err(crate::trap::trap_on_throw)?);
            } else {
                self.step(store, step)?;
            }
        }
        self.generated(store, plan.steps.len())
    }

    /// Makes the functions that code is generated for and that must be there before a step.
    ///
    /// # Errors
    /// As the trap where the store's guests are to stop: there may be very many steps.
    fn generated(&mut self, store: &mut StoreContextMut<'_, T>, step: usize) -> Result<(), Error> {
        store.check_interrupts()?;
        let component = self.component;
        while let Some(batch) = component.calls().batches.get(self.batches_made)
            && batch.before_step <= step
        {
            let number = self.batches_made;
            self.batches_made += 1;
            self.adapters(store, (number, batch))?;
        }
        Ok(())
    }

    /// A step that starts nothing.
    fn step(&mut self, store: &mut StoreContextMut<'_, T>, step: &Step) -> Result<(), Error> {
        match step {
            // Made with others of its batch, or the same as one that was.
            Step::Trampoline(number) if self.component.calls().first(*number).is_some() => Ok(()),
            Step::Trampoline(number) => self.trampoline(store, *number, None),
            Step::Func(number) => self.func(store, *number),
            Step::Resource(slot) => self.resource(store, *slot),
            Step::Module { .. } => Ok(()),
        }
    }

    /// The instance that was made; where something has failed, nothing of it can be used.
    fn finish(self, store: &mut StoreContextMut<'_, T>, made: Result<(), Error>) -> Result<Instance, Error> {
        let Making { component, plan, shared, funcs, modules, first, walked, .. } = self;
        if let Err(error) = made {
            give_up(store, (first, plan.parents.len()))?;
            return Err(error);
        }
        let state = store.attachment::<State>();
        let root = RootId(state.roots.len() as u32);
        state.roots.push(Root { component: component.clone(), shared, funcs, first, modules, walked });
        Ok(Instance { store: state.id, root })
    }
}
