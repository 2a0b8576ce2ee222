//! Binding WASI 0.1 into the engine's linker.
//!
//! One closure per function of the list in [`super::functions`]; it lends the caller's memory to the function and
//! turns what comes back into a result or an end of the guest. What may wait has a second closure, for calls that can wait without holding a thread. Nothing about any
//! single function is said here.

use std::convert::identity;
use std::sync::Arc;

use innkeeper_engine::{Caller, Error, LentMemory, Linker};

use super::context::Context;
use super::errno::Errno;
use super::exported_memory::exported_memory;
use super::functions::{FromWasm, Outcome, Version, for_each_function, for_each_unstable_function};
#[cfg(feature = "async")]
use super::journal::Journal;
use super::memory::GuestMemory;
#[cfg(feature = "async")]
use super::observe::Watching;
use super::observe::{NoReturn, Watched, watch};
use crate::host::{WaitMode, hold_thread};

/// What a call returns whose wait was interrupted.
const INTERRUPTED: i32 = Errno::Intr as i32;

/// What a call returns that the embedder's own stream, or the system, has failed.
const FAILED: i32 = Errno::Io as i32;

/// Defines every function of both versions of WASI 0.1 in `linker`, under `wasi_snapshot_preview1` and `wasi_unstable`.
///
/// `context` finds the guest's context in the store's data. A guest that exports no memory can call what needs none;
/// everything else is `fault`. `proc_exit` ends the guest with the host error [`super::Exit`].
///
/// With the feature `async`, whatever a guest waits for in a call that can wait (`call_async`, `instantiate_async`) holds no thread, whatever executor polls the call.
/// In other calls it holds the thread that has called.
///
/// # Errors
/// Where the linker has a function of WASI already, and shadowing is not allowed.
pub fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    context: impl Fn(&mut T) -> &mut Context + Copy + Send + Sync + 'static,
) -> Result<(), Error> {
    macro_rules! define {
        ($([$module:ident] $name:ident($($parameter:ident: $type:ident),*) -> $returns:ident;)*) => {
            $(
                let watched = Watched::new(VERSION, stringify!($name));
                define!(@$returns watched $module $name ($($parameter: $type),*));
            )*
        };
        (@errno $watched:ident $module:ident $name:ident ($($parameter:ident: $type:ident),*)) => {
            let call = move |mut caller: Caller<'_, T>, $($parameter: $type),*| {
                define!(@now caller $watched identity $module $name ($($parameter),*))
            };
            linker.func_wrap(VERSION.module_name(), stringify!($name), call)?;
        };
        (@never $watched:ident $module:ident $name:ident ($($parameter:ident: $type:ident),*)) => {
            let call = move |mut caller: Caller<'_, T>, $($parameter: $type),*| {
                ended(define!(@now caller $watched identity $module $name ($($parameter),*)))
            };
            linker.func_wrap(VERSION.module_name(), stringify!($name), call)?;
        };
        (@waits $watched:ident $module:ident $name:ident ($($parameter:ident: $type:ident),*)) => {
            #[cfg(not(feature = "async"))]
            {
                let call = move |mut caller: Caller<'_, T>, $($parameter: $type),*| {
                    define!(@now caller $watched hold_thread $module $name ($($parameter),*))
                };
                linker.func_wrap(VERSION.module_name(), stringify!($name), call)?;
            }
            #[cfg(feature = "async")]
            linker.func_wrap_blocking_or_async(
                VERSION.module_name(),
                stringify!($name),
                move |mut caller: Caller<'_, T>, ($($parameter,)*): ($($type,)*)| {
                    define!(@now caller $watched hold_thread $module $name ($($parameter),*))
                },
                move |mut caller: Caller<'_, T>, ($($parameter,)*): ($($type,)*)| Box::new(async move {
                    define!(@later caller $watched $module $name ($($parameter),*))
                }),
            )?;
        };
        (@now $caller:ident $watched:ident $run:ident $module:ident $name:ident ($($parameter:ident),*)) => {{
            let perform = |cx: &mut Context, memory: &mut GuestMemory<'_>| {
                $run(super::$module::$name(cx, memory, $(FromWasm::from_wasm($parameter)),*)).outcome()
            };
            let (cx, mut memory) = lend(&mut $caller, context, WaitMode::HoldThread);
            let outcome = match (&cx.observers, $watched) {
                (Some(observers), Some(watched)) => {
                    let observers = Arc::clone(observers);
                    let slots = [$(u64::from($parameter.cast_unsigned())),*];
                    watch(&observers, cx, memory, (watched, &slots), perform).map_err(NoReturn::into_error)
                }
                _ => perform(cx, &mut memory).map_err(Error::from_host),
            };
            concluded(&mut $caller, context, outcome)
        }};
        (@later $caller:ident $watched:ident $module:ident $name:ident ($($parameter:ident),*)) => {{
            let (cx, mut memory) = lend(&mut $caller, context, WaitMode::Suspend);
            let outcome = match (cx.observers.clone(), $watched) {
                (Some(observers), Some(watched)) => {
                    let slots = [$(u64::from($parameter.cast_unsigned())),*];
                    let journal = Journal::default();
                    let (watching, mut memory) =
                        Watching::begin(&observers, (cx, memory), (watched, &slots), &journal);
                    match watching.replayed(&mut memory) {
                        Ok(None) => {
                            let done = super::$module::$name(
                                cx, &mut memory, $(FromWasm::from_wasm($parameter)),*
                            );
                            let outcome = done.await.outcome();
                            watching.end((cx, memory), &journal, outcome).map_err(NoReturn::into_error)
                        }
                        Ok(Some(answer)) => {
                            watching.end((cx, memory), &journal, answer).map_err(NoReturn::into_error)
                        }
                        Err(stopped) => Err(stopped.into_error()),
                    }
                }
                _ => {
                    let done =
                        super::$module::$name(cx, &mut memory, $(FromWasm::from_wasm($parameter)),*);
                    done.await.outcome().map_err(Error::from_host)
                }
            };
            concluded(&mut $caller, context, outcome)
        }};
    }
    {
        const VERSION: Version = Version::Preview1;
        for_each_function!(define);
    }
    {
        const VERSION: Version = Version::Unstable;
        for_each_unstable_function!(define);
    }
    Ok(())
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

