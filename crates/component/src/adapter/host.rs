//! What generated code asks the host for: traps, strings in other encodings, handles, and records of calls.

use innkeeper_engine as core;
use innkeeper_engine::{AsContextMut, Budget, BudgetKind, Error, FuncType, StoreContextMut};
use wasm_encoder::ValType;

use crate::abi::{Side, transcode};
use crate::decode::Encoding;
use crate::instantiate::Making;
use crate::plan::{CoreDef, InstanceNumber, Options};
use crate::resource::{ResourceTypeId, wrong_resource};
use crate::state::{GuestLends, InstanceId, State};
use crate::table::ResourceHandle;
use crate::trap::Trap;
use crate::types::ResourceSlot;

/// A function of the host's.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum HostFunction {
    /// Ends the call by a [`TrapCode`], with a detail.
    Trap,
    /// Notes that a call has begun.
    BeginCall,
    /// Checks that what was borrowed for the innermost call is gone, and gives back what its caller has lent.
    EndCall(InstanceNumber),
    /// Checks a string and copies it: from, its bytes, to.
    CopyUtf8 { from: CoreDef, to: CoreDef },
    /// Takes a string over; gives its address and, in the upper half, its length.
    Transcode { from: StringSide, to: StringSide },
    /// Takes an owned handle from one instance to another.
    Own { from: (InstanceNumber, ResourceSlot), to: (InstanceNumber, ResourceSlot) },
    /// Lends a handle of one instance's to another.
    Borrow { from: (InstanceNumber, ResourceSlot), to: (InstanceNumber, ResourceSlot) },
}

/// Where a string is, or goes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct StringSide {
    pub(crate) instance: InstanceNumber,
    pub(crate) encoding: Encoding,
    pub(crate) memory: CoreDef,
    pub(crate) realloc: Option<CoreDef>,
}

macro_rules! trap_codes {
    ($($name:ident => $trap:expr,)*) => {
        /// A trap, as generated code tells which it is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum TrapCode {
            $($name,)*
        }

        impl TrapCode {
            /// The trap of a code, with its detail.
            fn trap(code: u32, detail: u32) -> Trap {
                const ALL: &[(TrapCode, fn(u32) -> Trap)] = &[$((TrapCode::$name, $trap),)*];
                // Generated code has no others.
                ALL.get(code as usize).map_or(Trap::CannotEnter, |(_, trap)| trap(detail))
            }
        }
    };
}

trap_codes! {
    CannotEnter => |_| Trap::CannotEnter,
    CannotLeave => |_| Trap::CannotLeave,
    Unaligned => |_| Trap::Unaligned,
    ReallocOutOfBounds => |_| Trap::ReallocOutOfBounds,
    PointerOutOfBounds => |_| Trap::PointerOutOfBounds,
    StringContentOutOfBounds => |_| Trap::StringContentOutOfBounds,
    ListContentOutOfBounds => |_| Trap::ListContentOutOfBounds,
    StringTooLong => |_| Trap::StringTooLong,
    ListTooLong => |_| Trap::ListTooLong,
    InvalidChar => Trap::InvalidChar,
    InvalidDiscriminant => Trap::InvalidDiscriminant,
    UncaughtException => |_| Trap::UncaughtException,
}

