//! The functions around tasks that the canonical ABI gives to component instances, as core functions ("Canonical Definitions").
//!
//! Must stay true: what could wait traps at once where its caller must not wait, whatever it is given.

use std::sync::Arc;

use innkeeper_engine as core;
use innkeeper_engine::{Error, ErrorKind, HostEnding, StoreContextMut};

use super::copy::{self, Asked};
use super::end::{Direction, EndKind};
use super::host::poll_told;
use super::thread::{self, ThreadState, Wait};
use super::{Key, Thread, WaitableSet, subtask, task, waitable};
use crate::abi::Side;
use crate::entry::check_leave;
use crate::state::{InstanceId, State};
use crate::table::ResourceHandle;
use crate::trap::Trap;
use crate::types::TypeIndex;

/// Which function it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Builtin {
    TaskCancel,
    ThreadYield,
    ThreadIndex,
    ThreadNewIndirect,
    ThreadResumeLater,
    ThreadSuspend,
    ThreadSuspendThenResume,
    ThreadYieldThenResume,
    SubtaskCancel,
    SubtaskDrop,
    WaitableSetNew,
    WaitableSetWait,
    WaitableSetPoll,
    WaitableSetDrop,
    WaitableJoin,
    End(EndKind, EndBuiltin),
}

/// Those of streams and futures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EndBuiltin {
    New,
    Read,
    Write,
    CancelRead,
    CancelWrite,
    DropReadable,
    DropWritable,
}

/// Such a function of an instance's.
pub(crate) struct ConcurrentBuiltin {
    pub(crate) builtin: Builtin,
    /// The stream's or future's type.
    pub(crate) ty: Option<TypeIndex>,
    pub(crate) side: Arc<Side>,
    pub(crate) is_async: bool,
    pub(crate) table: Option<core::Table>,
}

impl ConcurrentBuiltin {
    /// Calls it, with its parameters in the first slots.
    pub(crate) fn call<T: 'static>(
        &self,
        store: &mut StoreContextMut<'_, T>,
        slots: &mut [u64],
    ) -> Result<HostEnding, Error> {
        let instance = self.side.instance;
        check_leave(store, instance)?;
        if self.may_wait() && !(store.can_park() && store.attachment::<State>().can_block()) {
            return Err(Trap::CannotBlock.into());
        }
        let param = |index: usize| slots.get(index).copied().unwrap_or_default() as u32;
        let (first, second) = (param(0), param(1));
        let memory = (instance, self.side.memory);
        let state = store.attachment::<State>();
        let result = match self.builtin {
            Builtin::TaskCancel => {
                task::task_cancel(store)?;
                None
            }
            Builtin::ThreadYield => return self.yields(store, slots),
            Builtin::ThreadIndex => Some(thread_index(state)?),
            Builtin::ThreadNewIndirect => Some(self.new_thread(store, (first, second))?),
            Builtin::ThreadResumeLater => {
                resume_later(state, (instance, first))?;
                None
            }
            Builtin::ThreadSuspend => return self.suspend(store, None, ThreadState::Suspended),
            Builtin::ThreadSuspendThenResume => {
                let other = suspended(state, (instance, first))?;
                return self.suspend(store, Some(other), ThreadState::Suspended);
            }
            Builtin::ThreadYieldThenResume => {
                let other = suspended(state, (instance, first))?;
                return self.suspend(store, Some(other), ThreadState::Waiting(Wait::Yield));
            }
            Builtin::SubtaskCancel => {
                return parks(slots, subtask::cancel(store, (instance, self.is_async), first)?);
            }
            Builtin::SubtaskDrop => {
                subtask::drop_subtask(state, (instance, first))?;
                None
            }
            Builtin::WaitableSetNew => {
                let budget = store.budget().clone();
                let state = store.attachment::<State>();
                let key = state.concurrent.sets.add(WaitableSet::default(), &budget)?;
                Some(state.instance(instance).handles.add(ResourceHandle::set(key.index), &budget)?)
            }
            Builtin::WaitableSetWait => return parks(slots, waitable::wait(store, memory, (first, second))?),
            Builtin::WaitableSetPoll => Some(waitable::poll(store, memory, (first, second))?),
            Builtin::WaitableSetDrop => {
                waitable::drop_set(state, (instance, first))?;
                None
            }
            Builtin::WaitableJoin => {
                waitable::join(state, instance, (first, second))?;
                None
            }
            Builtin::End(kind, builtin) => return self.end(store, (kind, builtin), slots),
        };
        parks(slots, Some(result.unwrap_or_else(|| param(0))))
    }

    /// Whether it waits where what it asks for is not there yet.
    fn may_wait(&self) -> bool {
        let is_sync = !self.is_async;
        match self.builtin {
            Builtin::WaitableSetWait | Builtin::ThreadSuspend => true,
            Builtin::SubtaskCancel => is_sync,
            Builtin::End(_, EndBuiltin::Read | EndBuiltin::Write) => is_sync,
            Builtin::End(_, EndBuiltin::CancelRead | EndBuiltin::CancelWrite) => is_sync,
            _ => false,
        }
    }

    fn end<T: 'static>(
        &self,
        store: &mut StoreContextMut<'_, T>,
        (kind, builtin): (EndKind, EndBuiltin),
        slots: &mut [u64],
    ) -> Result<HostEnding, Error> {
        let Some(ty) = self.ty else { return Err(missing("a stream without a type")) };
        let instance = self.side.instance;
        let param = |index: usize| slots.get(index).copied().unwrap_or_default() as u32;
        let direction = match builtin {
            EndBuiltin::Write | EndBuiltin::CancelWrite | EndBuiltin::DropWritable => Direction::Writable,
            _ => Direction::Readable,
        };
        let asked = Asked {
            kind,
            direction,
            ty,
            handle: param(0),
            address: param(1),
            length: if kind == EndKind::Stream { param(2) } else { 1 },
            is_async: self.is_async,
        };
        match builtin {
            EndBuiltin::New => {
                let budget = store.budget().clone();
                let shared = &self.side.shared;
                let both = store.attachment::<State>().new_ends(instance, (shared, ty), &budget)?;
                if let Some(slot) = slots.first_mut() {
                    *slot = both;
                }
                Ok(HostEnding::Returns)
            }
            EndBuiltin::Read | EndBuiltin::Write => parks(slots, copy::copy(store, &self.side, &asked)?),
            EndBuiltin::CancelRead | EndBuiltin::CancelWrite => {
                parks(slots, copy::cancel(store.attachment(), instance, &asked)?)
            }
            EndBuiltin::DropReadable | EndBuiltin::DropWritable => {
                let woken = Arc::clone(store.attachment::<State>().concurrent.host.woken());
                let (dropped, told) = woken.noting(|| copy::drop_end(store.attachment(), instance, &asked));
                dropped?;
                poll_told(store, told)?;
                Ok(HostEnding::Returns)
            }
        }
    }

    /// `canon thread.yield`: in a call that must not wait, nobody else has a turn.
    fn yields<T: 'static>(
        &self,
        store: &mut StoreContextMut<'_, T>,
        slots: &mut [u64],
    ) -> Result<HostEnding, Error> {
        let can_park = store.can_park();
        let state = store.attachment::<State>();
        if !can_park || !state.can_block() {
            return parks(slots, Some(0));
        }
        thread::wait(state, Wait::Yield)?;
        Ok(HostEnding::Parks)
    }

    /// Has the thread that runs be suspended, or wait, and another one go on in its place.
    fn suspend<T: 'static>(
        &self,
        store: &mut StoreContextMut<'_, T>,
        then: Option<Key<Thread>>,
        becomes: ThreadState,
    ) -> Result<HostEnding, Error> {
        let can_park = store.can_park();
        let state = store.attachment::<State>();
        if !can_park || !state.can_block() {
            return Err(missing("threads of a call that must not wait"));
        }
        let current = state.current_thread().ok_or(Trap::CannotBlock)?;
        if let Some(thread) = state.concurrent.threads.get_mut(current) {
            (thread.state, thread.then) = (becomes, then);
        }
        Ok(HostEnding::Parks)
    }

    /// `canon thread.new-indirect`
    fn new_thread<T: 'static>(
        &self,
        store: &mut StoreContextMut<'_, T>,
        (index, param): (u32, u32),
    ) -> Result<u32, Error> {
        let table = self.table.ok_or_else(|| missing("a thread without a table"))?;
        let func = match table.get(&mut *store, u64::from(index)) {
            Ok(Some(core::Val::FuncRef(Some(func)))) => func,
            _ => return Err(core::Trap::UninitializedElement.into()),
        };
        let instance = self.side.instance;
        let budget = store.budget().clone();
        let state = store.attachment::<State>();
        let current = state.current_thread().and_then(|thread| state.concurrent.threads.get(thread));
        let Some(task) = current.map(|thread| thread.task) else {
            return Err(missing("threads of a call that must not wait"));
        };
        let mut thread = Thread::new(task, instance);
        (thread.state, thread.start) = (ThreadState::Suspended, Some((func, param)));
        let key = state.concurrent.threads.add(thread, &budget)?;
        if let Some(task) = state.concurrent.tasks.get_mut(task) {
            task.threads.add(key);
        }
        Ok(index_of(state, key))
    }
}

