//! Stopping a guest from outside: because its time is over, or because somebody says so.
//!
//! A guest computes, waits in a host call, or waits for another of its threads. All of its stores are made to trap first; then its
//! waits are ended: a call that returns early finds the trap waiting.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use innkeeper_engine::InterruptHandle;
use innkeeper_engine::timer::{Appointment, Next, Timed, Timer};

use crate::host::{Error, Interrupt, processor_time};
use crate::keys::WasiLimits;

/// Stops one guest, with all its threads. Clones stop the same one.
#[derive(Clone, Debug)]
pub struct Stopper(Arc<Inner>);

/// Why a guest is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// Its time is over.
    Deadline,
    /// Somebody wants it to end.
    Interrupt,
}

/// The limit whose end was a guest's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeLimit {
    /// [`WasiLimits::wall_time`].
    Wall,
    /// [`WasiLimits::processor_time`].
    Processor,
}

/// Watches the time until it is dropped.
#[derive(Debug)]
pub struct Watch {
    _appointment: Option<Appointment>,
    _alive: Option<Alive>,
}

/// Its end wakes the thread that watches, if there is one. (A channel's first wait allocates, which may not be when the guest has taken all there is.)
#[derive(Debug)]
struct Alive(Arc<Ended>);

#[derive(Debug, Default)]
struct Ended {
    is_so: Mutex<bool>,
    changed: Condvar,
}

impl Drop for Alive {
    fn drop(&mut self) {
        *self.0.is_so.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.changed.notify_one();
    }
}

impl Ended {
    /// Waits until it is so, but not longer than `time`; whether it is.
    fn wait(&self, time: Duration) -> bool {
        let is_so = self.is_so.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(is_so, time, |is_so| !*is_so);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// The times of a guest, as the timer sees them.
struct Times {
    stopper: Stopper,
    limits: WasiLimits,
    begin: Instant,
}

#[derive(Debug)]
struct Inner {
    interrupt: Interrupt,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    stores: Vec<InterruptHandle>,
    stopped: Option<StopReason>,
    passed: Option<TimeLimit>,
}

impl Stopper {
    /// A stopper of a guest that has no store yet.
    ///
    /// # Errors
    /// No free descriptor.
    pub fn new() -> Result<Stopper, Error> {
        Ok(Stopper(Arc::new(Inner { interrupt: Interrupt::new()?, state: Mutex::default() })))
    }

    /// What ends the guest's waits; for [`crate::host::Host::set_interrupt`].
    #[must_use]
    pub fn interrupt(&self) -> Interrupt {
        self.0.interrupt.clone()
    }

    /// Adds a store of the guest's. If the guest has been stopped, the store is too.
    pub fn add_store(&self, store: InterruptHandle) {
        let mut state = self.state();
        if let Some(reason) = state.stopped {
            stop(&store, reason);
        }
        if state.stores.len() == state.stores.capacity() {
            // Threads come and go.
            state.stores.retain(|store| !store.is_last());
        }
        state.stores.push(store);
    }

    /// Stops the guest. The first reason counts.
    pub fn stop(&self, reason: StopReason) {
        let mut state = self.state();
        let reason = *state.stopped.get_or_insert(reason);
        // Whoever is added from now on is stopped as it is added. Nothing is locked while waits are woken.
        let stores = state.stores.clone();
        drop(state);
        stores.iter().for_each(|store| stop(store, reason));
        self.0.interrupt.raise();
    }

    /// Whether the guest has been stopped, and why.
    #[must_use]
    pub fn stopped(&self) -> Option<StopReason> {
        self.state().stopped
    }

    /// Which of the limits on time has passed, if one has.
    #[must_use]
    pub fn passed(&self) -> Option<TimeLimit> {
        self.state().passed
    }

    /// Stops the guest when the times that `limits` give are over; the time on the wall begins now. Nothing to watch is no watch.
    ///
    /// # Errors
    /// The system refuses the thread that watches all deadlines of the process.
    pub fn watch(&self, limits: &WasiLimits) -> std::io::Result<Option<Watch>> {
        let times = Times { stopper: self.clone(), limits: limits.clone(), begin: Instant::now() };
        let Some(left) = times.left() else { return Ok(None) };
        let appointment =
            Timer::of_process().appoint(left, Arc::new(times)).map_err(std::io::Error::other)?;
        Ok(Some(Watch { _appointment: Some(appointment), _alive: None }))
    }

    /// As [`Stopper::watch`]; the time on the wall began at `begin`, and `then` is called once the guest has been told to stop, on a thread that is there for this:
    /// it may take as long as it likes.
    ///
    /// # Errors
    /// The system refuses the thread.
    pub fn watch_from(
        &self,
        limits: &WasiLimits,
        begin: Instant,
        then: impl FnOnce() + Send + 'static,
    ) -> std::io::Result<Option<Watch>> {
        let times = Times { stopper: self.clone(), limits: limits.clone(), begin };
        if times.left().is_none() {
            return Ok(None);
        }
        let ended = Arc::new(Ended::default());
        let alive = Alive(Arc::clone(&ended));
        let watch = move || {
            while let Some(left) = times.left() {
                if left.is_zero() {
                    times.stopper.stop(StopReason::Deadline);
                    return then();
                }
                if ended.wait(left) {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("watch".to_owned()).stack_size(64 << 10);
        innkeeper_engine::thread::spawn_for_host(thread, watch)?;
        Ok(Some(Watch { _appointment: None, _alive: Some(alive) }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Times {
    /// How long it takes at least until one of the times is over; none where none is limited. Once it is zero, which one is noted.
    fn left(&self) -> Option<Duration> {
        let wall = self.limits.wall_time.map(|wall| wall.saturating_sub(self.begin.elapsed()));
        let processor = self.limits.processor_time.map(|limit| limit.saturating_sub(processor_time()));
        let passed = match (wall, processor) {
            (Some(Duration::ZERO), _) => Some(TimeLimit::Wall),
            (_, Some(Duration::ZERO)) => Some(TimeLimit::Processor),
            _ => None,
        };
        if passed.is_some() {
            self.stopper.state().passed = passed;
            return Some(Duration::ZERO);
        }
        // Processor time passes as fast as there are processors.
        let processor = processor.map(|left| (left / processors()).max(Duration::from_millis(1)));
        wall.into_iter().chain(processor).min()
    }
}

impl Timed for Times {
    fn strike(&self) -> Next {
        match self.left() {
            Some(Duration::ZERO) => Next::Follow,
            Some(left) => Next::At(Instant::now() + left),
            None => Next::Done,
        }
    }

    fn follow(&self) {
        self.stopper.stop(StopReason::Deadline);
    }
}

fn stop(store: &InterruptHandle, reason: StopReason) {
    match reason {
        StopReason::Deadline => store.exceed_deadline(),
        StopReason::Interrupt => store.interrupt(),
    }
}

fn processors() -> u32 {
    std::thread::available_parallelism().map_or(1, |count| u32::try_from(count.get()).unwrap_or(u32::MAX))
}
