//! Functions of the host with Rust types.
//!
//! A function that borrows its parameters from the guest's memory is given the store's data and not the store: nothing can grow the memory or call the guest while it runs,
//! which the borrow checker sees to, since memory and data are parts of the store that are borrowed together.

use std::marker::PhantomData;
use std::sync::Arc;

use innkeeper_engine as core;
use innkeeper_engine::{AsContextMut, Error, Func, InterruptHandle, NumbersType, StoreContextMut};

use super::arena::Arena;
use super::lift::{lift_from, or_stopped};
use super::wit::{BoundResources, check, check_as};
use super::{Lift, LiftOwned, Lower, LowerContext, ParamList, Resource, SlotsMut};
use crate::abi::{InStore, LendingCall, MAX_FLAT_ASYNC_PARAMS, MAX_FLAT_PARAMS, MAX_FLAT_RESULTS};
use crate::call::Lowered;
use crate::entry::check_leave;
use crate::func::{HostCall, HostFunc};
use crate::linker::{Item, LinkerInstance};
use crate::resource::ResourceType;
use crate::state::{FuncInst, Shared, State};
use crate::trap::{Trap, trap_on_throw};
use crate::types::FuncTypeIndex;

impl<T: 'static> LinkerInstance<'_, T> {
    /// Defines a function of the host that takes its parameters as one tuple and gives a result, `()` where there is none. Whether it is what a component imports is
    /// checked when that is instantiated.
    pub fn func_wrap<P, R>(
        &mut self,
        name: &str,
        call: impl Fn(StoreContextMut<'_, T>, P) -> Result<R, Error> + Send + Sync + 'static,
    ) -> &mut Self
    where
        P: ParamList + LiftOwned + 'static,
        R: Lower + 'static,
    {
        let call = Owning { call, types: PhantomData::<fn(P) -> R> };
        self.items.insert(name, Item::HostFunc(HostCall::Typed(Arc::new(call))));
        self
    }

    /// Defines a function of the host that borrows its parameters from the guest's memory: `&str`, `&[u8]`, lists of other integers, and types made of them. It is given
    /// the store's data, and not the store. The types are stated: `func_wrap_borrowed::<(&str, &[u8]), _>("log", |data, (level, text)| ...)`.
    pub fn func_wrap_borrowed<P, R>(
        &mut self,
        name: &str,
        call: impl for<'a> Fn(&'a mut T, P::Lifted<'a>) -> Result<R, Error> + Send + Sync + 'static,
    ) -> &mut Self
    where
        P: ParamList + Lift + 'static,
        R: Lower + 'static,
    {
        self.func_wrap_interruptible::<P, R>(name, move |data, _, params| call(data, params))
    }

    /// As [`LinkerInstance::func_wrap_borrowed`], for a function that can take long: it is also given what says that the guest is to stop.
    pub fn func_wrap_interruptible<P, R>(
        &mut self,
        name: &str,
        call: impl for<'a> Fn(&'a mut T, &'a InterruptHandle, P::Lifted<'a>) -> Result<R, Error>
        + Send
        + Sync
        + 'static,
    ) -> &mut Self
    where
        P: ParamList + Lift + 'static,
        R: Lower + 'static,
    {
        let call = Borrowing { call, types: PhantomData::<fn(P) -> R> };
        self.items.insert(name, Item::HostFunc(HostCall::Typed(Arc::new(call))));
        self
    }

    /// As [`LinkerInstance::func_wrap_interruptible`], for what components import as an `async` function and the host does at once, whoever calls: there is nothing that others could go on beside, and so no future is made.
    /// [`LinkerInstance::func_wrap_concurrent`] is for what waits.
    pub fn func_wrap_at_once<P, R>(
        &mut self,
        name: &str,
        call: impl for<'a> Fn(&'a mut T, &'a InterruptHandle, P::Lifted<'a>) -> Result<R, Error>
        + Send
        + Sync
        + 'static,
    ) -> &mut Self
    where
        P: ParamList + Lift + 'static,
        R: Lower + 'static,
    {
        let call = AtOnce(Borrowing { call, types: PhantomData::<fn(P) -> R> });
        self.items.insert(name, Item::HostFunc(HostCall::Typed(Arc::new(call))));
        self
    }

    /// Defines the resource type of the host's that [`Resource`] handles of `R` are of; `dtor` is given those that nobody owns any more.
    pub fn resource_of<R: 'static>(
        &mut self,
        name: &str,
        dtor: impl Fn(StoreContextMut<'_, T>, Resource<R>) -> Result<(), Error> + Send + Sync + 'static,
    ) -> &mut Self {
        self.resource(name, &ResourceType::of::<R>(), move |store, rep| dtor(store, Resource::new(rep)))
    }
}

