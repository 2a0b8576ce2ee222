//! `inn run` of a component: a program, which exports `wasi:cli/run` of WASI 0.2 or 0.3, or one of which functions are invoked, from its bytes to its end.
//!
//! What a component imports and nobody provides fails when it is called, and not before: programs import more than they use. Where that ends one, all that nobody
//! provides is told.

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;

use innkeeper::component::{Component, Instance, Linker};
use innkeeper::wasi::host::Host;
use innkeeper::wasi::keys::Keys;
use innkeeper::wasi::observe::{RecordHeader, ReplayError};
use innkeeper::wasi::p1::Explanation;
use innkeeper::wasi::p2::{Context, Observers, is_trap};
use innkeeper::wasi::p3;
use innkeeper::wasi::stop::{StopReason, Stopper};
use innkeeper::wasi::{Exit, exit_code};
use innkeeper::{Engine, Error, ErrorKind, Profile, Store, Trap};

use crate::call::{Call, Called, Exported, Session, exported, listed};
use crate::component_reports::Reports;
use crate::deadline::Deadline;
use crate::ended::{Ended, Usage, all_told};
use crate::flags::{CompileAfter, ReportFlags, RunArgs};
use crate::guest::{Ending, Execution, note_pipe};
use crate::input::Input;
use crate::interfaces::add_used;
use crate::plug::Plug;
use crate::profile::ModuleHash;
use crate::recorded::RecordedSettings;
use crate::report::{self, Problem, short};
use crate::run::record_header;
use crate::serve::answers_requests;
use crate::signals::{self, Came};
use crate::values::ProfileFlag;
use crate::wording::Wording;
use crate::writable::Writable;
use crate::{background, changes, observers, output};

/// A run of a component that is about to begin.
pub(crate) struct Run<'a> {
    pub(crate) args: &'a RunArgs,
    pub(crate) input: Input,
    pub(crate) execution: Execution,
    pub(crate) keys: Keys,
    pub(crate) deadline: Deadline,
    pub(crate) writable: Writable,
    pub(crate) usage: Usage,
}

/// What is left of a component that has ended.
struct Ran {
    ending: Ending,
    host: Host,
    signal: Came,
    /// Why it was not called further.
    problem: Option<Problem>,
    /// Where it spent its time, if that was asked for.
    profile: Option<Profile>,
    /// Whether a core dump that was to be written has been.
    dumped: Result<(), Problem>,
}

/// A component with those that are plugged in, and what nobody provides of what it imports, in words.
struct Linked<'a> {
    component: &'a Component,
    plugs: &'a [Plug],
    linker: Linker<Context>,
    missing: Option<String>,
}

