//! Calls that can wait, and functions of the host that do.

use std::future::Future;
use std::sync::Arc;

use super::slot_types::MOST_SLOTS;
use super::slot_types::WasmList;
use super::typed::FEW_SLOTS;
use super::wrap::{IntoHostResult, write_vals};
use super::{
    Func, HostParams, TypedFunc, WasmParams, WasmResults, check_arguments, read_vals, write_arguments,
};
use crate::caller::Caller;
use crate::error::Error;
use crate::runtime::future::{self, CallKind};
use crate::runtime::host::{self, HostCode, TypesOf};
use crate::store::{AsContext, AsContextMut, StoreInner};
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
        if const { P::SLOTS <= FEW_SLOTS && R::SLOTS <= FEW_SLOTS } {
            call_with::<T, P, R, FEW_SLOTS>(inner, self.func(), params).await
        } else {
            call_with::<T, P, R, MOST_SLOTS>(inner, self.func(), params).await
        }
    }
}

async fn call_with<T: Send + 'static, P: WasmParams, R: WasmResults, const SLOTS: usize>(
    inner: &mut StoreInner<T>,
    func: Func,
    params: P,
) -> Result<R, Error> {
    let mut slots = [0; SLOTS];
    params.write(&mut slots, Some(&inner.core))?;
    future::call(inner, func, &mut slots, CallKind::Function)?.await?;
    Ok(R::read(&slots, &mut inner.core))
}

/// The type and code of a function of the host whose types are those of a closure.
pub(crate) fn typed<T: 'static, P: HostParams, R: IntoHostResult + 'static>(
    call: impl for<'a> Fn(Caller<'a, T>, P) -> Box<dyn Future<Output = R> + Send + 'a> + Send + Sync + 'static,
) -> (FuncType, Arc<dyn HostCode>) {
    let ty = FuncType::new(P::types(), R::Values::types());
    let code = host::future_code(
        move |mut caller: Caller<'_, T>, slots: &mut [u64]| {
            let params = P::read(slots, caller.core_mut());
            Box::into_pin(call(caller, params))
        },
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
        move |mut caller: Caller<'_, T>, slots: &mut [u64]| {
            let params = P::read(slots, caller.core_mut());
            write(blocking(caller, params), slots)
        },
        move |mut caller: Caller<'_, T>, slots: &mut [u64]| {
            let params = P::read(slots, caller.core_mut());
            Box::into_pin(call(caller, params))
        },
        write::<R>,
    );
    (ty, code)
}

/// Writes what has come of a function of the host into its slots. The store is not at hand, of which references are: a function that returns some is
/// [`crate::Linker::func_new_async`].
fn write<R: IntoHostResult>(result: R, slots: &mut [u64]) -> Result<(), Error> {
    const {
        assert!(
            !R::Values::HAS_REFERENCES,
            "a typed function that waits returns no references: use func_new_async"
        )
    };
    result.into_host_result()?.write(slots, None)
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
