//! Calls of functions (canonical ABI, `canon lift`, `canon lower`).
//!
//! Must stay true: whatever ends a call by an error leaves the callee entered, which poisons it; calls that are under way are forgotten down to where it began.

use std::borrow::Cow;

use innkeeper_engine as core;
use innkeeper_engine::{AsContextMut, Charge, Error, StoreContextMut, StoreParts};

use crate::abi::{
    Boundary, Costs, InStore, LendingCall, Lends, Lift, Lower, MAX_FLAT_ASYNC_PARAMS, MAX_FLAT_PARAMS,
    MAX_FLAT_RESULTS, Side, StringShapes,
};
use crate::concurrent::finish_left;
use crate::entry::{Entry, check_leave, set_may_leave};
use crate::func::{Func, HostCall, HostFunc, LiftedFunc};
use crate::reentry::refused;
use crate::state::{FuncId, FuncInst, Returned, State};
use crate::trap::{Trap, trap_on_throw};
use crate::types::{FuncTypeIndex, TypeIndex};
use crate::under_way::CallUnderWay;
use crate::val::Val;

/// What the caller of a lifted function does in the middle of the call.
pub(crate) trait Caller<'p, T: 'static> {
    fn entry(&self) -> Entry;
    fn boundary(&self) -> Boundary;
    /// Where it is the host: which function it calls, as the embedder has it.
    fn func(&self) -> Option<&Func> {
        None
    }
    /// Gives the arguments, once the callee has been entered.
    fn start(&mut self, store: &mut StoreContextMut<'_, T>) -> Result<(Cow<'p, [Val]>, StringShapes), Error>;
    /// Where handles are noted that the callee is lent.
    fn lends(&mut self) -> &mut Lends;
    /// Takes the result, if there is one, before the callee tidies up.
    fn resolve(&mut self, store: &mut StoreContextMut<'_, T>, returned: Returned) -> Result<(), Error>;
}

/// Calls a lifted function whose type is not async.
pub(crate) fn call_lifted<'p, T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    callee: &LiftedFunc,
    caller: &mut impl Caller<'p, T>,
) -> Result<(), Error> {
    let entry = caller.entry();
    let (state, mut globals) = store.attachment_and_globals::<State>();
    if let Err(trap) = state.enter(&mut globals, callee.side.instance, entry) {
        let Some(func) = caller.func() else { return Err(trap.into()) };
        // What was left in the middle in it goes on to where it waits, and then the instance can be entered.
        return match finish_left(store)? {
            true => call_lifted(store, callee, caller),
            false => Err(refused(store.attachment(), func, trap)),
        };
    }
    let number = state.begin_of(caller.func().map(|func| func.func));
    let call = CallUnderWay::begun(store, number);
    in_callee(call.store, (callee, number), caller)?;
    call.leave(callee.side.instance, entry);
    Ok(())
}

fn in_callee<'p, T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    (callee, call): (&LiftedFunc, u32),
    caller: &mut impl Caller<'p, T>,
) -> Result<(), Error> {
    let mut params = Vec::new();
    arguments(store, (callee, call), caller, &mut params)?;
    let returned = call_core(store, callee.core, &params)?;
    finish(store, (callee, call), &[returned], caller)
}

/// Hands the arguments over; adds what the core function is called with.
pub(crate) fn arguments<'p, T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    (callee, call): (&LiftedFunc, u32),
    caller: &mut impl Caller<'p, T>,
    slots: &mut Vec<u64>,
) -> Result<(), Error> {
    let boundary = caller.boundary();
    let (types, side) = (&*callee.side.shared.types, &callee.side);
    let ty = types.func(callee.ty);
    let (vals, mut strings) = caller.start(store)?;
    let mut guest = InStore { store, side };
    let mut lower = Lower::new(side, boundary, (&mut guest, Some(call)), (caller.lends(), &mut strings));
    lower.values(MAX_FLAT_PARAMS, &vals, ty.params_tuple, slots)
}

/// Takes what the core function has returned, and has the callee tidy up.
pub(crate) fn finish<'p, T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    (callee, call): (&LiftedFunc, u32),
    results: &[u64],
    caller: &mut impl Caller<'p, T>,
) -> Result<(), Error> {
    let boundary = caller.boundary();
    let side = &callee.side;
    let ty = side.shared.types.func(callee.ty);
    if let Some(ty) = ty.result {
        let returned = lift_result(store, (side, boundary), (MAX_FLAT_RESULTS, ty), results)?;
        check_borrows(store.attachment(), call)?;
        caller.resolve(store, returned)?;
    } else {
        check_borrows(store.attachment(), call)?;
    }
    if let Some(post_return) = callee.post_return {
        set_may_leave(store, side.instance, false);
        call_core(store, post_return, results)?;
        set_may_leave(store, side.instance, true);
    }
    Ok(())
}

