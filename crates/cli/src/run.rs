//! `inn run`: a guest's life from file to exit code.

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use innkeeper::wasi::keys::{Keys, WasiLimits};
use innkeeper::wasi::observe::RecordHeader;
use innkeeper::wasi::p1::threads::uses_threads;
use innkeeper::wasi::p1::{Context, Exit};
use innkeeper::wasi::stop::TimeLimit;
use innkeeper::{Cache, Error, ErrorKind, Metering, NanBits, Precompiled, Trap};

use crate::deadline::Deadline;
use crate::entry::{Entry, NoEntry, no_such_function, note_start_function};
use crate::flags::{CompileAfter, RunArgs};
use crate::guest::{Ending, Execution, Guest, Ran};
use crate::input::Input;
use crate::misplaced::note_flags_of_inn;
use crate::output::{self, Output};
use crate::profile::ModuleHash;
use crate::recorded::RecordedSettings;
use crate::report::{self, Explain, Problem, visible};
use crate::values::ProfileFlag;
use crate::wording::{self, Wording};
use crate::writable::Writable;
use crate::{
    background, cache, changes, component, invoke, invoked, keys, makers, observers, perf, profile, runtimes,
};

/// The exit code after a trap: what a shell reports for a process that aborted.
pub(crate) const TRAP_EXIT_CODE: u8 = 134;

/// Runs what the command line names.
pub(crate) fn run(args: &RunArgs) -> Result<ExitCode, Problem> {
    run_guest(args, (Usage::Ignored, Instant::now(), None), |_, _| {})
}

/// Runs what the command line names, noting what the guest makes use of, and shows its keys and context to `then` when it has ended. Its time began at
/// `begin`; `writable` knows what else is written.
pub(crate) fn run_and_then(
    args: &RunArgs,
    (begin, writable): (Instant, Writable),
    then: impl FnOnce(&Keys, &Context),
) -> Result<ExitCode, Problem> {
    run_guest(args, (Usage::Noted, begin, Some(writable)), then)
}

/// Whether what a guest makes use of is noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Usage {
    Ignored,
    Noted,
}

