//! `inn replay`: a recorded run again, with nothing but the record.
//!
//! The guest's output is printed as it was, wherever it went when it was recorded; what there is to say of the replay itself goes to standard error.
//! A record that cannot be read is blamed itself, by the byte; of the guest nothing is said then.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, BufReader};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, ValueHint};
use innkeeper::wasi::keys::Keys;
use innkeeper::wasi::observe::{ComponentReplayer, OpenedRecord, RecordError, ReplayError, Replayer};
use innkeeper::wasi::{p1, p2};
use innkeeper::{Metering, NanBits};

use crate::component::Replayed;
use crate::deadline::Deadline;
use crate::entry::Entry;
use crate::guest::{Ending, Execution, Guest};
use crate::handed_over::HandedStream;
use crate::input::Input;
use crate::recorded::RecordedSettings;
use crate::report::{self, Problem, visible};
use crate::work::WorkFlags;
use crate::writable::Writable;
use crate::{absent, cache, foreign, invoke, keys};

#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// The record, as `inn --record` wrote it
    #[arg(value_name = "RECORD", value_hint = ValueHint::FilePath)]
    pub(crate) record: OsString,
    /// The module or component, if it is no longer where it was
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) file: Option<OsString>,

    #[command(flatten)]
    pub(crate) work: WorkFlags,
}

/// Runs what the record is of, and says whether it did the same.
pub(crate) fn replay(args: &ReplayArgs) -> Result<ExitCode, Problem> {
    args.work.watch()?;
    let name = args.record.to_string_lossy();
    let hidden = cache::out_of_sight(None);
    for path in [Some(&args.record), args.file.as_ref()].into_iter().flatten() {
        keys::require_in_sight(Path::new(path), &hidden)?;
    }
    // What the guest wrote is written again.
    Writable::by_no_guest([]).require_streams_in_sight(&HandedStream::WRITTEN)?;
    let file = File::open(&args.record).map_err(|error| absent::unopened(&args.record, "record", &error))?;
    let record = OpenedRecord::new(Box::new(BufReader::new(file)))
        .map_err(|error| foreign_record(args, &name, &error))?;
    let header = record.header().clone();
    let settings = RecordedSettings::from_words(&header.settings).map_err(|word| {
        let reason = format!("it was recorded with a setting that this inn does not know: {word}");
        Problem::new(&name, reason).help("replay it with the inn that recorded it, or record the run again")
    })?;
    let mut input = match &args.file {
        Some(path) => Input::read(path)?,
        // Whoever made the record has chosen this path: what is no file is not waited for.
        None => Input::read_regular_file(OsStr::new(&header.module))?,
    };
    if !header.is_of(&input.bytes) {
        let kind = if input.is_component() { "component" } else { "module" };
        return Err(Problem::new(&input.name, format!("the {kind} is not the one that was recorded"))
            .help(format!("name the right one: inn replay {name} FILE")));
    }
    let mut keys = Keys::default();
    keys.limits.memory_bytes = settings.memory_bytes;
    let mut execution = Execution::new(&keys.limits, NanBits::Canonical);
    execution.config.features = settings.features;
    if settings.fuel.is_some() {
        execution.config.metering = Metering::Fuel;
    }
    let replayed = Replayed { settings: &settings, invoke: &header.invoke };
    match input.is_component() {
        true => replay_component(record, replayed, (&name, &mut input), (&keys, execution)),
        false => replay_module(record, replayed, (&name, &mut input), (&keys, execution)),
    }
}

fn replay_module(
    record: OpenedRecord,
    replayed: Replayed<'_>,
    (name, input): (&str, &mut Input),
    (keys, execution): (&Keys, Execution),
) -> Result<ExitCode, Problem> {
    let mut guest = Guest::new(input, execution)?;
    guest.fuel = replayed.settings.fuel;
    let arguments: Vec<OsString> = replayed.invoke.iter().skip(1).map(OsString::from).collect();
    let function = replayed.invoke.first().map(String::as_str);
    let entry = Entry::choose(function, &arguments, input, &guest.module)?;
    let mut replayer = Replayer::of(record);
    if let Err(error) = replayer.go_on() {
        return unreplayed(&error, (name, input));
    }
    let streams = p1::ReplayedStreams::new(Box::new(io::stdout()), Box::new(io::stderr()));
    let observers = p1::Observers::none().replayer(replayer, streams);
    let ran = guest.run(input, entry, (keys, &Deadline::none()?), Ok, observers)?;
    let observers = ran.context.observers();
    let finish = |words: &str| observers.map_or(Ok(0), |observers| observers.finish_replay(words));
    let code = verdict(&ran.ending, finish, (name, input))?;
    told(observers.map_or(Ok(()), p1::Observers::finish_replayed_output), code)
}

