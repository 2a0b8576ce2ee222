//! What is called in a module: its program, the function that `--invoke` names, or nothing where its start function is the program.

use std::ffi::OsString;

use innkeeper::wasi::p1::Context;
use innkeeper::{Error, ExternType, FuncType, Linker, Module, Store, Val};

use crate::flags::RunArgs;
use crate::input::Input;
use crate::invoke;
use crate::nearest::nearest;
use crate::report::{self, Problem, short};

const START: &str = "_start";
const INITIALIZE: &str = "_initialize";

/// What is called in the instance.
pub(crate) struct Entry {
    /// Whether a reactor is initialized first.
    initialize: bool,
    /// Nothing where the module's start function is the program, which runs when the module is instantiated.
    pub(crate) name: Option<String>,
    params: Vec<Val>,
    results: Vec<Val>,
}

/// Why there is nothing to call.
pub(crate) enum NoEntry {
    /// The module exports no function of the name.
    Missing,
    Problem(Problem),
}

impl From<NoEntry> for Problem {
    fn from(reason: NoEntry) -> Problem {
        match reason {
            NoEntry::Missing => {
                Problem::from_message("the module exports no function of the name that was recorded")
            }
            NoEntry::Problem(problem) => problem,
        }
    }
}

impl Entry {
    /// The function called `invoke`, with `arguments`; without a name, the program's start.
    pub(crate) fn choose(
        invoke: Option<&str>,
        arguments: &[OsString],
        input: &Input,
        module: &Module,
    ) -> Result<Entry, NoEntry> {
        let name = invoke.unwrap_or(START);
        let Some(ty) = function(module, name) else {
            if invoke.is_some() || !is_its_start_function(module) {
                return Err(NoEntry::Missing);
            }
            return Ok(Entry { initialize: false, name: None, params: Vec::new(), results: Vec::new() });
        };
        let params = match invoke {
            Some(name) => invoke::arguments(name, &ty, arguments).map_err(NoEntry::Problem)?,
            None if ty.params().is_empty() && ty.results().is_empty() => Vec::new(),
            None => {
                let reason = format!("its `{START}` has type {ty}, and a program's has () -> ()");
                let problem = Problem::new(&input.name, reason);
                return Err(NoEntry::Problem(problem.help(format!("call it with --invoke {START}"))));
            }
        };
        let is_reactor = function(module, START).is_none() && function(module, INITIALIZE).is_some();
        Ok(Entry {
            initialize: is_reactor && name != INITIALIZE,
            name: Some(name.to_owned()),
            params,
            results: ty.results().iter().map(|ty| Val::zero(*ty)).collect(),
        })
    }

    /// Instantiates the module and calls the function.
    pub(crate) fn call(
        mut self,
        linker: &Linker<Context>,
        store: &mut Store<Context>,
        module: &Module,
    ) -> Result<Vec<Val>, Error> {
        let instance = linker.instantiate(&mut *store, module)?;
        if self.initialize {
            instance.get_typed_func::<(), ()>(&mut *store, INITIALIZE)?.call(&mut *store, ())?;
        }
        if let Some(name) = &self.name
            && let Some(func) = instance.get_func(&mut *store, name)
        {
            func.call(&mut *store, &self.params, &mut self.results)?;
        }
        Ok(self.results)
    }
}

/// Whether a module without `_start` is a program all the same: it has a start function, and nothing says that it is a reactor.
pub(crate) fn is_its_start_function(module: &Module) -> bool {
    let exports = |name| function(module, name).is_some();
    module.has_start_function() && !exports(START) && !exports(INITIALIZE)
}

fn function(module: &Module, name: &str) -> Option<FuncType> {
    module.exports().find(|export| export.name == name).and_then(|export| match export.ty {
        ExternType::Func(ty) => Some(ty),
        _ => None,
    })
}

/// The functions that can be called by name, with their types.
fn callable(module: &Module) -> Vec<(&str, FuncType)> {
    let named = module.exports().filter(|export| export.name != INITIALIZE);
    let functions = named.filter_map(|export| match export.ty {
        ExternType::Func(ty) => Some((export.name, ty)),
        _ => None,
    });
    functions.collect()
}

/// The first few functions with their types, as in `add (i32 i32) -> i32`.
fn listed(callable: &[(&str, FuncType)]) -> String {
    let listed: Vec<String> =
        callable.iter().take(8).map(|(name, ty)| format!("`{}` {ty}", short(name))).collect();
    let more = if callable.len() > listed.len() {
        format!(" and {} more", callable.len() - listed.len())
    } else {
        String::new()
    };
    listed.join(", ") + &more
}

pub(crate) fn no_such_function(args: &RunArgs, input: &Input, module: &Module) -> Problem {
    let callable = callable(module);
    let reason = match args.invoke.first() {
        Some(name) => format!("it exports no function `{}`", short(name)),
        None if function(module, INITIALIZE).is_some() => {
            format!("it exports no `{START}`: it is a reactor, whose functions are called one by one")
        }
        None => format!("it exports no `{START}`, so it is not a program"),
    };
    let problem = Problem::new(&input.name, reason);
    // Without a function there is no command that would be right.
    let problem = if !args.invoke.is_empty() || !callable.is_empty() { problem.mistake() } else { problem };
    if let Some(name) = args.invoke.first()
        && let Some(near) = nearest(name, callable.iter().map(|(name, _)| *name))
    {
        return problem.help(format!(
            "did you mean --invoke {}? It exports {}",
            short(near),
            listed(&callable)
        ));
    }
    match callable.first() {
        None => problem.help("it exports no function at all; `inn inspect` shows what it holds"),
        Some((first, ty)) => {
            let arguments = if ty.params().is_empty() { "" } else { " ARGS..." };
            let file = if args.file() == "-" { "-" } else { &input.name };
            problem.help(format!(
                "call one by name: inn --invoke {} {file}{arguments}; it exports {}",
                short(first),
                listed(&callable)
            ))
        }
    }
}

/// Says so where the start function was the program, and there is more that could have been meant.
pub(crate) fn note_start_function(input: &Input, module: &Module) {
    let callable = callable(module);
    if !callable.is_empty() {
        let text = format!(
            "its start function was run; what it exports is called with --invoke: {}",
            listed(&callable)
        );
        report::note(&Problem::new(&input.name, text));
    }
}