/// A function of the host whose types are Rust's, in stores with data of type `T`.
pub(crate) trait TypedHost<T: 'static>: Send + Sync {
    /// Checks that a component's import is of these types.
    fn check(
        &self,
        name: &str,
        import: (&Shared, FuncTypeIndex),
        state: &State,
    ) -> Result<BoundResources, Error>;

    /// Calls it for a guest, whose parameters stand in the slots, and leaves what it gives in them.
    fn call(
        &self,
        store: &mut StoreContextMut<'_, T>,
        of: (&Lowered, &BoundResources),
        slots: &mut [u64],
    ) -> Result<(), Error>;

    /// Makes the core function that a guest calls it by: one piece of code with all that is done around the call.
    fn func(
        self: Arc<Self>,
        store: &mut StoreContextMut<'_, T>,
        lowered: (Lowered, HostFunc),
        ty: NumbersType<'_>,
    ) -> Result<Func, Error>;
}

/// Makes the core function that does `call` for a guest, whose parameters stand in the slots, and which leaves what it gives in them.
fn core_func<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    (lowered, host): (Lowered, HostFunc),
    ty: NumbersType<'_>,
    call: impl Fn(&mut StoreContextMut<'_, T>, (&Lowered, &BoundResources), &mut [u64]) -> Result<(), Error>
    + Send
    + Sync
    + 'static,
) -> Result<Func, Error> {
    Func::new_of_numbers(store.as_context_mut(), ty, move |mut caller, slots| {
        call(&mut caller.as_context_mut(), (&lowered, host.resources()), slots)?;
        lowered.end(slots)
    })
}

/// Such a function that takes the store.
pub(crate) struct Owning<P, R, F> {
    call: F,
    types: PhantomData<fn(P) -> R>,
}

