//! A call that is observed: a core function that stands in the place of the one which would be there without an observer.

use std::sync::Arc;

use innkeeper_engine as core;
use innkeeper_engine::{AsContextMut, Error, StoreContextMut, StoreParts};

use super::{HostCallName, HostCallObserver, ValueVisitor, Walk};
use crate::abi::{MAX_FLAT_PARAMS, MAX_FLAT_RESULTS};
use crate::call::Lowered;
use crate::entry::check_leave;
use crate::func::HostCall;
use crate::instantiate::Making;
use crate::plan::{FuncDef, ResourceDef, TrampolineKind};
use crate::resource::{ResourceAny, ResourceTypeId, usage};
use crate::state::{FuncInst, InstanceId, State};
use crate::table::{HandleKind, HandleTable};
use crate::trampoline::{Trampoline, drop_handle};
use crate::typed::BoundHost;
use crate::types::{FuncType, Type, ValType};
use crate::val::Val;

/// What is observed, and by whom.
pub(crate) struct Observed<T: 'static> {
    name: HostCallName,
    target: Target<T>,
    observer: Arc<dyn HostCallObserver<T>>,
}

/// What is called.
enum Target<T: 'static> {
    Typed(BoundHost<T>, Lowered),
    Vals(Lowered),
    Drop { instance: InstanceId, ty: ResourceTypeId, resource: Option<Arc<str>> },
}

/// Core values of parameters, and an address where the result is to be.
const MAX_SLOTS: usize = MAX_FLAT_PARAMS + 1;

/// A call of a function of the host's, or of the destructor of a resource of the host's, while it is observed.
pub struct ObservedCall<'a, 'b, T: 'static> {
    store: &'a mut StoreContextMut<'b, T>,
    name: &'a HostCallName,
    target: &'a Target<T>,
    slots: &'a mut [u64],
    params: ([u64; MAX_SLOTS], usize),
}

impl<T: 'static> Making<'_, T> {
    /// A trampoline with an observer around it, where there is one and the trampoline is of a kind that is observed; else as it was.
    pub(crate) fn observed(
        &self,
        store: &mut StoreContextMut<'_, T>,
        (kind, instance): (&TrampolineKind, InstanceId),
        trampoline: Trampoline,
    ) -> Result<Result<Observed<T>, Trampoline>, Error> {
        let observer = store.attachment::<State>().observer.as_ref();
        let Some(observer) = observer.and_then(|any| any.downcast_ref::<Arc<dyn HostCallObserver<T>>>())
        else {
            return Ok(Err(trampoline));
        };
        let observer = Arc::clone(observer);
        let imported = match kind {
            TrampolineKind::Lower { func, options, .. } if !options.is_async => {
                match &self.plan.funcs[func.index()] {
                    FuncDef::Imported(import) => Some(import),
                    FuncDef::Lifted(_) => None,
                }
            }
            TrampolineKind::ResourceDrop(slot) => match &self.plan.resources[slot.0 as usize] {
                ResourceDef::Imported(import) => Some(import),
                ResourceDef::Own { .. } => None,
            },
            _ => None,
        };
        let Some(import) = imported else { return Ok(Err(trampoline)) };
        let path = &self.plan.imports[import.index()].path;
        Ok(match trampoline {
            Trampoline::Lower(lowered) => {
                let name = HostCallName::new(path, false);
                match store.attachment::<State>().funcs.get(lowered.func.0 as usize) {
                    Some(FuncInst::Host(host)) if matches!(host.of::<T>()?, HostCall::Vals(_)) => {
                        Ok(Observed { name, target: Target::Vals(lowered), observer })
                    }
                    _ => match lowered.blocking_host(store)? {
                        Some(host) => Ok(Observed { name, target: Target::Typed(host, lowered), observer }),
                        None => Err(Trampoline::Lower(lowered)),
                    },
                }
            }
            Trampoline::ResourceDrop(ty)
                if store.attachment::<State>().resource_type(ty).instance.is_none() =>
            {
                let TrampolineKind::ResourceDrop(slot) = kind else {
                    return Ok(Err(Trampoline::ResourceDrop(ty)));
                };
                let resource = self.shared.types.resource_name(*slot).cloned();
                let name = HostCallName::new(path, true);
                Ok(Observed { name, target: Target::Drop { instance, ty, resource }, observer })
            }
            other => Err(other),
        })
    }
}

