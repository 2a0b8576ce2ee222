//! Tasks (canonical ABI, "Tasks"): calls of functions whose types are async, from when they are made to when their last thread has ended.

use std::sync::Arc;

use innkeeper_engine::{Error, StoreContextMut};

use super::subtask;
use super::thread::{Thread, ThreadState, Wait, is_ready, resume};
use super::turn::Ran;
use super::{Key, Queue, Waitable};
use crate::abi::{Boundary, InStore, Lends, Lift, Lower, MAX_FLAT_PARAMS, Side, StringShapes};
use crate::call::with_lift;
use crate::entry::{Entry, check_leave, enter, leave, may_enter};
use crate::func::LiftedFunc;
use crate::state::{InstanceId, Returned, State};
use crate::trap::Trap;
use crate::types::TypeIndex;
use crate::val::Val;

/// In the number of a call that handles are borrowed for: it is a task's place.
pub(crate) const TASK_SCOPE: u32 = 1 << 31;

/// See the module's documentation.
pub(crate) struct Task {
    pub(crate) callee: Arc<LiftedFunc>,
    pub(crate) caller: TaskCaller,
    pub(crate) state: TaskState,
    /// Handles that were borrowed for it and are not dropped yet.
    pub(crate) borrows: u32,
    /// The thread that it began as.
    pub(crate) implicit: Option<Key<Thread>>,
    pub(crate) threads: Queue<Thread>,
}

/// Who has called.
pub(crate) enum TaskCaller {
    /// A guest, for which it is this subtask.
    Guest(Key<Waitable>),
    Host(Box<HostCaller>),
}

/// The host's side of a call.
#[derive(Default)]
pub(crate) struct HostCaller {
    pub(crate) params: Vec<Val>,
    pub(crate) lends: Lends,
    pub(crate) result: Option<HostResult>,
    /// Nobody asks for the result any more.
    pub(crate) is_given_up: bool,
    /// Whom it is told that the result is there, or that the task is gone.
    #[cfg(feature = "async")]
    pub(crate) told: Option<super::beside::Telling>,
}

/// What has come of a call of the host's.
pub(crate) enum HostResult {
    Returned(Returned),
    Cancelled,
}

/// `Task.State`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TaskState {
    Initial,
    Started,
    PendingCancel,
    CancelDelivered,
    Resolved,
}

impl Task {
    fn boundary(&self) -> Boundary {
        match self.caller {
            TaskCaller::Guest(_) => Boundary::Guest,
            TaskCaller::Host(_) => Boundary::Host,
        }
    }

    /// `needs_exclusive`
    pub(crate) fn needs_exclusive(&self) -> bool {
        !self.callee.is_async || self.callee.callback.is_some()
    }

    /// `deliver_pending_cancel`, where that can be told.
    pub(crate) fn deliver_pending_cancel(&mut self) -> bool {
        let is_pending = self.state == TaskState::PendingCancel;
        if is_pending {
            self.state = TaskState::CancelDelivered;
        }
        is_pending
    }
}

/// Makes a task, and lets it run as far as it comes (`Store.lift`, `canon_lift`).
pub(super) fn begin<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    callee: &Arc<LiftedFunc>,
    (caller, entry): (TaskCaller, Entry),
) -> Result<Key<Task>, Error> {
    let instance = callee.side.instance;
    enter(store, instance, entry)?;
    let budget = store.budget().clone();
    let concurrent = &mut store.attachment::<State>().concurrent;
    let made = Task {
        callee: Arc::clone(callee),
        caller,
        state: TaskState::Initial,
        borrows: 0,
        implicit: None,
        threads: Queue::default(),
    };
    let task = concurrent.tasks.add(made, &budget)?;
    let thread = concurrent.threads.add(Thread::new(task, instance), &budget)?;
    if let Some(task) = concurrent.tasks.get_mut(task) {
        task.implicit = Some(thread);
        task.threads.add(thread);
    }
    if enter_implicit_thread(store, (task, thread))? == Ran::ToItsWait {
        leave(store, instance, entry);
    }
    Ok(task)
}

