//! The record of a store and the guest stack it describes.

#[cfg(feature = "fibers")]
mod fibers;

use std::cell::Cell;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Waker;

use super::polled::{PolledRecord, RecordPool, StorePermit};
use super::{NATIVE_HEADROOM_BYTES, VmFiber, VmMemory, VmStore};
use crate::budget::{Budget, BudgetKind, Charge};
use crate::error::Error;
use crate::fiber::FiberStack;
use crate::host_panics::FirstPanic;
use crate::parking::Parking;
use crate::sync::atomic::{AtomicPtr, AtomicU8, AtomicU64, AtomicUsize};
use crate::timer::{Next, Timed};
use crate::trap::Trap;
use crate::waiting::Wakers;

/// Owns a [`VmStore`], the guest's stack, and the memory that instances without one see.
pub(crate) struct StoreRecord {
    handle: InterruptHandle,
    no_memory: NonNull<VmMemory>,
    stack: FiberStack,
    /// For the record, and for the stacks as far as they may be used by now.
    charge: Charge,
    /// Given back with the store, whoever still has a handle to its record.
    _permit: StorePermit,
}

// SAFETY: the records are owned; access needs the store, which one thread holds at a time.
unsafe impl Send for StoreRecord {}
// SAFETY: as above: a shared reference only gives out the addresses.
unsafe impl Sync for StoreRecord {}

impl StoreRecord {
    pub(crate) fn new(
        (stack, records): (FiberStack, &Arc<RecordPool>),
        libcalls: *const (),
        back_edges: u32,
        parking: Arc<Parking>,
        budget: &Budget,
    ) -> Result<StoreRecord, Error> {
        let permit = records.permit()?;
        let fiber = VmFiber::new(&stack, STACK_STEP_BYTES);
        let first_bytes = fiber.slots_limit as usize - fiber.stack_base as usize;
        let charge = budget.hold(BudgetKind::Stack, STORE_COST_BYTES + first_bytes as u64)?;
        let vm = VmStore::new(fiber, libcalls, back_edges);
        let no_memory = VmMemory { base: NonNull::dangling().as_ptr(), len_bytes: 0.into() };
        Ok(StoreRecord {
            handle: InterruptHandle(Arc::new(SharedRecord {
                vm: PolledRecord::new(vm, records)?,
                requests: AtomicU8::new(0),
                ticks: AtomicU64::new(0),
                is_deadline_told: Cell::new(false),
                parking,
                wakers: Wakers::default(),
            })),
            no_memory: NonNull::from(Box::leak(Box::new(no_memory))),
            stack,
            charge,
            _permit: permit,
        })
    }

    /// Makes machine code possible on the fiber that runs: charges for its native stack, and maps the page that loops poll, if that has not been done.
    pub(crate) fn prepare_native_stack(&mut self) -> Result<(), Error> {
        if self.fiber().is_ready_for_native() {
            return Ok(());
        }
        let stack = self.fiber().native_stack;
        let bytes = stack.top - stack.limit;
        #[cfg(feature = "fibers")]
        let charged = self.first_native_bytes();
        #[cfg(not(feature = "fibers"))]
        let charged: Option<usize> = None;
        let first = charged.map(|charged| stack.top - bytes.min(charged));
        let first = first.unwrap_or_else(|| self.charge_native_stack(stack.top, bytes));
        self.shared().set_poll_page_apart()?;
        self.fiber_mut().native_limit = first;
        // If a request was answered before, the limit is still one that stops nobody: the next check fails, and sets the right one.
        self.shared().native_limit().store(usize::MAX, Ordering::Release);
        Ok(())
    }

    /// Charges for the native stack of the store's first fiber, of at most so many bytes; tells how far it may be used.
    fn charge_native_stack(&mut self, top: usize, bytes: usize) -> usize {
        let first = top - bytes.min(STACK_STEP_BYTES);
        let charged = self.charge.bytes().saturating_add((top - first + NATIVE_HEADROOM_BYTES) as u64);
        match self.charge.set_quietly(charged) {
            true => first,
            // A guest that has used up its budget does not end because it gets hot, which happens at another time in every run: so much is not charged.
            false => top - bytes.min(UNCHARGED_STACK_BYTES),
        }
    }

