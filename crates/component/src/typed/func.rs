//! Calls of a guest's functions with Rust types.

use std::marker::PhantomData;
use std::sync::Arc;

use innkeeper_engine::{AsContextMut, Error, ErrorKind, StoreContextMut};

use super::arena::Arena;
use super::lift::{lift_from, or_stopped};
use super::wit::{BoundResources, check};
use super::{GivenHandles, LiftOwned, Lower, LowerContext, ParamList, SlotsMut};
use crate::abi::{InStore, LendingCall, Lends, MAX_FLAT_PARAMS, MAX_FLAT_RESULTS};
use crate::call::check_borrows;
use crate::concurrent::finish_left;
use crate::entry::{Entry, set_may_leave};
use crate::func::{Func, LiftedFunc, other_store};
use crate::instance::Instance;
use crate::reentry::refused;
use crate::resource::usage;
use crate::state::{FuncInst, State};
use crate::trap::trap_on_throw;
use crate::under_way::CallUnderWay;

/// A function that is known to take `P`, a tuple, and to give `R`, which is `()` where it gives nothing.
///
/// One whose parameters borrow for `'static` can be called with what borrows for less, so that it can be kept: `TypedFunc<(&'static str,), u32>` takes any `&str`.
pub struct TypedFunc<P, R> {
    func: Func,
    pub(super) callee: Arc<LiftedFunc>,
    resources: Arc<BoundResources>,
    /// Shorter lifetimes stand for longer ones: nothing of the types but their layout is used, which no lifetime has a part in.
    types: PhantomData<fn() -> (P, R)>,
}

impl<P, R> Clone for TypedFunc<P, R> {
    fn clone(&self) -> Self {
        TypedFunc {
            func: self.func,
            callee: Arc::clone(&self.callee),
            resources: Arc::clone(&self.resources),
            types: PhantomData,
        }
    }
}

impl<P, R> std::fmt::Debug for TypedFunc<P, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("TypedFunc").field(&self.func).finish()
    }
}

impl Func {
    /// The function with its type stated in Rust, for calls that are checked once, here.
    ///
    /// # Errors
    /// [`ErrorKind::Link`] with both types where they differ; where the function is of another store, async, or one of the host's that a component only passes on.
    pub fn typed<P: ParamList + Lower, R: LiftOwned>(
        &self,
        store: impl AsContextMut,
    ) -> Result<TypedFunc<P, R>, Error> {
        self.typed_as(store, "the function")
    }

    fn typed_as<P: ParamList + Lower, R: LiftOwned>(
        &self,
        mut store: impl AsContextMut,
        name: &str,
    ) -> Result<TypedFunc<P, R>, Error> {
        let mut store = store.as_context_mut();
        let state = store.attachment::<State>();
        if state.id != self.store {
            return Err(other_store());
        }
        let shared = &state.roots[self.root.0 as usize].shared;
        let resources = Arc::new(check::<P, R>(name, (shared, self.ty), state)?);
        match &state.funcs[self.func.0 as usize] {
            FuncInst::Lifted(callee) if !callee.is_async_typed() => {
                Ok(TypedFunc { func: *self, callee: Arc::clone(callee), resources, types: PhantomData })
            }
            FuncInst::Lifted(_) => Err(Error::new(ErrorKind::Unsupported(format!(
                "calls with Rust types of {name}, whose type is async (use Func::call)"
            )))),
            FuncInst::Host(_) => Err(usage(&format!(
                "{name} is the host's own, which the component exports as it was given it"
            ))),
        }
    }
}

impl Instance {
    /// The function that [`Instance::get_func`] finds, with its type stated in Rust.
    ///
    /// # Errors
    /// Where there is no such function; as [`Func::typed`].
    pub fn get_typed_func<P: ParamList + Lower, R: LiftOwned>(
        &self,
        mut store: impl AsContextMut,
        path: &str,
    ) -> Result<TypedFunc<P, R>, Error> {
        let func = self.get_func(store.as_context_mut(), path);
        let func = func.ok_or_else(|| usage(&format!("the instance exports no function `{path}`")))?;
        func.typed_as(store, &format!("`{path}`"))
    }
}

