//! Clocks: the host's, or virtual ones.
//!
//! The monotonic clock counts from when the keys were opened, so that it says nothing about the host.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::error::Error;
use super::gate::{Operation, Permit, Request};
use super::metadata::Timestamp;
use super::{Host, sys};
use crate::keys::Clocks;

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

/// Processor time that this process has used. For the owner of the keys; guests ask [`Host::now`].
#[must_use]
pub fn processor_time() -> Duration {
    sys::now(&Permit::of_the_keys_owner(), Clock::ProcessCpu)
}

/// Where time comes from.
#[derive(Debug)]
pub(super) enum TimeSource {
    /// The host, and the monotonic clock's reading when the keys were opened.
    Real { epoch: Duration },
    /// Nowhere: time passes as the guest looks at it.
    Virtual { realtime: Duration, elapsed_ns: AtomicU64, step_ns: u64, waiting: Waiting },
}

/// What a wait does to virtual clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waiting {
    Advances,
    LeavesThem,
}

impl TimeSource {
    pub(super) fn new(permit: &Permit, clocks: Clocks) -> TimeSource {
        let elapsed_ns = AtomicU64::new(0);
        match clocks {
            Clocks::Real => TimeSource::Real { epoch: sys::now(permit, Clock::Monotonic) },
            Clocks::Fixed { realtime } => {
                TimeSource::Virtual { realtime, elapsed_ns, step_ns: 0, waiting: Waiting::LeavesThem }
            }
            Clocks::Stepped { realtime, step } => TimeSource::Virtual {
                realtime,
                elapsed_ns,
                step_ns: u64::try_from(step.as_nanos()).unwrap_or(u64::MAX),
                waiting: Waiting::Advances,
            },
        }
    }

    /// Whether waits take no real time.
    pub(super) fn is_virtual(&self) -> bool {
        matches!(self, TimeSource::Virtual { .. })
    }

    /// Lets virtual time pass while the guest waits.
    pub(super) fn wait(&self, time: Duration) {
        if let TimeSource::Virtual { elapsed_ns, waiting: Waiting::Advances, .. } = self {
            let more = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
            elapsed_ns.update(Ordering::Relaxed, Ordering::Relaxed, |now| now.saturating_add(more));
        }
    }

    /// A reading. Virtual clocks are all one.
    #[inline]
    fn read(&self, permit: &Permit, clock: Clock, steps: u64) -> Duration {
        match self {
            TimeSource::Real { epoch } if clock == Clock::Monotonic => {
                sys::now(permit, clock).saturating_sub(*epoch)
            }
            TimeSource::Real { .. } => sys::now(permit, clock),
            TimeSource::Virtual { realtime, elapsed_ns, step_ns, .. } => {
                let more = step_ns.saturating_mul(steps);
                // At its end it stands still: it never goes back.
                let elapsed =
                    elapsed_ns.update(Ordering::Relaxed, Ordering::Relaxed, |now| now.saturating_add(more));
                let elapsed = Duration::from_nanos(elapsed);
                if clock == Clock::Realtime { realtime.saturating_add(elapsed) } else { elapsed }
            }
        }
    }

    /// The time to note in metadata; reading it is no reading of the guest's.
    pub(super) fn stamp(&self, permit: &Permit) -> Timestamp {
        let now = self.read(permit, Clock::Realtime, 0);
        Timestamp::new(i64::try_from(now.as_secs()).unwrap_or(i64::MAX), now.subsec_nanos())
    }
}

impl Host {
    /// The clock's reading.
    ///
    /// # Errors
    /// None at present.
    #[inline]
    pub fn now(&self, clock: Clock) -> Result<Duration, Error> {
        let permit = self.gate.decide(&Request::ambient(Operation::Clock))?;
        Ok(self.time.read(&permit, clock, 1))
    }

    /// The smallest step of the clock; never zero.
    ///
    /// # Errors
    /// None at present.
    pub fn resolution(&self, clock: Clock) -> Result<Duration, Error> {
        let permit = self.gate.decide(&Request::ambient(Operation::Clock))?;
        let step = match &self.time {
            TimeSource::Real { .. } => sys::resolution(&permit, clock),
            TimeSource::Virtual { step_ns, .. } => Duration::from_nanos(*step_ns),
        };
        Ok(step.max(Duration::from_nanos(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stepped_clocks_never_go_back() {
        let permit = Permit::of_the_keys_owner();
        for step in [Duration::from_nanos(u64::MAX / 2), Duration::MAX] {
            let source = TimeSource::new(&permit, Clocks::Stepped { realtime: Duration::ZERO, step });
            let mut last = Duration::ZERO;
            for _ in 0..5 {
                for clock in [Clock::Monotonic, Clock::Realtime] {
                    let now = source.read(&permit, clock, 1);
                    assert!(now >= last, "{now:?} after {last:?}");
                    last = now;
                }
                source.wait(Duration::MAX);
            }
        }
    }
}
