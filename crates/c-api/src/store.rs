//! A store as C has it: shared by every object of it, and entered for each call.
//!
//! Rust lends a store to one at a time; C does not know of that. So whoever needs it *enters* it: from outside it is the store itself, in a function of the host what that was
//! called with. Must stay true: while somebody is inside, nobody else gets in: neither another thread, nor a finalizer that runs in the middle of something.

use std::cell::UnsafeCell;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::ThreadId;

use innkeeper::wasi::p1::Context;
use innkeeper::{
    AsContextMut, Caller, Engine, FrameInfo, Instance, InterruptHandle, Module, Result, RootScope, Store,
    StoreContextMut,
};

use crate::boundary::usage;
use crate::host_info::HostInfo;
use crate::object::Identity;

/// What a store's guests and functions find with it.
pub(crate) struct Data {
    /// The guest's keys, if it has any.
    pub(crate) wasi: Option<Context>,
    store: Weak<StoreCell>,
}

/// A store, as its objects refer to it.
pub(crate) type StoreRef = Arc<StoreCell>;

pub(crate) struct StoreCell {
    // It goes first: what its guests hold may have host information of its own.
    store: UnsafeCell<Store<Data>>,
    state: Mutex<State>,
    infos: Mutex<Infos>,
    instances: Mutex<HashMap<usize, OfModule>>,
    engine: Engine,
    interrupt: InterruptHandle,
}

// SAFETY: the store is only reached in `enter` and `idle`, which let one thread in at a time; the rest is shared by itself.
unsafe impl Send for StoreCell {}
// SAFETY: as above.
unsafe impl Sync for StoreCell {}

/// What is attached to the things of a store. It is finalized in the order in which it was first attached.
#[derive(Default)]
struct Infos {
    by_identity: HashMap<Identity, Arc<HostInfo>>,
    in_order: Vec<Arc<HostInfo>>,
}

/// A module that C has instantiated in a store, by the address of its bytes.
struct OfModule {
    module: Module,
    /// None where there are several.
    only: Option<Instance>,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    /// Nobody is inside.
    Idle,
    /// A thread works in it.
    Entered,
    /// A function of the host was called, on this thread: with this `Caller`, which enters for it.
    HostCall(*mut (), ThreadId),
}

/// Puts the state back that was there, however the work ends. Meanwhile C may delete every handle of the store's, in a function or finalizer that the work has called.
struct Restored {
    cell: StoreRef,
    before: State,
}

impl Drop for Restored {
    fn drop(&mut self) {
        *self.cell.lock() = self.before;
    }
}

impl StoreCell {
    /// A store that `make` makes with the data.
    pub(crate) fn new(
        engine: &Engine,
        wasi: Option<Context>,
        make: impl FnOnce(Data) -> Result<Store<Data>>,
    ) -> Result<StoreRef> {
        // The data has to know its store, which is there only when it has been made.
        let mut store = make(Data { wasi, store: Weak::new() })?;
        let interrupt = store.interrupt_handle();
        Ok(Arc::new_cyclic(|this| {
            store.data_mut().store = this.clone();
            StoreCell {
                store: UnsafeCell::new(store),
                state: Mutex::new(State::Idle),
                infos: Mutex::default(),
                instances: Mutex::default(),
                engine: engine.clone(),
                interrupt,
            }
        }))
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(crate) fn interrupt_handle(&self) -> InterruptHandle {
        self.interrupt.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that somebody is inside from now on, and what was before.
    fn begin(self: &StoreRef, is_idle_wanted: bool) -> Result<Restored> {
        let mut state = self.lock();
        let may_enter = match *state {
            State::Idle => true,
            State::Entered => false,
            State::HostCall(_, thread) => !is_idle_wanted && thread == std::thread::current().id(),
        };
        if !may_enter {
            return Err(usage(match *state {
                State::HostCall(..) if is_idle_wanted => {
                    "the store is running a guest; this can be done before or after, not in a function that the guest has called"
                }
                _ => {
                    "the store is in use: by another thread, or by the call in the middle of which a finalizer runs"
                }
            }));
        }
        let before = std::mem::replace(&mut *state, State::Entered);
        drop(state);
        Ok(Restored { cell: Arc::clone(self), before })
    }

    /// Works in the store. References to objects that come up are forgotten at the end, unless they are held.
    pub(crate) fn enter<R>(
        self: &StoreRef,
        work: impl FnOnce(StoreContextMut<'_, Data>) -> Result<R>,
    ) -> Result<R> {
        let inside = self.begin(false)?;
        match inside.before {
            State::HostCall(caller, _) => {
                // SAFETY: `host_call` has put it there and takes it away before the caller is gone; it is in that function still, on this thread, which has called C and
                // uses the caller only after that. Nobody enters for it meanwhile, since the state says so.
                let caller = unsafe { &mut *caller.cast::<Caller<'_, Data>>() };
                work(caller.as_context_mut())
            }
            _ => {
                // SAFETY: nobody else is inside: `begin` lets nobody in until `inside` is dropped.
                let store = unsafe { &mut *inside.cell.store.get() };
                work(RootScope::new(store).as_context_mut())
            }
        }
    }

    /// Works on a store that runs no guest.
    pub(crate) fn idle<R>(self: &StoreRef, work: impl FnOnce(&mut Store<Data>) -> Result<R>) -> Result<R> {
        let inside = self.begin(true)?;
        // SAFETY: as in `enter`.
        work(unsafe { &mut *inside.cell.store.get() })
    }

    /// What is attached to one of the store's things.
    pub(crate) fn info(&self, of: Identity) -> Option<Arc<HostInfo>> {
        self.infos.lock().unwrap_or_else(PoisonError::into_inner).by_identity.get(&of).cloned()
    }

    pub(crate) fn info_to_set(&self, of: Identity) -> Arc<HostInfo> {
        let mut infos = self.infos.lock().unwrap_or_else(PoisonError::into_inner);
        let Infos { by_identity, in_order } = &mut *infos;
        let info = by_identity.entry(of).or_insert_with(|| {
            in_order.push(Arc::default());
            in_order[in_order.len() - 1].clone()
        });
        Arc::clone(info)
    }

    pub(crate) fn note_instance(&self, module: &Module, instance: Instance) {
        let mut instances = self.instances.lock().unwrap_or_else(PoisonError::into_inner);
        let address = module.bytes().as_ptr() as usize;
        match instances.entry(address) {
            Entry::Occupied(mut known) => known.get_mut().only = None,
            Entry::Vacant(place) => {
                place.insert(OfModule { module: module.clone(), only: Some(instance) });
            }
        }
    }

    /// The instance that a frame is of, where C has only one of its module.
    pub(crate) fn instance_of(&self, frame: &FrameInfo) -> Option<Instance> {
        let instances = self.instances.lock().unwrap_or_else(PoisonError::into_inner);
        instances.values().find(|of| frame.is_of(&of.module))?.only
    }
}

/// The store that a function of the host was called in.
pub(crate) fn of_caller(caller: &Caller<'_, Data>) -> Result<StoreRef> {
    caller.data().store.upgrade().ok_or_else(|| usage("the store is about to go"))
}

/// Calls C, which may enter the store, from a function of the host that was called with `caller`.
pub(crate) fn host_call<R>(caller: &mut Caller<'_, Data>, call: impl FnOnce() -> R) -> Result<R> {
    let store = of_caller(caller)?;
    let entering = State::HostCall(std::ptr::from_mut(caller).cast(), std::thread::current().id());
    let before = std::mem::replace(&mut *store.lock(), entering);
    let _restored = Restored { cell: store, before };
    Ok(call())
}