fn run_guest(
    args: &RunArgs,
    (usage, begin, writable): (Usage, Instant, Option<Writable>),
    then: impl FnOnce(&Keys, &Context),
) -> Result<ExitCode, Problem> {
    if args.reports.trace_file.is_some() && args.reports.trace.is_empty() {
        let problem = Problem::new("--trace-file", "nothing is traced that could go there");
        return Err(problem.help("add --trace, --trace=json or --trace=summary").mistake());
    }
    // A policy can come from a pipe that nobody writes to.
    let reading = args.keys.policy.as_ref().map(|policy| {
        Deadline::watch(&keys::limits_of_flags(args), begin, visible(&policy.to_string_lossy()))
    });
    let reading = reading.transpose()?;
    let mut keys = keys::keys(args)?;
    drop(reading);
    let deadline = Deadline::watch(&keys.limits, begin, visible(&args.file().to_string_lossy()))?;
    let mut writable = writable.unwrap_or_else(|| Writable::of(&keys, args));
    if let Some(policy) = &args.keys.policy {
        // What has been opened before is the policy that is learned, which may extend this one.
        writable.also_reads(policy.as_os_str());
    }
    writable.check_inputs(&keys, args.cache.as_ref())?;
    if let Some(policy) = &args.keys.policy {
        writable.warn_of_input(policy, "the policy");
    }
    writable.warn_of_program();
    // Bits of NaNs may differ between tiers, and what the guest does with them between a run and its replay.
    let is_repeatable = args.keys.deterministic.is_some() || args.reports.record.is_some();
    let nan_bits = if is_repeatable { NanBits::Canonical } else { NanBits::AsComputed };
    let mut execution = Execution::new(&keys.limits, nan_bits);
    execution.tiers = args.tier.into();
    if let Some(features) = args.features {
        execution.config.features = features.0;
    }
    if args.keys.limits.fuel.is_some() {
        execution.config.metering = Metering::Fuel;
    }
    let (cache, reason) = cache::choose(args.cache.as_ref(), &keys)?;
    execution.cache = cache;
    if let Some(reason) = reason.filter(|_| args.reports.explain) {
        report::note(&reason);
    }
    if args.reports.profile == Some(ProfileFlag::Perf) {
        perf::write_map()?;
    }
    let mut input = read(args, &mut execution, &writable)?;
    if input.is_component() {
        if !args.invoke.is_empty() {
            return invoked::run(args, &input, execution, (&keys, &deadline));
        }
        return Err(component::not_run(&input, &innkeeper::engine(execution.config)));
    }
    note_flags_of_inn(args);
    let cache = execution.cache.clone();
    // Before the module takes the bytes.
    let header = args.reports.record.as_ref().map(|_| {
        let settings = RecordedSettings::of(execution.config.features, keys.limits.memory_bytes, args);
        record_header(args, &input, &settings)
    });
    let is_profiled = matches!(args.reports.profile, Some(ProfileFlag::File(_)));
    let profiled_hash = is_profiled.then(|| ModuleHash::of(&input.bytes));
    let mut guest = Guest::new(&mut input, execution)?;
    guest.is_profiled = is_profiled;
    guest.fuel = args.keys.limits.fuel;
    guest.wording = Wording::of(args, &keys);
    if guest.fuel.is_some() && uses_threads(&guest.module) {
        let reason = "it may start threads, and fuel is counted in one thread only";
        return Err(Problem::new(&input.name, reason).help("bound it with --max-cpu or --timeout").mistake());
    }
    if header.is_some() && uses_threads(&guest.module) {
        return Err(Problem::new(
            &input.name,
            "it may start threads, and calls of several threads have no order that could be replayed",
        )
        .help("run it without --record"));
    }
    let entry =
        Entry::choose(invoked_name(args)?, args.guest_args(), &input, &guest.module).map_err(|problem| {
            match problem {
                // Who made the module for another host looks for `_start` in vain, too.
                NoEntry::Missing => makers::missing_imports(&input.name, &guest.module)
                    .unwrap_or_else(|| no_such_function(args, &input, &guest.module)),
                NoEntry::Problem(problem) => problem,
            }
        })?;
    // Whatever is written is opened before the guest can have a say in what stands there.
    output::open_streams(&mut keys, &writable)?;
    let files = observers::Files::open(&args.reports, &writable)?;
    let core_dump = args.reports.coredump.as_ref().map(|path| Output::open(path, &writable)).transpose()?;
    guest.core_dump.set(core_dump);
    let changes = changes::Wishes::prepare(&args.reports.cow_changes, &writable)?;
    let profiled = match &args.reports.profile {
        Some(ProfileFlag::File(path)) => Some(profile::Files::open(path, &writable)?),
        _ => None,
    };
    let header = || header.unwrap_or_else(|| RecordHeader::new("", &[]));
    let observers = observers::observers(&args.reports, &files, header)?;
    // Without directories, sockets are where every guest looks for them.
    let has_directories = !keys.directories.is_empty();
    let prepare = |context: Context| {
        if usage == Usage::Noted {
            context.host().learn_usage();
        }
        if !args.reports.trace.is_empty() && has_directories {
            report::sockets(&context);
        }
        changes.check(context.host())?;
        Ok(context)
    };
    let by_start_function = entry.name.is_none();
    let mut ran = guest.run(&input, entry, (&keys, &deadline), prepare, observers)?;
    let dumped = std::mem::replace(&mut ran.dumped, Ok(()));
    let lacking = guest.module.keep_code();
    // Whatever comes of the rest, which may go to a pipe that nobody reads while the deadline's last second runs.
    let profiled = match (&ran.profile, profiled, profiled_hash) {
        (Some(profile), Some(files), Some(hash)) => {
            profile::write(profile, files, (&input.name, &guest.module, hash))
        }
        _ => Ok(()),
    };
    let bounds = (&keys.limits, guest.fuel);
    // What a policy is learned from has to say what the policy lacks.
    let told = match (usage, args.reports.explain) {
        (_, true) => Explain::Asked,
        (Usage::Ignored, false) if ran.ending.is_success() => Explain::Success,
        _ => Explain::Failure,
    };
    let code = report_ending(&ran, told, args, (&input, &guest), (&deadline, bounds));
    if by_start_function && matches!(ran.ending, Ending::Returned(_)) {
        note_start_function(&input, &guest.module);
    }
    let observed = observers::finish(&args.reports, &files, &ran.context, &ran.ending.in_words());
    // Whatever has failed, what the guest has changed is not lost for it.
    let mut problems: Vec<Problem> =
        [observed, profiled, dumped].into_iter().filter_map(Result::err).collect();
    if deadline.has_passed() && !args.reports.cow_changes.is_empty() {
        let problem = Problem::new("--cow-changes", "nothing was done with them: the deadline has passed");
        let problem = problem.help("give it more time");
        // A guest that was stopped has an exit code that says so.
        if ran.ending.is_success() { problems.push(problem) } else { report::problem(&problem) }
    } else {
        // Whoever has ended the guest wants what it has changed; whoever comes later wants this to end.
        let is_interrupted = || ran.signal.exit_code().is_some();
        let was_interrupted = is_interrupted();
        let stop = || deadline.has_passed() || !was_interrupted && is_interrupted();
        problems.extend(changes.carry_out(ran.context.host(), &stop));
    }
    drop(deadline);
    then(&keys, &ran.context);
    let code = all_told(code, problems)?;
    // Whoever interrupts a run wants it to be over.
    let is_wanted = args.compile_after == CompileAfter::Auto && !matches!(ran.ending, Ending::Interrupted);
    if is_wanted && !is_repeatable {
        background::leave_behind(lacking, input.source, &cache);
    }
    Ok(code)
}

