//! Threads (canonical ABI, "Threads"): executions of guests that can be left in the middle.
//!
//! Must stay true: a thread that waits says what for, and all that is needed to go on.

use std::sync::Arc;

use innkeeper_engine as core;
use innkeeper_engine::{Error, FiberEnd, FiberId, Memory, StoreContextMut};

use super::task::{self, TaskCaller, TaskState, has_backpressure};
use super::turn::Ran;
use super::{Key, Task, Waitable, WaitableSet, copy, subtask, waitable};
use crate::abi::{Boundary, MAX_FLAT_RESULTS};
use crate::entry::set_may_leave;
use crate::state::{InstanceId, State};
use crate::trap::{Trap, trap_on_throw};
use crate::under_way::CallUnderWay;

/// See the module's documentation.
pub(crate) struct Thread {
    pub(crate) task: Key<Task>,
    pub(crate) instance: InstanceId,
    /// Its index in the instance's table of threads, once somebody has asked for it.
    pub(crate) index: Option<u32>,
    /// What `context.get` reads, while it does not run.
    pub(crate) context: [u32; 2],
    /// Where it is parked, unless it is between the events of a callback.
    pub(crate) fiber: Option<FiberId>,
    pub(crate) state: ThreadState,
    /// Whether it can be told, where it waits, that its task is to be cancelled.
    pub(crate) is_cancellable: bool,
    /// Whether it is among those that are ready.
    pub(crate) is_queued: bool,
    /// Whether it is among those that others of its instance hold up.
    pub(crate) is_held_up: bool,
    /// What it begins with, where it has not begun.
    pub(crate) start: Option<(core::Func, u32)>,
    /// Who goes on when it comes to wait.
    pub(crate) then: Option<Key<Thread>>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum ThreadState {
    /// It runs, or has not begun.
    Running,
    /// Others must say that it is to go on.
    Suspended,
    Waiting(Wait),
}

/// What a thread waits for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wait {
    /// That its task may enter its instance.
    ToEnter,
    /// That others had their turn.
    Yield,
    /// An event of a set, which is told in memory.
    Set { set: Key<WaitableSet>, memory: Option<Memory>, address: u32 },
    /// That others had their turn; then the callback is called.
    CallbackYield,
    /// An event of a set, which the callback is told.
    CallbackSet(Key<WaitableSet>),
    /// That a call which it has made returns.
    Call(Key<Waitable>),
    /// The last event of a waitable, whose payload is the result of a function.
    Event(Key<Waitable>),
}

impl Thread {
    pub(crate) fn new(task: Key<Task>, instance: InstanceId) -> Thread {
        Thread {
            task,
            instance,
            index: None,
            context: [0; 2],
            fiber: None,
            state: ThreadState::Running,
            is_cancellable: false,
            is_queued: false,
            is_held_up: false,
            start: None,
            then: None,
        }
    }
}

/// How a thread goes on.
enum Go {
    Start(core::Func, Vec<u64>),
    Resume(Result<u64, Error>),
}

/// Begins a thread, and lets those go on that are to do so at once.
pub(super) fn start<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    thread: Key<Thread>,
    (func, slots): (core::Func, Vec<u64>),
) -> Result<Ran, Error> {
    match go_on(store, thread, Go::Start(func, slots))? {
        Ran::ToItsWait => go_on_at_once(store),
        left => Ok(left),
    }
}

/// Whether what a thread waits for has happened; none where others in its instance hold it up.
pub(super) fn is_ready(state: &mut State, key: Key<Thread>) -> Option<bool> {
    let Some(thread) = state.concurrent.threads.get(key) else { return Some(false) };
    let (task, instance) = (thread.task, thread.instance);
    let ThreadState::Waiting(wait) = thread.state else { return Some(false) };
    let is_free = state.instances[instance.0 as usize].tasks.exclusive.is_none();
    let concurrent = &mut state.concurrent;
    match wait {
        Wait::ToEnter => (!has_backpressure(state, task)).then_some(true),
        Wait::Yield => Some(true),
        Wait::Set { set, .. } => Some(concurrent.set_has_event(set)),
        Wait::CallbackYield => is_free.then_some(true),
        Wait::CallbackSet(set) => match concurrent.set_has_event(set) {
            true => is_free.then_some(true),
            false => Some(false),
        },
        Wait::Call(subtask) => Some(subtask::is_resolved(concurrent, subtask)),
        Wait::Event(waitable) => {
            Some(concurrent.waitables.get(waitable).is_none_or(Waitable::has_last_event))
        }
    }
}

