//! Why the host cannot call into an instance: which calls that are under way lead to it, or that something in it has trapped.
//!
//! Looked for only where a call is refused; a call that is made notes no more than which function it is of.

use std::fmt;

use innkeeper_engine::Error;

use crate::func::Func;
use crate::plan::{ExportDef, Exports, FuncNumber};
use crate::state::{FuncId, Root, State};
use crate::trap::Trap;

/// A call of the host's that was refused.
#[derive(Debug)]
struct Refused {
    trap: Trap,
    why: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.trap, self.why)
    }
}

impl std::error::Error for Refused {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.trap)
    }
}

/// What is told where the host's call of a function was refused.
pub(crate) fn refused(state: &State, func: &Func, trap: Trap) -> Error {
    if trap != Trap::CannotEnter {
        return trap.into();
    }
    let root = &state.roots[func.root.0 as usize];
    let name = name_of(root, func.func);
    let under_way: Vec<String> =
        state.calls.iter().filter_map(|call| call.func).map(|func| name_anywhere(state, func)).collect();
    let is_in_call =
        state.calls.iter().filter_map(|call| call.func).any(|func| root.funcs.contains(&Some(func)));
    let why = if is_in_call {
        let chain = under_way.join(" -> the host -> ");
        let outermost = under_way.first().map_or("the call", String::as_str);
        format!(
            "the host calls `{name}` while a call of the same instance is under way: {chain} -> the host -> {name}; call it when `{outermost}` has returned, or in another instance"
        )
    } else if state.calls.is_empty() {
        format!(
            "something in it has trapped or was given up before, so that `{name}` and all else in it cannot be called any more; make another instance"
        )
    } else {
        format!(
            "the host calls `{name}` in a call of another instance ({}), which has led through this one, or something in this one has trapped before",
            under_way.join(" -> the host -> ")
        )
    };
    Error::from_host(Refused { trap, why })
}

/// What an instance exports a function as.
fn name_of(root: &Root, func: FuncId) -> String {
    let number = root.funcs.iter().position(|known| *known == Some(func));
    let found = number.and_then(|number| find(&root.component.plan().exports, FuncNumber(number as u32), ""));
    found.unwrap_or_else(|| "a function".to_owned())
}

fn name_anywhere(state: &State, func: FuncId) -> String {
    let root = state.roots.iter().find(|root| root.funcs.contains(&Some(func)));
    root.map_or_else(|| "a function".to_owned(), |root| name_of(root, func))
}

fn find(exports: &Exports, number: FuncNumber, prefix: &str) -> Option<String> {
    exports.items.iter().find_map(|(name, item)| match item {
        ExportDef::Func(known, _) if *known == number => Some(format!("{prefix}{name}")),
        ExportDef::Instance(inner) => find(inner, number, &format!("{prefix}{name}#")),
        _ => None,
    })
}
