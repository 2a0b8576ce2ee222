//! Waiting, clocks, randomness, the scheduler.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec};
use rustix::rand::GetRandomFlags;
use rustix::time::ClockId;

use super::{Error, retry};
use crate::host::clock::Clock;
use crate::host::gate::Permit;
use crate::host::poll::Direction;

/// What one descriptor is waited for, and what came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PollEntry<'a> {
    pub(crate) fd: BorrowedFd<'a>,
    pub(crate) direction: Direction,
    pub(crate) ready: bool,
    pub(crate) hangup: bool,
}

/// Waits once, until something is ready, the time is over, or a signal arrives ([`Error::Interrupted`]).
/// No timeout means for ever.
pub(crate) fn poll(
    _: &Permit,
    entries: &mut [PollEntry<'_>],
    timeout: Option<Duration>,
) -> Result<(), Error> {
    let mut fds: Vec<PollFd<'_>> = entries
        .iter()
        .map(|entry| match entry.direction {
            Direction::Read => PollFd::from_borrowed_fd(entry.fd, PollFlags::IN),
            Direction::Write => PollFd::from_borrowed_fd(entry.fd, PollFlags::OUT),
        })
        .collect();
    let timeout = timeout.map(|timeout| Timespec {
        tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: timeout.subsec_nanos().into(),
    });
    rustix::event::poll(&mut fds, timeout.as_ref())?;
    let came: Vec<PollFlags> = fds.iter().map(PollFd::revents).collect();
    for (entry, came) in entries.iter_mut().zip(came) {
        entry.ready = !came.is_empty();
        entry.hangup = came.intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL);
    }
    Ok(())
}

/// A descriptor that can be made readable from any thread.
pub(crate) fn open_signal() -> Result<OwnedFd, Error> {
    Ok(rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?)
}

/// Makes it readable. Doing so twice is doing so once.
pub(crate) fn raise_signal(fd: &OwnedFd) {
    // The only failure is that the counter is full, and then it is readable.
    let _ = retry(|| rustix::io::write(fd.as_fd(), &1u64.to_ne_bytes()));
}

/// Makes it unreadable.
pub(crate) fn clear_signal(fd: &OwnedFd) {
    let mut counter = [0; 8];
    let _ = retry(|| rustix::io::read(fd.as_fd(), &mut counter));
}

/// Time since the clock's origin; zero before it.
#[inline]
pub(crate) fn now(_: &Permit, clock: Clock) -> Duration {
    duration(rustix::time::clock_gettime(clock_id(clock)))
}

pub(crate) fn resolution(_: &Permit, clock: Clock) -> Duration {
    duration(rustix::time::clock_getres(clock_id(clock)))
}

/// Fills part of `buffer`, at least one byte unless it is empty.
pub(crate) fn random(_: &Permit, buffer: &mut [u8]) -> Result<usize, Error> {
    retry(|| rustix::rand::getrandom(&mut *buffer, GetRandomFlags::empty()))
}

pub(crate) fn yield_now(_: &Permit) {
    rustix::thread::sched_yield();
}

fn clock_id(clock: Clock) -> ClockId {
    match clock {
        Clock::Realtime => ClockId::Realtime,
        Clock::Monotonic => ClockId::Monotonic,
        Clock::ProcessCpu => ClockId::ProcessCPUTime,
        Clock::ThreadCpu => ClockId::ThreadCPUTime,
    }
}

fn duration(time: Timespec) -> Duration {
    match (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec)) {
        (Ok(seconds), Ok(nanoseconds)) => Duration::new(seconds, nanoseconds),
        _ => Duration::ZERO,
    }
}
