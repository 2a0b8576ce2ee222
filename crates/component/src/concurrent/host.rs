//! Functions of the host whose futures run beside guests: `func_wrap_concurrent`.
//!
//! Such a future has no part of the store, and so others go on while it waits. It reaches the store in steps: what it wants done there is handed over ([`Accessor::with`]) to whoever polls the host's call, which
//! has the store, and does it between two polls.
//!
//! Must stay true: a future is polled with a waker that says which one is to be polled again; what was woken is polled by the next one that lets the store's threads run. What it has borrowed of its caller's handles
//! ends when the caller is told that it has ended.

use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use innkeeper_engine::{AsContextMut, Budget, BudgetKind, Charge, Error, HostEnding, StoreContextMut};

use super::end::FlightId;
use super::subtask::{self, Callee, Subtask, SubtaskState};
use super::waitable::WaitableKind;
use super::{Key, Queue, Shared, Slab, Waitable};
use crate::abi::{InStore, Lends};
use crate::call::Lowered;
use crate::entry::{Entry, check_leave, enter, leave, may_enter};
use crate::state::State;
use crate::trap::{Trap, trap_on_throw};
use crate::typed::BoundResources;

/// What comes of a function of the host: it gives the result to its caller, and says what is passed back in core values.
pub(crate) type HostReturn = Box<
    dyn FnOnce(&mut dyn crate::abi::Guest, (&Lowered, &BoundResources), &[u64]) -> Result<Vec<u64>, Error>
        + Send,
>;

/// A function of the host that runs.
pub(crate) type HostFuture = Pin<Box<dyn Future<Output = Result<HostReturn, Error>> + Send>>;

/// A function of the host whose futures run beside guests, in stores with data of type `T`.
pub(crate) trait ConcurrentHost<T: 'static>: Send + Sync {
    /// Checks that a component's import is of these types.
    fn check(
        &self,
        name: &str,
        import: (&crate::state::Shared, crate::types::FuncTypeIndex),
        state: &State,
    ) -> Result<BoundResources, Error>;

    /// Begins a call by a guest, whose parameters stand in the slots.
    fn begin(
        &self,
        store: &mut StoreContextMut<'_, T>,
        of: (&Lowered, &BoundResources),
        given: (&[u64], &mut Lends),
        accessor: Accessor<T>,
    ) -> Result<HostFuture, Error>;
}

/// Access to a store for a future that runs beside its guests, in steps.
pub struct Accessor<T: 'static> {
    steps: Arc<Steps<T>>,
}

impl<T> Clone for Accessor<T> {
    fn clone(&self) -> Self {
        Accessor { steps: Arc::clone(&self.steps) }
    }
}

impl<T> std::fmt::Debug for Accessor<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Accessor").finish_non_exhaustive()
    }
}

