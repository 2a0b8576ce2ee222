//! Instances of components, and what they export.

use innkeeper_engine as core;
use innkeeper_engine::AsContextMut;

use crate::adapter::Walked;
use crate::entry::is_poisoned;
use crate::func::Func;
use crate::plan::{ExportDef, Exports};
use crate::state::{RootId, State};

/// An instance of a component in a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instance {
    pub(crate) store: u64,
    pub(crate) root: RootId,
}

/// What an instance exports.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Export {
    /// A function.
    Func(Func),
    /// An instance: what it exports is found by its name and theirs, with `#` between.
    Instance,
    /// A core module.
    Module(core::Module),
    /// A resource type.
    Resource,
    /// Another type.
    Type,
    /// A component.
    Component,
}

impl Instance {
    /// The function that the instance exports under a name, or, where an instance inside it does, under `instance#name`, as in `wasi:cli/run@0.2.0#run`. A name
    /// with a version finds the newest compatible one where there is none of this very version.
    pub fn get_func(&self, store: impl AsContextMut, path: &str) -> Option<Func> {
        match self.get_export(store, path)? {
            Export::Func(func) => Some(func),
            _ => None,
        }
    }

    /// What the instance exports; see [`Instance::get_func`].
    pub fn get_export(&self, mut store: impl AsContextMut, path: &str) -> Option<Export> {
        let mut store = store.as_context_mut();
        let state = store.attachment::<State>();
        if state.id != self.store {
            return None;
        }
        let root = &state.roots[self.root.0 as usize];
        let mut exports = &root.component.plan().exports;
        let mut names = path.split('#');
        let mut name = names.next()?;
        for next in names {
            let ExportDef::Instance(inner) = exports.get(name)? else { return None };
            (exports, name) = (inner, next);
        }
        let item = exports.get(name)?;
        self.export(state, item)
    }

    /// Names of all that the instance exports, with what that is; functions of instances inside it are `instance#name`.
    pub fn exports(&self, mut store: impl AsContextMut) -> Vec<(String, Export)> {
        let mut store = store.as_context_mut();
        let state = store.attachment::<State>();
        let mut found = Vec::new();
        if state.id == self.store {
            let exports = &state.roots[self.root.0 as usize].component.plan().exports;
            self.add_exports(state, ("", exports), &mut found);
        }
        found
    }

    fn add_exports(
        &self,
        state: &State,
        (prefix, exports): (&str, &Exports),
        found: &mut Vec<(String, Export)>,
    ) {
        for (name, item) in &exports.items {
            let path = format!("{prefix}{name}");
            if let Some(export) = self.export(state, item) {
                found.push((path.clone(), export));
            }
            if let ExportDef::Instance(inner) = item {
                self.add_exports(state, (&format!("{path}#"), inner), found);
            }
        }
    }

    fn export(&self, state: &State, item: &ExportDef) -> Option<Export> {
        let root = &state.roots[self.root.0 as usize];
        Some(match item {
            ExportDef::Func(number, ty) => Export::Func(Func {
                store: self.store,
                func: root.funcs[number.index()]?,
                root: self.root,
                ty: *ty,
            }),
            ExportDef::Instance(_) => Export::Instance,
            ExportDef::Module(crate::plan::ModuleDef::Own(number)) => {
                Export::Module(root.component.module(*number).ok()?.clone())
            }
            ExportDef::Module(crate::plan::ModuleDef::Imported(import)) => {
                Export::Module(root.modules[import.index()].clone()?)
            }
            ExportDef::Resource(_) => Export::Resource,
            ExportDef::Type => Export::Type,
            ExportDef::Component => Export::Component,
        })
    }

    /// For each function that is called from one component to another inside the instance, or to one that was there before, and for which no code was generated: why not.
    pub fn walked_calls(&self, mut store: impl AsContextMut) -> Vec<Walked> {
        let mut store = store.as_context_mut();
        let state = store.attachment::<State>();
        match state.id == self.store {
            true => state.roots[self.root.0 as usize].walked.clone(),
            false => Vec::new(),
        }
    }

    /// Whether something has trapped in the instance, or in one inside it: then nothing can be called any more.
    pub fn is_poisoned(&self, mut store: impl AsContextMut) -> bool {
        let mut store = store.as_context_mut();
        let state = store.attachment::<State>();
        if state.id != self.store {
            return false;
        }
        let first = state.roots[self.root.0 as usize].first;
        is_poisoned(&mut store, first)
    }
}
