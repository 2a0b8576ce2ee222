//! Where guests' threads wait for each other: `memory.atomic.wait` and `memory.atomic.notify` (threads proposal, "Wait and notify").
//!
//! Waiters stand in queues, one an address of the host, first come first woken. Looking at the expected value and joining the queue
//! happen under the lock that waking takes too, so that no wake-up is lost. One lock serves all addresses: whoever gets here is
//! about to sleep or has just made others runnable. What waits is a thread, or, in a call that can wait, a future ([`Parked`]); they stand in the same queues.
//!
//! Must stay true: whatever one waiter does under the lock takes about as long however many others wait. The timer interrupts waiters, and all deadlines of the
//! process wait for it. Wakers are the embedder's: they are cloned, called and dropped with nothing locked.
//!
//! What this module is not: a reader of guest memory; the caller brings the comparison. Nor does it look whether who polls a future is to stop: `runtime/future.rs` does.

#[cfg(any(test, feature = "async"))]
mod parked;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, TryLockError};
use std::time::{Duration, Instant};

#[cfg(feature = "async")]
pub(crate) use parked::Parked;

use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Condvar, Mutex, MutexGuard};

/// The queues of an engine.
#[derive(Default)]
pub(crate) struct Parking {
    queues: Mutex<Queues>,
}

#[derive(Default)]
struct Queues {
    /// The waiters at each address that has any, by when they came.
    at: HashMap<usize, BTreeMap<u64, Arc<Waiter>>>,
    /// The waiter of each store that has one, with who it is: a store waits on one thread at a time.
    of_store: HashMap<usize, Arc<Waiter>>,
    /// The futures of each store that has any, with where they wait: it has several where its calls are in each other, or were leaked.
    futures_of: HashMap<usize, BTreeMap<u64, usize>>,
    /// How many have come.
    tickets: u64,
}

struct Waiter {
    /// Whose thread it is: the store's record.
    store: usize,
    /// The place in the order of all that have come.
    ticket: u64,
    woken: AtomicBool,
    sleeper: Sleeper,
}

/// What waits.
enum Sleeper {
    Thread(Condvar),
    #[cfg(any(test, feature = "async"))]
    Future(parked::Alarm),
}

/// Futures that have been woken, and whose pollers have yet to be told: that is the embedder's code, which runs on no stack of a guest's.
#[derive(Default)]
#[must_use]
pub(crate) struct Woken(Vec<Arc<Waiter>>);

impl Woken {
    #[cfg(feature = "async")]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Has those who poll them told.
    #[cfg(any(test, feature = "async"))]
    pub(crate) fn ring(self) {
        self.0.iter().for_each(|waiter| waiter.ring());
    }
}

impl Sleeper {
    fn thread(&self) -> Option<&Condvar> {
        match self {
            Sleeper::Thread(wake) => Some(wake),
            #[cfg(any(test, feature = "async"))]
            Sleeper::Future(_) => None,
        }
    }
}

/// How a wait ended; the numbers are the instruction's results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum WaitOutcome {
    Woken = 0,
    NotEqual = 1,
    TimedOut = 2,
    /// No result of the instruction: somebody requests a safepoint of the store.
    Interrupted = 3,
}

impl Parking {
    /// Waits at `address` until woken, or until `timeout` has passed, unless `is_expected` says no at the outset. `is_interrupted` can end the
    /// wait at any time; whoever makes it true calls [`Parking::interrupt`] afterwards, for the same `store`.
    pub(crate) fn wait(
        &self,
        (store, address): (usize, usize),
        is_expected: impl FnOnce() -> bool,
        timeout: Option<Duration>,
        is_interrupted: impl Fn() -> bool,
    ) -> WaitOutcome {
        let mut queues = self.lock();
        if !is_expected() {
            return WaitOutcome::NotEqual;
        }
        let waiter = queues.join(address, store, Sleeper::Thread(Condvar::new()));
        let mut queues = block(queues, &waiter, deadline(timeout), &is_interrupted);
        if waiter.woken.load(Ordering::Relaxed) {
            return WaitOutcome::Woken;
        }
        queues.leave(address, &waiter);
        if is_interrupted() { WaitOutcome::Interrupted } else { WaitOutcome::TimedOut }
    }

