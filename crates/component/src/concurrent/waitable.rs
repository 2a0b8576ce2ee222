//! Waitables and waitable sets (canonical ABI, "Waitable State").
//!
//! Must stay true: a set's queue has every member that has an event; what is in it besides is left out when its turn comes. A waitable that somebody waits for by itself is in no set.

use std::collections::VecDeque;

use innkeeper_engine::{Error, Memory, StoreContextMut};

use super::copy::CopyResult;
use super::end::End;
use super::subtask::Subtask;
use super::thread::{self, Wait};
use super::{Concurrent, Key, Thread, copy, subtask};
use crate::abi::check_range;
use crate::state::{InstanceId, State};
use crate::table::{HandleEntry, ResourceHandle};
use crate::trap::Trap;

/// An event's code, and its two numbers.
pub(super) type EventTuple = (u32, u32, u32);

/// `EventCode.NONE`
pub(super) const NONE: EventTuple = (0, 0, 0);
/// `EventCode.SUBTASK`
pub(super) const SUBTASK: u32 = 1;
/// `EventCode.STREAM_READ`
pub(super) const STREAM_READ: u32 = 2;
/// `EventCode.STREAM_WRITE`
pub(super) const STREAM_WRITE: u32 = 3;
/// `EventCode.FUTURE_READ`
pub(super) const FUTURE_READ: u32 = 4;
/// `EventCode.FUTURE_WRITE`
pub(super) const FUTURE_WRITE: u32 = 5;
/// `EventCode.TASK_CANCELLED`
pub(super) const TASK_CANCELLED: EventTuple = (6, 0, 0);

/// Something to wait for.
pub(crate) struct Waitable {
    pub(crate) instance: InstanceId,
    /// Its handle; 0 where it has none yet.
    pub(crate) handle: u32,
    pub(crate) set: Option<Key<WaitableSet>>,
    pub(crate) event: Option<Event>,
    /// Whether it is in its set's queue.
    is_listed: bool,
    /// Who waits for its event by itself.
    pub(crate) sync_waiter: Option<Key<Thread>>,
    pub(crate) kind: WaitableKind,
}

pub(crate) enum WaitableKind {
    Subtask(Subtask),
    End(End),
}

/// What is to be told of a waitable. What exactly is worked out when it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// How far a subtask is.
    Subtask,
    /// How a copy has ended, or that it has made progress; then its buffer is taken back.
    Copy { result: CopyResult, takes_back: bool },
}

#[derive(Default)]
pub(crate) struct WaitableSet {
    /// How many are in it.
    members: u32,
    /// Those that have an event, in order.
    pending: VecDeque<Key<Waitable>>,
    pub(crate) waiters: Vec<Key<Thread>>,
}

impl WaitableSet {
    /// How many are in it.
    pub(super) fn members(&self) -> u32 {
        self.members
    }
}

impl Waitable {
    pub(crate) fn new(instance: InstanceId, kind: WaitableKind) -> Waitable {
        Waitable { instance, handle: 0, set: None, event: None, is_listed: false, sync_waiter: None, kind }
    }

    /// Whether it has an event with which a wait for it alone ends. That a subtask has started is none: the caller waits for what its cancellation comes to.
    pub(super) fn has_last_event(&self) -> bool {
        let is_over = match &self.kind {
            WaitableKind::Subtask(subtask) => subtask.is_resolved(),
            WaitableKind::End(_) => true,
        };
        is_over && self.event.is_some()
    }
}

impl Concurrent {
    /// Whether a member of a set has an event.
    pub(super) fn set_has_event(&mut self, key: Key<WaitableSet>) -> bool {
        let Concurrent { sets, waitables, .. } = self;
        let Some(set) = sets.get_mut(key) else { return false };
        while let Some(first) = set.pending.front() {
            let is_there = |waitable: &Waitable| waitable.set == Some(key) && waitable.event.is_some();
            if waitables.get(*first).is_some_and(is_there) {
                return true;
            }
            if let Some(waitable) = waitables.get_mut(*first) {
                waitable.is_listed = false;
            }
            set.pending.pop_front();
        }
        false
    }
}

