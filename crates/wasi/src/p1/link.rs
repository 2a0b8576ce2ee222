//! Binding WASI 0.1 into the engine's linker.
//!
//! One closure per function of the list in [`super::functions`]; it lends the caller's memory to the function and
//! turns what comes back into a result or an end of the guest. Nothing about any single function is said here.

use std::sync::Arc;

use innkeeper_engine::{Caller, Error, Linker};

use super::context::Context;
use super::errno::Errno;
use super::exported_memory::exported_memory;
use super::functions::{FromWasm, Outcome, Version, for_each_function, for_each_unstable_function};
use super::memory::GuestMemory;
use super::observe::{NoReturn, Watched, watch};

/// What a call returns whose wait was interrupted.
const INTERRUPTED: i32 = Errno::Intr as i32;

/// Defines every function of both versions of WASI 0.1 in `linker`, under `wasi_snapshot_preview1` and `wasi_unstable`.
///
/// `context` finds the guest's context in the store's data. A guest that exports no memory can call what needs none;
/// everything else is `fault`. `proc_exit` ends the guest with the host error [`Exit`].
pub fn add_to_linker<T: 'static>(
    linker: &mut Linker<T>,
    context: impl Fn(&mut T) -> &mut Context + Copy + Send + Sync + 'static,
) {
    macro_rules! define {
        ($([$module:ident] $name:ident($($parameter:ident: $type:ident),*) -> $returns:ident;)*) => {
            $(define!(@one $module $name ($($parameter: $type),*) $returns);)*
        };
        (@one $module:ident $name:ident ($($parameter:ident: $type:ident),*) $returns:ident) => {
            let watched = Watched::new(VERSION, stringify!($name));
            linker.func_wrap(VERSION.module_name(), stringify!($name), move |mut caller: Caller<'_, T>, $($parameter: $type),*| {
                let perform = |cx: &mut Context, memory: &mut GuestMemory<'_>| {
                    super::$module::$name(cx, memory, $(FromWasm::from_wasm($parameter)),*).outcome()
                };
                let outcome = with_memory(&mut caller, context, |cx, mut memory| match (&cx.observers, watched) {
                    (Some(observers), Some(watched)) => {
                        let observers = Arc::clone(observers);
                        let slots = [$(u64::from($parameter.cast_unsigned())),*];
                        watch(&observers, cx, memory, (watched, &slots), perform).map_err(Error::from)
                    }
                    _ => perform(cx, &mut memory).map_err(Error::from_host),
                });
                if matches!(outcome, Ok(FAULT)) {
                    note_missing_memory(&mut caller, context);
                }
                if matches!(outcome, Ok(INTERRUPTED)) {
                    // A guest that is being stopped does not see that its call was interrupted.
                    caller.check_interrupts()?;
                }
                define!(@result $returns outcome)
            });
        };
        (@result errno $outcome:ident) => { $outcome };
        (@result never $outcome:ident) => { ended($outcome) };
    }
    {
        const VERSION: Version = Version::Preview1;
        for_each_function!(define);
    }
    {
        const VERSION: Version = Version::Unstable;
        for_each_unstable_function!(define);
    }
}

/// What a call returns whose pointers do not lie in memory.
const FAULT: i32 = Errno::Fault as i32;

/// Notes that a call failed because the guest has no memory for it, if that is why.
#[cold]
fn note_missing_memory<T: 'static>(
    caller: &mut Caller<'_, T>,
    context: impl Fn(&mut T) -> &mut Context + Copy,
) {
    if exported_memory(caller, |data| &mut context(data).memories).is_none() {
        context(caller.data_mut()).notes.missing_memory();
    }
}

/// Runs `call` with the caller's context and memory; an instance without one has an empty memory.
fn with_memory<T: 'static, R>(
    caller: &mut Caller<'_, T>,
    context: impl Fn(&mut T) -> &mut Context + Copy,
    call: impl FnOnce(&mut Context, GuestMemory<'_>) -> R,
) -> R {
    let (store, data) = caller.interrupt_handle_and_data();
    // Whatever waits in the call ends when the store is to stop.
    context(data).host.serve_store(store);
    let Some(memory) = exported_memory(caller, |data| &mut context(data).memories) else {
        return call(context(caller.data_mut()), GuestMemory::new(&mut []));
    };
    if let Some((bytes, data)) = caller.memory_and_data(memory) {
        return call(context(data), GuestMemory::new(bytes));
    }
    if let Some((memory, data)) = caller.shared_memory_and_data(memory) {
        return call(context(data), GuestMemory::shared(memory));
    }
    call(context(caller.data_mut()), GuestMemory::new(&mut []))
}

/// The result of a function that does not return.
fn ended(outcome: Result<i32, Error>) -> Result<(), Error> {
    match outcome {
        Err(error) => Err(error),
        Ok(_) => Err(Error::from_host(Errno::NoSys)),
    }
}

impl From<NoReturn> for Error {
    fn from(stopped: NoReturn) -> Error {
        match stopped {
            NoReturn::Exit(exit) => Error::from_host(exit),
            NoReturn::Replay(error) => Error::from_host(*error),
        }
    }
}
