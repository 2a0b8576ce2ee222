//! Copies from the writable end of a stream or future to its readable one (canonical ABI, "Buffer State", `stream_copy`, `future_copy`, `cancel_copy`).
//!
//! There is no buffer in between: who comes first waits for the other one, and then bytes go from memory to memory.
//!
//! Must stay true: a buffer lies in its memory when it is used, which is looked at anew each time. While an end is being copied it belongs to its table.

use std::sync::Arc;

use innkeeper_engine::{Error, StoreContextMut};

use super::elements::{copy_elements, is_none_or_number, place_of};
use super::end::{CopyState, Direction, End, EndKind};
use super::host_end;
use super::subtask::BLOCKED;
use super::thread;
use super::waitable::{Event, FUTURE_READ, FUTURE_WRITE, STREAM_READ, STREAM_WRITE, take_event};
use super::{Key, Waitable};
use crate::abi::{Side, check_range};
use crate::state::{InstanceId, State};
use crate::trap::Trap;
use crate::types::{TypeIndex, TypeTable, ValType};

/// `Buffer.MAX_LENGTH`
const MAX_LENGTH: u32 = (1 << 28) - 1;

/// A part of a guest's memory that is read from or written to (`BufferGuestImpl`).
pub(super) struct Buffer {
    side: Arc<Side>,
    address: u32,
    length: u32,
    progress: u32,
}

/// `CopyResult`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CopyResult {
    Completed = 0,
    Dropped = 1,
    Cancelled = 2,
}

impl Buffer {
    fn remain(&self) -> u32 {
        self.length - self.progress
    }
}

/// Whether elements are bytes.
pub(super) fn is_bytes(types: &TypeTable, element: Option<TypeIndex>) -> bool {
    element.is_some_and(|element| matches!(types.get(element), ValType::U8))
}

/// What is copied: the end, and where from or to.
pub(super) struct Asked {
    pub(super) kind: EndKind,
    pub(super) direction: Direction,
    pub(super) ty: TypeIndex,
    pub(super) handle: u32,
    pub(super) address: u32,
    pub(super) length: u32,
    pub(super) is_async: bool,
}

/// `canon {stream,future}.{read,write}`; none where the thread has to wait.
pub(super) fn copy<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    side: &Arc<Side>,
    asked: &Asked,
) -> Result<Option<u32>, Error> {
    let Asked { kind, direction, ty, handle, address, length, is_async } = *asked;
    let state = store.attachment::<State>();
    let key = state.end_of_handle((side.instance, handle), (kind, direction, ty))?;
    let is_in_set = state.concurrent.waitables.get(key).is_some_and(|waitable| waitable.set.is_some());
    let Some(end) = state.end(key) else { return Ok(Some(0)) };
    match (end.state, kind, direction) {
        (CopyState::Idle, ..) => {}
        (CopyState::Copying | CopyState::Cancelling, ..) => return Err(Trap::Concurrent.into()),
        (CopyState::Done, EndKind::Future, Direction::Readable) => return Err(Trap::ReadTwice.into()),
        (CopyState::Done, EndKind::Future, Direction::Writable) => return Err(Trap::WrittenTwice.into()),
        (CopyState::Done, EndKind::Stream, Direction::Readable) => return Err(Trap::ReadAfterDropped.into()),
        (CopyState::Done, EndKind::Stream, Direction::Writable) => {
            return Err(Trap::WrittenAfterDropped.into());
        }
    }
    if is_in_set && !is_async {
        return Err(Trap::WaitableInSet.into());
    }
    let element = end.element();
    if length > MAX_LENGTH {
        return Err(Trap::BufferTooLong.into());
    }
    let buffer = Buffer { side: Arc::clone(side), address, length, progress: 0 };
    check_buffer(store, &buffer, (element, length))?;
    let state = store.attachment::<State>();
    if let Some(end) = state.end_mut(key) {
        (end.state, end.buffer) = (CopyState::Copying, Some(buffer));
    }
    rendezvous(store, key)?;
    let state = store.attachment::<State>();
    if state.concurrent.waitables.get(key).is_some_and(|waitable| waitable.event.is_some()) {
        return Ok(Some(take_payload(state, key)));
    }
    match is_async {
        true => Ok(Some(BLOCKED)),
        false => Ok(thread::wait_for_event(state, key)?),
    }
}

/// Checks that so many elements from where a buffer has got to lie in its memory.
fn check_buffer<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    buffer: &Buffer,
    (element, length): (Option<TypeIndex>, u32),
) -> Result<(), Error> {
    let Some(element) = element.filter(|_| length > 0) else { return Ok(()) };
    let layout = buffer.side.shared.types.layout(element);
    let bytes = u64::from(length) * u64::from(layout.size);
    let memory_bytes = match buffer.side.memory {
        Some(memory) => memory.data_mut(store)?.len(),
        None => 0,
    };
    let start = u64::from(buffer.address) + u64::from(buffer.progress) * u64::from(layout.size);
    let start = u32::try_from(start).map_err(|_| Trap::PointerOutOfBounds)?;
    check_range(start, (bytes, layout.align), memory_bytes, Trap::PointerOutOfBounds)?;
    Ok(())
}

