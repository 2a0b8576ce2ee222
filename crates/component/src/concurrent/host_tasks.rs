//! The functions of the host that run in a store: where each stands, what wakes it, and the ends of streams and futures that were dropped where the store was not at hand.

use std::any::Any;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Wake, Waker};

use innkeeper_engine::{Budget, BudgetKind, Charge, Error};

use super::accessor::{Steps, lock};
use super::end::FlightId;
use super::host::HostFuture;
use super::{Key, Queue, Shared, Slab, Waitable};
use crate::state::State;
use crate::typed::BoundResources;

/// The functions of the host that run in a store.
#[derive(Default)]
pub(crate) struct HostTasks {
    pub(super) tasks: Slab<HostTask>,
    pub(super) woken: Arc<Woken>,
    /// Of what type the steps are, the store's data tells.
    steps: Option<Arc<dyn Any + Send + Sync>>,
    /// A waker that nobody has: most functions are ready at once, and need none of their own.
    spare: Option<Arc<TaskWaker>>,
}

/// One that runs.
pub(crate) struct HostTask {
    /// None while it is polled. Nobody else has it, for which the lock is only there to say so.
    pub(super) future: Mutex<Option<HostFuture>>,
    /// Whom it is to tell; none of one that nobody waits for.
    pub(super) subtask: Option<Key<Waitable>>,
    pub(super) resources: Arc<BoundResources>,
    pub(super) waker: Arc<TaskWaker>,
    /// For what the future takes: guests say how many there are.
    _charge: Charge,
}

/// Which are to be polled again, and who is to be told.
#[derive(Default)]
pub(super) struct Woken {
    pub(super) keys: Mutex<Queue<HostTask>>,
    driver: Mutex<Option<Waker>>,
    /// Which were woken while somebody notes that, whether they were to be polled before or not.
    noted: Mutex<Option<Vec<Key<HostTask>>>>,
    /// Ends of streams and futures that were dropped where the store was not at hand.
    dropped: Mutex<Vec<Dropped>>,
}

/// An end that was dropped.
enum Dropped {
    /// By the host, which held it.
    Held(Key<Shared>),
    /// On its way, unless it has arrived somewhere all the same.
    InFlight(FlightId),
}

impl Woken {
    /// Notes that the host has dropped an end.
    pub(super) fn drop_end(&self, key: Key<Shared>) {
        self.drop_later(Dropped::Held(key));
    }

    /// Notes that nobody has an end any more that was on its way.
    pub(super) fn drop_in_flight(&self, id: FlightId) {
        self.drop_later(Dropped::InFlight(id));
    }

    /// Does something, and gives also which futures were woken meanwhile; some of them may have been woken by other threads.
    pub(super) fn noting<R>(&self, act: impl FnOnce() -> R) -> (R, Vec<Key<HostTask>>) {
        *lock(&self.noted) = Some(Vec::new());
        let done = act();
        (done, lock(&self.noted).take().unwrap_or_default())
    }

    fn drop_later(&self, dropped: Dropped) {
        lock(&self.dropped).push(dropped);
        let driver = lock(&self.driver).take();
        if let Some(driver) = driver {
            driver.wake();
        }
    }
}

/// The waker of one of them.
pub(super) struct TaskWaker {
    woken: Arc<Woken>,
    place: Mutex<Place>,
}

/// Where one of them stands.
#[derive(Default)]
struct Place {
    /// None until it has one, and once it is gone.
    key: Option<Key<HostTask>>,
    /// Whether it is among those that are to be polled again; where it has no place yet, whether it is to be.
    is_queued: bool,
}

impl TaskWaker {
    /// Has it polled again.
    fn queue(&self) {
        let mut place = lock(&self.place);
        let Some(key) = place.key else {
            place.is_queued = true;
            return;
        };
        if let Some(noted) = &mut *lock(&self.woken.noted) {
            noted.push(key);
        }
        if !std::mem::replace(&mut place.is_queued, true) {
            lock(&self.woken.keys).add(key);
        }
    }
}

impl TaskWaker {
    /// Gives it a place, and has it polled where it was woken before.
    fn settle(&self, key: Key<HostTask>) {
        let was_woken = {
            let mut place = lock(&self.place);
            place.key = Some(key);
            std::mem::take(&mut place.is_queued)
        };
        if was_woken {
            self.queue();
        }
    }
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.queue();
        let driver = lock(&self.woken.driver).take();
        if let Some(driver) = driver {
            driver.wake();
        }
    }
}

