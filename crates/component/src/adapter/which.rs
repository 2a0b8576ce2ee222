//! Which calls code is generated for, and when it must be there: before what needs it is made.
//!
//! Must stay true: a call that is not generated is walked; nothing is refused for it.

use std::collections::HashSet;
use std::sync::OnceLock;

use super::{Made, Walked};
use crate::component::Component;
use crate::plan::{
    CoreDef, FuncDef, InstanceNumber, Lifted, Options, Plan, ResourceDef, Step, TrampolineKind,
    TrampolineNumber,
};
use crate::types::{FuncTypeIndex, TypeIndex, TypeTable, ValType};

/// A call from one component instance of the nest to another.
pub(super) struct Call<'p> {
    pub(super) caller: InstanceNumber,
    pub(super) ty: FuncTypeIndex,
    pub(super) options: &'p Options,
    pub(super) callee: &'p Lifted,
    /// Instances that the call enters (canonical ABI, `entering_set`), innermost first.
    pub(super) entered: Vec<InstanceNumber>,
}

impl<'p> Call<'p> {
    /// The call that a trampoline makes.
    ///
    /// # Errors
    /// Why it is walked; nothing where it is no call of another component's function.
    pub(super) fn of(plan: &'p Plan, number: TrampolineNumber) -> Result<Call<'p>, Option<Walked>> {
        let trampoline = &plan.trampolines[number.index()];
        let TrampolineKind::Lower { func, ty, options } = &trampoline.kind else { return Err(None) };
        let FuncDef::Lifted(callee) = &plan.funcs[func.index()] else { return Err(Some(Walked::Imported)) };
        if options.is_async || callee.options.is_async {
            return Err(Some(Walked::Async));
        }
        let def = plan.types.func(*ty);
        if def.is_async {
            return Err(Some(Walked::Async));
        }
        let mut seen = HashSet::new();
        let mut types = std::iter::once(def.params_tuple).chain(def.result);
        if !types.all(|ty| is_sync(&plan.types, ty, &mut seen)) {
            return Err(Some(Walked::Type));
        }
        let entered = entered(plan, (trampoline.instance, callee.instance)).map_err(Some)?;
        Ok(Call { caller: trampoline.instance, ty: *ty, options, callee, entered })
    }
}

/// Whether there is nothing in a type that only the async ABI has use for. Types are nested at most 100 deep, which validation has checked, and each is looked at once.
fn is_sync(types: &TypeTable, ty: TypeIndex, seen: &mut HashSet<TypeIndex>) -> bool {
    if !seen.insert(ty) {
        return true;
    }
    let mut of = |ty: &TypeIndex| is_sync(types, *ty, seen);
    match types.get(ty) {
        ValType::Stream(_) | ValType::Future(_) | ValType::ErrorContext => false,
        ValType::List(ty)
        | ValType::FixedLengthList(ty, _)
        | ValType::Map(_, _, ty)
        | ValType::Option(ty) => of(ty),
        ValType::Record(fields) => fields.iter().all(|(_, ty)| of(ty)),
        ValType::Tuple(parts) => parts.iter().all(of),
        ValType::Variant(cases) => cases.iter().filter_map(|(_, ty)| ty.as_ref()).all(of),
        ValType::Result(ok, err) => [ok, err].into_iter().flatten().all(of),
        _ => true,
    }
}

/// Why a trampoline is walked, for which no code was generated, though it might have been as far as the plan tells.
pub(crate) fn why_walked(component: &Component, number: TrampolineNumber) -> Walked {
    if !super::is_on(component.engine()) {
        return Walked::Off;
    }
    // What the plan does not tell is what a store's memories are like.
    Call::of(component.plan(), number).err().flatten().unwrap_or(Walked::Memory)
}

/// The callee and those that it is in, up to those which the caller is in too.
fn entered(
    plan: &Plan,
    (caller, callee): (InstanceNumber, InstanceNumber),
) -> Result<Vec<InstanceNumber>, Walked> {
    let outside =
        |instance| std::iter::successors(Some(instance), |id: &InstanceNumber| plan.parents[id.0 as usize]);
    let of_caller: HashSet<InstanceNumber> = outside(caller).collect();
    let entered: Vec<InstanceNumber> = outside(callee).take_while(|id| !of_caller.contains(id)).collect();
    let common = outside(callee).find(|id| of_caller.contains(id));
    let are_relatives = common == Some(caller) || common == Some(callee);
    if are_relatives && !plan.may_call_relatives { Err(Walked::Relatives) } else { Ok(entered) }
}

/// Instances whose functions can see what is kept for the call that they are in, or that they are in one.
pub(super) fn sees_context(plan: &Plan) -> HashSet<InstanceNumber> {
    let seeing = plan.trampolines.iter().filter(|trampoline| {
        match trampoline.kind {
            TrampolineKind::ContextGet(_)
            | TrampolineKind::ContextSet(_)
            | TrampolineKind::TaskReturn { .. }
            | TrampolineKind::Concurrent { .. } => true,
            // Who makes such a call may have to wait for it, which only tasks may.
            TrampolineKind::Lower { ty, .. } => plan.types.func(ty).is_async,
            _ => false,
        }
    });
    seeing.map(|trampoline| trampoline.instance).collect()
}

/// Calls whose code is made together, as one module.
pub(crate) struct Batch {
    /// Before which of the plan's steps the functions must be there.
    pub(crate) before_step: usize,
    pub(crate) calls: Vec<TrampolineNumber>,
    /// Made when it is first needed.
    pub(super) made: OnceLock<Made>,
}

/// The calls of a plan that code is generated for, as few modules as can be: a module's functions must be there before another one imports them, and after those that they
/// call.
pub(crate) fn batches(plan: &Plan) -> Vec<Batch> {
    let (mut batches, mut pending): (Vec<Batch>, Vec<TrampolineNumber>) = (Vec::new(), Vec::new());
    for (number, step) in plan.steps.iter().enumerate() {
        if !pending.is_empty() && needs(plan, step, &pending) {
            let calls = std::mem::take(&mut pending);
            batches.push(Batch { before_step: number, calls, made: OnceLock::new() });
        }
        if let Step::Trampoline(trampoline) = step
            && Call::of(plan, *trampoline).is_ok()
        {
            pending.push(*trampoline);
        }
    }
    // What nobody imports needs no code; it is made for the sake of those who look at all of them.
    if !pending.is_empty() {
        batches.push(Batch { before_step: plan.steps.len(), calls: pending, made: OnceLock::new() });
    }
    batches
}

/// Whether a step needs functions that are not there yet.
fn needs(plan: &Plan, step: &Step, pending: &[TrampolineNumber]) -> bool {
    let is_pending = |item: &CoreDef| matches!(item, CoreDef::Trampoline(number) if pending.contains(number));
    let of_options = |options: &Options| {
        let items = [&options.memory, &options.realloc, &options.post_return, &options.callback];
        items.into_iter().flatten().any(is_pending)
    };
    match step {
        Step::Module { .. } => true,
        Step::Trampoline(number) => match &plan.trampolines[number.index()].kind {
            TrampolineKind::Lower { options, .. }
            | TrampolineKind::TaskReturn { options, .. }
            | TrampolineKind::Concurrent { options, .. } => of_options(options),
            _ => false,
        },
        Step::Func(number) => match &plan.funcs[number.index()] {
            FuncDef::Lifted(lifted) => is_pending(&lifted.core) || of_options(&lifted.options),
            FuncDef::Imported(_) => false,
        },
        Step::Resource(slot) => match &plan.resources[slot.0 as usize] {
            ResourceDef::Own { dtor: Some(dtor), .. } => is_pending(dtor),
            _ => false,
        },
    }
}
