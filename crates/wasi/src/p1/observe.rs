//! Calls of WASI 0.1 under observation: traced, counted, recorded, or answered from a record.
//!
//! This is where a call becomes what [`crate::observe`] knows. A guest whose context has no observers never comes here.

use std::fmt;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use thiserror::Error;

use super::context::Context;
use super::describe;
use super::errno::Errno;
use super::functions::{Function, Version, functions};
use super::journal::Journal;
use super::memory::GuestMemory;
use super::replayed::ReplayedStreams;
use crate::exit::Exit;
use crate::observe::{
    Argument, Call, Cost, Ending, Recorder, ReplayError, Replayer, Summary, TracedCall, Tracer,
};

/// Who watches a guest's calls.
#[derive(Debug, Default)]
pub struct Observers {
    tracer: Option<Mutex<Tracer>>,
    summary: Option<Mutex<Summary>>,
    recorder: Option<Mutex<Option<Recorder>>>,
    replay: Option<Mutex<Replay>>,
}

/// A record that answers, and where the guest's output goes meanwhile.
#[derive(Debug)]
struct Replay {
    replayer: Replayer,
    streams: ReplayedStreams,
}

/// One function, with the number it has in records.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watched {
    pub(super) function: &'static Function,
    number: u16,
}

/// Why a call under observation does not return to the guest.
#[derive(Debug, Error)]
pub(super) enum NoReturn {
    #[error(transparent)]
    Exit(#[from] Exit),
    #[error(transparent)]
    Replay(Box<ReplayError>),
}

/// Numbers of functions of one version lie below this.
const NUMBERS_OF_A_VERSION: u16 = 128;

impl Observers {
    /// Nobody.
    #[must_use]
    pub fn none() -> Observers {
        Observers::default()
    }

    /// Adds a trace.
    #[must_use]
    pub fn tracer(self, tracer: Tracer) -> Observers {
        Observers { tracer: Some(Mutex::new(tracer)), ..self }
    }

    /// Adds a summary, which [`Observers::summary`] gives.
    #[must_use]
    pub fn summarizer(self) -> Observers {
        Observers { summary: Some(Mutex::default()), ..self }
    }

    /// Adds a record. Calls of several threads have no order that could be replayed: record guests of one thread.
    #[must_use]
    pub fn recorder(self, recorder: Recorder) -> Observers {
        Observers { recorder: Some(Mutex::new(Some(recorder))), ..self }
    }

    /// Answers all calls from a record: the host is never asked. What the guest writes to its standard output and standard error goes to
    /// `streams`, wherever it went when the run was recorded.
    #[must_use]
    pub fn replayer(self, replayer: Replayer, streams: ReplayedStreams) -> Observers {
        Observers { replay: Some(Mutex::new(Replay { replayer, streams })), ..self }
    }

    /// Whether there is nobody.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tracer.is_none() && self.summary.is_none() && self.recorder.is_none() && self.replay.is_none()
    }

    /// What has been counted so far, if anybody counts.
    #[must_use]
    pub fn summary(&self) -> Option<Summary> {
        self.summary.as_ref().map(|summary| lock(summary).clone())
    }

    /// Ends the trace.
    ///
    /// # Errors
    /// What writing it reported.
    pub fn finish_trace(&self) -> io::Result<()> {
        self.tracer.as_ref().map_or(Ok(()), |tracer| lock(tracer).finish())
    }

    /// Ends the record, saying how the guest ended.
    ///
    /// # Errors
    /// What writing it reported.
    pub fn finish_record(&self, ending: &str) -> io::Result<()> {
        let recorder = self.recorder.as_ref().and_then(|recorder| lock(recorder).take());
        recorder.map_or(Ok(()), |recorder| recorder.finish(ending).map(drop))
    }

    /// Checks that the record that answered ends where the guest did, and in the same way. Gives how many calls there were.
    ///
    /// # Errors
    /// It does not.
    pub fn finish_replay(&self, ending: &str) -> Result<u64, Box<ReplayError>> {
        let Some(replay) = &self.replay else { return Ok(0) };
        let replayer = &mut lock(replay).replayer;
        replayer.finish(ending, name_of)?;
        Ok(replayer.calls())
    }

