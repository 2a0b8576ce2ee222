//! A guest from module to ending: what running, replaying and learning have in common.

use std::cell::Cell;
use std::os::unix::fs::FileTypeExt;

use innkeeper::wasi::host::Interrupt;
use innkeeper::wasi::keys::{Keys, StdinKey, WasiLimits};
use innkeeper::wasi::observe::{ReplayError, STOPPED};
use innkeeper::wasi::p1::threads::{Threads, uses_threads};
use innkeeper::wasi::p1::{self, Context, Exit, Observers};
use innkeeper::wasi::stop::StopReason;
use innkeeper::{
    BudgetKind, Cache, Config, Engine, Error, ErrorKind, Linker, Module, NanBits, Profile, Store, Tiers,
    Trap, Val,
};

use crate::deadline::Deadline;
use crate::entry::Entry;
use crate::input::Input;
use crate::output::Output;
use crate::profile::Sampler;
use crate::report::{Problem, short};
use crate::signals::{self, Came};
use crate::wording::Wording;

/// A module that is ready to run.
pub(crate) struct Guest {
    pub(crate) module: Module,
    engine: Engine,
    /// Whether samples of its stack are taken.
    pub(crate) is_profiled: bool,
    /// What it may use up, where that is counted.
    pub(crate) fuel: Option<u64>,
    /// How its keys were granted.
    pub(crate) wording: Wording,
    /// Where a core dump goes, if it traps.
    pub(crate) core_dump: Cell<Option<Output>>,
}

/// What executes a guest, and how.
pub(crate) struct Execution {
    pub(crate) config: Config,
    pub(crate) tiers: Tiers,
    pub(crate) cache: Cache,
}

impl Execution {
    /// With the usual tiers and without a cache.
    pub(crate) fn new(limits: &WasiLimits, nan_bits: NanBits) -> Execution {
        let mut config = Config { nan_bits, ..Config::default() };
        config.limits.memory_bytes = limits.memory_bytes;
        Execution { config, tiers: Tiers::default(), cache: Cache::off() }
    }
}

/// How a guest ended.
pub(crate) enum Ending {
    /// The function returned these.
    Returned(Vec<Val>),
    /// The guest ended itself.
    Exited(Exit),
    /// It was stopped by a trap.
    Trapped(Error),
    /// It threw an exception that nothing caught: how, and what was thrown, in words.
    Threw(Error, String),
    /// Somebody stopped it.
    Interrupted,
    /// It cannot be replayed further: it did something else than the record says, the record cannot be read, or it was stopped there.
    Unreplayed(Error),
    /// It could not be started or continued.
    Failed(Error),
}

/// A run that is over.
pub(crate) struct Ran {
    pub(crate) ending: Ending,
    pub(crate) context: Context,
    /// The signal that ended it, if one did.
    pub(crate) signal: Came,
    /// Where it spent its time, if that was asked for.
    pub(crate) profile: Option<Profile>,
    /// Whether a core dump that was to be written has been.
    pub(crate) dumped: Result<(), Problem>,
}

impl Guest {
    /// Decodes and validates a module for an engine of its own.
    pub(crate) fn new(input: &mut Input, execution: Execution) -> Result<Guest, Problem> {
        let Execution { config, tiers, cache } = execution;
        let engine = innkeeper::engine_cached(config, tiers, cache);
        let module = input.module(&engine)?;
        Ok(Guest {
            module,
            engine,
            is_profiled: false,
            fuel: None,
            wording: Wording::default(),
            core_dump: Cell::default(),
        })
    }

