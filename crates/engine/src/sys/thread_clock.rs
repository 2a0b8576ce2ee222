//! The clock that tells how much processor time a thread has used, readable from other threads.
//!
//! Must stay true: a clock is read only while its thread lives.

use std::time::Duration;

use crate::error::{Error, ErrorKind};

/// A thread's own clock.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct ThreadClock {
    #[cfg(target_os = "linux")]
    id: libc::clockid_t,
}

#[cfg(target_os = "linux")]
impl ThreadClock {
    /// That of the calling thread.
    ///
    /// # Errors
    /// Where the operating system has none.
    pub(crate) fn of_this_thread() -> Result<ThreadClock, Error> {
        let mut id = 0;
        // SAFETY: the calling thread exists, and the place is ours.
        let result = unsafe { libc::pthread_getcpuclockid(libc::pthread_self(), &raw mut id) };
        match result {
            0 => Ok(ThreadClock { id }),
            _ => Err(no_clock(&std::io::Error::from_raw_os_error(result).to_string())),
        }
    }

    /// Processor time that the thread has used.
    pub(crate) fn read(&self) -> Duration {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the place is ours; where there is no such clock, nothing is written.
        unsafe { libc::clock_gettime(self.id, &raw mut time) };
        Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
    }
}

#[cfg(not(target_os = "linux"))]
impl ThreadClock {
    /// There is none.
    ///
    /// # Errors
    /// Always.
    pub(crate) fn of_this_thread() -> Result<ThreadClock, Error> {
        Err(no_clock("this system is not supported"))
    }

    /// Nothing.
    pub(crate) fn read(&self) -> Duration {
        Duration::ZERO
    }
}

fn no_clock(why: &str) -> Error {
    Error::new(ErrorKind::Os(format!("the processor time of a thread cannot be told: {why}")))
}
