//! Resources: their types, and the handles that the host holds (canonical ABI, "Resource State").

use std::any::TypeId;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use innkeeper_engine::{
    AsContextMut, Budget, BudgetKind, Charge, Error, ErrorKind, Func, StoreContextMut, Val as CoreVal,
};

use crate::entry::{Entry, enter, leave};
use crate::state::{InstanceId, State};
use crate::table::{HandleKind, HandleTable, ResourceHandle};
use crate::trap::{Trap, trap_on_throw};
use crate::under_way::CallUnderWay;

/// A resource type of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ResourceTypeId(pub(crate) u32);

/// What a store knows of a resource type.
pub(crate) struct ResourceTypeDef {
    /// The instance that has defined it; none where the host has.
    pub(crate) instance: Option<InstanceId>,
    /// What is called with the representation when the last owner drops it.
    pub(crate) dtor: Option<Func>,
}

/// A resource type that the host defines. Clones are the same type.
#[derive(Clone, Debug)]
pub struct ResourceType {
    pub(crate) id: u64,
    name: Arc<str>,
}

impl ResourceType {
    /// A new type, different from all others; the name is for messages.
    #[must_use]
    pub fn new(name: &str) -> ResourceType {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        ResourceType { id: NEXT.fetch_add(1, Ordering::Relaxed), name: name.into() }
    }

    /// The type of the host's resources that values of a Rust type are behind, always the same one. It is what [`crate::Resource`] handles are of.
    #[must_use]
    pub fn of<R: 'static>() -> ResourceType {
        static KNOWN: Mutex<BTreeMap<TypeId, ResourceType>> = Mutex::new(BTreeMap::new());
        // Nothing panics while it is held.
        let mut known = KNOWN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let ty = known.entry(TypeId::of::<R>());
        ty.or_insert_with(|| ResourceType::new(std::any::type_name::<R>())).clone()
    }

    /// The name that it was given.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The type's number in a store, given now if it has none yet.
    pub(crate) fn in_store(&self, state: &mut State, dtor: impl FnOnce() -> Option<Func>) -> ResourceTypeId {
        if let Some(known) = state.host_types.get(&self.id) {
            return *known;
        }
        let id = ResourceTypeId(state.resource_types.len() as u32);
        state.resource_types.push(ResourceTypeDef { instance: None, dtor: dtor() });
        state.host_types.insert(self.id, id);
        id
    }
}

impl PartialEq for ResourceType {
    fn eq(&self, other: &ResourceType) -> bool {
        self.id == other.id
    }
}

/// A handle that the host holds, of a resource of its own or of a guest's. It is good until it is given to a guest as an owned one or dropped
/// ([`ResourceAny::drop`]), and a borrowed one until the call returns that it came with; then using it is an error. Whoever forgets an owned one keeps the
/// resource until the store goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResourceAny(pub(crate) Handle);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handle {
    Host {
        store: u64,
        index: u32,
        generation: u64,
    },
    /// On its way from one guest to another.
    InFlight {
        ty: ResourceTypeId,
        rep: u32,
    },
}

/// The handles that the host holds.
#[derive(Default)]
pub(crate) struct HostHandles {
    /// With the generation of each, which no other ever had: so handles are known whose place was given to another, or let go.
    slots: Vec<Option<(u64, HostHandle)>>,
    free: Vec<u32>,
    last_generation: u64,
    /// How many places there is room for.
    room: usize,
    charge: Option<Charge>,
}

/// Places that there is room for at first, and that are kept where no handle is left.
const FIRST_PLACES: usize = 64;

#[derive(Clone, Copy)]
pub(crate) struct HostHandle {
    pub(crate) ty: ResourceTypeId,
    pub(crate) rep: u32,
    pub(crate) is_own: bool,
    /// How often it is lent to guests.
    pub(crate) lends: u32,
}

impl HostHandles {
    /// Makes sure that one more has a place, as far as the guests may make the host hold them.
    fn make_room(&mut self, budget: &Budget) -> Result<(), Error> {
        if !self.free.is_empty() || self.slots.len() < self.room {
            return Ok(());
        }
        let places = (self.room * 2).max(FIRST_PLACES);
        if u32::try_from(places).is_err() {
            return Err(Error::limit("the host holds more than two thousand million handles"));
        }
        let bytes = places * (size_of::<Option<(u64, HostHandle)>>() + size_of::<u32>());
        match &mut self.charge {
            Some(charge) => charge.set(bytes as u64)?,
            None => self.charge = Some(budget.hold(BudgetKind::Descriptor, bytes as u64)?),
        }
        let no_memory = |_| Error::limit("the system has no memory for more handles of the host's");
        self.slots.try_reserve_exact(places - self.slots.len()).map_err(no_memory)?;
        self.free.try_reserve_exact(places - self.free.len()).map_err(no_memory)?;
        self.room = places;
        Ok(())
    }

