//! A wait of a guest's that holds no thread: a future, which stands in the same queues as threads do.
//!
//! Whoever notifies, and the timer where the wait has an end, wakes who polls. Being woken means only that something may have happened: what has is looked at under the queues' lock.
//!
//! Must stay true: a future that is dropped leaves nothing behind, neither in a queue nor with the timer. Whether it has been woken is said under the same lock as joining and leaving, so
//! that a guest that is told 2, the time is over, is not among those that a notifier counts.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::{Parking, Sleeper, WaitOutcome, Waiter, deadline};
use crate::error::Error;
use crate::host_panics::let_go;
use crate::sync::Mutex;
use crate::sync::atomic::Ordering;
use crate::timer::{Appointment, Next, Timed, Timer};

/// Whom to wake; nobody before the first poll, and once somebody has.
pub(super) type Alarm = Mutex<Option<Waker>>;

/// A wait that is under way.
pub(crate) struct Parked {
    parking: Arc<Parking>,
    address: usize,
    waiter: Arc<Waiter>,
    deadline: Option<Instant>,
    appointment: Option<Appointment>,
}

impl Parking {
    /// Begins to wait at `address`, as [`Parking::wait`] does.
    ///
    /// # Errors
    /// The wait is over at once, and has ended so.
    pub(crate) fn park(
        self: &Arc<Parking>,
        (store, address): (usize, usize),
        is_expected: impl FnOnce() -> bool,
        timeout: Option<Duration>,
    ) -> Result<Parked, WaitOutcome> {
        let mut queues = self.lock();
        if !is_expected() {
            return Err(WaitOutcome::NotEqual);
        }
        if timeout == Some(Duration::ZERO) {
            return Err(WaitOutcome::TimedOut);
        }
        let waiter = queues.join(address, store, Sleeper::Future(Alarm::new(None)));
        drop(queues);
        Ok(Parked {
            parking: Arc::clone(self),
            address,
            waiter,
            deadline: deadline(timeout),
            appointment: None,
        })
    }
}

impl Future for Parked {
    /// The error is that of the operating system, which refuses the timer's thread.
    type Output = Result<WaitOutcome, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let waker = context.waker().clone();
        let mut queues = self.parking.lock();
        if self.waiter.woken.load(Ordering::Relaxed) {
            return Poll::Ready(Ok(WaitOutcome::Woken));
        }
        if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            queues.leave(self.address, &self.waiter);
            return Poll::Ready(Ok(WaitOutcome::TimedOut));
        }
        let before = self.waiter.set_alarm(waker);
        drop(queues);
        drop(before);
        if let Some(deadline) = self.deadline
            && self.appointment.is_none()
        {
            let left = deadline.saturating_duration_since(Instant::now());
            let timed = Arc::clone(&self.waiter) as Arc<dyn Timed>;
            self.appointment = Some(Timer::of_process().appoint(left, timed)?);
        }
        Poll::Pending
    }
}

impl Drop for Parked {
    fn drop(&mut self) {
        self.parking.lock().leave(self.address, &self.waiter);
        drop(self.appointment.take());
        // It may be the last that holds it.
        drop(self.waiter.take_alarm());
    }
}

impl Waiter {
    /// Wakes who polls, with nothing locked. A panic of his waker's ends here: the panic hook has told of it.
    pub(super) fn ring(&self) {
        let Some(waker) = self.take_alarm() else { return };
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| waker.wake())) {
            let_go(panic);
        }
    }

    fn take_alarm(&self) -> Option<Waker> {
        match &self.sleeper {
            Sleeper::Thread(_) => None,
            Sleeper::Future(alarm) => alarm.lock().unwrap_or_else(PoisonError::into_inner).take(),
        }
    }

    /// Gives the waker that was there before.
    fn set_alarm(&self, waker: Waker) -> Option<Waker> {
        match &self.sleeper {
            Sleeper::Thread(_) => Some(waker),
            Sleeper::Future(alarm) => alarm.lock().unwrap_or_else(PoisonError::into_inner).replace(waker),
        }
    }
}

/// The time is over, which who polls sees by the clock.
impl Timed for Waiter {
    fn strike(&self) -> Next {
        Next::Follow
    }

    fn follow(&self) {
        self.ring();
    }
}

#[cfg(all(test, not(feature = "loom")))]
mod tests {
    use std::pin::pin;
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn notify(parking: &Parking, address: usize, most: u32) -> u32 {
        let (count, woken) = parking.notify(address, most);
        woken.ring();
        count
    }

    fn poll(parked: &mut Parked, count: &Arc<Count>) -> Poll<WaitOutcome> {
        let waker = Waker::from(Arc::clone(count));
        pin!(parked).poll(&mut Context::from_waker(&waker)).map(Result::unwrap)
    }

    #[test]
    fn what_is_over_at_once_joins_no_queue() {
        let parking = Arc::new(Parking::default());
        assert_eq!(parking.park((0, 8), || false, None).err(), Some(WaitOutcome::NotEqual));
        assert_eq!(parking.park((0, 8), || true, Some(Duration::ZERO)).err(), Some(WaitOutcome::TimedOut));
        assert!(parking.lock().is_empty());
    }

