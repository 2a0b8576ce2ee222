//! Who watches a guest: traces, a summary, a record.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, BufWriter, Write};

use innkeeper::wasi::keys::FileMode;
use innkeeper::wasi::observe::{ComponentRecorder, RecordHeader, Recorder, Summary, Tracer};
use innkeeper::wasi::{p1, p2};

use crate::flags::ReportFlags;
use crate::output::Output;
use crate::report::{self, Problem};
use crate::values::TraceFlag;
use crate::writable::Writable;

/// The files that traces and records go to, opened before the guest starts.
pub(crate) struct Files {
    trace: Option<File>,
    record: Option<File>,
}

impl Files {
    /// Opens those that the flags name.
    pub(crate) fn open(flags: &ReportFlags, writable: &Writable) -> Result<Files, Problem> {
        let open = |path: &OsString| Output::open(path, writable)?.stream(FileMode::Truncate, writable);
        // Where nothing is traced, the file is not touched.
        let trace = flags.trace_file.as_ref().filter(|_| !flags.trace.is_empty());
        Ok(Files {
            trace: trace.map(open).transpose()?,
            record: flags.record.as_ref().map(open).transpose()?,
        })
    }
}

/// The observers of a module that the flags ask for; `header` says what a record would be of.
pub(crate) fn of_module(
    flags: &ReportFlags,
    files: &Files,
    header: impl FnOnce() -> RecordHeader,
) -> Result<p1::Observers, Problem> {
    let Wanted { tracers, is_summarized, record } = Wanted::new(flags, files)?;
    let mut observers = tracers.into_iter().fold(p1::Observers::none(), p1::Observers::tracer);
    if is_summarized {
        observers = observers.summarizer();
    }
    if let Some((path, to)) = record {
        let recorder = Recorder::new(to, &header()).map_err(|error| unwritable(path, &error))?;
        observers = observers.recorder(recorder);
    }
    Ok(observers)
}

/// The same of a component.
pub(crate) fn of_component(
    flags: &ReportFlags,
    files: &Files,
    header: impl FnOnce() -> RecordHeader,
) -> Result<p2::Observers, Problem> {
    let Wanted { tracers, is_summarized, record } = Wanted::new(flags, files)?;
    let mut observers = tracers.into_iter().fold(p2::Observers::none(), p2::Observers::tracer);
    if is_summarized {
        observers = observers.summarizer();
    }
    if let Some((path, to)) = record {
        let recorder = ComponentRecorder::new(to, &header()).map_err(|error| unwritable(path, &error))?;
        observers = observers.recorder(recorder);
    }
    Ok(observers)
}

/// Who is to watch, whatever the guest is.
struct Wanted<'a> {
    tracers: Vec<Tracer>,
    is_summarized: bool,
    /// The record's path, and what leads there.
    record: Option<(&'a OsStr, Box<dyn Write + Send>)>,
}

impl<'a> Wanted<'a> {
    fn new(flags: &'a ReportFlags, files: &Files) -> Result<Wanted<'a>, Problem> {
        let mut wanted = Wanted { tracers: Vec::new(), is_summarized: false, record: None };
        for flag in &flags.trace {
            match flag {
                TraceFlag::Summary => wanted.is_summarized = true,
                TraceFlag::Lines(form) => {
                    wanted.tracers.push(Tracer::new(trace_output(flags, files)?, *form));
                }
            }
        }
        if let (Some(path), Some(file)) = (&flags.record, &files.record) {
            wanted.record = Some((path, buffered(path, file)?));
        }
        Ok(wanted)
    }
}

/// Those who have watched a guest that has ended.
pub(crate) trait HaveWatched {
    fn finish_trace(&self) -> io::Result<()>;
    fn finish_record(&self, ending: &str) -> io::Result<()>;
    fn summary(&self) -> Option<Summary>;
}

macro_rules! have_watched {
    ($($observers:ty),*) => {$(
        impl HaveWatched for $observers {
            fn finish_trace(&self) -> io::Result<()> {
                <$observers>::finish_trace(self)
            }

            fn finish_record(&self, ending: &str) -> io::Result<()> {
                <$observers>::finish_record(self, ending)
            }

            fn summary(&self) -> Option<Summary> {
                <$observers>::summary(self)
            }
        }
    )*};
}

have_watched!(p1::Observers, p2::Observers);

/// Writes what is left to write, and the summary; `ending` says how the guest ended.
pub(crate) fn finish(
    flags: &ReportFlags,
    files: &Files,
    observers: &impl HaveWatched,
    ending: &str,
) -> Result<(), Problem> {
    let traced = observers.finish_trace().map_err(|error| match &flags.trace_file {
        Some(path) => unwritable(path, &error),
        None => Problem::new("the trace", error).help("trace to a file: --trace-file FILE"),
    });
    // A record has its end whatever became of the trace.
    if let Some(path) = &flags.record {
        observers.finish_record(ending).map_err(|error| unwritable(path, &error))?;
    }
    traced?;
    if let Some(summary) = observers.summary() {
        let lines = flags.trace.iter().any(|flag| matches!(flag, TraceFlag::Lines(_)));
        match (&flags.trace_file, &files.trace) {
            // With lines in the file, the table goes where a person looks.
            (Some(path), Some(file)) if !lines => {
                let text = summary.to_string();
                let mut file: &File = file;
                file.write_all(text.as_bytes()).map_err(|error| unwritable(path, &error))?;
            }
            _ => report::table(&summary.to_string()),
        }
    }
    Ok(())
}

fn trace_output(flags: &ReportFlags, files: &Files) -> Result<Box<dyn Write + Send>, Problem> {
    match (&flags.trace_file, &files.trace) {
        (Some(path), Some(file)) => buffered(path, file),
        // Not buffered: lines appear between those of the guest's, in order.
        _ => Ok(Box::new(io::stderr())),
    }
}

fn buffered(path: &OsStr, file: &File) -> Result<Box<dyn Write + Send>, Problem> {
    let file = file.try_clone().map_err(|error| unwritable(path, &error))?;
    Ok(Box::new(BufWriter::with_capacity(1 << 16, file)))
}

fn unwritable(path: &OsStr, error: &io::Error) -> Problem {
    Problem::new(path.to_string_lossy(), format!("cannot be written: {error}"))
        .help("check the path and the disk")
}
