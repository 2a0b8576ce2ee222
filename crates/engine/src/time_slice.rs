//! After how long a guest that was called so that it can wait lets others have their turn.
//!
//! The timer is asked when a poll begins, and not again before it has struck: who polls often is told too early now and then, and pays nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::error::Error;
use crate::timer::{Appointment, Next, Timed, Timer};
use crate::vmctx::record::InterruptHandle;

/// A store's slice of time.
pub(crate) struct TimeSlice {
    every: Duration,
    watched: Arc<Watched>,
    appointment: Option<Appointment>,
}

/// What the timer knows of it.
struct Watched {
    handle: InterruptHandle,
    has_struck: AtomicBool,
}

impl TimeSlice {
    pub(crate) fn new(handle: InterruptHandle, every: Duration) -> TimeSlice {
        let watched = Watched { handle, has_struck: AtomicBool::new(false) };
        TimeSlice { every, watched: Arc::new(watched), appointment: None }
    }

    /// A poll begins.
    ///
    /// # Errors
    /// Where the operating system refuses the timer's thread.
    pub(crate) fn begin(&mut self) -> Result<(), Error> {
        if self.appointment.is_some() && !self.watched.has_struck.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        // What was asked for when nobody ran is for nobody.
        self.watched.handle.forget_yield();
        let timed = Arc::clone(&self.watched) as Arc<dyn Timed>;
        self.appointment = Some(Timer::of_process().appoint(self.every, timed)?);
        Ok(())
    }
}

impl TimeSlice {
    /// Whether it has gone since a poll last began.
    pub(crate) fn has_gone(&self) -> bool {
        self.watched.has_struck.load(Ordering::Acquire)
    }
}

impl Drop for TimeSlice {
    fn drop(&mut self) {
        // The appointment first: it could ask anew.
        self.appointment = None;
        self.watched.handle.forget_yield();
    }
}

impl Timed for Watched {
    fn strike(&self) -> Next {
        self.has_struck.store(true, Ordering::Release);
        self.handle.ask_to_yield();
        Next::Done
    }
}