/// What is told of a copy that has ended, and has an event.
pub(super) fn take_payload(state: &mut State, key: Key<Waitable>) -> u32 {
    take_event(state, key).2
}

/// Copies between an end that has come now and the one that waits, or has it wait (`read`, `write`).
fn rendezvous<T: 'static>(store: &mut StoreContextMut<'_, T>, key: Key<Waitable>) -> Result<(), Error> {
    let done = |result| Event::Copy { result, takes_back: false };
    let state = store.attachment::<State>();
    let Some(end) = state.end(key) else { return Ok(()) };
    let (kind, direction, shared_key, element) = (end.kind, end.direction, end.shared, end.element());
    let is_number = is_none_or_number(&end.types.types, element);
    let here = end.buffer.as_ref().map_or((0, 0), |buffer| (buffer.remain(), buffer.length));
    let Some(shared) = state.concurrent.shared.get_mut(shared_key) else { return Ok(()) };
    if shared.is_dropped {
        state.set_event(key, done(CopyResult::Dropped));
        return Ok(());
    }
    if shared.host.is_some() {
        if !host_end::meet(store, key, shared_key)?
            && let Some(shared) = store.attachment::<State>().concurrent.shared.get_mut(shared_key)
        {
            shared.pending = Some(key);
        }
        return Ok(());
    }
    let Some(other) = shared.pending else {
        shared.pending = Some(key);
        return Ok(());
    };
    let instance_of = |key| state.concurrent.waitables.get(key).map(|waitable| waitable.instance);
    if instance_of(key) == instance_of(other) && !is_number {
        return Err(Trap::CopyToItself(kind.name()).into());
    }
    let there = state.end(other).and_then(|end| end.buffer.as_ref());
    let there = there.map_or((0, 0), |buffer| (buffer.remain(), buffer.length));
    let count = here.0.min(there.0);
    if count > 0 {
        let (from, to) = if direction == Direction::Readable { (other, key) } else { (key, other) };
        transfer(store, (from, to), count)?;
    }
    let state = store.attachment::<State>();
    let is_future = kind == EndKind::Future;
    if is_future {
        if let Some(shared) = state.concurrent.shared.get_mut(shared_key) {
            shared.pending = None;
        }
        state.set_event(other, done(CopyResult::Completed));
        state.set_event(key, done(CopyResult::Completed));
    } else if there.0 > 0 {
        if count > 0 {
            state.set_event(other, Event::Copy { result: CopyResult::Completed, takes_back: true });
        }
        state.set_event(key, done(CopyResult::Completed));
    } else if direction == Direction::Writable && here.1 == 0 && there.1 == 0 {
        state.set_event(key, done(CopyResult::Completed));
    } else {
        // The one that waits has no room left, or nothing: it is told so, and this one waits.
        state.set_event(other, done(CopyResult::Completed));
        if let Some(shared) = state.concurrent.shared.get_mut(shared_key) {
            shared.pending = Some(key);
        }
    }
    Ok(())
}

/// Copies elements from one end's buffer to the other's, and notes that.
fn transfer<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    (from, to): (Key<Waitable>, Key<Waitable>),
    count: u32,
) -> Result<(), Error> {
    let state = store.attachment::<State>();
    let part = |end: Option<&End>| {
        let end = end?;
        let buffer = end.buffer.as_ref()?;
        let element = end.element();
        Some((Arc::clone(&buffer.side), element, (buffer.address, buffer.progress)))
    };
    let (Some((from_side, from_type, from_at)), Some((to_side, to_type, to_at))) =
        (part(state.end(from)), part(state.end(to)))
    else {
        return Ok(());
    };
    if let (Some(from_type), Some(to_type)) = (from_type, to_type) {
        let from = (&*from_side, from_type, place(&from_side, from_type, from_at)?);
        let to = (&*to_side, to_type, place(&to_side, to_type, to_at)?);
        copy_elements(store, from, to, count)?;
    }
    let state = store.attachment::<State>();
    for key in [from, to] {
        if let Some(buffer) = state.end_mut(key).and_then(|end| end.buffer.as_mut()) {
            buffer.progress += count;
        }
    }
    Ok(())
}

/// Where a buffer has got to.
fn place(side: &Side, element: TypeIndex, (address, progress): (u32, u32)) -> Result<u32, Trap> {
    place_of(address, (side.shared.types.layout(element).size, progress))
}

/// What is left of a guest's buffer.
pub(super) struct Part {
    pub(super) side: Arc<Side>,
    pub(super) element: Option<TypeIndex>,
    pub(super) at: u32,
    pub(super) remain: usize,
}

/// What is left of the buffer of an end that is being copied.
pub(super) fn part_of_end<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    key: Key<Waitable>,
) -> Result<Option<Part>, Error> {
    let state = store.attachment::<State>();
    let Some(end) = state.end(key) else { return Ok(None) };
    let element = end.element();
    let Some(buffer) = &end.buffer else { return Ok(None) };
    let (side, remain) = (Arc::clone(&buffer.side), buffer.remain() as usize);
    let at = match element {
        Some(element) => place(&side, element, (buffer.address, buffer.progress))?,
        None => buffer.address,
    };
    Ok(Some(Part { side, element, at, remain }))
}

