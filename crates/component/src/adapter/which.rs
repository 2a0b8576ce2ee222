//! Which calls code is generated for, and when it must be there: before what needs it is made.
//!
//! Must stay true: a call that is not generated is walked; nothing is refused for it. What is worked out here takes time in proportion to the plan: nothing looks at all calls for
//! each call.

use std::collections::{HashMap, HashSet};
use std::sync::OnceLock;

use super::{Made, Walked};
use crate::component::Component;
use crate::plan::{
    CoreDef, FuncDef, InstanceNumber, Lifted, Options, Plan, ResourceDef, Step, TrampolineKind,
    TrampolineNumber,
};
use crate::types::FuncTypeIndex;

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
        let mut types = std::iter::once(def.params_tuple).chain(def.result);
        if types.any(|ty| plan.types.layout(ty).is_async) {
            return Err(Some(Walked::Type));
        }
        let entered = entered(plan, (trampoline.instance, callee.instance)).map_err(Some)?;
        Ok(Call { caller: trampoline.instance, ty: *ty, options, callee, entered })
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

/// Calls whose code is made together, as one module.
pub(crate) struct Batch {
    /// Before which of the plan's steps the functions must be there.
    pub(crate) before_step: usize,
    pub(crate) calls: Vec<TrampolineNumber>,
    /// Made when it is first needed.
    pub(super) made: OnceLock<Made>,
}

/// The calls of a plan that code is generated for, and what is known of all of them.
#[derive(Default)]
pub(crate) struct Calls {
    pub(crate) batches: Vec<Batch>,
    /// For each call that is in a batch, or is the same as one that is, the one whose code it has: the first.
    firsts: HashMap<TrampolineNumber, TrampolineNumber>,
    pub(super) seen: Seen,
    /// Whether functions of the component's modules may throw exceptions, once it is known.
    pub(super) may_throw: OnceLock<bool>,
}

/// Calls of one module at most, whose code is far from being too long together as a rule.
const MOST_CALLS: usize = 50;

/// Calls of which this is the same have the same code.
type Same<'p> = (InstanceNumber, FuncTypeIndex, &'p Options, &'p Lifted);

impl Calls {
    /// Groups calls into as few modules as can be: a module's functions must be there before another one imports them, and after those that they call.
    pub(crate) fn of(plan: &Plan) -> Calls {
        let (mut calls, mut pending) =
            (Calls { seen: Seen::of(plan), ..Calls::default() }, Pending::default());
        let mut known: HashMap<Same<'_>, TrampolineNumber> = HashMap::new();
        for (number, step) in plan.steps.iter().enumerate() {
            if !pending.in_order.is_empty() && calls.needs(plan, step, &pending) {
                calls.batches.push(std::mem::take(&mut pending).batch(number));
            }
            if let Step::Trampoline(trampoline) = step
                && let Ok(call) = Call::of(plan, *trampoline)
            {
                let first =
                    *known.entry((call.caller, call.ty, call.options, call.callee)).or_insert(*trampoline);
                calls.firsts.insert(*trampoline, first);
                if first == *trampoline {
                    pending.push(first);
                }
                if pending.in_order.len() == MOST_CALLS {
                    calls.batches.push(std::mem::take(&mut pending).batch(number + 1));
                }
            }
        }
        // What nobody imports needs no code; it is made for the sake of those who look at all of them.
        if !pending.in_order.is_empty() {
            calls.batches.push(pending.batch(plan.steps.len()));
        }
        calls
    }

    /// The call whose function a trampoline's is, if it is one that code is generated for.
    pub(crate) fn first(&self, number: TrampolineNumber) -> Option<TrampolineNumber> {
        self.firsts.get(&number).copied()
    }

    /// Whether a step needs functions that are not there yet.
    fn needs(&self, plan: &Plan, step: &Step, pending: &Pending) -> bool {
        let is_pending = |item: &CoreDef| match item {
            CoreDef::Trampoline(number) => {
                self.first(*number).is_some_and(|first| pending.all.contains(&first))
            }
            CoreDef::Export(..) => false,
        };
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
}

/// Calls of the batch that is being put together.
#[derive(Default)]
struct Pending {
    in_order: Vec<TrampolineNumber>,
    all: HashSet<TrampolineNumber>,
}

impl Pending {
    fn push(&mut self, call: TrampolineNumber) {
        self.in_order.push(call);
        self.all.insert(call);
    }

    fn batch(self, before_step: usize) -> Batch {
        Batch { before_step, calls: self.in_order, made: OnceLock::new() }
    }
}

/// What instances can tell of the calls that they are in.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Those whose functions can see what is kept for the call that they are in, or that they are in one.
    pub(super) context: HashSet<InstanceNumber>,
    /// Those that can call anybody, the host too, since their modules are given something to do that with, and those which such are in. None of the others can wait, or have a resource of its own that somebody drops: it runs
    /// from the beginning of a call to its end, and nobody else meanwhile.
    pub(super) leads_out: HashSet<InstanceNumber>,
}

impl Seen {
    fn of(plan: &Plan) -> Seen {
        let sees_context = |kind: &TrampolineKind| match kind {
            TrampolineKind::ContextGet(_)
            | TrampolineKind::ContextSet(_)
            | TrampolineKind::TaskReturn { .. }
            | TrampolineKind::Concurrent { .. } => true,
            // Who makes such a call may have to wait for it, which only tasks may.
            TrampolineKind::Lower { ty, .. } => plan.types.func(*ty).is_async,
            _ => false,
        };
        let seeing = plan.trampolines.iter().filter(|trampoline| sees_context(&trampoline.kind));
        let mut leads_out = HashSet::new();
        for trampoline in &plan.trampolines {
            let mut next = Some(trampoline.instance);
            // Those around one that is known are known too.
            while let Some(instance) = next.filter(|instance| leads_out.insert(*instance)) {
                next = plan.parents[instance.0 as usize];
            }
        }
        Seen { context: seeing.map(|trampoline| trampoline.instance).collect(), leads_out }
    }
}
