//! Calls of async functions from the host, and what lets the store's threads run for them.
//!
//! Must stay true: a call that is given up leaves its task as one that nobody waits for; nothing is poisoned.

use std::sync::Arc;
#[cfg(feature = "async")]
use std::task::{Context, Poll};
use std::task::{Wake, Waker};

use innkeeper_engine as core;
#[cfg(feature = "async")]
use innkeeper_engine::AsContextMut;
use innkeeper_engine::{Error, StoreContextMut};

#[cfg(feature = "async")]
use super::accessor::Accessor;
use super::host::poll_woken;
use super::host_tasks::drop_ends;
use super::schedule::{drop_poisoned, tick};
use super::task::{self, HostCaller, HostResult, TaskCaller, TaskState};
use super::thread::ThreadState;
#[cfg(feature = "async")]
use super::turn::continue_left;
use super::{Key, Task, Wait, finish_left};
use crate::entry::{Entry, poison};
use crate::func::{Func, LiftedFunc};
use crate::reentry::refused;
use crate::state::State;
use crate::trap::Trap;
use crate::val::Val;

/// After so many turns of guests in one poll, others of the executor have theirs; and where the store has slices of time ([`innkeeper_engine::Store::yield_every`]), after one of them.
#[cfg(feature = "async")]
const TURNS: usize = 64;

/// How long the store's threads run for a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    /// Until the function has returned.
    Returned,
    /// Until its task has ended: it may go on after it has returned.
    Ended,
}

/// A call from the host that is under way.
struct Driven {
    task: Key<Task>,
    until: Until,
    /// What it has returned.
    returned: Option<Result<Option<Val>, Error>>,
}

impl Driven {
    /// What the call gives, once it is over.
    fn outcome<T: 'static>(
        &mut self,
        store: &mut StoreContextMut<'_, T>,
    ) -> Option<Result<Option<Val>, Error>> {
        if self.returned.is_none() {
            self.returned = Some(result(store, self.task)?);
        }
        let goes_on = self.until == Until::Ended
            && matches!(self.returned, Some(Ok(_)))
            && store.attachment::<State>().concurrent.tasks.get(self.task).is_some();
        if goes_on { None } else { self.returned.take() }
    }

    /// What it gives where it cannot go on. What has returned may leave something behind that waits for ever.
    fn stopped<T: 'static>(
        &mut self,
        store: &mut StoreContextMut<'_, T>,
        error: Error,
    ) -> Result<Option<Val>, Error> {
        match self.returned.take() {
            Some(returned) if matches!(error.downcast_ref(), Some(Trap::Deadlock(_))) => returned,
            _ => {
                // What was waited for beside the guest was given up: the store knows why.
                let error = match error.trap() {
                    Some(core::Trap::Interrupted) => store.check_interrupts().err().unwrap_or(error),
                    _ => error,
                };
                Err(give_up(store, self.task, error))
            }
        }
    }
}

/// Calls an async function, and lets the store's threads run until it has returned or ended.
///
/// # Errors
/// Where something traps meanwhile; where nothing can ever go on, and it has not returned.
pub(crate) fn call_from_host<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    (func, callee): (&Func, &Arc<LiftedFunc>),
    (params, until): (&[Val], Until),
) -> Result<Option<Val>, Error> {
    finish_left(store)?;
    let task = begin(store, (func, callee), params)?;
    let mut driven = Driven { task, until, returned: None };
    loop {
        if let Some(result) = driven.outcome(store) {
            return result;
        }
        let stepped = match step(store) {
            Ok(Step::Waits) => sleep(store),
            Ok(Step::Ran) => store.check_interrupts(),
            Err(error) => Err(error),
        };
        if let Err(error) = stepped {
            return driven.stopped(store, error);
        }
    }
}

/// As [`call_from_host`], without holding the thread where only the host can go on. Dropped before it has ended, it cancels the task, which goes on by the standard's rules whenever somebody lets the store's threads run.
///
/// # Errors
/// As [`call_from_host`].
#[cfg(feature = "async")]
pub(crate) async fn call_from_host_async<T: Send + 'static>(
    store: &mut StoreContextMut<'_, T>,
    (func, callee): (&Func, &Arc<LiftedFunc>),
    (params, until): (&[Val], Until),
) -> Result<Option<Val>, Error> {
    let mut call = HostCallUnderWay { store, driven: None };
    std::future::poll_fn(move |context| call.poll((func, callee), (params, until), context)).await
}

