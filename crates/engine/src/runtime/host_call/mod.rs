//! A guest calls a function of the host.
//!
//! Whoever executes the guest's code goes to the host's stack ([`enter_host`]) and to what the function's entry names, which is [`call_code`], made for the very closure:
//! the closure and all that is done around it are one function. What is rarely needed is apart, and shared.
//!
//! Must stay true: a panic of the function's comes back as a reason for which the guest is left, so that it never unwinds guest frames. Whoever wants the guest
//! to stop is heard before the call: without a loop around them, many may stand in a row.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;

#[cfg(feature = "async")]
use super::ReasonInRecord;
use super::host::{HostFunc, KnownCode};
use super::{core_of, enter_host, heed_stop_in, instance_of};
use crate::error::{Error, ErrorKind};
#[cfg(feature = "fibers")]
use crate::fiber::switch::Wake;
use crate::fiber::switch::with_convention;
use crate::store::StoreCore;
use crate::value::Val;
#[cfg(feature = "async")]
use crate::vmctx::FuncEntry;
#[cfg(feature = "async")]
use crate::vmctx::fiber::FiberMark;
use crate::vmctx::{HostEntry, Pending, VmContext, VmFunc, VmStore};

/// The function has returned.
pub const HOST_DONE: u32 = 0;
/// The activation must be left; the reason is in the record.
pub const HOST_STOPPED: u32 = 1;
/// The function waits, on the fiber that has called it. Nobody but the switch sees this.
#[cfg(feature = "fibers")]
const HOST_WAITS: u32 = 2;

/// Calls a function of the host for the guest; false where the activation must be left, and then the reason is in the record.
///
/// # Safety
/// See the parent module's documentation; `func` is a host function of the same store, `slots` points to its `call_slots` slots,
/// and `stack_top` lies beyond them.
#[must_use]
#[inline(always)]
pub unsafe fn call_host(ctx: *mut VmContext, func: *const VmFunc, slots: *mut u64) -> bool {
    // SAFETY: handlers pass the context that they run with, whose store this activation alone has (the contract of `runtime`).
    unsafe { call_host_in((*ctx).store, func, ctx, slots) }
}

/// As [`call_host`], in the store whose record `vm` is; `ctx` is null where the host itself calls, on the fiber.
///
/// # Safety
/// As [`call_host`].
#[inline(always)]
pub(crate) unsafe fn call_host_in(
    vm: *mut VmStore,
    func: *const VmFunc,
    ctx: *mut VmContext,
    slots: *mut u64,
) -> bool {
    // SAFETY: `call_host` passes the record of its context's store, and a call that waits that of its own: both run on the store's fiber. The entry of a function of the host
    // is a `HostEntry`.
    unsafe { enter_host(ctx, (*func).entry.cast(), slots, vm) == HOST_DONE }
}

with_convention! {
    /// Calls a function of the host whose code is a `C`; see [`HostEntry::call`].
    pub(crate) fn call_code<C: KnownCode>(ctx: *mut VmContext, entry: *const HostEntry, slots: *mut u64, vm: *mut VmStore) -> u32 {
        // SAFETY: the contract of `HostCall`, which `enter_host` passes on; `host.rs` has made the entry, with code of this type. `core` was set by the call that this
        // activation is in.
        unsafe {
            if (*vm).stack_limit.load(Ordering::Relaxed).is_null() || (*core_of(vm)).profile.is_some() {
                return call_watched(ctx, entry, slots, vm);
            }
            let before = if C::REACHES_STORE { Some(Before::of(vm)) } else { None };
            debug_assert_eq!(C::SLOTS.unwrap_or((*entry).call_slots), (*entry).call_slots);
            let slots = std::slice::from_raw_parts_mut(slots, C::SLOTS.unwrap_or((*entry).call_slots));
            let ended = catch_unwind(AssertUnwindSafe(|| (*(*entry).code.cast::<C>()).call(vm, ctx, slots)));
            match (before, ended) {
                (None, Ok(Ok(()))) => HOST_DONE,
                (before, ended) => before.unwrap_or_else(|| Before::of(vm)).end(vm, ended),
            }
        }
    }
}

/// As [`call_code`], for any code, where somebody asks for a safepoint or how much time passes.
///
/// # Safety
/// As [`call_code`].
#[cold]
#[inline(never)]
unsafe fn call_watched(
    ctx: *mut VmContext,
    entry: *const HostEntry,
    slots: *mut u64,
    vm: *mut VmStore,
) -> u32 {
    // SAFETY: passed on.
    unsafe {
        if let Err(trap) = heed_stop_in(vm) {
            (*vm).fiber.pending = Some(Pending::Trap(trap));
            return HOST_STOPPED;
        }
        let (before, ticks, func) = (Before::of(vm), (*core_of(vm)).record.ticks(), (*entry).func);
        let slots = std::slice::from_raw_parts_mut(slots, (*entry).call_slots);
        let ended = catch_unwind(AssertUnwindSafe(|| HostFunc::of(func).call(vm, ctx, slots)));
        note_host_time(vm, func, ctx, ticks);
        before.end(vm, ended)
    }
}