/// Lets a thread go on that waits (`Thread.resume`): what it waits for has happened, or its task is cancelled.
pub(super) fn resume<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    key: Key<Thread>,
    is_cancelled: bool,
) -> Result<Ran, Error> {
    match resume_one(store, key, is_cancelled)? {
        Ran::ToItsWait => go_on_at_once(store),
        left => Ok(left),
    }
}

/// Lets those go on that are to do so at once, one after the other: how many there are, guests choose.
pub(super) fn go_on_at_once<T: 'static>(store: &mut StoreContextMut<'_, T>) -> Result<Ran, Error> {
    while let Some((next, is_cancelled)) = store.attachment::<State>().concurrent.next.take() {
        if resume_one(store, next, is_cancelled)? == Ran::ToTheEndOfItsTurn {
            return Ok(Ran::ToTheEndOfItsTurn);
        }
    }
    Ok(Ran::ToItsWait)
}

fn resume_one<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    key: Key<Thread>,
    is_cancelled: bool,
) -> Result<Ran, Error> {
    let state = store.attachment::<State>();
    let Some(thread) = state.concurrent.threads.get_mut(key) else { return Ok(Ran::ToItsWait) };
    let (task, instance) = (thread.task, thread.instance);
    let before = std::mem::replace(&mut thread.state, ThreadState::Running);
    thread.is_cancellable = false;
    match before {
        ThreadState::Running => Ok(Ran::ToItsWait),
        ThreadState::Suspended | ThreadState::Waiting(Wait::Yield) => match thread.start.take() {
            Some((func, param)) => go_on(store, key, Go::Start(func, vec![u64::from(param)])),
            None => go_on(store, key, Go::Resume(Ok(u64::from(is_cancelled)))),
        },
        ThreadState::Waiting(Wait::ToEnter) => {
            let tasks = state.tasks_of(instance);
            tasks.waiting_to_enter = tasks.waiting_to_enter.saturating_sub(1);
            if !is_cancelled {
                return task::enter_now(store, (task, key));
            }
            task::cancel(store, task)?;
            forget(store.attachment(), key);
            Ok(Ran::ToItsWait)
        }
        ThreadState::Waiting(Wait::Set { set, memory, address }) => {
            let event = end_wait(state, (set, key), is_cancelled);
            let answer = waitable::write_event(store, (memory, address), event).map(u64::from);
            go_on(store, key, Go::Resume(answer))
        }
        ThreadState::Waiting(Wait::CallbackYield) => {
            let event = if is_cancelled { waitable::TASK_CANCELLED } else { waitable::NONE };
            call_back(store, (task, key), event)
        }
        ThreadState::Waiting(Wait::CallbackSet(set)) => {
            let event = end_wait(state, (set, key), is_cancelled);
            call_back(store, (task, key), event)
        }
        ThreadState::Waiting(Wait::Call(subtask)) => {
            let result = subtask::take_result(state, subtask);
            go_on(store, key, Go::Resume(Ok(result)))
        }
        ThreadState::Waiting(Wait::Event(waitable)) => {
            if let Some(waitable) = state.concurrent.waitables.get_mut(waitable) {
                waitable.sync_waiter = None;
            }
            let (_, _, payload) = waitable::take_event(state, waitable);
            go_on(store, key, Go::Resume(Ok(u64::from(payload))))
        }
    }
}

/// Ends a thread's wait for an event of a set; gives the event.
fn end_wait(
    state: &mut State,
    (set, thread): (Key<WaitableSet>, Key<Thread>),
    is_cancelled: bool,
) -> waitable::EventTuple {
    if let Some(set) = state.concurrent.sets.get_mut(set) {
        set.waiters.retain(|waiter| *waiter != thread);
    }
    if is_cancelled {
        return waitable::TASK_CANCELLED;
    }
    waitable::take_event_of_set(state, set)
}

fn call_back<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    (task, key): (Key<Task>, Key<Thread>),
    (code, first, second): waitable::EventTuple,
) -> Result<Ran, Error> {
    let state = store.attachment::<State>();
    let callee = state.concurrent.tasks.get(task).map(|task| Arc::clone(&task.callee));
    let Some((callee, callback)) = callee.and_then(|callee| Some((callee.side.instance, callee.callback?)))
    else {
        return Ok(Ran::ToItsWait);
    };
    state.tasks_of(callee).exclusive = Some(key);
    let slots = [code, first, second].map(u64::from).to_vec();
    go_on(store, key, Go::Start(callback, slots))
}