impl<T: 'static> Observed<T> {
    /// Makes the core function.
    pub(crate) fn func(
        self,
        store: &mut StoreContextMut<'_, T>,
        ty: core::NumbersType<'_>,
    ) -> Result<core::Func, Error> {
        let params = ty.ty().params().len();
        core::Func::new_of_numbers(store.as_context_mut(), ty, move |mut caller, slots| {
            self.call(&mut caller.as_context_mut(), (slots, params))
        })
    }

    fn call(
        &self,
        store: &mut StoreContextMut<'_, T>,
        (slots, count): (&mut [u64], usize),
    ) -> Result<(), Error> {
        let mut params = [0; MAX_SLOTS];
        for (to, from) in params.iter_mut().zip(slots.iter().take(count)) {
            *to = *from;
        }
        let Observed { name, target, observer } = self;
        let mut call = ObservedCall { store, name, target, slots, params: (params, count.min(MAX_SLOTS)) };
        // What breaks a rule, or ends what was borrowed, never comes to the host.
        if call.comes_to_the_host()? { observer.call(&mut call) } else { call.perform() }
    }
}

impl<T: 'static> ObservedCall<'_, '_, T> {
    /// What is called.
    #[must_use]
    pub fn name(&self) -> &HostCallName {
        self.name
    }

    /// The function's type; none of a drop.
    #[must_use]
    pub fn ty(&self) -> Option<FuncType> {
        let lowered = self.lowered()?;
        Some(FuncType::new(&lowered.side.shared.types, lowered.ty))
    }

    /// Shows the arguments, as one tuple. Afterwards they may have been given away, or dropped.
    ///
    /// # Errors
    /// What the visitor has ended the walk by; what is wrong with the arguments, for which the call ends the guest when it is made; that the guest is to stop.
    pub fn arguments(&mut self, visitor: &mut dyn ValueVisitor) -> Result<(), Error> {
        match self.target {
            Target::Typed(_, lowered) | Target::Vals(lowered) => {
                let tuple = lowered.side.shared.types.func(lowered.ty).params_tuple;
                walk(self.store, lowered, visitor, |walk| walk.value(MAX_FLAT_PARAMS, &self.params.0, tuple))
            }
            Target::Drop { instance, resource, .. } => {
                let index = self.params.0[0] as u32;
                let handles = &self.store.attachment::<State>().instance(*instance).handles;
                let rep = handles.peek(index).map_or(0, |handle| handle.rep);
                visitor.part(super::Part::Begin(super::Compound::Tuple))?;
                visitor.part(super::Part::Handle { resource: resource.as_deref(), index, rep })?;
                visitor.part(super::Part::End)
            }
        }
    }

    /// Makes the call. Once.
    ///
    /// # Errors
    /// What ends the guest.
    pub fn perform(&mut self) -> Result<(), Error> {
        match self.target {
            Target::Typed(host, lowered) => host.call(self.store, lowered, self.slots),
            Target::Vals(lowered) => lowered.call(self.store, self.slots, self.params.1),
            Target::Drop { instance, ty, .. } => {
                drop_handle(self.store, (*instance, self.params.0[0] as u32), *ty)
            }
        }
    }

    /// Answers the call in the host's place. The guest loses what it gives away, as it would by the call.
    ///
    /// # Errors
    /// The one that was given; what is wrong with the arguments, or the result, which must be of the function's type; what ends the guest while it allocates room for that.
    pub fn answer(&mut self, result: Result<Option<Val>, Error>) -> Result<(), Error> {
        match self.target {
            Target::Typed(_, lowered) | Target::Vals(lowered) => {
                lowered.answer(self.store, (self.slots, self.params.1), result)
            }
            Target::Drop { instance, .. } => {
                let index = self.params.0[0] as u32;
                self.store.attachment::<State>().instance(*instance).handles.remove(index);
                result.map(drop)
            }
        }
    }

    /// Shows the result of a call that was made, or answered, and has returned; nothing where the function has none.
    ///
    /// # Errors
    /// What the visitor has ended the walk by; that the guest is to stop.
    pub fn result(&mut self, visitor: &mut dyn ValueVisitor) -> Result<(), Error> {
        let (Target::Typed(_, lowered) | Target::Vals(lowered)) = self.target else { return Ok(()) };
        let types = &lowered.side.shared.types;
        let Some(ty) = types.func(lowered.ty).result else { return Ok(()) };
        let is_flat = types.layout(ty).flat.as_ref().is_some_and(|flat| flat.len() <= MAX_FLAT_RESULTS);
        // Where it does not fit into a slot, the guest has passed where it wants it, after the parameters.
        let (params, count) = &self.params;
        let slot =
            if is_flat { self.slots.first() } else { count.checked_sub(1).and_then(|at| params.get(at)) };
        let slot = slot.copied().unwrap_or_default();
        walk(self.store, lowered, visitor, |walk| walk.value(MAX_FLAT_RESULTS, &[slot], ty))
    }

    /// A resource of the host's for an answer: of the type that handles of `ty` are of, which the function's type has. `rep` stands for it.
    ///
    /// # Errors
    /// Where the type is no handle's; where the guests make the host hold more than they may.
    pub fn new_resource(&mut self, ty: &Type, rep: u32) -> Result<ResourceAny, Error> {
        let slot = match (self.lowered(), ty.slot()) {
            (Some(lowered), Some(slot)) => lowered.side.shared.resources.get(slot.0 as usize).copied(),
            _ => None,
        };
        let slot = slot.ok_or_else(|| usage("a resource of a type that is no handle's"))?;
        let budget = self.store.budget().clone();
        self.store.attachment::<State>().give_host((slot, rep), true, &budget)
    }

    /// The store of the guest that calls.
    #[must_use]
    pub fn store(&mut self) -> StoreContextMut<'_, T> {
        self.store.as_context_mut()
    }

    fn lowered(&self) -> Option<&Lowered> {
        match self.target {
            Target::Typed(_, lowered) | Target::Vals(lowered) => Some(lowered),
            Target::Drop { .. } => None,
        }
    }

    fn comes_to_the_host(&mut self) -> Result<bool, Error> {
        match self.target {
            Target::Typed(_, lowered) | Target::Vals(lowered) => {
                check_leave(self.store, lowered.side.instance)?;
                Ok(true)
            }
            Target::Drop { instance, ty, .. } => {
                check_leave(self.store, *instance)?;
                let handles = &self.store.attachment::<State>().instance(*instance).handles;
                Ok(handles.peek(self.params.0[0] as u32).is_some_and(|handle| {
                    handle.ty == *ty
                        && matches!(handle.kind, HandleKind::Own { .. })
                        && !HandleTable::is_lent(handle)
                }))
            }
        }
    }
}

/// Walks over values in a side's memory.
fn walk<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    lowered: &Lowered,
    visitor: &mut dyn ValueVisitor,
    over: impl FnOnce(&mut Walk<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    let side = &lowered.side;
    let StoreParts { attachment: state, memory, interrupts, .. } = store.parts::<State>(side.memory)?;
    over(&mut Walk::new(side, (state, memory), interrupts, visitor))
}

impl Type {
    fn slot(&self) -> Option<crate::types::ResourceSlot> {
        match self.val_type() {
            ValType::Own(slot) | ValType::Borrow(slot) => Some(*slot),
            _ => None,
        }
    }
}

impl<T> std::fmt::Debug for ObservedCall<'_, '_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ObservedCall").field("name", &self.name).finish_non_exhaustive()
    }
}