    /// Ends what a replayed guest has written.
    ///
    /// # Errors
    /// What writing reported at any time. A reader that has gone away is no error.
    pub fn finish_replayed_output(&self) -> io::Result<()> {
        self.replay.as_ref().map_or(Ok(()), |replay| lock(replay).streams.finish())
    }
}

impl Watched {
    /// The function of this name; of a list that the name is taken from.
    pub(super) fn new(version: Version, name: &str) -> Option<Watched> {
        let position = functions(version).iter().position(|function| function.name == name)?;
        let first = match version {
            Version::Preview1 => 0,
            Version::Unstable => NUMBERS_OF_A_VERSION,
        };
        let number = first + u16::try_from(position).ok()?;
        Some(Watched { function: &functions(version)[position], number })
    }
}

/// Makes a call that is observed, or lets a record answer it.
pub(super) fn watch(
    observers: &Observers,
    cx: &mut Context,
    memory: GuestMemory<'_>,
    call: (Watched, &[u64]),
    perform: impl FnOnce(&mut Context, &mut GuestMemory<'_>) -> Result<i32, Exit>,
) -> Result<i32, NoReturn> {
    let journal = Journal::default();
    let (watching, mut memory) = Watching::begin(observers, (cx, memory), call, &journal);
    let outcome = match watching.replayed(&mut memory)? {
        Some(answer) => answer,
        None => perform(cx, &mut memory),
    };
    watching.end((cx, memory), &journal, outcome)
}

/// A call under observation that has begun.
pub(super) struct Watching<'a> {
    observers: &'a Observers,
    watched: Watched,
    slots: &'a [u64],
    arguments: Option<Vec<Argument>>,
    begin: Instant,
    has_ended: bool,
}

/// Whoever waited for the call has given it up. The guest gets no answer, so that there is none to record.
impl Drop for Watching<'_> {
    fn drop(&mut self) {
        // What a record answers is never waited for.
        if self.has_ended || self.observers.replay.is_some() {
            return;
        }
        let (function, time) = (self.watched.function.name, self.begin.elapsed());
        if let Some(summary) = &self.observers.summary {
            lock(summary).add(function, Cost { time, bytes: 0, failed: true });
        }
        if let (Some(tracer), Some(arguments)) = (&self.observers.tracer, self.arguments.take()) {
            lock(tracer).trace(&TracedCall {
                function,
                arguments,
                ending: "given up",
                results: Vec::new(),
                time,
            });
        }
    }
}