impl<T, P, R, F> TypedHost<T> for Owning<P, R, F>
where
    T: 'static,
    P: ParamList + LiftOwned + 'static,
    R: Lower + 'static,
    F: Fn(StoreContextMut<'_, T>, P) -> Result<R, Error> + Send + Sync + 'static,
{
    fn check(
        &self,
        name: &str,
        import: (&Shared, FuncTypeIndex),
        state: &State,
    ) -> Result<BoundResources, Error> {
        check::<P, R>(&format!("`{name}`"), import, state)
    }

    #[inline]
    fn call(
        &self,
        store: &mut StoreContextMut<'_, T>,
        of: (&Lowered, &BoundResources),
        slots: &mut [u64],
    ) -> Result<(), Error> {
        let mut lending = LendingCall::new(store, Some(of.0.side.instance));
        let (params, _charge) = take_params::<T, P>(&mut lending, of, slots)?;
        let result = (self.call)(lending.store.as_context_mut(), params).map_err(trap_on_throw)?;
        give::<T, P, R>(lending, of, (slots, &result))
    }

    fn func(
        self: Arc<Self>,
        store: &mut StoreContextMut<'_, T>,
        lowered: (Lowered, HostFunc),
        ty: NumbersType<'_>,
    ) -> Result<Func, Error> {
        core_func(store, lowered, ty, move |store, of, slots| self.call(store, of, slots))
    }
}

/// Such a function that borrows from the guest's memory.
pub(crate) struct Borrowing<P, R, F> {
    pub(super) call: F,
    pub(super) types: PhantomData<fn(P) -> R>,
}

impl<T, P, R, F> TypedHost<T> for Borrowing<P, R, F>
where
    T: 'static,
    P: ParamList + Lift + 'static,
    R: Lower + 'static,
    F: for<'a> Fn(&'a mut T, &'a InterruptHandle, P::Lifted<'a>) -> Result<R, Error> + Send + Sync + 'static,
{
    fn check(
        &self,
        name: &str,
        import: (&Shared, FuncTypeIndex),
        state: &State,
    ) -> Result<BoundResources, Error> {
        check::<P, R>(&format!("`{name}`"), import, state)
    }

    #[inline]
    fn call(
        &self,
        store: &mut StoreContextMut<'_, T>,
        (lowered, resources): (&Lowered, &BoundResources),
        slots: &mut [u64],
    ) -> Result<(), Error> {
        let kept = Arena::default();
        let mut lending = LendingCall::new(store, Some(lowered.side.instance));
        let of = (&lowered.side, resources);
        let parts = lending.store.parts::<State>(lowered.side.memory)?;
        parts.attachment.check_leave(&parts.globals, lowered.side.instance)?;
        let (from, interrupts) = ((max_flat_params(lowered), &*slots), parts.interrupts);
        // The store is back in one piece when the call is over, and not before.
        let ended = lift_from::<P, T>(parts, of, (&mut lending.lends, &kept), from)
            .map(|(params, _charge, data)| (self.call)(data, interrupts, params));
        let result = match ended {
            // What it waited for was given up: the store knows why.
            Ok(Err(error)) if error.trap() == Some(core::Trap::Interrupted) => {
                return Err(or_stopped(lending.store, error));
            }
            Ok(result) => result.map_err(trap_on_throw)?,
            Err(error) => return Err(or_stopped(lending.store, error)),
        };
        give::<T, P, R>(lending, (lowered, resources), (slots, &result))
    }

    fn func(
        self: Arc<Self>,
        store: &mut StoreContextMut<'_, T>,
        lowered: (Lowered, HostFunc),
        ty: NumbersType<'_>,
    ) -> Result<Func, Error> {
        core_func(store, lowered, ty, move |store, of, slots| self.call(store, of, slots))
    }
}

/// Such a function that is `async` to the guest.
struct AtOnce<P, R, F>(Borrowing<P, R, F>);

impl<T, P, R, F> TypedHost<T> for AtOnce<P, R, F>
where
    T: 'static,
    P: ParamList + Lift + 'static,
    R: Lower + 'static,
    F: for<'a> Fn(&'a mut T, &'a InterruptHandle, P::Lifted<'a>) -> Result<R, Error> + Send + Sync + 'static,
{
    fn check(
        &self,
        name: &str,
        import: (&Shared, FuncTypeIndex),
        state: &State,
    ) -> Result<BoundResources, Error> {
        check_as::<P, R>((&format!("`{name}`"), true), import, state)
    }

    #[inline]
    fn call(
        &self,
        store: &mut StoreContextMut<'_, T>,
        of: (&Lowered, &BoundResources),
        slots: &mut [u64],
    ) -> Result<(), Error> {
        // Who may not wait for an async function may not call it so, whether or not it would have to.
        if !of.0.is_async && !store.attachment::<State>().can_block() {
            check_leave(store, of.0.side.instance)?;
            return Err(Trap::CannotBlock.into());
        }
        self.0.call(store, of, slots)
    }

    fn func(
        self: Arc<Self>,
        store: &mut StoreContextMut<'_, T>,
        lowered: (Lowered, HostFunc),
        ty: NumbersType<'_>,
    ) -> Result<Func, Error> {
        core_func(store, lowered, ty, move |store, of, slots| self.call(store, of, slots))
    }
}

/// Lifts the parameters of a function that does not borrow them, once it is clear that the guest may call others.
#[inline]
pub(super) fn take_params<T: 'static, P: ParamList + LiftOwned>(
    lending: &mut LendingCall<'_, '_, T>,
    (lowered, resources): (&Lowered, &BoundResources),
    slots: &[u64],
) -> Result<(P, Option<innkeeper_engine::Charge>), Error> {
    let kept = Arena::default();
    let of = (&lowered.side, resources);
    let parts = lending.store.parts::<State>(lowered.side.memory)?;
    parts.attachment.check_leave(&parts.globals, lowered.side.instance)?;
    let from = (max_flat_params(lowered), slots);
    let lifted = lift_from::<P, T>(parts, of, (&mut lending.lends, &kept), from);
    match lifted.map(|(params, charge, _)| (params, charge)) {
        Ok(taken) => Ok(taken),
        Err(error) => Err(or_stopped(lending.store, error)),
    }
}