impl Run<'_> {
    /// Runs the component, tells of its end, and shows its keys and host to `then`.
    pub(crate) fn carry_out(mut self, then: impl FnOnce(&Keys, &Host)) -> Result<ExitCode, Problem> {
        let args = self.args;
        self.refuse_flags()?;
        let Execution { config, tiers, cache } = self.execution;
        // Before the component takes the bytes.
        let header = args.reports.record.as_ref().map(|_| {
            let settings = RecordedSettings {
                calls: args.invoke.len(),
                ..RecordedSettings::of(config.features, self.keys.limits.memory_bytes, args)
            };
            record_header(args, &self.input, &settings)
        });
        let is_profiled = matches!(args.reports.profile, Some(ProfileFlag::File(_)));
        let profiled_hash = is_profiled.then(|| ModuleHash::of(&self.input.bytes));
        let engine = innkeeper::engine_cached(config, tiers, cache.clone());
        let component = self.input.component(&engine)?;
        let calls = Call::all(&args.invoke, args.guest_args())?;
        let functions = exported(&component);
        if calls.is_empty() && !functions.iter().any(is_run) {
            return Err(not_a_program(&self.input.name, &functions));
        }
        // Before any file is made that is written for the user.
        Call::check_all(&calls, &functions)?;
        let plugs = Plug::all(args, &engine, &self.writable)?;
        Plug::refuse_unused(&plugs, &component)?;
        refuse_observing(&args.reports, &component, &plugs)?;
        let mut linked =
            Linked::new(&engine, &component, &plugs).map_err(|error| self.input.problem(&error))?;
        // Whatever is written is opened before the guest can have a say in what stands there.
        output::open_streams(&mut self.keys, &self.writable)?;
        let files = observers::Files::open(&args.reports, &self.writable)?;
        let header = || header.unwrap_or_else(|| RecordHeader::new("", &[]));
        let observers = Arc::new(observers::of_component(&args.reports, &files, header)?);
        let mut reports = Reports::open(&args.reports, &self.writable)?;
        let changes = changes::Wishes::prepare(&args.reports.cow_changes, &self.writable)?;
        let wording = Wording::of(args, &self.keys);
        note_pipe(&self.keys, &self.deadline);
        let context = Context::new(&self.keys).map_err(|error| wording.cannot_be_granted(&error))?;
        if self.usage == Usage::Noted {
            context.host().learn_usage();
        }
        changes.check(context.host())?;
        let guest = (&mut linked, &*calls, &observers);
        let how = (&engine, self.deadline.start_guest(), args.keys.limits.fuel);
        let told = (&mut reports, &*self.input.name);
        let mut ran = run(guest, (context, told), how).map_err(|reason| reason.told(&self.input))?;
        let lacking = component.keep_code();
        let dumped = std::mem::replace(&mut ran.dumped, Ok(()));
        let hashed = (&*self.input.name, profiled_hash);
        let profiled = reports.write_profile(ran.profile.as_ref(), hashed, (&component, &plugs));
        let ended = Ended {
            ending: &ran.ending,
            host: &ran.host,
            signal: &ran.signal,
            explanations: ran.host.explain().into_iter().map(Explanation::Host).collect(),
            has_sockets: false,
            // What makes components of interpreters puts their library into them.
            may_lack_library: false,
        };
        let told = ended.told(self.usage, args.reports.explain);
        let not_started = |error: &Error| not_started(&self.input.name, &wording, error);
        let limits = (&self.keys.limits, args.keys.limits.fuel);
        let code =
            ended.report((args, told), (&self.input.name, &wording), (&self.deadline, limits), not_started);
        if let Ending::Trapped(error) = &ran.ending
            && matches!(error.kind(), ErrorKind::Usage(_))
        {
            linked.tell_what_is_missing(&self.input.name);
        }
        let observed = observers::finish(&args.reports, &files, &*observers, &ran.ending.in_words());
        // Whatever has failed, what the guest has changed is not lost for it.
        let mut problems: Vec<Problem> =
            [observed, profiled, dumped].into_iter().filter_map(Result::err).collect();
        problems.extend(ended.carry_out_changes(changes, args, &self.deadline));
        problems.extend(ran.problem);
        drop(self.deadline);
        then(&self.keys, &ran.host);
        let code = all_told(code, problems)?;
        drop(linked);
        // Whoever interrupts a run wants it to be over.
        let is_wanted =
            args.compile_after == CompileAfter::Auto && !matches!(ran.ending, Ending::Interrupted);
        let is_repeatable = args.keys.grants.deterministic.is_some() || args.reports.record.is_some();
        if is_wanted && !is_repeatable {
            let of_plugs = plugs.into_iter().map(|plug| (plug.component.keep_code(), plug.source));
            let all = std::iter::once((lacking, self.input.source)).chain(of_plugs);
            background::leave_behind(all, &cache);
        }
        Ok(code)
    }

    /// Refuses what cannot be done with several components.
    fn refuse_flags(&self) -> Result<(), Problem> {
        let reports = &self.args.reports;
        if reports.record.is_some() && !self.args.plug.is_empty() {
            let reason = "a record is of one component, and others are plugged into this one";
            return Err(Problem::new("--record", reason)
                .help("make one component of them, `inn compose`, and record that")
                .mistake());
        }
        Ok(())
    }
}

/// Refuses to watch calls that nobody would be told of.
fn refuse_observing(reports: &ReportFlags, component: &Component, plugs: &[Plug]) -> Result<(), Problem> {
    let flag = match (&reports.record, reports.trace.is_empty()) {
        (Some(_), _) => "--record",
        (None, false) => "--trace",
        (None, true) => return Ok(()),
    };
    if p3::is_used_by(component) || plugs.iter().any(|plug| p3::is_used_by(&plug.component)) {
        let reason = "the program uses WASI 0.3, whose calls are neither traced nor recorded yet";
        return Err(Problem::new(flag, reason).help(format!("run it without {flag}")).mistake());
    }
    Ok(())
}

/// A component that is replayed: what was called of it.
pub(crate) struct Replayed<'a> {
    pub(crate) settings: &'a RecordedSettings,
    /// The calls of `--invoke`, with the arguments after FILE where there was one.
    pub(crate) invoke: &'a [String],
}