    /// Lets the waiter that a store has look whether it is interrupted. Not all others: whoever stops a guest with very many threads asks for each.
    pub(crate) fn interrupt(&self, store: usize) {
        let Some(queues) = self.lock_if_it_can_be() else { return };
        if let Some(waiter) = queues.of_store.get(&store)
            && let Some(wake) = waiter.sleeper.thread()
        {
            wake.notify_one();
        }
    }

    /// Wakes at most `count` of those that wait at `address`, and says how many; those that are futures once [`Woken::ring`] is called.
    pub(crate) fn notify(&self, address: usize, count: u32) -> (u32, Woken) {
        let mut queues = self.lock();
        let (mut taken, mut woken) = (0, Woken::default());
        while taken < count
            && let Some(waiter) = queues.first(address)
        {
            queues.leave(address, &waiter);
            waiter.woken.store(true, Ordering::Relaxed);
            match waiter.sleeper.thread() {
                Some(wake) => wake.notify_one(),
                None => woken.0.push(waiter),
            }
            taken += 1;
        }
        (taken, woken)
    }

    /// Takes out what a store has left that is going: futures that were leaked. Another store, or memory, may come where it was, and is not to meet them.
    #[cfg(any(test, feature = "async"))]
    pub(crate) fn forget(&self, store: usize) {
        let mut queues = self.lock();
        let futures = queues.futures_of.remove(&store).unwrap_or_default();
        let mut forgotten = Vec::new();
        for (ticket, address) in futures {
            if let Some(queue) = queues.at.get_mut(&address) {
                forgotten.extend(queue.remove(&ticket));
                if queue.is_empty() {
                    queues.at.remove(&address);
                }
            }
        }
        drop(queues);
        // Wakers are the embedder's, and these are never called.
        drop(forgotten);
    }

    /// None where a thread of the process that this one is the fork of seems to hold the lock for ever: no thread of this one waits in those queues then. The timer, which everybody
    /// needs, is not to wait for it.
    fn lock_if_it_can_be(&self) -> Option<MutexGuard<'_, Queues>> {
        const PATIENCE: Duration = Duration::from_secs(1);
        if crate::fork::generation() == 0 {
            return Some(self.lock());
        }
        let begin = Instant::now();
        loop {
            match self.queues.try_lock() {
                Ok(queues) => return Some(queues),
                Err(TryLockError::Poisoned(poisoned)) => return Some(poisoned.into_inner()),
                Err(TryLockError::WouldBlock) if begin.elapsed() > PATIENCE => return None,
                Err(TryLockError::WouldBlock) => std::thread::yield_now(),
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queues {
    /// A waiter of `store`, behind all others at `address`.
    fn join(&mut self, address: usize, store: usize, sleeper: Sleeper) -> Arc<Waiter> {
        let ticket = self.tickets;
        self.tickets += 1;
        let waiter = Arc::new(Waiter { store, ticket, woken: AtomicBool::new(false), sleeper });
        self.at.entry(address).or_default().insert(ticket, Arc::clone(&waiter));
        // Who polls a future is woken by whoever interrupts the store.
        if waiter.sleeper.thread().is_some() {
            self.of_store.insert(store, Arc::clone(&waiter));
        } else {
            self.futures_of.entry(store).or_default().insert(ticket, address);
        }
        waiter
    }

    /// Who has waited longest at `address`.
    fn first(&self, address: usize) -> Option<Arc<Waiter>> {
        let (_, waiter) = self.at.get(&address)?.first_key_value()?;
        Some(Arc::clone(waiter))
    }

    /// Takes a waiter out that waits at `address`.
    fn leave(&mut self, address: usize, waiter: &Waiter) {
        if let Some(queue) = self.at.get_mut(&address) {
            queue.remove(&waiter.ticket);
            if queue.is_empty() {
                self.at.remove(&address);
            }
        }
        if self.of_store.get(&waiter.store).is_some_and(|of_store| of_store.ticket == waiter.ticket) {
            self.of_store.remove(&waiter.store);
        }
        if let Some(futures) = self.futures_of.get_mut(&waiter.store) {
            futures.remove(&waiter.ticket);
            if futures.is_empty() {
                self.futures_of.remove(&waiter.store);
            }
        }
    }

    #[cfg(test)]
    fn is_empty(&self) -> bool {
        self.at.is_empty() && self.of_store.is_empty() && self.futures_of.is_empty()
    }
}

/// When a wait that may take so long ends. A time beyond what the clock can express never comes.
fn deadline(timeout: Option<Duration>) -> Option<Instant> {
    timeout.and_then(|timeout| Instant::now().checked_add(timeout))
}

/// The one place where a guest's thread sleeps: until the waiter is woken or interrupted, or the deadline has come.
fn block<'a>(
    mut queues: MutexGuard<'a, Queues>,
    waiter: &Waiter,
    deadline: Option<Instant>,
    is_interrupted: &impl Fn() -> bool,
) -> MutexGuard<'a, Queues> {
    let Some(wake) = waiter.sleeper.thread() else { return queues };
    while !waiter.woken.load(Ordering::Relaxed) && !is_interrupted() {
        queues = match deadline {
            None => wake.wait(queues).unwrap_or_else(PoisonError::into_inner),
            Some(deadline) => {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    break;
                }
                wake.wait_timeout(queues, left).unwrap_or_else(PoisonError::into_inner).0
            }
        };
    }
    queues
}

