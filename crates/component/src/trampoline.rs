//! Core functions that the host makes for a component instance: functions that it imports, lowered, and those that the canonical ABI gives to each
//! (canonical ABI, "Canonical Definitions").

use innkeeper_engine as core;
use innkeeper_engine::{AsContextMut, Error, ErrorKind, StoreContextMut};

use crate::abi::{Lends, MAX_FLAT_PARAMS, Side, StringShapes};
use crate::call::{Lowered, check_borrows, with_lift};
use crate::entry::{Entry, check_leave};
use crate::resource::{ResourceTypeId, destroy};
use crate::state::{InstanceId, Returned, State};
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
    TaskReturn { result: Option<TypeIndex>, side: Side },
    Missing(&'static str),
}

impl Trampoline {
    /// Makes the function for an instance.
    pub(crate) fn func<T: 'static>(
        self,
        store: &mut StoreContextMut<'_, T>,
        instance: InstanceId,
        ty: &core::FuncType,
    ) -> Result<core::Func, Error> {
        let params = ty.params().len();
        #[cfg(feature = "async")]
        let trampoline = match crate::typed::waiting_trampoline(self, store, ty) {
            Ok(made) => return made,
            Err(trampoline) => trampoline,
        };
        #[cfg(not(feature = "async"))]
        let trampoline = self;
        let trampoline = match trampoline {
            Trampoline::Lower(lowered) => match lowered.typed_host(store)? {
                Some(host) => return host.func(store, lowered, ty),
                None => Trampoline::Lower(lowered),
            },
            other => other,
        };
        core::Func::new_of_numbers(store.as_context_mut(), ty.clone(), move |mut caller, slots| {
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
                None
            }
            Trampoline::TaskReturn { result, side } => {
                task_return(store, (*result, side), slots.get(..params).unwrap_or_default())?;
                None
            }
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
        HandleKind::Borrow { call, .. } => {
            if let Some(call) = state.calls.get_mut(call as usize) {
                call.borrows = call.borrows.saturating_sub(1);
            }
            Ok(())
        }
    }
}

/// A slot of what the call that is under way keeps for the guest.
fn context(state: &mut State, slot: u32) -> Option<&mut u32> {
    state.calls.last_mut()?.context.get_mut(slot as usize)
}

/// `canon task.return`
fn task_return<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    (ty, side): (Option<TypeIndex>, &Side),
    slots: &[u64],
) -> Result<(), Error> {
    check_leave(store, side.instance)?;
    let state = store.attachment::<State>();
    let call = (state.calls.len() as u32).checked_sub(1).ok_or(Trap::NotAsync)?;
    let returning = state.calls.last().and_then(|call| call.async_return.as_ref()).ok_or(Trap::NotAsync)?;
    if returning.returned.is_some() {
        return Err(Trap::ReturnedTwice.into());
    }
    let is_same = side.shared.types.func(returning.ty).result == ty
        && (returning.encoding, returning.memory) == (side.encoding, side.memory);
    if !is_same {
        return Err(Trap::WrongReturnType.into());
    }
    let boundary = returning.boundary;
    let (mut lends, mut strings) = (Lends::default(), StringShapes::new());
    let lifted = ty.map(|ty| {
        with_lift(store, (side, boundary), (&mut lends, &mut strings), |lift| {
            lift.result(MAX_FLAT_PARAMS, slots, ty)
        })
    });
    let (val, charge) = lifted.transpose()?.unzip();
    let charge = charge.flatten();
    let state = store.attachment::<State>();
    check_borrows(state, call)?;
    if let Some(returning) = state.calls.last_mut().and_then(|call| call.async_return.as_mut()) {
        returning.returned = Some(Returned { val, strings, _charge: charge });
    }
    Ok(())
}
