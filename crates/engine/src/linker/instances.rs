//! Names that stand for what instances export, and for what stands under other names; and what there is under which name.

use super::{Definition, Linker};
use crate::engine::Engine;
use crate::error::Error;
use crate::extern_::Extern;
use crate::func::Func;
use crate::instance::Instance;
use crate::instance_pre::InstancePre;
use crate::module::Module;
use crate::store::AsContextMut;
use crate::types::{ExternType, FuncType};

/// What a module of a program exports that runs once.
const COMMAND: &str = "_start";
/// What a module exports that is to be called once before all others.
const INITIALIZE: &str = "_initialize";

impl<T: 'static> Linker<T> {
    /// Defines all exports of an instance under `module`.
    ///
    /// # Errors
    /// Where the instance is of another store; where a name stands for something already, and then those before it are defined.
    pub fn instance(
        &mut self,
        store: impl AsContextMut,
        module: &str,
        instance: Instance,
    ) -> Result<&mut Self, Error> {
        instance.owned(&store.as_context().0.core)?;
        for (name, item) in instance.exports(&store) {
            self.define(module, &name, item)?;
        }
        Ok(self)
    }

    /// Instantiates a module and defines all its exports under `name`. A module that exports `_initialize` has that called first; of one that exports `_start`, a program, each call of an
    /// exported function gets an instance of its own, so that the program can be run again.
    ///
    /// # Errors
    /// As [`Linker::instantiate`] and [`Linker::func_wrap`].
    pub fn module(
        &mut self,
        mut store: impl AsContextMut<Data = T>,
        name: &str,
        module: &Module,
    ) -> Result<&mut Self, Error> {
        if module.exports().any(|export| export.name == COMMAND) {
            return self.program(store, name, module);
        }
        let instance = self.instantiate(&mut store, module)?;
        if let Some(initialize) = instance.get_func(&store, INITIALIZE) {
            initialize.call(&mut store, &[], &mut [])?;
        }
        self.instance(store, name, instance)
    }

    /// Defines the functions that a program exports, each of which is called in an instance of its own.
    fn program(
        &mut self,
        mut store: impl AsContextMut<Data = T>,
        name: &str,
        module: &Module,
    ) -> Result<&mut Self, Error> {
        let pre = self.instantiate_pre(module)?;
        for export in module.exports() {
            if let ExternType::Func(ty) = export.ty {
                let func = in_own_instance(&mut store, ty, (pre.clone(), export.name.to_owned()))?;
                self.define(name, export.name, func)?;
            }
        }
        Ok(self)
    }

    /// Lets `as_module` `as_name` stand for what `module` `name` stands for now.
    ///
    /// # Errors
    /// Where nothing stands there, and as [`Linker::func_wrap`].
    pub fn alias(
        &mut self,
        module: &str,
        name: &str,
        as_module: &str,
        as_name: &str,
    ) -> Result<&mut Self, Error> {
        let found = self.definition(module, name).cloned();
        let definition = found.ok_or_else(|| Error::link(format!("`{module}` `{name}` is not defined")))?;
        self.insert(as_module, as_name, definition)
    }

    /// Lets each name under `as_module` stand for what it stands for under `module` now.
    ///
    /// # Errors
    /// As [`Linker::alias`].
    pub fn alias_module(&mut self, module: &str, as_module: &str) -> Result<&mut Self, Error> {
        let missing = || Error::link(format!("nothing is defined under `{module}`"));
        let names = self.modules.get(module).ok_or_else(missing)?;
        let names: Vec<(Box<str>, Definition)> =
            names.iter().map(|(name, definition)| (name.clone(), definition.clone())).collect();
        for (name, definition) in names {
            self.insert(as_module, &name, definition)?;
        }
        Ok(self)
    }

    /// What `module` `name` stands for in a store; none where nothing is defined there, or the store is of another engine.
    pub fn get(&self, mut store: impl AsContextMut<Data = T>, module: &str, name: &str) -> Option<Extern> {
        let core = &mut store.as_context_mut().0.core;
        if !Engine::same(&self.engine, core.engine()) {
            return None;
        }
        self.definition(module, name)?.to_extern(core).ok()
    }

    /// All names with what they stand for in a store, in the order of the names; nothing where the store is of another engine.
    pub fn iter<'a>(
        &'a self,
        mut store: impl AsContextMut<Data = T> + 'a,
    ) -> impl Iterator<Item = (&'a str, &'a str, Extern)> {
        let all =
            self.modules.iter().flat_map(|(module, names)| names.keys().map(|name| (&**module, &**name)));
        let mut all: Vec<(&str, &str)> = all.collect();
        all.sort_unstable();
        all.into_iter()
            .filter_map(move |(module, name)| Some((module, name, self.get(&mut store, module, name)?)))
    }
}

/// A function that instantiates a module at each call, and calls what the instance exports under a name.
fn in_own_instance<T: 'static>(
    store: impl AsContextMut<Data = T>,
    ty: FuncType,
    (pre, name): (InstancePre<T>, String),
) -> Result<Func, Error> {
    Func::new(store, ty, move |mut caller, params, results| {
        let instance = pre.instantiate(&mut caller)?;
        let missing = || Error::link(format!("the program exports no function `{name}`"));
        instance.get_func(&caller, &name).ok_or_else(missing)?.call(&mut caller, params, results)
    })
}
