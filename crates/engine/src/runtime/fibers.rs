//! Fibers of a store beside its first one: each runs one call of a function, and can be left in the middle and let go on later, in any order.
//!
//! A call on a fiber of its own ([`StoreContextMut::start_fiber`]) runs until its function has returned, or a function of the host that it calls *parks* it ([`HostEnding::Parks`]). Nobody waits for a parked fiber and
//! nothing holds the store for it, unlike calls that wait (`super::future`): whoever has the store can let it go on ([`StoreContextMut::resume_fiber`]) or drop it. Layers above decide who runs and when.
//!
//! The store's record describes the fiber that runs. Who lets one run exchanges its record for the one that is there, and back when it has ended or is parked: so fibers run inside each other as calls do, each from
//! a function of the host that another one has called, and whoever runs inside of whom ends, or is parked, first. What is common to all fibers of a store is not exchanged (`vmctx/mod.rs`).
//!
//! Must stay true: a fiber is parked only where nothing on its stack waits for it but itself: where exactly as many calls are under way as when it was let run. A collection sees the record of every fiber
//! that is neither running nor idle: each stands in the place of the one that was let run instead. A fiber that is dropped while it is parked is left for good: nothing on its stack owns anything that is not there.
//!
//! Where it was let run as a turn ([`StoreContextMut::in_turn`]), a fiber can also be left where it gives a safepoint.
//!
//! What this is not: an order of who runs, or a way to wait for the host's futures.

use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::NonNull;
use std::sync::Arc;
use std::thread;

use super::host::{HostCode, KnownCode};
use crate::budget::{BudgetKind, Charge};
use crate::caller::Caller;
use crate::error::{Error, ErrorKind};
use crate::fiber::FiberStack;
use crate::fiber::switch::{self, Act, HAS_STACKS, Progress, Wake};
use crate::func::Func;
use crate::host_panics::FirstPanic;
use crate::index::StoreId;
use crate::store::{StoreContextMut, StoreCore, StoreInner};
use crate::tier::Tier;
use crate::trap::Trap;
use crate::vmctx::fiber::{FIRST_NATIVE_BYTES, Parked, VmFiber, scan_native_stack};
use crate::vmctx::record::StoreRecord;
use crate::vmctx::{HostCall, Pending, VmContext, VmFunc, VmStore, host_stack};

/// What a fiber may use of its slots before more is charged.
const FIRST_SLOTS_BYTES: usize = 16 << 10;

/// Fibers that a store keeps for the calls to come.
const MOST_IDLE: usize = 8;

/// A call on a fiber of its own that is parked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FiberId {
    store: StoreId,
    index: u32,
    /// Which use of a fiber of the store's this is.
    use_number: u64,
}

/// How a call on a fiber of its own has come back.
#[derive(Debug)]
pub enum FiberEnd {
    /// The function has returned; its first result, or zero.
    Finished(u64),
    /// A function of the host has parked it.
    Parked(FiberId),
    /// It was left in the middle of what it computes, for others to have their turn: only in [`StoreContextMut::in_turn`]. [`StoreContextMut::continue_fiber`] lets it go on.
    Yields(FiberId),
}

/// How a function of the host ends that can park the fiber that it was called on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostEnding {
    /// It has returned: its results are in the slots.
    Returns,
    /// The fiber is to be parked. Whoever lets it go on gives the function's result.
    Parks,
}

/// The fibers of a store, its first one apart.
#[derive(Default)]
pub(crate) struct Fibers {
    all: Vec<Option<NonNull<StoreFiber>>>,
    /// Those that no call is on.
    idle: Vec<u32>,
    /// Places without a fiber.
    free: Vec<u32>,
    /// How often fibers were used: no two uses have the same number, also not of two fibers in one place.
    uses: u64,
    /// Whether whoever lets fibers run can take that one leaves its turn to others.
    #[cfg(feature = "async")]
    takes_turns: bool,
}