/// What is to be done with the store.
type Step<T> = Box<dyn FnOnce(&mut StoreContextMut<'_, T>) + Send>;

/// Those that wait to be done, in order.
struct Steps<T: 'static>(Mutex<VecDeque<Step<T>>>);

/// What has come of a step, and who waits for it.
struct Answer<R>(Mutex<(Option<R>, Option<Waker>)>);

impl<T: 'static> Accessor<T> {
    /// Access to a store, for as long as somebody lets its guests run: for functions of the host that begin something which goes on beside guests, and return.
    pub fn of(mut store: impl AsContextMut<Data = T>) -> Accessor<T> {
        let mut store = store.as_context_mut();
        Accessor { steps: store.attachment::<State>().concurrent.host.steps::<T>() }
    }

    /// Has a future run beside the store's guests that nobody waits for, as what goes on writing to a stream that was given away. Its error ends whoever lets the store's guests run then.
    pub fn spawn(&self, future: impl Future<Output = Result<(), Error>> + Send + 'static) {
        let future: HostFuture = Box::pin(async move {
            future.await?;
            let nothing: HostReturn = Box::new(|_, _, _| Ok(Vec::new()));
            Ok(nothing)
        });
        lock(&self.steps.0).push_back(Box::new(move |store| {
            let budget = store.budget().clone();
            let state = store.attachment::<State>();
            // Where the budget has no more, it is dropped, and what it was to do is not done.
            let waker = state.concurrent.host.waker();
            if let Ok(key) = add(state, (future, waker), (None, &Arc::default()), &budget) {
                state.concurrent.host.wake(key);
            }
        }));
    }

    /// Has something done with the store that nobody waits for, by whoever lets its guests run next.
    #[cfg(feature = "async")]
    pub(super) fn later(&self, act: impl FnOnce(&mut StoreContextMut<'_, T>) + Send + 'static) {
        lock(&self.steps.0).push_back(Box::new(act));
    }

    /// Does something with the store, as soon as whoever lets its guests run comes by; nothing of the guests' runs meanwhile.
    pub async fn with<R: Send + 'static>(
        &self,
        act: impl FnOnce(StoreContextMut<'_, T>) -> R + Send + 'static,
    ) -> R {
        let answer = Arc::new(Answer(Mutex::new((None, None))));
        let told = Arc::clone(&answer);
        lock(&self.steps.0).push_back(Box::new(move |store| {
            let result = act(store.as_context_mut());
            let waker = {
                let mut told = lock(&told.0);
                told.0 = Some(result);
                told.1.take()
            };
            if let Some(waker) = waker {
                waker.wake();
            }
        }));
        std::future::poll_fn(move |context| {
            let mut answer = lock(&answer.0);
            match answer.0.take() {
                Some(result) => Poll::Ready(result),
                None => {
                    answer.1 = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }
}

pub(super) fn lock<V>(mutex: &Mutex<V>) -> MutexGuard<'_, V> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// As [`Accessor::spawn`], and begun at once, for functions of the host that are called as often as guests want: what the future takes is charged to the store's budget.
///
/// # Errors
/// Where the budget has no more; where the future fails at once.
pub fn spawn(
    mut store: impl AsContextMut,
    future: impl Future<Output = Result<(), Error>> + Send + 'static,
) -> Result<(), Error> {
    let mut store = store.as_context_mut();
    let budget = store.budget().clone();
    let future: HostFuture = Box::pin(async move {
        future.await?;
        let nothing: HostReturn = Box::new(|_, _, _| Ok(Vec::new()));
        Ok(nothing)
    });
    let state = store.attachment::<State>();
    let waker = state.concurrent.host.waker();
    let key = add(state, (future, waker), (None, &Arc::default()), &budget)?;
    poll(&mut store, key)?;
    Ok(())
}

/// What is kept of a future beside itself, about: its waker, what it waits for, and boxes within it.
const BESIDE_BYTES: u64 = 1024;

/// The functions of the host that run in a store.
#[derive(Default)]
pub(crate) struct HostTasks {
    tasks: Slab<HostTask>,
    woken: Arc<Woken>,
    /// Of what type the steps are, the store's data tells.
    steps: Option<Arc<dyn Any + Send + Sync>>,
    /// A waker that nobody has: most functions are ready at once, and need none of their own.
    spare: Option<Arc<TaskWaker>>,
}

/// One that runs.
pub(crate) struct HostTask {
    /// None while it is polled. Nobody else has it, for which the lock is only there to say so.
    future: Mutex<Option<HostFuture>>,
    /// Whom it is to tell; none of one that nobody waits for.
    subtask: Option<Key<Waitable>>,
    resources: Arc<BoundResources>,
    waker: Arc<TaskWaker>,
    /// For what the future takes: guests say how many there are.
    _charge: Charge,
}

/// Which are to be polled again, and who is to be told.
#[derive(Default)]
pub(super) struct Woken {
    keys: Mutex<Queue<HostTask>>,
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
struct TaskWaker {
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

    fn steps<T: 'static>(&mut self) -> Arc<Steps<T>> {
        let known = self.steps.as_ref().and_then(|steps| Arc::clone(steps).downcast::<Steps<T>>().ok());
        known.unwrap_or_else(|| {
            let steps = Arc::new(Steps::<T>(Mutex::default()));
            self.steps = Some(Arc::clone(&steps) as Arc<dyn Any + Send + Sync>);
            steps
        })
    }

    /// A waker of a future that has no place yet.
    fn waker(&mut self) -> Arc<TaskWaker> {
        self.spare.take().unwrap_or_else(|| {
            Arc::new(TaskWaker { woken: Arc::clone(&self.woken), place: Mutex::default() })
        })
    }

    /// Takes one back whose future has ended, unless somebody has kept it.
    fn keep_waker(&mut self, mut waker: Arc<TaskWaker>) {
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
    fn wake(&self, key: Key<HostTask>) {
        if let Some(task) = self.tasks.get(key) {
            task.waker.queue();
        }
    }

    /// The next one that is to be polled.
    fn next(&self) -> Option<Key<HostTask>> {
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

/// Such a function as a component instance sees it that imports it.
pub(crate) struct HostLowered<T: 'static> {
    pub(crate) lowered: Arc<Lowered>,
    pub(crate) host: Arc<dyn ConcurrentHost<T>>,
    pub(crate) resources: Arc<BoundResources>,
}

impl<T: 'static> HostLowered<T> {
    /// Calls the function for the guest, with so many parameters in the first slots.
    pub(crate) fn call(
        &self,
        store: &mut StoreContextMut<'_, T>,
        slots: &mut [u64],
        params: usize,
    ) -> Result<HostEnding, Error> {
        let (lowered, instance) = (&self.lowered, self.lowered.side.instance);
        check_leave(store, instance)?;
        let can_wait = store.can_park() && store.attachment::<State>().can_block();
        if !lowered.is_async && !can_wait {
            return Err(Trap::CannotBlock.into());
        }
        let mut lends = Lends::default();
        let passed = slots.get(..params).unwrap_or_default();
        let begun = match self.begin(store, (passed, &mut lends)) {
            Ok(Begun::Ended(result)) => {
                lends.end(store.attachment(), Some(instance));
                let status = u64::from(SubtaskState::Returned as u32);
                if let Some(slot) = slots.first_mut() {
                    *slot = if lowered.is_async { status } else { result };
                }
                return Ok(HostEnding::Returns);
            }
            Ok(Begun::Waits(future, waker)) => (future, waker),
            Err(error) => {
                lends.end(store.attachment(), Some(instance));
                return Err(error);
            }
        };
        let subtask = Subtask::of_host(lowered, passed.to_vec(), lends);
        let budget = store.budget().clone();
        let state = store.attachment::<State>();
        let waitable = Waitable::new(instance, WaitableKind::Subtask(subtask));
        let key = state.concurrent.waitables.add(waitable, &budget)?;
        let task = add(state, begun, (Some(key), &self.resources), &budget)?;
        subtask::set_callee(state, key, Callee::Host(task));
        if run_steps(store) {
            poll(store, task)?;
        }
        subtask::answer(store, (key, lowered), slots)
    }

    /// Begins the function, and polls it once: most have ended then, and nothing is kept of them.
    fn begin(
        &self,
        store: &mut StoreContextMut<'_, T>,
        (passed, lends): (&[u64], &mut Lends),
    ) -> Result<Begun, Error> {
        let of = (&*self.lowered, &*self.resources);
        let steps = store.attachment::<State>().concurrent.host.steps::<T>();
        let begun = self.host.begin(store, of, (passed, lends), Accessor { steps });
        let mut future = begun.map_err(trap_on_throw)?;
        let task_waker = store.attachment::<State>().concurrent.host.waker();
        let waker = Waker::from(Arc::clone(&task_waker));
        let polled = future.as_mut().poll(&mut Context::from_waker(&waker));
        let Poll::Ready(ended) = polled else { return Ok(Begun::Waits(future, task_waker)) };
        drop((future, waker));
        store.attachment::<State>().concurrent.host.keep_waker(task_waker);
        let ended = ended.map_err(|error| why_stopped(store, trap_on_throw(error)))?;
        let mut guest = InStore { store, side: &self.lowered.side };
        let results = ended(&mut guest, of, passed)?;
        Ok(Begun::Ended(results.first().copied().unwrap_or_default()))
    }
}

/// A function of the host that was begun.
enum Begun {
    /// It has ended, and this is what it passes back in a core value.
    Ended(u64),
    Waits(HostFuture, Arc<TaskWaker>),
}

/// Adds one that runs.
fn add(
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

/// So often a future is polled at once, for which steps are done in between: others have their turn then, however fast the system is that it waits for.
const MOST_AT_ONCE: usize = 16;

/// Polls one; true where it has ended.
fn poll<T: 'static>(store: &mut StoreContextMut<'_, T>, key: Key<HostTask>) -> Result<bool, Error> {
    for _ in 0..MOST_AT_ONCE {
        let state = store.attachment::<State>();
        let Some(task) = state.concurrent.host.tasks.get_mut(key) else { return Ok(true) };
        let waker = Waker::from(Arc::clone(&task.waker));
        let Some(mut future) = task.future.get_mut().unwrap_or_else(PoisonError::into_inner).take() else {
            return Ok(false);
        };
        let polled =
            catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut Context::from_waker(&waker))));
        let polled = polled.unwrap_or_else(|panic| {
            // Nobody polls it again, and nobody is to wait for it.
            store.attachment::<State>().concurrent.host.remove(key);
            resume_unwind(panic)
        });
        match polled {
            Poll::Ready(ended) => {
                drop(future);
                let task = store.attachment::<State>().concurrent.host.remove(key);
                let ended = ended.map_err(|error| why_stopped(store, trap_on_throw(error)))?;
                let Some(task) = task else { return Ok(true) };
                finish(store, &task, ended)?;
                return Ok(true);
            }
            Poll::Pending => {
                if let Some(task) = store.attachment::<State>().concurrent.host.tasks.get_mut(key) {
                    *task.future.get_mut().unwrap_or_else(PoisonError::into_inner) = Some(future);
                }
            }
        }
        if !run_steps(store) {
            return Ok(false);
        }
    }
    // What was done for it has woken it: it goes on after the others.
    Ok(false)
}

/// Why a wait was given up: the store knows what it was stopped for.
fn why_stopped<T: 'static>(store: &mut StoreContextMut<'_, T>, error: Error) -> Error {
    match error.trap() {
        Some(innkeeper_engine::Trap::Interrupted) => store.check_interrupts().err().unwrap_or(error),
        _ => error,
    }
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

/// Does what futures want done with the store; whether there was anything.
pub(super) fn run_steps<T: 'static>(store: &mut StoreContextMut<'_, T>) -> bool {
    let steps = store.attachment::<State>().concurrent.host.steps::<T>();
    let mut has_run = drop_ends(store.attachment());
    while let Some(step) = { lock(&steps.0).pop_front() } {
        step(store);
        has_run = true;
    }
    has_run
}

/// Gives a result to its caller.
fn finish<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    task: &HostTask,
    ended: HostReturn,
) -> Result<(), Error> {
    let state = store.attachment::<State>();
    let Some(subtask) = task.subtask else { return Ok(()) };
    let Some((lowered, slots)) = subtask::passed(state, subtask) else { return Ok(()) };
    let mut guest = InStore { store, side: &lowered.side };
    let results = ended(&mut guest, (&lowered, &task.resources), &slots)?;
    subtask::returned(store.attachment(), subtask, results);
    Ok(())
}

/// Polls at once what was told that a guest has dropped an end: the host has done with the other one before the guest goes on, and so a socket is closed that only the stream has kept open. A future whose result a guest
/// waits for is left to its turn; one that was to be polled anyway, and has not ended, is polled again in its turn.
///
/// # Errors
/// Where one fails.
pub(super) fn poll_told<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    told: Vec<Key<HostTask>>,
) -> Result<(), Error> {
    for key in told {
        let task = store.attachment::<State>().concurrent.host.tasks.get(key);
        if task.is_some_and(|task| task.subtask.is_none()) {
            poll(store, key)?;
        }
    }
    Ok(())
}

