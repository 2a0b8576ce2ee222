//! Ctrl-C, requests to end, a terminal that goes away, and output that nobody reads any more: the guest is stopped, so that what is to be told or written at its end still is. A second one
//! ends `inn` at once.
//!
//! Must stay true: a signal that was ignored when `inn` started (`nohup`, a shell's `trap ''`, jobs of scripts) stays ignored.

#[cfg(target_os = "linux")]
#[allow(unsafe_code, reason = "a system call")]
mod ignored;

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use innkeeper::wasi::host::Host;
use innkeeper::wasi::stop::{StopReason, Stopper};
use signal_hook::consts::{SIGHUP, SIGINT, SIGPIPE, SIGTERM};
use signal_hook::iterator::Signals;

use crate::report::Problem;

/// The signal that came, if one did.
#[derive(Clone, Debug, Default)]
pub(crate) struct Came(Arc<AtomicI32>);

impl Came {
    /// The exit code of a process that such a signal has ended, as shells report it.
    pub(crate) fn exit_code(&self) -> Option<u8> {
        let signal = self.0.load(Ordering::SeqCst);
        u8::try_from(128 + signal).ok().filter(|_| signal != 0)
    }
}

/// Makes writing beyond the largest size that files may have (`ulimit -f`) an error, for the guest and for `inn`, instead of the end of the process.
pub(crate) fn survive_file_limits() {
    // Where it cannot be done, it is as it would have been.
    let _ = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::default());
}

/// Signals that stop the guest.
const STOPPING: [i32; 3] = [SIGINT, SIGTERM, SIGHUP];

#[cfg(target_os = "linux")]
use ignored::{is_ignored, pipes_were_ignored};

/// There is no way to ask.
#[cfg(not(target_os = "linux"))]
fn is_ignored(_: i32) -> bool {
    false
}

#[cfg(not(target_os = "linux"))]
fn pipes_were_ignored() -> bool {
    false
}

/// Stops the guest when it writes on though it was told that nobody reads its output, as if the signal that ends other programs then had come to it, unless this process was
/// started to ignore that.
pub(crate) fn stop_where_nobody_reads(host: &Host, stopper: &Stopper, came: &Came) {
    if pipes_were_ignored() {
        return;
    }
    let (came, stopper) = (came.clone(), stopper.clone());
    host.on_unread_output(move || {
        let _ = came.0.compare_exchange(0, SIGPIPE, Ordering::SeqCst, Ordering::SeqCst);
        stopper.stop(StopReason::Interrupt);
    });
}

/// Calls `act` for each signal that asks this process to end, saying whether it is the first, except for those that it was started to ignore.
pub(crate) fn on_requests_to_end(mut act: impl FnMut(bool) + Send + 'static) -> Result<(), Problem> {
    let problem = |error| Problem::new("signals", error);
    let heeded: Vec<i32> = [SIGINT, SIGTERM].into_iter().filter(|signal| !is_ignored(*signal)).collect();
    let mut signals = Signals::new(heeded).map_err(problem)?;
    let wait = move || {
        for (number, _) in signals.forever().enumerate() {
            act(number == 0);
        }
    };
    let thread = std::thread::Builder::new().name("signals".to_owned());
    innkeeper::spawn_for_host(thread, wait).map_err(problem)
}

/// Calls `act` each time that a terminal goes away, or somebody says so to have files read again, unless this process was started to ignore that.
pub(crate) fn on_hangups(mut act: impl FnMut() + Send + 'static) -> Result<(), Problem> {
    if is_ignored(SIGHUP) {
        return Ok(());
    }
    let problem = |error| Problem::new("signals", error);
    let mut signals = Signals::new([SIGHUP]).map_err(problem)?;
    let wait = move || signals.forever().for_each(|_| act());
    std::thread::Builder::new().name("hangups".to_owned()).spawn(wait).map(drop).map_err(problem)
}

/// Lets signals stop the guest, except for those that this process was started to ignore.
pub(crate) fn stop_on_signals(stopper: &Stopper) -> Result<Came, Problem> {
    let problem = |error| Problem::new("signals", error);
    let heeded: Vec<i32> = STOPPING.into_iter().filter(|signal| !is_ignored(*signal)).collect();
    if heeded.is_empty() {
        return Ok(Came::default());
    }
    let mut signals = Signals::new(heeded).map_err(problem)?;
    let (came, stopper) = (Came::default(), stopper.clone());
    let noted = came.clone();
    let wait = move || {
        for signal in signals.forever() {
            if noted.0.swap(signal, Ordering::SeqCst) != 0 {
                std::process::exit(128 + signal);
            }
            stopper.stop(StopReason::Interrupt);
        }
    };
    let thread = std::thread::Builder::new().name("signals".to_owned()).stack_size(64 << 10);
    innkeeper::spawn_for_host(thread, wait).map_err(problem)?;
    Ok(came)
}
