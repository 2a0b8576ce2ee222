//! Calls that can wait, and functions of the host that do.

use std::future::Future;
use std::sync::Arc;

use super::wrap::{HostValues, IntoHostResult, write_vals};
use super::{
    Func, HostParams, TypedFunc, WasmParams, WasmResults, check_arguments, read_vals, write_arguments,
};
use crate::caller::Caller;
use crate::error::Error;
use crate::runtime::future::{self, CallKind};
use crate::runtime::host::{self, HostCode, TypesOf};
use crate::store::{AsContext, AsContextMut};
use crate::types::FuncType;
use crate::value::Val;

impl Func {
    /// As [`Func::call`], on a fiber of the store's that waits where a function of the host does, without holding the thread. Whoever polls may be any
    /// executor, on any thread. While it waits, the future holds the store. Dropped before it has finished, it leaves all frames of the guest, and the store can be used
    /// again; what the guest has done until then stays done.
    ///
    /// # Errors
    /// As [`Func::call`].
    pub async fn call_async<T: Send + 'static>(
        &self,
        mut store: impl AsContextMut<Data = T>,
        params: &[Val],
        results: &mut [Val],
    ) -> Result<(), Error> {
        let ty = self.ty(&store)?;
        let inner = store.as_context_mut().0;
        check_arguments(&inner.core, &ty, params, results)?;
        let mut slots = vec![0; ty.call_slots() as usize];
        write_arguments(params, &mut slots, &inner.core)?;
        future::call(inner, *self, &mut slots, CallKind::Function)?.await?;
        read_vals(&slots, ty.results(), results, &mut inner.core);
        Ok(())
    }
}

impl<P: WasmParams, R: WasmResults> TypedFunc<P, R> {
    /// As [`TypedFunc::call`], and can wait: see [`Func::call_async`].
    ///
    /// # Errors
    /// As [`TypedFunc::call`].
    pub async fn call_async<T: Send + 'static>(
        &self,
        mut store: impl AsContextMut<Data = T>,
        params: P,
    ) -> Result<R, Error> {
        let inner = store.as_context_mut().0;
        // Typed lists hold at most 8 values of one slot.
        let mut slots = [0; 8];
        params.write(&mut slots);
        future::call(inner, self.func(), &mut slots, CallKind::Function)?.await?;
        Ok(R::read(&slots))
    }
}

/// The type and code of a function of the host whose types are those of a closure.
pub(crate) fn typed<T: 'static, P: HostParams, R: IntoHostResult + 'static>(
    call: impl for<'a> Fn(Caller<'a, T>, P) -> Box<dyn Future<Output = R> + Send + 'a> + Send + Sync + 'static,
) -> (FuncType, Arc<dyn HostCode>) {
    let ty = FuncType::new(P::types(), R::Values::types());
    let code = host::future_code(
        move |caller, slots: &mut [u64]| Box::into_pin(call(caller, P::read(slots))),
        write::<R>,
    );
    (ty, code)
}

/// As [`typed`], for a function that is another closure where it cannot wait.
pub(crate) fn typed_either<T: 'static, P: HostParams, R: IntoHostResult + 'static>(
    blocking: impl Fn(Caller<'_, T>, P) -> R + Send + Sync + 'static,
    call: impl for<'a> Fn(Caller<'a, T>, P) -> Box<dyn Future<Output = R> + Send + 'a> + Send + Sync + 'static,
) -> (FuncType, Arc<dyn HostCode>) {
    let ty = FuncType::new(P::types(), R::Values::types());
    let code = host::either_code::<T, TypesOf<P, R::Values>, R>(
        move |caller, slots: &mut [u64]| write(blocking(caller, P::read(slots)), slots),
        move |caller, slots: &mut [u64]| Box::into_pin(call(caller, P::read(slots))),
        write::<R>,
    );
    (ty, code)
}

/// Writes what has come of a function of the host into its slots.
fn write<R: IntoHostResult>(result: R, slots: &mut [u64]) -> Result<(), Error> {
    result.into_host_result()?.write(slots);
    Ok(())
}

/// The code of a function of the host of a type known at run time.
pub(crate) fn dynamic<T: Send + 'static>(
    ty: FuncType,
    call: impl for<'a> Fn(
        Caller<'a, T>,
        &'a [Val],
        &'a mut [Val],
    ) -> Box<dyn Future<Output = Result<(), Error>> + Send + 'a>
    + Send
    + Sync
    + 'static,
) -> Arc<dyn HostCode> {
    let call = Arc::new(call);
    host::future_code(
        move |mut caller: Caller<'_, T>, slots: &mut [u64]| {
            let (ty, call) = (ty.clone(), Arc::clone(&call));
            Box::pin(async move {
                let mut params: Vec<Val> = ty.params().iter().map(|ty| Val::zero(*ty)).collect();
                read_vals(slots, ty.params(), &mut params, &mut caller.as_context_mut().0.core);
                let engine = caller.as_context().0.core.engine().clone();
                let mut results: Vec<Val> =
                    ty.results().iter().map(|ty| engine.registry().zero(*ty)).collect();
                Box::into_pin(call(caller.reborrow(), &params, &mut results)).await?;
                write_vals(&results, &ty, slots, &caller.as_context().0.core)
            })
        },
        |result: Result<(), Error>, _: &mut [u64]| result,
    )
}
