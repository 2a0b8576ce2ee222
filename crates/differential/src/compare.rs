//! Compares two observations of a module.

use std::fmt::Debug;

use innkeeper::Trap;

use crate::oracle::{Call, Observation, Outcome};

/// How alike two observations must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strictness {
    /// Traps may be told apart less finely by one of the two; where they happen, and fuel, is not compared.
    Meaning,
    /// Everything is the same: the places of traps, and the fuel that both meter.
    Everything,
}

/// What a comparison found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Calls of exports whose outcomes were compared.
    pub calls: u64,
    /// Whether a resource that engines have different amounts of ran out, so that what came after was not compared.
    pub inconclusive: bool,
    /// Traps of memory that two see in the same function, called in the same way, at different instructions; in words. Where the compiler's optimizer has
    /// rewritten an instruction (an `or` with a constant, say), that has no place any more and counts as part of what stands before it in the machine code; a load which
    /// becomes its operand in memory then fails there, and not at its own place (seed 513232 of `--alone`: `i64.const`, ..., `i64.load`, `i64.or`, at the constant).
    /// It is the same access with the same outcome; nothing is reordered. A load that stands right before the instruction whose operand it becomes is told at its own
    /// place, as long as that instruction has kept its own (`jit/src/tables.rs`).
    pub misplaced: Vec<String>,
    /// The first difference, in words.
    pub difference: Option<String>,
}

/// Compares two observations of the same module.
#[must_use]
pub fn compare(left: &Observation, right: &Observation, strictness: Strictness) -> Comparison {
    let mut comparison = Comparison::default();
    comparison.observations(left, right, strictness);
    comparison
}

impl Comparison {
    fn observations(&mut self, left: &Observation, right: &Observation, strictness: Strictness) {
        if exhausted(&left.instantiation, &right.instantiation) {
            self.inconclusive = true;
            return;
        }
        if is_misplaced(&left.instantiation, &right.instantiation) {
            self.misplace("instantiation", (&left.instantiation, &right.instantiation), strictness);
        } else if !alike(&left.instantiation, &right.instantiation, strictness) {
            return self.differ("instantiation", &left.instantiation, &right.instantiation);
        }
        for (left, right) in left.calls.iter().zip(&right.calls) {
            if exhausted(&left.outcome, &right.outcome) {
                self.inconclusive = true;
                return;
            }
            if !self.call(left, right, strictness) {
                return;
            }
        }
        if left.calls.len() != right.calls.len() {
            return self.differ("number of calls", &left.calls.len(), &right.calls.len());
        }
        if left.host_calls != right.host_calls {
            return self.differ("calls of the host", &left.host_calls, &right.host_calls);
        }
        for (left, right) in left.state.iter().zip(&right.state) {
            if left != right {
                return self.differ(&format!("`{}` at the end", left.0), &left.1, right);
            }
        }
        if left.state.len() != right.state.len() {
            self.differ("number of exports", &left.state.len(), &right.state.len());
        }
    }

    /// Whether two calls are alike.
    fn call(&mut self, left: &Call, right: &Call, strictness: Strictness) -> bool {
        let what = format!("call of `{}` with {:?}", left.name, left.arguments);
        if (&left.name, &left.arguments) != (&right.name, &right.arguments) {
            self.differ(&format!("{what} (the harness's own doing)"), &left.name, &right);
        } else if is_misplaced(&left.outcome, &right.outcome) {
            self.misplace(&what, (&left.outcome, &right.outcome), strictness);
            self.calls += 1;
        } else if !alike(&left.outcome, &right.outcome, strictness) {
            self.differ(&what, &left.outcome, &right.outcome);
        } else if strictness == Strictness::Everything && left.fuel != right.fuel {
            self.differ(&format!("fuel after {what}"), &left.fuel, &right.fuel);
        } else {
            self.calls += u64::from(left.outcome != Outcome::NotCalled);
        }
        self.difference.is_none()
    }

    fn misplace(&mut self, what: &str, (left, right): (&Outcome, &Outcome), strictness: Strictness) {
        if strictness == Strictness::Everything {
            self.misplaced.push(format!("{what}:\n    {left:?}\n    {right:?}"));
        }
    }

    fn differ(&mut self, what: &str, left: &dyn Debug, right: &dyn Debug) {
        self.difference = Some(format!("{what}:\n    {left:?}\n    {right:?}"));
    }
}

fn exhausted(left: &Outcome, right: &Outcome) -> bool {
    is_beyond_limits(left) || is_beyond_limits(right)
}

/// What engines say where a function is more than they execute: the interpreter of a frame, other compilers of their code.
const LIMITS: [&str; 3] = ["too large to execute", "implementation limit", "Code for function is too large"];

/// Whether a call ended at a limit that engines, and tiers of one, have in different places: stacks have an end, and interpreted frames a size.
pub(crate) fn is_beyond_limits(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Exhausted => true,
        Outcome::Refused(why) => LIMITS.iter().any(|limit| why.contains(limit)),
        _ => false,
    }
}

/// Whether both are traps of memory, and only the instruction differs.
fn is_misplaced(left: &Outcome, right: &Outcome) -> bool {
    let (Outcome::Trapped(Trap::MemoryOutOfBounds, left), Outcome::Trapped(Trap::MemoryOutOfBounds, right)) =
        (left, right)
    else {
        return false;
    };
    let ([left, outer_left @ ..], [right, outer_right @ ..]) = (&left[..], &right[..]) else { return false };
    left != right && left.func == right.func && outer_left == outer_right
}

fn alike(left: &Outcome, right: &Outcome, strictness: Strictness) -> bool {
    match (left, right) {
        (Outcome::Trapped(left, _), Outcome::Trapped(right, _)) if strictness == Strictness::Meaning => {
            coarse(*left) == coarse(*right)
        }
        (Outcome::Refused(_), Outcome::Refused(_)) => true,
        _ => left == right,
    }
}

/// Some engines have one trap for an index beyond the table's end, whoever used it, and one for null, whatever its type.
fn coarse(trap: Trap) -> Trap {
    match trap {
        Trap::UndefinedElement => Trap::TableOutOfBounds,
        Trap::NullStructure | Trap::NullArray | Trap::NullI31 | Trap::NullFunction | Trap::NullException => {
            Trap::NullReference
        }
        trap => trap,
    }
}
