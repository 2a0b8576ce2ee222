//! One thread of the process that tells whoever asked for it when a time has come: all deadlines of all stores.
//!
//! Appointments stand in order of their time. The thread is started by the first one, sleeps until the earliest, and ends when there have been none for a
//! while. It looks again by itself when it wakes, so that an appointment later than that need not wake it.
//!
//! Must stay true: an [`Appointment`] that has been cancelled does nothing any more. [`Timed::strike`] and cancelling happen under one lock, so that the one
//! comes wholly before the other. Nothing that is called can end the thread, or hold it up: panics of one appointment's are no others' business, and what may be the embedder's
//! is called on other threads ([`crate::waking`]). A process that was forked keeps the appointments that there were.
//!
//! What this module is not: somebody who knows what a deadline is.

use std::collections::{BTreeMap, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind};
use crate::fork::{After, Registration, Side};
use crate::host_panics::let_go;
use crate::sync::{Condvar, Mutex, MutexGuard};
use crate::waking::{self, Call};

/// What a time has been appointed for.
pub trait Timed: Send + Sync {
    /// The time has come. Called on the timer's thread with the timer locked: it must be short, and may not ask anything of the timer.
    fn strike(&self) -> Next;

    /// What follows [`Next::Follow`], on another thread: it may take as long as it likes, and the appointment may have been cancelled meanwhile.
    fn follow(&self) {}
}

/// What comes after a time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing.
    Done,
    /// [`Timed::follow`].
    Follow,
    /// It was not yet the time: that is then.
    At(Instant),
}

/// An appointment that is running, or has been kept. Dropping it cancels it: then it will not be kept any more, if it has not been.
pub struct Appointment {
    timer: Timer,
    time: Instant,
    number: u64,
}

/// Keeps appointments. Clones are the same timer.
#[derive(Clone, Default)]
pub struct Timer(Arc<Inner>);

#[derive(Default)]
struct Inner {
    book: Mutex<Book>,
    /// Wakes the thread before its time.
    earlier: Condvar,
}

#[derive(Default)]
struct Book {
    appointments: BTreeMap<(Instant, u64), Arc<dyn Timed>>,
    /// Where appointments are now that have been put off.
    put_off: HashMap<u64, Instant>,
    numbers: u64,
    thread: Thread,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Thread {
    #[default]
    None,
    /// It will look at the book before it sleeps.
    Awake,
    Asleep {
        until: Instant,
    },
}

/// How long the thread waits for the next appointment when there are none.
const IDLE: Duration = Duration::from_secs(10);

impl Timer {
    /// The process's own.
    pub fn of_process() -> &'static Timer {
        static TIMER: OnceLock<Timer> = OnceLock::new();
        static REGISTRATION: Registration = Registration::new(before_fork);
        REGISTRATION.ensure();
        TIMER.get_or_init(Timer::default)
    }

    /// Has `timed` struck when `after` has passed. A time beyond what the clock can tell never comes.
    ///
    /// # Errors
    /// Where the operating system refuses the thread.
    pub fn appoint(&self, after: Duration, timed: Arc<dyn Timed>) -> Result<Appointment, Error> {
        let now = Instant::now();
        let time = now.checked_add(after).unwrap_or(now + NEVER);
        let mut book = self.book();
        if book.thread == Thread::None {
            // It waits for the lock first.
            self.start_thread()?;
            book.thread = Thread::Awake;
        }
        Ok(self.enter(book, time, timed))
    }

    /// Notes an appointment, and wakes the thread if it would be late.
    fn enter(&self, mut book: MutexGuard<'_, Book>, time: Instant, timed: Arc<dyn Timed>) -> Appointment {
        let number = book.numbers;
        book.numbers += 1;
        book.appointments.insert((time, number), timed);
        let is_late = matches!(book.thread, Thread::Asleep { until } if time < until);
        drop(book);
        if is_late {
            self.0.earlier.notify_one();
        }
        Appointment { timer: self.clone(), time, number }
    }

    fn start_thread(&self) -> Result<(), Error> {
        let timer = self.clone();
        let thread = std::thread::Builder::new().name("timer".to_owned());
        let spawned = crate::thread::spawn_for_host(thread, move || timer.keep_whatever_panics());
        spawned.map_err(|error| {
            Error::new(ErrorKind::Os(format!("starting the thread that watches deadlines: {error}")))
        })
    }

