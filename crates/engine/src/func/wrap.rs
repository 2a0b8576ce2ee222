//! Host functions from closures: types read off the closure, or given at run time.

use std::sync::Arc;

use super::slot_types::{WasmList, for_each_list};
use super::{WasmResults, WasmType, read_vals};
use crate::caller::Caller;
use crate::error::Error;
use crate::runtime::host::{self, HostCode, TypesOf, WithoutStore};
use crate::store::{AsContext, AsContextMut, StoreCore};
use crate::types::FuncType;
use crate::value::Val;

/// A closure that can be a host function: up to 20 parameters, with or without a leading [`Caller`], and a result as
/// [`IntoHostResult`] says. `Params` and `Results` only tell implementations apart.
pub trait IntoFunc<T, Params, Results>: Send + Sync + 'static {
    #[doc(hidden)]
    #[allow(private_interfaces, reason = "implemented here only")]
    fn into_func(self) -> (FuncType, Arc<dyn HostCode>);
}

/// What a host function may return: values, or a `Result` of values whose error, of any type that `?` makes an [`Error`] of, ends the guest.
pub trait IntoHostResult {
    /// The values.
    type Values: WasmResults;
    /// The values, or why the guest ends.
    fn into_host_result(self) -> Result<Self::Values, Error>;
}

impl<V: WasmResults> IntoHostResult for V {
    type Values = V;
    #[inline(always)]
    fn into_host_result(self) -> Result<V, Error> {
        Ok(self)
    }
}

impl<V: WasmResults, E: Into<Error>> IntoHostResult for Result<V, E> {
    type Values = V;
    #[inline(always)]
    fn into_host_result(self) -> Result<V, Error> {
        self.map_err(Into::into)
    }
}

/// Marks closures that take a [`Caller`] first.
pub struct WithCaller;

macro_rules! closures {
    ($(($($name:ident)*))*) => {$(
        #[allow(non_snake_case, reason = "values are named as their types")]
        impl<T: 'static, Call, R, $($name: WasmType,)*> IntoFunc<T, (WithCaller, $($name,)*), R> for Call
        where
            Call: Fn(Caller<'_, T> $(, $name)*) -> R + Send + Sync + 'static,
            R: IntoHostResult + 'static,
        {
            #[allow(private_interfaces, reason = "implemented here only")]
            fn into_func(self) -> (FuncType, Arc<dyn HostCode>) {
                let code = host::code::<T, TypesOf<($($name,)*), R::Values>>(move |mut caller: Caller<'_, T>, slots: &mut [u64]| {
                    let ($($name,)*) = <($($name,)*) as WasmList>::read(slots, caller.core_mut());
                    let results = self(caller.reborrow() $(, $name)*).into_host_result()?;
                    results.write(slots, Some(caller.core()))
                });
                (FuncType::new(<($($name,)*) as WasmList>::types(), R::Values::types()), code)
            }
        }

        #[allow(non_snake_case, reason = "values are named as their types")]
        impl<T: 'static, Call, R, $($name: WasmType,)*> IntoFunc<T, ($($name,)*), R> for Call
        where
            Call: Fn($($name),*) -> R + Send + Sync + 'static,
            R: IntoHostResult + 'static,
        {
            #[allow(private_interfaces, reason = "implemented here only")]
            fn into_func(self) -> (FuncType, Arc<dyn HostCode>) {
                let code = host::code::<T, WithoutStore<TypesOf<($($name,)*), R::Values>>>(move |mut caller: Caller<'_, T>, slots: &mut [u64]| {
                    let ($($name,)*) = <($($name,)*) as WasmList>::read(slots, caller.core_mut());
                    let results = self($($name),*).into_host_result()?;
                    results.write(slots, Some(caller.core()))
                });
                (FuncType::new(<($($name,)*) as WasmList>::types(), R::Values::types()), code)
            }
        }
    )*};
}

for_each_list!(closures);

/// Slot code around a closure over [`Val`]s. Results of the wrong type are an error, not a confusion.
pub(crate) fn dynamic<T: 'static>(
    ty: FuncType,
    call: impl Fn(Caller<'_, T>, &[Val], &mut [Val]) -> Result<(), Error> + Send + Sync + 'static,
) -> impl Fn(Caller<'_, T>, &mut [u64]) -> Result<(), Error> + Send + Sync + 'static {
    move |mut caller, slots| {
        let mut params: Vec<Val> = ty.params().iter().map(|ty| Val::zero(*ty)).collect();
        read_vals(slots, ty.params(), &mut params, &mut caller.as_context_mut().0.core);
        let engine = caller.as_context().0.core.engine().clone();
        let mut results: Vec<Val> = ty.results().iter().map(|ty| engine.registry().zero(*ty)).collect();
        call(caller.reborrow(), &params, &mut results)?;
        write_vals(&results, &ty, slots, &caller.as_context().0.core)
    }
}

/// Writes what a function of the host of type `ty` has returned into its slots.
pub(crate) fn write_vals(
    results: &[Val],
    ty: &FuncType,
    slots: &mut [u64],
    core: &StoreCore,
) -> Result<(), Error> {
    let mut at = 0;
    for (i, (result, want)) in results.iter().zip(ty.results()).enumerate() {
        if !result.matches(*want, core)? {
            return Err(Error::usage(format!("a host function's result {i} is {}, not {want}", result.ty())));
        }
        let [low, high] = result.to_slots(core)?;
        slots[at] = low;
        if want.slots() == 2 {
            slots[at + 1] = high;
        }
        at += want.slots() as usize;
    }
    Ok(())
}