impl<P: ParamList + Lower, R: LiftOwned> TypedFunc<P, R> {
    /// The function without its types.
    #[must_use]
    pub fn func(&self) -> Func {
        self.func
    }

    /// Calls the function, with everything that the canonical ABI asks for around it: what it gives is lifted, and it has tidied up.
    ///
    /// # Errors
    /// As [`Func::call`].
    pub fn call(&self, mut store: impl AsContextMut, params: P) -> Result<R, Error> {
        let mut store = store.as_context_mut();
        let number = self.enter(&mut store, &params)?;
        let mut lending = LendingCall::new(&mut store, None);
        let call = CallUnderWay::begun(&mut *lending.store, number);
        let result = self.in_callee(call.store, number, &params, &mut lending.lends)?;
        // Whatever ends a call by an error leaves the callee entered, which poisons it.
        call.leave(self.callee.side.instance, Entry::Host);
        Ok(result)
    }

    /// Enters the callee, once it is clear that the parameters can be given; gives the number of the call that begins, which somebody must be there to end.
    pub(super) fn enter<T: 'static>(
        &self,
        store: &mut StoreContextMut<'_, T>,
        params: &P,
    ) -> Result<u32, Error> {
        let (state, mut globals) = store.attachment_and_globals::<State>();
        if state.id != self.func.store {
            return Err(other_store());
        }
        if P::SHAPE.has_handles() {
            params.look_at_handles(&mut GivenHandles::new(state, &self.resources))?;
        }
        if let Err(trap) = state.enter(&mut globals, self.callee.side.instance, Entry::Host) {
            // As in `call_lifted`.
            return match finish_left(store)? {
                true => self.enter(store, params),
                false => Err(refused(store.attachment(), &self.func, trap)),
            };
        }
        Ok(state.begin_of(Some(self.func.func)))
    }

    fn in_callee<T: 'static>(
        &self,
        store: &mut StoreContextMut<'_, T>,
        call: u32,
        params: &P,
        lends: &mut Lends,
    ) -> Result<R, Error> {
        let mut slots = SlotsMut::default();
        self.hand_over(store, call, (params, lends), &mut slots)?;
        let slots = slots.all_mut();
        self.callee.core.call_of_numbers(store.as_context_mut(), slots).map_err(trap_on_throw)?;
        self.take(store, call, lends, slots[0])
    }

    /// Hands the parameters over.
    pub(super) fn hand_over<T: 'static>(
        &self,
        store: &mut StoreContextMut<'_, T>,
        call: u32,
        (params, lends): (&P, &mut Lends),
        slots: &mut SlotsMut,
    ) -> Result<(), Error> {
        let side = &self.callee.side;
        let mut guest = InStore { store, side };
        let of = (side, &*self.resources);
        LowerContext::new(of, (&mut guest, Some(call)), lends).params(MAX_FLAT_PARAMS, params, slots)
    }

    /// Takes the result, and has the callee tidy up.
    pub(super) fn take<T: 'static>(
        &self,
        store: &mut StoreContextMut<'_, T>,
        call: u32,
        lends: &mut Lends,
        returned: u64,
    ) -> Result<R, Error> {
        let (callee, side) = (&*self.callee, &self.callee.side);
        let of = (side, &*self.resources);
        let kept = Arena::default();
        let parts = store.parts::<State>(side.memory)?;
        let from = (MAX_FLAT_RESULTS, &[returned][..]);
        let (result, _charge) = match lift_from::<R, T>(parts, of, (lends, &kept), from) {
            Ok((result, charge, _)) => (result, charge),
            Err(error) => return Err(or_stopped(store, error)),
        };
        // Nothing was borrowed for it but what it was given.
        if P::SHAPE.has_handles() {
            check_borrows(store.attachment(), call)?;
        }
        if let Some(post_return) = callee.post_return {
            set_may_leave(store, side.instance, false);
            post_return.call_of_numbers(store.as_context_mut(), &mut [returned]).map_err(trap_on_throw)?;
            set_may_leave(store, side.instance, true);
        }
        Ok(result)
    }
}