    /// Lets frames of interpreted functions reach up to `end`; false where the stack or the budget has no more.
    pub(crate) fn extend_stack(&mut self, end: *const u64) -> bool {
        let fiber = self.fiber();
        let (base, old, slots_end) = (fiber.stack_base as usize, fiber.slots_limit, fiber.slots_end);
        if end <= old.cast_const() {
            return true;
        }
        if end > slots_end.cast_const() {
            return false;
        }
        let most = slots_end as usize - base;
        let Some(bytes) = self.charge_stack(old as usize - base, end as usize - base, most) else {
            return false;
        };
        let limit = self.fiber().stack_base.wrapping_byte_add(bytes);
        self.fiber_mut().slots_limit = limit;
        // Not where somebody requests a safepoint meanwhile: whoever answers then sets it.
        let _ = self.shared().stack_limit().compare_exchange(old, limit, Ordering::AcqRel, Ordering::Relaxed);
        true
    }

    /// Lets the stack of machine code reach down to `address`; false where the stack or the budget has no more.
    pub(crate) fn extend_native_stack(&mut self, address: usize) -> bool {
        let (stack, old) = (self.fiber().native_stack, self.fiber().native_limit);
        if address >= old {
            return true;
        }
        if address < stack.limit {
            return false;
        }
        let (used, needed, most) = (stack.top - old, stack.top - address, stack.top - stack.limit);
        let Some(bytes) = self.charge_stack(used, needed, most) else { return false };
        let limit = stack.top - bytes;
        self.fiber_mut().native_limit = limit;
        // As in `extend_stack`.
        let _ =
            self.shared().native_limit().compare_exchange(old, limit, Ordering::AcqRel, Ordering::Relaxed);
        true
    }

    /// The execution that is under way, or was last.
    fn fiber(&self) -> &VmFiber {
        // SAFETY: the record lives as long as `self`; guest code does not run while the store is borrowed, unless it has called us.
        unsafe { &(*self.vm()).fiber }
    }

    fn fiber_mut(&mut self) -> &mut VmFiber {
        // SAFETY: as in `fiber`, and the borrow is exclusive.
        unsafe { &mut (*self.vm()).fiber }
    }

    /// Charges for a stack that is used up to `needed` bytes, of which `used` are charged, and for as much again as is used, up to `most`; tells what was
    /// charged in all.
    fn charge_stack(&mut self, used: usize, needed: usize, most: usize) -> Option<usize> {
        let stepped = needed.next_multiple_of(STACK_STEP_BYTES).max(used.saturating_mul(2)).min(most);
        let exact = needed.next_multiple_of(STACK_STEP_BYTES / 16).min(most);
        [stepped, exact].into_iter().find(|bytes| self.charge.add((bytes - used) as u64).is_ok())
    }

    fn shared(&self) -> &SharedRecord {
        &self.handle.0
    }

    pub(crate) fn vm(&self) -> *mut VmStore {
        self.shared().vm.get()
    }

    /// Lets another thread stop the guest.
    pub(crate) fn interrupt_handle(&self) -> &InterruptHandle {
        &self.handle
    }

    /// Why a check against the stack's limit failed: the first in the order of [`Request`] of what was asked for, which is then forgotten; the rest stays asked
    /// for. A deadline is remembered until no guest of the store is under way any more: whoever called the one that it stops could go on as if nothing had
    /// happened. The store's own deadline is remembered until it is taken back: guests that are called later would have none.
    pub(crate) fn take_request(&self) -> Option<Request> {
        self.shared().take_request(self.is_guest_under_way())
    }

    /// Whether a call of the host's into the store is under way.
    pub(crate) fn is_guest_under_way(&self) -> bool {
        // SAFETY: the record lives as long as `self`; the field is the business of the thread that has the store.
        unsafe { (*self.vm()).nesting > 0 }
    }