/// Does `act` beside a store's guests, which run whenever they can meanwhile: for what the host does with streams and futures that it was given. Traps of guests end it.
///
/// # Errors
/// Where a guest traps, or is to stop.
#[cfg(feature = "async")]
pub async fn run_concurrent<T: Send + 'static, R>(
    mut store: impl AsContextMut<Data = T>,
    act: impl AsyncFnOnce(Accessor<T>) -> R,
) -> Result<R, Error> {
    let mut store = store.as_context_mut();
    let mut act = std::pin::pin!(act(Accessor::of(store.as_context_mut())));
    std::future::poll_fn(move |context| {
        for _ in 0..TURNS {
            if let Poll::Ready(result) = act.as_mut().poll(context) {
                return Poll::Ready(Ok(result));
            }
            let ticked = store.in_turn(tick).and_then(|ticked| ticked);
            if store.attachment::<State>().has_left() {
                break;
            }
            let stepped = match ticked {
                Ok(true) if is_turn_of_host(store.attachment()) => poll_woken(&mut store).map(|_| true),
                Ok(true) => Ok(true),
                Ok(false) => poll_woken(&mut store),
                Err(error) => Err(error),
            };
            match stepped {
                Ok(true) if store.turn_is_over() => break,
                Ok(true) => {}
                Ok(false) => {
                    store.check_interrupts()?;
                    let host = &store.attachment::<State>().concurrent.host;
                    if !host.is_woken_or_tells(context.waker()) {
                        return Poll::Pending;
                    }
                }
                Err(error) => {
                    drop_poisoned(&mut store);
                    return Poll::Ready(Err(error));
                }
            }
        }
        leave_turn(&mut store, context)
    })
    .await
}

/// Has others of the executor have their turn, unless the guests are to stop.
#[cfg(feature = "async")]
fn leave_turn<T: 'static, R>(
    store: &mut StoreContextMut<'_, T>,
    context: &Context<'_>,
) -> Poll<Result<R, Error>> {
    store.check_interrupts()?;
    context.waker().wake_by_ref();
    Poll::Pending
}

/// Lets a store's guests run until none of their tasks is left, or none can ever go on: for what they do after they have returned.
///
/// # Errors
/// Where a guest traps, or is to stop.
#[cfg(feature = "async")]
pub async fn run_to_end<T: Send + 'static>(mut store: impl AsContextMut<Data = T>) -> Result<(), Error> {
    let mut store = store.as_context_mut();
    std::future::poll_fn(move |context| {
        for _ in 0..TURNS {
            let state = store.attachment::<State>();
            if state.concurrent.tasks.len() == 0 && !state.has_left() {
                return Poll::Ready(Ok(()));
            }
            match store.in_turn(step).and_then(|stepped| stepped) {
                Ok(Step::Ran) => {}
                Ok(Step::Waits) => {
                    store.check_interrupts()?;
                    let host = &store.attachment::<State>().concurrent.host;
                    if !host.is_woken_or_tells(context.waker()) {
                        return Poll::Pending;
                    }
                }
                Err(error) if matches!(error.downcast_ref(), Some(Trap::Deadlock(_))) => {
                    return Poll::Ready(Ok(()));
                }
                Err(error) => {
                    drop_poisoned(&mut store);
                    return Poll::Ready(Err(error));
                }
            }
            if store.attachment::<State>().has_left() || store.turn_is_over() {
                break;
            }
        }
        leave_turn(&mut store, context)
    })
    .await
}

/// A call that can wait, until it has ended.
#[cfg(feature = "async")]
struct HostCallUnderWay<'s, 'b, T: 'static> {
    store: &'s mut StoreContextMut<'b, T>,
    driven: Option<Driven>,
}