// SAFETY: the fibers are owned; what is on a stack refers to no thread.
unsafe impl Send for Fibers {}
// SAFETY: a shared reference gives nothing out.
unsafe impl Sync for Fibers {}

struct StoreFiber {
    /// Its own record while it does not run, else that of whoever has let it run.
    record: VmFiber,
    stack: FiberStack,
    state: State,
    use_number: u64,
    /// Where the function of the host that has parked it has its slots.
    slots: *mut u64,
    job: CallJob,
    /// For what it may use from the start.
    _charge: Charge,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Idle,
    Running,
    Parked,
}

/// A call, for the fiber to do.
struct CallJob {
    vm: *mut VmStore,
    tier: *const dyn Tier,
    func: *const VmFunc,
    /// Parameters first, then results.
    slots: Vec<u64>,
    result: Option<thread::Result<Result<(), Pending>>>,
}

impl Act for CallJob {
    unsafe fn run(job: *mut ()) {
        // SAFETY: `run` below enters the fiber with its job, which stays where it is, and is nobody else's until the fiber has ended. The function is of the store, and the tier lives as long as the
        // store's engine.
        unsafe {
            let job = &mut *job.cast::<CallJob>();
            let CallJob { vm, tier, func, slots, .. } = job;
            let (vm, tier, func) = (*vm, *tier, *func);
            let act = || {
                let is_done = match (*func).is_host() {
                    true => {
                        super::host_call::call_host_in(vm, func, std::ptr::null_mut(), slots.as_mut_ptr())
                    }
                    false => (*tier).call(&*func, slots),
                };
                if is_done { Ok(()) } else { Err(super::take_reason(vm)) }
            };
            let result = catch_unwind(AssertUnwindSafe(act));
            job.result = Some(result);
        }
    }
}

impl Fibers {
    /// Gives what may be a reference, of all fibers but the one that runs, to `visit`: slots, and words of native stacks.
    pub(crate) fn visit(&self, mut visit: impl FnMut(u64, bool)) {
        for fiber in self.all.iter().flatten() {
            // SAFETY: the fibers are the store's, which is borrowed. Each of these records is of one that is parked, idle, or waits for another one that runs: its slots are in use up to the top that it has
            // left there, and so is its native stack from where that was left.
            unsafe {
                let record = &(*fiber.as_ptr()).record;
                let mut slot = record.stack_base;
                while slot < record.stack_top {
                    visit(*slot, true);
                    slot = slot.add(1);
                }
                scan_native_stack(record, |word| visit(word, false));
            }
        }
    }

    /// Drops all of them. Nobody has called into the store.
    pub(crate) fn clear(&mut self, record: &mut StoreRecord) {
        for fiber in std::mem::take(&mut self.all).into_iter().flatten() {
            free(fiber, record);
        }
        let uses = self.uses;
        *self = Fibers::default();
        self.uses = uses;
    }

    fn next_use(&mut self) -> u64 {
        self.uses += 1;
        self.uses
    }

    fn get(&self, index: u32) -> Option<*mut StoreFiber> {
        self.all.get(index as usize).copied().flatten().map(NonNull::as_ptr)
    }
}

impl Drop for Fibers {
    fn drop(&mut self) {
        for fiber in self.all.drain(..).flatten() {
            // SAFETY: made by `Box::leak` in `fiber`, freed once, here, when the store goes.
            let mut fiber = unsafe { Box::from_raw(fiber.as_ptr()) };
            fiber.note_touched();
        }
    }
}

/// Frees a fiber that does not run, and gives back what its stacks have been charged beyond their first part.
fn free(fiber: NonNull<StoreFiber>, record: &mut StoreRecord) {
    // SAFETY: made by `Box::leak` in `fiber`; the callers have taken it out of the list.
    let mut fiber = unsafe { Box::from_raw(fiber.as_ptr()) };
    fiber.note_touched();
    record.release_stack(fiber.grown_bytes());
}