impl Replayed<'_> {
    /// Runs the component again, without access to anything, while a record answers what it calls.
    pub(crate) fn run(
        &self,
        input: &mut Input,
        execution: Execution,
        (keys, observers): (&Keys, &Arc<Observers>),
    ) -> Result<Ending, Problem> {
        let Execution { config, tiers, cache } = execution;
        let engine = innkeeper::engine_cached(config, tiers, cache);
        let component = input.component(&engine)?;
        let calls = self.settings.calls.min(self.invoke.len());
        let words: Vec<OsString> = self.invoke[calls..].iter().map(OsString::from).collect();
        let calls = Call::all(&self.invoke[..calls], &words)?;
        let mut linked = Linked::new(&engine, &component, &[]).map_err(|error| input.problem(&error))?;
        let context = Context::new(keys).map_err(|error| Problem::new(&input.name, error))?;
        let deadline = Deadline::none()?;
        let how = (&engine, deadline.start_guest(), self.settings.fuel);
        let ran = run((&mut linked, &*calls, observers), (context, (&mut Reports::default(), "")), how)
            .map_err(|reason| reason.told(input))?;
        match ran.problem {
            None => Ok(ran.ending),
            Some(problem) => Err(problem),
        }
    }
}

impl<'a> Linked<'a> {
    fn new(engine: &Engine, component: &'a Component, plugs: &'a [Plug]) -> Result<Linked<'a>, Error> {
        let mut linker = Linker::new(engine);
        let plugged = plugs.iter().map(|plug| &plug.component);
        add_used(&mut linker, std::iter::once(component).chain(plugged))?;
        Ok(Linked { component, plugs, linker, missing: None })
    }

    /// Makes the instance: of what the component imports, plugs have the first word, then WASI 0.2 and 0.3; what is not there gets a function that fails.
    fn instantiate(&mut self, store: &mut Store<Context>) -> Result<Instance, Error> {
        for plug in self.plugs {
            plug.plug_in(&mut self.linker, store)?;
        }
        self.missing = self.linker.instantiate_pre(self.component).err().map(|error| error.to_string());
        if self.missing.is_some() {
            self.linker.define_unknown_imports_as_traps(self.component)?;
        }
        self.linker.instantiate(store, self.component)
    }

    /// Says all that nobody provides, where that is why the guest was stopped.
    fn tell_what_is_missing(&self, name: &str) {
        if let Some(missing) = &self.missing {
            report::note(&Problem::of_lines(name, missing));
        }
    }
}

/// Why a guest was not run.
enum NotRun {
    Problem(Problem),
    Error(Error),
}

impl NotRun {
    fn told(self, input: &Input) -> Problem {
        match self {
            NotRun::Problem(problem) => problem,
            NotRun::Error(error) => input.problem(&error),
        }
    }
}

impl From<Error> for NotRun {
    fn from(error: Error) -> NotRun {
        NotRun::Error(error)
    }
}

impl From<Problem> for NotRun {
    fn from(problem: Problem) -> NotRun {
        NotRun::Problem(problem)
    }
}

fn run(
    (linked, calls, observers): (&mut Linked<'_>, &[Call<'_>], &Arc<Observers>),
    (context, (reports, name)): (Context, (&mut Reports, &str)),
    (engine, stopper, fuel): (&Engine, &Stopper, Option<u64>),
) -> Result<Ran, NotRun> {
    let host = context.host().clone();
    host.set_interrupt(stopper.interrupt());
    let signal = signals::stop_on_signals(stopper)?;
    signals::stop_where_nobody_reads(&host, stopper, &signal);
    engine.charge_compiling_to(host.budget());
    let mut store = Store::with_budget(engine, context, host.budget())?;
    stopper.add_store(store.interrupt_handle());
    if let Some(fuel) = fuel {
        store.set_fuel(fuel)?;
    }
    observers.watch(&mut store);
    let sampler = reports.start(&mut store)?;
    let (ending, problem) = match linked.instantiate(&mut store) {
        Ok(instance) if !calls.is_empty() => invoke(&mut store, (instance, linked.component), calls),
        Ok(instance) => match p3::call_run(&mut store, instance) {
            Ok(code) => (Ending::Exited(Exit(code.cast_unsigned())), None),
            Err(error) => (ending_of(error, |_| true), None),
        },
        Err(error) => (ending_of(error, is_trap), None),
    };
    drop(sampler);
    let interrupted = stopper.stopped() == Some(StopReason::Interrupt) && signal.exit_code().is_some();
    let ending = match ending {
        Ending::Trapped(error) if interrupted && error.trap() == Some(Trap::Interrupted) => {
            Ending::Interrupted
        }
        ending => ending,
    };
    // Whatever is written now needs descriptors, and the guest may have left none.
    store.data_mut().close_handles();
    let profile = store.take_profile();
    let dumped = reports.dump(name, (&ending, &store));
    if stopper.stopped().is_some() {
        // Whoever stopped it does not wait until all that it made has been taken apart; the process ends soon.
        std::mem::forget(store);
    }
    Ok(Ran { ending, host, signal, problem, profile, dumped })
}

