//! Host functions from closures: types read off the closure, or given at run time.

use std::sync::Arc;

use super::{HostParams, WasmResults, WasmType, read_vals};
use crate::caller::Caller;
use crate::error::Error;
use crate::runtime::host::{self, HostCode, TypesOf, WithoutStore};
use crate::store::{AsContext, AsContextMut, StoreCore};
use crate::types::FuncType;
use crate::value::Val;

/// A closure that can be a host function: up to 12 parameters, with or without a leading [`Caller`], and a result as
/// [`IntoHostResult`] says. `Params` and `Results` only tell implementations apart.
pub trait IntoFunc<T, Params, Results>: Send + Sync + 'static {
    #[doc(hidden)]
    #[allow(private_interfaces, reason = "implemented here only")]
    fn into_func(self) -> (FuncType, Arc<dyn HostCode>);
}

/// What a host function may return: values, or a `Result` of values whose error ends the guest.
pub trait IntoHostResult {
    /// The values.
    type Values: HostValues;
    /// The values, or why the guest ends.
    fn into_host_result(self) -> Result<Self::Values, Error>;
}

/// Values that a host function returns.
pub trait HostValues: WasmResults {
    /// Writes the values into the first slots.
    fn write(self, slots: &mut [u64]);
}

impl<V: WasmResults + super::WasmParams> HostValues for V {
    #[inline(always)]
    fn write(self, slots: &mut [u64]) {
        super::WasmParams::write(self, slots);
    }
}

impl<V: HostValues> IntoHostResult for V {
    type Values = V;
    fn into_host_result(self) -> Result<V, Error> {
        Ok(self)
    }
}

impl<V: HostValues> IntoHostResult for Result<V, Error> {
    type Values = V;
    fn into_host_result(self) -> Result<V, Error> {
        self
    }
}

/// Marks closures that take a [`Caller`] first.
pub struct WithCaller;

macro_rules! closures {
    ($(($($name:ident $position:tt),*))*) => {$(
        impl<T: 'static, Call, R, $($name: WasmType,)*> IntoFunc<T, (WithCaller, $($name,)*), R> for Call
        where
            Call: Fn(Caller<'_, T> $(, $name)*) -> R + Send + Sync + 'static,
            R: IntoHostResult + 'static,
        {
            #[allow(private_interfaces, reason = "implemented here only")]
            fn into_func(self) -> (FuncType, Arc<dyn HostCode>) {
                let code = host::code::<T, TypesOf<($($name,)*), R::Values>>(move |caller, slots: &mut [u64]| {
                    let results = self(caller $(, $name::from_slot(slots[$position]))*).into_host_result()?;
                    results.write(slots);
                    Ok(())
                });
                (FuncType::new(<($($name,)*) as HostParams>::types(), R::Values::types()), code)
            }
        }

        impl<T: 'static, Call, R, $($name: WasmType,)*> IntoFunc<T, ($($name,)*), R> for Call
        where
            Call: Fn($($name),*) -> R + Send + Sync + 'static,
            R: IntoHostResult + 'static,
        {
            #[allow(private_interfaces, reason = "implemented here only")]
            fn into_func(self) -> (FuncType, Arc<dyn HostCode>) {
                let code = host::code::<T, WithoutStore<TypesOf<($($name,)*), R::Values>>>(move |_, slots: &mut [u64]| {
                    let results = self($($name::from_slot(slots[$position])),*).into_host_result()?;
                    results.write(slots);
                    Ok(())
                });
                (FuncType::new(<($($name,)*) as HostParams>::types(), R::Values::types()), code)
            }
        }
    )*};
}

closures! {
    ()
    (A 0)
    (A 0, B 1)
    (A 0, B 1, C 2)
    (A 0, B 1, C 2, D 3)
    (A 0, B 1, C 2, D 3, E 4)
    (A 0, B 1, C 2, D 3, E 4, F 5)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11)
}

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