/// `enter_implicit_thread`: it waits where others are to be first.
fn enter_implicit_thread<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    (task, thread): (Key<Task>, Key<Thread>),
) -> Result<Ran, Error> {
    let state = store.attachment::<State>();
    let Some(instance) = state.concurrent.threads.get(thread).map(|thread| thread.instance) else {
        return Ok(Ran::ToItsWait);
    };
    let mut ran = Ran::ToItsWait;
    // Who holds up all others of the instance, and could go on, goes first.
    if let Some(exclusive) = state.tasks_of(instance).exclusive
        && has_backpressure(state, task)
        && is_ready(state, exclusive) == Some(true)
    {
        ran = resume(store, exclusive, false)?;
    }
    let state = store.attachment::<State>();
    let is_behind_others = ran != Ran::ToItsWait || state.tasks_of(instance).waiting_to_enter > 0;
    if is_behind_others || has_backpressure(state, task) {
        let tasks = state.tasks_of(instance);
        tasks.waiting_to_enter += 1;
        if let Some(thread) = state.concurrent.threads.get_mut(thread) {
            thread.state = ThreadState::Waiting(Wait::ToEnter);
            thread.is_cancellable = true;
        }
        // Where it only waits behind those that are about to enter, nothing else need happen in the instance any more: its turn comes after theirs.
        match has_backpressure(state, task) {
            true => state.hold_up(thread),
            false => state.look_again(thread),
        }
        return Ok(ran);
    }
    enter_now(store, (task, thread))
}

/// Whether an instance lets a task wait before it enters.
pub(super) fn has_backpressure(state: &State, task: Key<Task>) -> bool {
    let Some(task) = state.concurrent.tasks.get(task) else { return false };
    let instance = &state.instances[task.callee.side.instance.0 as usize];
    instance.backpressure > 0 || task.needs_exclusive() && instance.tasks.exclusive.is_some()
}

/// Begins what a task is to do.
pub(super) fn enter_now<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    (task, thread): (Key<Task>, Key<Thread>),
) -> Result<Ran, Error> {
    let state = store.attachment::<State>();
    let Some(callee) = state.concurrent.tasks.get(task).map(|task| Arc::clone(&task.callee)) else {
        return Ok(Ran::ToItsWait);
    };
    let needs_exclusive = state.concurrent.tasks.get(task).is_some_and(Task::needs_exclusive);
    if needs_exclusive {
        state.tasks_of(callee.side.instance).exclusive = Some(thread);
    }
    let slots = arguments(store, task, &callee)?;
    super::thread::start(store, thread, (callee.core, slots))
}

/// Hands the arguments over (`Task.start`, `lower_flat_values`); gives what the core function is called with.
fn arguments<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    key: Key<Task>,
    callee: &LiftedFunc,
) -> Result<Vec<u64>, Error> {
    let state = store.attachment::<State>();
    let Some(task) = state.concurrent.tasks.get_mut(key) else { return Ok(Vec::new()) };
    task.state = TaskState::Started;
    let boundary = task.boundary();
    let (subtask, (vals, mut strings), mut lends) = match &mut task.caller {
        TaskCaller::Host(host) => {
            let given = (std::mem::take(&mut host.params), StringShapes::new());
            (None, given, std::mem::take(&mut host.lends))
        }
        TaskCaller::Guest(subtask) => {
            let subtask = *subtask;
            let given = subtask::start(store, subtask)?;
            (Some(subtask), given, Lends::default())
        }
    };
    let side = &callee.side;
    let ty = side.shared.types.func(callee.ty);
    let mut guest = InStore { store, side };
    let call = Some(key.index | TASK_SCOPE);
    let mut lower = Lower::new(side, boundary, (&mut guest, call), (&mut lends, &mut strings));
    let mut slots = Vec::new();
    let lowered = lower.values(MAX_FLAT_PARAMS, &vals, ty.params_tuple, &mut slots);
    let state = store.attachment::<State>();
    if subtask.is_none()
        && let Some(task) = state.concurrent.tasks.get_mut(key)
        && let TaskCaller::Host(host) = &mut task.caller
    {
        host.lends = lends;
    }
    lowered.map(|()| slots)
}

/// `canon task.return`
pub(crate) fn task_return<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    (ty, side): (Option<TypeIndex>, &Side),
    slots: &[u64],
) -> Result<(), Error> {
    check_leave(store, side.instance)?;
    let state = store.attachment::<State>();
    let (key, task) = current(state)?;
    let callee = Arc::clone(&task.callee);
    if !callee.is_async {
        return Err(Trap::NotAsync.into());
    }
    if task.state == TaskState::Resolved {
        return Err(Trap::ReturnedTwice.into());
    }
    // Options that say nothing about a memory fit any: numbers alone are the same in all.
    let is_same = side.shared.types.func(callee.ty).result == ty
        && (side.memory.is_none()
            || (callee.side.encoding, callee.side.memory) == (side.encoding, side.memory));
    if !is_same {
        return Err(Trap::WrongReturnType.into());
    }
    let boundary = task.boundary();
    let returned =
        lift_returned(store, (side, boundary), ty, |lift, ty| lift.result(MAX_FLAT_PARAMS, slots, ty))?;
    return_(store, key, returned)
}