#[cfg(all(test, not(feature = "loom")))]
mod tests {
    use std::time::{Duration, Instant};

    use super::{Condvar, Parking, Sleeper, WaitOutcome};

    #[test]
    fn a_wait_ends_with_its_timeout_and_leaves_no_trace() {
        let parking = Parking::default();
        assert_eq!(parking.wait((0, 8), || false, None, || false), WaitOutcome::NotEqual);
        assert_eq!(parking.wait((0, 8), || true, Some(Duration::ZERO), || false), WaitOutcome::TimedOut);
        assert_eq!(
            parking.wait((0, 8), || true, Some(Duration::from_millis(5)), || false),
            WaitOutcome::TimedOut
        );
        assert_eq!(parking.notify(8, u32::MAX).0, 0);
        assert!(parking.lock().is_empty());
    }

    #[test]
    fn notify_wakes_as_many_as_asked_at_its_own_address_only() {
        let parking = Parking::default();
        let parking = &parking;
        std::thread::scope(|scope| {
            let wait = |store| scope.spawn(move || parking.wait((store, 16), || true, None, || false));
            let threads: Vec<_> = (0..3).map(wait).collect();
            while parking.lock().at.get(&16).map_or(0, |queue| queue.len()) < 3 {
                std::thread::yield_now();
            }
            assert_eq!(parking.notify(24, 1).0, 0);
            assert_eq!(parking.notify(16, 0).0, 0);
            assert_eq!(parking.notify(16, 2).0, 2);
            assert_eq!(parking.notify(16, 5).0, 1);
            for thread in threads {
                assert_eq!(thread.join().unwrap(), WaitOutcome::Woken);
            }
        });
        assert!(parking.lock().is_empty());
    }

    #[test]
    fn an_interrupt_ends_a_wait_and_leaves_no_trace() {
        let parking = Parking::default();
        let asked = std::sync::atomic::AtomicBool::new(false);
        let (parking, asked) = (&parking, &asked);
        let is_interrupted = || asked.load(std::sync::atomic::Ordering::SeqCst);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(move || parking.wait((7, 32), || true, None, is_interrupted));
            while parking.lock().is_empty() {
                std::thread::yield_now();
            }
            asked.store(true, std::sync::atomic::Ordering::SeqCst);
            parking.interrupt(7);
            assert_eq!(waiting.join().unwrap(), WaitOutcome::Interrupted);
        });
        assert!(parking.lock().is_empty());
    }

    /// Stores with one deadline are interrupted together, and those whose timeouts come together leave together.
    #[test]
    fn interrupting_and_leaving_take_as_long_however_many_wait() {
        const COUNT: usize = 50_000;
        let parking = Parking::default();
        let thread = || Sleeper::Thread(Condvar::new());
        let waiters: Vec<_> = (0..COUNT).map(|store| parking.lock().join(8, store, thread())).collect();
        let begin = Instant::now();
        // Who came last is the one that a search finds last.
        for store in (0..COUNT).rev() {
            parking.interrupt(store);
        }
        for waiter in waiters.iter().rev() {
            parking.lock().leave(8, waiter);
        }
        let taken = begin.elapsed();
        assert!(parking.lock().is_empty());
        assert!(taken < Duration::from_secs(1), "{taken:?} for {COUNT} waiters");
    }
}