impl<'a> Watching<'a> {
    /// A call begins, with the memory that it is to be made with.
    pub(super) fn begin<'m>(
        observers: &'a Observers,
        (cx, memory): (&Context, GuestMemory<'m>),
        (watched, slots): (Watched, &'a [u64]),
        journal: &'m Journal,
    ) -> (Watching<'a>, GuestMemory<'m>) {
        let describe = |_| describe::arguments(cx, &memory, watched.function, slots);
        let arguments = observers.tracer.as_ref().map(describe);
        let memory = if observers.recorder.is_some() { memory.with_journal(journal) } else { memory };
        let watching =
            Watching { observers, watched, slots, arguments, begin: Instant::now(), has_ended: false };
        (watching, memory)
    }

    /// What a record says, in the place of making the call; none where there is no record.
    ///
    /// # Errors
    /// The guest makes another call than it did then.
    pub(super) fn replayed(
        &self,
        memory: &mut GuestMemory<'_>,
    ) -> Result<Option<Result<i32, Exit>>, NoReturn> {
        let Some(replay) = &self.observers.replay else { return Ok(None) };
        answer(&mut lock(replay), memory, (self.watched, self.slots)).map(Some)
    }

    /// The call has ended.
    ///
    /// # Errors
    /// The guest has ended itself.
    pub(super) fn end(
        mut self,
        (cx, memory): (&Context, GuestMemory<'_>),
        journal: &Journal,
        outcome: Result<i32, Exit>,
    ) -> Result<i32, NoReturn> {
        self.has_ended = true;
        let (observers, slots, arguments) = (self.observers, self.slots, self.arguments.take());
        let Watched { function, number } = self.watched;
        let time = self.begin.elapsed();
        let memory = memory.without_journal();
        if let Some(recorder) = &observers.recorder {
            record(recorder, (cx, &memory), journal, (number, slots), outcome);
        }
        if let Some(summary) = &observers.summary {
            let bytes = if outcome == Ok(0) { describe::bytes_moved(&memory, function, slots) } else { 0 };
            let failed = !matches!(outcome, Ok(0) | Err(Exit(_)));
            lock(summary).add(function.name, Cost { time, bytes, failed });
        }
        if let (Some(tracer), Some(arguments)) = (&observers.tracer, arguments) {
            let results =
                if outcome == Ok(0) { describe::results(cx, &memory, function, slots) } else { Vec::new() };
            let ending = match outcome {
                Ok(0) => String::from("ok"),
                Ok(number) => Errno::from_number(number).map_or("unknown", Errno::name).to_owned(),
                Err(Exit(code)) => format!("exit {code}"),
            };
            let call = TracedCall { function: function.name, arguments, ending: &ending, results, time };
            lock(tracer).trace(&call);
        }
        Ok(outcome?)
    }
}

fn record(
    recorder: &Mutex<Option<Recorder>>,
    (cx, memory): (&Context, &GuestMemory<'_>),
    journal: &Journal,
    (function, arguments): (u16, &[u64]),
    outcome: Result<i32, Exit>,
) {
    let read = journal.read();
    let ending = match outcome {
        Ok(number) => Ending::Returned(number),
        Err(Exit(code)) => Ending::Exited(code),
    };
    let call = Call { function, arguments, read: &read, read_checksum: journal.read_checksum(), ending };
    let is_stopped = || cx.host().is_interrupted();
    if let Some(recorder) = &mut *lock(recorder) {
        recorder.record(&call, &journal.written(), |range| memory.get(range).ok(), is_stopped);
    }
}

fn answer(
    replay: &mut Replay,
    memory: &mut GuestMemory<'_>,
    (Watched { function, number }, arguments): (Watched, &[u64]),
) -> Result<Result<i32, Exit>, NoReturn> {
    let Replay { replayer, streams } = replay;
    let stopped = |error| NoReturn::Replay(Box::new(error));
    let answer = replayer.answer(number, arguments, name_of, |range| memory.get(range).ok());
    let ending = answer.map_err(stopped)?;
    match streams.output(memory, function, arguments) {
        None => replayer.writes(|at, bytes| apply(memory, at, bytes)).map_err(stopped)?,
        Some(output) => {
            let mut taken = None;
            replayer
                .writes(|at, bytes| taken = <[u8; 4]>::try_from(bytes).ok().map(|bytes| (at, bytes)))
                .map_err(stopped)?;
            // Before the answer is there, which a guest may have put where its output lies.
            if let Some((at, bytes)) = taken {
                if ending == Ending::Returned(0) {
                    streams.write(memory, &output, u32::from_le_bytes(bytes) as usize);
                }
                apply(memory, at, &bytes);
            }
        }
    }
    if ending == Ending::Returned(0) {
        streams.follow(memory, function, arguments);
    }
    if let Ending::Returned(_) = ending {
        replayer.go_on().map_err(stopped)?;
    }
    Ok(match ending {
        Ending::Returned(number) => Ok(number),
        Ending::Exited(code) => Err(Exit(code)),
    })
}

/// Writes to guest memory what a call wrote there when it was recorded.
fn apply(memory: &mut GuestMemory<'_>, at: usize, bytes: &[u8]) {
    // What was recorded did fit; where it does not, the guest has another memory and the next call will tell.
    if let Some(end) = at.checked_add(bytes.len()) {
        let _ = memory.set(at..end, bytes);
    }
}

fn name_of(number: u16) -> &'static str {
    let version = if number < NUMBERS_OF_A_VERSION { Version::Preview1 } else { Version::Unstable };
    functions(version)
        .get(usize::from(number % NUMBERS_OF_A_VERSION))
        .map_or("unknown", |function| function.name)
}

fn lock<T: fmt::Debug>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