/// What there was before a function of the host was called.
struct Before {
    /// References that the embedder holds.
    roots: usize,
    #[cfg(feature = "async")]
    mark: FiberMark,
    /// Calls that were under way.
    #[cfg(feature = "async")]
    nesting: u32,
}

impl Before {
    /// # Safety
    /// `vm` is the record of a store that this activation has exclusive use of; `core` was set by the call that this activation is in.
    #[inline(always)]
    unsafe fn of(vm: *mut VmStore) -> Before {
        // SAFETY: the callers pass the record that they run for.
        unsafe {
            Before {
                roots: (*core_of(vm)).roots.len(),
                #[cfg(feature = "async")]
                mark: (*vm).fiber.mark(),
                #[cfg(feature = "async")]
                nesting: (*vm).nesting,
            }
        }
    }

    /// Ends the call, and tells how it has ended.
    ///
    /// # Safety
    /// As [`Before::of`], of the same record; the function has ended so.
    #[inline(always)]
    unsafe fn end(&self, vm: *mut VmStore, ended: std::thread::Result<Result<(), Error>>) -> u32 {
        // SAFETY: the callers pass the record that they run for.
        unsafe {
            #[cfg(feature = "async")]
            if (*vm).nesting != self.nesting {
                self.take_back_leaked(vm);
            }
            let reason = match ended {
                Ok(Ok(())) => {
                    // References made during the call are the embedder's only until it returns.
                    if (*core_of(vm)).roots.len() != self.roots {
                        (*core_of(vm)).roots.truncate(self.roots);
                    }
                    return HOST_DONE;
                }
                Ok(Err(error)) => Pending::Error(error),
                // What it leaves half done belongs to the host, which sees the panic go on.
                Err(payload) => Pending::Panic(payload),
            };
            leave(vm, self.roots, reason)
        }
    }

    /// Takes back calls that wait and that the function has leaked. What is the embedder's of theirs and panics when it is dropped does so as a limiter does: the
    /// panic is kept, since it may cross no frame of a guest's, nor of the one that calls this.
    ///
    /// # Safety
    /// As [`Before::end`].
    #[cfg(feature = "async")]
    #[cold]
    #[inline(never)]
    unsafe fn take_back_leaked(&self, vm: *mut VmStore) {
        // SAFETY: `end` passes the record that it runs for.
        unsafe {
            let leaked = (*vm).nesting.saturating_sub(self.nesting);
            (*vm).fiber.waiting.unpolled = (*vm).fiber.waiting.unpolled.saturating_sub(leaked);
            (*vm).nesting = self.nesting;
            let left = (*vm).fiber.return_to(self.mark);
            (*core_of(vm)).host_panics.catch(|| drop(left));
        }
    }
}

/// What is left to do where a function of the host has failed, before which there were so many roots; or waits, which it says by failing.
///
/// # Safety
/// As [`Before::of`].
#[cold]
#[inline(never)]
unsafe fn leave(vm: *mut VmStore, roots: usize, reason: Pending) -> u32 {
    // SAFETY: `Before::end` and `end_wait` pass the record that they run for.
    unsafe {
        #[cfg(feature = "async")]
        if (*vm).fiber.waiting.is_for_host() {
            (*vm).fiber.waiting.roots = roots;
            return HOST_WAITS;
        }
        #[cfg(feature = "fibers")]
        if !(*vm).fiber.parked.slots.is_null() {
            (*core_of(vm)).roots.truncate(roots);
            return HOST_WAITS;
        }
        let reason = for_guest(&*core_of(vm), reason);
        (*core_of(vm)).roots.truncate(roots);
        (*vm).fiber.pending = Some(reason);
        HOST_STOPPED
    }
}

/// The reason for a host call's end, as it is to the guest: an exception that the host passes on can be caught.
fn for_guest(core: &StoreCore, reason: Pending) -> Pending {
    match reason {
        Pending::Error(error) => match error.kind() {
            ErrorKind::Exception(exception) => match Val::ExnRef(Some(*exception)).to_slots(core) {
                Ok([slot, _]) => Pending::Exception(slot),
                Err(stale) => Pending::Error(stale),
            },
            _ => Pending::Error(error),
        },
        other => other,
    }
}

#[cfg(feature = "fibers")]
with_convention! {
    /// Ends a call of a function of the host that this fiber has waited for, which goes on for the reason with that number; tells how, as [`enter_host`] does.
    ///
    /// # Safety
    /// The switch alone calls this.
    #[cold]
    pub fn end_wait<>(vm: *mut VmStore, wake: u32) -> u32 {
        // SAFETY: `enter_host` passes the record that it was called with, on the fiber, which `runtime::fibers` has let go on, or `Call`: it has put back what was in the record.
        unsafe {
            if let Some(answer) = (*vm).fiber.parked.answer.take() {
                // References are those of whoever has let it go on; none is the guest's.
                let roots = (*core_of(vm)).roots.len();
                return answer.map_or_else(|error| leave(vm, roots, Pending::Error(error)), |()| HOST_DONE);
            }
            end_wait_for_future(vm, Wake::from_number(wake))
        }
    }
}

