//! Finds by name what modules import.
//!
//! A linker is made once and can instantiate many modules into many stores: host functions are made once and serve all stores, as shared memories do. Items that
//! belong to a store can be defined too, and then serve that store only. What is to be instantiated often is prepared: [`InstancePre`].

use std::collections::HashMap;
#[cfg(feature = "async")]
use std::future::Future;
use std::sync::{Arc, OnceLock};

#[cfg(feature = "async")]
use crate::caller::Caller;
use crate::engine::Engine;
use crate::error::Error;
use crate::extern_::{Extern, Memory};
use crate::func::{Func, IntoFunc};
use crate::host_panics::FirstPanic;
use crate::instance::Instance;
use crate::instance_pre::{InstancePre, Prepared};
use crate::module::Module;
use crate::runtime::host::{self, Dynamic, HostCode, SharedHostFunc};
use crate::store::{AsContextMut, StoreCore};
use crate::types::{ExternType, FuncType};
use crate::value::Val;
use crate::vmctx::shared_memory::SharedMemory;

/// Names and what stands behind them, for stores with data of type `T`, and no other:
///
/// ```compile_fail
/// use innkeeper_engine::Linker;
/// fn narrow<'a>(linker: Linker<fn(&'static str)>) -> Linker<for<'b> fn(&'b str)> {
///     linker
/// }
/// ```
pub struct Linker<T: 'static> {
    engine: Engine,
    modules: HashMap<Box<str>, HashMap<Box<str>, Definition>>,
    /// Neither more general nor less: functions of the host were made for exactly this type.
    data: std::marker::PhantomData<fn(T) -> T>,
}

impl<T: 'static> Drop for Linker<T> {
    fn drop(&mut self) {
        let mut panics = FirstPanic::default();
        panics.drop_all(self.modules.drain().flat_map(|(_, definitions)| definitions));
        panics.go_on();
    }
}

enum Definition {
    Host(HostDefinition),
    Item(Extern),
    SharedMemory(SharedMemory),
}

/// A host function, made when it is first linked.
struct HostDefinition {
    ty: FuncType,
    code: Arc<dyn HostCode>,
    made: OnceLock<Arc<SharedHostFunc>>,
}

impl HostDefinition {
    fn definition(ty: FuncType, code: Arc<dyn HostCode>) -> Definition {
        Definition::Host(HostDefinition { ty, code, made: OnceLock::new() })
    }

    fn made(&self, engine: &Engine) -> Result<&Arc<SharedHostFunc>, Error> {
        if let Some(made) = self.made.get() {
            return Ok(made);
        }
        let made = Arc::new(SharedHostFunc::new(engine, Arc::clone(&self.code), &self.ty)?);
        Ok(self.made.get_or_init(|| made))
    }
}

