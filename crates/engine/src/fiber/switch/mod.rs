//! The switch between a host's stack and a fiber's.
//!
//! Code of a fiber is *entered* from the host and runs until it has finished or *suspends*; a suspended one is *resumed*, from anywhere. While it runs it can do
//! something *on the host's stack*: whatever is not the guest's own code, since other code may not know how long the fiber's stack is, or look at the bounds
//! of the thread's. A fiber that is on the host's stack can be entered again; then what was entered last must finish first, or be left for good. What is entered
//! further in can be suspended while who has called the host is suspended, too: that happens from the host's stack ([`enter_host`]), so that nothing runs on the fiber's above
//! frames that wait.
//!
//! Must stay true: while a fiber is not running, everything in use of its stack lies at or above [`Switch::fiber`], with what the code on it had in registers. While it runs, nothing below its stack
//! pointer is in use.
//!
//! What this is not: a bound on what a fiber uses of its stack, or a decision about who runs.

#[cfg(all(target_arch = "aarch64", unix, not(miri)))]
#[path = "aarch64.rs"]
mod arch;
#[cfg(not(all(any(target_arch = "x86_64", target_arch = "aarch64"), unix, not(miri))))]
#[path = "none.rs"]
mod arch;
#[cfg(all(target_arch = "x86_64", unix, not(miri)))]
#[path = "x86_64.rs"]
mod arch;

use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread;

#[cfg(any(test, feature = "fibers"))]
pub(crate) use arch::HAS_STACKS;

/// Calls a function of the host on the host's stack: `(context of the caller, entry, slots, record of the store)`. Tells how the call has ended, by the numbers of
/// [`crate::runtime`]. There is as little to it as can be: guests call the host often.
///
/// Where the function says that it waits, the fiber is suspended, and what that has come to is what `crate::runtime::end_wait` says once it goes on.
///
/// # Safety
/// This is called on the fiber of the store that the record is of. The rest is the contract of `HostEntry::call`.
pub use arch::enter_host;

pub(crate) use arch::caller_of_host;

#[cfg(all(target_arch = "x86_64", unix, not(miri)))]
pub use arch::offsets;

/// Where the two stacks of a fiber were left.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub(crate) struct Switch {
    /// The stack pointer of the fiber where it was left; while it runs, nothing to rely on.
    pub(crate) fiber: usize,
    /// The stack pointer of whoever has entered or resumed the fiber, while it runs.
    pub(crate) host: usize,
}

impl Switch {
    /// A fiber whose stack ends at `top`, which is a multiple of 16, and on which nothing is.
    pub(crate) const fn new(top: usize) -> Switch {
        Switch { fiber: top, host: 0 }
    }
}

/// How a fiber comes back to who has entered or resumed it.
#[cfg(any(test, feature = "fibers"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// What was entered has finished.
    Finished,
    /// It waits to be resumed.
    Suspended,
}

/// Why a suspended fiber goes on.
#[cfg(any(test, feature = "fibers"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wake {
    /// What it waited for has happened, or may have.
    GoOn,
    /// Nobody wants its result any more: it leaves all its frames and finishes.
    Cancel,
}

#[cfg(any(test, feature = "fibers"))]
impl Wake {
    /// By the number that the switch passes on.
    pub(crate) fn from_number(number: u32) -> Wake {
        match number {
            0 => Wake::GoOn,
            _ => Wake::Cancel,
        }
    }

    fn number(self) -> u32 {
        u32::from(self == Wake::Cancel)
    }
}

/// What runs on a fiber's stack, or what a fiber has done on the host's. It does not unwind.
#[cfg(target_arch = "x86_64")]
type Body = unsafe extern "sysv64" fn(*mut ());
#[cfg(not(target_arch = "x86_64"))]
type Body = unsafe extern "C" fn(*mut ());