/// What a function of the host leaves that returns a number, or has the thread wait.
fn parks(slots: &mut [u64], result: Option<u32>) -> Result<HostEnding, Error> {
    let Some(result) = result else { return Ok(HostEnding::Parks) };
    if let Some(slot) = slots.first_mut() {
        *slot = u64::from(result);
    }
    Ok(HostEnding::Returns)
}

/// `canon thread.index`
fn thread_index(state: &mut State) -> Result<u32, Error> {
    let current = state.current_thread().ok_or_else(|| missing("threads of a call that must not wait"))?;
    Ok(index_of(state, current))
}

/// A thread's index, given now where it has none yet.
fn index_of(state: &mut State, key: Key<Thread>) -> u32 {
    let Some(thread) = state.concurrent.threads.get(key) else { return 0 };
    if let Some(index) = thread.index {
        return index;
    }
    let index = state.instances[thread.instance.0 as usize].tasks.threads.add(key);
    if let Some(thread) = state.concurrent.threads.get_mut(key) {
        thread.index = Some(index);
    }
    index
}

/// The thread of an index, which must be suspended.
fn suspended(state: &mut State, (instance, index): (InstanceId, u32)) -> Result<Key<Thread>, Trap> {
    let key = state.tasks_of(instance).threads.get(index).ok_or(Trap::UnknownThread(index))?;
    match state.concurrent.threads.get(key).map(|thread| thread.state) {
        Some(ThreadState::Suspended) => Ok(key),
        _ => Err(Trap::NotSuspended(index)),
    }
}

/// `canon thread.resume-later`
fn resume_later(state: &mut State, of: (InstanceId, u32)) -> Result<(), Trap> {
    let key = suspended(state, of)?;
    if let Some(thread) = state.concurrent.threads.get_mut(key) {
        thread.state = ThreadState::Waiting(Wait::Yield);
    }
    state.look_again(key);
    Ok(())
}

fn missing(what: &str) -> Error {
    Error::new(ErrorKind::Unsupported(what.to_owned()))
}
