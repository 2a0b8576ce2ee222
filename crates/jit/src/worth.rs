//! What compiling something would save, by what it costs: what is compiled first, while a guest runs and for later runs.
//!
//! Interpretation is counted in back-edges to a small loop's header, some nanoseconds each; compiling in bytes of body.

use innkeeper_engine::index::DefinedFuncIndex;
use innkeeper_engine::tier::{Called, Hot, ModuleParts};

/// A call costs the interpreter about as much as so many back-edges,
const BRANCHES_OF_CALL: u64 = 8;
/// and one more for so many bytes of the body, of which part is executed.
const BYTES_OF_BRANCH: u64 = 32;
/// Making a body ready to be interpreted costs about two of them a byte, in every run that calls the function.
const BRANCHES_OF_BYTE: u64 = 2;
/// Compiling any function costs about as much as so many bytes of body.
const BYTES_OF_FUNCTION: u64 = 64;
/// Small numbers divided by large ones would not tell much.
const SCALE: u64 = 1 << 16;

/// How much interpretation compiling would have saved since it was asked for, by what it costs.
pub(crate) fn of(module: &ModuleParts, what: &Hot) -> u64 {
    let times = module.code().uses_since_hot(what);
    let branches = match what {
        Hot::Function(_) => BRANCHES_OF_CALL,
        Hot::Loop(_) => u64::from(module.engine().config().tuning.tier_up.back_edges),
    };
    by_cost(times.saturating_mul(branches), module.body_range(function_of(what)).len())
}

/// How much interpreting a function has cost, and what compiling it would have saved of that.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Use {
    pub(crate) func: u32,
    /// What it has cost, in branches.
    pub(crate) branches: u64,
    /// The same by what compiling costs.
    pub(crate) worth: u64,
}

impl From<&Called> for Use {
    fn from(called: &Called) -> Use {
        let Called { func, calls, back_edges, body_bytes } = *called;
        let of_call = BRANCHES_OF_CALL + body_bytes as u64 / BYTES_OF_BRANCH;
        let lowering = BRANCHES_OF_BYTE * body_bytes as u64;
        let branches =
            u64::from(calls).saturating_mul(of_call).saturating_add(back_edges).saturating_add(lowering);
        Use { func: func.0, branches, worth: by_cost(branches, body_bytes) }
    }
}

pub(crate) fn function_of(what: &Hot) -> DefinedFuncIndex {
    match what {
        Hot::Function(func) => *func,
        Hot::Loop(entry) => entry.func,
    }
}

fn by_cost(branches: u64, body_bytes: usize) -> u64 {
    branches.saturating_mul(SCALE) / (body_bytes as u64 + BYTES_OF_FUNCTION)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_that_are_made_ready_for_one_call_each_cost_what_that_takes() {
        let used = |body_bytes| {
            Use::from(&Called { func: DefinedFuncIndex(0), calls: 1, back_edges: 0, body_bytes })
        };
        let of = |used: Use| innkeeper_engine::Lacking { functions: 1, hot: 0, branches: used.branches };
        assert!(of(used(32 << 10)).is_much());
        assert!(!of(used(1 << 10)).is_much());
    }
}
