//! Functions of components, as the embedder has them.

use std::any::Any;
use std::sync::Arc;

use innkeeper_engine as core;
use innkeeper_engine::{AsContext, AsContextMut, Error, StoreContextMut};

use crate::abi::{LendingCall, Side};
use crate::call::{HostCaller, call_lifted};
use crate::check::{Given, fits};
use crate::concurrent::{Until, call_from_host};
use crate::resource::{HostHandles, ResourceAny, usage};
use crate::state::{FuncId, FuncInst, RootId, Shared, State};
use crate::typed::{BoundResources, TypedHost};
use crate::types::{FuncType, FuncTypeDef, FuncTypeIndex, ResourceSlot};
use crate::val::Val;

/// A core function, lifted.
pub(crate) struct LiftedFunc {
    pub(crate) side: Side,
    pub(crate) core: core::Func,
    pub(crate) ty: FuncTypeIndex,
    pub(crate) post_return: Option<core::Func>,
    pub(crate) callback: Option<core::Func>,
    pub(crate) is_async: bool,
}

impl LiftedFunc {
    /// Whether its type is async: then its calls are tasks, which can wait.
    pub(crate) fn is_async_typed(&self) -> bool {
        self.side.shared.types.func(self.ty).is_async
    }
}

/// What a function of the host does with values of any type.
pub(crate) type ValsCall<T> =
    dyn Fn(StoreContextMut<'_, T>, &[Val], &mut [Val]) -> Result<(), Error> + Send + Sync;

/// What a function of the host does.
pub(crate) enum HostCall<T: 'static> {
    Vals(Arc<ValsCall<T>>),
    Typed(Arc<dyn TypedHost<T>>),
    /// Its future runs beside guests.
    Concurrent(Arc<dyn crate::concurrent::ConcurrentHost<T>>),
    /// Guests wait for its future.
    #[cfg(feature = "async")]
    Waiting(Arc<dyn crate::typed::WaitingHost<T>>),
    /// The same in calls that can wait, and in others the first, which holds the thread.
    #[cfg(feature = "async")]
    Either(Arc<dyn TypedHost<T>>, Arc<dyn crate::typed::WaitingHost<T>>),
}

impl<T> Clone for HostCall<T> {
    fn clone(&self) -> Self {
        match self {
            HostCall::Vals(call) => HostCall::Vals(Arc::clone(call)),
            HostCall::Typed(call) => HostCall::Typed(Arc::clone(call)),
            HostCall::Concurrent(call) => HostCall::Concurrent(Arc::clone(call)),
            #[cfg(feature = "async")]
            HostCall::Waiting(call) => HostCall::Waiting(Arc::clone(call)),
            #[cfg(feature = "async")]
            HostCall::Either(call, waiting) => HostCall::Either(Arc::clone(call), Arc::clone(waiting)),
        }
    }
}

/// A function of the host in a store with data of one type.
#[derive(Clone)]
pub(crate) struct HostFunc {
    call: Arc<dyn Any + Send + Sync>,
    /// Which resource types the Rust types stand for, where it has such.
    resources: Arc<BoundResources>,
}

impl HostFunc {
    pub(crate) fn new<T: 'static>(call: HostCall<T>, resources: BoundResources) -> HostFunc {
        HostFunc { call: Arc::new(call), resources: Arc::new(resources) }
    }

    /// The function, in a store with data of the type that it was made for.
    pub(crate) fn of<T: 'static>(&self) -> Result<&HostCall<T>, Error> {
        let call = self.call.downcast_ref();
        call.ok_or_else(|| usage("a function of the host for stores with other data"))
    }

    pub(crate) fn resources(&self) -> &BoundResources {
        &self.resources
    }

    pub(crate) fn shared_resources(&self) -> &Arc<BoundResources> {
        &self.resources
    }
}

/// A function that a component instance exports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Func {
    pub(crate) store: u64,
    pub(crate) func: FuncId,
    pub(crate) root: RootId,
    pub(crate) ty: FuncTypeIndex,
}

impl Func {
    /// The function's type.
    ///
    /// # Errors
    /// Where the function is of another store.
    pub fn ty(&self, store: impl AsContext) -> Result<FuncType, Error> {
        let store = store.as_context();
        let state = store.attachment::<State>().filter(|state| state.id == self.store);
        let state = state.ok_or_else(other_store)?;
        Ok(FuncType::new(&state.roots[self.root.0 as usize].shared.types, self.ty))
    }

