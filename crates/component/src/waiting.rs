//! Calls that can wait, with values of any type.
//!
//! Must stay true: a call whose future is dropped leaves nothing of it behind but an instance that stays entered, and so cannot be entered again: its frames were left in the middle.

use innkeeper_engine::{AsContextMut, Error, StoreContextMut};

use crate::abi::LendingCall;
use crate::call::{HostCaller, arguments, finish};
use crate::concurrent::{Until, call_from_host_async};
use crate::entry::{Entry, enter, leave};
use crate::func::{Func, LiftedFunc, call_host};
use crate::reentry::refused;
use crate::state::{FuncInst, State};
use crate::trap::trap_on_throw;
use crate::under_way::CallUnderWay;
use crate::val::Val;

impl Func {
    /// As [`Func::call`], on a fiber of the store's that waits where a function of the host does ([`crate::LinkerInstance::func_wrap_async`]), without holding the thread. While it waits, the future holds
    /// the store. Dropped before it has finished, it leaves all frames of the guest, and the store can be used again; the outermost instance cannot, because nobody knows what the guest was about to do.
    ///
    /// # Errors
    /// As [`Func::call`].
    pub async fn call_async<T: Send + 'static>(
        &self,
        store: impl AsContextMut<Data = T>,
        params: &[Val],
        results: &mut [Val],
    ) -> Result<(), Error> {
        self.call_until_async(store, (params, Until::Returned), results).await
    }

    /// As [`Func::call_to_end`], and can wait: see [`Func::call_async`].
    ///
    /// # Errors
    /// As [`Func::call_to_end`].
    pub async fn call_to_end_async<T: Send + 'static>(
        &self,
        store: impl AsContextMut<Data = T>,
        params: &[Val],
        results: &mut [Val],
    ) -> Result<(), Error> {
        self.call_until_async(store, (params, Until::Ended), results).await
    }

    async fn call_until_async<T: Send + 'static>(
        &self,
        mut store: impl AsContextMut<Data = T>,
        (params, until): (&[Val], Until),
        results: &mut [Val],
    ) -> Result<(), Error> {
        let mut store = store.as_context_mut();
        match self.checked(store.attachment(), params, results.len())? {
            FuncInst::Host(host) => call_host(store, &host, params, results),
            FuncInst::Lifted(callee) if callee.is_async_typed() => {
                let result = call_from_host_async(&mut store, (self, &callee), (params, until)).await?;
                if let (Some(result), Some(val)) = (results.first_mut(), result) {
                    *result = val;
                }
                Ok(())
            }
            FuncInst::Lifted(callee) => {
                let result = call_lifted(&mut store, (self, &callee), params).await?;
                if let (Some(result), Some(val)) = (results.first_mut(), result) {
                    *result = val;
                }
                Ok(())
            }
        }
    }
}

async fn call_lifted<T: Send + 'static>(
    store: &mut StoreContextMut<'_, T>,
    (func, callee): (&Func, &LiftedFunc),
    params: &[Val],
) -> Result<Option<Val>, Error> {
    if let Err(trap) = enter(store, callee.side.instance, Entry::Host) {
        return Err(refused(store.attachment(), func, trap));
    }
    let mut lending = LendingCall::new(store, None);
    let number = lending.store.attachment::<State>().begin_of(Some(func.func));
    let call = CallUnderWay::begun(&mut *lending.store, number);
    let mut caller = HostCaller { func, params, result: None, lends: &mut lending.lends };
    let mut slots = Vec::new();
    arguments(call.store, (callee, call.number), &mut caller, &mut slots)?;
    // Of results there is one at most.
    slots.resize(slots.len().max(1), 0);
    let core = callee.core;
    core.call_of_numbers_async(call.store.as_context_mut(), &mut slots).await.map_err(trap_on_throw)?;
    slots.truncate(1);
    finish(call.store, (callee, call.number), &slots, &mut caller)?;
    let result = caller.result;
    drop(call);
    drop(lending);
    leave(store, callee.side.instance, Entry::Host);
    Ok(result)
}
