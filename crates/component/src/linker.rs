//! Finds by name what components import.
//!
//! A linker is made once and can instantiate many components into many stores. What it holds has names as WIT has them: instances
//! (`wasi:cli/environment@0.2.0`) with functions and resource types in them, and functions that stand by themselves. Versions stand for each other as [`crate::NameMap`] says.

use std::sync::Arc;

use innkeeper_engine as core;
use innkeeper_engine::{AsContextMut, Engine, Error, StoreContextMut};

use crate::component::Component;
use crate::func::{Func, HostCall};
use crate::instance::{Export, Instance};
use crate::instantiate::instantiate;
use crate::link::{Imports, MissingImport, Resolved, ResourceSource, look_up, resolve};
use crate::names::NameMap;
use crate::resource::{ResourceType, ResourceTypeId, usage};
use crate::state::State;
use crate::val::Val;

/// Names and what stands behind them, for stores with data of type `T`.
pub struct Linker<T: 'static> {
    engine: Engine,
    pub(crate) items: Items<T>,
}

/// Things by name.
pub(crate) type Items<T> = NameMap<Item<T>>;

/// Called with the representation of a host's resource that nobody owns any more.
pub(crate) type Dtor<T> = dyn Fn(StoreContextMut<'_, T>, u32) -> Result<(), Error> + Send + Sync;

/// Something that can be imported.
pub(crate) enum Item<T: 'static> {
    HostFunc(HostCall<T>),
    Func(Func),
    Module(core::Module),
    HostResource(ResourceType, Arc<Dtor<T>>),
    Resource { store: u64, ty: ResourceTypeId },
    Instance(Items<T>),
}

impl<T: 'static> Linker<T> {
    /// An empty linker.
    #[must_use]
    pub fn new(engine: &Engine) -> Linker<T> {
        Linker { engine: engine.clone(), items: NameMap::default() }
    }

    /// The engine that the linker works for.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// What is imported by itself, not in an instance.
    pub fn root(&mut self) -> LinkerInstance<'_, T> {
        LinkerInstance { items: &mut self.items }
    }

    /// The instance of a name, to define things in: a new one, or the one that was begun before.
    ///
    /// # Errors
    /// Where the name is that of something else.
    pub fn instance(&mut self, name: &str) -> Result<LinkerInstance<'_, T>, Error> {
        self.root().into_instance(name)
    }

    /// Defines all that an instance exports as an instance of a name. It then serves the instance's own store only.
    ///
    /// # Errors
    /// Where the instance is of another store, or the name is that of something else.
    pub fn define_instance(
        &mut self,
        store: impl AsContextMut<Data = T>,
        name: &str,
        instance: Instance,
    ) -> Result<(), Error> {
        self.instance(name)?.define_all(store, instance)
    }

    /// Defines all that an instance exports under its own names, so that others can import it: an interface that one component exports is what the next one is given. It then serves the instance's own
    /// store only. What was defined before under such a name is replaced, function by function.
    ///
    /// # Errors
    /// Where the instance is of another store, or a name is that of something else.
    pub fn define_exports(
        &mut self,
        store: impl AsContextMut<Data = T>,
        instance: Instance,
    ) -> Result<(), Error> {
        self.root().define_all(store, instance)
    }

    /// Makes functions that nobody provides and the component imports: each fails when it is called, saying so. What is defined stays as it is.
    ///
    /// # Errors
    /// Where a name is both an instance's and a function's.
    pub fn define_unknown_imports_as_traps(&mut self, component: &Component) -> Result<(), Error> {
        for import in &component.plan().imports {
            let Some((name, instances)) = import.path.split_last() else { continue };
            if crate::link::find(&self.items, &import.path).is_some() {
                continue;
            }
            let item = match import.kind {
                crate::plan::ImportKind::Func(_) => {
                    let path = Arc::clone(&import.path);
                    let call = move |_: StoreContextMut<'_, T>, _: &[Val], _: &mut [Val]| {
                        Err(usage(&format!("`{}` was called, which nobody provides", path.join("#"))))
                    };
                    Item::HostFunc(HostCall::Vals(Arc::new(call)))
                }
                crate::plan::ImportKind::Resource => {
                    Item::HostResource(ResourceType::new(name), Arc::new(|_, _| Ok(())))
                }
                _ => continue,
            };
            let mut to = self.root();
            for instance in instances {
                to = to.into_instance_for(instance)?;
            }
            to.items.insert(name, item);
        }
        Ok(())
    }

    /// All that a component must be given and the linker does not have, as [`Linker::instantiate`] would say.
    #[must_use]
    pub fn missing_imports(&self, component: &Component) -> Vec<MissingImport> {
        look_up(&self.items, component).1
    }

    /// The name under which something is found that a component imports by itself: its own, or that of the newest compatible version.
    #[must_use]
    pub fn found_as<'a>(&'a self, import: &'a str) -> Option<&'a str> {
        self.items.resolve(import)
    }

    /// Instantiates a component, and runs the start functions of its modules.
    ///
    /// # Errors
    /// [`core::ErrorKind::Link`] with all imports that are missing or of another kind; limits; a trap while initialising.
    pub fn instantiate(
        &self,
        store: impl AsContextMut<Data = T>,
        component: &Component,
    ) -> Result<Instance, Error> {
        self.instantiate_pre(component)?.instantiate(store)
    }

    /// As [`Linker::instantiate`], and start functions can wait: see [`Func::call_async`].
    ///
    /// # Errors
    /// As [`Linker::instantiate`].
    #[cfg(feature = "async")]
    pub async fn instantiate_async(
        &self,
        store: impl AsContextMut<Data = T>,
        component: &Component,
    ) -> Result<Instance, Error>
    where
        T: Send,
    {
        self.instantiate_pre(component)?.instantiate_async(store).await
    }

    /// Prepares a component to be instantiated often: its imports are found now.
    ///
    /// # Errors
    /// [`core::ErrorKind::Link`] with all imports that are missing or of another kind.
    pub fn instantiate_pre(&self, component: &Component) -> Result<InstancePre<T>, Error> {
        if !Engine::same(&self.engine, component.engine()) {
            return Err(usage("the linker was made for another engine than the component"));
        }
        let imports = resolve(&self.items, component)?;
        Ok(InstancePre { component: component.clone(), imports: Arc::new(Imports::new(imports)) })
    }
}

