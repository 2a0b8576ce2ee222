//! Calls that can wait: a future that runs a function of a store on its fiber.
//!
//! A poll enters the fiber, or lets it go on, and comes back when it has finished or waits. It waits where a function of the host does, whose own future is then
//! polled here first, on the stack of whoever polls, and the guest goes on only when that is ready. What is waited for is always further out on the fiber's stack than
//! what waits, so that one fiber serves calls within calls.
//!
//! Must stay true: while such a future is there, and has not finished, nobody else calls into the store: it holds the store. One that is dropped leaves all frames of
//! the fiber that it has made, first what is further in. One that is leaked has left them for good: whoever called the guest further out goes on over them.
//!
//! # Held and leaked
//! The record says where the fiber was left last, which may be by a call further in than the one that is polled now. A call that is *held*, by the function of the host that has begun it, is still to
//! be polled or dropped, so that its frames are in use. One that is *leaked* is never polled or dropped again, and its frames are memory that nobody reads. Nothing here tells the two apart, and nothing
//! has to, because of what Rust guarantees: a `Call<'a, T, _>` borrows the store for `'a` exclusively, it has a destructor, and `T` is `'static`, so that a store's data cannot hold it. Polling it, and dropping
//! it, are uses for which that borrow must still last; as long as one of them is to come, the store can be used through that call only. So whoever enters the fiber where there are frames further in
//! than its own is either a call that is held, which first puts its own place into the record (`stand_where_left`), or it has got the borrow back: then what was further in has finished, was dropped, which has left
//! its frames, or was leaked.
//!
//! What goes around the borrow checker keeps to the same. [`begin`] forgets the lifetime of a [`HostFuture`], which borrows the store for a function of the host: the `Call` that this function is part of alone has it, drops it
//! before its guest goes on, and is leaked together with it. A [`crate::Caller`] is made from the record's `owner` for each call of such a function, and lasts no longer than that function or its future.
//!
//! What this is not: an executor. Nothing here knows one.

use std::any::Any;
use std::future::Future;
use std::marker::{PhantomData, PhantomPinned};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use super::Afterwards;
use crate::error::{Error, ErrorKind};
use crate::fiber::switch::{self, HAS_STACKS, Job, Progress, Switch, Wake};
use crate::func::Func;
use crate::host_panics::FirstPanic;
use crate::store::StoreInner;
use crate::tier::Tier;
use crate::trap::Trap;
use crate::vmctx::fiber::{Answer, FiberMark, HostFuture, OuterActivation};
use crate::vmctx::record::InterruptHandle;
use crate::vmctx::{Pending, TrapSite, VmStore, host_stack};

/// Calls a function of the store, as [`super::call::checked`] does, and can wait meanwhile.
///
/// # Errors
/// Where the function is of another store.
pub(crate) fn call<'a, T: Send + 'static>(
    store: &'a mut StoreInner<T>,
    func: Func,
    slots: &'a mut [u64],
    kind: CallKind,
) -> Result<impl Future<Output = Result<(), Error>> + Send + use<'a, T>, Error> {
    let func = func.record(&store.core)?;
    let call_slots = super::call::call_slots(func);
    debug_assert!(slots.len() >= call_slots);
    let vm = store.core.vm();
    let most = store.core.limits.host_nesting;
    let handle = store.core.record.interrupt_handle().clone();
    let tier: *const dyn Tier = store.core.engine().tier();
    let slots: *mut [u64] = &raw mut slots[..call_slots];
    let act = move || {
        // SAFETY: the function is of this store, which the future holds, and so it does the slots; the tier lives as long as the store's engine. This runs on
        // the store's fiber, in `poll`.
        unsafe {
            let is_done = if (*func).is_host() {
                // No guest stands between the host and this function.
                (*vm).fiber.call_site = TrapSite::NONE;
                let segments = std::mem::replace(&mut (*vm).fiber.segments, std::ptr::null());
                let is_done = super::call_host_in(vm, func, std::ptr::null_mut(), slots.cast());
                (*vm).fiber.segments = segments;
                is_done
            } else {
                (*tier).call(&*func, &mut *slots)
            };
            if is_done { Ok(()) } else { Err(super::take_reason(vm)) }
        }
    };
    Ok(Call {
        job: Job::new(act),
        vm,
        owner: store,
        most,
        handle,
        waker: None,
        state: State::New,
        kind,
        future: None,
        outer: None,
        store: PhantomData,
        _pinned: PhantomPinned,
    })
}