    /// Runs `entry` with these keys until its end or the deadline, watched by these observers.
    pub(crate) fn run(
        &self,
        input: &Input,
        entry: Entry,
        (keys, deadline): (&Keys, &Deadline),
        prepare: impl FnOnce(Context) -> Result<Context, Problem>,
        observers: Observers,
    ) -> Result<Ran, Problem> {
        note_pipe(keys, deadline);
        let context = prepare(Context::new(keys).map_err(|error| self.wording.cannot_be_granted(&error))?)?
            .observed(observers);
        let stopper = deadline.start_guest();
        let interrupt: Interrupt = stopper.interrupt();
        context.host().set_interrupt(interrupt);
        let signal = signals::stop_on_signals(stopper)?;
        signals::stop_where_nobody_reads(context.host(), stopper, &signal);
        let mut linker = Linker::new(&self.engine);
        p1::add_to_linker(&mut linker, |context: &mut Context| context)
            .map_err(|error| input.problem(&error))?;
        let budget = context.host().budget();
        self.engine.charge_compiling_to(budget);
        // What the module's decoding has left stays as long as the guest, and is none of what it asks for later.
        let module_charge = budget.hold(BudgetKind::Module, self.module.held_bytes());
        let _module_charge = module_charge.map_err(|exceeded| input.problem(&exceeded.into()))?;
        let mut store = Store::with_budget(&self.engine, context.clone(), budget)
            .map_err(|error| input.problem(&error))?;
        stopper.add_store(store.interrupt_handle());
        if let Some(fuel) = self.fuel {
            store.set_fuel(fuel).map_err(|error| input.problem(&error))?;
        }
        let sampler = match self.is_profiled {
            true => {
                store.start_profile();
                Some(Sampler::start(store.interrupt_handle())?)
            }
            false => None,
        };
        let result = if uses_threads(&self.module) {
            let data = context.clone();
            let threads = Threads::new(linker, &self.module, (&context, stopper), move || data.clone())
                .map_err(|error| input.problem(&error))?;
            let result = entry.call(threads.linker(), &mut store, &self.module);
            threads.finish(result)
        } else {
            entry.call(&linker, &mut store, &self.module)
        };
        drop(sampler);
        // Whatever is written now needs descriptors, and the guest may have left none.
        context.close_descriptors();
        let interrupted = stopper.stopped() == Some(StopReason::Interrupt) && signal.exit_code().is_some();
        let ending = match Ending::of(result, &mut store) {
            Ending::Trapped(error) if interrupted && error.trap() == Some(Trap::Interrupted) => {
                Ending::Interrupted
            }
            ending => ending,
        };
        let profile = store.take_profile();
        let dumped = self.dump_core(&input.name, &ending, &store);
        if stopper.stopped().is_some() {
            // Whoever stopped it does not wait until all that it made has been taken apart; the process ends soon.
            std::mem::forget(store);
        }
        Ok(Ran { ending, context, signal, profile, dumped })
    }
}

/// Names the pipe that standard input is, if it is one, which waits for its other end when it is opened.
pub(crate) fn note_pipe(keys: &Keys, deadline: &Deadline) {
    if let StdinKey::File(path) = &keys.stdin
        && path.metadata().is_ok_and(|found| found.file_type().is_fifo())
    {
        deadline.opens_pipe(path);
    }
}

impl Guest {
    /// Writes a core dump, if one is wanted and the guest has not ended by itself.
    fn dump_core(&self, name: &str, ending: &Ending, store: &Store<Context>) -> Result<(), Problem> {
        match (ending, self.core_dump.take()) {
            (Ending::Trapped(error) | Ending::Threw(error, _), Some(output)) => {
                output.write(|to| store.write_core_dump(error, name, to))
            }
            _ => Ok(()),
        }
    }
}

impl Ending {
    fn of(result: Result<Vec<Val>, Error>, store: &mut Store<Context>) -> Ending {
        match result {
            Ok(results) => Ending::Returned(results),
            Err(error) => match error.downcast_ref::<Exit>() {
                Some(exit) => Ending::Exited(*exit),
                None if error.trap().is_some() => Ending::Trapped(error),
                None if matches!(error.kind(), ErrorKind::Exception(_)) => {
                    let thrown = thrown(&error, store);
                    Ending::Threw(error, thrown)
                }
                None if error.downcast_ref::<ReplayError>().is_some() => Ending::Unreplayed(error),
                None => Ending::Failed(error),
            },
        }
    }

    /// The ending in words, as records have it. A guest that was stopped from outside could have gone on.
    pub(crate) fn in_words(&self) -> String {
        match self {
            Ending::Returned(results) => {
                let results: Vec<String> = results.iter().map(crate::invoke::result).collect();
                format!("returned {}", results.join(" ")).trim_end().to_owned()
            }
            Ending::Exited(Exit(code)) => format!("exited with {code}"),
            Ending::Interrupted => String::from(STOPPED),
            Ending::Threw(_, thrown) => format!("threw an exception that nothing caught: {thrown}"),
            Ending::Trapped(error)
                if matches!(error.trap(), Some(Trap::DeadlineExceeded | Trap::Interrupted)) =>
            {
                String::from(STOPPED)
            }
            Ending::Trapped(error) | Ending::Unreplayed(error) | Ending::Failed(error) => error.to_string(),
        }
    }
}

/// An exception's tag and values, as in `tag $e (i32 i64) with 1 2`. Threads other than the first have stores of their own, which nobody can look into here.
fn thrown(error: &Error, store: &mut Store<Context>) -> String {
    let ErrorKind::Exception(exception) = error.kind() else { return String::new() };
    let describe = |store: &mut Store<Context>| -> Result<String, Error> {
        let tag = exception.tag(store)?;
        let (name, ty) = (tag.name(&*store)?, tag.ty(&*store)?);
        let types: Vec<String> = ty.params().iter().map(ToString::to_string).collect();
        let values = exception.values(&mut *store)?;
        let values: String =
            values.iter().map(|value| format!(" {}", crate::invoke::result(value))).collect();
        let name =
            name.map_or_else(|| String::from("tag without a name"), |name| format!("tag `{}`", short(&name)));
        let with = if values.is_empty() { "" } else { " with" };
        Ok(format!("{name} ({}){with}{values}", types.join(" ")))
    };
    describe(store).unwrap_or_else(|_| String::from("it was thrown on another thread"))
}
