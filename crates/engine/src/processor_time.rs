//! The processor time that a store's guests may use, with the functions of the host that they call.
//!
//! It is counted from the outermost call into the store to its return, instantiation being one, by the clock of the thread that calls. The timer looks at that clock when the time could
//! be over at the earliest, and again when the rest of it could be. Where a function of the host calls the guest on another thread, that thread's time counts meanwhile as well.
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
    /// Those that began on another thread than the one around them, innermost last.
    calls: Vec<Call>,
}

/// A call that is under way, with all that are in it on the same thread.
struct Call {
    /// How many calls are around it.
    outside: u32,
    clock: ThreadClock,
    begin: Duration,
    /// What those inside it have used on other threads.
    used_elsewhere: Duration,
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
        ProcessorTime { handle, left, depth: 0, calls: Vec::new() }
    }

    /// What is left, as of the last call that returned.
    pub(crate) fn left(&self) -> Duration {
        self.left
    }

    /// A call into the store begins; the outermost one on a thread is counted. Where this is an error there is nothing to leave.
    ///
    /// # Errors
    /// Where the operating system tells no thread's time, or refuses the timer's thread.
    #[cold]
    pub(crate) fn enter(&mut self) -> Result<(), Error> {
        let left = self.left.saturating_sub(self.used());
        if left.is_zero() {
            self.depth += 1;
            // The guest stops at its first loop or call.
            let _ = self.handle.strike(OwnLimit::ProcessorTime);
            return Ok(());
        }
        let clock = ThreadClock::of_this_thread()?;
        if self.calls.last().is_none_or(|call| call.clock != clock) {
            let call = self.call(clock, clock.read(), left)?;
            self.calls.push(call);
        }
        self.depth += 1;
        Ok(())
    }

    /// A call that is to be stopped when its thread has used so much more than at `begin`.
    fn call(&self, clock: ThreadClock, begin: Duration, left: Duration) -> Result<Call, Error> {
        let watched = Watched { handle: self.handle.clone(), clock, end: begin.saturating_add(left) };
        // A thread's own time passes no faster than that on the wall.
        let appointment = Timer::of_process().appoint(left, Arc::new(watched))?;
        Ok(Call {
            outside: self.depth,
            clock,
            begin,
            used_elsewhere: Duration::ZERO,
            _appointment: appointment,
        })
    }

    /// What the calls under way have used.
    fn used(&self) -> Duration {
        self.calls.iter().map(Call::used).sum()
    }

    /// It is over.
    #[cold]
    pub(crate) fn leave(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        let Some(call) = self.calls.pop_if(|call| call.outside == self.depth) else { return };
        let used = call.used();
        drop(call);
        let Some(outer) = self.calls.last_mut() else {
            self.left = self.left.saturating_sub(used);
            return;
        };
        outer.used_elsewhere += used;
        // It is to be stopped earlier now.
        let (outside, clock, begin, used_elsewhere) =
            (outer.outside, outer.clock, outer.begin, outer.used_elsewhere);
        let left = self.left.saturating_sub(used_elsewhere);
        // Where that is refused, it is stopped when it has used as much as there was when it began.
        if let Ok(call) = self.call(clock, begin, left) {
            self.calls.pop();
            self.calls.push(Call { outside, used_elsewhere, ..call });
        }
    }
}

impl Call {
    fn used(&self) -> Duration {
        self.clock.read().saturating_sub(self.begin) + self.used_elsewhere
    }
}

impl Drop for ProcessorTime {
    fn drop(&mut self) {
        // The appointment first: it could ask for the stop anew.
        self.calls.clear();
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
