//! Functions of the host with values of any type whose futures run beside guests.

use std::sync::Arc;

use innkeeper_engine::{Error, ErrorKind, StoreContextMut};

use super::accessor::Accessor;
use super::host::{ConcurrentHost, HostFuture, HostReturn};
use crate::abi::{
    Boundary, Lends, Lower, MAX_FLAT_ASYNC_PARAMS, MAX_FLAT_PARAMS, MAX_FLAT_RESULTS, StringShapes,
};
use crate::call::{Lowered, with_lift};
use crate::func::HostCall;
use crate::linker::{Item, LinkerInstance};
use crate::resource::usage;
use crate::state::{Shared, State};
use crate::typed::{BoundResources, Running};
use crate::types::FuncTypeIndex;
use crate::val::Val;

impl<T: 'static> LinkerInstance<'_, T> {
    /// As [`LinkerInstance::func_wrap_concurrent`], with values of any type: it is given the arguments, and gives the result where the function has one, of whose type the guest's import decides.
    pub fn func_new_concurrent(
        &mut self,
        name: &str,
        call: impl Fn(Accessor<T>, Vec<Val>) -> Running<Option<Val>> + Send + Sync + 'static,
    ) -> &mut Self {
        self.items.insert(name, Item::HostFunc(HostCall::Concurrent(Arc::new(Dynamic { call }))));
        self
    }
}

struct Dynamic<F> {
    call: F,
}

impl<T, F> ConcurrentHost<T> for Dynamic<F>
where
    T: 'static,
    F: Fn(Accessor<T>, Vec<Val>) -> Running<Option<Val>> + Send + Sync,
{
    fn check(
        &self,
        name: &str,
        import: (&Shared, FuncTypeIndex),
        _: &State,
    ) -> Result<BoundResources, Error> {
        check_async(name, import, "func_new_concurrent")?;
        Ok(BoundResources::default())
    }

    fn begin(
        &self,
        store: &mut StoreContextMut<'_, T>,
        (lowered, _): (&Lowered, &BoundResources),
        (slots, lends): (&[u64], &mut Lends),
        accessor: Accessor<T>,
    ) -> Result<HostFuture, Error> {
        let tuple = lowered.side.shared.types.func(lowered.ty).params_tuple;
        let max_flat = if lowered.is_async { MAX_FLAT_ASYNC_PARAMS } else { MAX_FLAT_PARAMS };
        let mut strings = StringShapes::new();
        let (vals, charge) =
            with_lift(store, (&lowered.side, Boundary::Host), (lends, &mut strings), |lift| {
                lift.values(max_flat, slots, tuple)
            })?;
        let running = (self.call)(accessor, vals);
        Ok(Box::pin(async move {
            let result = running.await?;
            drop(charge);
            let lower: HostReturn =
                Box::new(move |guest, (lowered, _), slots| lower(guest, lowered, (slots, result)));
            Ok(lower)
        }))
    }
}

/// Gives a guest what a function of the host returns.
fn lower(
    guest: &mut dyn crate::abi::Guest,
    lowered: &Lowered,
    (slots, result): (&[u64], Option<Val>),
) -> Result<Vec<u64>, Error> {
    let types = &lowered.side.shared.types;
    let (Some(ty), Some(val)) = (types.func(lowered.ty).result, result) else { return Ok(Vec::new()) };
    crate::check::fits(types, ty, &val, &mut |_, _, _| Ok(())).map_err(|reason| {
        usage(&format!("what a function of the host has returned does not fit: {reason}"))
    })?;
    let max_flat = if lowered.is_async { 0 } else { MAX_FLAT_RESULTS };
    let (mut lends, mut strings) = (Lends::default(), StringShapes::new());
    let mut lower = Lower::new(&lowered.side, Boundary::Host, (guest, None), (&mut lends, &mut strings));
    lower.result(max_flat, (&val, ty), slots.last().copied())
}

/// Checks that a component imports a function as async.
pub(crate) fn check_async(
    name: &str,
    (shared, ty): (&Shared, FuncTypeIndex),
    defined_by: &str,
) -> Result<(), Error> {
    match shared.types.func(ty).is_async {
        true => Ok(()),
        false => Err(Error::new(ErrorKind::Link(format!(
            "the component imports `{name}` as a function that is not async, and it is defined as one that runs beside guests ({defined_by})"
        )))),
    }
}