impl StoreFiber {
    fn note_touched(&mut self) {
        if self.state != State::Running {
            let (slots_bytes, native_bytes) = self.record.touched_bytes();
            self.stack.set_touched(slots_bytes, native_bytes);
        }
    }

    /// What its stacks have grown by.
    fn grown_bytes(&self) -> usize {
        let slots = self.record.slots_limit as usize - self.record.stack_base as usize;
        let native = match self.record.native_limit {
            0 => 0,
            limit => self.record.native_stack.top - limit,
        };
        slots.saturating_sub(FIRST_SLOTS_BYTES) + native.saturating_sub(FIRST_NATIVE_BYTES)
    }
}

impl StoreCore {
    /// A fiber that no call is on.
    fn idle_fiber(&mut self) -> Result<u32, Error> {
        if let Some(index) = self.fibers.idle.pop() {
            return Ok(index);
        }
        if !HAS_STACKS {
            let text = "calls on fibers of their own are there for x86-64 and aarch64 under Unix only";
            return Err(Error::new(ErrorKind::Unsupported(text.to_owned())));
        }
        let charge = self.budget.hold(
            BudgetKind::Stack,
            (FIRST_SLOTS_BYTES + FIRST_NATIVE_BYTES + size_of::<StoreFiber>()) as u64,
        )?;
        let stack = self.engine().stack_for(&self.limits)?;
        let tier: *const dyn Tier = self.engine().tier();
        let job = CallJob { vm: self.vm(), tier, func: std::ptr::null(), slots: Vec::new(), result: None };
        let fiber = StoreFiber {
            record: VmFiber::new(&stack, FIRST_SLOTS_BYTES),
            stack,
            state: State::Idle,
            use_number: self.fibers.next_use(),
            slots: std::ptr::null_mut(),
            job,
            _charge: charge,
        };
        let fiber = NonNull::from(Box::leak(Box::new(fiber)));
        let index = self.fibers.free.pop().unwrap_or_else(|| {
            self.fibers.all.push(None);
            self.fibers.all.len() as u32 - 1
        });
        self.fibers.all[index as usize] = Some(fiber);
        Ok(index)
    }

    /// Lets a fiber go that no call is on any more, or none is to go on.
    fn let_fiber_go(&mut self, index: u32) {
        let Some(fiber) = self.fibers.get(index) else { return };
        let use_number = self.fibers.next_use();
        // SAFETY: the fiber is the store's, and does not run.
        unsafe {
            (*fiber).state = State::Idle;
            (*fiber).use_number = use_number;
            (*fiber).slots = std::ptr::null_mut();
            let mut panics = FirstPanic::default();
            (*fiber).record.clear(&mut panics);
            if let Some(panic) = panics.take() {
                self.host_panics.keep(panic);
            }
        }
        if self.fibers.idle.len() < MOST_IDLE {
            self.fibers.idle.push(index);
        } else if let Some(fiber) = self.fibers.all[index as usize].take() {
            free(fiber, &mut self.record);
            self.fibers.free.push(index);
        }
    }

    /// The fiber that a call is parked on.
    fn parked_fiber(&self, id: FiberId) -> Option<*mut StoreFiber> {
        let fiber = self.fibers.get(id.index).filter(|_| id.store == self.id())?;
        // SAFETY: the fiber is the store's, which is borrowed.
        unsafe { ((*fiber).state == State::Parked && (*fiber).use_number == id.use_number).then_some(fiber) }
    }
}