/// Tells of all that has failed but the last, which is the answer, as it would be alone.
fn all_told(code: Result<ExitCode, Problem>, mut problems: Vec<Problem>) -> Result<ExitCode, Problem> {
    let code = code.map_err(|problem| problems.insert(0, problem));
    let last = problems.pop();
    problems.iter().for_each(report::problem);
    match (last, code) {
        (None, Ok(code)) => Ok(code),
        (Some(problem), _) => Err(problem),
        // It was among the problems.
        (None, Err(())) => Ok(ExitCode::FAILURE),
    }
}

/// Reads the guest's file: a module, or one with machine code where that is allowed.
fn read(args: &RunArgs, execution: &mut Execution, writable: &Writable) -> Result<Input, Problem> {
    if !Input::is_precompiled(args.file()) {
        return Input::read(args.file());
    }
    let name = visible(&args.file().to_string_lossy());
    if !args.allow_precompiled {
        return Err(Problem::new(&name, "it was compiled ahead of time, and its machine code can do whatever inn can").help(
            "if you trust the file, run it with --allow-precompiled; otherwise run the .wasm that it was made from",
        ));
    }
    writable.warn_of_input(Path::new(args.file()), "the machine code");
    let mut precompiled = Precompiled::open_trusted(Path::new(args.file()), &execution.config)
        .map_err(|error| Problem::new(&name, error).help("make it again with `inn compile`"))?;
    let input = Input { name, bytes: precompiled.take_module(), source: None, text: None };
    execution.cache = Cache::of_precompiled(precompiled);
    Ok(input)
}

/// The function that `--invoke` names, of which a module has one called.
fn invoked_name(args: &RunArgs) -> Result<Option<&str>, Problem> {
    match args.invoke.as_slice() {
        [] => Ok(None),
        [name] => Ok(Some(name)),
        [_, second, ..] => Err(Problem::new(
            format!("--invoke {second}"),
            "of a module one function is called; several calls are made in a component",
        )
        .help("run it once for each")
        .mistake()),
    }
}

fn record_header(args: &RunArgs, input: &Input, settings: &RecordedSettings) -> RecordHeader {
    let path = std::path::absolute(args.file()).unwrap_or_else(|_| args.file().into());
    let mut header = RecordHeader::new(path.to_string_lossy(), &input.bytes);
    header.settings = settings.to_words();
    if let Some(name) = args.invoke.first() {
        header.invoke.push(name.clone());
        header
            .invoke
            .extend(args.guest_args().iter().map(|argument| argument.to_string_lossy().into_owned()));
    }
    header
}