    /// Calls the function, with everything that the canonical ABI asks for around it: what it returns is lifted, and it has tidied up.
    ///
    /// `results` has room for the result, where there is one.
    ///
    /// # Errors
    /// Where the arguments do not fit; [`crate::Trap`] in [`Error::downcast_ref`] where the guest breaks a rule; a trap of the guest's; an error of a host function.
    /// After a trap, nothing in the outermost instance can be called any more.
    pub fn call(&self, store: impl AsContextMut, params: &[Val], results: &mut [Val]) -> Result<(), Error> {
        self.call_until(store, (params, Until::Returned), results)
    }

    /// As [`Func::call`]; where the function is async, what it goes on with after it has returned has its time as well, until it has ended or can never go on: for programs, after which comes nothing.
    ///
    /// # Errors
    /// As [`Func::call`]; also of what happens after the function has returned.
    pub fn call_to_end(
        &self,
        store: impl AsContextMut,
        params: &[Val],
        results: &mut [Val],
    ) -> Result<(), Error> {
        self.call_until(store, (params, Until::Ended), results)
    }

    fn call_until(
        &self,
        mut store: impl AsContextMut,
        (params, until): (&[Val], Until),
        results: &mut [Val],
    ) -> Result<(), Error> {
        let mut store = store.as_context_mut();
        match self.checked(store.attachment(), params, results.len())? {
            FuncInst::Lifted(callee) if callee.is_async_typed() => {
                let result = call_from_host(&mut store, (self, &callee), (params, until))?;
                if let (Some(result), Some(val)) = (results.first_mut(), result) {
                    *result = val;
                }
                Ok(())
            }
            FuncInst::Lifted(callee) => {
                let mut lending = LendingCall::new(&mut store, None);
                let mut caller = HostCaller { func: self, params, result: None, lends: &mut lending.lends };
                call_lifted(lending.store, &callee, &mut caller)?;
                let result = caller.result;
                if let (Some(result), Some(val)) = (results.first_mut(), result) {
                    *result = val;
                }
                Ok(())
            }
            FuncInst::Host(host) => call_host(store, &host, params, results),
        }
    }

    /// What is called, once it is clear that the arguments fit.
    pub(crate) fn checked(
        &self,
        state: &mut State,
        params: &[Val],
        results: usize,
    ) -> Result<FuncInst, Error> {
        if state.id != self.store {
            return Err(other_store());
        }
        let State { id, roots, funcs, host_handles, .. } = state;
        let shared = &*roots[self.root.0 as usize].shared;
        let ty = shared.types.func(self.ty);
        if params.len() != ty.params.len() || results != usize::from(ty.result.is_some()) {
            return Err(usage(&format!(
                "the function has type {}, but {} arguments and room for {} results were given",
                FuncType::new(&shared.types, self.ty),
                params.len(),
                results
            )));
        }
        if !params.is_empty() {
            check_params((*id, host_handles), shared, ty, params)?;
        }
        Ok(funcs[self.func.0 as usize].clone())
    }
}

/// Calls a function of the host that a component exports as it was given it.
pub(crate) fn call_host<T: 'static>(
    store: StoreContextMut<'_, T>,
    host: &HostFunc,
    params: &[Val],
    results: &mut [Val],
) -> Result<(), Error> {
    match host.of()? {
        HostCall::Vals(call) => call(store, params, results),
        _ => Err(usage(
            "the function is the host's own, which the component exports as it was given it; with Rust types it has no memory to be called through",
        )),
    }
}

/// What does not fit is found before the callee is entered, which would not be left again.
fn check_params(
    (store, handles): (u64, &mut HostHandles),
    shared: &Shared,
    ty: &FuncTypeDef,
    params: &[Val],
) -> Result<(), Error> {
    let mut given = Given::default();
    for ((name, ty), val) in ty.params.iter().zip(params) {
        let mut look = |slot: ResourceSlot, is_own, any: ResourceAny| {
            given.look((store, &mut *handles), (shared.resources[slot.0 as usize], is_own), any)
        };
        fits(&shared.types, *ty, val, &mut look)
            .map_err(|reason| usage(&format!("the argument `{name}` does not fit: {reason}")))?;
    }
    Ok(())
}

pub(crate) fn other_store() -> Error {
    usage("a component's function or instance of another store")
}
