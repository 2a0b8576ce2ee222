//! Whether whoever started this process has had it ignore a signal, on Linux.
//!
//! Of the signal for a pipe that nobody reads this is asked before `main`: the standard library has every process ignore it from there on.

use std::sync::atomic::{AtomicBool, Ordering};

/// Whether pipes that nobody reads were to be told of by errors only.
static PIPES_WERE_IGNORED: AtomicBool = AtomicBool::new(false);

// SAFETY: of the linker's section this is what the loader expects there, the address of a function that it calls once, before `main`. What the loader passes is not
// read, and the function needs nothing that is set up later.
#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = look_at_pipes;

extern "C" fn look_at_pipes() {
    PIPES_WERE_IGNORED.store(is_ignored(libc::SIGPIPE), Ordering::Relaxed);
}

/// Whether this process was started to ignore pipes that nobody reads.
pub(super) fn pipes_were_ignored() -> bool {
    PIPES_WERE_IGNORED.load(Ordering::Relaxed)
}

/// Whether a signal is ignored.
pub(super) fn is_ignored(signal: libc::c_int) -> bool {
    // SAFETY: of integers, flags and an address that is not used, all of which may be 0.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: without a new action the call only writes the present one, to a place that lives as long as the call.
    let asked = unsafe { libc::sigaction(signal, std::ptr::null(), &raw mut action) };
    asked == 0 && action.sa_sigaction == libc::SIG_IGN
}
