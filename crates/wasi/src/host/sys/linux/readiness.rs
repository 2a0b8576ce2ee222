//! Being told that descriptors have become ready, many of them at once and by one thread: `epoll`.
//!
//! Must stay true: a descriptor is told of once, and is then left alone until it is asked for again. So one that stays ready, and that nobody takes care of, wakes nobody.

use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;

use super::Error;

/// What descriptors are asked for with.
#[derive(Debug)]
pub(crate) struct Readiness(OwnedFd);

/// What a descriptor is waited for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) read: bool,
    pub(crate) write: bool,
}

/// Descriptors that one call can tell of.
const AT_ONCE: usize = 64;

impl Readiness {
    pub(crate) fn new() -> Result<Readiness, Error> {
        Ok(Readiness(epoll::create(CreateFlags::CLOEXEC)?))
    }

    /// Asks to be told once when a descriptor is ready, or was left by its other end; if it is now, at once. What was asked of the same descriptor before is forgotten.
    ///
    /// # Errors
    /// What cannot be waited for; no memory.
    pub(crate) fn ask(&self, fd: BorrowedFd<'_>, wanted: Wanted) -> Result<(), Error> {
        let mut flags = EventFlags::ONESHOT;
        flags.set(EventFlags::IN, wanted.read);
        flags.set(EventFlags::OUT, wanted.write);
        let data = EventData::new_u64(number(fd.as_raw_fd()));
        match epoll::modify(&self.0, fd, data, flags) {
            Err(Errno::NOENT) => Ok(epoll::add(&self.0, fd, data, flags)?),
            result => Ok(result?),
        }
    }

    /// Forgets a descriptor.
    pub(crate) fn forget(&self, fd: BorrowedFd<'_>) {
        // One that is not there need not be forgotten.
        let _ = epoll::delete(&self.0, fd);
    }

    /// Waits for at most `time`, and gives the numbers of some descriptors that are ready.
    pub(crate) fn wait(&self, time: Duration) -> Vec<i32> {
        let mut events: Vec<Event> = Vec::with_capacity(AT_ONCE);
        let time = Timespec {
            tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: time.subsec_nanos().into(),
        };
        // The only failure of a descriptor that is there is a signal, and whoever calls this calls again.
        let _ = epoll::wait(&self.0, rustix::buffer::spare_capacity(&mut events), Some(&time));
        events.iter().map(|event| i32::try_from(event.data.u64()).unwrap_or(-1)).collect()
    }
}

/// A descriptor's number, which is never negative.
fn number(fd: i32) -> u64 {
    u64::try_from(fd).unwrap_or(u64::MAX)
}
