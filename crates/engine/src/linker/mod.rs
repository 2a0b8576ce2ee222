//! Finds by name what modules import.
//!
//! A linker is made once and can instantiate many modules into many stores: host functions are made once and serve all stores, as shared memories do. Items that
//! belong to a store can be defined too, and then serve that store only. What is to be instantiated often is prepared: [`InstancePre`].
//!
//! Must stay true: a name stands for one thing, unless its second definition was allowed ([`Linker::allow_shadowing`]).

mod instances;
mod unknown;

use std::collections::HashMap;
#[cfg(feature = "async")]
use std::future::Future;
use std::sync::{Arc, OnceLock};

#[cfg(feature = "async")]
use crate::caller::Caller;
use crate::composite::TypeId;
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
    may_shadow: bool,
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

/// What a name stands for; clones are the same.
#[derive(Clone)]
enum Definition {
    Host(Arc<HostDefinition>),
    Item(Extern),
    SharedMemory(SharedMemory),
}

/// A host function, made when it is first linked.
struct HostDefinition {
    ty: HostType,
    code: Arc<dyn HostCode>,
    made: OnceLock<Arc<SharedHostFunc>>,
}

/// What a host function's type is known by.
enum HostType {
    /// One that stands alone.
    Plain(FuncType),
    /// That of a module's import, which others of its group may tell apart from all that look like it.
    Defined(TypeId),
}

impl HostDefinition {
    fn definition(ty: FuncType, code: Arc<dyn HostCode>) -> Definition {
        HostDefinition::of_type(HostType::Plain(ty), code)
    }

    fn of_type(ty: HostType, code: Arc<dyn HostCode>) -> Definition {
        Definition::Host(Arc::new(HostDefinition { ty, code, made: OnceLock::new() }))
    }

    fn made(&self, engine: &Engine) -> Result<&Arc<SharedHostFunc>, Error> {
        if let Some(made) = self.made.get() {
            return Ok(made);
        }
        let code = Arc::clone(&self.code);
        let made = Arc::new(match &self.ty {
            HostType::Plain(ty) => SharedHostFunc::new(engine, code, ty)?,
            HostType::Defined(id) => SharedHostFunc::of_defined(engine, code, *id)?,
        });
        Ok(self.made.get_or_init(|| made))
    }
}

