//! Functions of the host that guests wait for, and calls of guests that can wait, with Rust types.

use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;

use innkeeper_engine as core;
use innkeeper_engine::{AsContextMut, Error, InterruptHandle, StoreContextMut, Trap};

use super::arena::Arena;
use super::host::{Borrowing, give, max_flat_params, take_params};
use super::lift::{lift_from, or_stopped};
use super::wit::{BoundResources, check};
use super::{Lift, LiftOwned, Lower, ParamList, SlotsMut, TypedFunc};
use crate::abi::LendingCall;
use crate::call::Lowered;
use crate::entry::Entry;
use crate::entry::check_leave;
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

    /// As [`LinkerInstance::func_wrap_interruptible`], with a second function for calls that can wait: there the guest waits for its future, which goes on to borrow from the
    /// guest's memory. In other calls it is `blocking` that is called, which holds the thread for as long as it takes. To the guest both are one function.
    pub fn func_wrap_blocking_or_async<P, R>(
        &mut self,
        name: &str,
        blocking: impl for<'a> Fn(&'a mut T, &'a InterruptHandle, P::Lifted<'a>) -> Result<R, Error>
        + Send
        + Sync
        + 'static,
        waiting: impl for<'a> Fn(&'a mut T, &'a InterruptHandle, P::Lifted<'a>) -> Answering<'a, R>
        + Send
        + Sync
        + 'static,
    ) -> &mut Self
    where
        P: ParamList + Lift + 'static,
        R: Lower + Send + 'static,
    {
        let blocking = Borrowing { call: blocking, types: PhantomData::<fn(P) -> R> };
        let waiting = BorrowingLater { call: waiting, types: PhantomData::<fn(P) -> R> };
        self.items.insert(name, Item::HostFunc(HostCall::Either(Arc::new(blocking), Arc::new(waiting))));
        self
    }
}

/// What a function of the host will answer that a guest waits for.
pub type Answering<'a, R> = Pin<Box<dyn Future<Output = Result<R, Error>> + Send + 'a>>;

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
            let (params, _charge) = take_params::<T, P>(&mut lending, (&lowered, &resources), slots)?;
            let future = Box::into_pin((self.call)(lending.store.as_context_mut(), params));
            let result = future.await.map_err(trap_on_throw)?;
            give::<T, P, R>(lending, (&lowered, &resources), (slots, &result))?;
            lowered.end(slots)
        })
    }
}

/// A function that waits and borrows from the guest's memory meanwhile: nobody else has the store while it does.
struct BorrowingLater<P, R, F> {
    call: F,
    types: PhantomData<fn(P) -> R>,
}

impl<T, P, R, F> WaitingHost<T> for BorrowingLater<P, R, F>
where
    T: Send + 'static,
    P: ParamList + Lift + 'static,
    R: Lower + Send + 'static,
    F: for<'a> Fn(&'a mut T, &'a InterruptHandle, P::Lifted<'a>) -> Answering<'a, R> + Send + Sync + 'static,
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
            let kept = Arena::default();
            let mut store = caller.as_context_mut();
            // What was lent is given back however that ends.
            let mut lending = LendingCall::new(&mut store, Some(lowered.side.instance));
            check_leave(lending.store, lowered.side.instance)?;
            let ended = {
                let of = (&lowered.side, &*resources);
                let parts = lending.store.parts::<State>(lowered.side.memory)?;
                let (from, interrupts) = ((max_flat_params(&lowered), &*slots), parts.interrupts);
                let begun = lift_from::<P, T>(parts, of, (&mut lending.lends, &kept), from)
                    .map(|(params, charge, data)| ((self.call)(data, interrupts, params), charge));
                match begun {
                    Ok((answering, _charge)) => Ok(answering.await),
                    Err(error) => Err(error),
                }
            };
            let result = match ended {
                // What it waited for was given up: the store knows why.
                Ok(Err(error)) if error.trap() == Some(Trap::Interrupted) => {
                    return Err(or_stopped(lending.store, error));
                }
                Ok(result) => result.map_err(trap_on_throw)?,
                Err(error) => return Err(or_stopped(lending.store, error)),
            };
            give::<T, P, R>(lending, (&lowered, &resources), (slots, &result))?;
            lowered.end(slots)
        })
    }
}

/// The core function for a lowered one of the host that waits; another is given back.
pub(crate) fn waiting_trampoline<T: 'static>(
    trampoline: Trampoline,
    store: &mut StoreContextMut<'_, T>,
    ty: &core::NumbersType<'_>,
) -> Result<Result<core::Func, Error>, Trampoline> {
    let Trampoline::Lower(lowered) = trampoline else { return Err(trampoline) };
    let func = store.attachment::<State>().funcs.get(lowered.func.0 as usize).cloned();
    let Some(FuncInst::Host(host)) = func else { return Err(Trampoline::Lower(lowered)) };
    let (blocking, waiting) = match host.of::<T>() {
        Ok(HostCall::Waiting(waiting)) => (None, Arc::clone(waiting)),
        Ok(HostCall::Either(typed, waiting)) => (Some(Arc::clone(typed)), Arc::clone(waiting)),
        _ => return Err(Trampoline::Lower(lowered)),
    };
    let resources = Arc::clone(host.shared_resources());
    let bound = BoundWaiting { waiting, lowered: Arc::new(lowered), resources };
    let (store, ty) = (store.as_context_mut(), ty.clone());
    Ok(match blocking {
        None => core::Func::new_of_numbers_async(store, ty, move |caller, slots| bound.call(caller, slots)),
        Some(blocking) => {
            let (lowered, resources) = (Arc::clone(&bound.lowered), Arc::clone(&bound.resources));
            core::Func::new_of_numbers_blocking_or_async(
                store,
                ty,
                move |mut caller, slots| {
                    blocking.call(&mut caller.as_context_mut(), (&lowered, &resources), slots)?;
                    lowered.end(slots)
                },
                move |caller, slots| bound.call(caller, slots),
            )
        }
    })
}

/// A function of the host that waits, found once.
struct BoundWaiting<T: 'static> {
    waiting: Arc<dyn WaitingHost<T>>,
    lowered: Arc<Lowered>,
    resources: Arc<BoundResources>,
}

impl<T: 'static> BoundWaiting<T> {
    fn call<'a>(&self, caller: core::Caller<'a, T>, slots: &'a mut [u64]) -> Called<'a> {
        let called = (Arc::clone(&self.lowered), Arc::clone(&self.resources));
        Arc::clone(&self.waiting).call(caller, called, slots)
    }
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
        let number = self.enter(&mut store, &params)?;
        let mut lending = LendingCall::new(&mut store, None);
        let call = CallUnderWay::begun(&mut *lending.store, number);
        let mut slots = SlotsMut::default();
        self.hand_over(call.store, call.number, (&params, &mut lending.lends), &mut slots)?;
        drop(params);
        let slots = slots.all_mut();
        let core = self.callee.core;
        core.call_of_numbers_async(call.store.as_context_mut(), slots).await.map_err(trap_on_throw)?;
        let result = self.take(call.store, call.number, &mut lending.lends, slots[0])?;
        // Whatever ends a call by an error, or gives it up, leaves the callee entered, which poisons it.
        call.leave(self.callee.side.instance, Entry::Host);
        Ok(result)
    }
}
