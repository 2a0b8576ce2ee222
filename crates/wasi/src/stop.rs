//! Stopping a guest from outside: because its time is over, or because somebody says so.
//!
//! A guest computes, waits in a host call, or waits for another of its threads. All of its stores are made to trap first; then its
//! waits are ended: a call that returns early finds the trap waiting.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use innkeeper_engine::InterruptHandle;

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
    /// Its end wakes the thread.
    _alive: Sender<()>,
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
        state.stores.iter().for_each(|store| stop(store, reason));
        drop(state);
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
    /// The system refuses the thread that watches.
    pub fn watch(&self, limits: &WasiLimits) -> std::io::Result<Option<Watch>> {
        self.watch_from(limits, Instant::now(), || {})
    }

    /// As [`Stopper::watch`]; the time on the wall began at `begin`, and `then` is called on the thread that watches, once the guest has been told to stop.
    ///
    /// # Errors
    /// The system refuses the thread that watches.
    pub fn watch_from(
        &self,
        limits: &WasiLimits,
        begin: Instant,
        then: impl FnOnce() + Send + 'static,
    ) -> std::io::Result<Option<Watch>> {
        let (wall, processor) = (limits.wall_time, limits.processor_time);
        if wall.is_none() && processor.is_none() {
            return Ok(None);
        }
        let stopper = self.clone();
        let (alive, ended) = channel();
        let watch = move || {
            loop {
                let wall = wall.map(|wall| wall.saturating_sub(begin.elapsed()));
                let processor = processor.map(|limit| limit.saturating_sub(processor_time()));
                if wall == Some(Duration::ZERO) || processor == Some(Duration::ZERO) {
                    let passed =
                        if wall == Some(Duration::ZERO) { TimeLimit::Wall } else { TimeLimit::Processor };
                    stopper.state().passed = Some(passed);
                    stopper.stop(StopReason::Deadline);
                    return then();
                }
                // Processor time passes as fast as there are processors.
                let processor = processor.map(|left| (left / processors()).max(Duration::from_millis(1)));
                let next = wall.into_iter().chain(processor).min().unwrap_or(Duration::MAX);
                if ended.recv_timeout(next) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
            }
        };
        std::thread::Builder::new().name("watch".to_owned()).stack_size(64 << 10).spawn(watch)?;
        Ok(Some(Watch { _alive: alive }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
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
