//! Ends of streams and futures (canonical ABI, "Stream State", "Future State"): who has them, and how they go from one component to another.
//!
//! Must stay true: what both ends share is gone when both are, wherever they are: an end on its way that nobody takes, as where a copy traps in the middle, is dropped with the value that it is in. Only an end that is idle, and in no set, leaves its table.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use innkeeper_engine::{Budget, Error};

use super::copy::Buffer;
use super::host_end::HostSide;
use super::host_tasks::Woken;
use super::waitable::WaitableKind;
use super::{Key, Waitable};
use crate::resource::usage;
use crate::state::{InstanceId, Shared as Types, State};
use crate::trap::Trap;
use crate::types::{ResourceSlot, TypeIndex, ValType, same_parts};

/// A stream or a future.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum EndKind {
    Stream,
    Future,
}

impl EndKind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            EndKind::Stream => "stream",
            EndKind::Future => "future",
        }
    }

    /// The kind of a type, and what its elements are.
    pub(super) fn of(ty: &ValType) -> Option<(EndKind, Option<TypeIndex>)> {
        match ty {
            ValType::Stream(element) => Some((EndKind::Stream, *element)),
            ValType::Future(element) => Some((EndKind::Future, *element)),
            _ => None,
        }
    }
}

/// Which of the two it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Readable,
    Writable,
}

/// What the two ends of a stream or future share (`SharedStreamImpl`, `SharedFutureImpl`).
pub(crate) struct Shared {
    /// Whether one of the ends was dropped.
    pub(super) is_dropped: bool,
    /// The end that waits for the other one to copy.
    pub(super) pending: Option<Key<Waitable>>,
    /// How many ends there are, those on their way included.
    pub(super) ends: u32,
    /// What the host is about, where it holds one of them.
    pub(super) host: Option<HostSide>,
    /// What type it has; none of one of the host's that was not given to a guest yet.
    ty: Option<(Arc<Types>, TypeIndex)>,
    /// How often the readable end has set out from somewhere, and whether it is on its way.
    flight: u32,
    is_in_flight: bool,
}

impl Shared {
    /// Of which the host holds the writable end.
    pub(super) fn of_host() -> Shared {
        let host = Some(HostSide::default());
        Shared { is_dropped: false, pending: None, ends: 2, host, ty: None, flight: 0, is_in_flight: true }
    }

    /// Whether it can be of a type: it is the same as the one that it has, if it has one.
    fn fits(&self, (types, ty): (&Arc<Types>, TypeIndex)) -> bool {
        let Some((have, have_ty)) = &self.ty else { return true };
        if Arc::ptr_eq(have, types) && *have_ty == ty {
            return true;
        }
        let mut same_resource = |a: ResourceSlot, b: ResourceSlot| {
            have.resources.get(a.0 as usize) == types.resources.get(b.0 as usize)
        };
        same_parts((&have.types, *have_ty), (&types.types, ty), &mut same_resource).is_some()
    }
}

/// `CopyState`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CopyState {
    Idle,
    Copying,
    Cancelling,
    Done,
}

/// An end that a guest has (`CopyEnd`).
pub(crate) struct End {
    pub(super) shared: Key<Shared>,
    pub(super) kind: EndKind,
    pub(super) direction: Direction,
    pub(super) state: CopyState,
    /// The types of the instance's outermost one, and which of them the stream or future has.
    pub(super) types: Arc<Types>,
    pub(super) ty: TypeIndex,
    /// What is being copied.
    pub(super) buffer: Option<Buffer>,
}

impl End {
    pub(super) fn shared_key(&self) -> Key<Shared> {
        self.shared
    }

    pub(super) fn is_copying(&self) -> bool {
        matches!(self.state, CopyState::Copying | CopyState::Cancelling)
    }

    pub(super) fn element(&self) -> Option<TypeIndex> {
        EndKind::of(self.types.types.get(self.ty)).and_then(|(_, element)| element)
    }
}

/// A stream's readable end, on its way from one guest to another, or held by the host: see [`crate::Val::Stream`]. Clones are of one end, which is given once only; where the last of them goes before that, the end is
/// dropped, and whoever writes is told so by the next who lets the store's guests run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamAny(pub(crate) InFlight);

