//! Binding WASI 0.1 into the engine's linker.
//!
//! One closure per function of the list in [`super::functions`]; it lends the caller's memory to the function and
//! turns what comes back into a result or an end of the guest. Nothing about any single function is said here.

use innkeeper_engine::{Caller, Error, Linker};

use super::context::Context;
use super::errno::Errno;
use super::functions::{Exit, FromWasm, Outcome, Version, for_each_function, for_each_unstable_function};
use super::memory::GuestMemory;

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
            linker.func_wrap(VERSION.module_name(), stringify!($name), move |mut caller: Caller<'_, T>, $($parameter: $type),*| {
                let outcome = with_memory(&mut caller, context, |cx, memory| {
                    super::$module::$name(cx, memory, $(FromWasm::from_wasm($parameter)),*).outcome()
                });
                define!(@result $returns outcome)
            });
        };
        (@result errno $outcome:ident) => { $outcome.map_err(Error::from_host) };
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

/// Runs `call` with the caller's context and memory; an instance without one has an empty memory.
fn with_memory<T: 'static, R>(
    caller: &mut Caller<'_, T>,
    context: impl Fn(&mut T) -> &mut Context,
    call: impl FnOnce(&mut Context, &mut GuestMemory<'_>) -> R,
) -> R {
    if let Some((bytes, data)) = caller.memory_and_data() {
        return call(context(data), &mut GuestMemory::new(bytes));
    }
    call(context(caller.data_mut()), &mut GuestMemory::new(&mut []))
}

/// The result of a function that does not return.
fn ended(outcome: Result<i32, Exit>) -> Result<(), Error> {
    match outcome {
        Err(exit) => Err(Error::from_host(exit)),
        Ok(_) => Err(Error::from_host(Errno::NoSys)),
    }
}