    /// Forgets a deadline that [`StoreRecord::take_request`] has told of: the store's guests are all over. Not the store's own, which later guests have as well.
    #[inline]
    pub(crate) fn forget_told_deadline(&self) {
        if self.shared().is_deadline_told.replace(false) {
            self.shared().forget_deadlines();
        }
    }

    /// Whether [`StoreRecord::take_request`] would tell of a request to stop.
    pub(crate) fn is_stop_requested(&self) -> bool {
        self.shared().is_stop_asked()
    }

    /// Traps where a request to stop has been made, which is then forgotten.
    ///
    /// # Errors
    /// [`Trap::Interrupted`], [`Trap::DeadlineExceeded`].
    pub(crate) fn stop_if_asked(&self) -> Result<(), Trap> {
        match self.is_stop_requested() {
            true => Err(self.take_request().map_or(Trap::Interrupted, Request::trap)),
            false => Ok(()),
        }
    }

    /// Samples asked for since the last one that was taken, which stay what they are.
    pub(crate) fn ticks(&self) -> u64 {
        self.shared().ticks.load(Ordering::Relaxed)
    }

    /// Samples asked for since the last one that was taken.
    pub(crate) fn take_ticks(&self) -> u64 {
        self.shared().ticks.swap(0, Ordering::Relaxed)
    }

    /// See [`VmFiber::drop_pending`].
    pub(crate) fn drop_pending(&mut self, panics: &mut FirstPanic) {
        self.fiber_mut().drop_pending(panics);
    }

    /// Forgets calls that were leaked, and a deadline that was told to one, unless it is the store's own. Nobody has called into the store.
    pub(crate) fn clear(&mut self, panics: &mut FirstPanic) {
        self.fiber_mut().clear(panics);
        // SAFETY: the record lives as long as `self`.
        unsafe { (*self.vm()).nesting = 0 };
        self.forget_told_deadline();
    }

    pub(crate) fn is_in_machine_code(&self) -> bool {
        self.fiber().is_in_machine_code()
    }

    pub(crate) fn stack_top(&self) -> *mut u64 {
        // SAFETY: the record lives as long as `self`.
        unsafe { (*self.vm()).fiber.stack_top }
    }

    pub(crate) fn fuel(&self) -> u64 {
        // SAFETY: the record lives as long as `self`; guest code is not running while the store is borrowed.
        unsafe { (*self.vm()).fuel + (*self.vm()).fuel_reserve }
    }

    pub(crate) fn set_fuel(&mut self, units: u64) {
        // SAFETY: as in `fuel`, and the borrow is exclusive.
        unsafe {
            (*self.vm()).fuel = units.min((*self.vm()).fuel_portion);
            (*self.vm()).fuel_reserve = units - (*self.vm()).fuel;
        }
    }

    /// Puts only so much fuel at hand at once.
    #[cfg(feature = "async")]
    pub(crate) fn set_fuel_portion(&mut self, units: u64) {
        let left = self.fuel();
        // SAFETY: as in `set_fuel`.
        unsafe { (*self.vm()).fuel_portion = units };
        self.set_fuel(left);
    }

    pub(crate) fn no_memory(&self) -> *mut VmMemory {
        self.no_memory.as_ptr()
    }
}

impl Drop for StoreRecord {
    fn drop(&mut self) {
        let (slots_bytes, native_bytes) = self.fiber().touched_bytes();
        self.stack.set_touched(slots_bytes, native_bytes);
        // SAFETY: made by `Box::leak` in `new`, freed once, here, when the store goes.
        drop(unsafe { Box::from_raw(self.no_memory.as_ptr()) });
    }
}

/// What the stack of machine code may use in a store whose budget has no more.
const UNCHARGED_STACK_BYTES: usize = 64 << 10;

/// Stacks are charged in such steps at first, and twice as much each time.
const STACK_STEP_BYTES: usize = 256 << 10;

/// What a store costs beside what its guests have in it: its records, page tables, and the thread that it is used on.
const STORE_COST_BYTES: u64 = 128 << 10;