impl HostFunction {
    pub(super) fn name(&self) -> &'static str {
        match self {
            HostFunction::Trap => "trap",
            HostFunction::BeginCall => "begin a call",
            HostFunction::EndCall(_) => "end a call",
            HostFunction::CopyUtf8 { .. } => "copy a string",
            HostFunction::Transcode { .. } => "transcode a string",
            HostFunction::Own { .. } => "give a handle",
            HostFunction::Borrow { .. } => "lend a handle",
        }
    }

    /// Its parameters and results.
    pub(super) fn ty(&self) -> (&'static [ValType], &'static [ValType]) {
        const I32: ValType = ValType::I32;
        match self {
            HostFunction::Trap => (&[I32, I32], &[]),
            HostFunction::BeginCall | HostFunction::EndCall(_) => (&[], &[]),
            HostFunction::CopyUtf8 { .. } => (&[I32, I32, I32], &[]),
            HostFunction::Transcode { .. } => (&[I32, I32], &[ValType::I64]),
            HostFunction::Own { .. } | HostFunction::Borrow { .. } => (&[I32], &[I32]),
        }
    }

    /// Makes the function for an instance of the component.
    pub(super) fn func<T: 'static>(
        &self,
        store: &mut StoreContextMut<'_, T>,
        making: &Making<'_, T>,
    ) -> Result<core::Func, Error> {
        let handle = |(instance, slot): (InstanceNumber, ResourceSlot)| {
            (making.instance(instance), making.shared.resources[slot.0 as usize])
        };
        match self {
            HostFunction::Trap => {
                self.wrap(store, |_, slots| Err(TrapCode::trap(slots[0] as u32, slots[1] as u32).into()))
            }
            HostFunction::BeginCall => self.wrap(store, |store, _| {
                store.attachment::<State>().begin(None);
                Ok(())
            }),
            HostFunction::EndCall(caller) => {
                let caller = making.instance(*caller);
                self.wrap(store, move |store, _| Ok(end_call(store.attachment(), caller)?))
            }
            HostFunction::CopyUtf8 { from, to } => {
                let (from, to) = (making.memory(store, from)?, making.memory(store, to)?);
                self.wrap(store, move |store, slots| {
                    let [address, bytes, target] =
                        [slots[0], slots[1], slots[2]].map(|slot| slot as u32 as usize);
                    super::utf8::copy(store, (from, to), (address, bytes, target))
                })
            }
            HostFunction::Transcode { from, to } => {
                let (memory, encoding) = (making.memory(store, &from.memory)?, from.encoding);
                let options = Options {
                    encoding: to.encoding,
                    memory: Some(to.memory.clone()),
                    realloc: to.realloc.clone(),
                    ..Options::default()
                };
                let to: Side = making.side(store, &options, to.instance)?;
                self.wrap(store, move |store, slots| {
                    let passed = (slots[0] as u32, slots[1] as u32);
                    let (address, units) = transcode(store, (memory, encoding), &to, passed)?;
                    slots[0] = u64::from(address) | u64::from(units) << 32;
                    Ok(())
                })
            }
            HostFunction::Own { from, to } => {
                let (from, to) = (handle(*from), handle(*to));
                self.wrap(store, move |store, slots| {
                    slots[0] = u64::from(give(store, (from, to), slots[0] as u32)?);
                    Ok(())
                })
            }
            HostFunction::Borrow { from, to } => {
                let (from, to) = (handle(*from), handle(*to));
                self.wrap(store, move |store, slots| {
                    slots[0] = u64::from(lend(store, (from, to), slots[0] as u32)?);
                    Ok(())
                })
            }
        }
    }

    fn wrap<T: 'static>(
        &self,
        store: &mut StoreContextMut<'_, T>,
        call: impl Fn(&mut StoreContextMut<'_, T>, &mut [u64]) -> Result<(), Error> + Send + Sync + 'static,
    ) -> Result<core::Func, Error> {
        let (params, results) = self.ty();
        let core = |types: &[ValType]| types.iter().map(|ty| core_type(*ty)).collect::<Vec<_>>();
        let ty = FuncType::new(core(params), core(results));
        core::Func::new_of_numbers(store.as_context_mut(), ty, move |mut caller, slots| {
            call(&mut caller.as_context_mut(), slots)
        })
    }
}

fn core_type(ty: ValType) -> core::ValType {
    match ty {
        ValType::I64 => core::ValType::I64,
        // They have no others.
        _ => core::ValType::I32,
    }
}

fn end_call(state: &mut State, caller: InstanceId) -> Result<(), Trap> {
    let Some(call) = state.calls.pop() else { return Ok(()) };
    if call.borrows > 0 {
        return Err(Trap::BorrowsRemain);
    }
    let handles = &mut state.instance(caller).handles;
    let lent = call.lends.map_or_else(Vec::new, |lends| lends.handles);
    lent.into_iter().for_each(|handle| handles.give_back(handle));
    Ok(())
}

impl GuestLends {
    /// Makes sure that one more has a place, as far as the guests may make the host hold them.
    fn make_room(&mut self, budget: &Budget) -> Result<(), Error> {
        if self.handles.len() < self.handles.capacity() {
            return Ok(());
        }
        let more = self.handles.len().max(16);
        let charge = self.charge.get_or_insert_with(|| budget.empty(BudgetKind::Buffer));
        charge.add((2 * more * size_of::<u32>()) as u64)?;
        let no_memory = |_| Error::limit("the system has no memory for more handles that are lent");
        self.handles.try_reserve_exact(more).map_err(no_memory)
    }
}

/// A resource type, as handles of an instance are of it.
type HandleType = (InstanceId, ResourceTypeId);

fn give<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    ((from, from_type), (to, to_type)): (HandleType, HandleType),
    index: u32,
) -> Result<u32, Error> {
    let budget = store.budget().clone();
    let state = store.attachment::<State>();
    let rep = state.take_own(from, index, from_type)?;
    if from_type != to_type {
        return Err(wrong_resource());
    }
    state.instance(to).handles.add(ResourceHandle::own(to_type, rep), &budget)
}

fn lend<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    ((from, from_type), (to, to_type)): (HandleType, HandleType),
    index: u32,
) -> Result<u32, Error> {
    let budget = store.budget().clone();
    let state = store.attachment::<State>();
    if let Some(call) = state.calls.last_mut() {
        call.lends.get_or_insert_default().make_room(&budget)?;
    }
    let rep = state.lend(from, index, from_type)?;
    if from_type != to_type {
        return Err(wrong_resource());
    }
    let number = state.calls.len().checked_sub(1).map(|number| number as u32);
    if let Some(lends) = state.calls.last_mut().and_then(|call| call.lends.as_mut()) {
        lends.handles.push(index);
    }
    state.give_borrow((to, number), (to_type, rep), &budget)
}
