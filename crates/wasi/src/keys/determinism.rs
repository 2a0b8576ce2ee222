//! Clocks and randomness: the host's, or ones that are the same in every run.

use std::time::Duration;

/// Which clocks a guest reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Clocks {
    /// The host's. The monotonic clock starts near zero when the keys are opened.
    #[default]
    Real,
    /// Clocks that stand still. Waiting takes no time.
    Fixed {
        /// What the real-time clock shows, from 1970. The others show zero.
        realtime: Duration,
    },
    /// Clocks that advance when they are read, and by as much as the guest waits. Waiting takes no time.
    Stepped {
        /// What the real-time clock shows first, from 1970. The others begin at zero.
        realtime: Duration,
        /// By how much each reading advances all clocks.
        step: Duration,
    },
}

impl Clocks {
    /// Stepped clocks that begin with the year 2000 and advance by a microsecond.
    #[must_use]
    pub fn stepped() -> Clocks {
        Clocks::Stepped { realtime: Duration::from_secs(946_684_800), step: Duration::from_micros(1) }
    }
}

/// Where a guest's randomness comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Random {
    /// The operating system's generator.
    #[default]
    Real,
    /// A generator that gives the same bytes for the same seed. Not fit for secrets.
    Seeded(u64),
}
