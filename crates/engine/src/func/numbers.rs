//! Functions of numbers, whose parameters and results are passed as they stand in slots of 64 bits, with no [`Val`] made of each: for layers that have types of their own
//! above them, as components have.
//!
//! Must stay true: a slot that a guest sees has only the bits of its type; a type with anything but numbers is refused, since a slot could then be an address.

#[cfg(feature = "async")]
use std::pin::Pin;

use super::Func;
use super::number_types::NumbersType;
use crate::caller::Caller;
use crate::error::Error;
#[cfg(feature = "fibers")]
use crate::runtime::fibers::{self, HostEnding};
#[cfg(feature = "async")]
use crate::runtime::future::{self, CallKind};
use crate::runtime::host::Dynamic;
use crate::runtime::{call, host};
use crate::store::{AsContextMut, StoreCore};
use crate::types::{FuncType, ValType};
use crate::vmctx::VmFunc;

impl Func {
    /// A host function of numbers of a type known at run time. `call` is given as many slots as there are parameters or results, whichever is more: first the parameters
    /// stand there, then it leaves the results. Of a slot of 32 bits only these count.
    ///
    /// # Errors
    /// Where a parameter or a result is no number; where the engine's registry of types is full.
    pub fn new_of_numbers<'t, T: 'static>(
        mut store: impl AsContextMut<Data = T>,
        ty: impl Into<NumbersType<'t>>,
        call: impl Fn(Caller<'_, T>, &mut [u64]) -> Result<(), Error> + Send + Sync + 'static,
    ) -> Result<Func, Error> {
        let ty = ty.into();
        let results = Results::of(ty.get()?);
        let core = &mut store.as_context_mut().0.core;
        let code = host::code::<T, Dynamic>(move |caller: Caller<'_, T>, slots: &mut [u64]| {
            call(caller, slots)?;
            results.leave(slots);
            Ok(())
        });
        let record = core.new_host_func_of_numbers(code, &ty)?;
        Func::from_record(record, core)
    }

    /// As [`Func::new_of_numbers`], with a function that can park the fiber that it is called on ([`StoreContextMut::start_fiber`]): what it leaves in the slots then means nothing, and whoever lets the fiber go on gives
    /// the result.
    ///
    /// # Errors
    /// As [`Func::new_of_numbers`].
    #[cfg(feature = "fibers")]
    pub fn new_of_numbers_parking<'t, T: 'static>(
        mut store: impl AsContextMut<Data = T>,
        ty: impl Into<NumbersType<'t>>,
        call: impl Fn(Caller<'_, T>, &mut [u64]) -> Result<HostEnding, Error> + Send + Sync + 'static,
    ) -> Result<Func, Error> {
        let ty = ty.into();
        let results = Results::of(ty.get()?);
        let core = &mut store.as_context_mut().0.core;
        let code = fibers::parking_code(move |caller: Caller<'_, T>, slots: &mut [u64]| {
            let ending = call(caller, slots)?;
            results.leave(slots);
            Ok(ending)
        });
        let record = core.new_host_func_of_numbers(code, &ty)?;
        Func::from_record(record, core)
    }