impl Ending {
    /// Whether the guest itself has said that all is well.
    fn is_success(&self) -> bool {
        matches!(self, Ending::Returned(_) | Ending::Exited(Exit(0)))
    }
}

/// Says which limit a trap was, and its value.
pub(crate) fn tell_of_limit(
    trap: Option<Trap>,
    deadline: &Deadline,
    (limits, fuel): (&WasiLimits, Option<u64>),
    wording: &Wording,
) {
    let time = |name, limit: Option<Duration>| limit.map(|limit| wording.stopped(name, limit));
    let line = match (trap, deadline.passed()) {
        (Some(Trap::DeadlineExceeded), Some(TimeLimit::Wall)) => time(wording::WALL, limits.wall_time),
        (Some(Trap::DeadlineExceeded), Some(TimeLimit::Processor)) => {
            time(wording::PROCESSOR, limits.processor_time)
        }
        (Some(Trap::OutOfFuel), _) => {
            fuel.map(|fuel| format!("the guest was stopped: --fuel is {fuel} units"))
        }
        (Some(Trap::CallStackExhausted), _) => Some(wording::deep_calls()),
        _ => None,
    };
    if let Some(line) = line {
        report::limit(&line);
    }
}

/// Tells what there is to tell, and gives the process's exit code.
fn report_ending(
    ran: &Ran,
    told: Explain,
    args: &RunArgs,
    (input, guest): (&Input, &Guest),
    (deadline, limits): (&Deadline, (&WasiLimits, Option<u64>)),
) -> Result<ExitCode, Problem> {
    let code = match &ran.ending {
        Ending::Returned(results) => {
            let lines: String = results.iter().map(|value| invoke::result(value) + "\n").collect();
            report::output(&lines)?;
            ExitCode::SUCCESS
        }
        Ending::Exited(Exit(code)) => ExitCode::from(system_code(*code)),
        Ending::Trapped(error) => {
            report::stopped(error);
            tell_of_limit(error.trap(), deadline, limits, &guest.wording);
            ExitCode::from(TRAP_EXIT_CODE)
        }
        Ending::Threw(error, thrown) => {
            report::threw(error, thrown);
            ExitCode::from(TRAP_EXIT_CODE)
        }
        Ending::Interrupted => ExitCode::from(ran.signal.exit_code().unwrap_or(TRAP_EXIT_CODE)),
        Ending::Unreplayed(error) | Ending::Failed(error) => {
            report::problem(&not_started(input, guest, error));
            ExitCode::FAILURE
        }
    };
    let is_over = matches!(ran.ending, Ending::Failed(_) | Ending::Interrupted);
    if !is_over {
        report::explain(&ran.context, told, &guest.wording);
    }
    let has_failed = !ran.ending.is_success() && !is_over;
    if has_failed && let Some(text) = runtimes::missing_library(ran.context.host(), args.file()) {
        report::note(&Problem::new(&input.name, text));
    }
    Ok(code)
}

fn not_started(input: &Input, guest: &Guest, error: &Error) -> Problem {
    let problem = Problem::new(&input.name, error);
    match error.kind() {
        ErrorKind::Link(_) => {
            makers::missing_imports(&input.name, &guest.module).unwrap_or(problem).help_if_none("inn provides wasi_snapshot_preview1 and wasi_unstable; `inn inspect` lists what the module wants")
        }
        ErrorKind::Limit(text) => match guest.wording.memory_limit_in(text) {
            Some(text) => Problem::new(&input.name, text)
                .help("if the host can hold it, raise --max-memory; or build the guest to need less"),
            None => problem.help("build the guest to need less"),
        },
        _ => problem,
    }
}

/// What the system is told of a guest's exit code: of every process it keeps the low 8 bits. A guest that failed does not pass for one that succeeded by that.
fn system_code(code: u32) -> u8 {
    match (code & 0xff) as u8 {
        0 if code != 0 => 1,
        low => low,
    }
}