impl HostTasks {
    pub(super) fn woken(&self) -> &Arc<Woken> {
        &self.woken
    }

    /// Whether none runs.
    pub(super) fn is_empty(&self) -> bool {
        self.tasks.len() == 0
    }

    /// Whether one is to be polled; else `waker` is told when one is.
    pub(super) fn is_woken_or_tells(&self, waker: &Waker) -> bool {
        *lock(&self.woken.driver) = Some(waker.clone());
        !lock(&self.woken.keys).is_empty() || !lock(&self.woken.dropped).is_empty()
    }

    pub(super) fn steps<T: 'static>(&mut self) -> Arc<Steps<T>> {
        let known = self.steps.as_ref().and_then(|steps| Arc::clone(steps).downcast::<Steps<T>>().ok());
        known.unwrap_or_else(|| {
            let steps = Arc::new(Steps::<T>(Mutex::default()));
            self.steps = Some(Arc::clone(&steps) as Arc<dyn Any + Send + Sync>);
            steps
        })
    }

    /// A waker of a future that has no place yet.
    pub(super) fn waker(&mut self) -> Arc<TaskWaker> {
        self.spare.take().unwrap_or_else(|| {
            Arc::new(TaskWaker { woken: Arc::clone(&self.woken), place: Mutex::default() })
        })
    }

    /// Takes one back whose future has ended, unless somebody has kept it.
    pub(super) fn keep_waker(&mut self, mut waker: Arc<TaskWaker>) {
        if let Some(alone) = Arc::get_mut(&mut waker) {
            *alone.place.get_mut().unwrap_or_else(PoisonError::into_inner) = Place::default();
            self.spare = Some(waker);
        }
    }

    /// Gives one up whose caller does not want it any more.
    pub(super) fn remove(&mut self, key: Key<HostTask>) -> Option<HostTask> {
        let task = self.tasks.remove(key)?;
        let place = std::mem::take(&mut *lock(&task.waker.place));
        if place.is_queued {
            lock(&self.woken.keys).is_gone(&self.tasks);
        }
        Some(task)
    }

    /// Has one polled that nobody has woken.
    pub(super) fn wake(&self, key: Key<HostTask>) {
        if let Some(task) = self.tasks.get(key) {
            task.waker.queue();
        }
    }

    /// The next one that is to be polled.
    pub(super) fn next(&self) -> Option<Key<HostTask>> {
        loop {
            let key = lock(&self.woken.keys).take()?;
            match self.tasks.get(key) {
                Some(task) => {
                    lock(&task.waker.place).is_queued = false;
                    return Some(key);
                }
                None => lock(&self.woken.keys).has_taken_gone(),
            }
        }
    }
}

/// What is kept of a future beside itself, about: its waker, what it waits for, and boxes within it.
const BESIDE_BYTES: u64 = 1024;

/// Adds one that runs.
pub(super) fn add(
    state: &mut State,
    (future, waker): (HostFuture, Arc<TaskWaker>),
    (subtask, resources): (Option<Key<Waitable>>, &Arc<BoundResources>),
    budget: &Budget,
) -> Result<Key<HostTask>, Error> {
    let charge = budget.hold(BudgetKind::Descriptor, size_of_val(&*future) as u64 + BESIDE_BYTES)?;
    let host = &mut state.concurrent.host;
    let task = HostTask {
        future: Mutex::new(Some(future)),
        subtask,
        resources: Arc::clone(resources),
        waker: Arc::clone(&waker),
        _charge: charge,
    };
    let key = host.tasks.add(task, budget)?;
    waker.settle(key);
    Ok(key)
}

/// Drops the ends that were dropped where the store was not at hand; whether there were any.
pub(super) fn drop_ends(state: &mut State) -> bool {
    let dropped = std::mem::take(&mut *lock(&state.concurrent.host.woken.dropped));
    let were_any = !dropped.is_empty();
    for end in dropped {
        match end {
            Dropped::Held(key) => state.drop_shared(key),
            Dropped::InFlight(id) => {
                if state.in_flight(id).is_ok() {
                    state.drop_shared(id.shared);
                }
            }
        }
    }
    were_any
}