/// The caller's context and memory, for a call that waits as `waits` says; an instance without a memory has an empty one.
#[inline(always)]
fn lend<'a, T: 'static>(
    caller: &'a mut Caller<'_, T>,
    context: impl Fn(&mut T) -> &mut Context + Copy,
    waits: WaitMode,
) -> (&'a mut Context, GuestMemory<'a>) {
    let (store, data) = caller.interrupt_handle_and_data();
    // Whatever waits in the call ends when the store is to stop.
    context(data).host.serve_store(store, waits);
    let memory = exported_memory(caller, |data| &mut context(data).memories);
    let (memory, data) = caller.lend_memory_and_data(memory);
    let memory = match memory {
        LentMemory::Own(bytes) => GuestMemory::new(bytes),
        LentMemory::Shared(memory) => GuestMemory::shared(memory),
        LentMemory::None => GuestMemory::new(&mut []),
    };
    (context(data), memory)
}

/// What a call returns in the end.
#[inline]
fn concluded<T: 'static>(
    caller: &mut Caller<'_, T>,
    context: impl Fn(&mut T) -> &mut Context + Copy,
    outcome: Result<i32, Error>,
) -> Result<i32, Error> {
    match outcome {
        Ok(FAULT) => note_missing_memory(caller, context),
        // A guest that is being stopped does not see that its call was interrupted, nor that a stream has failed whose owner is stopping it.
        Ok(INTERRUPTED | FAILED) => caller.check_interrupts()?,
        _ => {}
    }
    outcome
}

/// The result of a function that does not return.
fn ended(outcome: Result<i32, Error>) -> Result<(), Error> {
    match outcome {
        Err(error) => Err(error),
        Ok(_) => Err(Error::from_host(Errno::NoSys)),
    }
}

impl NoReturn {
    /// What ends the guest.
    fn into_error(self) -> Error {
        match self {
            NoReturn::Exit(exit) => Error::from_host(exit),
            NoReturn::Replay(error) => Error::from_host(*error),
        }
    }
}