    #[test]
    fn futures_are_woken_as_threads_are_first_come_first_woken() {
        let parking = Arc::new(Parking::default());
        let count = Arc::new(Count::default());
        let mut parked: Vec<Parked> =
            (0..3).map(|store| parking.park((store, 8), || true, None).ok().unwrap()).collect();
        // One that nobody has polled yet is woken, too.
        for parked in &mut parked[..2] {
            assert!(poll(parked, &count).is_pending());
        }
        assert_eq!(
            (notify(&parking, 16, 1), notify(&parking, 8, 1), count.0.load(Ordering::Relaxed)),
            (0, 1, 1)
        );
        assert_eq!(poll(&mut parked[0], &count), Poll::Ready(WaitOutcome::Woken));
        assert!(poll(&mut parked[1], &count).is_pending());
        assert_eq!((notify(&parking, 8, 9), count.0.load(Ordering::Relaxed)), (2, 2));
        for parked in &mut parked[1..] {
            assert_eq!(poll(parked, &count), Poll::Ready(WaitOutcome::Woken));
        }
        assert!(parking.lock().is_empty());
    }

    #[test]
    fn a_store_that_goes_takes_its_own_leaked_waits_along() {
        let parking = Arc::new(Parking::default());
        for (store, address) in [(1, 8), (1, 8), (1, 16), (2, 8)] {
            std::mem::forget(parking.park((store, address), || true, None).ok().unwrap());
        }
        parking.forget(1);
        parking.forget(3);
        assert_eq!((notify(&parking, 16, 9), notify(&parking, 8, 9)), (0, 1));
        parking.forget(2);
        assert!(parking.lock().is_empty());
    }

    #[test]
    fn one_that_is_dropped_is_not_counted_and_leaves_no_trace() {
        let parking = Arc::new(Parking::default());
        let count = Arc::new(Count::default());
        let mut parked = parking.park((0, 8), || true, Some(Duration::from_secs(1000))).ok().unwrap();
        assert!(poll(&mut parked, &count).is_pending());
        drop(parked);
        assert_eq!((notify(&parking, 8, 1), Arc::strong_count(&count)), (0, 1));
        assert!(parking.lock().is_empty());
    }

    #[test]
    fn the_timer_wakes_one_whose_time_is_over() {
        struct Unpark(std::thread::Thread);
        impl Wake for Unpark {
            fn wake(self: Arc<Self>) {
                self.0.unpark();
            }
        }
        let parking = Arc::new(Parking::default());
        let mut parked = pin!(parking.park((0, 8), || true, Some(Duration::from_millis(5))).ok().unwrap());
        let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
        let outcome = loop {
            match parked.as_mut().poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(outcome) => break outcome.unwrap(),
                Poll::Pending => std::thread::park(),
            }
        };
        assert_eq!(outcome, WaitOutcome::TimedOut);
        assert!(parking.lock().is_empty());
    }
}

/// Every order in which one waits, another notifies, and a third gives up.
#[cfg(all(test, feature = "loom"))]
mod model {
    use std::pin::pin;
    use std::task::Wake;

    use super::*;
    use crate::sync::atomic::AtomicU32;
    use crate::sync::{Condvar, loom, thread};

    /// As an executor's: a thread that sleeps until somebody wakes it.
    #[derive(Default)]
    struct Executor {
        is_woken: Mutex<bool>,
        wakes: Condvar,
    }

    impl Wake for Executor {
        fn wake(self: Arc<Self>) {
            *self.is_woken.lock().unwrap() = true;
            self.wakes.notify_one();
        }
    }

    fn notify(parking: &Parking) -> u32 {
        let (count, woken) = parking.notify(8, 1);
        woken.ring();
        count
    }

    fn block_on(parked: Parked) -> WaitOutcome {
        let executor = Arc::new(Executor::default());
        let waker = Waker::from(Arc::clone(&executor));
        let mut parked = pin!(parked);
        loop {
            if let Poll::Ready(outcome) = parked.as_mut().poll(&mut Context::from_waker(&waker)) {
                return outcome.unwrap();
            }
            let mut is_woken = executor.is_woken.lock().unwrap();
            while !std::mem::take(&mut *is_woken) {
                is_woken = executor.wakes.wait(is_woken).unwrap();
            }
        }
    }

    /// Whoever finds what it expects, and waits, is woken by who changes that and notifies.
    #[test]
    fn no_notification_is_lost() {
        loom::model(|| {
            let (parking, cell) = (Arc::new(Parking::default()), Arc::new(AtomicU32::new(0)));
            let notifier = {
                let (parking, cell) = (Arc::clone(&parking), Arc::clone(&cell));
                thread::spawn(move || {
                    cell.store(1, Ordering::SeqCst);
                    notify(&parking)
                })
            };
            let parked = parking.park((0, 8), || cell.load(Ordering::SeqCst) == 0, None);
            let outcome = parked.map_or_else(|outcome| outcome, block_on);
            let woken = notifier.join().unwrap();
            assert_eq!(woken == 1, outcome == WaitOutcome::Woken);
            assert!(parking.lock().is_empty());
        });
    }

    /// One that is dropped is woken before, or not at all, and does not keep others from being.
    #[test]
    fn who_gives_up_takes_nobody_s_notification() {
        loom::model(|| {
            let parking = Arc::new(Parking::default());
            let first = parking.park((0, 8), || true, None).ok().unwrap();
            let second = parking.park((1, 8), || true, None).ok().unwrap();
            let dropper = thread::spawn(move || drop(first));
            let notifier = {
                let parking = Arc::clone(&parking);
                thread::spawn(move || notify(&parking))
            };
            dropper.join().unwrap();
            assert_eq!(notifier.join().unwrap(), 1);
            // The other's, unless the first had been woken before it was dropped.
            let left = notify(&parking);
            assert_eq!(block_on(second), WaitOutcome::Woken);
            assert!(left <= 1 && parking.lock().is_empty());
        });
    }
}