/// A [`VmStore`] that outlives its store where another thread still holds a handle to it; such a thread touches the atomic fields only.
struct SharedRecord {
    vm: PolledRecord,
    /// What is asked for: any of [`SAMPLE`], [`INTERRUPT`], [`DEADLINE`], [`OWN_DEADLINE`], [`PROCESSOR_TIME`] and [`YIELD`].
    requests: AtomicU8,
    ticks: AtomicU64,
    /// Whether a guest was stopped by the deadline that is still being asked for.
    is_deadline_told: Cell<bool>,
    /// Where the store's thread may be waiting for others.
    parking: Arc<Parking>,
    /// Functions of the host that wait.
    wakers: Wakers,
}

// SAFETY: everything but atomic fields is touched with the store borrowed only.
unsafe impl Send for SharedRecord {}
// SAFETY: as above.
unsafe impl Sync for SharedRecord {}

/// What other threads ask of a running guest, in the order in which it is told. Requests add up: none replaces another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// The time is up, for all guests of the store that are under way.
    Deadline,
    /// One guest is to stop.
    Interrupt,
    /// A sample of the stack for a profile.
    Sample,
    /// Others are to have their turn.
    Yield,
}

/// The bits of [`SharedRecord::requests`].
const SAMPLE: u8 = 1;
const INTERRUPT: u8 = 1 << 1;
/// Somebody who watches the time says that it is up.
const DEADLINE: u8 = 1 << 2;
/// The store's own deadline has passed. It can be taken back.
const OWN_DEADLINE: u8 = 1 << 3;
/// The store's processor time is used up. It can be taken back.
const PROCESSOR_TIME: u8 = 1 << 4;
/// The guest's slice of time is over.
const YIELD: u8 = 1 << 5;
const DEADLINES: u8 = DEADLINE | OWN_DEADLINE | PROCESSOR_TIME;

/// Limits on time that a store itself has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OwnLimit {
    Deadline,
    ProcessorTime,
}

impl OwnLimit {
    fn bit(self) -> u8 {
        match self {
            OwnLimit::Deadline => OWN_DEADLINE,
            OwnLimit::ProcessorTime => PROCESSOR_TIME,
        }
    }
}

impl Request {
    /// What is told first of what is asked for, and what is then settled: a guest that is stopped has no stack to sample.
    fn first_of(requests: u8) -> Option<(Request, u8)> {
        if requests & DEADLINES != 0 {
            Some((Request::Deadline, DEADLINES | SAMPLE | YIELD))
        } else if requests & INTERRUPT != 0 {
            Some((Request::Interrupt, INTERRUPT | SAMPLE | YIELD))
        } else if requests & SAMPLE != 0 {
            Some((Request::Sample, SAMPLE))
        } else if requests & YIELD != 0 {
            Some((Request::Yield, YIELD))
        } else {
            None
        }
    }

    /// The trap that the guest gets.
    pub(crate) fn trap(self) -> Trap {
        match self {
            Request::Deadline => Trap::DeadlineExceeded,
            Request::Interrupt | Request::Sample | Request::Yield => Trap::Interrupted,
        }
    }
}

/// Stops the guests of a store from another thread. It can outlive the store, and does nothing then.
///
/// Requests to stop add up, and none replaces another. A deadline comes first: it stops all guests of the store that are under way, the store's own
/// ([`crate::Store::set_deadline`]) all until it is lifted. An interrupt stops one guest, the next one to run that no deadline stops.
#[derive(Clone)]
pub struct InterruptHandle(Arc<SharedRecord>);

impl InterruptHandle {
    /// Makes the guest that is running, or the next one to run, trap with [`crate::Trap::Interrupted`] at its next loop or call,
    /// also out of `memory.atomic.wait`.
    pub fn interrupt(&self) {
        self.stop(INTERRUPT);
    }

    /// As [`InterruptHandle::interrupt`], with [`crate::Trap::DeadlineExceeded`]: for whoever watches the time.
    pub fn exceed_deadline(&self) {
        self.stop(DEADLINE);
    }

