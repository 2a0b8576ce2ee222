//! `inn replay`: a recorded run again, with nothing but the record.

use std::ffi::OsString;
use std::fs::File;
use std::io::BufReader;
use std::process::ExitCode;

use innkeeper::NanBits;
use innkeeper::wasi::keys::Keys;
use innkeeper::wasi::observe::{Divergence, Replayer};
use innkeeper::wasi::p1::Observers;

use crate::args::ReplayArgs;
use crate::deadline::Deadline;
use crate::guest::{Ending, Execution, Guest, STOPPED};
use crate::input::Input;
use crate::report::{self, Problem};
use crate::run::Entry;

/// Runs what the record is of, and says whether it did the same.
pub(crate) fn replay(args: &ReplayArgs) -> Result<ExitCode, Problem> {
    args.work.watch()?;
    let name = args.record.to_string_lossy();
    let file = File::open(&args.record).map_err(|error| Problem::new(&name, error).help("check the path"))?;
    let replayer =
        Replayer::new(Box::new(BufReader::new(file))).map_err(|error| Problem::new(&name, error))?;
    let header = replayer.header().clone();
    let path = args.file.clone().unwrap_or_else(|| OsString::from(&header.module));
    let mut input = Input::read(&path)?;
    if !header.is_of(&input.bytes) {
        return Err(Problem::new(&input.name, "the module is not the one that was recorded")
            .help(format!("name the right one: inn replay {name} FILE")));
    }
    let keys = Keys::default();
    let guest = Guest::new(&mut input, Execution::new(&keys.limits, NanBits::Canonical))?;
    let arguments: Vec<OsString> = header.invoke.iter().skip(1).map(OsString::from).collect();
    let entry = Entry::choose(header.invoke.first().map(String::as_str), &arguments, &input, &guest.module)?;
    let ran =
        guest.run(&input, entry, (&keys, &Deadline::none()?), Ok, Observers::none().replayer(replayer))?;
    let diverged = |divergence: &Divergence| {
        let problem = Problem::of_lines(&input.name, divergence);
        report::problem(
            &problem.help("the guest's code or the host's answers are others than when it was recorded"),
        );
        Ok(ExitCode::FAILURE)
    };
    let observers = ran.context.observers();
    match &ran.ending {
        Ending::Diverged(error) => match error.host::<Divergence>() {
            // The recorded guest was stopped here; this one would go on.
            Some(divergence) if divergence.recorded_end.as_deref() == Some(STOPPED) => {
                report::output(&format!(
                    "{}: replayed {} calls; there the recorded run was stopped\n",
                    input.name, divergence.call
                ))?;
                Ok(ExitCode::SUCCESS)
            }
            Some(divergence) => diverged(divergence),
            None => Ok(ExitCode::FAILURE),
        },
        ending => {
            let words = ending.in_words();
            match observers.map_or(Ok(0), |observers| observers.finish_replay(&words)) {
                Ok(calls) => {
                    let text = format!(
                        "{}: replayed {calls} calls, all as recorded; the guest {words}\n",
                        input.name
                    );
                    report::output(&text)?;
                    Ok(ExitCode::SUCCESS)
                }
                Err(divergence) => diverged(&divergence),
            }
        }
    }
}