pub(super) fn max_flat_params(lowered: &Lowered) -> usize {
    if lowered.is_async { MAX_FLAT_ASYNC_PARAMS } else { MAX_FLAT_PARAMS }
}

/// Gives a guest what a function of the host returns, and ends what was lent for the call.
#[inline]
pub(super) fn give<T: 'static, P: Lift, R: Lower>(
    mut lending: LendingCall<'_, '_, T>,
    (lowered, resources): (&Lowered, &BoundResources),
    (slots, result): (&mut [u64], &R),
) -> Result<(), Error> {
    let side = &lowered.side;
    // Where a result does not fit into a slot, the guest passes where it wants it, after the parameters.
    let params = if P::SHAPE.flat() <= max_flat_params(lowered) { P::SHAPE.flat() } else { 1 };
    let out = slots.get(params).copied().unwrap_or_default() as u32;
    let max_flat = if lowered.is_async { 0 } else { MAX_FLAT_RESULTS };
    let mut passed = SlotsMut::default();
    let mut guest = InStore { store: lending.store, side };
    let mut lower = LowerContext::new((side, resources), (&mut guest, None), &mut lending.lends);
    lower.result(max_flat, (result, out), &mut passed)?;
    if let (Some(slot), Some(result)) = (slots.first_mut(), passed.as_slice().first()) {
        *slot = *result;
    }
    Ok(())
}

/// A function of the host with Rust types, found once.
pub(crate) struct BoundHost<T: 'static> {
    typed: Arc<dyn TypedHost<T>>,
    host: HostFunc,
}

impl<T: 'static> BoundHost<T> {
    /// Makes the core function that a guest calls it by.
    pub(crate) fn func(
        self,
        store: &mut StoreContextMut<'_, T>,
        lowered: Lowered,
        ty: NumbersType<'_>,
    ) -> Result<Func, Error> {
        self.typed.func(store, (lowered, self.host), ty)
    }

    /// Calls it for a guest.
    #[inline]
    pub(crate) fn call(
        &self,
        store: &mut StoreContextMut<'_, T>,
        lowered: &Lowered,
        slots: &mut [u64],
    ) -> Result<(), Error> {
        self.typed.call(store, (lowered, self.host.resources()), slots)?;
        lowered.end(slots)
    }

    pub(super) fn new(typed: &Arc<dyn TypedHost<T>>, host: &HostFunc) -> BoundHost<T> {
        BoundHost { typed: Arc::clone(typed), host: host.clone() }
    }
}

impl Lowered {
    /// The function, where it is one of the host's.
    fn host<'a, T: 'static>(&self, store: &'a mut StoreContextMut<'_, T>) -> Option<&'a HostFunc> {
        match store.attachment::<State>().funcs.get(self.func.0 as usize) {
            Some(FuncInst::Host(host)) => Some(host),
            _ => None,
        }
    }

    /// The function, where it is one of the host's with Rust types.
    pub(crate) fn typed_host<T: 'static>(
        &self,
        store: &mut StoreContextMut<'_, T>,
    ) -> Result<Option<BoundHost<T>>, Error> {
        let Some(host) = self.host(store) else { return Ok(None) };
        Ok(match host.of::<T>()? {
            HostCall::Typed(typed) => Some(BoundHost::new(typed, host)),
            _ => None,
        })
    }

    /// The function that is called by who observes calls: one with Rust types that returns when it has done its work.
    pub(crate) fn blocking_host<T: 'static>(
        &self,
        store: &mut StoreContextMut<'_, T>,
    ) -> Result<Option<BoundHost<T>>, Error> {
        let Some(host) = self.host(store) else { return Ok(None) };
        Ok(match host.of::<T>()? {
            HostCall::Typed(typed) => Some(BoundHost::new(typed, host)),
            #[cfg(feature = "async")]
            HostCall::Either(typed, _) => Some(BoundHost::new(typed, host)),
            _ => None,
        })
    }
}
