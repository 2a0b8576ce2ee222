//! Functions of the host whose futures run beside guests: `func_wrap_concurrent`.
//!
//! Such a future has no part of the store, and so others go on while it waits. It reaches the store in steps: what it wants done there is handed over ([`Accessor::with`]) to whoever polls the host's call, which
//! has the store, and does it between two polls.
//!
//! Must stay true: a future is polled with a waker that says which one is to be polled again; what was woken is polled by the next one that lets the store's threads run. What it has borrowed of its caller's handles
//! ends when the caller is told that it has ended.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker};

use innkeeper_engine::{AsContextMut, Error, HostEnding, StoreContextMut};

use super::accessor::{Accessor, lock, run_steps};
use super::host_tasks::{HostTask, TaskWaker, add};
use super::subtask::{self, Callee, Subtask, SubtaskState};
use super::waitable::WaitableKind;
use super::{Key, Waitable};
use crate::abi::{InStore, Lends};
use crate::call::Lowered;
use crate::entry::{Entry, check_leave, enter, leave, may_enter};
use crate::state::State;
use crate::trap::{Trap, trap_on_throw};
use crate::typed::BoundResources;

/// What comes of a function of the host: it gives the result to its caller, and says what is passed back in core values.
pub(crate) type HostReturn = Box<
    dyn FnOnce(&mut dyn crate::abi::Guest, (&Lowered, &BoundResources), &[u64]) -> Result<Vec<u64>, Error>
        + Send,
>;

/// A function of the host that runs.
pub(crate) type HostFuture = Pin<Box<dyn Future<Output = Result<HostReturn, Error>> + Send>>;

/// A function of the host whose futures run beside guests, in stores with data of type `T`.
pub(crate) trait ConcurrentHost<T: 'static>: Send + Sync {
    /// Checks that a component's import is of these types.
    fn check(
        &self,
        name: &str,
        import: (&crate::state::Shared, crate::types::FuncTypeIndex),
        state: &State,
    ) -> Result<BoundResources, Error>;

    /// Begins a call by a guest, whose parameters stand in the slots.
    fn begin(
        &self,
        store: &mut StoreContextMut<'_, T>,
        of: (&Lowered, &BoundResources),
        given: (&[u64], &mut Lends),
        accessor: Accessor<T>,
    ) -> Result<HostFuture, Error>;
}

/// As [`Accessor::spawn`], and begun at once, for functions of the host that are called as often as guests want: what the future takes is charged to the store's budget.
///
/// # Errors
/// Where the budget has no more; where the future fails at once.
pub fn spawn(
    mut store: impl AsContextMut,
    future: impl Future<Output = Result<(), Error>> + Send + 'static,
) -> Result<(), Error> {
    let mut store = store.as_context_mut();
    let budget = store.budget().clone();
    let future: HostFuture = Box::pin(async move {
        future.await?;
        let nothing: HostReturn = Box::new(|_, _, _| Ok(Vec::new()));
        Ok(nothing)
    });
    let state = store.attachment::<State>();
    let waker = state.concurrent.host.waker();
    let key = add(state, (future, waker), (None, &Arc::default()), &budget)?;
    poll(&mut store, key)?;
    Ok(())
}

/// Such a function as a component instance sees it that imports it.
pub(crate) struct HostLowered<T: 'static> {
    pub(crate) lowered: Arc<Lowered>,
    pub(crate) host: Arc<dyn ConcurrentHost<T>>,
    pub(crate) resources: Arc<BoundResources>,
}

impl<T: 'static> HostLowered<T> {
    /// Calls the function for the guest, with so many parameters in the first slots.
    pub(crate) fn call(
        &self,
        store: &mut StoreContextMut<'_, T>,
        slots: &mut [u64],
        params: usize,
    ) -> Result<HostEnding, Error> {
        let (lowered, instance) = (&self.lowered, self.lowered.side.instance);
        check_leave(store, instance)?;
        let can_wait = store.can_park() && store.attachment::<State>().can_block();
        if !lowered.is_async && !can_wait {
            return Err(Trap::CannotBlock.into());
        }
        let mut lends = Lends::default();
        let passed = slots.get(..params).unwrap_or_default();
        let begun = match self.begin(store, (passed, &mut lends)) {
            Ok(Begun::Ended(result)) => {
                lends.end(store.attachment(), Some(instance));
                let status = u64::from(SubtaskState::Returned as u32);
                if let Some(slot) = slots.first_mut() {
                    *slot = if lowered.is_async { status } else { result };
                }
                return Ok(HostEnding::Returns);
            }
            Ok(Begun::Waits(future, waker)) => (future, waker),
            Err(error) => {
                lends.end(store.attachment(), Some(instance));
                return Err(error);
            }
        };
        let subtask = Subtask::of_host(lowered, passed.to_vec(), lends);
        let budget = store.budget().clone();
        let state = store.attachment::<State>();
        let waitable = Waitable::new(instance, WaitableKind::Subtask(subtask));
        let key = state.concurrent.waitables.add(waitable, &budget)?;
        let task = add(state, begun, (Some(key), &self.resources), &budget)?;
        subtask::set_callee(state, key, Callee::Host(task));
        if run_steps(store) {
            poll(store, task)?;
        }
        subtask::answer(store, (key, lowered), slots)
    }

    /// Begins the function, and polls it once: most have ended then, and nothing is kept of them.
    fn begin(
        &self,
        store: &mut StoreContextMut<'_, T>,
        (passed, lends): (&[u64], &mut Lends),
    ) -> Result<Begun, Error> {
        let of = (&*self.lowered, &*self.resources);
        let steps = store.attachment::<State>().concurrent.host.steps::<T>();
        let begun = self.host.begin(store, of, (passed, lends), Accessor::new(steps));
        let mut future = begun.map_err(trap_on_throw)?;
        let task_waker = store.attachment::<State>().concurrent.host.waker();
        let waker = Waker::from(Arc::clone(&task_waker));
        let polled = future.as_mut().poll(&mut Context::from_waker(&waker));
        let Poll::Ready(ended) = polled else { return Ok(Begun::Waits(future, task_waker)) };
        drop((future, waker));
        store.attachment::<State>().concurrent.host.keep_waker(task_waker);
        let ended = ended.map_err(|error| why_stopped(store, trap_on_throw(error)))?;
        let mut guest = InStore { store, side: &self.lowered.side };
        let results = ended(&mut guest, of, passed)?;
        Ok(Begun::Ended(results.first().copied().unwrap_or_default()))
    }
}

