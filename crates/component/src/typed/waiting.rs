//! Functions of the host that guests wait for, and calls of guests that can wait, with Rust types.

use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;

use innkeeper_engine as core;
use innkeeper_engine::{AsContextMut, Error, StoreContextMut};

use super::host::{give, take_params};
use super::wit::{BoundResources, check};
use super::{LiftOwned, Lower, ParamList, SlotsMut, TypedFunc};
use crate::abi::LendingCall;
use crate::call::Lowered;
use crate::entry::{Entry, check_leave, leave};
use crate::func::HostCall;
use crate::linker::{Item, LinkerInstance};
use crate::state::{FuncInst, Shared, State};
use crate::trampoline::Trampoline;
use crate::trap::trap_on_throw;
use crate::types::FuncTypeIndex;
use crate::under_way::CallUnderWay;

impl<T: Send + 'static> LinkerInstance<'_, T> {
    /// As [`LinkerInstance::func_wrap`], with a function whose future the guest waits for, in calls that can ([`crate::Func::call_async`], [`TypedFunc::call_async`]); in others it fails. A handle that the guest lends is a
    /// [`crate::Lent`].
    pub fn func_wrap_async<P, R>(
        &mut self,
        name: &str,
        call: impl for<'a> Fn(StoreContextMut<'a, T>, P) -> Box<dyn Future<Output = Result<R, Error>> + Send + 'a>
        + Send
        + Sync
        + 'static,
    ) -> &mut Self
    where
        P: ParamList + LiftOwned + Send + 'static,
        R: Lower + Send + 'static,
    {
        let call = Waiting { call, types: PhantomData::<fn(P) -> R> };
        self.items.insert(name, Item::HostFunc(HostCall::Waiting(Arc::new(call))));
        self
    }
}

/// What comes of a call by a guest.
type Called<'a> = Pin<Box<dyn Future<Output = Result<(), Error>> + Send + 'a>>;

/// A function of the host that waits, in stores with data of type `T`.
pub(crate) trait WaitingHost<T: 'static>: Send + Sync {
    /// Checks that a component's import is of these types.
    fn check(
        &self,
        name: &str,
        import: (&Shared, FuncTypeIndex),
        state: &State,
    ) -> Result<BoundResources, Error>;

    /// Calls it for a guest, whose parameters stand in the slots, and leaves what it gives in them.
    fn call<'a>(
        self: Arc<Self>,
        caller: core::Caller<'a, T>,
        lowered: (Arc<Lowered>, Arc<BoundResources>),
        slots: &'a mut [u64],
    ) -> Called<'a>;
}

struct Waiting<P, R, F> {
    call: F,
    types: PhantomData<fn(P) -> R>,
}

impl<T, P, R, F> WaitingHost<T> for Waiting<P, R, F>
where
    T: Send + 'static,
    P: ParamList + LiftOwned + Send + 'static,
    R: Lower + Send + 'static,
    F: for<'a> Fn(StoreContextMut<'a, T>, P) -> Box<dyn Future<Output = Result<R, Error>> + Send + 'a>
        + Send
        + Sync
        + 'static,
{
    fn check(
        &self,
        name: &str,
        import: (&Shared, FuncTypeIndex),
        state: &State,
    ) -> Result<BoundResources, Error> {
        check::<P, R>(&format!("`{name}`"), import, state)
    }

    fn call<'a>(
        self: Arc<Self>,
        mut caller: core::Caller<'a, T>,
        (lowered, resources): (Arc<Lowered>, Arc<BoundResources>),
        slots: &'a mut [u64],
    ) -> Called<'a> {
        Box::pin(async move {
            let mut store = caller.as_context_mut();
            // What was lent is given back however that ends.
            let mut lending = LendingCall::new(&mut store, Some(lowered.side.instance));
            check_leave(lending.store, lowered.side.instance)?;
            let (params, _charge) = take_params::<T, P>(&mut lending, (&lowered, &resources), slots)?;
            let future = Box::into_pin((self.call)(lending.store.as_context_mut(), params));
            let result = future.await.map_err(trap_on_throw)?;
            give::<T, P, R>(lending, (&lowered, &resources), (slots, &result))?;
            lowered.end(slots)
        })
    }
}

/// The core function for a lowered one of the host that waits; another is given back.
pub(crate) fn waiting_trampoline<T: 'static>(
    trampoline: Trampoline,
    store: &mut StoreContextMut<'_, T>,
    ty: &core::FuncType,
) -> Result<Result<core::Func, Error>, Trampoline> {
    let Trampoline::Lower(lowered) = trampoline else { return Err(trampoline) };
    let func = store.attachment::<State>().funcs.get(lowered.func.0 as usize).cloned();
    let Some(FuncInst::Host(host)) = func else { return Err(Trampoline::Lower(lowered)) };
    let Ok(HostCall::Waiting(waiting)) = host.of::<T>() else { return Err(Trampoline::Lower(lowered)) };
    let (waiting, lowered) = (Arc::clone(waiting), Arc::new(lowered));
    let resources = Arc::clone(host.shared_resources());
    Ok(core::Func::new_of_numbers_async(store.as_context_mut(), ty.clone(), move |caller, slots| {
        let called = (Arc::clone(&lowered), Arc::clone(&resources));
        Arc::clone(&waiting).call(caller, called, slots)
    }))
}

impl<P: ParamList + Lower, R: LiftOwned> TypedFunc<P, R> {
    /// As [`TypedFunc::call`], and can wait: see [`crate::Func::call_async`].
    ///
    /// # Errors
    /// As [`TypedFunc::call`].
    pub async fn call_async<T: Send + 'static>(
        &self,
        mut store: impl AsContextMut<Data = T>,
        params: P,
    ) -> Result<R, Error> {
        let mut store = store.as_context_mut();
        self.enter(&mut store, &params)?;
        let mut lending = LendingCall::new(&mut store, None);
        let call = CallUnderWay::begin(&mut *lending.store, None);
        call.store.attachment::<State>().is_of(self.func().func);
        let mut slots = SlotsMut::default();
        self.hand_over(call.store, call.number, (&params, &mut lending.lends), &mut slots)?;
        drop(params);
        let slots = slots.all_mut();
        let core = self.callee.core;
        core.call_of_numbers_async(call.store.as_context_mut(), slots).await.map_err(trap_on_throw)?;
        let result = self.take(call.store, call.number, &mut lending.lends, slots[0])?;
        drop(call);
        drop(lending);
        // Whatever ends a call by an error, or gives it up, leaves the callee entered, which poisons it.
        leave(&mut store, self.callee.side.instance, Entry::Host);
        Ok(result)
    }
}