impl State {
    /// The set that a handle is of.
    pub(super) fn waitable_set(
        &mut self,
        instance: InstanceId,
        handle: u32,
    ) -> Result<Key<WaitableSet>, Trap> {
        match self.instance(instance).handles.entry(handle)? {
            HandleEntry::Set(place) => self.concurrent.sets.key_at(place).ok_or(Trap::UnknownHandle(handle)),
            _ => Err(Trap::WrongHandleKind { handle, expected: "waitable set" }),
        }
    }

    /// The waitable that a handle is of.
    pub(super) fn waitable(&mut self, instance: InstanceId, handle: u32) -> Result<Key<Waitable>, Trap> {
        match self.instance(instance).handles.entry(handle)? {
            HandleEntry::Waitable(place) => {
                self.concurrent.waitables.key_at(place).ok_or(Trap::UnknownHandle(handle))
            }
            _ => Err(Trap::WrongHandleKind { handle, expected: "waitable" }),
        }
    }

    /// Says that there is something to be told of a waitable (`set_pending_event`).
    pub(super) fn set_event(&mut self, key: Key<Waitable>, event: Event) {
        let Some(waitable) = self.concurrent.waitables.get_mut(key) else { return };
        waitable.event = Some(event);
        self.tell_waiters(key);
    }

    fn tell_waiters(&mut self, key: Key<Waitable>) {
        let Some(waitable) = self.concurrent.waitables.get_mut(key) else { return };
        let (waiter, set) = (waitable.sync_waiter, waitable.set);
        let is_listed = std::mem::replace(&mut waitable.is_listed, set.is_some());
        if let Some(waiter) = waiter {
            self.look_again(waiter);
        }
        if let Some(set) = set.and_then(|set| self.concurrent.sets.get_mut(set)) {
            if !is_listed {
                set.pending.push_back(key);
            }
            let waiters = set.waiters.clone();
            waiters.into_iter().for_each(|waiter| self.look_again(waiter));
        }
    }

    /// `Waitable.join`
    fn join(&mut self, key: Key<Waitable>, to: Option<Key<WaitableSet>>) {
        let Some(waitable) = self.concurrent.waitables.get_mut(key) else { return };
        let has_event = waitable.event.is_some();
        let from = std::mem::replace(&mut waitable.set, to);
        waitable.is_listed = false;
        if let Some(set) = from.and_then(|set| self.concurrent.sets.get_mut(set)) {
            set.members = set.members.saturating_sub(1);
            set.pending.retain(|other| *other != key);
        }
        if let Some(set) = to.and_then(|set| self.concurrent.sets.get_mut(set)) {
            set.members += 1;
            if has_event {
                self.tell_waiters(key);
            }
        }
    }

    /// Gives a new waitable a handle.
    pub(super) fn add_waitable(
        &mut self,
        key: Key<Waitable>,
        budget: &innkeeper_engine::Budget,
    ) -> Result<u32, Error> {
        let Some(instance) = self.concurrent.waitables.get(key).map(|waitable| waitable.instance) else {
            return Ok(0);
        };
        let handle = self.instance(instance).handles.add(ResourceHandle::waitable(key.index), budget)?;
        if let Some(waitable) = self.concurrent.waitables.get_mut(key) {
            waitable.handle = handle;
        }
        Ok(handle)
    }

    /// Drops a waitable of an instance that has trapped: who has the other end of a stream is told, and a function of the host ends.
    pub(super) fn drop_waitable(&mut self, key: Key<Waitable>) {
        match self.remove_waitable(key).map(|waitable| waitable.kind) {
            Some(WaitableKind::End(end)) => self.drop_shared(end.shared_key()),
            Some(WaitableKind::Subtask(subtask)) => {
                if let Some(task) = subtask.host_task() {
                    self.concurrent.host.remove(task);
                }
            }
            None => {}
        }
    }

    /// Takes a waitable's handle away, and the waitable with it (`Waitable.drop`).
    pub(super) fn remove_waitable(&mut self, key: Key<Waitable>) -> Option<Waitable> {
        self.join(key, None);
        let waitable = self.concurrent.waitables.remove(key)?;
        if waitable.handle != 0 {
            self.instance(waitable.instance).handles.remove(waitable.handle);
        }
        Some(waitable)
    }
}