impl<T: 'static> Linker<T> {
    /// An empty linker.
    #[must_use]
    pub fn new(engine: &Engine) -> Linker<T> {
        Linker {
            engine: engine.clone(),
            modules: HashMap::new(),
            may_shadow: false,
            data: std::marker::PhantomData,
        }
    }

    /// Whether a later definition takes the place of an earlier one of the same name, from now on; otherwise, and if nothing is said, it is refused.
    pub fn allow_shadowing(&mut self, allow: bool) -> &mut Self {
        self.may_shadow = allow;
        self
    }

    /// The engine that the linker works for.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Defines a host function from a closure whose types tell its wasm type. Wherever a guest calls it, it has
    /// [`crate::Limits::HOST_HEADROOM_BYTES`] of stack.
    ///
    /// # Errors
    /// Where the name stands for something already, and shadowing is not allowed. So are those of all that defines a name.
    pub fn func_wrap<Params, Results>(
        &mut self,
        module: &str,
        name: &str,
        call: impl IntoFunc<T, Params, Results>,
    ) -> Result<&mut Self, Error> {
        let (ty, code) = call.into_func();
        self.insert(module, name, HostDefinition::definition(ty, code))
    }

    /// Defines a host function of a type known at run time. It has as much stack as one of [`Linker::func_wrap`].
    ///
    /// # Errors
    /// As [`Linker::func_wrap`].
    pub fn func_new(
        &mut self,
        module: &str,
        name: &str,
        ty: FuncType,
        call: impl Fn(crate::Caller<'_, T>, &[Val], &mut [Val]) -> Result<(), Error> + Send + Sync + 'static,
    ) -> Result<&mut Self, Error> {
        let code = host::code::<T, Dynamic>(crate::func::dynamic(ty.clone(), call));
        self.insert(module, name, HostDefinition::definition(ty, code))
    }

    /// As [`Linker::func_wrap`], with a function whose future the guest waits for, in calls that can ([`Func::call_async`]); in others it fails. `Params` are nothing, one
    /// value, or a tuple of up to 20.
    ///
    /// # Errors
    /// As [`Linker::func_wrap`].
    #[cfg(feature = "async")]
    pub fn func_wrap_async<Params, R>(
        &mut self,
        module: &str,
        name: &str,
        call: impl for<'a> Fn(Caller<'a, T>, Params) -> Box<dyn Future<Output = R> + Send + 'a>
        + Send
        + Sync
        + 'static,
    ) -> Result<&mut Self, Error>
    where
        Params: crate::HostParams,
        R: crate::IntoHostResult + 'static,
    {
        let (ty, code) = crate::func::waiting::typed(call);
        self.insert(module, name, HostDefinition::definition(ty, code))
    }

    /// As [`Linker::func_wrap_async`]; in calls that cannot wait, `blocking` is called instead, which holds the thread for as long as it takes. To the guest both are one
    /// function.
    ///
    /// # Errors
    /// As [`Linker::func_wrap`].
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
    ) -> Result<&mut Self, Error>
    where
        Params: crate::HostParams,
        R: crate::IntoHostResult + 'static,
    {
        let (ty, code) = crate::func::waiting::typed_either(blocking, waiting);
        self.insert(module, name, HostDefinition::definition(ty, code))
    }

    /// As [`Linker::func_new`], with a function whose future the guest waits for: see [`Linker::func_wrap_async`].
    ///
    /// # Errors
    /// As [`Linker::func_wrap`].
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
    ) -> Result<&mut Self, Error>
    where
        T: Send,
    {
        let code = crate::func::waiting::dynamic(ty.clone(), call);
        self.insert(module, name, HostDefinition::definition(ty, code))
    }

    /// Defines an item of a store.
    ///
    /// # Errors
    /// As [`Linker::func_wrap`].
    pub fn define(&mut self, module: &str, name: &str, item: impl Into<Extern>) -> Result<&mut Self, Error> {
        self.insert(module, name, Definition::Item(item.into()))
    }

    /// Defines a memory that all stores share.
    ///
    /// # Errors
    /// As [`Linker::func_wrap`].
    pub fn define_shared(
        &mut self,
        module: &str,
        name: &str,
        memory: &SharedMemory,
    ) -> Result<&mut Self, Error> {
        self.insert(module, name, Definition::SharedMemory(memory.clone()))
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
    /// [`crate::ErrorKind::Link`] naming all imports that are missing, or one of another type.
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
            self.definition(&import.module, &import.name).ok_or_else(|| self.unknown_imports(module))
        })
    }

    /// Defines a host function of a type, with its code.
    pub(crate) fn define_code(
        &mut self,
        (module, name): (&str, &str),
        ty: FuncType,
        code: Arc<dyn HostCode>,
    ) -> Result<&mut Self, Error> {
        self.insert(module, name, HostDefinition::definition(ty, code))
    }

    fn insert(&mut self, module: &str, name: &str, definition: Definition) -> Result<&mut Self, Error> {
        if !self.may_shadow && self.definition(module, name).is_some() {
            return Err(Error::link(format!(
                "`{module}` `{name}` is defined already (Linker::allow_shadowing lets a later definition take its place)"
            )));
        }
        self.modules.entry(module.into()).or_default().insert(name.into(), definition);
        Ok(self)
    }

    fn definition(&self, module: &str, name: &str) -> Option<&Definition> {
        self.modules.get(module)?.get(name)
    }
}

impl<T: 'static> std::fmt::Debug for Linker<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = self.modules.values().map(HashMap::len).sum::<usize>();
        f.debug_struct("Linker").field("names", &names).finish_non_exhaustive()
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

pub(crate) fn wrong_import(module: &str, name: &str, want: &ExternType, have: &ExternType) -> Error {
    Error::link(format!(
        "incompatible import type: the module wants `{module}` `{name}` as {want}, but it is {have}"
    ))
}