    /// Makes the guest that is running note its stack at its next loop or call, if its store gathers a profile; see [`crate::Store::start_profile`].
    /// Called at regular intervals: what was asked for in vain counts for the next sample.
    pub fn sample(&self) {
        self.0.ticks.fetch_add(1, Ordering::Relaxed);
        if self.0.requests.compare_exchange(0, SAMPLE, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            self.0.request_safepoint();
        }
    }

    /// Whether this is all that is left of its store.
    #[must_use]
    pub fn is_last(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }

    /// Has `waker` woken whenever somebody asks the store's guests to stop, until what this returns is dropped: for a function of the host that waits on a
    /// guest's behalf. It asks [`InterruptHandle::is_stop_asked`] afterwards, and whenever it is woken; it can be woken in vain.
    ///
    /// The waker runs on the thread that asks for the stop. For deadlines that is one thread for the whole process, so that others wait until it returns: it should
    /// only wake. Where it panics, that is told by the panic hook and has no other consequence.
    #[must_use]
    pub fn wake_on_stop(&self, waker: Waker) -> WakeOnStop<'_> {
        WakeOnStop { number: self.0.wakers.enter(waker), handle: self }
    }

    /// As [`InterruptHandle::wake_on_stop`], until [`InterruptHandle::leave_waker`] is told the number.
    #[cfg(feature = "async")]
    pub(crate) fn enter_waker(&self, waker: Waker) -> u64 {
        self.0.wakers.enter(waker)
    }

    #[cfg(feature = "async")]
    pub(crate) fn leave_waker(&self, number: u64) {
        self.0.wakers.leave(number);
    }

    /// Whether a request to stop has been made that nobody has answered yet, or a deadline has passed that still ends guests; the store's own does until it is lifted.
    #[must_use]
    pub fn is_stop_asked(&self) -> bool {
        self.0.is_stop_asked()
    }

    /// Whether both are of the same store.
    #[inline]
    #[must_use]
    pub fn same(a: &InterruptHandle, b: &InterruptHandle) -> bool {
        Arc::ptr_eq(&a.0, &b.0)
    }

    /// The store's deadline, as the timer sees it.
    pub(crate) fn deadline(&self) -> Arc<dyn Timed> {
        Arc::clone(&self.0) as Arc<dyn Timed>
    }

    /// As [`InterruptHandle::exceed_deadline`], for a limit of the store's own, on the timer's thread: those that wait are woken by
    /// [`InterruptHandle::wake_waiting`].
    pub(crate) fn strike(&self, limit: OwnLimit) -> Next {
        self.0.strike(limit)
    }

    /// Wakes functions of the host that wait.
    pub(crate) fn wake_waiting(&self) {
        self.0.wakers.wake();
    }

    /// Takes back what [`InterruptHandle::strike`] asks for, and nothing else: guests that it has not stopped yet go on.
    pub(crate) fn take_back_strike(&self, limit: OwnLimit) {
        // Limits that have been changed are restored by whoever answers the request.
        self.0.requests.fetch_and(!limit.bit(), Ordering::AcqRel);
    }

    /// Has the guest that is running, or the next one to run, let others have their turn at its next loop or call, if it was called so that it can wait; see
    /// [`crate::Store::yield_every`].
    #[cfg(feature = "async")]
    pub fn ask_to_yield(&self) {
        self.0.requests.fetch_or(YIELD, Ordering::AcqRel);
        self.0.request_safepoint();
    }

    /// Takes that back.
    #[cfg(feature = "async")]
    pub(crate) fn forget_yield(&self) {
        // As in `take_back_strike`.
        self.0.requests.fetch_and(!YIELD, Ordering::AcqRel);
    }

    fn stop(&self, request: u8) {
        self.0.stop(request);
        self.0.wakers.wake();
    }
}

/// A waker that is woken when somebody asks a store's guests to stop; see [`InterruptHandle::wake_on_stop`].
#[derive(Debug)]
pub struct WakeOnStop<'a> {
    handle: &'a InterruptHandle,
    number: u64,
}

