//! Who tells futures that descriptors are ready: one thread of the process, for all guests of all stores that wait without holding a thread of their own.
//!
//! No executor has a part in it: it knows wakers only. The thread is started by the first descriptor that somebody waits for, and ends when there have been none for a
//! while. Times are the engine's timer's ([`innkeeper_engine::timer`]).
//!
//! Must stay true: a descriptor stays open while it is watched, since whoever watches it has borrowed it. When nobody watches it any more, the system has forgotten it, too.
//! Wakers are the embedder's: they are called on other threads ([`innkeeper_engine::waking`]). A process that was forked has a reactor of its own, since the system would tell both of
//! what either asks for.

use std::collections::{BTreeMap, HashMap};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use innkeeper_engine::fork::{After, Registration, Side};
use innkeeper_engine::waking::{self, Call};

use super::error::Error;
use super::poll::Direction;
use super::suspend::Bell;
use super::sys::{Readiness, Wanted};

/// See the module.
pub(super) struct Reactor {
    readiness: Readiness,
    book: Mutex<Book>,
    /// Whether it is that of the process which this one is the fork of.
    is_left: AtomicBool,
}

#[derive(Default)]
struct Book {
    watched: HashMap<i32, Watchers>,
    numbers: u64,
    has_thread: bool,
}

/// Those who wait for one descriptor, however many: whoever comes or goes does not look at the others.
#[derive(Default)]
struct Watchers {
    by_number: BTreeMap<u64, Watcher>,
    /// How many have not been told yet, of each direction.
    readers: usize,
    writers: usize,
}

/// One who waits for a descriptor.
struct Watcher {
    direction: Direction,
    /// None once it has rung.
    bell: Option<Arc<Bell>>,
}

/// A descriptor that is watched until this is dropped.
pub(super) struct Watch<'a> {
    reactor: &'static Reactor,
    fd: BorrowedFd<'a>,
    number: u64,
}

/// How long the thread stays when there is nothing to watch.
const IDLE: Duration = Duration::from_secs(10);

impl Reactor {
    /// The process's own.
    ///
    /// # Errors
    /// No free descriptor.
    pub(super) fn of_process() -> Result<&'static Reactor, Error> {
        static REGISTRATION: Registration = Registration::new(before_fork);
        REGISTRATION.ensure();
        let mut reactor = REACTOR.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(reactor) = *reactor {
            return Ok(reactor);
        }
        // It stays for as long as the process.
        let new =
            Reactor { readiness: Readiness::new()?, book: Mutex::default(), is_left: AtomicBool::new(false) };
        Ok(*reactor.insert(Box::leak(Box::new(new))))
    }

    /// Has `bell` rung once when a descriptor is ready, or has been left by its other end.
    ///
    /// # Errors
    /// What cannot be waited for; the system refuses the thread, or memory.
    pub(super) fn watch<'a>(
        &'static self,
        (fd, direction): (BorrowedFd<'a>, Direction),
        bell: &Arc<Bell>,
    ) -> Result<Watch<'a>, Error> {
        let mut book = self.book();
        if !book.has_thread {
            let thread = std::thread::Builder::new().name("readiness".to_owned());
            // It waits for the lock first.
            innkeeper_engine::thread::spawn_for_host(thread, || self.tell()).map_err(|_| Error::NoMemory)?;
            book.has_thread = true;
        }
        let number = book.numbers;
        book.numbers += 1;
        let watchers = book.watched.entry(fd.as_raw_fd()).or_default();
        watchers.add(number, direction, Arc::clone(bell));
        let asked = self.readiness.ask(fd, watchers.wanted());
        drop(book);
        // Where it failed, what was entered is taken out again.
        let watch = Watch { reactor: self, fd, number };
        asked.map(|()| watch)
    }

    /// What the thread does until there has been nothing to do for a while.
    fn tell(&self) {
        loop {
            let ready = self.readiness.wait(IDLE);
            let mut book = self.book();
            if ready.is_empty() && book.watched.is_empty() {
                book.has_thread = false;
                return;
            }
            let mut bells = Vec::new();
            for fd in ready {
                // Each finds out for itself whether it is what it waits for.
                bells.extend(book.watched.get_mut(&fd).into_iter().flat_map(Watchers::take_bells));
            }
            drop(book);
            if !bells.is_empty() {
                waking::hand_over(bells.into_iter().map(|bell| Box::new(move || bell.ring()) as Call));
            }
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The process's own, once there is one.
static REACTOR: Mutex<Option<&'static Reactor>> = Mutex::new(None);

/// The child makes its own when it first needs one.
fn before_fork() -> After {
    let mut reactor = REACTOR.lock().unwrap_or_else(PoisonError::into_inner);
    Box::new(move |side| {
        if side == Side::Child
            && let Some(reactor) = reactor.take()
        {
            reactor.is_left.store(true, Ordering::Relaxed);
        }
    })
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        // What the other process waits for is its own business.
        if self.reactor.is_left.load(Ordering::Relaxed) {
            return;
        }
        let fd = self.fd.as_raw_fd();
        let mut book = self.reactor.book();
        let Some(watchers) = book.watched.get_mut(&fd) else { return };
        watchers.remove(self.number);
        if watchers.by_number.is_empty() {
            book.watched.remove(&fd);
            // Still locked: who watches the same descriptor next asks afterwards.
            self.reactor.readiness.forget(self.fd);
        }
    }
}

impl Watchers {
    fn add(&mut self, number: u64, direction: Direction, bell: Arc<Bell>) {
        self.by_number.insert(number, Watcher { direction, bell: Some(bell) });
        *self.count(direction) += 1;
    }

    fn remove(&mut self, number: u64) {
        let Some(watcher) = self.by_number.remove(&number) else { return };
        if watcher.bell.is_some() {
            *self.count(watcher.direction) -= 1;
        }
    }

    /// The bells that have not rung yet, which now will.
    fn take_bells(&mut self) -> impl Iterator<Item = Arc<Bell>> {
        (self.readers, self.writers) = (0, 0);
        self.by_number.values_mut().filter_map(|watcher| watcher.bell.take())
    }

    /// What those want who have not been told yet.
    fn wanted(&self) -> Wanted {
        Wanted { read: self.readers > 0, write: self.writers > 0 }
    }

    fn count(&mut self, direction: Direction) -> &mut usize {
        match direction {
            Direction::Read => &mut self.readers,
            Direction::Write => &mut self.writers,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is wanted of the system after each who comes, goes or is told is what those want who have not been told, whoever they are.
    #[test]
    fn what_is_wanted_follows_who_comes_and_goes() {
        let mut watchers = Watchers::default();
        let wants = |watchers: &Watchers| (watchers.wanted().read, watchers.wanted().write);
        assert_eq!(wants(&watchers), (false, false));
        watchers.add(0, Direction::Read, Arc::default());
        watchers.add(1, Direction::Write, Arc::default());
        watchers.add(2, Direction::Write, Arc::default());
        assert_eq!(wants(&watchers), (true, true));
        watchers.remove(0);
        // One that has gone goes only once.
        watchers.remove(0);
        watchers.remove(1);
        assert_eq!(wants(&watchers), (false, true));
        assert_eq!(watchers.take_bells().count(), 1);
        assert_eq!(wants(&watchers), (false, false));
        watchers.add(3, Direction::Read, Arc::default());
        // That one has been told.
        watchers.remove(2);
        assert_eq!(wants(&watchers), (true, false));
        assert_eq!(watchers.take_bells().count(), 1);
        watchers.remove(3);
        assert!(watchers.by_number.is_empty());
    }
}