struct Call<'a, T: 'static, A> {
    job: Job<A, Result<(), Pending>>,
    vm: *mut VmStore,
    owner: *mut StoreInner<T>,
    most: u32,
    handle: InterruptHandle,
    /// The waker that is entered there.
    waker: Option<u64>,
    state: State,
    kind: CallKind,
    /// What the function of the host waits for that the guest has called last.
    future: Option<HostFuture>,
    /// What has called the function of the host that has begun this call, for backtraces: the record has its address while this is polled.
    outer: Option<OuterActivation>,
    store: PhantomData<&'a mut StoreInner<T>>,
    /// The fiber has the job's address.
    _pinned: PhantomPinned,
}

/// What is called.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallKind {
    Function,
    /// A module's start function, while it is instantiated.
    Start,
}

#[derive(Clone, Copy)]
enum State {
    New,
    Suspended(Suspension),
    Finished,
}

/// The record as it was when a call was suspended.
#[derive(Clone, Copy)]
struct Suspension {
    mark: FiberMark,
    /// Where the fiber's stack was left.
    left_at: usize,
    /// How many calls were under way.
    nesting: u32,
    /// How many roots there were before the guest has called what it waits for.
    roots: usize,
    /// See [`crate::vmctx::VmFiber::call_site`].
    call_site: TrapSite,
    /// How many calls were polled by nobody while this one was.
    unpolled: u32,
}

// SAFETY: it holds the store, which may move to another thread with its data; what is on the fiber's stack refers to no thread.
unsafe impl<T: Send, A> Send for Call<'_, T, A> {}

impl<T: 'static, A: FnOnce() -> Result<(), Pending>> Future for Call<'_, T, A> {
    type Output = Result<(), Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // SAFETY: nothing is moved out of it.
        let this = unsafe { self.get_unchecked_mut() };
        if matches!(this.state, State::Finished) {
            return Poll::Ready(Err(Error::usage("a call that has finished was polled once more")));
        }
        // SAFETY: the owner is the store, which `self` holds, and which outlives this poll.
        let _timed = match unsafe { Timed::enter(this.owner) } {
            Ok(timed) => timed,
            Err(error) => {
                this.give_up();
                return Poll::Ready(Err(error));
            }
        };
        // Also what the guest waits for may call into guests: each such level counts on the thread that polls, and looks how much is left of its stack.
        let progress = this.in_place(|this| host_stack::enter(this.most, || this.go_on(context)));
        match progress {
            Ok(progress) => progress,
            Err(trap) => {
                this.give_up();
                Poll::Ready(Err(trap.into()))
            }
        }
    }
}

