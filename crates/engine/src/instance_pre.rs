//! A module with its imports found and checked once, to be instantiated often.
//!
//! Must stay true: what was checked when it was prepared is true in every store it is instantiated into; the rest is checked there.

use std::marker::PhantomData;
use std::sync::Arc;

use crate::engine::Engine;
use crate::error::Error;
use crate::extern_::{Extern, Memory};
use crate::func::Func;
use crate::host_panics::FirstPanic;
use crate::instance::{Checked, Instance, check_prepared};
use crate::module::Module;
use crate::runtime::host::SharedHostFunc;
use crate::store::{AsContextMut, StoreCore};
use crate::vmctx::shared_memory::SharedMemory;

/// A module whose imports have been found ([`crate::Linker::instantiate_pre`]), for stores with data of type `T`, and no other. It can be sent to other threads and
/// used by several at once; clones are the same.
///
/// ```
/// # use innkeeper_engine::{Engine, Error, Linker, Module, Store};
/// # fn serve(engine: &Engine, module: &Module) -> Result<(), Error> {
/// let pre = Linker::<()>::new(engine).instantiate_pre(module)?;
/// for _ in 0..1000 {
///     let mut store = Store::new(engine, ())?;
///     pre.instantiate(&mut store)?;
/// }
/// # Ok(())
/// # }
/// ```
pub struct InstancePre<T: 'static> {
    prepared: Arc<PreparedModule>,
    /// As a linker's.
    data: PhantomData<fn(T) -> T>,
}

struct PreparedModule {
    module: Module,
    imports: Box<[Prepared]>,
    checked: Checked,
}

impl Drop for PreparedModule {
    fn drop(&mut self) {
        let mut panics = FirstPanic::default();
        panics.drop_all(std::mem::take(&mut self.imports));
        panics.go_on();
    }
}

/// What an import stands for.
pub(crate) enum Prepared {
    Host(Arc<SharedHostFunc>),
    SharedMemory(SharedMemory),
    /// Of one store, in which it is checked.
    Item(Extern),
}

impl<T: 'static> InstancePre<T> {
    pub(crate) fn new(module: &Module, imports: Box<[Prepared]>) -> Result<InstancePre<T>, Error> {
        let checked = check_prepared(module, &imports)?;
        let prepared = PreparedModule { module: module.clone(), imports, checked };
        Ok(InstancePre { prepared: Arc::new(prepared), data: PhantomData })
    }

    /// The module.
    #[must_use]
    pub fn module(&self) -> &Module {
        &self.prepared.module
    }

    /// Instantiates the module, and runs its start function if it has one.
    ///
    /// # Errors
    /// Limits; a trap while initialising; a store of another engine, or of whose items there are none among the imports.
    pub fn instantiate(&self, mut store: impl AsContextMut<Data = T>) -> Result<Instance, Error> {
        let store = store.as_context_mut();
        let externs = self.externs(&mut store.0.core)?;
        Instance::with_imports(store, &self.prepared.module, (&externs, self.prepared.checked))
    }

    /// As [`InstancePre::instantiate`], and its start function can wait: see [`Func::call_async`].
    ///
    /// # Errors
    /// As [`InstancePre::instantiate`].
    #[cfg(feature = "async")]
    pub async fn instantiate_async(&self, mut store: impl AsContextMut<Data = T>) -> Result<Instance, Error>
    where
        T: Send,
    {
        let store = store.as_context_mut();
        let externs = self.externs(&mut store.0.core)?;
        let given = (&*externs, self.prepared.checked);
        Instance::with_imports_async(store, &self.prepared.module, given).await
    }

    /// What the imports are in a store.
    fn externs(&self, core: &mut StoreCore) -> Result<Vec<Extern>, Error> {
        let PreparedModule { module, imports, .. } = &*self.prepared;
        if !Engine::same(core.engine(), module.engine()) {
            return Err(Error::usage("the module was made for another engine than the store"));
        }
        core.keep_host_owner(&self.prepared);
        imports.iter().map(|import| import.to_extern(core)).collect()
    }
}

impl Prepared {
    fn to_extern(&self, core: &mut StoreCore) -> Result<Extern, Error> {
        match self {
            // The store keeps what owns it.
            Prepared::Host(func) => Func::from_record(func.vm(), core).map(Extern::Func),
            Prepared::SharedMemory(memory) => {
                let id = core.adopt_memory(memory)?;
                Ok(Memory::from_id(id, core).into())
            }
            Prepared::Item(item) => Ok(*item),
        }
    }
}

impl<T: 'static> Clone for InstancePre<T> {
    fn clone(&self) -> Self {
        InstancePre { prepared: Arc::clone(&self.prepared), data: PhantomData }
    }
}

impl<T: 'static> std::fmt::Debug for InstancePre<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InstancePre").field("imports", &self.prepared.imports.len()).finish_non_exhaustive()
    }
}
