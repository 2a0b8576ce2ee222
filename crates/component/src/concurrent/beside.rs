//! Calls of async functions that the host has under way beside each other, in one store.
//!
//! Must stay true: a call that is given up leaves its task as one that nobody waits for; nothing is poisoned.

use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

use innkeeper_engine::{AsContextMut, Error, StoreContextMut};

use super::accessor::lock;
use super::drive::{begin_for, give_up_task, result};
use super::task::HostCaller;
use super::{Accessor, Key, Task};
use crate::func::Func;
use crate::state::{FuncInst, State};
use crate::trap::Trap;
use crate::val::Val;

impl Func {
    /// Calls an async function beside others: many calls can be under way in one instance at once, as far as its backpressure allows. Guests run for as long as somebody awaits
    /// [`run_concurrent`](crate::run_concurrent), in whose closure this is awaited; which of the calls returns first is up to them. A function that is not async runs whole in its turn.
    ///
    /// Dropped before it has returned, it cancels the task, which goes on by the standard's rules whenever somebody lets the store's guests run.
    ///
    /// # Errors
    /// As [`Func::call`]; a trap of whichever guest ends `run_concurrent`, and with it all calls.
    pub async fn call_concurrent<T: Send + 'static>(
        &self,
        accessor: &Accessor<T>,
        params: &[Val],
        results: &mut [Val],
    ) -> Result<(), Error> {
        let (func, params, room) = (*self, params.to_vec(), results.len());
        let told = Arc::new(Told::default());
        let under_way = UnderWay { accessor: accessor.clone(), wanted: Arc::default() };
        let (telling, wanted) = (Telling(Arc::clone(&told)), Arc::clone(&under_way.wanted));
        let begun = accessor.with(move |mut store| {
            if matches!(*lock(&wanted), Wanted::No) {
                return Ok(Begun::Returned(None));
            }
            // Nothing is locked meanwhile: a function of the host that the guest calls may drop the very future that waits for it.
            let begun = begin_call(&mut store, func, (params, room), telling)?;
            if let Begun::Task(key) = begun {
                match &mut *lock(&wanted) {
                    Wanted::Yes(task) => *task = Some(key),
                    // Whoever gave it up has found no task yet.
                    Wanted::No => give_up(&mut store, key),
                }
            }
            Ok::<_, Error>(begun)
        });
        let returned = match begun.await? {
            Begun::Returned(returned) => returned,
            Begun::Task(key) => {
                std::future::poll_fn(|context| told.poll(context.waker())).await;
                let outcome = accessor.with(move |mut store| result(&mut store, key)).await;
                *lock(&under_way.wanted) = Wanted::No;
                outcome.unwrap_or_else(|| Err(Trap::CannotEnter.into()))?
            }
        };
        if let (Some(result), Some(val)) = (results.first_mut(), returned) {
            *result = val;
        }
        Ok(())
    }
}

/// How far a call has come after its first step.
enum Begun {
    Task(Key<Task>),
    /// The function is not async.
    Returned(Option<Val>),
}

fn begin_call<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    func: Func,
    (params, room): (Vec<Val>, usize),
    telling: Telling,
) -> Result<Begun, Error> {
    match func.checked(store.attachment(), &params, room)? {
        FuncInst::Lifted(callee) if callee.is_async_typed() => {
            let caller = HostCaller { params, told: Some(telling), ..HostCaller::default() };
            let begun = store.in_turn(|store| begin_for(store, (&func, &callee), caller));
            Ok(Begun::Task(begun??))
        }
        _ => {
            let mut results = vec![Val::Bool(false); room];
            func.call(store.as_context_mut(), &params, &mut results)?;
            Ok(Begun::Returned(results.pop()))
        }
    }
}

/// Tells when it is dropped, which is when a task's result is there, or when the task is gone without.
pub(crate) struct Telling(Arc<Told>);

/// Whether it was told, and who waits for that.
#[derive(Default)]
struct Told(Mutex<(bool, Option<Waker>)>);

impl Told {
    /// Whether it was told; otherwise that waker is woken then.
    fn poll(&self, waker: &Waker) -> Poll<()> {
        let mut told = lock(&self.0);
        if told.0 {
            return Poll::Ready(());
        }
        told.1 = Some(waker.clone());
        Poll::Pending
    }
}

impl Drop for Telling {
    fn drop(&mut self) {
        let waker = {
            let mut told = lock(&self.0.0);
            told.0 = true;
            told.1.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// Whether somebody still asks for a call's result.
enum Wanted {
    /// And its task, once that has begun.
    Yes(Option<Key<Task>>),
    No,
}

impl Default for Wanted {
    fn default() -> Wanted {
        Wanted::Yes(None)
    }
}

/// A call from the host, until its result is there.
struct UnderWay<T: 'static> {
    accessor: Accessor<T>,
    wanted: Arc<Mutex<Wanted>>,
}

impl<T: 'static> Drop for UnderWay<T> {
    fn drop(&mut self) {
        let wanted = std::mem::replace(&mut *lock(&self.wanted), Wanted::No);
        let Wanted::Yes(Some(key)) = wanted else { return };
        self.accessor.later(move |store| give_up(store, key));
    }
}

/// Nobody asks for a task's result any more: it is cancelled, and goes on as one that nobody waits for.
fn give_up<T: 'static>(store: &mut StoreContextMut<'_, T>, key: Key<Task>) {
    let state = store.attachment::<State>();
    if give_up_task(state, key) {
        state.concurrent.given_up.push(key);
    }
}
