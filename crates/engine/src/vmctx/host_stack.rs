//! How deep a guest may make the host's stack, on each of the host's threads.
//!
//! A guest calls the host, which calls a guest, of the same store or of another one, and so on: how often, the guests choose. Guests run on stacks of their own, and
//! what each level takes of the host's is on the stack of the thread. So there is one count of levels a thread, and before each level a look at how much is left
//! of the very stack that it would begin on.
//!
//! Must stay true: guest code is entered through [`enter`] only, and an instance is made after [`check`] only, so that nothing a guest chooses goes deeper.
//!
//! What this is not: a bound on what a function of the host uses by itself. That has [`Limits::HOST_HEADROOM_BYTES`] at least, and the thread's guard behind it.

use std::cell::Cell;

use crate::limits::Limits;
use crate::sys;
use crate::trap::Trap;

thread_local! {
    /// The innermost call from host into guest that is under way on this thread.
    static INNERMOST: Cell<*const Activation> = const { Cell::new(std::ptr::null()) };
    /// Whether the thread takes the signals of faults, as far as is known.
    static TAKES_FAULTS: Cell<bool> = const { Cell::new(false) };
    /// The thread's own stack, once somebody has asked.
    static OWN: Cell<Option<Stack>> = const { Cell::new(None) };
}

/// A call from host into guest: a record on the host's stack.
struct Activation {
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

/// Does `act`, which enters guest code, unless `most` such calls are under way on this thread, or its stack is nearly used up.
///
/// # Errors
/// [`Trap::CallStackExhausted`].
#[inline(always)]
pub(crate) fn enter<R>(most: u32, act: impl FnOnce() -> R) -> Result<R, Trap> {
    let outer = INNERMOST.get();
    let mut activation = Activation { depth: 1, stack: Stack::UNKNOWN };
    // How much room there is for the outermost is the embedder's choice alone.
    if outer.is_null() {
        take_faults();
    } else {
        // SAFETY: whoever is in the list has not returned.
        activation.depth = unsafe { (*outer).depth } + 1;
        activation.stack = look(outer)?;
        if activation.depth > most {
            return Err(Trap::CallStackExhausted);
        }
    }
    INNERMOST.set(&raw const activation);
    let _leave = Leave(outer);
    Ok(act())
}

/// As [`enter`], for a call that has waited and is given up: its frames are left wherever that is, and no guest runs in them.
#[cfg(feature = "async")]
pub(crate) fn enter_again<R>(act: impl FnOnce() -> R) -> R {
    let outer = INNERMOST.get();
    take_faults();
    // SAFETY: whoever is in the list has not returned.
    let depth = 1 + if outer.is_null() { 0 } else { unsafe { (*outer).depth } };
    let activation = Activation { depth, stack: Stack::UNKNOWN };
    INNERMOST.set(&raw const activation);
    let _leave = Leave(outer);
    act()
}

/// Has the thread take the signals of faults, once: guests may fault on it from now on.
#[inline(always)]
fn take_faults() {
    if !TAKES_FAULTS.replace(true) {
        sys::unblock_faults();
    }
}

/// Takes a record out of the list, whichever way it is left.
struct Leave(*const Activation);

impl Drop for Leave {
    #[inline(always)]
    fn drop(&mut self) {
        INNERMOST.set(self.0);
    }
}

/// Whether there is room left for an instance to be made, whose start function a guest may choose.
///
/// # Errors
/// [`Trap::CallStackExhausted`].
pub(crate) fn check() -> Result<(), Trap> {
    let innermost = INNERMOST.get();
    if innermost.is_null() { Ok(()) } else { look(innermost).map(drop) }
}

/// The stack that is in use here, if it is not nearly used up; `innermost` is this thread's innermost call.
#[cold]
#[inline(never)]
fn look(innermost: *const Activation) -> Result<Stack, Trap> {
    let local = 0_u8;
    let here = std::ptr::from_ref(std::hint::black_box(&local)) as usize;
    // SAFETY: whoever is in the list of this thread has not returned.
    let began_on = unsafe { (*innermost).stack };
    let known = Some(began_on).filter(|stack| stack.holds(here));
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
