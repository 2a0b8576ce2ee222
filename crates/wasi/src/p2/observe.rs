//! Calls of WASI 0.2 under observation: traced, counted, recorded, or answered from a record. Also those of other functions that the host defines for components.
//!
//! This is where a call becomes what [`crate::observe`] knows. A component whose store has no observers never comes here.
//!
//! Must stay true: where a record answers, nothing here reaches the host.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use innkeeper_component::{
    Compound, HostCallObserver, ObservedCall, Part, Trap as ComponentTrap, Val, ValueVisitor,
    observe_host_calls,
};
use innkeeper_engine::{AsContextMut, Error, Trap};

use super::misuse::Misuse;
use super::replayed::{Output, ReplayedStreams};
use crate::exit::{Exit, exit_code};
use crate::observe::component::{Answered, JsonText, Made, NoAnswer, WaveText, short_name};
use crate::observe::{
    ComponentRecorder, ComponentReplayer, Cost, ReplayError, Summary, TraceForm, Tracer, quoted,
};

/// Who watches a component's calls.
#[derive(Debug, Default)]
pub struct Observers {
    tracer: Option<Mutex<Tracer>>,
    summary: Option<Mutex<Summary>>,
    recorder: Option<Mutex<Option<ComponentRecorder>>>,
    replay: Option<Mutex<Replay>>,
}

/// A record that answers, and where the guest's output goes meanwhile.
#[derive(Debug)]
struct Replay {
    replayer: ComponentReplayer,
    streams: ReplayedStreams,
    /// What stands for the resource that was given last.
    last_rep: u32,
}

/// A call has failed in a recorded run, with this.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct ReplayedFailure {
    text: String,
    is_trap: bool,
}

impl ReplayedFailure {
    /// Whether it was a trap.
    #[must_use]
    pub fn is_trap(&self) -> bool {
        self.is_trap
    }
}

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

    /// Adds a record.
    #[must_use]
    pub fn recorder(self, recorder: ComponentRecorder) -> Observers {
        Observers { recorder: Some(Mutex::new(Some(recorder))), ..self }
    }

    /// Answers all calls from a record: the host is never asked. What the guest writes to its standard output and standard error goes to
    /// `streams`, wherever it went when the run was recorded.
    #[must_use]
    pub fn replayer(self, replayer: ComponentReplayer, streams: ReplayedStreams) -> Observers {
        Observers { replay: Some(Mutex::new(Replay { replayer, streams, last_rep: 0 })), ..self }
    }

    /// Whether there is nobody.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tracer.is_none() && self.summary.is_none() && self.recorder.is_none() && self.replay.is_none()
    }

    /// Has them watch all components that are instantiated in a store from now on. Where there is nobody, nothing is watched.
    pub fn watch<T: 'static>(self: &Arc<Observers>, store: impl AsContextMut<Data = T>) {
        if !self.is_empty() {
            observe_host_calls(store, Arc::clone(self) as Arc<dyn HostCallObserver<T>>);
        }
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
        replayer.finish(ending)?;
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

/// What is made of values that are shown.
#[derive(Default)]
struct Seen<'a> {
    text: Option<WaveText>,
    json: Option<JsonText>,
    record: Option<&'a mut ComponentRecorder>,
    /// Bytes in lists of bytes.
    bytes: u64,
    /// Whether the value is an error.
    is_error: bool,
    has_begun: bool,
}

impl ValueVisitor for Seen<'_> {
    fn part(&mut self, part: Part<'_>) -> Result<(), Error> {
        if !std::mem::replace(&mut self.has_begun, true) {
            self.is_error = matches!(part, Part::Case(1, "err", _));
        }
        if let Part::Begin(Compound::Bytes(length)) = part {
            self.bytes += u64::from(length);
        }
        if let Some(text) = &mut self.text {
            text.part(part)?;
        }
        if let Some(json) = &mut self.json {
            json.part(part)?;
        }
        if let Some(record) = &mut self.record {
            record.part(part)?;
        }
        Ok(())
    }
}

