//! A whole program with its keys, in one call.

use std::borrow::Borrow;

use innkeeper_engine::{Engine, Error, Linker, Module, Store};

use super::context::Context;
use super::link::add_to_linker;
use super::threads::{Threads, uses_threads};
use crate::exit::exit_code;
use crate::keys::Keys;
use crate::stop::Stopper;

/// What a program begins in.
const START: &str = "_start";

/// Runs a program of WASI 0.1 with these keys until it ends, and gives its exit code: 0 where it returns. Its threads end with it.
///
/// What the program has left (files in memory, changes, denials) is gone with its context: [`run_in`] takes one that is the caller's.
/// How long it may run is said by the limits among the keys ([`crate::keys::WasiLimits`]), what it may hold by these and the engine's configuration; whoever wants more of a say (fuel,
/// functions of the host's own) makes the store and the linker as [`add_to_linker`] shows.
///
/// # Errors
/// A key that cannot be honoured ([`crate::keys::KeyError`]), an import that WASI does not have, a limit, a trap.
pub fn run(engine: &Engine, module: &Module, keys: impl Borrow<Keys>) -> Result<i32, Error> {
    run_in(engine, module, &Context::new(keys.borrow())?)
}

/// As [`run`], with keys that are open: the context is that of one guest, and tells afterwards, however the program ended, what was denied to it, what it has changed, and what is in its
/// directories in memory.
///
/// ```
/// # use innkeeper_wasi::{keys::{DirKey, Keys}, p1};
/// # fn run(engine: &innkeeper_engine::Engine, module: &innkeeper_engine::Module) -> Result<(), innkeeper_engine::Error> {
/// let keys = Keys::builder().directory(DirKey::temporary("/out", DirKey::TEMPORARY_BYTES)).build();
/// let context = p1::Context::new(&keys)?;
/// let ended = p1::run_in(engine, module, &context);
/// for denial in context.host().denials() {
///     eprintln!("denied: {denial}");
/// }
/// ended?;
/// if let Some(out) = context.host().kept_directory("/out") {
///     let report = out.read_file("report.txt", 1 << 20)?; // bytes, at most
///     println!("{}", String::from_utf8_lossy(&report));
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`run`], except for keys.
pub fn run_in(engine: &Engine, module: &Module, context: &Context) -> Result<i32, Error> {
    let mut linker = Linker::new(engine);
    add_to_linker(&mut linker, |context: &mut Context| context)?;
    let budget = context.host().budget();
    budget.restrict_as_engine(engine);
    let mut store = Store::with_budget(engine, context.clone(), budget)?;
    let start = |linker: &Linker<Context>, store: &mut Store<Context>| {
        let instance = linker.instantiate(&mut *store, module)?;
        instance.get_typed_func::<(), ()>(&*store, START)?.call(store, ())
    };
    let limits = context.host().limits();
    let has_threads = uses_threads(module);
    let result = if has_threads || limits.wall_time.is_some() || limits.processor_time.is_some() {
        let stopper = Stopper::new()?;
        stopper.add_store(store.interrupt_handle());
        context.host().set_interrupt(stopper.interrupt());
        let _watch = stopper.watch(limits).map_err(Error::from_host)?;
        if has_threads {
            let data = context.clone();
            let threads = Threads::new(linker, module, (context, &stopper), move || data.clone())?;
            let result = start(threads.linker(), &mut store);
            threads.finish(result)
        } else {
            start(&linker, &mut store)
        }
    } else {
        start(&linker, &mut store)
    };
    context.close_descriptors();
    match result {
        Ok(()) => Ok(0),
        Err(error) => exit_code(&error).ok_or(error),
    }
}