/// Polls those that were woken; whether there was one.
///
/// # Errors
/// Where one fails.
pub(super) fn poll_woken<T: 'static>(store: &mut StoreContextMut<'_, T>) -> Result<bool, Error> {
    let mut has_polled = run_steps(store);
    // Those that are woken meanwhile wait for their next turn, and where one fails, all after it.
    let count = lock(&store.attachment::<State>().concurrent.host.woken.keys).len();
    for _ in 0..count {
        let state = store.attachment::<State>();
        let Some(key) = state.concurrent.host.next() else { break };
        let Some(task) = state.concurrent.host.tasks.get(key) else { continue };
        let instance = match task.subtask {
            None => None,
            Some(subtask) => match state.concurrent.waitables.get(subtask) {
                Some(waitable) => Some(waitable.instance),
                None => {
                    state.concurrent.host.remove(key);
                    continue;
                }
            },
        };
        has_polled = true;
        // What it gives is lowered as if its caller ran: a trap meanwhile poisons that.
        match instance.filter(|instance| may_enter(store, *instance, Entry::Host)) {
            Some(instance) => {
                enter(store, instance, Entry::Host)?;
                poll(store, key)?;
                leave(store, instance, Entry::Host);
            }
            None => {
                poll(store, key)?;
            }
        }
    }
    Ok(has_polled)
}