/// Ends a call of a function whose future was waited for.
///
/// # Safety
/// As [`end_wait`].
#[cfg(feature = "async")]
unsafe fn end_wait_for_future(vm: *mut VmStore, wake: Wake) -> u32 {
    // SAFETY: passed on.
    unsafe {
        let roots = (*vm).fiber.waiting.roots;
        match super::future::answer(vm, wake) {
            Ok(()) => {
                (*core_of(vm)).roots.truncate(roots);
                HOST_DONE
            }
            Err(reason) => leave(vm, roots, reason),
        }
    }
}

/// There are none.
///
/// # Safety
/// As [`end_wait`].
#[cfg(all(feature = "fibers", not(feature = "async")))]
unsafe fn end_wait_for_future(vm: *mut VmStore, _: Wake) -> u32 {
    // SAFETY: passed on.
    unsafe {
        let roots = (*core_of(vm)).roots.len();
        leave(vm, roots, Pending::Error(Error::limit("a call went on before it was told how")))
    }
}

/// Has `begin` begin something on the host's stack, with [`super::future::begin`], and waits for it as for a function of the host.
///
/// # Errors
/// Where that fails, or the call is given up meanwhile. The reason is in the record.
///
/// # Safety
/// `vm` is the record of the store whose guest code is running here, on its fiber. What `begin` refers to is there until this returns.
#[cfg(feature = "async")]
pub(super) unsafe fn wait_for<B: FnOnce() -> Result<(), Error>>(
    vm: *mut VmStore,
    begin: B,
) -> Result<(), ReasonInRecord> {
    with_convention! {
        fn call<B: Begin>(_ctx: *mut VmContext, _entry: *const HostEntry, begin: *mut u64, vm: *mut VmStore) -> u32 {
            // SAFETY: `wait_for` passes its closure in the place of slots, and its record.
            unsafe {
                let before = Before::of(vm);
                let begin = (*begin.cast::<Option<B>>()).take();
                let begun = catch_unwind(AssertUnwindSafe(|| begin.map_or(Ok(()), B::begin)));
                before.end(vm, begun)
            }
        }
    }
    let entry = HostEntry {
        entry: FuncEntry::new(std::ptr::null(), u32::MAX),
        func: std::ptr::null(),
        call: call::<B>,
        code: std::ptr::null(),
        call_slots: 0,
    };
    let mut begin = Some(begin);
    // SAFETY: passed on: this is the fiber. `call` looks at nothing of the entry, and at the closure before this returns.
    let ended = unsafe { enter_host(std::ptr::null_mut(), &raw const entry, (&raw mut begin).cast(), vm) };
    if ended == HOST_DONE { Ok(()) } else { Err(ReasonInRecord) }
}

/// What [`wait_for`] has begun, by type.
#[cfg(feature = "async")]
trait Begin {
    fn begin(self) -> Result<(), Error>;
}

#[cfg(feature = "async")]
impl<B: FnOnce() -> Result<(), Error>> Begin for B {
    fn begin(self) -> Result<(), Error> {
        self()
    }
}

/// Calls a function of the host for the host, on the stack that is in use here. A panic comes back as a value.
///
/// # Errors
/// The reason for which it did not return.
///
/// # Safety
/// As [`super::host::HostCode::call`].
pub(crate) unsafe fn catch_host(
    vm: *mut VmStore,
    func: *const VmFunc,
    slots: &mut [u64],
) -> Result<(), Pending> {
    // SAFETY: `call::call` passes a function of its store and its slots. What a panic leaves half done belongs to the host, which sees the panic go on.
    unsafe {
        let call = || HostFunc::of(func).call(vm, std::ptr::null_mut(), slots);
        match catch_unwind(AssertUnwindSafe(call)) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Pending::Error(error)),
            Err(payload) => Err(Pending::Panic(payload)),
        }
    }
}

/// Tells the profile how much time has passed in a function of the host, which began when `before` samples had been asked for.
///
/// # Safety
/// As [`call_watched`].
#[cold]
unsafe fn note_host_time(vm: *mut VmStore, func: *const VmFunc, caller: *mut VmContext, before: u64) {
    // SAFETY: `call_watched` passes the record and the context of the call that it has made; `core` was set by the call that this activation is in.
    unsafe {
        let core = &mut *core_of(vm);
        let ticks = core.record.ticks().saturating_sub(before);
        if ticks > 0
            && !caller.is_null()
            && let Some(profile) = &mut core.profile
        {
            profile.note_host((*instance_of(caller)).describe_host(func), ticks);
        }
    }
}

#[cfg(all(test, feature = "async"))]
mod tests;