impl<T: 'static, A: FnOnce() -> Result<(), Pending>> Call<'_, T, A> {
    fn go_on(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let this = self;
        if this.future.is_some() {
            match this.poll_host(context) {
                Poll::Pending => return Poll::Pending,
                // SAFETY: the record lives as long as the store.
                Poll::Ready(answer) => unsafe { (*this.vm).fiber.waiting.answer = Some(answer) },
            }
        }
        // SAFETY: as above.
        if let Some(slice) = unsafe { &mut (*this.owner).core.time_slice }
            && let Err(error) = slice.begin()
        {
            this.give_up();
            return Poll::Ready(Err(error));
        }
        if matches!(this.state, State::New) {
            // SAFETY: the record lives as long as the store.
            let (nesting, has_room) = unsafe { ((*this.vm).nesting, (*this.vm).fiber.has_room()) };
            if !HAS_STACKS {
                this.state = State::Finished;
                let text = "calls that can wait are there for x86-64 and aarch64 under Unix only";
                return Poll::Ready(Err(Error::new(ErrorKind::Unsupported(text.to_owned()))));
            }
            if nesting >= this.most || !has_room {
                this.state = State::Finished;
                return Poll::Ready(Err(Trap::CallStackExhausted.into()));
            }
        }
        if this.run(Some(context), Wake::GoOn) == Progress::Finished {
            return Poll::Ready(this.finish());
        }
        // SAFETY: the record lives as long as the store, which `self` holds; the fiber waits.
        unsafe {
            this.future = (*this.vm).fiber.waiting.future.take();
            this.state = State::Suspended(Suspension {
                mark: (*this.vm).fiber.mark(),
                left_at: (*this.vm).fiber.switch.fiber,
                nesting: (*this.vm).nesting,
                roots: (*this.vm).fiber.waiting.roots,
                call_site: (*this.vm).fiber.call_site,
                unpolled: (*this.vm).fiber.waiting.unpolled,
            });
        }
        if this.future.is_some() {
            this.wake_when_asked_to_stop(context);
        } else {
            // It has only let others run.
            context.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

impl<T: 'static, A> Call<'_, T, A> {
    /// Looks whether the function of the host is done that the guest waits for, or is to be given up.
    fn poll_host(&mut self, context: &mut Context<'_>) -> Poll<Answer> {
        self.stand_where_left();
        let Some(future) = &mut self.future else { return Poll::Pending };
        let answer = if self.handle.is_stop_asked() {
            None
        } else {
            match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
                Ok(Poll::Ready(result)) => Some(Ok(result)),
                Err(panic) => Some(Err(panic)),
                Ok(Poll::Pending) => {
                    self.wake_when_asked_to_stop(context);
                    return Poll::Pending;
                }
            }
        };
        if let Err(panic) = self.drop_future() {
            return Poll::Ready(Err(panic));
        }
        Poll::Ready(answer.unwrap_or_else(|| {
            // SAFETY: the store is held for this call, and what has borrowed it is gone.
            let asked = unsafe { (*self.owner).core.stop_if_asked() };
            Ok(Err(asked.err().unwrap_or(Trap::Interrupted).into()))
        }))
    }

    /// Drops what the guest waits for, with all that this has called in the store.
    fn drop_future(&mut self) -> Result<(), Box<dyn Any + Send>> {
        let future = self.future.take();
        catch_unwind(AssertUnwindSafe(|| drop(future)))
    }

    /// Has whoever polls poll again when the guest is asked to stop, if only at once.
    fn wake_when_asked_to_stop(&mut self, context: &Context<'_>) {
        self.leave_waker();
        self.waker = Some(self.handle.enter_waker(context.waker().clone()));
        if self.handle.is_stop_asked() {
            context.waker().wake_by_ref();
        }
    }
}

impl<T: 'static, A> Call<'_, T, A> {
    fn leave_waker(&mut self) {
        if let Some(number) = self.waker.take() {
            self.handle.leave_waker(number);
        }
    }

    fn at(&self) -> *mut Switch {
        // SAFETY: the record lives as long as the store.
        unsafe { &raw mut (*self.vm).fiber.switch }
    }

    /// Does `act` with the record telling whose call it is done in.
    fn within<R>(&mut self, context: Option<&mut Context<'_>>, act: impl FnOnce(&mut Self) -> R) -> R {
        let vm = self.vm;
        let context = context.map_or(0, |context| std::ptr::from_mut(context).cast::<()>() as usize);
        // SAFETY: the record lives as long as the store, which is held for this call.
        unsafe {
            let before =
                ((*vm).owner, (*vm).core, std::mem::replace(&mut (*vm).fiber.waiting.context, context));
            (*vm).owner = self.owner.cast();
            (*vm).core = (&raw mut (*self.owner).core).cast();
            let result = act(self);
            ((*vm).owner, (*vm).core, (*vm).fiber.waiting.context) = before;
            result
        }
    }

    /// Does `act`, which may put this call's place into the record, and has the record tell of the place again that this is done in; a call that waits then is polled by
    /// nobody.
    fn in_place<R>(&mut self, act: impl FnOnce(&mut Self) -> R) -> R {
        let vm = self.vm;
        // SAFETY: the record lives as long as the store, which is held for this call.
        unsafe {
            let before = ((*vm).fiber.outer, (*vm).fiber.call_site);
            let result = act(self);
            ((*vm).fiber.outer, (*vm).fiber.call_site) = before;
            if let State::Suspended(Suspension { unpolled, .. }) = self.state {
                (*vm).fiber.waiting.unpolled = unpolled + 1;
            }
            result
        }
    }

    /// Has backtraces go on from this call to what has begun it.
    fn link_outer(&mut self) {
        let outer = self.outer.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
        // SAFETY: the record lives as long as the store; the call stays where it is, and `in_place` takes the address back.
        unsafe { (*self.vm).fiber.outer = outer };
    }

    /// Has the record say where this call has left the fiber, so that what is called now lies below its frames: it says so of what was called further in, which has
    /// finished or was leaked, or of whoever has called this one and was suspended himself since.
    fn stand_where_left(&mut self) {
        if let State::Suspended(Suspension { mark, left_at, nesting, roots, call_site, unpolled }) =
            self.state
        {
            self.link_outer();
            // SAFETY: the record lives as long as the store. What lies below `left_at` is of calls further in. Those that are held belong to `self.future`, or to who polls this one and them in turn: each puts its own place
            // here before it is resumed. All others have finished or were leaked, and are never resumed: "Held and leaked" above says who guarantees that.
            unsafe {
                (*self.vm).nesting = nesting;
                (*self.vm).fiber.waiting.roots = roots;
                (*self.vm).fiber.switch.fiber = left_at;
                (*self.vm).fiber.call_site = call_site;
                (*self.vm).fiber.waiting.unpolled = unpolled;
                let left = (*self.vm).fiber.return_to(mark);
                (*self.owner).core.host_panics.catch(|| drop(left));
            }
        }
    }

    /// Lets a fiber go on that waits.
    fn resume(&mut self, context: Option<&mut Context<'_>>, wake: Wake) -> Progress {
        self.stand_where_left();
        // SAFETY: it is suspended: the future has entered it, and has not seen it finish. What was entered since has finished, was dropped with `self.future`, or was leaked.
        self.within(context, |this| unsafe { switch::resume(this.at(), wake) })
    }

    /// What is left to do where the fiber has finished.
    fn settle(&mut self) {
        self.state = State::Finished;
        // SAFETY: the record lives as long as the store, which `self` holds.
        unsafe {
            (*self.vm).nesting -= 1;
            (*self.owner).core.starting -= u32::from(self.kind == CallKind::Start);
            if (*self.vm).nesting == 0 {
                (*self.owner).core.record.forget_told_deadline();
            }
        }
        // Last: dropping the embedder's waker may panic.
        self.leave_waker();
    }

    fn finish(&mut self) -> Result<(), Error> {
        self.settle();
        // SAFETY: the record lives as long as the store, which `self` holds.
        unsafe {
            if (*self.vm).nesting == 0 {
                (*self.owner).core.resume_host_panic();
            }
        }
        match self.job.take_result() {
            Some(Ok(Ok(()))) => Ok(()),
            Some(Ok(Err(reason))) => Err(super::call::told(reason)),
            Some(Err(panic)) => resume_unwind(panic),
            None => Err(Error::limit("a call finished without a result")),
        }
    }
}

impl<T: 'static, A: FnOnce() -> Result<(), Pending>> Call<'_, T, A> {
    /// Enters the fiber, or lets it go on.
    fn run(&mut self, context: Option<&mut Context<'_>>, wake: Wake) -> Progress {
        if let State::Suspended(..) = self.state {
            return self.resume(context, wake);
        }
        // SAFETY: the record lives as long as the store.
        unsafe {
            self.outer = ((*self.vm).nesting > 0).then(|| (*self.vm).fiber.activation());
            self.link_outer();
            (*self.vm).nesting += 1;
            (*self.owner).core.starting += u32::from(self.kind == CallKind::Start);
        }
        // SAFETY: nobody else runs on the fiber, which has room, as `poll` has seen; the job is pinned with the future.
        self.within(context, |this| unsafe { Job::enter(&raw mut this.job, this.at()) })
    }
}

impl<T: 'static, A> Call<'_, T, A> {
    /// Leaves all frames of the guest, where there are any.
    fn give_up(&mut self) {
        if !matches!(self.state, State::Suspended(..)) {
            self.state = State::Finished;
            return;
        }
        self.in_place(Self::leave_frames);
    }

    /// Leaves the frames of a guest that is suspended.
    fn leave_frames(&mut self) {
        // What is dropped may call guests.
        self.stand_where_left();
        let mut panics = FirstPanic::default();
        if let Err(panic) = self.drop_future() {
            panics.keep(panic);
        }
        // What has ended has no more to say to a guest that is being left.
        // SAFETY: the record lives as long as the store, which `self` holds.
        let answer = unsafe { (*self.vm).fiber.waiting.answer.take() };
        let progress = host_stack::enter_again(|| self.resume(None, Wake::Cancel));
        // A guest that is being left does not wait again: nothing of it is executed.
        assert!(progress == Progress::Finished, "a call that is cancelled leaves its frames");
        panics.catch(|| self.settle());
        // SAFETY: as above. Who would have gone on with it has gone.
        unsafe {
            if (*self.vm).nesting == 0
                && let Some(panic) = (*self.owner).core.host_panics.take()
            {
                panics.keep(panic);
            }
        }
        panics.drop_taken(&mut { answer });
        panics.drop_taken(&mut self.job.take_result());
        panics.go_on();
    }
}

impl<T: 'static, A> Drop for Call<'_, T, A> {
    fn drop(&mut self) {
        self.give_up();
    }
}

/// A store while its guests' processor time is counted, however that ends: from the beginning of a poll to its end, on the thread that polls.
struct Timed<T: 'static>(*mut StoreInner<T>);

impl<T> Timed<T> {
    /// # Safety
    /// The store lives as long as what this returns, and is in use by the caller.
    unsafe fn enter(store: *mut StoreInner<T>) -> Result<Timed<T>, Error> {
        // SAFETY: `Call` passes the store that it holds.
        if let Some(time) = unsafe { &(*store).core.processor_time } {
            time.enter()?;
        }
        Ok(Timed(store))
    }
}

impl<T> Drop for Timed<T> {
    fn drop(&mut self) {
        // SAFETY: as in `enter`.
        if let Some(time) = unsafe { &(*self.0).core.processor_time } {
            time.leave();
        }
    }
}

/// What has come of the function of the host that this fiber has waited for.
///
/// # Errors
/// The reason for which the guest is to be left.
///
/// # Safety
/// `vm` is the record of the store whose fiber this runs on, which goes on for the reason given.
pub(crate) unsafe fn answer(vm: *mut VmStore, wake: Wake) -> Result<(), Pending> {
    if wake == Wake::Cancel {
        return Err(Pending::Panic(Box::new(Cancelled)));
    }
    // SAFETY: `end_wait` passes the record that it runs for.
    match unsafe { (*vm).fiber.waiting.answer.take() } {
        Some(Ok(result)) => result.map_err(Pending::Error),
        Some(Err(panic)) => Err(Pending::Panic(panic)),
        None => Err(Pending::Error(Error::limit("a call went on before it was told how"))),
    }
}

/// Lets whoever polls do something else first, where the guest that runs on this fiber was called so that it can wait.
///
/// # Errors
/// [`Trap::Interrupted`] where the call is given up meanwhile.
///
/// # Safety
/// `vm` is the record of the store whose fiber this runs on.
#[cold]
#[inline(never)]
pub(super) unsafe fn let_others_run(vm: *mut VmStore, afterwards: Afterwards) -> Result<(), Trap> {
    // SAFETY: `answer_request` passes the record that it runs for, on its fiber; where there is a context it is `Call` that has entered or resumed that, and `fibers` where it can yield.
    unsafe {
        if (*vm).fiber.waiting.context == 0 && !super::fibers::can_yield(vm) {
            (*vm).fiber.waiting.owes_a_turn = true;
            return Ok(());
        }
        if switch::suspend(&raw mut (*vm).fiber.switch) == Wake::Cancel {
            return Err(Trap::Interrupted);
        }
        // Who has been asked again meanwhile comes further between two turns, all the same.
        if afterwards == Afterwards::TriesAgain {
            let core = &mut *super::core_of(vm);
            core.record.interrupt_handle().forget_yield();
            // That may have been the slice's end, which nobody tells of twice.
            if let Some(slice) = &mut core.time_slice {
                slice.begin().map_err(|_| Trap::Interrupted)?;
            }
        }
        Ok(())
    }
}

/// Why the frames of a guest are left whose call was dropped. As with a panic of the host's, no guest catches it, and nobody asks for a backtrace.
struct Cancelled;

/// Polls the future of a function of the host once, where it was called, and has `write` take what comes of it; what is not ready is left in the record, for the
/// fiber to wait for.
///
/// # Errors
/// What the function failed with; where it was called in a call that cannot wait.
///
/// # Safety
/// `vm` is the record of the store that the function was called in, on the host's stack. What the future and `write` borrow is there as long as the call of the
/// guest that they are part of, and they may go to other threads with the store.
pub(crate) unsafe fn begin<'a, R: 'a>(
    vm: *mut VmStore,
    mut future: Pin<Box<dyn Future<Output = R> + Send + 'a>>,
    write: impl FnOnce(R) -> Result<(), Error> + 'a,
) -> Result<(), Error> {
    // SAFETY: the record lives as long as the store; where there is a context it is that of the poll that all this is called from.
    unsafe {
        let context = (*vm).fiber.waiting.context;
        if context == 0 {
            return Err(Error::usage(
                "an asynchronous function of the host was called in a call that cannot wait \
                 (use call_async and instantiate_async)",
            ));
        }
        match future.as_mut().poll(&mut *(context as *mut Context<'_>)) {
            Poll::Ready(result) => write(result),
            Poll::Pending => {
                let write = Moved(write);
                let waits: Waits<'a> = Box::pin(async move {
                    let result = future.await;
                    { write }.0(result)
                });
                // Who polls holds it while the guest waits, and drops it before the guest goes on.
                (*vm).fiber.waiting.future = Some(std::mem::transmute::<Waits<'a>, HostFuture>(waits));
                Err(Error::usage("a function of the host waits"))
            }
        }
    }
}

/// What a [`HostFuture`] is before its lifetime is forgotten.
type Waits<'a> = Pin<Box<dyn Future<Output = Result<(), Error>> + Send + 'a>>;

/// What goes to another thread with the store.
struct Moved<T>(T);

// SAFETY: `host.rs` gives `begin` slots of the guest, and code that all threads share; `growth.rs` the store itself, and `atomic.rs` a place on its fiber's stack, which the call that waits holds and moves with.
unsafe impl<T> Send for Moved<T> {}
