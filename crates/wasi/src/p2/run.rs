//! A whole program with its keys, in one call.

use std::borrow::Borrow;

use innkeeper_component::{Component, Instance, Linker, TypedFunc};
use innkeeper_engine::{AsContextMut, Engine, Error, ErrorKind, Store, StoreContextMut};

use super::context::Context;
use super::link::add_to_linker;
use crate::exit::exit_code;
use crate::keys::Keys;

/// What a program exports, of whichever version of WASI 0.2.
pub const RUN: &str = "wasi:cli/run@0.2.0#run";

/// Runs a program, a component that exports `wasi:cli/run` of WASI 0.2, with these keys until it ends, and gives its exit code: 0 where `run` returns success, and 1 where it does not.
///
/// How long it may run is said by the limits among the keys ([`crate::keys::WasiLimits`]), what it may hold by these and the engine's configuration; whoever wants more of a say (fuel, functions of the host's own) makes the
/// store and the linker as [`add_to_linker`] shows. Functions that the program imports and WASI does not have fail when they are called.
///
/// # Errors
/// A key that cannot be honoured ([`crate::keys::KeyError`]), a component that is no program, a limit, a trap.
pub fn run(engine: &Engine, component: &Component, keys: impl Borrow<Keys>) -> Result<i32, Error> {
    let context = Context::new(keys.borrow())?;
    let mut linker = Linker::new(engine);
    add_to_linker(&mut linker, |context: &mut Context| context)?;
    linker.define_unknown_imports_as_traps(component)?;
    let mut store = store(engine, context)?;
    let result =
        linker.instantiate(&mut store, component).and_then(|instance| call_run(&mut store, instance));
    store.data_mut().close_handles();
    result.or_else(|error| exit_code(&error).ok_or(error))
}

/// The store of a program, with the limits among its keys and those of the engine's configuration.
pub(crate) fn store(engine: &Engine, context: Context) -> Result<Store<Context>, Error> {
    let (budget, limits) = (context.host().budget().clone(), context.host().limits().clone());
    budget.restrict_as_engine(engine);
    let mut store = Store::with_budget(engine, context, &budget)?;
    store.set_deadline(limits.wall_time)?;
    store.set_processor_time(limits.processor_time);
    Ok(store)
}

/// Calls `run` of a program that was instantiated; gives the exit code.
///
/// # Errors
/// Where the component exports no such function; a trap; [`crate::Exit`] where the guest ends itself.
pub fn call_run(mut store: impl AsContextMut, instance: Instance) -> Result<i32, Error> {
    let mut store = store.as_context_mut();
    let run = run_of(&mut store, instance)?;
    Ok(i32::from(run.call(&mut store, ())?.is_err()))
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
    let run = run_of(&mut store, instance)?;
    Ok(i32::from(run.call_async(&mut store, ()).await?.is_err()))
}

/// The function that a program is.
fn run_of<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    instance: Instance,
) -> Result<TypedFunc<(), Result<(), ()>>, Error> {
    let Some(run) = instance.get_func(&mut *store, RUN) else {
        return Err(Error::new(ErrorKind::Link(String::from(
            "the component exports no `wasi:cli/run` of WASI 0.2, so it is not a program",
        ))));
    };
    run.typed(store)
}