    /// As [`Func::new_of_numbers`], with a function whose future the guest waits for, in calls that can ([`Func::call_async`]); in others it fails.
    ///
    /// # Errors
    /// As [`Func::new_of_numbers`].
    #[cfg(feature = "async")]
    pub fn new_of_numbers_async<'t, T: 'static>(
        mut store: impl AsContextMut<Data = T>,
        ty: impl Into<NumbersType<'t>>,
        call: impl for<'a> Fn(
            Caller<'a, T>,
            &'a mut [u64],
        ) -> Pin<Box<dyn Future<Output = Result<(), Error>> + Send + 'a>>
        + Send
        + Sync
        + 'static,
    ) -> Result<Func, Error> {
        let ty = ty.into();
        let results = Results::of(ty.get()?);
        let core = &mut store.as_context_mut().0.core;
        let code = host::future_code(call, move |ended: Result<(), Error>, slots: &mut [u64]| {
            ended?;
            results.leave(slots);
            Ok(())
        });
        let record = core.new_host_func_of_numbers(code, &ty)?;
        Func::from_record(record, core)
    }

    /// As [`Func::new_of_numbers_async`]; in calls that cannot wait, `blocking` is called instead, which holds the thread for as long as it takes. To the guest both are one
    /// function.
    ///
    /// # Errors
    /// As [`Func::new_of_numbers`].
    #[cfg(feature = "async")]
    pub fn new_of_numbers_blocking_or_async<'t, T: 'static>(
        mut store: impl AsContextMut<Data = T>,
        ty: impl Into<NumbersType<'t>>,
        blocking: impl Fn(Caller<'_, T>, &mut [u64]) -> Result<(), Error> + Send + Sync + 'static,
        waiting: impl for<'a> Fn(
            Caller<'a, T>,
            &'a mut [u64],
        ) -> Pin<Box<dyn Future<Output = Result<(), Error>> + Send + 'a>>
        + Send
        + Sync
        + 'static,
    ) -> Result<Func, Error> {
        let ty = ty.into();
        let results = Results::of(ty.get()?);
        let results_later = results.clone();
        let core = &mut store.as_context_mut().0.core;
        let code = host::either_code::<T, Dynamic, _>(
            move |caller: Caller<'_, T>, slots: &mut [u64]| {
                blocking(caller, slots)?;
                results.leave(slots);
                Ok(())
            },
            waiting,
            move |ended: Result<(), Error>, slots: &mut [u64]| {
                ended?;
                results_later.leave(slots);
                Ok(())
            },
        );
        let record = core.new_host_func_of_numbers(code, &ty)?;
        Func::from_record(record, core)
    }

    /// As [`Func::call_of_numbers`], and can wait: see [`Func::call_async`].
    ///
    /// # Errors
    /// As [`Func::call_of_numbers`].
    #[cfg(feature = "async")]
    pub async fn call_of_numbers_async<T: Send + 'static>(
        &self,
        mut store: impl AsContextMut<Data = T>,
        slots: &mut [u64],
    ) -> Result<(), Error> {
        let inner = store.as_context_mut().0;
        self.check_slots(&inner.core, slots)?;
        future::call(inner, *self, slots, CallKind::Function)?.await
    }

    /// Calls a function of numbers: the parameters stand in the first slots, and the results after the call. There may be more slots than it needs.
    ///
    /// # Errors
    /// Where a parameter or a result is no number, or there are too few slots; a trap, or an error of a host function.
    pub fn call_of_numbers(&self, mut store: impl AsContextMut, slots: &mut [u64]) -> Result<(), Error> {
        let inner = store.as_context_mut().0;
        let record = self.check_slots(&inner.core, slots)?;
        call::checked(inner, record, slots)
    }

    /// The function's record, once it is clear that it is of numbers, for which there is room; parameters are as they are passed then.
    pub(crate) fn check_slots(&self, core: &StoreCore, slots: &mut [u64]) -> Result<*const VmFunc, Error> {
        let record = self.record(core)?;
        let types = call::type_record(record);
        let Some(ty) = types.ty.composite.as_func() else { return Err(no_numbers(&FuncType::new([], []))) };
        check_numbers(ty)?;
        if slots.len() < ty.call_slots() as usize {
            return Err(Error::usage(format!(
                "the function has type {ty}, and room for {} values was given",
                slots.len()
            )));
        }
        for (slot, ty) in slots.iter_mut().zip(ty.params()) {
            *slot = of_type(*slot, *ty);
        }
        Ok(record)
    }
}

/// Which bits of the slots of results count.
#[derive(Clone)]
struct Results {
    /// A bit for each of the first 64 that has 32 bits.
    narrow: u64,
    /// The function's type, where it has more results than that.
    many: Option<FuncType>,
}

impl Results {
    fn of(ty: &FuncType) -> Results {
        let results = ty.results();
        let narrow = results.iter().take(64).enumerate();
        let narrow = narrow.filter(|(_, ty)| is_narrow(**ty)).fold(0, |narrow, (i, _)| narrow | 1 << i);
        Results { narrow, many: (results.len() > 64).then(|| ty.clone()) }
    }

    /// Leaves in each slot of a result the bits that its type has.
    #[inline]
    fn leave(&self, slots: &mut [u64]) {
        let mut narrow = self.narrow;
        while narrow != 0 {
            if let Some(slot) = slots.get_mut(narrow.trailing_zeros() as usize) {
                *slot = u64::from(*slot as u32);
            }
            narrow &= narrow - 1;
        }
        let Some(ty) = &self.many else { return };
        for (ty, slot) in ty.results().iter().zip(slots).skip(64) {
            *slot = of_type(*slot, *ty);
        }
    }
}

/// The bits of a slot that a type has.
fn of_type(slot: u64, ty: ValType) -> u64 {
    if is_narrow(ty) { u64::from(slot as u32) } else { slot }
}

fn is_narrow(ty: ValType) -> bool {
    matches!(ty, ValType::I32 | ValType::F32)
}

pub(super) fn check_numbers(ty: &FuncType) -> Result<(), Error> {
    let is_number = |ty: &ValType| matches!(ty, ValType::I32 | ValType::I64 | ValType::F32 | ValType::F64);
    match ty.params().iter().chain(ty.results()).all(is_number) {
        true => Ok(()),
        false => Err(no_numbers(ty)),
    }
}

fn no_numbers(ty: &FuncType) -> Error {
    Error::usage(format!("the function has type {ty}, and is to be one of numbers only"))
}