/// Traps where handles are left that were borrowed for the call.
pub(crate) fn check_borrows(state: &mut State, call: u32) -> Result<(), Trap> {
    match state.calls.get(call as usize) {
        Some(call) if call.borrows > 0 => Err(Trap::BorrowsRemain),
        _ => Ok(()),
    }
}

fn call_core<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    func: core::Func,
    params: &[u64],
) -> Result<u64, Error> {
    // Of results there is one at most.
    let mut slots = [0; MAX_FLAT_PARAMS];
    for (slot, param) in slots.iter_mut().zip(params) {
        *slot = *param;
    }
    func.call_of_numbers(store.as_context_mut(), &mut slots).map_err(trap_on_throw)?;
    Ok(slots[0])
}

/// Lifts with one side's memory.
pub(crate) fn with_lift<T: 'static, R>(
    store: &mut StoreContextMut<'_, T>,
    (side, boundary): (&Side, Boundary),
    (lends, strings): (&mut Lends, &mut StringShapes),
    lift: impl FnOnce(&mut Lift<'_>) -> Result<R, Error>,
) -> Result<(R, Option<Charge>), Error> {
    let StoreParts { attachment: state, memory, budget, interrupts, .. } =
        store.parts::<State>(side.memory)?;
    let costs = Costs::new(budget, interrupts);
    // The host does not ask what a string was encoded as.
    let strings = (boundary == Boundary::Guest).then_some(strings);
    let mut context = Lift::new(side, boundary, (state, memory), (lends, strings), costs);
    match lift(&mut context) {
        Ok(lifted) => Ok((lifted, context.into_charge())),
        Err(error) => {
            store.check_interrupts()?;
            Err(error)
        }
    }
}

/// Lifts a result; nothing can be borrowed in one.
pub(crate) fn lift_result<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    (side, boundary): (&Side, Boundary),
    (max_flat, ty): (usize, TypeIndex),
    slots: &[u64],
) -> Result<Returned, Error> {
    let (mut lends, mut strings) = (Lends::default(), StringShapes::new());
    let (val, charge) = with_lift(store, (side, boundary), (&mut lends, &mut strings), |lift| {
        lift.result(max_flat, slots, ty)
    })?;
    Ok(Returned { val: Some(val), strings, _charge: charge })
}

/// A function as a component instance sees it that imports it.
pub(crate) struct Lowered {
    pub(crate) side: Side,
    pub(crate) func: FuncId,
    pub(crate) ty: FuncTypeIndex,
    pub(crate) is_async: bool,
}

/// A guest that calls another component's function, or the host's.
struct GuestCaller<'a> {
    lowered: &'a Lowered,
    boundary: Boundary,
    /// What was passed.
    slots: &'a [u64],
    /// What is to be passed back.
    results: Vec<u64>,
    /// What the lifted values take.
    charge: Option<Charge>,
    lends: &'a mut Lends,
}

impl Lowered {
    /// Calls the function for the guest, with so many parameters in the first slots.
    pub(crate) fn call<T: 'static>(
        &self,
        store: &mut StoreContextMut<'_, T>,
        slots: &mut [u64],
        params: usize,
    ) -> Result<(), Error> {
        check_leave(store, self.side.instance)?;
        let func = store.attachment::<State>().funcs.get(self.func.0 as usize).cloned();
        let boundary = match &func {
            Some(FuncInst::Lifted(_)) => Boundary::Guest,
            _ => Boundary::Host,
        };
        let mut lending = LendingCall::new(store, Some(self.side.instance));
        let mut caller = GuestCaller {
            lowered: self,
            boundary,
            slots: slots.get(..params).unwrap_or_default(),
            results: Vec::new(),
            charge: None,
            lends: &mut lending.lends,
        };
        match func {
            Some(FuncInst::Lifted(callee)) => call_lifted(lending.store, &callee, &mut caller)?,
            Some(FuncInst::Host(host)) => caller.call_host(lending.store, &host)?,
            None => return Err(crate::resource::usage("a function of another store")),
        }
        let results = caller.results;
        drop(lending);
        for (slot, result) in slots.iter_mut().zip(results) {
            *slot = result;
        }
        self.end(slots)
    }

    /// Gives the guest a result in the place of a function of the host, whose arguments are taken as that would.
    pub(crate) fn answer<T: 'static>(
        &self,
        store: &mut StoreContextMut<'_, T>,
        (slots, params): (&mut [u64], usize),
        result: Result<Option<Val>, Error>,
    ) -> Result<(), Error> {
        check_leave(store, self.side.instance)?;
        let mut lending = LendingCall::new(store, Some(self.side.instance));
        let mut caller = GuestCaller {
            lowered: self,
            boundary: Boundary::Host,
            slots: slots.get(..params).unwrap_or_default(),
            results: Vec::new(),
            charge: None,
            lends: &mut lending.lends,
        };
        caller.start(lending.store)?;
        caller.give(lending.store, result?)?;
        let results = caller.results;
        drop(lending);
        for (slot, result) in slots.iter_mut().zip(results) {
            *slot = result;
        }
        self.end(slots)
    }

    /// Tells a caller that does not wait that the call has returned.
    pub(crate) fn end(&self, slots: &mut [u64]) -> Result<(), Error> {
        if let (true, Some(status)) = (self.is_async, slots.first_mut()) {
            // Subtask.State.RETURNED
            *status = 2;
        }
        Ok(())
    }
}