    /// Keeps appointments until there are none. One that panics when it is struck has been taken out of the book before.
    fn keep_whatever_panics(&self) {
        while let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.keep(Instant::now, || true, finish))) {
            let_go(panic);
        }
    }

    /// What the thread does until there is nothing more to do, or `goes_on` says no. `finish` is given what has been struck, with nothing locked.
    fn keep(&self, now: impl Fn() -> Instant, goes_on: impl Fn() -> bool, finish: impl Fn(Vec<Struck>)) {
        let mut book = self.book();
        while goes_on() {
            let mut struck = Vec::new();
            let next = book.strike_due(now(), &mut struck);
            if !struck.is_empty() {
                drop(book);
                finish(struck);
                book = self.book();
                continue;
            }
            let is_idle = next.is_none();
            let until = next.unwrap_or_else(|| now() + IDLE);
            book.thread = Thread::Asleep { until };
            let left = until.saturating_duration_since(now());
            let slept = self.0.earlier.wait_timeout(book, left);
            let (awake, slept) = slept.unwrap_or_else(PoisonError::into_inner);
            book = awake;
            book.thread = Thread::Awake;
            if is_idle && slept.timed_out() && book.appointments.is_empty() {
                book.thread = Thread::None;
                return;
            }
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Longer than any machine runs.
const NEVER: Duration = Duration::from_secs(1 << 32);

impl Book {
    /// Strikes what is due, but only so many; tells when the next one is, if there is one.
    fn strike_due(&mut self, now: Instant, struck: &mut Vec<Struck>) -> Option<Instant> {
        let mut count = 0;
        while let Some(first) = self.appointments.first_entry() {
            let (time, number) = *first.key();
            if time > now || count >= MOST_AT_ONCE {
                return Some(time);
            }
            count += 1;
            let timed = first.remove();
            self.put_off.remove(&number);
            match timed.strike() {
                Next::Done => struck.push(Struck { timed, follows: false }),
                Next::Follow => struck.push(Struck { timed, follows: true }),
                Next::At(later) => {
                    self.appointments.insert((later.max(now + SOON), number), timed);
                    self.put_off.insert(number, later.max(now + SOON));
                }
            }
        }
        None
    }
}

/// What has been struck, and is finished when the book is not locked: it may be the last that holds a waker, or what cancels an appointment when it goes.
struct Struck {
    timed: Arc<dyn Timed>,
    follows: bool,
}

impl Struck {
    /// Does what follows, and drops it. Either may call what is the embedder's.
    fn finish(self) {
        if self.follows {
            self.timed.follow();
        }
    }

    /// Whether finishing it may call what is the embedder's: where others hold it, too, letting go of it does nothing.
    fn may_take_long(&self) -> bool {
        self.follows || Arc::strong_count(&self.timed) == 1
    }
}

/// Finishes what has been struck, on other threads where that may take long.
fn finish(struck: Vec<Struck>) {
    let mut calls =
        struck.into_iter().filter(Struck::may_take_long).map(|struck| Box::new(|| struck.finish()) as Call);
    if let Some(first) = calls.next() {
        waking::hand_over(std::iter::once(first).chain(calls));
    }
}

/// The child has the appointments, but not the thread.
fn before_fork() -> After {
    let timer = Timer::of_process();
    let mut book = timer.book();
    Box::new(move |side| {
        if side == Side::Child {
            book.thread = Thread::None;
            // Where it can have none, whoever makes the next appointment is told.
            if !book.appointments.is_empty() && timer.start_thread().is_ok() {
                book.thread = Thread::Awake;
            }
        }
    })
}

/// Struck before the lock is let go, whatever came of it, so that whoever sets a deadline does not wait for thousands that strike.
const MOST_AT_ONCE: usize = 8;

/// Whoever says that it is not yet the time is not asked all the time.
const SOON: Duration = Duration::from_micros(100);

impl Appointment {
    /// Cancels the appointment: from now on it is not kept. False where it has been.
    pub fn cancel(&self) -> bool {
        let mut book = self.timer.book();
        let gone = book.appointments.remove(&(self.time, self.number)).or_else(|| {
            let time = book.put_off.remove(&self.number)?;
            book.appointments.remove(&(time, self.number))
        });
        drop(book);
        // Dropped only here: what it holds may hold appointments.
        gone.is_some()
    }
}

impl Drop for Appointment {
    fn drop(&mut self) {
        self.cancel();
    }
}

impl std::fmt::Debug for Appointment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Appointment").field("time", &self.time).finish_non_exhaustive()
    }
}

