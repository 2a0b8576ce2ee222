//! The switch between a host's stack and a fiber's.
//!
//! Code of a fiber is *entered* from the host and runs until it has finished or *suspends*; a suspended one is *resumed*, from anywhere. While it runs it can do
//! something *on the host's stack*: whatever is not the guest's own code, since other code may not know how long the fiber's stack is, or look at the bounds
//! of the thread's. A fiber that is on the host's stack can be entered again; then what was entered last must finish first, or be left for good.
//!
//! Must stay true: while a fiber is not running, everything in use of its stack lies at or above [`Switch::fiber`], with what the code on it had in registers.
//!
//! What this is not: a bound on what a fiber uses of its stack, or a decision about who runs.

#[cfg(all(target_arch = "aarch64", unix))]
#[path = "aarch64.rs"]
mod arch;
#[cfg(not(all(any(target_arch = "x86_64", target_arch = "aarch64"), unix)))]
#[path = "none.rs"]
mod arch;
#[cfg(all(target_arch = "x86_64", unix))]
#[path = "x86_64.rs"]
mod arch;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread;

#[cfg(test)]
pub(crate) use arch::HAS_STACKS;

/// Where the two stacks of a fiber were left.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub(crate) struct Switch {
    /// The stack pointer of the fiber: while it runs, where it was last entered; else, where it was left.
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// What was entered has finished.
    Finished,
    /// It waits to be resumed.
    Suspended,
}

/// Why a suspended fiber goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wake {
    /// What it waited for has happened, or may have.
    GoOn,
    /// Nobody wants its result any more: it leaves all its frames and finishes.
    Cancel,
}

/// What runs on a fiber's stack. It does not unwind.
#[cfg(target_arch = "x86_64")]
type Body = unsafe extern "sysv64" fn(*mut ());
/// What a fiber has done on the host's stack. It does not unwind.
#[cfg(target_arch = "x86_64")]
type Call = unsafe extern "sysv64" fn(*mut ()) -> u64;
#[cfg(not(target_arch = "x86_64"))]
type Body = unsafe extern "C" fn(*mut ());
#[cfg(not(target_arch = "x86_64"))]
type Call = unsafe extern "C" fn(*mut ()) -> u64;

/// Defines a function of the convention that the switch calls by.
macro_rules! switched {
    ($(#[$meta:meta])* fn $name:ident<$($generic:ident: $bound:path),*>($data:ident) $(-> $result:ty)? $body:block) => {
        #[cfg(target_arch = "x86_64")]
        $(#[$meta])*
        unsafe extern "sysv64" fn $name<$($generic: $bound),*>($data: *mut ()) $(-> $result)? $body
        #[cfg(not(target_arch = "x86_64"))]
        $(#[$meta])*
        unsafe extern "C" fn $name<$($generic: $bound),*>($data: *mut ()) $(-> $result)? $body
    };
}

/// Something to be done on another stack, and how it ended.
pub(crate) struct Job<A, R> {
    act: Option<A>,
    result: Option<thread::Result<R>>,
}

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
        switched! {
            fn body<A: Act>(data) {
                // SAFETY: `enter` passes the job, which stays where it is.
                unsafe { A::run(data) }
            }
        }
        // SAFETY: as the caller promises.
        match unsafe { arch::enter(at, body::<Job<A, R>>, job.cast()) } {
            0 => Progress::Finished,
            _ => Progress::Suspended,
        }
    }

    /// How it ended; none where it has not finished.
    pub(crate) fn take_result(&mut self) -> Option<thread::Result<R>> {
        self.result.take()
    }
}

/// What a job does, by address.
trait Act {
    /// # Safety
    /// `job` is the address of a job of this type, which nobody else uses.
    unsafe fn run(job: *mut ());
}

impl<A: FnOnce() -> R, R> Act for Job<A, R> {
    unsafe fn run(job: *mut ()) {
        // SAFETY: as the caller promises.
        let job = unsafe { &mut *job.cast::<Job<A, R>>() };
        if let Some(act) = job.act.take() {
            job.result = Some(catch_unwind(AssertUnwindSafe(act)));
        }
    }
}

/// Does something on a fiber's stack that never suspends. A panic goes on here.
///
/// # Safety
/// As [`Job::enter`].
#[inline(always)]
pub(crate) unsafe fn enter<R>(at: *mut Switch, act: impl FnOnce() -> R) -> R {
    let mut job = Job::new(act);
    // SAFETY: as the caller promises; it finishes before this function does.
    unsafe { Job::enter(&raw mut job, at) };
    match job.take_result() {
        Some(Ok(result)) => result,
        Some(Err(panic)) => resume_unwind(panic),
        // What was entered has suspended all the same, and uses the job: going on would leave it an address of nothing.
        None => std::process::abort(),
    }
}

/// Does something on the host's stack, for the fiber that runs. A panic goes on on the fiber's.
///
/// # Safety
/// `at` is the switch of the fiber that this is called on.
#[inline(always)]
pub(crate) unsafe fn on_host<R>(at: *mut Switch, act: impl FnOnce() -> R) -> R {
    switched! {
        fn call<A: Act>(data) -> u64 {
            // SAFETY: `on_host` passes the job, which is in use until this returns.
            unsafe { A::run(data) };
            0
        }
    }
    fn call_of<A: Act>(_: &A) -> Call {
        call::<A>
    }
    let mut job = Job::new(act);
    let call = call_of(&job);
    // SAFETY: as the caller promises.
    unsafe { arch::on_host(at, call, (&raw mut job).cast()) };
    match job.take_result() {
        Some(Ok(result)) => result,
        Some(Err(panic)) => resume_unwind(panic),
        // A job that was run has a result.
        None => std::process::abort(),
    }
}

/// Leaves the fiber that this is called on until it is resumed, which says why.
///
/// # Safety
/// `at` is the switch of the fiber that this is called on, and who has entered it expects it to suspend.
pub(crate) unsafe fn suspend(at: *mut Switch) -> Wake {
    // SAFETY: as the caller promises.
    match unsafe { arch::suspend(at) } {
        0 => Wake::GoOn,
        _ => Wake::Cancel,
    }
}

/// Lets a suspended fiber go on.
///
/// # Safety
/// `at` is the switch of a fiber that is suspended: nothing has been entered on its stack since that is still there.
pub(crate) unsafe fn resume(at: *mut Switch, wake: Wake) -> Progress {
    // SAFETY: as the caller promises.
    match unsafe { arch::resume(at, u32::from(wake == Wake::Cancel)) } {
        0 => Progress::Finished,
        _ => Progress::Suspended,
    }
}