/// Makes the calls of `--invoke` in an instance, and prints their results.
fn invoke(
    store: &mut Store<Context>,
    (instance, component): (Instance, &Component),
    calls: &[Call<'_>],
) -> (Ending, Option<Problem>) {
    let mut session = Session::new(instance, exported(component));
    let mut made = || -> Result<(), Called> {
        for call in calls {
            if let Some(result) = session.call(&mut *store, call)? {
                report::output(&(result + "\n"))?;
            }
        }
        Ok(())
    };
    // Nothing else is printed of a guest that has returned.
    let returned = || Ending::Returned(Vec::new());
    match made() {
        Ok(()) => match session.finish(store) {
            Ok(()) => (returned(), None),
            Err(error) => (ending_of(error, is_trap), None),
        },
        Err(Called::Problem(problem)) => (returned(), Some(problem)),
        Err(Called::Failed { call, error }) => match ending_of(error, is_trap) {
            Ending::Failed(error) => (returned(), Some(Problem::new(call, error))),
            ending => (ending, None),
        },
    }
}

/// How a guest has ended by an error.
fn ending_of(error: Error, is_trap: impl Fn(&Error) -> bool) -> Ending {
    match exit_code(&error) {
        Some(code) => Ending::Exited(Exit(code.cast_unsigned())),
        None if error.is::<ReplayError>() => Ending::Unreplayed(error),
        None if is_trap(&error) => Ending::Trapped(error),
        None => Ending::Failed(error),
    }
}

fn not_started(name: &str, wording: &Wording, error: &Error) -> Problem {
    let problem = Problem::new(name, error);
    match error.kind() {
        ErrorKind::Link(_) => {
            Problem::of_lines(name, error).help("`inn inspect` lists what the component wants")
        }
        ErrorKind::Limit(text) => match wording.memory_limit_in(text) {
            Some(text) => Problem::new(name, text)
                .help("if the host can hold it, raise --max-memory; or build the guest to need less"),
            None => problem.help("build the guest to need less"),
        },
        _ => problem,
    }
}

/// Whether it is what a program is run by.
fn is_run(function: &Exported) -> bool {
    let interface = function.interface.as_deref().unwrap_or_default();
    function.name == "run"
        && ["wasi:cli/run@0.2.", "wasi:cli/run@0.3."].iter().any(|run| interface.starts_with(run))
}

fn not_a_program(name: &str, functions: &[Exported]) -> Problem {
    let is_later = |function: &&Exported| {
        function.interface.as_deref().is_some_and(|interface| interface.starts_with("wasi:cli/run@"))
    };
    if let Some(interface) = functions.iter().find(is_later).and_then(|found| found.interface.as_deref()) {
        let reason = format!("it is a program of another version of WASI: it exports `{}`", short(interface));
        return Problem::new(name, reason)
            .help("build it for WASI 0.2 or 0.3, as for the target wasm32-wasip2");
    }
    if functions.iter().any(answers_requests) {
        let reason = "it answers requests of HTTP, and is no program that runs once";
        return Problem::new(name, reason).help(format!("serve it: inn serve {name}")).mistake();
    }
    let problem = Problem::new(name, "it exports no `wasi:cli/run`, so it is not a program");
    match functions.first() {
        None => problem.help("it exports no function at all; `inn inspect` shows what it holds"),
        Some(first) => problem.mistake().help(format!(
            "call a function by name: inn --invoke '{}({})' {name}; it exports {}",
            short(&first.name),
            if first.ty.params().len() == 0 { "" } else { "..." },
            listed(functions)
        )),
    }
}