/// What is defined in a clone is not in the other.
impl<T: 'static> Clone for Linker<T> {
    fn clone(&self) -> Self {
        Linker { engine: self.engine.clone(), items: self.items.clone() }
    }
}

impl<T: 'static> Clone for Item<T> {
    fn clone(&self) -> Self {
        match self {
            Item::HostFunc(call) => Item::HostFunc(call.clone()),
            Item::Func(func) => Item::Func(*func),
            Item::Module(module) => Item::Module(module.clone()),
            Item::HostResource(ty, dtor) => Item::HostResource(ty.clone(), Arc::clone(dtor)),
            Item::Resource { store, ty } => Item::Resource { store: *store, ty: *ty },
            Item::Instance(items) => Item::Instance(items.clone()),
        }
    }
}

impl<T: 'static> std::fmt::Debug for Linker<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Linker").finish_non_exhaustive()
    }
}

/// An instance of a linker, to define things in. What had a name is replaced.
pub struct LinkerInstance<'a, T: 'static> {
    pub(crate) items: &'a mut Items<T>,
}

impl<'a, T: 'static> LinkerInstance<'a, T> {
    /// Defines a function of the host. It is given the arguments, and room for the result where the function has one, of whose type the guest's import decides.
    pub fn func_new(
        &mut self,
        name: &str,
        call: impl Fn(StoreContextMut<'_, T>, &[Val], &mut [Val]) -> Result<(), Error> + Send + Sync + 'static,
    ) -> &mut Self {
        self.items.insert(name, Item::HostFunc(HostCall::Vals(Arc::new(call))));
        self
    }

    /// Defines a core module.
    pub fn module(&mut self, name: &str, module: &core::Module) -> &mut Self {
        self.items.insert(name, Item::Module(module.clone()));
        self
    }

    /// Defines a resource type of the host's; `dtor` is called with what stands for a resource when nobody owns that any more.
    pub fn resource(
        &mut self,
        name: &str,
        ty: &ResourceType,
        dtor: impl Fn(StoreContextMut<'_, T>, u32) -> Result<(), Error> + Send + Sync + 'static,
    ) -> &mut Self {
        self.items.insert(name, Item::HostResource(ty.clone(), Arc::new(dtor)));
        self
    }

    /// An instance inside this one, to define things in: a new one, or the one that was begun before.
    ///
    /// # Errors
    /// Where the name is that of something else.
    pub fn instance(&mut self, name: &str) -> Result<LinkerInstance<'_, T>, Error> {
        LinkerInstance { items: &mut *self.items }.into_instance(name)
    }

    /// Defines all that an instance exports here.
    fn define_all(
        &mut self,
        mut store: impl AsContextMut<Data = T>,
        instance: Instance,
    ) -> Result<(), Error> {
        let mut store = store.as_context_mut();
        if store.attachment::<State>().id != instance.store {
            return Err(crate::func::other_store());
        }
        for (path, export) in instance.exports(&mut store) {
            let item = match export {
                Export::Func(func) => Item::Func(func),
                Export::Module(module) => Item::Module(module),
                Export::Resource => {
                    let state = store.attachment::<State>();
                    let root = &state.roots[instance.root.0 as usize];
                    let Some(slot) = root.component.plan().exports.resource(&path) else { continue };
                    Item::Resource { store: state.id, ty: root.shared.resources[slot.0 as usize] }
                }
                _ => continue,
            };
            let (inner, item_name) = match path.rsplit_once('#') {
                Some((inner, item_name)) => (Some(inner), item_name),
                None => (None, path.as_str()),
            };
            let mut to = LinkerInstance { items: &mut *self.items };
            for part in inner.into_iter().flat_map(|inner| inner.split('#')) {
                to = to.into_instance(part)?;
            }
            to.items.insert(item_name, item);
        }
        Ok(())
    }

    fn into_instance(self, name: &str) -> Result<LinkerInstance<'a, T>, Error> {
        if self.items.get_exact_mut(name).is_none() {
            self.items.insert(name, Item::Instance(NameMap::default()));
        }
        match self.items.get_exact_mut(name) {
            Some(Item::Instance(items)) => Ok(LinkerInstance { items }),
            _ => Err(usage(&format!("the linker has `{name}` already, and it is no instance"))),
        }
    }

    /// The instance that a name is found as, where there is one, so that a version of another name does not hide it.
    fn into_instance_for(self, name: &str) -> Result<LinkerInstance<'a, T>, Error> {
        let name = self.items.resolve(name).unwrap_or(name).to_owned();
        self.into_instance(&name)
    }
}