/// Lets a fiber run, which is idle with a call for it or parked, and takes what comes of it.
fn run<T: 'static>(store: &mut StoreInner<T>, index: u32) -> Result<FiberEnd, Error> {
    let Some(fiber) = store.core.fibers.get(index) else { return Err(stale()) };
    let vm = store.core.vm();
    let most = store.core.limits.host_nesting;
    let owner: *mut StoreInner<T> = store;
    // SAFETY: the record lives as long as the store, which this borrows exclusively; the fiber is its own, and does not run. What it does has the store's record name this borrow.
    unsafe {
        let ended = match enter(owner, (vm, most), fiber) {
            Ok(progress) => progress,
            Err(error) => {
                (*owner).core.let_fiber_go(index);
                return Err(error);
            }
        };
        if ended == Progress::Suspended {
            (*fiber).slots = std::mem::replace(&mut (*fiber).record.parked.slots, std::ptr::null_mut());
            let (store, use_number) = ((*owner).core.id(), (*fiber).use_number);
            let id = FiberId { store, index, use_number };
            // Only a function of the host leaves slots for an answer.
            let is_parked = !(*fiber).slots.is_null();
            end_outermost(owner, vm);
            return Ok(if is_parked { FiberEnd::Parked(id) } else { FiberEnd::Yields(id) });
        }
        let result = (*fiber).job.result.take();
        let first = (*fiber).job.slots.first().copied().unwrap_or_default();
        (*owner).core.let_fiber_go(index);
        end_outermost(owner, vm);
        match result {
            Some(Ok(Ok(()))) => Ok(FiberEnd::Finished(first)),
            Some(Ok(Err(reason))) => Err(super::call::told(reason)),
            Some(Err(panic)) => resume_unwind(panic),
            None => Err(Error::limit("a call finished without a result")),
        }
    }
}

/// What is to be done where no call is under way in the store any more.
///
/// # Safety
/// `vm` is the record of the store, which the caller has.
unsafe fn end_outermost<T: 'static>(owner: *mut StoreInner<T>, vm: *mut VmStore) {
    // SAFETY: passed on.
    unsafe {
        if (*vm).nesting == 0 {
            (*owner).core.record.forget_told_deadline();
            (*owner).core.resume_host_panic();
        }
    }
}

/// Exchanges the fiber that is under way for another one until that has ended, or is parked.
///
/// # Safety
/// As in [`run`].
unsafe fn enter<T: 'static>(
    owner: *mut StoreInner<T>,
    (vm, most): (*mut VmStore, u32),
    fiber: *mut StoreFiber,
) -> Result<Progress, Error> {
    // SAFETY: passed on.
    unsafe {
        if (*vm).nesting >= most {
            return Err(Trap::CallStackExhausted.into());
        }
        if let Some(time) = &(*owner).core.processor_time {
            time.enter()?;
        }
        let before = ((*vm).owner, (*vm).core);
        let entered = host_stack::enter(most, || {
            (*vm).owner = owner.cast();
            (*vm).core = (&raw mut (*owner).core).cast();
            (*vm).nesting += 1;
            let was_parked = std::mem::replace(&mut (*fiber).state, State::Running) == State::Parked;
            (*fiber).record.parked.level = (*vm).nesting;
            // For backtraces: whose function of the host has let it run.
            let outer = (*vm).fiber.is_in_host_call((*vm).nesting - 1).then(|| (*vm).fiber.activation());
            (*fiber).record.outer = outer.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
            #[cfg(feature = "async")]
            {
                (*fiber).record.waiting.takes_turns = (*owner).core.fibers.takes_turns && (*vm).nesting == 1;
            }
            (*owner).core.record.exchange(&mut (*fiber).record);
            let at = &raw mut (*vm).fiber.switch;
            let progress = match was_parked {
                true => switch::resume(at, Wake::GoOn),
                false => switch::enter_job(&raw mut (*fiber).job, at),
            };
            (*owner).core.record.exchange(&mut (*fiber).record);
            (*fiber).state = State::Parked;
            (*fiber).record.outer = std::ptr::null();
            #[cfg(feature = "async")]
            if std::mem::take(&mut (*fiber).record.waiting.owes_a_turn) {
                (*vm).fiber.waiting.owes_a_turn = true;
            }
            (*vm).nesting -= 1;
            // Whoever has called what was to leave its turn, and could not, can now.
            #[cfg(feature = "async")]
            if (*vm).fiber.waiting.takes_debt() {
                (*owner).core.record.interrupt_handle().ask_to_yield();
            }
            ((*vm).owner, (*vm).core) = before;
            progress
        });
        if let Some(time) = &(*owner).core.processor_time {
            time.leave();
        }
        Ok(entered?)
    }
}

