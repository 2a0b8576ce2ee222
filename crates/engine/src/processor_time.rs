//! The processor time that a store's guests may use, with the functions of the host that they call.
//!
//! It is counted from the outermost call into the store to its return, instantiation being one, by the clock of the thread that calls. The timer looks at that clock when the time could
//! be over at the earliest, and again when the rest of it could be.
//!
//! Must stay true: the timer reads the clock of a thread only while the call is under way, when there surely is that thread.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::sys::ThreadClock;
use crate::timer::{Appointment, Next, Timed, Timer};
use crate::vmctx::record::{InterruptHandle, OwnLimit};

/// What is left of a store's processor time.
pub(crate) struct ProcessorTime {
    handle: InterruptHandle,
    left: Duration,
    /// Calls under way, each inside the one before.
    depth: u32,
    call: Option<Call>,
}

/// A call that is under way.
struct Call {
    clock: ThreadClock,
    begin: Duration,
    _appointment: Appointment,
}

/// What the timer knows of a call.
struct Watched {
    handle: InterruptHandle,
    clock: ThreadClock,
    /// The clock's reading when the time is over.
    end: Duration,
}

impl ProcessorTime {
    pub(crate) fn new(handle: InterruptHandle, left: Duration) -> ProcessorTime {
        ProcessorTime { handle, left, depth: 0, call: None }
    }

    /// What is left, as of the last call that returned.
    pub(crate) fn left(&self) -> Duration {
        self.left
    }

    /// A call into the store begins; the outermost one is counted, on this thread. Where this is an error there is nothing to leave.
    ///
    /// # Errors
    /// Where the operating system tells no thread's time, or refuses the timer's thread.
    #[cold]
    pub(crate) fn enter(&mut self) -> Result<(), Error> {
        if self.depth > 0 {
            self.depth += 1;
            return Ok(());
        }
        if self.left.is_zero() {
            self.depth = 1;
            // The guest stops at its first loop or call.
            let _ = self.handle.strike(OwnLimit::ProcessorTime);
            return Ok(());
        }
        let clock = ThreadClock::of_this_thread()?;
        let begin = clock.read();
        let watched = Watched { handle: self.handle.clone(), clock, end: begin.saturating_add(self.left) };
        // A thread's own time passes no faster than that on the wall.
        let appointment = Timer::of_process().appoint(self.left, Arc::new(watched))?;
        self.call = Some(Call { clock, begin, _appointment: appointment });
        self.depth = 1;
        Ok(())
    }

    /// It is over.
    #[cold]
    pub(crate) fn leave(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        if self.depth > 0 {
            return;
        }
        if let Some(call) = self.call.take() {
            let used = call.clock.read().saturating_sub(call.begin);
            self.left = self.left.saturating_sub(used);
        }
    }
}

impl Drop for ProcessorTime {
    fn drop(&mut self) {
        // The appointment first: it could ask for the stop anew.
        self.call = None;
        self.handle.take_back_strike(OwnLimit::ProcessorTime);
    }
}

impl Timed for Watched {
    fn strike(&self) -> Next {
        let left = self.end.saturating_sub(self.clock.read());
        match left.is_zero() {
            true => self.handle.strike(OwnLimit::ProcessorTime),
            false => Next::At(Instant::now() + left),
        }
    }

    fn follow(&self) {
        self.handle.wake_waiting();
    }
}