/// Defines a function of the convention that the switch calls by.
macro_rules! with_convention {
    ($(#[$meta:meta])* $vis:vis fn $name:ident<$($generic:ident: $bound:path),*>($($param:ident: $ty:ty),*) $(-> $result:ty)? $body:block) => {
        #[cfg(target_arch = "x86_64")]
        $(#[$meta])*
        $vis unsafe extern "sysv64" fn $name<$($generic: $bound),*>($($param: $ty),*) $(-> $result)? $body
        #[cfg(not(target_arch = "x86_64"))]
        $(#[$meta])*
        $vis unsafe extern "C" fn $name<$($generic: $bound),*>($($param: $ty),*) $(-> $result)? $body
    };
}
pub(crate) use with_convention;

/// Something to be done on another stack, and how it ended.
#[cfg(any(test, feature = "async"))]
pub(crate) struct Job<A, R> {
    act: Option<A>,
    result: Option<thread::Result<R>>,
}

#[cfg(any(test, feature = "async"))]
impl<A: FnOnce() -> R, R> Job<A, R> {
    pub(crate) fn new(act: A) -> Job<A, R> {
        Job { act: Some(act), result: None }
    }

    /// Enters a fiber to do it there. A panic of what is done is the fiber's result.
    ///
    /// # Safety
    /// `at` is the switch of a fiber that is not running, and whose stack has enough room below where it was left. The job stays where it is until it has finished.
    #[inline(always)]
    pub(crate) unsafe fn enter(job: *mut Job<A, R>, at: *mut Switch) -> Progress {
        // SAFETY: passed on; `runtime::future` has looked at `VmFiber::has_room`.
        unsafe { enter_job(job, at) }
    }
}

#[cfg(any(test, feature = "async"))]
impl<A, R> Job<A, R> {
    /// How it ended; none where it has not finished.
    pub(crate) fn take_result(&mut self) -> Option<thread::Result<R>> {
        self.result.take()
    }
}

/// What a job does, by address.
pub(crate) trait Act {
    /// # Safety
    /// `job` is the address of a job of this type, which nobody else uses.
    unsafe fn run(job: *mut ());
}

#[cfg(any(test, feature = "async"))]
impl<A: FnOnce() -> R, R> Act for Job<A, R> {
    unsafe fn run(job: *mut ()) {
        // SAFETY: the functions that the switch calls pass the address that they were given with it, of a job that waits for them.
        let job = unsafe { &mut *job.cast::<Job<A, R>>() };
        if let Some(act) = job.act.take() {
            job.result = Some(catch_unwind(AssertUnwindSafe(act)));
        }
    }
}

/// Enters a fiber to do something there that may suspend.
///
/// # Safety
/// As [`Job::enter`], of whatever the job is.
#[cfg(any(test, feature = "fibers"))]
pub(crate) unsafe fn enter_job<A: Act>(job: *mut A, at: *mut Switch) -> Progress {
    with_convention! {
        fn body<A: Act>(data: *mut ()) {
            // SAFETY: `enter_job` passes the job, which stays where it is.
            unsafe { A::run(data) }
        }
    }
    // SAFETY: `Job::enter` and `runtime::fibers` pass the switch of a fiber that does not run and has room.
    match unsafe { arch::enter(at, body::<A>, job.cast()) } {
        0 => Progress::Finished,
        _ => Progress::Suspended,
    }
}

/// Something to be done on another stack while this one waits for it, and then how it ended, in one place.
union InPlace<A, R> {
    act: ManuallyDrop<A>,
    result: ManuallyDrop<thread::Result<R>>,
}

impl<A: FnOnce() -> R, R> Act for InPlace<A, R> {
    #[inline(always)]
    unsafe fn run(place: *mut ()) {
        let place = place.cast::<InPlace<A, R>>();
        // SAFETY: `enter` and `on_host` pass what has just been filled with something to be done, and read the result only once this has returned.
        unsafe {
            let act = ManuallyDrop::take(&mut (*place).act);
            (*place).result = ManuallyDrop::new(catch_unwind(AssertUnwindSafe(act)));
        }
    }
}

impl<A, R> InPlace<A, R> {
    /// How it ended. A panic goes on here.
    ///
    /// # Safety
    /// It has been done.
    #[inline(always)]
    unsafe fn into_result(mut self) -> R {
        // SAFETY: `enter` and `on_host` ask once it has been done, and then it is a result.
        match unsafe { ManuallyDrop::take(&mut self.result) } {
            Ok(result) => result,
            Err(panic) => resume_unwind(panic),
        }
    }
}

/// Does something on a fiber's stack that never suspends. A panic goes on here.
///
/// # Safety
/// As [`Job::enter`].
#[inline(always)]
pub(crate) unsafe fn enter<A: FnOnce() -> R, R>(at: *mut Switch, act: A) -> R {
    with_convention! {
        fn body<A: Act>(data: *mut ()) {
            // SAFETY: `enter` passes its place, which waits for this.
            unsafe { A::run(data) }
        }
    }
    let mut place = InPlace { act: ManuallyDrop::new(act) };
    // SAFETY: `runtime::call` passes its store's switch, and has looked whether there is room; what is done has finished before this function does.
    unsafe {
        match arch::enter(at, body::<InPlace<A, R>>, (&raw mut place).cast()) {
            0 => place.into_result(),
            // What was entered has suspended all the same, and uses the place: going on would leave it an address of nothing.
            _ => std::process::abort(),
        }
    }
}

/// Does something on the host's stack, for the fiber that runs. A panic goes on on the fiber's.
///
/// # Safety
/// `at` is the switch of the fiber that this is called on. Whatever is entered on that fiber meanwhile has finished when this returns, or is never resumed.
#[inline(always)]
pub(crate) unsafe fn on_host<A: FnOnce() -> R, R>(at: *mut Switch, act: A) -> R {
    with_convention! {
        fn call<A: Act>(data: *mut ()) {
            // SAFETY: `on_host` passes its place, which is in use until this returns.
            unsafe { A::run(data) }
        }
    }
    let mut place = InPlace { act: ManuallyDrop::new(act) };
    // SAFETY: `runtime` passes the switch of the store that it runs for, on its fiber.
    unsafe {
        arch::on_host(at, call::<InPlace<A, R>>, (&raw mut place).cast());
        place.into_result()
    }
}

/// Leaves the fiber that this is called on until it is resumed, which says why.
///
/// # Safety
/// `at` is the switch of the fiber that this is called on, and who has entered it expects it to suspend.
#[cfg(any(test, feature = "async"))]
pub(crate) unsafe fn suspend(at: *mut Switch) -> Wake {
    // SAFETY: `runtime::future` passes the switch of the fiber that it runs on, which it has entered itself.
    Wake::from_number(unsafe { arch::suspend(at) })
}

/// Lets a suspended fiber go on.
///
/// # Safety
/// `at` is the switch of a fiber that is suspended: nothing has been entered on its stack since that is still there.
#[cfg(any(test, feature = "fibers"))]
pub(crate) unsafe fn resume(at: *mut Switch, wake: Wake) -> Progress {
    // SAFETY: `runtime::future` passes the switch of a fiber that it has seen suspend, with the record as it was then.
    match unsafe { arch::resume(at, wake.number()) } {
        0 => Progress::Finished,
        _ => Progress::Suspended,
    }
}