impl<T: 'static> StoreContextMut<'_, T> {
    /// Calls a function of numbers on a fiber of its own, until it has returned or is parked. The parameters are in the slots.
    ///
    /// # Errors
    /// As [`Func::call_of_numbers`]; where the budget or the system has no more stacks.
    pub fn start_fiber(&mut self, func: Func, params: &[u64]) -> Result<FiberEnd, Error> {
        let store = &mut *self.0;
        let index = store.core.idle_fiber()?;
        let Some(fiber) = store.core.fibers.get(index) else { return Err(stale()) };
        // SAFETY: the fiber is the store's, and idle.
        let job = unsafe { &mut (*fiber).job };
        job.slots.clear();
        job.slots.extend_from_slice(params);
        let record = func.record(&store.core).map(super::call::call_slots);
        let record = record.and_then(|slots| {
            job.slots.resize(slots.max(params.len()).max(1), 0);
            func.check_slots(&store.core, &mut job.slots)
        });
        match record {
            Ok(record) => {
                job.func = record;
                run(store, index)
            }
            Err(error) => {
                store.core.let_fiber_go(index);
                Err(error)
            }
        }
    }

    /// Lets a parked fiber go on; the function of the host that has parked it returns `answer`, or fails with it.
    ///
    /// # Errors
    /// As [`StoreContextMut::start_fiber`]; where nothing is parked there any more.
    pub fn resume_fiber(&mut self, id: FiberId, answer: Result<u64, Error>) -> Result<FiberEnd, Error> {
        let fiber = self.0.core.parked_fiber(id).ok_or_else(stale)?;
        // SAFETY: the fiber is the store's, and does not run; where there are slots they are on one of its stacks, in a frame that waits.
        unsafe {
            if (*fiber).slots.is_null() {
                return Err(Error::usage("a fiber that has left its turn to others waits for no answer"));
            }
            if let Ok(value) = answer {
                *(*fiber).slots = value;
            }
            (*fiber).record.parked.answer = Some(answer.map(drop));
        }
        run(self.0, id.index)
    }

    /// Lets a fiber go on that has left its turn to others ([`FiberEnd::Yields`]).
    ///
    /// # Errors
    /// As [`StoreContextMut::start_fiber`]; where no such fiber is there any more.
    pub fn continue_fiber(&mut self, id: FiberId) -> Result<FiberEnd, Error> {
        let fiber = self.0.core.parked_fiber(id).ok_or_else(stale)?;
        // SAFETY: the fiber is the store's, and does not run.
        if unsafe { !(*fiber).slots.is_null() } {
            return Err(Error::usage("a fiber that is parked goes on with an answer only"));
        }
        run(self.0, id.index)
    }

    /// Does `act` as one turn of a guest's: where a slice of time is set for the store ([`crate::Store::yield_every`]) or a portion of fuel ([`crate::Store::yield_every_fuel`]), a fiber that is let run in it, with no
    /// other call into the store under way, leaves its turn to others when that has gone ([`FiberEnd::Yields`]).
    ///
    /// # Errors
    /// Where the operating system refuses the timer's thread.
    #[cfg(feature = "async")]
    pub fn in_turn<R>(&mut self, act: impl FnOnce(&mut Self) -> R) -> Result<R, Error> {
        let core = &mut self.0.core;
        if let Some(slice) = &mut core.time_slice {
            slice.begin()?;
        }
        let before = std::mem::replace(&mut core.fibers.takes_turns, true);
        let result = act(self);
        self.0.core.fibers.takes_turns = before;
        Ok(result)
    }

