//! Calls that can wait, with values of any type.
//!
//! Must stay true: a call whose future is dropped leaves nothing of it behind but an instance that stays entered, and so cannot be entered again: its frames were left in the middle.

use innkeeper_engine::{AsContextMut, Error, StoreContextMut};

use crate::abi::{Boundary, Lends};
use crate::call::{HostCaller, arguments, async_return, finish};
use crate::entry::{Entry, enter, leave};
use crate::func::{Func, LiftedFunc, call_host};
use crate::reentry::refused;
use crate::state::{FuncInst, State};
use crate::trap::trap_on_throw;
use crate::val::Val;

impl Func {
    /// As [`Func::call`], on a fiber of the store's that waits where a function of the host does ([`crate::LinkerInstance::func_wrap_async`]), without holding the thread. While it waits, the future holds
    /// the store. Dropped before it has finished, it leaves all frames of the guest, and the store can be used again; the outermost instance cannot, because nobody knows what the guest was about to do.
    ///
    /// # Errors
    /// As [`Func::call`].
    pub async fn call_async<T: Send + 'static>(
        &self,
        mut store: impl AsContextMut<Data = T>,
        params: &[Val],
        results: &mut [Val],
    ) -> Result<(), Error> {
        let mut store = store.as_context_mut();
        match self.checked(store.attachment(), params, results)? {
            FuncInst::Host(host) => call_host(store, &host, params, results),
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
    let state = store.attachment::<State>();
    let call = state.begin(async_return(callee, Boundary::Host));
    state.is_of(func.func);
    let mut under = UnderWay { store: store.as_context_mut(), call, lends: Lends::default() };
    let mut caller = HostCaller { func, params, result: None, lends: Lends::default() };
    let handed_over = arguments(&mut under.store, (callee, call), &mut caller);
    under.lends = std::mem::take(&mut caller.lends);
    let mut slots = handed_over?;
    // Of results there is one at most.
    slots.resize(slots.len().max(1), 0);
    let core = callee.core;
    core.call_of_numbers_async(under.store.as_context_mut(), &mut slots).await.map_err(trap_on_throw)?;
    slots.truncate(1);
    finish(&mut under.store, (callee, call), &slots, &mut caller)?;
    drop(under);
    leave(store, callee.side.instance, Entry::Host);
    Ok(caller.result)
}

/// A call that has begun: it is forgotten however it ends, with all that was lent for it.
pub(crate) struct UnderWay<'a, T: 'static> {
    pub(crate) store: StoreContextMut<'a, T>,
    pub(crate) call: u32,
    pub(crate) lends: Lends,
}

impl<T: 'static> Drop for UnderWay<'_, T> {
    fn drop(&mut self) {
        let state = self.store.attachment::<State>();
        state.calls.truncate(self.call as usize);
        std::mem::take(&mut self.lends).end(state, None);
    }
}