#[cfg(all(test, not(feature = "loom")))]
mod tests {
    use super::*;

    /// Always says that it is not yet the time.
    struct Later(Instant);

    impl Timed for Later {
        fn strike(&self) -> Next {
            Next::At(self.0)
        }
    }

    /// Whatever comes of them, only so many are struck while the book is locked.
    #[test]
    fn appointments_that_are_put_off_count_like_all_others() {
        let now = Instant::now();
        let late = now + Duration::from_secs(3600);
        let mut book = Book::default();
        for number in 0..1000 {
            book.appointments.insert((now, number), Arc::new(Later(late)));
        }
        let mut struck = Vec::new();
        assert_eq!(book.strike_due(now, &mut struck), Some(now));
        assert_eq!(book.put_off.len(), MOST_AT_ONCE);
        // All have their turn.
        for _ in 0..1000 / MOST_AT_ONCE {
            book.strike_due(now, &mut struck);
        }
        assert_eq!((book.put_off.len(), book.strike_due(now, &mut struck)), (1000, Some(late)));
        assert!(struck.is_empty());
    }
}

/// Every order in which appointments are made, kept and cancelled.
#[cfg(all(test, feature = "loom"))]
mod model {
    use super::*;
    use crate::sync::{atomic::*, loom, thread};

    /// Counts how often it was struck, and tells.
    #[derive(Default)]
    struct Counter {
        times: Mutex<u32>,
        told: Condvar,
    }

    impl Timed for Counter {
        fn strike(&self) -> Next {
            *self.times.lock().unwrap() += 1;
            self.told.notify_one();
            Next::Done
        }
    }

    /// A timer that has an appointment in a year, with its thread, whose clock stands still.
    fn explore(check: impl Fn(&Timer, Instant) + Send + Sync + 'static) {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(3);
        builder.check(move || {
            let (timer, now) = (Timer::default(), Instant::now());
            let year = now + Duration::from_secs(31_536_000);
            timer.book().thread = Thread::Awake;
            let _later = timer.enter(timer.book(), year, Arc::<Counter>::default());
            let is_over = Arc::new(AtomicBool::new(false));
            let keeper = {
                let (timer, is_over) = (timer.clone(), Arc::clone(&is_over));
                thread::spawn(move || {
                    timer.keep(
                        || now,
                        || !is_over.load(Ordering::Acquire),
                        |struck| struck.into_iter().for_each(Struck::finish),
                    )
                })
            };
            check(&timer, now);
            let book = timer.book();
            is_over.store(true, Ordering::Release);
            drop(book);
            timer.0.earlier.notify_one();
            keeper.join().unwrap();
        });
    }

    /// Whatever the thread is doing, it learns of an appointment that is earlier than what it waits for.
    #[test]
    fn the_earliest_appointment_is_kept() {
        explore(|timer, now| {
            let struck = Arc::new(Counter::default());
            let _appointment = timer.enter(timer.book(), now, struck.clone());
            let mut times = struck.times.lock().unwrap();
            while *times == 0 {
                times = struck.told.wait(times).unwrap();
            }
        });
    }

    /// What is cancelled was kept before that, or never is.
    #[test]
    fn what_is_cancelled_is_not_kept_afterwards() {
        explore(|timer, now| {
            let struck = Arc::new(Counter::default());
            let appointment = timer.enter(timer.book(), now, struck.clone());
            let other = timer.enter(timer.book(), now, Arc::<Counter>::default());
            thread::yield_now();
            let is_cancelled = appointment.cancel();
            let times = *struck.times.lock().unwrap();
            assert_eq!(times, u32::from(!is_cancelled));
            drop(other);
            thread::yield_now();
            assert_eq!(*struck.times.lock().unwrap(), times);
        });
    }
}