/// Runs a thread until it waits or has ended.
fn go_on<T: 'static>(store: &mut StoreContextMut<'_, T>, key: Key<Thread>, go: Go) -> Result<Ran, Error> {
    let state = store.attachment::<State>();
    let Some(thread) = state.concurrent.threads.get_mut(key) else { return Ok(Ran::ToItsWait) };
    let (context, fiber, instance) = (thread.context, thread.fiber.take(), thread.instance);
    let call = CallUnderWay::begin(store, Some(key));
    let number = call.number as usize;
    if let Some(call) = call.store.attachment::<State>().calls.get_mut(number) {
        call.context = context;
    }
    let ended = match (go, fiber) {
        (Go::Start(func, slots), _) => call.store.start_fiber(func, &slots),
        (Go::Resume(answer), Some(fiber)) => call.store.resume_fiber(fiber, answer),
        (Go::Resume(_), None) => return Ok(Ran::ToItsWait),
    };
    has_run(call, (key, instance), ended)
}

/// Goes on after a thread has run, which waits now, has ended, or has left its turn to others.
pub(super) fn has_run<T: 'static>(
    call: CallUnderWay<'_, '_, T>,
    (key, instance): (Key<Thread>, InstanceId),
    ended: Result<FiberEnd, Error>,
) -> Result<Ran, Error> {
    match ended.map_err(trap_on_throw)? {
        FiberEnd::Yields(fiber) => {
            call.leave_in_the_middle((key, instance), fiber);
            return Ok(Ran::ToTheEndOfItsTurn);
        }
        FiberEnd::Parked(fiber) => park(call.store.attachment(), key, fiber),
        FiberEnd::Finished(value) => {
            if let Some(callee) = returned(call.store, key, value)? {
                let state = call.store.attachment::<State>();
                note_context(state, key);
                after_callback(state, (key, callee), value as u32)?;
            }
        }
    }
    let concurrent = &mut call.store.attachment::<State>().concurrent;
    concurrent.next = next(concurrent, key);
    Ok(Ran::ToItsWait)
}

/// Who is to go on at once when a thread has come to wait, and whether to be told that it is cancelled.
fn next(concurrent: &mut super::Concurrent, key: Key<Thread>) -> Option<(Key<Thread>, bool)> {
    let thread = concurrent.threads.get_mut(key)?;
    if let Some(then) = thread.then.take() {
        return Some((then, false));
    }
    // `wait_until`: a cancellation that could not be told before is told now.
    if thread.is_cancellable
        && let Some(task) = concurrent.tasks.get_mut(thread.task)
        && task.deliver_pending_cancel()
    {
        return Some((key, true));
    }
    None
}

fn park(state: &mut State, key: Key<Thread>, fiber: FiberId) {
    note_context(state, key);
    if let Some(thread) = state.concurrent.threads.get_mut(key) {
        thread.fiber = Some(fiber);
    }
    // What it waits for may have happened before it has come to wait.
    state.look_again(key);
}

fn note_context(state: &mut State, key: Key<Thread>) {
    let context = state.calls.last().map(|call| call.context);
    if let (Some(context), Some(thread)) = (context, state.concurrent.threads.get_mut(key)) {
        thread.context = context;
    }
}

/// Goes on after a thread's function has returned; gives the instance where that was a callback, or is to be followed by one.
fn returned<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    key: Key<Thread>,
    value: u64,
) -> Result<Option<InstanceId>, Error> {
    let state = store.attachment::<State>();
    let Some(task_key) = state.concurrent.threads.get(key).map(|thread| thread.task) else { return Ok(None) };
    let Some(task) = state.concurrent.tasks.get(task_key) else { return Ok(None) };
    let callee = Arc::clone(&task.callee);
    if task.implicit != Some(key) {
        exit(state, key)?;
        return Ok(None);
    }
    if callee.callback.is_some() {
        return Ok(Some(callee.side.instance));
    }
    if !callee.is_async {
        let boundary = match task.caller {
            TaskCaller::Guest(_) => Boundary::Guest,
            TaskCaller::Host(_) => Boundary::Host,
        };
        let side = &callee.side;
        let ty = side.shared.types.func(callee.ty).result;
        let returned = task::lift_returned(store, (side, boundary), ty, |lift, ty| {
            lift.result(MAX_FLAT_RESULTS, &[value], ty)
        })?;
        task::return_(store, task_key, returned)?;
        if let Some(post_return) = callee.post_return {
            set_may_leave(store, side.instance, false);
            post_return.call_of_numbers(&mut *store, &mut [value]).map_err(trap_on_throw)?;
            set_may_leave(store, side.instance, true);
        }
    }
    exit(store.attachment(), key)?;
    Ok(None)
}