#[cfg(feature = "async")]
impl<T: Send + 'static> HostCallUnderWay<'_, '_, T> {
    /// Lets guests run until the call is over, nobody of them can go on, or others of the executor are to have their turn.
    fn poll(
        &mut self,
        called: (&Func, &Arc<LiftedFunc>),
        (params, until): (&[Val], Until),
        context: &Context<'_>,
    ) -> Poll<Result<Option<Val>, Error>> {
        let HostCallUnderWay { store, driven } = self;
        for _ in 0..TURNS {
            let stepped = store.in_turn(|store| match driven {
                None => match continue_left(store)? {
                    Some(_) => Ok(Progress::Ran),
                    None => begin(store, called, params).map(Progress::Began),
                },
                Some(driven) => match driven.outcome(store) {
                    Some(result) => Ok(Progress::Ended(result)),
                    None => match step(store)? {
                        Step::Ran => Ok(Progress::Ran),
                        Step::Waits => store.check_interrupts().map(|()| Progress::Waits),
                    },
                },
            });
            match stepped.and_then(|stepped| stepped) {
                Ok(Progress::Began(task)) => *driven = Some(Driven { task, until, returned: None }),
                Ok(Progress::Ran) => {}
                Ok(Progress::Ended(result)) => {
                    *driven = None;
                    return Poll::Ready(result);
                }
                Ok(Progress::Waits) => {
                    let host = &store.attachment::<State>().concurrent.host;
                    if !host.is_woken_or_tells(context.waker()) {
                        return Poll::Pending;
                    }
                }
                Err(error) => {
                    return Poll::Ready(match driven.take() {
                        Some(mut driven) => driven.stopped(store, error),
                        None => {
                            drop_poisoned(store);
                            Err(error)
                        }
                    });
                }
            }
            if store.attachment::<State>().has_left() || store.turn_is_over() {
                break;
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

/// How far a call has come that can wait.
#[cfg(feature = "async")]
enum Progress {
    Began(Key<Task>),
    Ran,
    Waits,
    Ended(Result<Option<Val>, Error>),
}

#[cfg(feature = "async")]
impl<T> Drop for HostCallUnderWay<'_, '_, T> {
    fn drop(&mut self) {
        let Some(Driven { task: key, .. }) = self.driven.take() else { return };
        // No guest runs here, which might not come back: it is told by the next who lets the store's threads run.
        if give_up_task(self.store.attachment(), key) {
            self.store.attachment::<State>().concurrent.given_up.push(key);
        }
    }
}

/// What has come of a turn.
enum Step {
    /// Somebody has gone on.
    Ran,
    /// Only functions of the host can go on.
    Waits,
}

/// Lets whoever can go on, guests first; those that leave their turn for ever do not keep functions of the host from theirs.
fn step<T: 'static>(store: &mut StoreContextMut<'_, T>) -> Result<Step, Error> {
    let has_run = tick(store)?;
    if has_run && !is_turn_of_host(store.attachment()) {
        return Ok(Step::Ran);
    }
    if poll_woken(store)? || has_run {
        return Ok(Step::Ran);
    }
    let state = store.attachment::<State>();
    if state.concurrent.host.is_empty() { Err(deadlock(state)) } else { Ok(Step::Waits) }
}

/// Whether guests have had so many turns that functions of the host have theirs, though guests could go on. What a guest has left in the middle comes to its end first.
fn is_turn_of_host(state: &mut State) -> bool {
    state.concurrent.schedule.is_turn_of_host() && !state.has_left()
}

/// Has the thread sleep until a function of the host can go on, or the guests are to stop.
fn sleep<T: 'static>(store: &mut StoreContextMut<'_, T>) -> Result<(), Error> {
    let waker = Waker::from(Arc::new(Sleeper(std::thread::current())));
    let handle = store.interrupt_handle().clone();
    let _told = handle.wake_on_stop(waker.clone());
    while !store.attachment::<State>().concurrent.host.is_woken_or_tells(&waker) {
        store.check_interrupts()?;
        std::thread::park();
    }
    Ok(())
}

/// Wakes a thread that sleeps.
struct Sleeper(std::thread::Thread);

impl Wake for Sleeper {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Makes the task of a call.
pub(super) fn begin<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    (func, callee): (&Func, &Arc<LiftedFunc>),
    params: &[Val],
) -> Result<Key<Task>, Error> {
    let caller = HostCaller { params: params.to_vec(), ..HostCaller::default() };
    begin_for(store, (func, callee), caller)
}

/// As [`begin`], for a caller that has its arguments.
pub(super) fn begin_for<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    (func, callee): (&Func, &Arc<LiftedFunc>),
    caller: HostCaller,
) -> Result<Key<Task>, Error> {
    // Who only begins calls, and never has to wait, comes by here.
    drop_ends(store.attachment());
    let begun = task::begin(store, callee, (TaskCaller::Host(Box::new(caller)), Entry::Host));
    begun.map_err(|error| {
        drop_poisoned(store);
        match error.downcast_ref::<Trap>() {
            Some(Trap::CannotEnter) => refused(store.attachment(), func, Trap::CannotEnter),
            _ => error,
        }
    })
}

