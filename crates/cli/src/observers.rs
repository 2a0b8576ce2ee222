//! Who watches a guest: traces, a summary, a record.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufWriter, Write};

use innkeeper::wasi::observe::{RecordHeader, Recorder, Tracer};
use innkeeper::wasi::p1::{Context, Observers};

use crate::flags::ReportFlags;
use crate::report::{self, Problem};
use crate::values::TraceFlag;

/// The observers that the flags ask for; `header` says what a record would be of.
pub(crate) fn observers(
    flags: &ReportFlags,
    header: impl FnOnce() -> RecordHeader,
) -> Result<Observers, Problem> {
    let mut observers = Observers::none();
    for flag in &flags.trace {
        observers = match flag {
            TraceFlag::Summary => observers.summarizer(),
            TraceFlag::Lines(form) => observers.tracer(Tracer::new(trace_output(flags)?, *form)),
        };
    }
    if let Some(path) = &flags.record {
        let recorder = Recorder::new(create(path)?, &header()).map_err(|error| unwritable(path, &error))?;
        observers = observers.recorder(recorder);
    }
    Ok(observers)
}

/// Writes what is left to write, and the summary; `ending` says how the guest ended.
pub(crate) fn finish(flags: &ReportFlags, context: &Context, ending: &str) -> Result<(), Problem> {
    let Some(observers) = context.observers() else { return Ok(()) };
    if let Err(error) = observers.finish_trace() {
        return Err(Problem::new("the trace", error).help("check the disk, or trace to another file"));
    }
    if let Some(path) = &flags.record {
        observers.finish_record(ending).map_err(|error| unwritable(path, &error))?;
    }
    if let Some(summary) = observers.summary() {
        let lines = flags.trace.iter().any(|flag| matches!(flag, TraceFlag::Lines(_)));
        match &flags.trace_file {
            // With lines in the file, the table goes where a person looks.
            Some(path) if !lines => {
                let text = summary.to_string();
                create(path)?.write_all(text.as_bytes()).map_err(|error| unwritable(path, &error))?;
            }
            _ => report::table(&summary.to_string()),
        }
    }
    Ok(())
}

fn trace_output(flags: &ReportFlags) -> Result<Box<dyn Write + Send>, Problem> {
    match &flags.trace_file {
        // Not buffered: lines appear between those of the guest's, in order.
        None => Ok(Box::new(io::stderr())),
        Some(path) => create(path),
    }
}

fn create(path: &OsStr) -> Result<Box<dyn Write + Send>, Problem> {
    let file = File::create(path).map_err(|error| unwritable(path, &error))?;
    Ok(Box::new(BufWriter::with_capacity(1 << 16, file)))
}

fn unwritable(path: &OsStr, error: &io::Error) -> Problem {
    Problem::new(path.to_string_lossy(), format!("cannot be written: {error}"))
        .help("check the path and the disk")
}