    /// Whether the slice of time has gone that the last turn began, or one before it: whoever lets several turns follow each other in one poll lets others of the executor have theirs then. A guest looks at it in its loops only.
    #[cfg(feature = "async")]
    #[must_use]
    pub fn turn_is_over(&self) -> bool {
        self.0.core.time_slice.as_ref().is_some_and(crate::time_slice::TimeSlice::has_gone)
    }

    /// Drops a call that is parked: nothing of it is executed any more.
    pub fn drop_fiber(&mut self, id: FiberId) {
        if self.0.core.parked_fiber(id).is_some() {
            self.0.core.let_fiber_go(id.index);
        }
    }

    /// Whether the function of the host that has this can park the fiber that it was called on: a call on a fiber of its own has called it, with nobody of the host's between them.
    #[must_use]
    pub fn can_park(&self) -> bool {
        // SAFETY: the record lives as long as the store, which is borrowed.
        unsafe { can_park(self.0.core.vm()) }
    }
}

/// Whether what runs can leave its turn to others: it is on a fiber of its own, which was let run in a turn, with no other call under way.
///
/// # Safety
/// `vm` is the record of a store that the caller has.
#[cfg(feature = "async")]
pub(super) unsafe fn can_yield(vm: *mut VmStore) -> bool {
    // SAFETY: passed on.
    unsafe { (*vm).fiber.waiting.takes_turns && can_park(vm) }
}

/// # Safety
/// `vm` is the record of a store that the caller has.
unsafe fn can_park(vm: *mut VmStore) -> bool {
    // SAFETY: passed on.
    unsafe {
        let Parked { level, .. } = (*vm).fiber.parked;
        level != 0 && level == (*vm).nesting
    }
}

fn stale() -> Error {
    Error::usage("a call on a fiber of its own that has ended, was dropped, or is of another store")
}

/// Code of a function of the host that can park the fiber that it is called on.
pub(crate) fn parking_code<T: 'static>(
    call: impl Fn(Caller<'_, T>, &mut [u64]) -> Result<HostEnding, Error> + Send + Sync + 'static,
) -> Arc<dyn HostCode> {
    Arc::new(Parks { call, data: PhantomData::<fn(T) -> T> })
}

/// See [`parking_code`].
struct Parks<T, F> {
    call: F,
    data: PhantomData<fn(T) -> T>,
}

impl<T: 'static, F> KnownCode for Parks<T, F>
where
    F: Fn(Caller<'_, T>, &mut [u64]) -> Result<HostEnding, Error> + Send + Sync,
{
    const SLOTS: Option<usize> = None;
    const REACHES_STORE: bool = true;
}

impl<T: 'static, F> HostCode for Parks<T, F>
where
    F: Fn(Caller<'_, T>, &mut [u64]) -> Result<HostEnding, Error> + Send + Sync,
{
    unsafe fn call(&self, vm: *mut VmStore, caller: *mut VmContext, slots: &mut [u64]) -> Result<(), Error> {
        // SAFETY: as in `host.rs`, `Typed`: the owner is a `StoreInner` of exactly this `T`, and ours for the time of the call.
        unsafe {
            let store = &mut *(*vm).owner.cast::<StoreInner<T>>();
            let instance = if caller.is_null() { None } else { Some((*super::instance_of(caller)).id) };
            let ending = (self.call)(Caller::new(StoreContextMut(store), instance), slots)?;
            if ending == HostEnding::Returns {
                return Ok(());
            }
            if !can_park(vm) {
                return Err(Error::usage("a function of the host parks a fiber that somebody waits for"));
            }
            (*vm).fiber.parked.slots = slots.as_mut_ptr();
            // `leave` in `host_call` looks at the slots first.
            Err(Error::new(ErrorKind::Usage(String::new())))
        }
    }

    fn by_address(&self) -> HostCall {
        super::call_code::<Self>
    }
}
