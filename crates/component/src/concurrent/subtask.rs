//! Subtasks (canonical ABI, "Subtask State", `canon lower`): calls of async functions that guests make.
//!
//! Must stay true: a subtask's lends end when the caller is told that it has ended, and not before; a call that returns at once has no handle.

use std::sync::Arc;

use innkeeper_engine::{Charge, Error, HostEnding, StoreContextMut};

use super::host_tasks::HostTask;
use super::task::{self, TaskCaller, request_cancellation};
use super::thread::{self, Wait};
use super::waitable::{Event, WaitableKind};
use super::{Concurrent, Key, Task, Waitable};
use crate::abi::{
    Boundary, InStore, Lends, Lower, MAX_FLAT_ASYNC_PARAMS, MAX_FLAT_PARAMS, MAX_FLAT_RESULTS, StringShapes,
};
use crate::call::{Lowered, with_lift};
use crate::entry::{Entry, check_leave};
use crate::func::LiftedFunc;
use crate::state::{InstanceId, Returned, State};
use crate::trap::Trap;
use crate::val::Val;

/// What a function is told that has to be called again later (`BLOCKED`).
pub(super) const BLOCKED: u32 = u32::MAX;

/// See the module's documentation.
pub(crate) struct Subtask {
    state: SubtaskState,
    /// What has been called, while it can be cancelled.
    callee: Option<Callee>,
    lowered: Arc<Lowered>,
    /// What was passed.
    slots: Vec<u64>,
    /// What is passed back in core values.
    results: Vec<u64>,
    lends: Lends,
    is_cancellation_requested: bool,
    /// Whether the caller was told that it has ended.
    is_delivered: bool,
    /// What the lifted arguments take.
    charge: Option<Charge>,
}

/// What runs for a subtask.
#[derive(Clone, Copy)]
pub(super) enum Callee {
    Task(Key<Task>),
    /// A function of the host.
    Host(Key<HostTask>),
}

/// `Subtask.State`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SubtaskState {
    Starting = 0,
    Started = 1,
    Returned = 2,
    CancelledBeforeStarted = 3,
    CancelledBeforeReturned = 4,
}

/// An async function as a component instance sees it that imports it.
pub(crate) struct AsyncLowered {
    pub(crate) lowered: Arc<Lowered>,
    pub(crate) callee: Arc<LiftedFunc>,
}

impl SubtaskState {
    fn is_resolved(self) -> bool {
        !matches!(self, SubtaskState::Starting | SubtaskState::Started)
    }
}

impl Concurrent {
    fn subtask(&mut self, key: Key<Waitable>) -> Option<&mut Subtask> {
        match &mut self.waitables.get_mut(key)?.kind {
            WaitableKind::Subtask(subtask) => Some(subtask),
            WaitableKind::End(_) => None,
        }
    }
}

pub(super) fn is_resolved(concurrent: &mut Concurrent, key: Key<Waitable>) -> bool {
    concurrent.subtask(key).is_none_or(|subtask| subtask.state.is_resolved())
}

/// Whether a call has gone without an end: what it was made in has trapped.
pub(super) fn is_lost(concurrent: &Concurrent, key: Key<Waitable>) -> bool {
    let Some(WaitableKind::Subtask(subtask)) = concurrent.waitables.get(key).map(|waitable| &waitable.kind)
    else {
        return false;
    };
    match subtask.callee {
        Some(Callee::Task(task)) => !subtask.state.is_resolved() && concurrent.tasks.get(task).is_none(),
        _ => false,
    }
}

impl AsyncLowered {
    /// Calls the function for the guest, with so many parameters in the first slots (`canon lower`).
    pub(crate) fn call<T: 'static>(
        &self,
        store: &mut StoreContextMut<'_, T>,
        slots: &mut [u64],
        params: usize,
    ) -> Result<HostEnding, Error> {
        let (lowered, instance) = (&self.lowered, self.lowered.side.instance);
        check_leave(store, instance)?;
        if !lowered.is_async && !store.attachment::<State>().can_block() {
            return Err(Trap::CannotBlock.into());
        }
        let subtask = Subtask {
            state: SubtaskState::Starting,
            callee: None,
            lowered: Arc::clone(lowered),
            slots: slots.get(..params).unwrap_or_default().to_vec(),
            results: Vec::new(),
            lends: Lends::default(),
            is_cancellation_requested: false,
            is_delivered: false,
            charge: None,
        };
        let waitable = Waitable::new(instance, WaitableKind::Subtask(subtask));
        let budget = store.budget().clone();
        let key = store.attachment::<State>().concurrent.waitables.add(waitable, &budget)?;
        let task = task::begin(store, &self.callee, (TaskCaller::Guest(key), Entry::Guest(instance)))?;
        set_callee(store.attachment(), key, Callee::Task(task));
        answer(store, (key, lowered), slots)
    }
}