/// What a callback's result says (`unpack_callback_result`).
fn after_callback(
    state: &mut State,
    (key, instance): (Key<Thread>, InstanceId),
    packed: u32,
) -> Result<(), Error> {
    const EXIT: u32 = 0;
    const YIELD: u32 = 1;
    const WAIT: u32 = 2;
    let (code, index) = (packed & 0xf, packed >> 4);
    let wait = match code {
        EXIT => return Ok(exit(state, key)?),
        YIELD => Wait::CallbackYield,
        WAIT => {
            let set = state.waitable_set(instance, index)?;
            if let Some(set) = state.concurrent.sets.get_mut(set) {
                set.waiters.push(key);
            }
            Wait::CallbackSet(set)
        }
        other => return Err(Trap::UnknownCallbackCode(other).into()),
    };
    release_exclusive(state, instance);
    if let Some(thread) = state.concurrent.threads.get_mut(key) {
        (thread.state, thread.is_cancellable) = (ThreadState::Waiting(wait), true);
    }
    state.look_again(key);
    Ok(())
}

/// Lets those go on that only one thread of an instance may at a time.
pub(super) fn release_exclusive(state: &mut State, instance: InstanceId) {
    state.tasks_of(instance).exclusive = None;
    state.let_held_up_look(instance);
}

/// `exit_implicit_thread`, `unregister_thread`
fn exit(state: &mut State, key: Key<Thread>) -> Result<(), Trap> {
    let Some(thread) = state.concurrent.threads.get(key) else { return Ok(()) };
    let (task, instance) = (thread.task, thread.instance);
    if let Some(task) = state.concurrent.tasks.get(task)
        && task.threads.there() == 1
        && task.state != TaskState::Resolved
    {
        return Err(Trap::NotReturned);
    }
    if state.tasks_of(instance).exclusive == Some(key) {
        release_exclusive(state, instance);
    }
    forget(state, key);
    Ok(())
}

/// Forgets a thread that has ended, and its task with the last one.
pub(super) fn forget(state: &mut State, key: Key<Thread>) {
    let Some(thread) = state.concurrent.threads.remove(key) else { return };
    if thread.is_queued {
        state.concurrent.schedule.ready.is_gone(&state.concurrent.threads);
    }
    if thread.is_held_up {
        let held_up = &mut state.instances[thread.instance.0 as usize].tasks.held_up;
        held_up.is_gone(&state.concurrent.threads);
    }
    if let Some(index) = thread.index {
        state.tasks_of(thread.instance).threads.remove(index);
    }
    let concurrent = &mut state.concurrent;
    let Some(task) = concurrent.tasks.get_mut(thread.task) else { return };
    task.threads.is_gone(&concurrent.threads);
    if task.threads.there() > 0 {
        return;
    }
    match &mut task.caller {
        TaskCaller::Host(host) if !host.is_given_up => {
            // It is over, whether it has returned or not.
            #[cfg(feature = "async")]
            drop(host.told.take());
            #[cfg(not(feature = "async"))]
            let _ = host;
        }
        _ => drop(state.concurrent.tasks.remove(thread.task)),
    }
}

/// Has the thread that runs wait: its fiber is parked by whoever returns that it is to be.
pub(super) fn wait(state: &mut State, wait: Wait) -> Result<(), Trap> {
    let thread = state.current_thread().ok_or(Trap::CannotBlock)?;
    let thread = state.concurrent.threads.get_mut(thread).ok_or(Trap::CannotBlock)?;
    thread.state = ThreadState::Waiting(wait);
    thread.is_cancellable = false;
    Ok(())
}

/// Has the thread that runs wait for a waitable's last event, if that is not there yet; gives it, where it is.
pub(super) fn wait_for_event(state: &mut State, waitable: Key<Waitable>) -> Result<Option<u32>, Trap> {
    let Some(there) = state.concurrent.waitables.get_mut(waitable) else { return Ok(Some(0)) };
    if there.has_last_event() {
        return Ok(Some(copy::take_payload(state, waitable)));
    }
    let thread = state.current_thread().ok_or(Trap::CannotBlock)?;
    if let Some(there) = state.concurrent.waitables.get_mut(waitable) {
        there.sync_waiter = Some(thread);
    }
    wait(state, Wait::Event(waitable))?;
    Ok(None)
}