impl GuestCaller<'_> {
    fn call_host<T: 'static>(
        &mut self,
        store: &mut StoreContextMut<'_, T>,
        host: &HostFunc,
    ) -> Result<(), Error> {
        let HostCall::Vals(call) = host.of::<T>()? else { return Ok(()) };
        let (vals, _) = self.start(store)?;
        let has_result = self.func_type().result.is_some();
        let mut results = vec![Val::Bool(false); usize::from(has_result)];
        call(store.as_context_mut(), &vals, &mut results).map_err(trap_on_throw)?;
        self.give(store, results.pop())
    }

    /// Gives the guest what a function of the host returns.
    fn give<T: 'static>(
        &mut self,
        store: &mut StoreContextMut<'_, T>,
        val: Option<Val>,
    ) -> Result<(), Error> {
        let shared = &self.lowered.side.shared;
        if let (Some(ty), Some(val)) = (self.func_type().result, &val) {
            crate::check::fits(&shared.types, ty, val, &mut |_, _, _| Ok(())).map_err(|reason| {
                crate::resource::usage(&format!(
                    "what a function of the host has returned does not fit: {reason}"
                ))
            })?;
        }
        self.resolve(store, Returned { val, strings: StringShapes::new(), _charge: None })
    }

    fn func_type(&self) -> &crate::types::FuncTypeDef {
        self.lowered.side.shared.types.func(self.lowered.ty)
    }
}

impl<T: 'static> Caller<'static, T> for GuestCaller<'_> {
    fn entry(&self) -> Entry {
        Entry::Guest(self.lowered.side.instance)
    }

    fn boundary(&self) -> Boundary {
        self.boundary
    }

    fn start(
        &mut self,
        store: &mut StoreContextMut<'_, T>,
    ) -> Result<(Cow<'static, [Val]>, StringShapes), Error> {
        let tuple = self.func_type().params_tuple;
        let max_flat = if self.lowered.is_async { MAX_FLAT_ASYNC_PARAMS } else { MAX_FLAT_PARAMS };
        let mut strings = StringShapes::new();
        let side = (&self.lowered.side, self.boundary);
        let (vals, charge) = with_lift(store, side, (self.lends, &mut strings), |lift| {
            lift.values(max_flat, self.slots, tuple)
        })?;
        self.charge = charge;
        Ok((Cow::Owned(vals), strings))
    }

    fn lends(&mut self) -> &mut Lends {
        self.lends
    }

    fn resolve(&mut self, store: &mut StoreContextMut<'_, T>, returned: Returned) -> Result<(), Error> {
        let (Some(ty), Some(val)) = (self.func_type().result, returned.val) else { return Ok(()) };
        let side = &self.lowered.side;
        let max_flat = if self.lowered.is_async { 0 } else { MAX_FLAT_RESULTS };
        let mut strings = returned.strings;
        let mut guest = InStore { store, side };
        let mut lower = Lower::new(side, self.boundary, (&mut guest, None), (self.lends, &mut strings));
        self.results = lower.result(max_flat, (&val, ty), self.slots.last().copied())?;
        Ok(())
    }
}

/// The host, which calls a function of a guest's.
pub(crate) struct HostCaller<'a> {
    pub(crate) func: &'a Func,
    pub(crate) params: &'a [Val],
    pub(crate) result: Option<Val>,
    pub(crate) lends: &'a mut Lends,
}

impl<'a, T: 'static> Caller<'a, T> for HostCaller<'a> {
    fn func(&self) -> Option<&Func> {
        Some(self.func)
    }

    fn entry(&self) -> Entry {
        Entry::Host
    }

    fn boundary(&self) -> Boundary {
        Boundary::Host
    }

    fn start(&mut self, _: &mut StoreContextMut<'_, T>) -> Result<(Cow<'a, [Val]>, StringShapes), Error> {
        Ok((Cow::Borrowed(self.params), StringShapes::new()))
    }

    fn lends(&mut self) -> &mut Lends {
        self.lends
    }

    fn resolve(&mut self, _: &mut StoreContextMut<'_, T>, returned: Returned) -> Result<(), Error> {
        self.result = returned.val;
        Ok(())
    }
}