/// What is told of a waitable, which has an event (`get_pending_event`).
pub(super) fn take_event(state: &mut State, key: Key<Waitable>) -> EventTuple {
    let Some(waitable) = state.concurrent.waitables.get_mut(key) else { return NONE };
    let handle = waitable.handle;
    match waitable.event.take() {
        None => NONE,
        Some(Event::Subtask) => (SUBTASK, handle, subtask::tell(state, key)),
        Some(Event::Copy { result, takes_back }) => {
            let (code, payload) = copy::tell(state, key, (result, takes_back));
            (code, handle, payload)
        }
    }
}

/// The same, of the first of a set's members that has one.
pub(super) fn take_event_of_set(state: &mut State, key: Key<WaitableSet>) -> EventTuple {
    if !state.concurrent.set_has_event(key) {
        return NONE;
    }
    let first = state.concurrent.sets.get_mut(key).and_then(|set| set.pending.pop_front());
    if let Some(waitable) = first.and_then(|first| state.concurrent.waitables.get_mut(first)) {
        waitable.is_listed = false;
    }
    first.map_or(NONE, |first| take_event(state, first))
}

/// Writes an event's numbers where the guest wants them (`unpack_event`); gives its code.
pub(super) fn write_event<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    (memory, address): (Option<Memory>, u32),
    (code, first, second): EventTuple,
) -> Result<u32, Error> {
    if let Some(memory) = memory {
        let bytes = memory.data_mut(store)?;
        let range = check_range(address, (8, 4), bytes.len(), Trap::PointerOutOfBounds)?;
        if let Some(bytes) = bytes.get_mut(range) {
            bytes[..4].copy_from_slice(&first.to_le_bytes());
            bytes[4..].copy_from_slice(&second.to_le_bytes());
        }
    }
    Ok(code)
}

/// `canon waitable-set.wait`; none where the thread has to wait.
pub(super) fn wait<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    (instance, memory): (InstanceId, Option<Memory>),
    (handle, address): (u32, u32),
) -> Result<Option<u32>, Error> {
    let state = store.attachment::<State>();
    let set = state.waitable_set(instance, handle)?;
    if state.concurrent.set_has_event(set) {
        let event = take_event_of_set(state, set);
        return write_event(store, (memory, address), event).map(Some);
    }
    let thread = state.current_thread().ok_or(Trap::CannotBlock)?;
    thread::wait(state, Wait::Set { set, memory, address })?;
    if let Some(set) = state.concurrent.sets.get_mut(set) {
        set.waiters.push(thread);
    }
    Ok(None)
}

/// `canon waitable-set.poll`
pub(super) fn poll<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    (instance, memory): (InstanceId, Option<Memory>),
    (handle, address): (u32, u32),
) -> Result<u32, Error> {
    let state = store.attachment::<State>();
    let set = state.waitable_set(instance, handle)?;
    let event = take_event_of_set(state, set);
    write_event(store, (memory, address), event)
}

/// `canon waitable-set.drop`
pub(super) fn drop_set(state: &mut State, (instance, handle): (InstanceId, u32)) -> Result<(), Trap> {
    let key = state.waitable_set(instance, handle)?;
    let set = state.concurrent.sets.get(key);
    if set.is_some_and(|set| set.members > 0) {
        return Err(Trap::SetHasMembers);
    }
    if set.is_some_and(|set| !set.waiters.is_empty()) {
        return Err(Trap::SetHasWaiters);
    }
    state.instance(instance).handles.remove(handle);
    state.concurrent.sets.remove(key);
    Ok(())
}

/// `canon waitable.join`
pub(super) fn join(state: &mut State, instance: InstanceId, (handle, set): (u32, u32)) -> Result<(), Trap> {
    let key = state.waitable(instance, handle)?;
    if state.concurrent.waitables.get(key).is_some_and(|waitable| waitable.sync_waiter.is_some()) {
        return Err(Trap::WaitableInSet);
    }
    let set = match set {
        0 => None,
        set => Some(state.waitable_set(instance, set)?),
    };
    state.join(key, set);
    Ok(())
}