/// A component whose imports were found, to be instantiated often. Cloning is cheap.
pub struct InstancePre<T: 'static> {
    component: Component,
    imports: Arc<Imports<T>>,
}

impl<T: 'static> InstancePre<T> {
    /// The component.
    #[must_use]
    pub fn component(&self) -> &Component {
        &self.component
    }

    /// Instantiates the component, and runs the start functions of its modules.
    ///
    /// # Errors
    /// Limits; a trap while initialising; a store of another engine, or of which what was linked is not.
    pub fn instantiate(&self, mut store: impl AsContextMut<Data = T>) -> Result<Instance, Error> {
        instantiate(&mut store.as_context_mut(), &self.component, &self.imports)
    }

    /// As [`InstancePre::instantiate`], and start functions can wait: see [`Func::call_async`].
    ///
    /// # Errors
    /// As [`InstancePre::instantiate`].
    #[cfg(feature = "async")]
    pub async fn instantiate_async(&self, mut store: impl AsContextMut<Data = T>) -> Result<Instance, Error>
    where
        T: Send,
    {
        let mut store = store.as_context_mut();
        crate::instantiate::instantiate_async(&mut store, &self.component, &self.imports).await
    }
}

impl<T: 'static> Clone for InstancePre<T> {
    fn clone(&self) -> Self {
        InstancePre { component: self.component.clone(), imports: Arc::clone(&self.imports) }
    }
}

impl<T: 'static> std::fmt::Debug for InstancePre<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InstancePre").field("imports", &self.imports.resolved.len()).finish_non_exhaustive()
    }
}

impl<T: 'static> Item<T> {
    /// What it is, in words.
    pub(crate) fn kind_name(&self) -> &'static str {
        match self {
            Item::HostFunc(_) | Item::Func(_) => "a function",
            Item::Module(_) => "a module",
            Item::HostResource(..) | Item::Resource { .. } => "a resource type",
            Item::Instance(_) => "an instance",
        }
    }

    /// The item as what an import stands for.
    pub(crate) fn resolved(&self) -> Option<Resolved<T>> {
        Some(match self {
            Item::HostFunc(call) => Resolved::HostFunc(call.clone()),
            Item::Func(func) => Resolved::Func(*func),
            Item::Module(module) => Resolved::Module(module.clone()),
            Item::HostResource(ty, dtor) => {
                Resolved::Resource(ResourceSource::Host(ty.clone(), Arc::clone(dtor)))
            }
            Item::Resource { store, ty } => {
                Resolved::Resource(ResourceSource::Store { store: *store, ty: *ty })
            }
            Item::Instance(_) => return None,
        })
    }
}