impl<T: 'static> HostCallObserver<T> for Observers {
    fn call(&self, call: &mut ObservedCall<'_, '_, T>) -> Result<(), Error> {
        let begin = Instant::now();
        let mut seen = self.seen();
        let is_compared = self.recorder.is_some() || self.replay.is_some();
        if is_compared {
            seen.text = Some(WaveText::with_checksum());
        }
        if seen.json.is_some() {
            let names = call.ty().map(|ty| ty.params().map(|(name, _)| name.to_owned()).collect());
            seen.json = Some(JsonText::of_arguments(names.unwrap_or_else(|| vec![String::from("self")])));
        }
        if let Err(error) = call.arguments(&mut seen) {
            // The call ends the guest before anything comes to the host: by the same error, or because somebody stops it.
            return if self.replay.is_some() { call.answer(Err(error)) } else { call.perform() };
        }
        let bytes = seen.bytes;
        let (text, checksum) = seen.text.map_or((String::new(), 0), WaveText::finish);
        let json = seen.json.map(JsonText::finish);
        let name = call.name().clone();
        let called = Called { name: short_name(&name), text, json, checksum, bytes, begin };
        let outcome = match &self.replay {
            Some(replay) => replayed(&mut lock(replay), call, &called),
            None => call.perform(),
        };
        self.after(call, &called, &outcome)?;
        outcome
    }

    fn answers(&self) -> bool {
        self.replay.is_some()
    }
}

/// A call, as far as it is known before it is made.
struct Called {
    name: String,
    text: String,
    json: Option<String>,
    checksum: u64,
    bytes: u64,
    begin: Instant,
}

impl Observers {
    /// What is to be made of values.
    fn seen(&self) -> Seen<'static> {
        let form = self.tracer.as_ref().map(|tracer| lock(tracer).form());
        Seen {
            text: (form == Some(TraceForm::Text)).then(WaveText::default),
            json: (form == Some(TraceForm::Json)).then(JsonText::default),
            ..Seen::default()
        }
    }

    /// Tells of a call that has ended.
    fn after<T: 'static>(
        &self,
        call: &mut ObservedCall<'_, '_, T>,
        called: &Called,
        outcome: &Result<(), Error>,
    ) -> Result<(), Error> {
        let time = called.begin.elapsed();
        let ended = match outcome {
            Ok(()) => Answered::Returned,
            Err(error) => match ended_by(error) {
                Some(ended) => ended,
                // Whoever stopped it gave the call up, and the guest no answer.
                None => return Ok(()),
            },
        };
        let mut recorder = self.recorder.as_ref().map(lock);
        let mut record = recorder.as_mut().and_then(|recorder| recorder.as_mut());
        if let Some(record) = &mut record {
            record.begin(&called.name, (&called.text, called.checksum), &ended);
        }
        let mut seen = Seen { record, ..self.seen() };
        let mut shown = Ok(());
        if outcome.is_ok() {
            shown = call.result(&mut seen);
            if let Some(record) = &mut seen.record {
                record.end_result(&shown);
            }
        }
        let failed = seen.is_error || outcome.as_ref().is_err_and(|error| exit_code(error).is_none());
        let bytes = called.bytes + seen.bytes;
        let (text, json) = (seen.text.map(|text| text.finish().0), seen.json.map(JsonText::finish));
        drop(recorder);
        if let Some(summary) = &self.summary {
            lock(summary).add(&called.name, Cost { time, bytes, failed });
        }
        if let Some(tracer) = &self.tracer {
            let result = text.or(json).filter(|result| !result.is_empty());
            lock(tracer).line(&line(called, &ended, result.as_deref(), time));
        }
        shown
    }
}