/// A function of the host that was begun.
enum Begun {
    /// It has ended, and this is what it passes back in a core value.
    Ended(u64),
    Waits(HostFuture, Arc<TaskWaker>),
}

/// So often a future is polled at once, for which steps are done in between: others have their turn then, however fast the system is that it waits for.
const MOST_AT_ONCE: usize = 16;

/// Polls one; true where it has ended.
fn poll<T: 'static>(store: &mut StoreContextMut<'_, T>, key: Key<HostTask>) -> Result<bool, Error> {
    for _ in 0..MOST_AT_ONCE {
        let state = store.attachment::<State>();
        let Some(task) = state.concurrent.host.tasks.get_mut(key) else { return Ok(true) };
        let waker = Waker::from(Arc::clone(&task.waker));
        let Some(mut future) = task.future.get_mut().unwrap_or_else(PoisonError::into_inner).take() else {
            return Ok(false);
        };
        let polled =
            catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut Context::from_waker(&waker))));
        let polled = polled.unwrap_or_else(|panic| {
            // Nobody polls it again, and nobody is to wait for it.
            store.attachment::<State>().concurrent.host.remove(key);
            resume_unwind(panic)
        });
        match polled {
            Poll::Ready(ended) => {
                drop(future);
                let task = store.attachment::<State>().concurrent.host.remove(key);
                let ended = ended.map_err(|error| why_stopped(store, trap_on_throw(error)))?;
                let Some(task) = task else { return Ok(true) };
                finish(store, &task, ended)?;
                return Ok(true);
            }
            Poll::Pending => {
                if let Some(task) = store.attachment::<State>().concurrent.host.tasks.get_mut(key) {
                    *task.future.get_mut().unwrap_or_else(PoisonError::into_inner) = Some(future);
                }
            }
        }
        if !run_steps(store) {
            return Ok(false);
        }
    }
    // What was done for it has woken it: it goes on after the others.
    Ok(false)
}

/// Why a wait was given up: the store knows what it was stopped for.
fn why_stopped<T: 'static>(store: &mut StoreContextMut<'_, T>, error: Error) -> Error {
    match error.trap() {
        Some(innkeeper_engine::Trap::Interrupted) => store.check_interrupts().err().unwrap_or(error),
        _ => error,
    }
}

/// Gives a result to its caller.
fn finish<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    task: &HostTask,
    ended: HostReturn,
) -> Result<(), Error> {
    let state = store.attachment::<State>();
    let Some(subtask) = task.subtask else { return Ok(()) };
    let Some((lowered, slots)) = subtask::passed(state, subtask) else { return Ok(()) };
    let mut guest = InStore { store, side: &lowered.side };
    let results = ended(&mut guest, (&lowered, &task.resources), &slots)?;
    subtask::returned(store.attachment(), subtask, results);
    Ok(())
}

/// Polls at once what was told that a guest has dropped an end: the host has done with the other one before the guest goes on, and so a socket is closed that only the stream has kept open. A future whose result a guest
/// waits for is left to its turn; one that was to be polled anyway, and has not ended, is polled again in its turn.
///
/// # Errors
/// Where one fails.
pub(super) fn poll_told<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    told: Vec<Key<HostTask>>,
) -> Result<(), Error> {
    for key in told {
        let task = store.attachment::<State>().concurrent.host.tasks.get(key);
        if task.is_some_and(|task| task.subtask.is_none()) {
            poll(store, key)?;
        }
    }
    Ok(())
}

/// Polls those that were woken; whether there was one.
///
/// # Errors
/// Where one fails.
pub(super) fn poll_woken<T: 'static>(store: &mut StoreContextMut<'_, T>) -> Result<bool, Error> {
    let mut has_polled = run_steps(store);
    // Those that are woken meanwhile wait for their next turn, and where one fails, all after it.
    let count = lock(&store.attachment::<State>().concurrent.host.woken.keys).len();
    for _ in 0..count {
        let state = store.attachment::<State>();
        let Some(key) = state.concurrent.host.next() else { break };
        let Some(task) = state.concurrent.host.tasks.get(key) else { continue };
        let instance = match task.subtask {
            None => None,
            Some(subtask) => match state.concurrent.waitables.get(subtask) {
                Some(waitable) => Some(waitable.instance),
                None => {
                    state.concurrent.host.remove(key);
                    continue;
                }
            },
        };
        has_polled = true;
        // What it gives is lowered as if its caller ran: a trap meanwhile poisons that.
        match instance.filter(|instance| may_enter(store, *instance, Entry::Host)) {
            Some(instance) => {
                enter(store, instance, Entry::Host)?;
                poll(store, key)?;
                leave(store, instance, Entry::Host);
            }
            None => {
                poll(store, key)?;
            }
        }
    }
    Ok(has_polled)
}