impl Drop for WakeOnStop<'_> {
    fn drop(&mut self) {
        self.handle.0.wakers.leave(self.number);
    }
}

/// The store's own deadline.
impl Timed for SharedRecord {
    fn strike(&self) -> Next {
        SharedRecord::strike(self, OwnLimit::Deadline)
    }

    fn follow(&self) {
        self.wakers.wake();
    }
}

impl SharedRecord {
    /// Asks for a stop. Whoever calls this wakes those that wait.
    fn stop(&self, request: u8) {
        // Whoever answers next and does not find this request has restored the limits before they are changed here.
        self.requests.fetch_or(request, Ordering::AcqRel);
        self.request_safepoint();
        self.parking.interrupt(self.vm.get() as usize);
    }

    fn strike(&self, limit: OwnLimit) -> Next {
        self.stop(limit.bit());
        // Whoever enters a waker later finds what is asked for.
        if self.wakers.is_empty() { Next::Done } else { Next::Follow }
    }

    /// Makes every check against a limit fail, and every read of the polled page, until [`SharedRecord::take_request`].
    fn request_safepoint(&self) {
        self.stack_limit().store(std::ptr::null_mut(), Ordering::Release);
        self.native_limit().store(usize::MAX, Ordering::Release);
        self.vm.forbid();
    }

    fn set_poll_page_apart(&self) -> Result<(), Error> {
        self.vm.set_page_apart(|| self.requests.load(Ordering::Acquire) != 0)
    }

    fn stack_limit(&self) -> &AtomicPtr<u64> {
        // SAFETY: the record lives as long as `self`, and the field is atomic.
        unsafe { &(*self.vm.get()).stack_limit }
    }

    fn native_limit(&self) -> &AtomicUsize {
        // SAFETY: as in `stack_limit`.
        unsafe { &(*self.vm.get()).native_limit }
    }

    fn is_stop_asked(&self) -> bool {
        self.requests.load(Ordering::Acquire) & !(SAMPLE | YIELD) != 0
    }

    /// Forgets the deadlines that are being asked for, except the store's own. Of processor time that is used up the next call tells anew.
    #[cold]
    fn forget_deadlines(&self) {
        self.settle(|_| DEADLINES & !OWN_DEADLINE);
    }

    /// Tells what is asked for, and forgets it unless it is a deadline that is kept.
    fn take_request(&self, keeps_deadlines: bool) -> Option<Request> {
        let settled = |requests| Request::first_of(requests).map_or(0, |(_, settled)| settled);
        let kept = if keeps_deadlines { DEADLINES } else { OWN_DEADLINE };
        let (told, _) = Request::first_of(self.settle(|requests| settled(requests) & !kept))?;
        if told == Request::Deadline && keeps_deadlines {
            self.is_deadline_told.set(true);
        }
        Some(told)
    }

    /// Forgets those requests that `settled` chooses of all; tells what was asked for before. The safepoint stays requested if anything is left.
    fn settle(&self, settled: impl Fn(u8) -> u8) -> u8 {
        // First: whoever asks for something that is not found below changes the limits after this.
        self.restore_limits();
        let rest = |requests| Some(requests & !settled(requests));
        let update = self.requests.fetch_update(Ordering::AcqRel, Ordering::Acquire, rest);
        // It cannot fail: there always is a new value.
        let before = update.unwrap_or_else(|requests| requests);
        if before & !settled(before) != 0 {
            self.request_safepoint();
        }
        before
    }

    fn restore_limits(&self) {
        // The store is borrowed by the activation that answers, as by whoever extends its stacks.
        self.vm.permit();
        // SAFETY: as above, of the execution that is under way.
        let (limit, native_limit) = unsafe {
            let fiber = &(*self.vm.get()).fiber;
            (fiber.slots_limit, fiber.native_limit)
        };
        self.native_limit().store(native_limit, Ordering::Release);
        self.stack_limit().store(limit, Ordering::Release);
    }
}

impl std::fmt::Debug for InterruptHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InterruptHandle").finish_non_exhaustive()
    }
}

#[cfg(all(test, feature = "loom"))]
mod model;
