//! A store's deadline: an appointment with the process's timer, at which the store's guests are stopped.
//!
//! Must stay true: a deadline that has been lifted stops nobody, also where its time was up a moment before and no guest has seen it yet.

use std::time::Duration;

use crate::error::Error;
use crate::timer::{Appointment, Timer};
use crate::vmctx::record::{InterruptHandle, OwnLimit};

/// A deadline that is running, or has struck. Dropping it lifts it.
pub(crate) struct Deadline {
    handle: InterruptHandle,
    appointment: Appointment,
}

impl Deadline {
    /// Stops the guests of `handle`'s store when `after` has passed.
    pub(crate) fn start(handle: InterruptHandle, after: Duration) -> Result<Deadline, Error> {
        let appointment = Timer::of_process().appoint(after, handle.deadline())?;
        Ok(Deadline { handle, appointment })
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        if !self.appointment.cancel() {
            self.handle.take_back_strike(OwnLimit::Deadline);
        }
    }
}