/// What a guest is told of a copy (`stream_event`, `future_event`): the event's code, and how it has ended with how far it has come.
pub(super) fn tell(
    state: &mut State,
    key: Key<Waitable>,
    (result, takes_back): (CopyResult, bool),
) -> (u32, u32) {
    let Some(shared) = state.end(key).map(|end| end.shared) else { return (0, 0) };
    if takes_back
        && let Some(shared) = state.concurrent.shared.get_mut(shared)
        && shared.pending == Some(key)
    {
        shared.pending = None;
    }
    let Some(end) = state.end_mut(key) else { return (0, 0) };
    let progress = end.buffer.take().map_or(0, |buffer| buffer.progress);
    let is_done = match end.kind {
        EndKind::Stream => result == CopyResult::Dropped,
        EndKind::Future => result != CopyResult::Cancelled,
    };
    end.state = if is_done { CopyState::Done } else { CopyState::Idle };
    let code = match (end.kind, end.direction) {
        (EndKind::Stream, Direction::Readable) => STREAM_READ,
        (EndKind::Stream, Direction::Writable) => STREAM_WRITE,
        (EndKind::Future, Direction::Readable) => FUTURE_READ,
        (EndKind::Future, Direction::Writable) => FUTURE_WRITE,
    };
    let payload = match end.kind {
        EndKind::Stream => result as u32 | progress << 4,
        EndKind::Future => result as u32,
    };
    (code, payload)
}

/// `canon {stream,future}.cancel-{read,write}`
pub(super) fn cancel(state: &mut State, instance: InstanceId, asked: &Asked) -> Result<Option<u32>, Trap> {
    let Asked { kind, direction, ty, handle, is_async, .. } = *asked;
    let key = state.end_of_handle((instance, handle), (kind, direction, ty))?;
    let Some(waitable) = state.concurrent.waitables.get(key) else { return Ok(Some(0)) };
    let (is_in_set, has_waiter) = (waitable.set.is_some(), waitable.sync_waiter.is_some());
    let has_event = waitable.event.is_some();
    let Some(end) = state.end_mut(key) else { return Ok(Some(0)) };
    if end.state != CopyState::Copying || has_waiter {
        return Err(Trap::NothingToCancel);
    }
    if is_in_set && !is_async {
        return Err(Trap::WaitableInSet);
    }
    end.state = CopyState::Cancelling;
    let shared = end.shared;
    if has_event {
        // Elements of a stream that were copied before do not make it less cancelled: so the reference tests have it.
        if let Some(waitable) = state.concurrent.waitables.get_mut(key)
            && let Some(Event::Copy { result, .. }) = &mut waitable.event
            && (kind, *result) == (EndKind::Stream, CopyResult::Completed)
        {
            *result = CopyResult::Cancelled;
        }
    } else {
        if let Some(shared) = state.concurrent.shared.get_mut(shared) {
            shared.pending = None;
        }
        let event = Event::Copy { result: CopyResult::Cancelled, takes_back: false };
        state.set_event(key, event);
    }
    Ok(Some(take_payload(state, key)))
}

/// `canon {stream,future}.drop-{readable,writable}`
pub(super) fn drop_end(state: &mut State, instance: InstanceId, asked: &Asked) -> Result<(), Trap> {
    let Asked { kind, direction, ty, handle, .. } = *asked;
    let key = state.end_of_handle((instance, handle), (kind, direction, ty))?;
    let Some(end) = state.end(key) else { return Ok(()) };
    if end.is_copying() {
        return Err(match direction {
            Direction::Readable => Trap::BusyRemoved(kind.name()),
            Direction::Writable => Trap::BusyDropped(kind.name()),
        });
    }
    if (kind, direction) == (EndKind::Future, Direction::Writable) && end.state != CopyState::Done {
        return Err(Trap::DroppedUnwritten);
    }
    let shared = end.shared;
    state.remove_waitable(key);
    state.drop_shared(shared);
    Ok(())
}

impl State {
    /// One of the ends is dropped (`SharedStreamImpl.drop`): the other is told, where it waits.
    pub(crate) fn drop_shared(&mut self, key: Key<super::Shared>) {
        if let Some(shared) = self.concurrent.shared.get_mut(key)
            && !std::mem::replace(&mut shared.is_dropped, true)
        {
            let pending = shared.pending.take();
            if let Some(host) = &mut shared.host {
                host.end();
            }
            if let Some(pending) = pending {
                let event = Event::Copy { result: CopyResult::Dropped, takes_back: false };
                self.set_event(pending, event);
            }
        }
        self.forget_end(key);
    }

    /// Notes how many elements have gone over.
    pub(super) fn add_progress(&mut self, key: Key<Waitable>, count: u32) {
        if let Some(buffer) = self.end_mut(key).and_then(|end| end.buffer.as_mut()) {
            buffer.progress = buffer.progress.saturating_add(count);
        }
    }
}