/// Tells the caller how far the call has come, or has it wait.
pub(super) fn answer<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    (key, lowered): (Key<Waitable>, &Lowered),
    slots: &mut [u64],
) -> Result<HostEnding, Error> {
    let budget = store.budget().clone();
    let state = store.attachment::<State>();
    let Some(status) = state.concurrent.subtask(key).map(|subtask| subtask.state) else {
        return Ok(HostEnding::Returns);
    };
    match (lowered.is_async, status.is_resolved()) {
        (true, true) => {
            deliver(state, key);
            state.remove_waitable(key);
            set(slots, status as u64);
        }
        (true, false) => {
            let handle = state.add_waitable(key, &budget)?;
            set(slots, u64::from(status as u32 | handle << 4));
        }
        (false, true) => {
            let result = take_result(state, key);
            set(slots, result);
        }
        (false, false) => {
            let thread = state.current_thread();
            if let Some(waitable) = state.concurrent.waitables.get_mut(key) {
                waitable.sync_waiter = thread;
            }
            thread::wait(state, Wait::Call(key))?;
            return Ok(HostEnding::Parks);
        }
    }
    Ok(HostEnding::Returns)
}

impl Subtask {
    /// A call of a function of the host's, which has begun.
    pub(super) fn of_host(lowered: &Arc<Lowered>, slots: Vec<u64>, lends: Lends) -> Subtask {
        Subtask {
            state: SubtaskState::Started,
            callee: None,
            lowered: Arc::clone(lowered),
            slots,
            results: Vec::new(),
            lends,
            is_cancellation_requested: false,
            is_delivered: false,
            charge: None,
        }
    }

    /// Whether the call has ended, one way or the other.
    pub(super) fn is_resolved(&self) -> bool {
        self.state.is_resolved()
    }

    /// The function of the host that runs for it.
    pub(super) fn host_task(&self) -> Option<Key<HostTask>> {
        match self.callee {
            Some(Callee::Host(task)) => Some(task),
            _ => None,
        }
    }
}

/// Says what runs for a subtask.
pub(super) fn set_callee(state: &mut State, key: Key<Waitable>, callee: Callee) {
    if let Some(subtask) = state.concurrent.subtask(key) {
        subtask.callee = Some(callee);
    }
}

/// What was passed to a function of the host.
pub(super) fn passed(state: &mut State, key: Key<Waitable>) -> Option<(Arc<Lowered>, Vec<u64>)> {
    let subtask = state.concurrent.subtask(key)?;
    Some((Arc::clone(&subtask.lowered), std::mem::take(&mut subtask.slots)))
}

/// Takes what is passed back of a function of the host.
pub(super) fn returned(state: &mut State, key: Key<Waitable>, results: Vec<u64>) {
    if let Some(subtask) = state.concurrent.subtask(key) {
        (subtask.state, subtask.results) = (SubtaskState::Returned, results);
    }
    tell_progress(state, key);
}

fn set(slots: &mut [u64], value: u64) {
    if let Some(slot) = slots.first_mut() {
        *slot = value;
    }
}

/// Gives the callee its arguments (`on_start`).
pub(super) fn start<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    key: Key<Waitable>,
) -> Result<(Vec<Val>, StringShapes), Error> {
    let state = store.attachment::<State>();
    tell_progress(state, key);
    let Some(subtask) = state.concurrent.subtask(key) else { return Ok((Vec::new(), StringShapes::new())) };
    subtask.state = SubtaskState::Started;
    let (lowered, slots) = (Arc::clone(&subtask.lowered), std::mem::take(&mut subtask.slots));
    let mut lends = std::mem::take(&mut subtask.lends);
    let tuple = lowered.side.shared.types.func(lowered.ty).params_tuple;
    let max_flat = if lowered.is_async { MAX_FLAT_ASYNC_PARAMS } else { MAX_FLAT_PARAMS };
    let mut strings = StringShapes::new();
    let lifted = with_lift(store, (&lowered.side, Boundary::Guest), (&mut lends, &mut strings), |lift| {
        lift.values(max_flat, &slots, tuple)
    });
    // Also where that has failed: so they end with it.
    if let Some(subtask) = store.attachment::<State>().concurrent.subtask(key) {
        (subtask.lends, subtask.slots) = (lends, slots);
    }
    let (vals, charge) = lifted?;
    if let Some(subtask) = store.attachment::<State>().concurrent.subtask(key) {
        subtask.charge = charge;
    }
    Ok((vals, strings))
}