/// A future's readable end: as [`StreamAny`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FutureAny(pub(crate) InFlight);

/// An end that is in no guest's table, nor the host's, until it arrives somewhere.
#[derive(Clone)]
pub(crate) struct InFlight(Arc<Flight>);

/// Which end that is, of which store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FlightId {
    pub(super) store: u64,
    pub(super) shared: Key<Shared>,
    /// Which of its flights it is.
    pub(super) flight: u32,
}

struct Flight {
    id: FlightId,
    has_arrived: AtomicBool,
    woken: Arc<Woken>,
}

impl InFlight {
    pub(super) fn new(id: FlightId, woken: &Arc<Woken>) -> InFlight {
        InFlight(Arc::new(Flight { id, has_arrived: AtomicBool::new(false), woken: Arc::clone(woken) }))
    }

    pub(super) fn id(&self) -> FlightId {
        self.0.id
    }

    /// Notes that somebody has it now.
    fn arrives(&self) {
        self.0.has_arrived.store(true, Ordering::Relaxed);
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if !*self.has_arrived.get_mut() {
            self.woken.drop_in_flight(self.id);
        }
    }
}

impl std::fmt::Debug for InFlight {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.id.shared.fmt(f)
    }
}

impl PartialEq for InFlight {
    fn eq(&self, other: &InFlight) -> bool {
        self.0.id == other.0.id
    }
}

impl Eq for InFlight {}

impl State {
    pub(super) fn end(&self, key: Key<Waitable>) -> Option<&End> {
        match &self.concurrent.waitables.get(key)?.kind {
            WaitableKind::End(end) => Some(end),
            WaitableKind::Subtask(_) => None,
        }
    }

    pub(super) fn end_mut(&mut self, key: Key<Waitable>) -> Option<&mut End> {
        match &mut self.concurrent.waitables.get_mut(key)?.kind {
            WaitableKind::End(end) => Some(end),
            WaitableKind::Subtask(_) => None,
        }
    }

    /// The end that a handle is of, which must be of a type.
    pub(super) fn end_of_handle(
        &mut self,
        (instance, handle): (InstanceId, u32),
        (kind, direction, ty): (EndKind, Direction, TypeIndex),
    ) -> Result<Key<Waitable>, Trap> {
        let expected = match (kind, direction) {
            (EndKind::Stream, Direction::Readable) => "readable end of a stream",
            (EndKind::Stream, Direction::Writable) => "writable end of a stream",
            (EndKind::Future, Direction::Readable) => "readable end of a future",
            (EndKind::Future, Direction::Writable) => "writable end of a future",
        };
        let wrong = Trap::WrongHandleKind { handle, expected };
        let key = self.waitable(instance, handle)?;
        let end = self.end(key).ok_or_else(|| wrong.clone())?;
        match (end.kind, end.direction, end.ty) == (kind, direction, ty) {
            true => Ok(key),
            false => Err(wrong),
        }
    }

    /// Adds an end to an instance's table; gives its handle.
    fn add_end(
        &mut self,
        instance: InstanceId,
        (shared, direction): (Key<Shared>, Direction),
        (types, ty): (&Arc<Types>, TypeIndex),
        budget: &Budget,
    ) -> Result<u32, Error> {
        let Some((kind, _)) = EndKind::of(types.types.get(ty)) else { return Ok(0) };
        let state = CopyState::Idle;
        let types = Arc::clone(types);
        let end = End { shared, kind, direction, state, types, ty, buffer: None };
        let key = self.concurrent.waitables.add(Waitable::new(instance, WaitableKind::End(end)), budget)?;
        self.add_waitable(key, budget)
    }

