//! Components, which `inn` does not run yet: says what one lacks.

use std::fmt::Write as _;

use innkeeper::Engine;
use innkeeper::component::Component;

use crate::call::{Exported, exported, listed};
use crate::input::Input;
use crate::report::{Problem, short};

/// Whether it is what a program is run by.
fn is_run(function: &Exported) -> bool {
    let interface = function.interface.as_deref().unwrap_or_default();
    function.name == "run" && interface.split('@').next() == Some("wasi:cli/run")
}

/// Interfaces that are told by name.
const MAX_TOLD: usize = 20;

/// Why a component is not run: which of its imports nobody provides.
pub(crate) fn not_run(input: &Input, engine: &Engine) -> Problem {
    const MEND: &str =
        "build the program for wasm32-wasip1; `inn inspect` says all that the component imports and exports";
    let component = match Component::new(engine, input.bytes.as_slice()) {
        Ok(component) => component,
        Err(error) => return input.problem(&error),
    };
    let functions = exported(&component);
    if !functions.iter().any(is_run) {
        let reason = "it exports no `wasi:cli/run`, so it is not a program";
        let problem = Problem::new(&input.name, reason);
        return match functions.first() {
            None => problem.help("it exports no function at all; `inn inspect` shows what it holds"),
            Some(first) => problem.mistake().help(format!(
                "call a function by name: inn --invoke '{}({})' {}; it exports {}",
                short(&first.name),
                if first.ty.params().len() == 0 { "" } else { "..." },
                input.name,
                listed(&functions)
            )),
        };
    }
    let mut wanted: Vec<(String, Vec<String>)> = Vec::new();
    for import in component.imports().filter(|import| !import.is_optional) {
        let Some((name, functions)) = import.path.split_first() else { continue };
        let function = functions.iter().map(|name| short(name)).collect::<Vec<_>>().join("#");
        match wanted.iter_mut().find(|(known, _)| **known == **name) {
            Some((_, known)) => known.push(function),
            None => wanted.push((name.to_string(), vec![function])),
        }
    }
    if wanted.is_empty() {
        return Problem::new(&input.name, "a component, which inn does not run yet").help(MEND);
    }
    let mut reason = String::from("a component, which inn does not run yet: nobody provides what it imports");
    for (name, functions) in wanted.iter().take(MAX_TOLD) {
        // Writing to a string does not fail.
        let _ = write!(reason, "\n  {}: {}", short(name), functions.join(", "));
    }
    if let Some(more) = wanted.len().checked_sub(MAX_TOLD).filter(|more| *more > 0) {
        let _ = write!(reason, "\n  and {more} more");
    }
    Problem::of_lines(&input.name, reason).help(MEND)
}
