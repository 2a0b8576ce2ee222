//! Core functions that the host makes for a component instance: functions that it imports, lowered, and those that the canonical ABI gives to each
//! (canonical ABI, "Canonical Definitions").

use innkeeper_engine as core;
use innkeeper_engine::{AsContextMut, Error, ErrorKind, StoreContextMut};

use crate::abi::Side;
use crate::call::Lowered;
use crate::concurrent::{AsyncLowered, ConcurrentBuiltin, task_return};
use crate::entry::{Entry, check_leave};
use crate::resource::{ResourceTypeId, destroy};
use crate::state::{InstanceId, State};
use crate::table::{HandleKind, HandleTable, ResourceHandle};
use crate::trap::Trap;
use crate::types::TypeIndex;

/// What a core function of an instance does.
pub(crate) enum Trampoline {
    Lower(Lowered),
    ResourceNew(ResourceTypeId),
    ResourceDrop(ResourceTypeId),
    ResourceRep(ResourceTypeId),
    ContextGet(u32),
    ContextSet(u32),
    BackpressureInc,
    BackpressureDec,
    TaskReturn {
        result: Option<TypeIndex>,
        side: Side,
    },
    /// A function whose type is async.
    AsyncLower(AsyncLowered),
    Concurrent(ConcurrentBuiltin),
    Missing(&'static str),
}

impl Trampoline {
    /// Makes the function for an instance.
    pub(crate) fn func<T: 'static>(
        self,
        store: &mut StoreContextMut<'_, T>,
        instance: InstanceId,
        ty: core::NumbersType<'_>,
    ) -> Result<core::Func, Error> {
        let params = ty.ty().params().len();
        #[cfg(feature = "async")]
        let trampoline = match crate::typed::waiting_trampoline(self, store, &ty) {
            Ok(made) => return made,
            Err(trampoline) => trampoline,
        };
        #[cfg(not(feature = "async"))]
        let trampoline = self;
        let trampoline = match trampoline {
            Trampoline::Lower(lowered) if lowered.concurrent_host(store)?.is_some() => {
                let host = lowered.concurrent_host::<T>(store)?;
                let call = move |mut caller: core::Caller<'_, T>, slots: &mut [u64]| match &host {
                    Some(host) => host.call(&mut caller.as_context_mut(), slots, params),
                    None => Ok(core::HostEnding::Returns),
                };
                return core::Func::new_of_numbers_parking(store.as_context_mut(), ty, call);
            }
            Trampoline::Lower(lowered) => match lowered.typed_host(store)? {
                Some(host) => return host.func(store, lowered, ty),
                None => Trampoline::Lower(lowered),
            },
            Trampoline::AsyncLower(lowered) => {
                let call = move |mut caller: core::Caller<'_, T>, slots: &mut [u64]| {
                    lowered.call(&mut caller.as_context_mut(), slots, params)
                };
                return core::Func::new_of_numbers_parking(store.as_context_mut(), ty, call);
            }
            Trampoline::Concurrent(builtin) => {
                let call = move |mut caller: core::Caller<'_, T>, slots: &mut [u64]| {
                    builtin.call(&mut caller.as_context_mut(), slots)
                };
                return core::Func::new_of_numbers_parking(store.as_context_mut(), ty, call);
            }
            other => other,
        };
        core::Func::new_of_numbers(store.as_context_mut(), ty, move |mut caller, slots| {
            trampoline.call(&mut caller.as_context_mut(), instance, (slots, params))
        })
    }

    fn call<T: 'static>(
        &self,
        store: &mut StoreContextMut<'_, T>,
        instance: InstanceId,
        (slots, params): (&mut [u64], usize),
    ) -> Result<(), Error> {
        let param = slots.first().copied().unwrap_or_default() as u32;
        let result = match self {
            Trampoline::Lower(lowered) => return lowered.call(store, slots, params),
            Trampoline::ResourceNew(ty) => {
                check_leave(store, instance)?;
                let budget = store.budget().clone();
                let state = store.attachment::<State>();
                Some(state.instance(instance).handles.add(ResourceHandle::own(*ty, param), &budget)?)
            }
            Trampoline::ResourceRep(ty) => Some(handle(store.attachment(), (instance, param), *ty)?.rep),
            Trampoline::ResourceDrop(ty) => {
                drop_handle(store, (instance, param), *ty)?;
                None
            }
            Trampoline::ContextGet(slot) => context(store.attachment(), *slot).map(|slot| *slot),
            Trampoline::ContextSet(slot) => {
                if let Some(slot) = context(store.attachment(), *slot) {
                    *slot = param;
                }
                None
            }
            Trampoline::BackpressureInc => {
                let backpressure = &mut store.attachment::<State>().instance(instance).backpressure;
                *backpressure += 1;
                if *backpressure == 1 << 16 {
                    return Err(Trap::BackpressureOutOfRange.into());
                }
                None
            }
            Trampoline::BackpressureDec => {
                let backpressure = &mut store.attachment::<State>().instance(instance).backpressure;
                *backpressure = backpressure.checked_sub(1).ok_or(Trap::BackpressureOutOfRange)?;
                if *backpressure == 0 {
                    store.attachment::<State>().let_held_up_look(instance);
                }
                None
            }
            Trampoline::TaskReturn { result, side } => {
                task_return(store, (*result, side), slots.get(..params).unwrap_or_default())?;
                None
            }
            // These are functions of their own.
            Trampoline::AsyncLower(_) | Trampoline::Concurrent(_) => None,
            Trampoline::Missing(name) => {
                check_leave(store, instance)?;
                return Err(Error::new(ErrorKind::Unsupported(format!("`{name}` of the component model"))));
            }
        };
        if let (Some(to), Some(result)) = (slots.first_mut(), result) {
            *to = u64::from(result);
        }
        Ok(())
    }
}

/// The entry of a handle that must be of a type.
fn handle(
    state: &mut State,
    (instance, index): (InstanceId, u32),
    ty: ResourceTypeId,
) -> Result<&mut ResourceHandle, Trap> {
    let State { instances, resource_types, .. } = state;
    let handles = &mut instances[instance.0 as usize].handles;
    handles.get_of(index, ty, |ty| State::owner(resource_types, ty))
}

/// `canon resource.drop`
pub(crate) fn drop_handle<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    (instance, index): (InstanceId, u32),
    ty: ResourceTypeId,
) -> Result<(), Error> {
    check_leave(store, instance)?;
    let state = store.attachment::<State>();
    let dropped = *handle(state, (instance, index), ty)?;
    if HandleTable::is_lent(&dropped) {
        return Err(Trap::Lent.into());
    }
    state.instance(instance).handles.remove(index);
    match dropped.kind {
        HandleKind::Own { .. } => destroy(store, ty, dropped.rep, Entry::Destructor(instance)),
        // `handle` has found that it is a resource's.
        HandleKind::Waitable | HandleKind::Set => Ok(()),
        HandleKind::Borrow { call, .. } => {
            if let Some(borrows) = state.borrows(call) {
                *borrows = borrows.saturating_sub(1);
            }
            Ok(())
        }
    }
}

/// A slot of what the call that is under way keeps for the guest.
fn context(state: &mut State, slot: u32) -> Option<&mut u32> {
    state.calls.last_mut()?.context.get_mut(slot as usize)
}