    /// `canon {stream,future}.new`: both handles, the writable end's in the upper half.
    pub(super) fn new_ends(
        &mut self,
        instance: InstanceId,
        (types, ty): (&Arc<Types>, TypeIndex),
        budget: &Budget,
    ) -> Result<u64, Error> {
        let ty_known = Some((Arc::clone(types), ty));
        let shared = Shared {
            is_dropped: false,
            pending: None,
            ends: 2,
            host: None,
            ty: ty_known,
            flight: 0,
            is_in_flight: false,
        };
        let shared = self.concurrent.shared.add(shared, budget)?;
        let mut add = |direction| self.add_end(instance, (shared, direction), (types, ty), budget);
        let both = add(Direction::Readable).and_then(|readable| Ok((readable, add(Direction::Writable)?)));
        if both.is_err() {
            self.concurrent.shared.remove(shared);
        }
        let (readable, writable) = both?;
        Ok(u64::from(readable) | u64::from(writable) << 32)
    }

    /// Takes a readable end away from an instance (`lift_async_value`).
    pub(crate) fn take_end(
        &mut self,
        (instance, handle): (InstanceId, u32),
        ty: TypeIndex,
        types: &Types,
    ) -> Result<InFlight, Trap> {
        let Some((kind, _)) = EndKind::of(types.types.get(ty)) else {
            return Err(Trap::UnknownHandle(handle));
        };
        let key = self.end_of_handle((instance, handle), (kind, Direction::Readable, ty))?;
        let is_in_set = self.concurrent.waitables.get(key).is_some_and(|waitable| waitable.set.is_some());
        let Some(end) = self.end(key) else { return Err(Trap::UnknownHandle(handle)) };
        match (end.state, kind) {
            (CopyState::Done, EndKind::Future) => return Err(Trap::LiftedAfterRead),
            (CopyState::Done, EndKind::Stream) => return Err(Trap::LiftedAfterDropped),
            (CopyState::Copying | CopyState::Cancelling, _) => return Err(Trap::BusyRemoved(kind.name())),
            (CopyState::Idle, _) => {}
        }
        if is_in_set {
            return Err(Trap::LiftedInSet(kind.name()));
        }
        let shared = end.shared;
        self.remove_waitable(key);
        let mut flight = 0;
        if let Some(shared) = self.concurrent.shared.get_mut(shared) {
            shared.flight = shared.flight.wrapping_add(1);
            (flight, shared.is_in_flight) = (shared.flight, true);
        }
        let id = FlightId { store: self.id, shared, flight };
        Ok(InFlight::new(id, self.concurrent.host.woken()))
    }

    /// Gives an instance a readable end (`lower_async_value`).
    pub(crate) fn give_end(
        &mut self,
        instance: InstanceId,
        given: &InFlight,
        (types, ty): (&Arc<Types>, TypeIndex),
        budget: &Budget,
    ) -> Result<u32, Error> {
        let key = given.id().shared;
        let shared = self.in_flight(given.id())?;
        if !shared.fits((types, ty)) {
            return Err(usage("a stream or future whose elements are of another type"));
        }
        shared.is_in_flight = false;
        shared.ty.get_or_insert_with(|| (Arc::clone(types), ty));
        given.arrives();
        let added = self.add_end(instance, (key, Direction::Readable), (types, ty), budget);
        if added.is_err() {
            self.drop_shared(key);
        }
        added
    }

    /// What an end on its way is of, if it still is on its way: once only does it arrive.
    pub(super) fn in_flight(&mut self, given: FlightId) -> Result<&mut Shared, Error> {
        let shared = self.concurrent.shared.get_mut(given.shared).filter(|_| given.store == self.id);
        let shared = shared.filter(|shared| shared.is_in_flight && shared.flight == given.flight);
        shared.ok_or_else(|| {
            usage("a stream or future that was given away, was dropped, or is of another store")
        })
    }

    /// An end on its way is the host's now.
    pub(super) fn land(&mut self, given: &InFlight) -> Result<(), Error> {
        let shared = self.in_flight(given.id())?;
        given.arrives();
        shared.is_in_flight = false;
        shared.host.get_or_insert_default();
        Ok(())
    }

    /// One of the ends is gone.
    pub(super) fn forget_end(&mut self, key: Key<Shared>) {
        let Some(shared) = self.concurrent.shared.get_mut(key) else { return };
        shared.ends = shared.ends.saturating_sub(1);
        if shared.ends == 0 {
            self.concurrent.shared.remove(key);
        }
    }
}
