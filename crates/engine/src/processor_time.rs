//! The processor time that a store's guests may use, with the functions of the host that they call.
//!
//! It is counted from the outermost call into the store to its return, instantiation being one, by the clock of the thread that calls. The timer looks at that clock when the time could
//! be over at the earliest, and again when the rest of it could be. Where a function of the host calls the guest on another thread, that thread's time counts meanwhile as well.
//!
//! Whoever polls a future that makes several calls counts the poll as one ([`ProcessorTimeCounter`]).
//!
//! Must stay true: the timer reads the clock of a thread only while the call is under way, when there surely is that thread.

#[cfg(feature = "async")]
use std::future::{Future, poll_fn};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::sys::ThreadClock;
use crate::timer::{Appointment, Next, Timed, Timer};
use crate::vmctx::record::{InterruptHandle, OwnLimit};

/// A store's processor time, for as long as it is limited.
pub(crate) struct ProcessorTime(Shared);

/// The store has it, and who counts polls.
#[derive(Clone)]
struct Shared(Arc<Mutex<Counted>>);

/// What is left of it.
struct Counted {
    handle: InterruptHandle,
    left: Duration,
    /// Calls under way, each inside the one before.
    depth: u32,
    /// Those that began on another thread than the one around them, innermost last.
    calls: Vec<Call>,
    /// Whether the store is gone, or is limited otherwise: then nobody is stopped.
    is_over: bool,
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
        let counted = Counted { handle, left, depth: 0, calls: Vec::new(), is_over: false };
        ProcessorTime(Shared(Arc::new(Mutex::new(counted))))
    }

    /// What is left, as of the last call that returned.
    pub(crate) fn left(&self) -> Duration {
        self.0.counted().left
    }

    /// As [`Counted::enter`].
    #[cold]
    pub(crate) fn enter(&self) -> Result<(), Error> {
        self.0.counted().enter()
    }

    /// As [`Counted::leave`].
    #[cold]
    pub(crate) fn leave(&self) {
        self.0.counted().leave();
    }

    #[cfg(feature = "async")]
    pub(crate) fn counter(time: Option<&ProcessorTime>) -> ProcessorTimeCounter {
        ProcessorTimeCounter(time.map(|time| time.0.clone()))
    }
}

impl Drop for ProcessorTime {
    fn drop(&mut self) {
        self.0.counted().end();
    }
}

impl Shared {
    /// Nobody waits for it long: calls of one store are one inside the other.
    fn counted(&self) -> MutexGuard<'_, Counted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts what a future does that makes several calls into a store: one call for each time that it is polled, which costs less than one for each that it makes. [`crate::Store::processor_time_counter`] gives it.
#[cfg(feature = "async")]
#[derive(Clone)]
pub struct ProcessorTimeCounter(Option<Shared>);

#[cfg(feature = "async")]
impl ProcessorTimeCounter {
    /// Does what `future` does, all of whose polls count as processor time of the store's guests, with what is done between its calls. Where the store has no limit of it, nothing is counted.
    ///
    /// # Errors
    /// Where the operating system tells no thread's time, or refuses the timer's thread; then the future is given up.
    pub async fn count<F: Future>(&self, future: F) -> Result<F::Output, Error> {
        let mut future = std::pin::pin!(future);
        poll_fn(|context| {
            let _call = match self.0.as_ref().map(Entered::enter).transpose() {
                Ok(call) => call,
                Err(error) => return std::task::Poll::Ready(Err(error)),
            };
            future.as_mut().poll(context).map(Ok)
        })
        .await
    }
}

#[cfg(feature = "async")]
impl std::fmt::Debug for ProcessorTimeCounter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProcessorTimeCounter").field("counts", &self.0.is_some()).finish()
    }
}

/// A call that is left however it ends.
#[cfg(feature = "async")]
struct Entered<'a>(&'a Shared);

#[cfg(feature = "async")]
impl<'a> Entered<'a> {
    fn enter(time: &'a Shared) -> Result<Entered<'a>, Error> {
        time.counted().enter()?;
        Ok(Entered(time))
    }
}

#[cfg(feature = "async")]
impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.0.counted().leave();
    }
}

impl Counted {
    /// A call into the store begins; the outermost one on a thread is counted. Where this is an error there is nothing to leave.
    ///
    /// # Errors
    /// Where the operating system tells no thread's time, or refuses the timer's thread.
    fn enter(&mut self) -> Result<(), Error> {
        if self.is_over {
            self.depth += 1;
            return Ok(());
        }
        let clock = ThreadClock::of_this_thread()?;
        // The timer watches the one around it, which this is part of.
        if self.calls.last().is_some_and(|call| call.clock == clock) {
            self.depth += 1;
            return Ok(());
        }
        let left = self.left.saturating_sub(self.used());
        if left.is_zero() {
            // The guest stops at its first loop or call.
            let _ = self.handle.strike(OwnLimit::ProcessorTime);
        } else {
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
    fn leave(&mut self) {
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

    /// Nobody is stopped by this limit any more.
    fn end(&mut self) {
        // The appointments first: they could ask for the stop anew.
        self.calls.clear();
        self.handle.take_back_strike(OwnLimit::ProcessorTime);
        self.is_over = true;
    }
}

impl Call {
    fn used(&self) -> Duration {
        self.clock.read().saturating_sub(self.begin) + self.used_elsewhere
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
