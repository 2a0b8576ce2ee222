//! Where guests' threads wait for each other: `memory.atomic.wait` and `memory.atomic.notify` (threads proposal, "Wait and notify").
//!
//! Waiters stand in queues, one an address of the host, first come first woken. Looking at the expected value and joining the queue
//! happen under the lock that waking takes too, so that no wake-up is lost. One lock serves all addresses: whoever gets here is
//! about to sleep or has just made others runnable.
//!
//! What this module is not: a reader of guest memory; the caller brings the comparison.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The queues of an engine.
#[derive(Default)]
pub(crate) struct Parking {
    queues: Mutex<Queues>,
}

/// The waiters at each address that has any.
type Queues = HashMap<usize, VecDeque<Arc<Waiter>>>;

#[derive(Default)]
struct Waiter {
    /// Whose thread it is: the store's record.
    store: usize,
    woken: AtomicBool,
    wake: Condvar,
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
        let waiter = Arc::new(Waiter { store, ..Waiter::default() });
        queues.entry(address).or_default().push_back(waiter.clone());
        // A deadline beyond what the clock can express never comes.
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut queues = block(queues, &waiter, deadline, &is_interrupted);
        if waiter.woken.load(Ordering::Relaxed) {
            return WaitOutcome::Woken;
        }
        if let Some(queue) = queues.get_mut(&address) {
            queue.retain(|other| !Arc::ptr_eq(other, &waiter));
            if queue.is_empty() {
                queues.remove(&address);
            }
        }
        if is_interrupted() { WaitOutcome::Interrupted } else { WaitOutcome::TimedOut }
    }

    /// Lets the waiter that a store has look whether it is interrupted. Not all others: whoever stops a guest with very many threads asks for each.
    pub(crate) fn interrupt(&self, store: usize) {
        let queues = self.lock();
        if let Some(waiter) = queues.values().flatten().find(|waiter| waiter.store == store) {
            waiter.wake.notify_one();
        }
    }

    /// Wakes at most `count` of those that wait at `address`, and says how many.
    pub(crate) fn notify(&self, address: usize, count: u32) -> u32 {
        let mut queues = self.lock();
        let Some(queue) = queues.get_mut(&address) else { return 0 };
        let mut woken = 0;
        while woken < count
            && let Some(waiter) = queue.pop_front()
        {
            waiter.woken.store(true, Ordering::Relaxed);
            waiter.wake.notify_one();
            woken += 1;
        }
        if queue.is_empty() {
            queues.remove(&address);
        }
        woken
    }

    fn lock(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The one place where a guest's thread sleeps: until the waiter is woken or interrupted, or the deadline has come.
fn block<'a>(
    mut queues: MutexGuard<'a, Queues>,
    waiter: &Waiter,
    deadline: Option<Instant>,
    is_interrupted: &impl Fn() -> bool,
) -> MutexGuard<'a, Queues> {
    while !waiter.woken.load(Ordering::Relaxed) && !is_interrupted() {
        queues = match deadline {
            None => waiter.wake.wait(queues).unwrap_or_else(PoisonError::into_inner),
            Some(deadline) => {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    break;
                }
                waiter.wake.wait_timeout(queues, left).unwrap_or_else(PoisonError::into_inner).0
            }
        };
    }
    queues
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Parking, WaitOutcome};

    #[test]
    fn a_wait_ends_with_its_timeout_and_leaves_no_trace() {
        let parking = Parking::default();
        assert_eq!(parking.wait((0, 8), || false, None, || false), WaitOutcome::NotEqual);
        assert_eq!(parking.wait((0, 8), || true, Some(Duration::ZERO), || false), WaitOutcome::TimedOut);
        assert_eq!(
            parking.wait((0, 8), || true, Some(Duration::from_millis(5)), || false),
            WaitOutcome::TimedOut
        );
        assert_eq!(parking.notify(8, u32::MAX), 0);
        assert!(parking.lock().is_empty());
    }

    #[test]
    fn notify_wakes_as_many_as_asked_at_its_own_address_only() {
        let parking = Parking::default();
        std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..3).map(|_| scope.spawn(|| parking.wait((0, 16), || true, None, || false))).collect();
            while parking.lock().get(&16).map_or(0, |queue| queue.len()) < 3 {
                std::thread::yield_now();
            }
            assert_eq!(parking.notify(24, 1), 0);
            assert_eq!(parking.notify(16, 0), 0);
            assert_eq!(parking.notify(16, 2), 2);
            assert_eq!(parking.notify(16, 5), 1);
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
}