    /// Puts a handle where [`HostHandles::make_room`] has seen a place.
    fn add(&mut self, handle: HostHandle) -> (u32, u64) {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() as u32 - 1
        });
        self.last_generation += 1;
        self.slots[index as usize] = Some((self.last_generation, handle));
        (index, self.last_generation)
    }

    pub(crate) fn get(&mut self, index: u32, generation: u64) -> Option<&mut HostHandle> {
        let slot = self.slots.get_mut(index as usize)?.as_mut();
        slot.filter(|(known, _)| *known == generation).map(|(_, handle)| handle)
    }

    /// A handle that must be of the store with this number, whose handles these are.
    pub(crate) fn find(&mut self, store: u64, any: ResourceAny) -> Result<(u32, &mut HostHandle), Error> {
        let Handle::Host { store: of, index, generation } = any.0 else { return Err(stale()) };
        if of != store {
            return Err(usage("a resource handle of another store"));
        }
        let handle = self.get(index, generation).ok_or_else(stale)?;
        Ok((index, handle))
    }

    pub(crate) fn remove(&mut self, index: u32) {
        if let Some(slot) = self.slots.get_mut(index as usize)
            && slot.take().is_some()
        {
            self.free.push(index);
            if self.free.len() == self.slots.len() && self.room > FIRST_PLACES {
                *self = HostHandles { last_generation: self.last_generation, ..HostHandles::default() };
            }
        }
    }
}

impl State {
    /// Takes an owned handle away from an instance; gives what stands for the resource.
    pub(crate) fn take_own(&mut self, of: InstanceId, index: u32, ty: ResourceTypeId) -> Result<u32, Trap> {
        let State { instances, resource_types, .. } = self;
        let handles = &mut instances[of.0 as usize].handles;
        let entry = handles.get_of(index, ty, |ty| State::owner(resource_types, ty))?;
        if HandleTable::is_lent(entry) {
            return Err(Trap::Lent);
        }
        if !matches!(entry.kind, HandleKind::Own { .. }) {
            return Err(Trap::NotOwned(index));
        }
        let rep = entry.rep;
        handles.remove(index);
        Ok(rep)
    }

    /// Takes an owned handle away from an instance, and gives the host one.
    pub(crate) fn take_own_for_host(
        &mut self,
        (of, index): (InstanceId, u32),
        ty: ResourceTypeId,
        budget: &Budget,
    ) -> Result<ResourceAny, Error> {
        self.host_handles.make_room(budget)?;
        let rep = self.take_own(of, index, ty)?;
        self.give_host((ty, rep), true, budget)
    }

    /// Marks a handle of an instance's as lent; gives what stands for the resource.
    pub(crate) fn lend(&mut self, of: InstanceId, index: u32, ty: ResourceTypeId) -> Result<u32, Trap> {
        let State { instances, resource_types, .. } = self;
        let handles = &mut instances[of.0 as usize].handles;
        let entry = handles.get_of(index, ty, |ty| State::owner(resource_types, ty))?;
        entry.lend();
        Ok(entry.rep)
    }

    /// Gives an instance a borrowed handle for a call, or what its own resource is.
    pub(crate) fn give_borrow(
        &mut self,
        (to, call): (InstanceId, Option<u32>),
        (ty, rep): (ResourceTypeId, u32),
        budget: &Budget,
    ) -> Result<u32, Error> {
        if self.resource_type(ty).instance == Some(to) {
            return Ok(rep);
        }
        // Results have no borrowed handles, which validation has checked.
        let call = call.ok_or_else(|| usage("a borrowed handle in a result"))?;
        if let Some(borrows) = self.borrows(call) {
            *borrows += 1;
        }
        let handle = ResourceHandle { ty, rep, kind: HandleKind::Borrow { call, lends: 0 } };
        self.instance(to).handles.add(handle, budget)
    }

    /// Takes an owned handle of the host's away from it, to give the resource to a guest; gives what stands for it.
    pub(crate) fn take_host(&mut self, any: ResourceAny, ty: ResourceTypeId) -> Result<u32, Error> {
        let (index, handle) = self.host_handle(any)?;
        if handle.ty != ty {
            return Err(wrong_resource());
        }
        if handle.lends > 0 {
            return Err(usage("the resource is lent to a guest that is running, and cannot be given away"));
        }
        if !handle.is_own {
            return Err(usage("the handle is borrowed, and an owned one is wanted"));
        }
        let rep = handle.rep;
        self.host_handles.remove(index);
        Ok(rep)
    }

    /// Marks a handle of the host's as lent; gives what stands for the resource, and which handle it is.
    pub(crate) fn lend_host(
        &mut self,
        any: ResourceAny,
        ty: ResourceTypeId,
    ) -> Result<(u32, (u32, u64)), Error> {
        let (index, handle) = self.host_handle(any)?;
        if handle.ty != ty {
            return Err(wrong_resource());
        }
        handle.lends += 1;
        let rep = handle.rep;
        let generation = match any.0 {
            Handle::Host { generation, .. } => generation,
            Handle::InFlight { .. } => return Err(stale()),
        };
        Ok((rep, (index, generation)))
    }

