//! Clocks.
//!
//! The monotonic clock counts from when the keys were opened, so that it says nothing about the host.

use std::time::Duration;

use super::error::Error;
use super::gate::{Operation, Request};
use super::{Host, sys};

/// A clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Clock {
    /// Time since 1970; may jump.
    Realtime,
    /// Time since some beginning; never goes back.
    Monotonic,
    /// Processor time of the host process.
    ProcessCpu,
    /// Processor time of the calling thread.
    ThreadCpu,
}

impl Host {
    /// The clock's reading.
    ///
    /// # Errors
    /// None at present.
    pub fn now(&self, clock: Clock) -> Result<Duration, Error> {
        let permit = self.gate.decide(&Request::ambient(Operation::Clock))?;
        let now = sys::now(&permit, clock);
        Ok(if clock == Clock::Monotonic { now.saturating_sub(self.epoch) } else { now })
    }

    /// The smallest step of the clock; never zero.
    ///
    /// # Errors
    /// None at present.
    pub fn resolution(&self, clock: Clock) -> Result<Duration, Error> {
        let permit = self.gate.decide(&Request::ambient(Operation::Clock))?;
        Ok(sys::resolution(&permit, clock).max(Duration::from_nanos(1)))
    }
}
