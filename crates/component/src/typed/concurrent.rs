//! Functions of the host with Rust types whose futures run beside guests.

use std::marker::PhantomData;
use std::sync::Arc;

use innkeeper_engine::{Error, StoreContextMut};

use super::host::{max_flat_params, take_params};
use super::wit::{BoundResources, check_as};
use super::{LiftOwned, Lower, LowerContext, ParamList, SlotsMut};
use crate::abi::{Guest, LendingCall, Lends, MAX_FLAT_RESULTS};
use crate::call::Lowered;
use crate::concurrent::{Accessor, ConcurrentHost, HostFuture, HostLowered, HostReturn, check_async};
use crate::func::HostCall;
use crate::linker::{Item, LinkerInstance};
use crate::state::{FuncInst, Shared, State};
use crate::types::FuncTypeIndex;

/// What a function of the host does meanwhile, and in the end gives.
pub type Running<R> = std::pin::Pin<Box<dyn Future<Output = Result<R, Error>> + Send>>;

impl<T: 'static> LinkerInstance<'_, T> {
    /// Defines an `async` function of the host whose future runs beside the store's guests: many can be under way at once, and whoever has called goes on meanwhile, if it can. The future has no part of the store, and
    /// reaches it in steps ([`Accessor::with`]). It is polled by whoever calls into the store: in [`crate::Func::call_async`] for any executor, in [`crate::Func::call`] by the thread that calls, which sleeps where nothing else is to
    /// be done.
    ///
    /// A component must import it as an `async` function.
    pub fn func_wrap_concurrent<P, R>(
        &mut self,
        name: &str,
        call: impl Fn(Accessor<T>, P) -> Running<R> + Send + Sync + 'static,
    ) -> &mut Self
    where
        P: ParamList + LiftOwned + Send + 'static,
        R: Lower + Send + 'static,
    {
        let call = Concurrent { call, types: PhantomData::<fn(P) -> R> };
        self.items.insert(name, Item::HostFunc(HostCall::Concurrent(Arc::new(call))));
        self
    }
}

struct Concurrent<P, R, F> {
    call: F,
    types: PhantomData<fn(P) -> R>,
}

impl<T, P, R, F> ConcurrentHost<T> for Concurrent<P, R, F>
where
    T: 'static,
    P: ParamList + LiftOwned + Send + 'static,
    R: Lower + Send + 'static,
    F: Fn(Accessor<T>, P) -> Running<R> + Send + Sync,
{
    fn check(
        &self,
        name: &str,
        import: (&Shared, FuncTypeIndex),
        state: &State,
    ) -> Result<BoundResources, Error> {
        check_async(name, import, "func_wrap_concurrent")?;
        check_as::<P, R>((&format!("`{name}`"), true), import, state)
    }

    fn begin(
        &self,
        store: &mut StoreContextMut<'_, T>,
        (lowered, resources): (&Lowered, &BoundResources),
        (slots, lends): (&[u64], &mut Lends),
        accessor: Accessor<T>,
    ) -> Result<HostFuture, Error> {
        let mut lending = LendingCall::new(store, Some(lowered.side.instance));
        let taken = take_params::<T, P>(&mut lending, (lowered, resources), slots);
        // They end when the caller is told that the call has.
        *lends = std::mem::take(&mut lending.lends);
        drop(lending);
        let (params, charge) = taken?;
        let running = (self.call)(accessor, params);
        Ok(Box::pin(async move {
            let result = running.await?;
            drop(charge);
            let lower: HostReturn =
                Box::new(move |guest, of, slots| lower::<P, R>(guest, of, (slots, &result)));
            Ok(lower)
        }))
    }
}

/// Gives a guest what a function of the host returns.
fn lower<P: ParamList + LiftOwned, R: Lower>(
    guest: &mut dyn Guest,
    (lowered, resources): (&Lowered, &BoundResources),
    (slots, result): (&[u64], &R),
) -> Result<Vec<u64>, Error> {
    // Where a result does not fit into a slot, the guest passes where it wants it, after the parameters.
    let params = if P::SHAPE.flat() <= max_flat_params(lowered) { P::SHAPE.flat() } else { 1 };
    let out = slots.get(params).copied().unwrap_or_default() as u32;
    let max_flat = if lowered.is_async { 0 } else { MAX_FLAT_RESULTS };
    let (mut passed, mut lends) = (SlotsMut::default(), Lends::default());
    let mut context = LowerContext::new((&lowered.side, resources), (guest, None), &mut lends);
    context.result(max_flat, (result, out), &mut passed)?;
    Ok(passed.as_slice().to_vec())
}

impl Lowered {
    /// The function, where it is one of the host's that runs beside guests.
    pub(crate) fn concurrent_host<T: 'static>(
        &self,
        store: &mut StoreContextMut<'_, T>,
    ) -> Result<Option<HostLowered<T>>, Error> {
        let Some(FuncInst::Host(host)) = store.attachment::<State>().funcs.get(self.func.0 as usize) else {
            return Ok(None);
        };
        let HostCall::Concurrent(call) = host.of::<T>()? else { return Ok(None) };
        let (side, func) = (self.side.clone(), self.func);
        let lowered = Arc::new(Lowered { side, func, ty: self.ty, is_async: self.is_async });
        Ok(Some(HostLowered {
            lowered,
            host: Arc::clone(call),
            resources: Arc::clone(host.shared_resources()),
        }))
    }
}