    /// Gives the host a handle.
    pub(crate) fn give_host(
        &mut self,
        (ty, rep): (ResourceTypeId, u32),
        is_own: bool,
        budget: &Budget,
    ) -> Result<ResourceAny, Error> {
        self.host_handles.make_room(budget)?;
        let (index, generation) = self.host_handles.add(HostHandle { ty, rep, is_own, lends: 0 });
        Ok(ResourceAny(Handle::Host { store: self.id, index, generation }))
    }

    /// What a handle of the host's is.
    pub(crate) fn host_handle(&mut self, any: ResourceAny) -> Result<(u32, &mut HostHandle), Error> {
        self.host_handles.find(self.id, any)
    }
}

impl ResourceAny {
    /// A handle to a new resource of a type of the host's, which `rep` stands for.
    pub fn new(mut store: impl AsContextMut, ty: &ResourceType, rep: u32) -> Result<ResourceAny, Error> {
        let mut store = store.as_context_mut();
        let budget = store.budget().clone();
        let state = store.attachment::<State>();
        let Some(ty) = state.host_types.get(&ty.id).copied() else {
            return Err(usage(&format!("no instance of the store imports the resource type `{}`", ty.name)));
        };
        state.give_host((ty, rep), true, &budget)
    }

    /// What stands for the resource, where it is of this type.
    ///
    /// # Errors
    /// Where the handle is gone, of another store, or of another type.
    pub fn rep(&self, mut store: impl AsContextMut, ty: &ResourceType) -> Result<u32, Error> {
        let mut store = store.as_context_mut();
        let state = store.attachment::<State>();
        let wanted = state.host_types.get(&ty.id).copied();
        let (_, handle) = state.host_handle(*self)?;
        match Some(handle.ty) == wanted {
            true => Ok(handle.rep),
            false => Err(usage(&format!("the handle is of another resource type than `{}`", ty.name))),
        }
    }

    /// Gives the handle up, and with it the resource, which is the host's own and of this type: what stands for it. Its destructor is not called.
    ///
    /// # Errors
    /// Where the handle is gone, borrowed, lent, of another store, or of another type.
    pub fn take(self, mut store: impl AsContextMut, ty: &ResourceType) -> Result<u32, Error> {
        let mut store = store.as_context_mut();
        let state = store.attachment::<State>();
        match state.host_types.get(&ty.id).copied() {
            Some(known) => state.take_host(self, known),
            None => Err(usage(&format!("the handle is of another resource type than `{}`", ty.name))),
        }
    }

    /// Whether the host owns the resource, and has not borrowed it.
    ///
    /// # Errors
    /// Where the handle is gone, or of another store.
    pub fn is_owned(&self, mut store: impl AsContextMut) -> Result<bool, Error> {
        let mut store = store.as_context_mut();
        Ok(store.attachment::<State>().host_handle(*self)?.1.is_own)
    }

    /// Drops the handle; where the host owns the resource, its destructor is called.
    ///
    /// # Errors
    /// Where the handle is gone, of another store, or lent; a trap of the destructor.
    pub fn drop(self, mut store: impl AsContextMut) -> Result<(), Error> {
        let mut store = store.as_context_mut();
        let state = store.attachment::<State>();
        let (index, handle) = state.host_handle(self)?;
        if handle.lends > 0 {
            return Err(usage("the resource is lent to a guest that is running"));
        }
        let handle = *handle;
        state.host_handles.remove(index);
        match handle.is_own {
            true => destroy(&mut store, handle.ty, handle.rep, Entry::Host),
            false => Ok(()),
        }
    }
}

/// Calls the destructor of a resource that nobody owns any more.
pub(crate) fn destroy<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    ty: ResourceTypeId,
    rep: u32,
    entry: Entry,
) -> Result<(), Error> {
    let state = store.attachment::<State>();
    let def = state.resource_type(ty);
    let (instance, dtor) = (def.instance, def.dtor);
    let Some(instance) = instance else {
        return dtor
            .filter(|_| !state.is_answered)
            .map_or(Ok(()), |dtor| dtor.call(&mut *store, &[CoreVal::I32(rep.cast_signed())], &mut []));
    };
    enter(store, instance, entry)?;
    if let Some(dtor) = dtor {
        let mut call = CallUnderWay::begin(store, None);
        let number = call.number as usize;
        dtor.call(&mut call.store, &[CoreVal::I32(rep.cast_signed())], &mut []).map_err(trap_on_throw)?;
        let state = call.store.attachment::<State>();
        let borrows = state.calls.get(number).map_or(0, |call| call.borrows);
        if borrows > 0 {
            return Err(Trap::BorrowsRemain.into());
        }
    }
    leave(store, instance, entry);
    Ok(())
}

pub(crate) fn wrong_resource() -> Error {
    usage("the handle is of another resource type than the function takes")
}

fn stale() -> Error {
    usage("the resource handle is gone: it was given away, dropped, or borrowed for a call that has returned")
}

pub(crate) fn usage(message: &str) -> Error {
    Error::new(ErrorKind::Usage(message.to_owned()))
}
