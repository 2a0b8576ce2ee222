//! `inn run`: a guest's life from file to exit code.

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use innkeeper::wasi::host::Host;
use innkeeper::wasi::keys::Keys;
use innkeeper::wasi::observe::RecordHeader;
use innkeeper::wasi::p1::Context;
use innkeeper::wasi::p1::threads::uses_threads;
use innkeeper::{Cache, Error, ErrorKind, Metering, NanBits, Precompiled, PrecompiledError};

use crate::deadline::Deadline;
use crate::ended::{Ended, Usage, all_told};
use crate::entry::{Entry, NoEntry, no_such_function, note_start_function};
use crate::flags::{CompileAfter, RunArgs};
use crate::guest::{Ending, Execution, Guest};
use crate::input::Input;
use crate::misplaced::note_flags_of_inn;
use crate::output::{self, Output};
use crate::profile::ModuleHash;
use crate::program_names::ProgramNames;
use crate::recorded::RecordedSettings;
use crate::report::{self, Problem, visible};
use crate::unused::{note_listeners_of_component, note_network_of_module};
use crate::values::ProfileFlag;
use crate::wording::Wording;
use crate::writable::Writable;
use crate::{background, cache, changes, component, keys, makers, observers, perf, profile};

/// Runs what the command line names.
pub(crate) fn run(args: &RunArgs) -> Result<ExitCode, Problem> {
    run_guest(args, (Usage::Ignored, Instant::now(), None), |_, _| {})
}

/// Runs what the command line names, noting what the guest makes use of, and shows its keys and context to `then` when it has ended. Its time began at
/// `begin`; `writable` knows what else is written.
pub(crate) fn run_and_then(
    args: &RunArgs,
    (begin, writable): (Instant, Writable),
    then: impl FnOnce(&Keys, &Host),
) -> Result<ExitCode, Problem> {
    run_guest(args, (Usage::Noted, begin, Some(writable)), then)
}

fn run_guest(
    args: &RunArgs,
    (usage, begin, writable): (Usage, Instant, Option<Writable>),
    then: impl FnOnce(&Keys, &Host),
) -> Result<ExitCode, Problem> {
    if args.reports.trace_file.is_some() && args.reports.trace.is_empty() {
        let problem = Problem::new("--trace-file", "nothing is traced that could go there");
        return Err(problem.help("add --trace, --trace=json or --trace=summary").mistake());
    }
    // A policy can come from a pipe that nobody writes to.
    let reading = args.keys.grants.policy.as_ref().map(|policy| {
        Deadline::watch(&keys::limits_of_flags(args), begin, visible(&policy.to_string_lossy()))
    });
    let reading = reading.transpose()?;
    let mut keys = keys::keys(args)?;
    drop(reading);
    let deadline = Deadline::watch(&keys.limits, begin, visible(&args.file().to_string_lossy()))?;
    let mut writable = writable.unwrap_or_else(|| Writable::of(&keys, args));
    if let Some(policy) = &args.keys.grants.policy {
        // What has been opened before is the policy that is learned, which may extend this one.
        writable.also_reads(policy.as_os_str());
    }
    writable.check_inputs(&keys, args.cache.as_ref())?;
    if let Some(policy) = &args.keys.grants.policy {
        writable.warn_of_input(policy, "the policy");
    }
    writable.warn_of_program();
    // Bits of NaNs may differ between tiers, and what the guest does with them between a run and its replay.
    let is_repeatable = args.keys.grants.deterministic.is_some() || args.reports.record.is_some();
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
        note_flags_of_inn(args);
        note_listeners_of_component(args);
        let run = component::Run { args, input, execution, keys, deadline, writable, usage };
        return run.carry_out(then);
    }
    if let Some(plug) = args.plug.first() {
        let plug = visible(&plug.to_string_lossy());
        let reason = format!("`{}` is a module, and only components take plugs", input.name);
        return Err(Problem::new(format!("--plug {plug}"), reason).help("run it without --plug").mistake());
    }
    note_flags_of_inn(args);
    note_network_of_module(args);
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
    let observers = observers::of_module(&args.reports, &files, header)?;
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
            let names = ProgramNames::of_module(&guest.module);
            profile::write(profile, files, (&input.name, &names, hash))
        }
        _ => Ok(()),
    };
    let bounds = (&keys.limits, guest.fuel);
    let ended = Ended {
        ending: &ran.ending,
        host: ran.context.host(),
        signal: &ran.signal,
        explanations: ran.context.explain(),
        has_sockets: !ran.context.explain_sockets().is_empty(),
        may_lack_library: true,
    };
    let told = ended.told(usage, args.reports.explain);
    let not_started = |error: &Error| not_started(&input, &guest, error);
    let code = ended.report((args, told), (&input.name, &guest.wording), (&deadline, bounds), not_started);
    if by_start_function && matches!(ran.ending, Ending::Returned(_)) {
        note_start_function(&input, &guest.module);
    }
    let observed = ran.context.observers().map_or(Ok(()), |observers| {
        observers::finish(&args.reports, &files, observers, &ran.ending.in_words())
    });
    // Whatever has failed, what the guest has changed is not lost for it.
    let mut problems: Vec<Problem> =
        [observed, profiled, dumped].into_iter().filter_map(Result::err).collect();
    problems.extend(ended.carry_out_changes(changes, args, &deadline));
    drop(deadline);
    then(&keys, ran.context.host());
    let code = all_told(code, problems)?;
    // Whoever interrupts a run wants it to be over.
    let is_wanted = args.compile_after == CompileAfter::Auto && !matches!(ran.ending, Ending::Interrupted);
    if is_wanted && !is_repeatable {
        background::leave_behind([(lacking, input.source)], &cache);
    }
    Ok(code)
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
        .map_err(|error| unusable(&name, error))?;
    let input = Input { name, bytes: precompiled.take_module(), source: None, text: None };
    execution.cache = Cache::of_precompiled(precompiled);
    Ok(input)
}

/// Says why a file that was compiled ahead of time cannot be used.
fn unusable(name: &str, error: PrecompiledError) -> Problem {
    let help = if error.is_of_settings() {
        "it runs without --fuel, --deterministic, --record and --features; with them, run the .wasm that it was made from"
    } else {
        "make it again with `inn compile`"
    };
    Problem::new(name, error).help(help)
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

/// What a record of a run is of.
pub(crate) fn record_header(args: &RunArgs, input: &Input, settings: &RecordedSettings) -> RecordHeader {
    let path = std::path::absolute(args.file()).unwrap_or_else(|_| args.file().into());
    let mut header = RecordHeader::new(path.to_string_lossy(), &input.bytes);
    header.settings = settings.to_words();
    header.invoke.clone_from(&args.invoke);
    if let [_] = args.invoke.as_slice() {
        header
            .invoke
            .extend(args.guest_args().iter().map(|argument| argument.to_string_lossy().into_owned()));
    }
    header
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
