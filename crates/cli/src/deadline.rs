//! The command's deadline: it counts from the start of the command, and the command is over when it has passed, whatever it does then.
//!
//! While the module is read, decoded and compiled, nothing can be stopped in the middle, and nothing is lost if all of it is: the thread that watches the time says so
//! and ends the process. While the guest runs, the guest is stopped, and what there is to tell is told. What has not ended a little later, such as a guest in a
//! call of the system that nobody can interrupt, or a report that nobody reads, is ended with the process.
//!
//! What this module is not: the deadline of the guest's calls, which is [`Stopper`]'s.

use std::path::Path;
use std::process::exit;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use innkeeper::wasi::keys::WasiLimits;
use innkeeper::wasi::stop::{Stopper, TimeLimit, Watch};

use crate::report::{self, Problem, visible};

/// The exit code of what a deadline ended: that of a trap.
const EXIT_CODE: u8 = crate::ended::TRAP_EXIT_CODE;

/// How long a guest that is stopped, and what is told of it, may take to end. What can be stopped takes milliseconds.
const GRACE: Duration = Duration::from_secs(1);

/// How long the last words may take, which may go to a pipe that is full.
const LAST_WORDS: Duration = Duration::from_millis(20);

/// What watches the command's time until it is dropped.
pub(crate) struct Deadline {
    stopper: Stopper,
    state: Arc<State>,
    _watch: Option<Watch>,
}

#[derive(Default)]
struct State {
    /// Whether the guest has been started, so that stopping it has an effect.
    is_started: AtomicBool,
    has_passed: AtomicBool,
    /// The named pipe that is being opened.
    pipe: Mutex<Option<String>>,
    has_ended: Mutex<bool>,
    ended: Condvar,
}

impl Deadline {
    /// Begins to watch the times of `limits`, of which that on the wall began at `begin`; `file` is what messages name.
    pub(crate) fn watch(limits: &WasiLimits, begin: Instant, file: String) -> Result<Deadline, Problem> {
        Deadline::watch_with(limits, begin, file, State::default())
    }

    /// [`Deadline::watch`] of work that asks by itself whether the time is over, from its beginning.
    pub(crate) fn watch_work(
        limits: &WasiLimits,
        begin: Instant,
        thing: String,
    ) -> Result<Deadline, Problem> {
        let state = State { is_started: AtomicBool::new(true), ..State::default() };
        Deadline::watch_with(limits, begin, thing, state)
    }

    fn watch_with(
        limits: &WasiLimits,
        begin: Instant,
        file: String,
        state: State,
    ) -> Result<Deadline, Problem> {
        let stopper = Stopper::new().map_err(|error| Problem::new("the guest's stopper", error))?;
        let state = Arc::new(state);
        let watched = Arc::clone(&state);
        let watch = stopper
            .watch_from(limits, begin, move || watched.pass(&file))
            .map_err(|error| Problem::new("the guest's deadline", error))?;
        Ok(Deadline { stopper, state, _watch: watch })
    }

    /// No deadline.
    pub(crate) fn none() -> Result<Deadline, Problem> {
        Deadline::watch(&WasiLimits::default(), Instant::now(), String::new())
    }

    /// What stops the guest, which is about to be started.
    pub(crate) fn start_guest(&self) -> &Stopper {
        self.state.is_started.store(true, Ordering::SeqCst);
        &self.stopper
    }

    /// Names the pipe that is going to be opened, which waits for its other end.
    pub(crate) fn opens_pipe(&self, path: &Path) {
        let name = visible(&path.to_string_lossy());
        *self.state.pipe.lock().unwrap_or_else(PoisonError::into_inner) = Some(name);
    }

    /// Which limit on time has passed, if one has.
    pub(crate) fn passed(&self) -> Option<TimeLimit> {
        self.stopper.passed()
    }

    /// Whether the time is over.
    pub(crate) fn has_passed(&self) -> bool {
        self.state.has_passed.load(Ordering::SeqCst)
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        *self.state.has_ended.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.state.ended.notify_all();
    }
}

impl State {
    /// On the thread that watches: the time is over, and the guest was told to stop, if there is one.
    fn pass(&self, file: &str) {
        self.has_passed.store(true, Ordering::SeqCst);
        if !self.is_started.load(Ordering::SeqCst) {
            if let Some(pipe) = self.pipe.lock().unwrap_or_else(PoisonError::into_inner).take() {
                let reason =
                    "deadline exceeded while waiting for a program to open this named pipe for writing";
                last_words(
                    Problem::new(pipe, reason)
                        .help("start the program that writes to it, or choose another --stdin"),
                );
            }
            let reason = "deadline exceeded while it was read, decoded and compiled";
            last_words(
                Problem::new(file, reason)
                    .help("give it more time, or compile it ahead of time: inn compile"),
            );
        }
        let ended = self.has_ended.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.ended.wait_timeout_while(ended, GRACE, |ended| !*ended);
        if !*waited.unwrap_or_else(PoisonError::into_inner).0 {
            let reason = "deadline exceeded in a call of the system, or a report, that did not end";
            last_words(Problem::from_message(format!("{file}: {reason}")));
        }
    }
}

/// Ends the process, with a message if that can be written.
fn last_words(problem: Problem) -> ! {
    let (said, heard) = channel();
    // Whoever holds the lock of standard error may wait for ever.
    let say = move || {
        report::problem(&problem);
        let _ = said.send(());
    };
    if std::thread::Builder::new().spawn(say).is_ok() {
        let _ = heard.recv_timeout(LAST_WORDS);
    }
    exit(EXIT_CODE.into())
}
