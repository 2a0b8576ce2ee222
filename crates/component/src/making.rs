//! What each step of a plan makes in a store.

use std::collections::HashMap;
use std::sync::Arc;

use innkeeper_engine as core;
use innkeeper_engine::{AsContextMut, Error, StoreContextMut};

use crate::abi::Side;
use crate::adapter::Walked;
use crate::adapter::why_walked;
use crate::call::Lowered;
use crate::concurrent::{AsyncLowered, ConcurrentBuiltin};
use crate::func::{HostCall, HostFunc, LiftedFunc};
use crate::instantiate::Making;
use crate::link::Resolved;
use crate::plan::{
    CoreDef, CoreInstanceDef, FuncDef, FuncNumber, ImportKind, InstanceNumber, ModuleArgs, ModuleDef,
    Options, ResourceDef, TrampolineKind, TrampolineNumber,
};
use crate::state::{FuncId, FuncInst, State};
use crate::trampoline::Trampoline;
use crate::typed::BoundResources;
use crate::types::{ResourceSlot, fits};

impl<T: 'static> Making<'_, T> {
    pub(crate) fn imported_func(
        &self,
        store: &mut StoreContextMut<'_, T>,
        import: usize,
    ) -> Result<FuncId, Error> {
        let state = store.attachment::<State>();
        match &self.imports.resolved[import] {
            Resolved::HostFunc(call) => {
                let import = &self.plan.imports[import];
                let resources = match (call, import.kind) {
                    (HostCall::Typed(typed), ImportKind::Func(ty)) => {
                        typed.check(&import.written(), (&self.shared, ty), state)?
                    }
                    (HostCall::Concurrent(concurrent), ImportKind::Func(ty)) => {
                        concurrent.check(&import.written(), (&self.shared, ty), state)?
                    }
                    #[cfg(feature = "async")]
                    (HostCall::Either(typed, _), ImportKind::Func(ty)) => {
                        typed.check(&import.written(), (&self.shared, ty), state)?
                    }
                    #[cfg(feature = "async")]
                    (HostCall::Waiting(waiting), ImportKind::Func(ty)) => {
                        waiting.check(&import.written(), (&self.shared, ty), state)?
                    }
                    _ => BoundResources::default(),
                };
                Ok(state.new_host_func(HostFunc::new(call.clone(), resources)))
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
    pub(crate) fn module(
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
                let given: HashMap<&str, &CoreInstanceDef> =
                    instances.iter().map(|(name, given)| (&**name, given)).collect();
                for import in module.imports() {
                    let given = given.get(import.module);
                    let item = given.and_then(|given| given.export(&import.name.into()));
                    let item =
                        item.ok_or_else(|| unresolved(&format!("{}#{}", import.module, import.name)))?;
                    externs.push(self.core(store, &item)?);
                }
            }
        }
        Ok((module, externs))
    }

    pub(crate) fn core(
        &self,
        store: &mut StoreContextMut<'_, T>,
        item: &CoreDef,
    ) -> Result<core::Extern, Error> {
        match item {
            CoreDef::Export(instance, name) => {
                let instance = self.core_instances.get(instance.index());
                let export = instance.and_then(|instance| instance.get_export(store.as_context_mut(), name));
                export.ok_or_else(|| unresolved(name))
            }
            CoreDef::Trampoline(number) => {
                let made = self.component.calls().first(*number).unwrap_or(*number);
                let func = self.trampolines[made.index()].ok_or_else(|| unresolved("a function"))?;
                Ok(func.into())
            }
        }
    }

    pub(crate) fn core_func(
        &self,
        store: &mut StoreContextMut<'_, T>,
        item: &CoreDef,
    ) -> Result<core::Func, Error> {
        self.core(store, item)?.into_func().ok_or_else(|| unresolved("a function"))
    }

    pub(crate) fn side(
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
            instance: self.instance(instance),
            encoding: options.encoding,
            memory: memory.transpose()?,
            realloc: options.realloc.as_ref().map(|func| self.core_func(store, func)).transpose()?,
        })
    }

    pub(crate) fn trampoline(
        &mut self,
        store: &mut StoreContextMut<'_, T>,
        number: TrampolineNumber,
        why: Option<Walked>,
    ) -> Result<(), Error> {
        let plan = self.plan;
        let def = &plan.trampolines[number.index()];
        if let TrampolineKind::Lower { func, .. } = &def.kind
            && let Some(func) = self.funcs[func.index()]
            && let FuncInst::Lifted(_) = store.attachment::<State>().funcs[func.0 as usize]
        {
            self.walked.push(why.unwrap_or_else(|| why_walked(self.component, number)));
        }
        let resource = |slot: &ResourceSlot| self.shared.resources[slot.0 as usize];
        let trampoline = match &def.kind {
            TrampolineKind::Lower { func, ty, options } => {
                let func = self.funcs[func.index()].ok_or_else(|| unresolved("a function"))?;
                let side = self.side(store, options, def.instance)?;
                let lowered = Lowered { side, func, ty: *ty, is_async: options.is_async };
                match &store.attachment::<State>().funcs[func.0 as usize] {
                    FuncInst::Lifted(callee) if self.plan.types.func(*ty).is_async => {
                        let callee = Arc::clone(callee);
                        Trampoline::AsyncLower(AsyncLowered { lowered: Arc::new(lowered), callee })
                    }
                    _ => Trampoline::Lower(lowered),
                }
            }
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
            TrampolineKind::Concurrent { builtin, ty, options, table } => {
                let table = table
                    .as_ref()
                    .map(|table| self.core(store, table)?.into_table().ok_or_else(|| unresolved("a table")));
                Trampoline::Concurrent(ConcurrentBuiltin {
                    builtin: *builtin,
                    ty: *ty,
                    side: Arc::new(self.side(store, options, def.instance)?),
                    is_async: options.is_async,
                    table: table.transpose()?,
                })
            }
            TrampolineKind::Missing(name) => Trampoline::Missing(name),
        };
        let instance = self.instance(def.instance);
        let ty = self.component.number_types()?.get(number.index()).ok_or_else(|| unresolved("a type"))?;
        let trampoline = match self.observed(store, (&def.kind, instance), trampoline)? {
            Ok(observed) => Ok(observed.func(store, ty.clone())?),
            Err(trampoline) => Err(trampoline),
        };
        let func = match trampoline {
            Ok(func) => func,
            Err(trampoline) => trampoline.func(store, instance, ty)?,
        };
        self.trampolines[number.index()] = Some(func);
        Ok(())
    }

    pub(crate) fn func(
        &mut self,
        store: &mut StoreContextMut<'_, T>,
        number: FuncNumber,
    ) -> Result<(), Error> {
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

    pub(crate) fn resource(
        &mut self,
        store: &mut StoreContextMut<'_, T>,
        slot: ResourceSlot,
    ) -> Result<(), Error> {
        let plan = self.plan;
        if let ResourceDef::Own { dtor: Some(dtor), .. } = &plan.resources[slot.0 as usize] {
            let dtor = self.core_func(store, dtor)?;
            let ty = self.shared.resources[slot.0 as usize];
            store.attachment::<State>().resource_types[ty.0 as usize].dtor = Some(dtor);
        }
        Ok(())
    }
}

/// The plan has been made from a component that was validated, and all its imports were found.
pub(crate) fn unresolved(what: &str) -> Error {
    Error::new(core::ErrorKind::Link(format!(
        "a module of the component wants `{what}`, which nobody provides"
    )))
}
