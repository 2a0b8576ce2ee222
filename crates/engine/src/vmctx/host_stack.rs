//! How deep a guest may make the host's stack, on each of the host's threads.
//!
//! A guest calls the host, which calls a guest, of the same store or of another one, and so on: how often, the guests choose. What each level takes is the
//! host's, on the stack of the thread, or on one of those that machine code runs on. So there is one count of levels a thread, and before each level a
//! look at how much is left of the very stack that it would begin on.
//!
//! Must stay true: guest code is entered through [`enter`] only, and an instance is made after [`check`] only, so that nothing a guest chooses goes deeper.
//!
//! What this is not: a bound on what a function of the host uses by itself. That has [`Limits::HOST_HEADROOM_BYTES`], and a guard behind it.

use std::cell::Cell;

use super::VmStore;
use super::record::NATIVE_GUARD_BYTES;
use crate::limits::Limits;
use crate::sys;
use crate::trap::Trap;

thread_local! {
    /// The innermost call from host into guest that is under way on this thread. Without a destructor, so that signal handlers can look at it.
    static INNERMOST: Cell<*const Activation> = const { Cell::new(std::ptr::null()) };
    /// The thread's own stack, once somebody has asked.
    static OWN: Cell<Option<Stack>> = const { Cell::new(None) };
}

/// A call from host into guest: a record on the host's stack.
struct Activation {
    outer: *const Activation,
    vm: *mut VmStore,
    /// How many there are on this thread, this one included.
    depth: u32,
    /// The stack that it began on, where that is known.
    stack: Stack,
}

/// A stack that the host's functions run on, as far as guests may use it up.
#[derive(Clone, Copy)]
struct Stack {
    base: usize,
    /// Below this address nothing begins.
    limit: usize,
    /// One past the highest address.
    top: usize,
}

impl Stack {
    /// Where nothing is known, nothing is refused.
    const UNKNOWN: Stack = Stack { base: 0, limit: 0, top: 0 };

    fn holds(&self, address: usize) -> bool {
        (self.base..self.top).contains(&address)
    }
}

/// Does `act`, which enters guest code of the store whose record `vm` is, unless `most` such calls are under way on this thread, or its stack is nearly used up.
///
/// # Errors
/// [`Trap::CallStackExhausted`].
///
/// # Safety
/// `vm` is the record of a store that the caller has exclusive use of.
#[inline(always)]
pub(crate) unsafe fn enter<R>(vm: *mut VmStore, most: u32, act: impl FnOnce() -> R) -> Result<R, Trap> {
    let outer = INNERMOST.get();
    let mut activation = Activation { outer, vm, depth: 1, stack: Stack::UNKNOWN };
    // How much room there is for the outermost is the embedder's choice alone.
    if !outer.is_null() {
        // SAFETY: whoever is in the list has not returned.
        activation.depth = unsafe { (*outer).depth } + 1;
        activation.stack = look(outer)?;
        if activation.depth > most {
            return Err(Trap::CallStackExhausted);
        }
    }
    /// Takes the record out of the list, whichever way it is left.
    struct Leave(*const Activation);
    impl Drop for Leave {
        fn drop(&mut self) {
            INNERMOST.set(self.0);
        }
    }
    INNERMOST.set(&raw const activation);
    let _leave = Leave(outer);
    Ok(act())
}

/// Whether there is room left for an instance to be made, whose start function a guest may choose.
///
/// # Errors
/// [`Trap::CallStackExhausted`].
pub(crate) fn check() -> Result<(), Trap> {
    let innermost = INNERMOST.get();
    if innermost.is_null() { Ok(()) } else { look(innermost).map(drop) }
}

/// Whether an address is in the guard below a stack of machine code that this thread runs on: a function of the host has used more than it was promised. Safe to
/// ask in a signal handler.
#[must_use]
pub fn is_in_guard(address: usize) -> bool {
    let mut innermost = INNERMOST.get();
    // SAFETY: whoever is in the list of this thread has not returned, and their stores are borrowed by them.
    while let Some(activation) = unsafe { innermost.as_ref() } {
        // SAFETY: as above.
        let stack = unsafe { (*activation.vm).native_stack };
        if (stack.base.saturating_sub(NATIVE_GUARD_BYTES)..stack.base).contains(&address) {
            return true;
        }
        innermost = activation.outer;
    }
    false
}

/// The stack that is in use here, if it is not nearly used up; `innermost` is this thread's innermost call.
#[cold]
#[inline(never)]
fn look(innermost: *const Activation) -> Result<Stack, Trap> {
    let local = 0_u8;
    let here = std::ptr::from_ref(std::hint::black_box(&local)) as usize;
    // SAFETY: as in `is_in_guard`.
    let (native, began_on) = unsafe { ((*(*innermost).vm).native_stack, (*innermost).stack) };
    let native = Stack { base: native.base, limit: native.limit, top: native.top };
    let known = [native, began_on].into_iter().find(|stack| stack.holds(here));
    // A function of the host may also have moved to a stack that only it knows.
    let stack = known.or_else(|| Some(own()).filter(|stack| stack.holds(here))).unwrap_or(Stack::UNKNOWN);
    if here < stack.limit { Err(Trap::CallStackExhausted) } else { Ok(stack) }
}

fn own() -> Stack {
    if let Some(stack) = OWN.get() {
        return stack;
    }
    let stack = sys::thread_stack().map_or(Stack::UNKNOWN, |range| {
        let headroom_bytes = OWN_HEADROOM_BYTES.min(range.len() / 2);
        Stack { base: range.start, limit: range.start + headroom_bytes, top: range.end }
    });
    OWN.set(Some(stack));
    stack
}

/// What is left of a thread's own stack: what functions of the host are promised, and what lies between the look at it and them.
const OWN_HEADROOM_BYTES: usize = Limits::HOST_HEADROOM_BYTES + (64 << 10);
