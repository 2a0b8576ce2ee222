//! Makes instances of generated modules in a store.

use std::collections::HashSet;

use innkeeper_engine as core;
use innkeeper_engine::{
    AsContextMut, Error, GlobalType, IndexType, Memory, MemoryType, Mutability, Sharing, StoreContextMut,
    Val, ValType,
};

use super::{Allowance, Batch, GoesOn, Import, Made, Needs, Parts, Walked, flags_name, generate, which};
use crate::component::Component;
use crate::entry::Flags;
use crate::instantiate::Making;
use crate::making::unresolved;
use crate::plan::{CoreDef, InstanceNumber, ModuleDef, Options, Step, TrampolineNumber};
use crate::state::State;

impl Component {
    /// Whether functions of the component's modules may throw exceptions: what is imported may.
    fn may_throw(&self) -> Result<bool, Error> {
        let known = &self.calls().may_throw;
        if let Some(known) = known.get() {
            return Ok(*known);
        }
        let mut may_throw = false;
        for step in &self.plan().steps {
            if let Step::Module { module, .. } = step {
                may_throw |= match module {
                    ModuleDef::Own(number) => self.module(*number)?.has_tags(),
                    ModuleDef::Imported(_) => true,
                };
            }
        }
        Ok(*known.get_or_init(|| may_throw))
    }

    /// Generates the module for some calls, which is the component's so manieth, and perhaps the first that a store has of it, with what is left of its allowance. Where nothing
    /// is, or its budget has no room, there is code for none of them.
    fn make(
        &self,
        (number, is_first): (usize, bool),
        calls: &[TrampolineNumber],
        (left, goes_on): (Allowance, &mut GoesOn<'_>),
    ) -> Result<Made, Error> {
        let none = Made { module: None, parts: Parts::default(), ops: 0, work: 0, charge: None };
        if left.of_module() == 0 {
            return Ok(none);
        }
        let may_throw = self.may_throw()?;
        let needs = Needs::of((self.engine(), may_throw), is_first, &self.calls().seen);
        let made = generate((self.plan(), needs), calls, left.of_module(), goes_on)?;
        let (ops, work) = (made.ops + Allowance::OPS_OF_MODULE, made.work + Allowance::OPS_OF_MODULE);
        if made.parts.calls.is_empty() {
            return Ok(Made { work, ..none });
        }
        let Ok(charge) = self.budget().hold(core::BudgetKind::Module, Allowance::bytes(ops)) else {
            return Ok(Made { work, ..none });
        };
        goes_on()?;
        let module = self.nest().adapter(number, made.bytes)?;
        Ok(Made { module: Some(module), parts: made.parts, ops, work, charge: Some(charge) })
    }

    /// The modules for all calls, as they are where the component's memories are as most are, generated now where they were not before.
    pub(crate) fn generated(&self) -> impl Iterator<Item = Result<core::Module, Error>> + '_ {
        let mut left = self.allowance();
        let modules = self.calls().batches.iter().enumerate().map(move |batch| {
            let made = self.made(batch, (left, &mut || Ok(())))?;
            left = left.less(made);
            Ok(made.module.clone())
        });
        modules.filter_map(Result::transpose)
    }

    fn made<'c>(
        &self,
        (number, batch): (usize, &'c Batch),
        how: (Allowance, &mut GoesOn<'_>),
    ) -> Result<&'c Made, Error> {
        if let Some(made) = batch.made.get() {
            return Ok(made);
        }
        let made = self.make((number, number == 0), &batch.calls, how)?;
        Ok(batch.made.get_or_init(|| made))
    }
}

impl Batch {
    /// The module for all of its calls, if there is one yet.
    pub(crate) fn module(&self) -> Option<&core::Module> {
        self.made.get()?.module.as_ref()
    }
}