/// The task whose thread runs.
fn current(state: &mut State) -> Result<(Key<Task>, &mut Task), Trap> {
    let thread = state.current_thread().and_then(|thread| state.concurrent.threads.get(thread));
    let key = thread.map(|thread| thread.task).ok_or(Trap::NotAsync)?;
    let task = state.concurrent.tasks.get_mut(key).ok_or(Trap::NotAsync)?;
    Ok((key, task))
}

/// Lifts what a task returns.
pub(super) fn lift_returned<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    (side, boundary): (&Side, Boundary),
    ty: Option<TypeIndex>,
    lift: impl FnOnce(&mut Lift<'_>, TypeIndex) -> Result<Val, Error>,
) -> Result<Returned, Error> {
    let (mut lends, mut strings) = (Lends::default(), StringShapes::new());
    let Some(ty) = ty else { return Ok(Returned { val: None, strings, _charge: None }) };
    let (val, charge) =
        with_lift(store, (side, boundary), (&mut lends, &mut strings), |context| lift(context, ty))?;
    Ok(Returned { val: Some(val), strings, _charge: charge })
}

/// `Task.return_`
pub(super) fn return_<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    key: Key<Task>,
    returned: Returned,
) -> Result<(), Error> {
    resolve(store, key, Some(returned))
}

/// `canon task.cancel`
pub(super) fn task_cancel<T: 'static>(store: &mut StoreContextMut<'_, T>) -> Result<(), Error> {
    let (key, task) = current(store.attachment())?;
    if !task.callee.is_async {
        return Err(Trap::NotAsync.into());
    }
    cancel(store, key)
}

/// `Task.cancel`
pub(super) fn cancel<T: 'static>(store: &mut StoreContextMut<'_, T>, key: Key<Task>) -> Result<(), Error> {
    let task = store.attachment::<State>().concurrent.tasks.get(key);
    if task.is_none_or(|task| task.state != TaskState::CancelDelivered) {
        return Err(Trap::NotCancelled.into());
    }
    resolve(store, key, None)
}

fn resolve<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    key: Key<Task>,
    returned: Option<Returned>,
) -> Result<(), Error> {
    let state = store.attachment::<State>();
    let Some(task) = state.concurrent.tasks.get_mut(key) else { return Ok(()) };
    if task.state == TaskState::Resolved {
        return Err(Trap::ReturnedTwice.into());
    }
    if task.borrows > 0 {
        return Err(Trap::BorrowsRemain.into());
    }
    task.state = TaskState::Resolved;
    match &mut task.caller {
        TaskCaller::Guest(subtask) => {
            let subtask = *subtask;
            subtask::resolve(store, subtask, returned)
        }
        TaskCaller::Host(host) => {
            let mut lends = std::mem::take(&mut host.lends);
            if !host.is_given_up {
                host.result = Some(returned.map_or(HostResult::Cancelled, HostResult::Returned));
            }
            #[cfg(feature = "async")]
            drop(host.told.take());
            lends.end(state, None);
            Ok(())
        }
    }
}

/// `request_cancellation`
pub(super) fn request_cancellation<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    (key, entry): (Key<Task>, Entry),
) -> Result<(), Error> {
    let state = store.attachment::<State>();
    let Some(task) = state.concurrent.tasks.get_mut(key) else { return Ok(()) };
    let instance: InstanceId = task.callee.side.instance;
    let Some(implicit) = task.implicit else { return Ok(()) };
    if task.state == TaskState::Initial {
        task.state = TaskState::CancelDelivered;
        // It has not begun, and nothing of it runs.
        resume(store, implicit, true)?;
        return Ok(());
    }
    if task.state != TaskState::Started {
        return Ok(());
    }
    let needs_exclusive = task.needs_exclusive();
    let exclusive = state.instances[instance.0 as usize].tasks.exclusive;
    let is_held_up = needs_exclusive && exclusive.is_some_and(|exclusive| exclusive != implicit);
    let Some(task) = state.concurrent.tasks.get(key) else { return Ok(()) };
    let is_candidate = |thread: &Key<Thread>| {
        state.concurrent.threads.get(*thread).is_some_and(|thread| thread.is_cancellable)
            && !(is_held_up && *thread == implicit)
    };
    let candidate = task.threads.iter().find(is_candidate);
    let state_of = |store: &mut StoreContextMut<'_, T>, to| {
        if let Some(task) = store.attachment::<State>().concurrent.tasks.get_mut(key) {
            task.state = to;
        }
    };
    match candidate.filter(|_| may_enter(store, instance, entry)) {
        Some(thread) => {
            state_of(store, TaskState::CancelDelivered);
            enter(store, instance, entry)?;
            if resume(store, thread, true)? == Ran::ToItsWait {
                leave(store, instance, entry);
            }
        }
        None => state_of(store, TaskState::PendingCancel),
    }
    Ok(())
}