/// Takes what the callee has returned, or that it was cancelled (`on_resolve`).
pub(super) fn resolve<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    key: Key<Waitable>,
    returned: Option<Returned>,
) -> Result<(), Error> {
    let state = store.attachment::<State>();
    let Some(subtask) = state.concurrent.subtask(key) else { return Ok(()) };
    subtask.charge = None;
    let Some(returned) = returned else {
        subtask.state = match subtask.state {
            SubtaskState::Starting => SubtaskState::CancelledBeforeStarted,
            _ => SubtaskState::CancelledBeforeReturned,
        };
        tell_progress(state, key);
        return Ok(());
    };
    let (lowered, out) = (Arc::clone(&subtask.lowered), subtask.slots.last().copied());
    let ty = lowered.side.shared.types.func(lowered.ty).result;
    let mut results = Vec::new();
    if let (Some(ty), Some(val)) = (ty, returned.val) {
        let max_flat = if lowered.is_async { 0 } else { MAX_FLAT_RESULTS };
        let (mut lends, mut strings) = (Lends::default(), returned.strings);
        let mut guest = InStore { store, side: &lowered.side };
        let mut lower =
            Lower::new(&lowered.side, Boundary::Guest, (&mut guest, None), (&mut lends, &mut strings));
        results = lower.result(max_flat, (&val, ty), out)?;
    }
    let state = store.attachment::<State>();
    if let Some(subtask) = state.concurrent.subtask(key) {
        (subtask.state, subtask.results) = (SubtaskState::Returned, results);
    }
    tell_progress(state, key);
    Ok(())
}

/// Tells the caller how far it is, who has a handle of it, or waits.
fn tell_progress(state: &mut State, key: Key<Waitable>) {
    let Some(waitable) = state.concurrent.waitables.get(key) else { return };
    if waitable.handle != 0 {
        state.set_event(key, Event::Subtask);
    } else if let Some(waiter) = waitable.sync_waiter {
        state.look_again(waiter);
    }
}

/// What the caller is told of a subtask (`subtask_event`).
pub(super) fn tell(state: &mut State, key: Key<Waitable>) -> u32 {
    let Some(subtask) = state.concurrent.subtask(key) else { return 0 };
    let status = subtask.state;
    if status.is_resolved() {
        deliver(state, key);
    }
    status as u32
}

/// `deliver_resolve`
fn deliver(state: &mut State, key: Key<Waitable>) {
    let Some(waitable) = state.concurrent.waitables.get_mut(key) else { return };
    let instance = waitable.instance;
    let WaitableKind::Subtask(subtask) = &mut waitable.kind else { return };
    (subtask.is_delivered, subtask.callee) = (true, None);
    let mut lends = std::mem::take(&mut subtask.lends);
    lends.end(state, Some(instance));
}

/// What a call returns that somebody has waited for, in a core value.
pub(super) fn take_result(state: &mut State, key: Key<Waitable>) -> u64 {
    deliver(state, key);
    let removed = state.remove_waitable(key);
    match removed.map(|waitable| waitable.kind) {
        Some(WaitableKind::Subtask(subtask)) => subtask.results.first().copied().unwrap_or_default(),
        _ => 0,
    }
}

/// The subtask that a handle is of.
fn of_handle(state: &mut State, instance: InstanceId, handle: u32) -> Result<Key<Waitable>, Trap> {
    let key = state.waitable(instance, handle)?;
    match state.concurrent.subtask(key) {
        Some(_) => Ok(key),
        None => Err(Trap::WrongHandleKind { handle, expected: "subtask" }),
    }
}

/// `canon subtask.cancel`; none where the thread has to wait.
pub(super) fn cancel<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    (instance, is_async): (InstanceId, bool),
    handle: u32,
) -> Result<Option<u32>, Error> {
    let state = store.attachment::<State>();
    let key = of_handle(state, instance, handle)?;
    let is_in_set = state.concurrent.waitables.get(key).is_some_and(|waitable| waitable.set.is_some());
    let Some(subtask) = state.concurrent.subtask(key) else { return Ok(Some(0)) };
    if subtask.is_delivered {
        return Err(Trap::SubtaskEnded.into());
    }
    if subtask.is_cancellation_requested {
        return Err(Trap::SubtaskCancelledTwice.into());
    }
    if is_in_set && !is_async {
        return Err(Trap::WaitableInSet.into());
    }
    if is_lost(&state.concurrent, key) {
        return Err(Trap::CannotEnter.into());
    }
    let Some(subtask) = state.concurrent.subtask(key) else { return Ok(Some(0)) };
    if !subtask.state.is_resolved() {
        subtask.is_cancellation_requested = true;
        match subtask.callee {
            Some(Callee::Task(task)) => request_cancellation(store, (task, Entry::Guest(instance)))?,
            // Its future is dropped where it is.
            Some(Callee::Host(task)) => {
                let given_up = state.concurrent.host.remove(task);
                drop(given_up);
                resolve(store, key, None)?;
            }
            None => {}
        }
        let state = store.attachment::<State>();
        if !is_resolved(&mut state.concurrent, key) {
            return match is_async {
                true => Ok(Some(BLOCKED)),
                false => Ok(thread::wait_for_event(state, key)?),
            };
        }
    }
    let (_, _, status) = super::waitable::take_event(store.attachment(), key);
    Ok(Some(status))
}

/// `canon subtask.drop`
pub(super) fn drop_subtask(state: &mut State, (instance, handle): (InstanceId, u32)) -> Result<(), Trap> {
    let key = of_handle(state, instance, handle)?;
    if state.concurrent.subtask(key).is_some_and(|subtask| !subtask.is_delivered) {
        return Err(Trap::SubtaskUnresolved);
    }
    state.remove_waitable(key);
    Ok(())
}