impl<T: 'static> Making<'_, T> {
    /// Makes the functions of a batch.
    ///
    /// # Errors
    /// As the trap where the store's guests are to stop: making code takes time.
    pub(crate) fn adapters(
        &mut self,
        store: &mut StoreContextMut<'_, T>,
        (number, batch): (usize, &Batch),
    ) -> Result<(), Error> {
        let mut calls = Vec::with_capacity(batch.calls.len());
        for number in &batch.calls {
            match self.can_generate(store, *number)? {
                true => calls.push(*number),
                false => self.trampoline(store, *number, Some(Walked::Memory))?,
            }
        }
        let component = self.component;
        let mut goes_on = || store.check_interrupts();
        goes_on()?;
        let how = (self.allowance, &mut goes_on as &mut GoesOn<'_>);
        let mut own;
        let made = match calls.len() == batch.calls.len() {
            // The memories of a component are the same each time, unless a module is imported.
            true => component.made((number, batch), how)?,
            false => {
                let number = (component.calls().batches.len() + number, number == 0);
                own = component.make(number, &calls, how)?;
                let charge = own.charge.take();
                store.attachment::<State>().charges.extend(charge);
                &own
            }
        };
        self.allowance = self.allowance.less(made);
        self.instantiate(store, made, &calls)
    }

    fn instantiate(
        &mut self,
        store: &mut StoreContextMut<'_, T>,
        Made { module, parts, .. }: &Made,
        calls: &[TrampolineNumber],
    ) -> Result<(), Error> {
        let generated: HashSet<_> = parts.calls.iter().collect();
        for number in calls.iter().filter(|number| !generated.contains(number)) {
            self.trampoline(store, *number, Some(Walked::TooLong))?;
        }
        let Some(module) = module else { return Ok(()) };
        let imports = parts.imports.iter().map(|import| self.import(store, import));
        let imports = imports.collect::<Result<Vec<_>, Error>>()?;
        let instance = core::Instance::new(store.as_context_mut(), module, &imports)?;
        for (i, number) in parts.flags.iter().enumerate() {
            let global = instance.get_global(&*store, &flags_name(i));
            let global = global.ok_or_else(|| unresolved("an instance's flags"))?;
            // Nobody else has any yet: this is the component's first module.
            if self.share_flags(store, *number, |_, _| Ok(global))? != global {
                return Err(unresolved("an instance's flags"));
            }
        }
        for (i, number) in parts.calls.iter().enumerate() {
            let func = instance.get_func(store.as_context_mut(), &i.to_string());
            self.trampolines[number.index()] = Some(func.ok_or_else(|| unresolved("a generated function"))?);
        }
        Ok(())
    }

    fn import(&self, store: &mut StoreContextMut<'_, T>, import: &Import) -> Result<core::Extern, Error> {
        match import {
            Import::Flags(instance) => {
                let ty = GlobalType { content: ValType::I32, mutability: Mutability::Var };
                let new = |store: &mut StoreContextMut<'_, T>, bits| {
                    core::Global::new(store.as_context_mut(), ty, bits)
                };
                Ok(self.share_flags(store, *instance, new)?.into())
            }
            Import::Memory(item) | Import::Func(item) => self.core(store, item),
            Import::Host(func) => Ok(func.func(store, self)?.into()),
        }
    }

    /// The global that an instance's flags are in from now on; one of these where they were in none.
    fn share_flags(
        &self,
        store: &mut StoreContextMut<'_, T>,
        number: InstanceNumber,
        global: impl FnOnce(&mut StoreContextMut<'_, T>, Val) -> Result<core::Global, Error>,
    ) -> Result<core::Global, Error> {
        let id = self.instance(number);
        let bits = match store.attachment::<State>().instance(id).flags {
            Flags::Shared(global) => return Ok(global),
            Flags::Here(bits) => Val::I32(bits.cast_signed()),
        };
        let global = global(store, bits)?;
        global.set(store.as_context_mut(), bits)?;
        store.attachment::<State>().instance(id).flags = Flags::Shared(global);
        Ok(global)
    }

    pub(super) fn memory(&self, store: &mut StoreContextMut<'_, T>, item: &CoreDef) -> Result<Memory, Error> {
        self.core(store, item)?.into_memory().ok_or_else(|| unresolved("a memory"))
    }

    /// Whether both sides of a call have memories that generated code can work with.
    fn can_generate(
        &self,
        store: &mut StoreContextMut<'_, T>,
        number: TrampolineNumber,
    ) -> Result<bool, Error> {
        let Ok(call) = which::Call::of(self.plan, number) else { return Ok(false) };
        let mut memory =
            |options: &Options| options.memory.as_ref().map(|memory| self.memory(store, memory)).transpose();
        let (from, to) = (memory(call.options)?, memory(&call.callee.options)?);
        if from.is_some() && from == to {
            return Ok(false);
        }
        for memory in [from, to].into_iter().flatten() {
            let ty = memory.ty(&*store)?;
            if (ty.sharing, ty.index, ty.page_size_log2)
                != (Sharing::Unshared, IndexType::I32, MemoryType::DEFAULT_PAGE_SIZE_LOG2)
            {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
