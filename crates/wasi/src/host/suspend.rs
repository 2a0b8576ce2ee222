//! Waits that hold no thread: futures that are woken by the reactor, the timer and whoever stops the guest.
//!
//! Being woken means only that something may have happened: what is ready is looked at anew each time, as where a thread is held. What the store asks of its guests, its
//! deadline above all, is not looked at here: whoever polls the guest's call does so, and drops what it waits for.
//!
//! Must stay true: a future of these that is dropped leaves nothing behind, neither with the reactor nor with the timer. One that is leaked without being dropped goes on to be
//! watched, and its descriptors are never closed.

use std::collections::HashSet;
use std::future::poll_fn;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use innkeeper_engine::timer::{Next, Timed, Timer};

use super::error::Error;
use super::gate::Permit;
use super::poll::{Direction, Interrupt};
use super::reactor::{Reactor, Watch};
use super::{Host, sys};

/// What a future waits for that several may wake.
#[derive(Default)]
pub(super) struct Bell(Mutex<Rung>);

#[derive(Default)]
struct Rung {
    has_rung: bool,
    /// Whom to wake, once somebody has polled.
    waker: Option<Waker>,
}

impl Host {
    /// As on a thread: waits until an entry is ready, or `timeout` has passed.
    pub(super) async fn suspend_on(
        &self,
        permit: &Permit,
        entries: &mut [sys::PollEntry<'_>],
        timeout: Option<Duration>,
    ) -> Result<(), Error> {
        // A time that no clock reaches is no limit.
        let end = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        loop {
            if self.look(permit, entries)? || end.is_some_and(|end| Instant::now() >= end) {
                return Ok(());
            }
            self.until_something_happens(entries, end).await?;
        }
    }

    /// Whether an entry is ready now, which it then says.
    fn look(&self, permit: &Permit, entries: &mut [sys::PollEntry<'_>]) -> Result<bool, Error> {
        if self.interrupt.get().is_some_and(Interrupt::is_raised) {
            return Err(Error::Interrupted);
        }
        if entries.is_empty() {
            return Ok(false);
        }
        while let Err(error) = sys::poll(permit, entries, Some(Duration::ZERO)) {
            if error != Error::Interrupted {
                return Err(error);
            }
        }
        Ok(entries.iter().any(|entry| entry.ready))
    }

    /// Waits until an entry may be ready, the interrupt may be raised, or it may be the time.
    async fn until_something_happens(
        &self,
        entries: &[sys::PollEntry<'_>],
        end: Option<Instant>,
    ) -> Result<(), Error> {
        let bell = Arc::new(Bell::default());
        let interrupt = self.interrupt.get().map(|interrupt| (interrupt.descriptor(), Direction::Read));
        let watched = once_each(entries).chain(interrupt);
        let _watches: Vec<Watch<'_>> =
            watched.map(|entry| Reactor::of_process()?.watch(entry, &bell)).collect::<Result<_, Error>>()?;
        let _appointment = match end {
            Some(end) => {
                let left = end.saturating_duration_since(Instant::now());
                let appointed = Timer::of_process().appoint(left, Arc::clone(&bell) as Arc<dyn Timed>);
                Some(appointed.map_err(|_| Error::NoMemory)?)
            }
            None => None,
        };
        poll_fn(|context| bell.poll(context.waker())).await;
        Ok(())
    }
}

/// What to watch for the entries: a guest may ask for the same thing as often as it likes.
fn once_each<'a>(entries: &[sys::PollEntry<'a>]) -> impl Iterator<Item = (BorrowedFd<'a>, Direction)> {
    let mut watched = HashSet::new();
    entries
        .iter()
        .map(|entry| (entry.fd, entry.direction))
        .filter(move |&(fd, direction)| watched.insert((fd.as_raw_fd(), direction)))
}

impl Bell {
    /// Wakes who waits.
    pub(super) fn ring(&self) {
        let mut rung = self.rung();
        rung.has_rung = true;
        let waker = rung.waker.take();
        drop(rung);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn poll(&self, waker: &Waker) -> Poll<()> {
        let mut rung = self.rung();
        if rung.has_rung {
            return Poll::Ready(());
        }
        let before = match &rung.waker {
            Some(known) if known.will_wake(waker) => None,
            _ => rung.waker.replace(waker.clone()),
        };
        drop(rung);
        // The embedder's, with nothing locked.
        drop(before);
        Poll::Pending
    }

    fn rung(&self) -> MutexGuard<'_, Rung> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The time has come.
impl Timed for Bell {
    fn strike(&self) -> Next {
        Next::Follow
    }

    fn follow(&self) {
        self.ring();
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn what_is_asked_for_many_times_is_watched_once() {
        let (one, other) = std::io::pipe().unwrap();
        let entry = |fd, direction| sys::PollEntry { fd, direction, ready: false, hangup: false };
        let kinds = [
            (one.as_fd(), Direction::Read),
            (other.as_fd(), Direction::Write),
            (one.as_fd(), Direction::Write),
        ];
        let entries: Vec<_> = kinds.iter().cycle().take(3000).map(|&(fd, way)| entry(fd, way)).collect();
        let numbers = |(fd, way): (BorrowedFd<'_>, Direction)| (fd.as_raw_fd(), way);
        let watched: Vec<_> = once_each(&entries).map(numbers).collect();
        assert_eq!(watched, kinds.map(numbers));
    }
}