impl<T: 'static> Linker<T> {
    /// An empty linker.
    #[must_use]
    pub fn new(engine: &Engine) -> Linker<T> {
        Linker { engine: engine.clone(), modules: HashMap::new(), data: std::marker::PhantomData }
    }

    /// The engine that the linker works for.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Defines a host function from a closure whose types tell its wasm type; replaces what stood under the name. Wherever a guest calls it, it has
    /// [`crate::Limits::HOST_HEADROOM_BYTES`] of stack.
    pub fn func_wrap<Params, Results>(
        &mut self,
        module: &str,
        name: &str,
        call: impl IntoFunc<T, Params, Results>,
    ) -> &mut Self {
        let (ty, code) = call.into_func();
        self.insert(module, name, HostDefinition::definition(ty, code))
    }

    /// Defines a host function of a type known at run time; replaces what stood under the name. It has as much stack as one of [`Linker::func_wrap`].
    pub fn func_new(
        &mut self,
        module: &str,
        name: &str,
        ty: FuncType,
        call: impl Fn(crate::Caller<'_, T>, &[Val], &mut [Val]) -> Result<(), Error> + Send + Sync + 'static,
    ) -> &mut Self {
        let code = host::code::<T, Dynamic>(crate::func::dynamic(ty.clone(), call));
        self.insert(module, name, HostDefinition::definition(ty, code))
    }

    /// As [`Linker::func_wrap`], with a function whose future the guest waits for, in calls that can ([`Func::call_async`]); in others it fails. `Params` are nothing, one
    /// value, or a tuple of up to 12.
    #[cfg(feature = "async")]
    pub fn func_wrap_async<Params, R>(
        &mut self,
        module: &str,
        name: &str,
        call: impl for<'a> Fn(Caller<'a, T>, Params) -> Box<dyn Future<Output = R> + Send + 'a>
        + Send
        + Sync
        + 'static,
    ) -> &mut Self
    where
        Params: crate::HostParams,
        R: crate::IntoHostResult + 'static,
    {
        let (ty, code) = crate::func::waiting::typed(call);
        self.insert(module, name, HostDefinition::definition(ty, code))
    }

    /// As [`Linker::func_wrap_async`]; in calls that cannot wait, `blocking` is called instead, which holds the thread for as long as it takes. To the guest both are one
    /// function.
    #[cfg(feature = "async")]
    pub fn func_wrap_blocking_or_async<Params, R>(
        &mut self,
        module: &str,
        name: &str,
        blocking: impl Fn(Caller<'_, T>, Params) -> R + Send + Sync + 'static,
        waiting: impl for<'a> Fn(Caller<'a, T>, Params) -> Box<dyn Future<Output = R> + Send + 'a>
        + Send
        + Sync
        + 'static,
    ) -> &mut Self
    where
        Params: crate::HostParams,
        R: crate::IntoHostResult + 'static,
    {
        let (ty, code) = crate::func::waiting::typed_either(blocking, waiting);
        self.insert(module, name, HostDefinition::definition(ty, code))
    }

    /// As [`Linker::func_new`], with a function whose future the guest waits for: see [`Linker::func_wrap_async`].
    #[cfg(feature = "async")]
    pub fn func_new_async(
        &mut self,
        module: &str,
        name: &str,
        ty: FuncType,
        call: impl for<'a> Fn(
            Caller<'a, T>,
            &'a [Val],
            &'a mut [Val],
        ) -> Box<dyn Future<Output = Result<(), Error>> + Send + 'a>
        + Send
        + Sync
        + 'static,
    ) -> &mut Self
    where
        T: Send,
    {
        let code = crate::func::waiting::dynamic(ty.clone(), call);
        self.insert(module, name, HostDefinition::definition(ty, code))
    }

    /// Defines an item of a store; replaces what stood under the name.
    pub fn define(&mut self, module: &str, name: &str, item: impl Into<Extern>) -> &mut Self {
        self.insert(module, name, Definition::Item(item.into()))
    }

    /// Defines a memory that all stores share; replaces what stood under the name.
    pub fn define_shared(&mut self, module: &str, name: &str, memory: &SharedMemory) -> &mut Self {
        self.insert(module, name, Definition::SharedMemory(memory.clone()))
    }

    /// Defines all exports of an instance under `module`.
    pub fn instance(&mut self, mut store: impl AsContextMut, module: &str, instance: Instance) -> &mut Self {
        for (name, item) in instance.exports(&mut store) {
            self.define(module, &name, item);
        }
        self
    }

    /// Instantiates a module, and runs its start function if it has one.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Link`] naming an import that is missing or of another type; limits; a trap while initialising.
    pub fn instantiate(
        &self,
        mut store: impl AsContextMut<Data = T>,
        module: &Module,
    ) -> Result<Instance, Error> {
        let imports = self.imports(&mut store, module)?;
        Instance::new(store, module, &imports)
    }

    /// As [`Linker::instantiate`], and its start function can wait: see [`Func::call_async`].
    ///
    /// # Errors
    /// As [`Linker::instantiate`].
    #[cfg(feature = "async")]
    pub async fn instantiate_async(
        &self,
        mut store: impl AsContextMut<Data = T>,
        module: &Module,
    ) -> Result<Instance, Error>
    where
        T: Send,
    {
        let imports = self.imports(&mut store, module)?;
        Instance::new_async(store, module, &imports).await
    }

    /// What a module imports, in order.
    fn imports(&self, mut store: impl AsContextMut<Data = T>, module: &Module) -> Result<Vec<Extern>, Error> {
        let store = store.as_context_mut();
        if !Engine::same(&self.engine, store.0.core.engine()) {
            return Err(Error::usage("the linker was made for another engine than the store"));
        }
        let mut imports = Vec::with_capacity(module.0.imports.len());
        for definition in self.definitions(module) {
            imports.push(definition?.to_extern(&mut store.0.core)?);
        }
        Ok(imports)
    }

    /// Prepares a module to be instantiated often: its imports are found and their types checked now, as far as no store is needed for that.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Link`] naming an import that is missing or of another type.
    pub fn instantiate_pre(&self, module: &Module) -> Result<InstancePre<T>, Error> {
        if !Engine::same(&self.engine, module.engine()) {
            return Err(Error::usage("the linker was made for another engine than the module"));
        }
        let imports = self.definitions(module).map(|definition| {
            Ok(match definition? {
                Definition::Item(item) => Prepared::Item(*item),
                Definition::SharedMemory(memory) => Prepared::SharedMemory(memory.clone()),
                Definition::Host(host) => Prepared::Host(Arc::clone(host.made(&self.engine)?)),
            })
        });
        InstancePre::new(module, imports.collect::<Result<_, Error>>()?)
    }

    /// What stands behind each of a module's imports, in order.
    fn definitions<'a>(&'a self, module: &'a Module) -> impl Iterator<Item = Result<&'a Definition, Error>> {
        module.0.imports.iter().map(|import| {
            let found = self.modules.get(&*import.module).and_then(|names| names.get(&*import.name));
            let ty = || module.0.item_type(import.item);
            found.ok_or_else(|| unknown_import(&import.module, &import.name, &ty()))
        })
    }

    fn insert(&mut self, module: &str, name: &str, definition: Definition) -> &mut Self {
        self.modules.entry(module.into()).or_default().insert(name.into(), definition);
        self
    }
}

impl Definition {
    fn to_extern(&self, core: &mut StoreCore) -> Result<Extern, Error> {
        match self {
            Definition::Item(item) => Ok(*item),
            Definition::SharedMemory(memory) => {
                let id = core.adopt_memory(memory)?;
                Ok(Memory::from_id(id, core).into())
            }
            Definition::Host(host) => {
                let made = host.made(core.engine())?;
                core.keep_host_owner(made);
                Func::from_record(made.vm(), core).map(Extern::Func)
            }
        }
    }
}

fn unknown_import(module: &str, name: &str, ty: &ExternType) -> Error {
    Error::link(format!("unknown import: the module wants `{module}` `{name}` ({ty}), which nobody provides"))
}

pub(crate) fn wrong_import(module: &str, name: &str, want: &ExternType, have: &ExternType) -> Error {
    Error::link(format!(
        "incompatible import type: the module wants `{module}` `{name}` as {want}, but it is {have}"
    ))
}
