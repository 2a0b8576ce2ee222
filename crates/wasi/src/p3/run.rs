//! A program of WASI 0.3.

use std::borrow::Borrow;

use innkeeper_component::{Component, Func, Instance, Linker, Val};
use innkeeper_engine::{AsContextMut, Engine, Error};

use super::link::add_to_linker;
use crate::exit::exit_code;
use crate::keys::Keys;
use crate::p2::{self, Context};

/// What a program exports, of whichever version of WASI 0.3.
pub const RUN: &str = "wasi:cli/run@0.3.0#run";

/// Runs a program, a component that exports `wasi:cli/run` of WASI 0.3 or of 0.2, with these keys until it ends, and gives its exit code: as [`p2::run`], with the interfaces of both.
///
/// # Errors
/// As there.
pub fn run(engine: &Engine, component: &Component, keys: impl Borrow<Keys>) -> Result<i32, Error> {
    let context = Context::new(keys.borrow())?;
    let mut linker = Linker::new(engine);
    p2::add_to_linker(&mut linker, |context: &mut Context| context)?;
    add_to_linker(&mut linker, |context: &mut Context| context)?;
    linker.define_unknown_imports_as_traps(component)?;
    let mut store = p2::store(engine, context)?;
    let result =
        linker.instantiate(&mut store, component).and_then(|instance| call_run(&mut store, instance));
    store.data_mut().close_handles();
    result.or_else(|error| exit_code(&error).ok_or(error))
}

/// Calls `run` of a program that was instantiated: that of WASI 0.3, where it exports both, and else that of WASI 0.2. Gives the exit code, once what the program has begun has ended as well.
///
/// # Errors
/// Where the component exports no such function; a trap; [`crate::Exit`] where the guest ends itself.
pub fn call_run(mut store: impl AsContextMut, instance: Instance) -> Result<i32, Error> {
    let mut store = store.as_context_mut();
    let Some(run) = run_of(&mut store, instance) else { return p2::call_run(store, instance) };
    let mut results = [Val::Bool(false)];
    run.call_to_end(&mut store, &[], &mut results)?;
    Ok(code(&results))
}

/// As [`call_run`], and whatever the program waits for holds no thread, whatever executor polls.
///
/// # Errors
/// As [`call_run`].
#[cfg(feature = "async")]
pub async fn call_run_async<T: Send + 'static>(
    mut store: impl AsContextMut<Data = T>,
    instance: Instance,
) -> Result<i32, Error> {
    let mut store = store.as_context_mut();
    let Some(run) = run_of(&mut store, instance) else { return p2::call_run_async(store, instance).await };
    let mut results = [Val::Bool(false)];
    run.call_to_end_async(&mut store, &[], &mut results).await?;
    Ok(code(&results))
}

/// The function that a program is.
fn run_of(store: impl AsContextMut, instance: Instance) -> Option<Func> {
    instance.get_func(store, RUN)
}

/// 0 where `run` has returned success.
fn code(results: &[Val]) -> i32 {
    i32::from(!matches!(results, [Val::Result(Ok(_))]))
}

/// Whether a component imports anything of WASI 0.3, so that [`super::add_to_linker`] is of use to it.
#[must_use]
pub fn is_used_by(component: &Component) -> bool {
    component.imports().any(|import| import.path.first().is_some_and(|name| is_of_0_3(name)))
}

fn is_of_0_3(name: &str) -> bool {
    name.starts_with("wasi:") && name.split_once('@').is_some_and(|(_, version)| version.starts_with("0.3."))
}