/// What has come of a call, once that is there.
pub(super) fn result<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    key: Key<Task>,
) -> Option<Result<Option<Val>, Error>> {
    let state = store.attachment::<State>();
    let Some(task) = state.concurrent.tasks.get_mut(key) else {
        return Some(Err(Trap::CannotEnter.into()));
    };
    let is_over = task.threads.there() == 0;
    let TaskCaller::Host(host) = &mut task.caller else { return None };
    let result = host.result.take();
    if result.is_none() && !is_over {
        return None;
    }
    host.is_given_up = true;
    if is_over {
        state.concurrent.tasks.remove(key);
    }
    Some(match result {
        Some(HostResult::Returned(returned)) => Ok(returned.val),
        Some(HostResult::Cancelled) => Err(Trap::TaskCancelled.into()),
        // What it ran in has trapped meanwhile.
        None => Err(Trap::CannotEnter.into()),
    })
}

/// Gives a call up for an error, and drops what has trapped.
fn give_up<T: 'static>(store: &mut StoreContextMut<'_, T>, key: Key<Task>, error: Error) -> Error {
    // What waits for ever has trapped too, where it waits.
    if let Some(Trap::Deadlock(_)) = error.downcast_ref::<Trap>()
        && let Some(task) = store.attachment::<State>().concurrent.tasks.get(key)
    {
        let instance = task.callee.side.instance;
        poison(store, instance);
    }
    drop_poisoned(store);
    if give_up_task(store.attachment(), key) {
        store.attachment::<State>().concurrent.given_up.push(key);
    }
    error
}

/// Notes that nobody asks for a call's result any more; whether something of it still runs.
pub(super) fn give_up_task(state: &mut State, key: Key<Task>) -> bool {
    let Some(task) = state.concurrent.tasks.get_mut(key) else { return false };
    let mut result = None;
    if let TaskCaller::Host(host) = &mut task.caller {
        host.is_given_up = true;
        result = host.result.take();
    }
    let is_over = task.threads.there() == 0;
    if is_over {
        state.concurrent.tasks.remove(key);
    }
    drop(result);
    !is_over
}

/// Says that nothing can ever go on, and who waits for what.
fn deadlock(state: &mut State) -> Error {
    const MOST_TOLD: usize = 8;
    let mut waits = Vec::new();
    let mut more = 0_usize;
    for key in state.concurrent.threads.keys() {
        let Some(thread) = state.concurrent.threads.get(key) else { continue };
        if waits.len() == MOST_TOLD {
            more += 1;
            continue;
        }
        let what = match thread.state {
            ThreadState::Running => continue,
            ThreadState::Suspended => "to be resumed by another thread".to_owned(),
            ThreadState::Waiting(Wait::ToEnter) => {
                "to enter its instance, which another task or backpressure holds".to_owned()
            }
            ThreadState::Waiting(Wait::Yield | Wait::CallbackYield) => "for its turn".to_owned(),
            ThreadState::Waiting(Wait::Set { set, .. } | Wait::CallbackSet(set)) => {
                let members = state.concurrent.sets.get(set).map_or(0, |set| set.members());
                format!("for an event of a waitable set of {members}")
            }
            ThreadState::Waiting(Wait::Call(_)) => "for a call that it has made".to_owned(),
            ThreadState::Waiting(Wait::Event(_)) => "for the end of a copy or a cancellation".to_owned(),
        };
        let task = state.concurrent.tasks.get(thread.task);
        let has_returned = task.is_some_and(|task| task.state == TaskState::Resolved);
        let after = if has_returned { " after it has returned" } else { "" };
        waits.push(format!("a task of component instance {} waits{after} {what}", thread.instance.0));
    }
    if more > 0 {
        waits.push(format!("and {more} more"));
    }
    Trap::Deadlock(waits).into()
}