/// A line of a trace.
fn line(called: &Called, ended: &Answered, result: Option<&str>, time: std::time::Duration) -> String {
    let Called { name, text, json, .. } = called;
    match json {
        None => {
            let ending = match ended {
                Answered::Returned => result.map_or(String::new(), |result| format!(" -> {result}")),
                Answered::Exited(code) => format!(" -> exit {code}"),
                Answered::Trapped(text) | Answered::Failed(text) => {
                    format!(" -> {}", crate::host::visible(text))
                }
            };
            format!("{name}{text}{ending} <{:.1}us>\n", time.as_secs_f64() * 1e6)
        }
        Some(arguments) => {
            let ending = match ended {
                Answered::Returned => result.map_or(String::new(), |result| format!(",\"result\":{result}")),
                Answered::Exited(code) => format!(",\"exit\":{code}"),
                Answered::Trapped(text) | Answered::Failed(text) => format!(",\"failed\":{}", quoted(text)),
            };
            let arguments = if arguments.is_empty() { "{}" } else { arguments };
            format!(
                "{{\"call\":{},\"arguments\":{arguments}{ending},\"ns\":{}}}\n",
                quoted(name),
                time.as_nanos()
            )
        }
    }
}

/// How a call has ended by an error; none where it was given up because somebody stops the guest.
fn ended_by(error: &Error) -> Option<Answered> {
    if matches!(error.trap(), Some(Trap::Interrupted | Trap::DeadlineExceeded)) {
        return None;
    }
    Some(match exit_code(error) {
        Some(code) => Answered::Exited(code.cast_unsigned()),
        None if is_trap(error) => Answered::Trapped(error.to_string()),
        None => Answered::Failed(error.to_string()),
    })
}

/// Whether an error is a trap: of core code, of the component model's rules or of WASI's, now or when it was recorded.
#[must_use]
pub fn is_trap(error: &Error) -> bool {
    error.trap().is_some()
        || error.is::<ComponentTrap>()
        || error.is::<Misuse>()
        || error.downcast_ref::<ReplayedFailure>().is_some_and(ReplayedFailure::is_trap)
}

/// Answers a call from a record.
fn replayed<T: 'static>(
    replay: &mut Replay,
    call: &mut ObservedCall<'_, '_, T>,
    called: &Called,
) -> Result<(), Error> {
    let Replay { replayer, streams, last_rep } = replay;
    let stopped = |error: ReplayError| Error::from_host(error);
    let made = Made { function: &called.name, arguments: &called.text, checksum: called.checksum };
    let answered = replayer.answer(made).map_err(stopped)?;
    let failure = |text, is_trap| Err(Error::from_host(ReplayedFailure { text, is_trap }));
    match answered {
        Answered::Exited(code) => return call.answer(Err(Error::from_host(Exit(code)))),
        Answered::Trapped(text) => return call.answer(failure(text, true)),
        Answered::Failed(text) => return call.answer(failure(text, false)),
        Answered::Returned => {}
    }
    let first_rep = *last_rep;
    let answer = match call.ty().and_then(|ty| ty.result()) {
        None => None,
        Some(ty) => {
            let budget = call.store().budget().clone();
            let mut new_resource = |ty: &_| {
                *last_rep += 1;
                call.new_resource(ty, *last_rep).map(Val::Resource)
            };
            let result = replayer.result(&ty, &budget, &mut new_resource);
            Some(result.map_err(|error| match error {
                NoAnswer::Replay(error) => stopped(error),
                NoAnswer::Error(error) => error,
            })?)
        }
    };
    let (answer, _charge) = answer.unzip();
    // Before the answer is there, which a guest may have put where its output lies.
    if let Some(mut output) = Output::of(streams, call.name(), answer.as_ref()) {
        call.arguments(&mut output)?;
    }
    streams.follow(call.name(), first_rep + 1, *last_rep);
    call.answer(Ok(answer))?;
    replayer.go_on().map_err(stopped)
}

fn lock<V>(mutex: &Mutex<V>) -> MutexGuard<'_, V> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