fn replay_component(
    record: OpenedRecord,
    replayed: Replayed<'_>,
    (name, input): (&str, &mut Input),
    (keys, execution): (&Keys, Execution),
) -> Result<ExitCode, Problem> {
    let mut replayer = ComponentReplayer::new(record);
    if let Err(error) = replayer.go_on() {
        return unreplayed(&error, (name, input));
    }
    let streams = p2::ReplayedStreams::new(Box::new(io::stdout()), Box::new(io::stderr()));
    let observers = Arc::new(p2::Observers::none().replayer(replayer, streams));
    let ending = replayed.run(input, execution, (keys, &observers))?;
    let code = verdict(&ending, |words| observers.finish_replay(words), (name, input))?;
    told(observers.finish_replayed_output(), code)
}

/// What came of writing what the guest wrote.
fn told(output: io::Result<()>, code: ExitCode) -> Result<ExitCode, Problem> {
    output.map(|()| code).map_err(|error| {
        Problem::new("what the guest wrote", error).help("check where it goes to, and the disk")
    })
}

/// Says whether the guest did what is recorded.
fn verdict(
    ending: &Ending,
    finish: impl FnOnce(&str) -> Result<u64, Box<ReplayError>>,
    (name, input): (&str, &Input),
) -> Result<ExitCode, Problem> {
    if let Ending::Unreplayed(error) = ending {
        return match error.downcast_ref() {
            Some(error) => unreplayed(error, (name, input)),
            None => Err(Problem::new(&input.name, error)),
        };
    }
    let words = ending.in_words();
    match finish(&words) {
        Ok(count) => {
            tell_of_end(ending)?;
            // A trap says what it is, and not what the guest did.
            let trapped = if words.starts_with("wasm trap") { "ended with a " } else { "" };
            let text = format!("replayed {}; the guest {trapped}{words}", calls(count));
            report::note(&Problem::new(&input.name, text));
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => unreplayed(&error, (name, input)),
    }
}

/// So many calls.
fn calls(count: u64) -> String {
    match count {
        1 => String::from("1 call, all as recorded"),
        count => format!("{count} calls, all as recorded"),
    }
}

/// Prints what `inn` printed of the guest's end when it was recorded.
fn tell_of_end(ending: &Ending) -> Result<(), Problem> {
    match ending {
        Ending::Returned(results) => {
            let lines: String = results.iter().map(|value| invoke::result(value) + "\n").collect();
            report::output(&lines)
        }
        Ending::Trapped(error) => {
            report::stopped(error);
            Ok(())
        }
        Ending::Threw(error, thrown) => {
            report::threw(error, thrown);
            Ok(())
        }
        _ => Ok(()),
    }
}

fn unreplayed(error: &ReplayError, (name, input): (&str, &Input)) -> Result<ExitCode, Problem> {
    match error {
        ReplayError::Stopped { calls: count } => {
            let text = format!("replayed {}; there the recorded run was stopped", calls(*count));
            report::note(&Problem::new(&input.name, text));
            Ok(ExitCode::SUCCESS)
        }
        ReplayError::Unreadable(error) => Err(unreadable(name, error)),
        error => Err(Problem::of_lines(&input.name, error)
            .help("the guest's code or the host's answers are others than when it was recorded")),
    }
}

/// Why a file is no record: perhaps it is the module, named in the place of the record.
fn foreign_record(args: &ReplayArgs, name: &str, error: &RecordError) -> Problem {
    let record = Path::new(&args.record);
    let kind = matches!(error, RecordError::Foreign).then(|| foreign::kind_of_file(record)).flatten();
    let Some((kind, _)) = kind.filter(|(kind, _)| kind.contains("module")) else {
        return unreadable(name, error);
    };
    let other = args.file.as_ref().filter(|file| {
        foreign::kind_of_file(Path::new(file)).is_some_and(|(kind, _)| kind.contains("record"))
    });
    let record = other.map_or(String::from("RECORD"), |file| visible(&file.to_string_lossy()));
    Problem::new(name, format!("{kind}, and the record comes first"))
        .help(format!("write inn replay {record} {}", visible(name)))
        .mistake()
}

fn unreadable(name: &str, error: &RecordError) -> Problem {
    Problem::new(name, error).help("record the run again: inn --record FILE ...")
}
