//! The record of an execution: what of a store's record is exchanged when another fiber runs.
//!
//! Must stay true: the record in the store's is that of the fiber that runs, or that ran last; whoever wants a fiber's reads it there.

use super::{ActivationSegment, NativeHandler, NativeSite, Pending, TailCall, TrapSite};
use crate::fiber::{FiberStack, Switch};
use crate::host_panics::FirstPanic;

/// One per execution: where its stacks are, how far they are used, and what it is about.
#[repr(C)]
pub struct VmFiber {
    /// Where the next activation's first frame starts.
    pub stack_top: *mut u64,
    /// For the compiling tier: where the innermost run of machine code is left when it is stopped; 0 while there is none. The word there is the exit point of the
    /// run further out.
    pub exit_point: usize,
    /// What is suspended below the code that is running, within this activation.
    pub segments: *const ActivationSegment,
    /// Where the native stack and the host's were left.
    pub(crate) switch: Switch,
    /// Where a trap happened: the tier's own position, frame and instance, for the backtrace.
    pub trap_site: TrapSite,
    /// The error that ended a host call, until the activation has been left.
    pub pending: Option<Pending>,
    /// For the compiling tier: where machine code stopped.
    pub native_site: NativeSite,
    /// For the compiling tier: where machine code goes on with an exception.
    pub native_handler: NativeHandler,
    /// The tail call that machine code asks the interpreter for.
    pub tail_call: TailCall,
    /// While an exception passes runs of frames, the segment that catches it, so that each need not look for it again; null else. Whoever catches it says so.
    pub catching: *const ActivationSegment,
    /// The first slot of the guest's stack.
    pub stack_base: *mut u64,
    /// Where frames must end at present, where nobody requests a safepoint.
    pub(crate) slots_limit: *mut u64,
    /// Where frames must end, however much is charged.
    pub(crate) slots_end: *mut u64,
    /// The native stack.
    pub(crate) native_stack: NativeStack,
    /// Where machine code's stack pointer must end at present, where nobody requests a safepoint; 0 while none has run on this fiber.
    pub(crate) native_limit: usize,
    /// Where the interpreter has called a function of the host last: who asks for a backtrace in that finds its frames by it. Nowhere, where the host has called.
    pub call_site: TrapSite,
    /// The activation whose function of the host has begun this one; null where there is none further out.
    pub(crate) outer: *const OuterActivation,
    /// What it waits for.
    #[cfg(feature = "async")]
    pub(crate) waiting: Waiting,
    /// What it is parked in.
    #[cfg(feature = "fibers")]
    pub(crate) parked: Parked,
}

/// What a fiber beside a store's first one may use of its native stack before more is charged.
#[cfg(feature = "fibers")]
pub(crate) const FIRST_NATIVE_BYTES: usize = 32 << 10;

/// What a fiber of its own has to do with being left in the middle (see `runtime/fibers.rs`).
#[cfg(feature = "fibers")]
pub(crate) struct Parked {
    /// How many calls were under way when it was let run, itself included: where there are more, somebody waits for it to go on. 0 of the store's first fiber, which is never parked.
    pub(crate) level: u32,
    /// The slots of the function of the host that parks it; null where none does.
    pub(crate) slots: *mut u64,
    /// What that has come to.
    pub(crate) answer: Option<Result<(), crate::Error>>,
}

#[cfg(feature = "fibers")]
impl Parked {
    pub(crate) const NOT: Parked = Parked { level: 0, slots: std::ptr::null_mut(), answer: None };
}

/// What a backtrace needs to know of an activation while a function of the host that it has called runs.
#[derive(Clone, Copy)]
pub(crate) struct OuterActivation {
    /// The next one further out; null where there is none.
    pub(crate) outer: *const OuterActivation,
    pub(crate) segments: *const ActivationSegment,
    pub(crate) call_site: TrapSite,
    /// Where the fiber's native stack was left by the call of that function.
    pub(crate) left_at: usize,
}

/// The stack that a fiber's code runs on: addresses, growing down from `top`.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct NativeStack {
    /// Below this address no call begins: what is left is for what checks only now and then.
    pub(crate) limit: usize,
    /// One past the highest address.
    pub(crate) top: usize,
}

/// See [`VmFiber::mark`].
#[cfg(feature = "async")]
#[derive(Clone, Copy)]
pub(crate) struct FiberMark {
    stack_top: *mut u64,
    exit_point: usize,
    segments: *const ActivationSegment,
}

/// What an execution has to do with futures.
#[cfg(feature = "async")]
#[derive(Default)]
pub(crate) struct Waiting {
    /// The address of the [`std::task::Context`] of the poll that the execution is under way in; 0 where it must not wait.
    pub(crate) context: usize,
    /// What the function of the host waits for that has just been called.
    pub(crate) future: Option<HostFuture>,
    /// How many roots there were before that call. While it waits, who polls keeps it.
    pub(crate) roots: usize,
    /// How that has ended.
    pub(crate) answer: Option<Answer>,
    /// Whether it was to let others have their turn where it could not.
    pub(crate) owes_a_turn: bool,
    /// Whether it can do so though it is under way in no poll: it was let run as a turn (`runtime/fibers.rs`).
    pub(crate) takes_turns: bool,
    /// How many of the calls that are under way are suspended, and polled by nobody at present. A function of the host that runs all the same has leaked one, or is
    /// called where one was: then what the record says of places is of somebody else.
    pub(crate) unpolled: u32,
}

/// What a function of the host waits for. It may borrow the store, for as long as the call of the guest that it is part of.
#[cfg(feature = "async")]
pub(crate) type HostFuture = std::pin::Pin<Box<dyn Future<Output = Result<(), crate::Error>> + Send>>;

/// How a future has ended, if only with a panic.
#[cfg(feature = "async")]
pub(crate) type Answer = std::thread::Result<Result<(), crate::Error>>;

#[cfg(feature = "async")]
impl Waiting {
    /// Forbids to wait until [`Waiting::restore`]; tells what is to be restored.
    #[inline(always)]
    pub(crate) fn forbid(&mut self) -> usize {
        std::mem::replace(&mut self.context, 0)
    }

    /// Whether the guest can let others have their turn now, and was to do so before.
    #[inline(always)]
    pub(crate) fn restore(&mut self, context: usize) -> bool {
        self.context = context;
        self.takes_debt()
    }

    /// Whether the guest was to let others have their turn before, and can now: it is to be asked again.
    #[inline(always)]
    pub(crate) fn takes_debt(&mut self) -> bool {
        let takes = self.owes_a_turn && (self.context != 0 || self.takes_turns);
        self.owes_a_turn &= !takes;
        takes
    }

    /// Whether the call that is under way can wait.
    #[inline(always)]
    pub(crate) fn is_possible(&self) -> bool {
        self.context != 0
    }

    /// Whether a function of the host waits.
    #[inline(always)]
    pub(crate) fn is_for_host(&self) -> bool {
        self.future.is_some()
    }
}

impl VmFiber {
    /// The record of a fiber that is doing nothing, whose slots may be used for `slots_bytes`.
    pub(crate) fn new(stack: &FiberStack, slots_bytes: usize) -> VmFiber {
        let limit = stack.base().wrapping_byte_add(slots_bytes).min(stack.slots_end());
        VmFiber {
            stack_top: stack.base(),
            exit_point: 0,
            switch: Switch::new(stack.top()),
            segments: std::ptr::null(),
            trap_site: TrapSite::NONE,
            pending: None,
            native_site: NativeSite::default(),
            native_handler: NativeHandler::default(),
            tail_call: TailCall { entry: std::ptr::null(), ctx: std::ptr::null_mut(), call_slots: 0 },
            catching: std::ptr::null(),
            stack_base: stack.base(),
            slots_limit: limit,
            slots_end: stack.slots_end(),
            native_stack: NativeStack {
                limit: stack.native_base() + NATIVE_HEADROOM_BYTES,
                top: stack.top(),
            },
            native_limit: 0,
            call_site: TrapSite::NONE,
            outer: std::ptr::null(),
            #[cfg(feature = "async")]
            waiting: Waiting::default(),
            #[cfg(feature = "fibers")]
            parked: Parked::NOT,
        }
    }

    /// What changes of the record while something further in is called, and is as it was when that has finished.
    #[cfg(feature = "async")]
    #[inline(always)]
    pub(crate) fn mark(&self) -> FiberMark {
        FiberMark { stack_top: self.stack_top, exit_point: self.exit_point, segments: self.segments }
    }

    /// Drops what is the embedder's in it, and of nobody's use where nobody calls into the store.
    pub(crate) fn drop_pending(&mut self, panics: &mut FirstPanic) {
        panics.drop_taken(&mut self.pending);
        #[cfg(feature = "async")]
        {
            panics.drop_taken(&mut self.waiting.future);
            panics.drop_taken(&mut self.waiting.answer);
        }
        #[cfg(feature = "fibers")]
        panics.drop_taken(&mut self.parked.answer);
    }

    /// As it is where nobody has called into the store; what was charged stays usable.
    pub(crate) fn clear(&mut self, panics: &mut FirstPanic) {
        self.drop_pending(panics);
        self.stack_top = self.stack_base;
        self.exit_point = 0;
        self.segments = std::ptr::null();
        self.switch = Switch::new(self.native_stack.top);
        self.catching = std::ptr::null();
        self.trap_site = TrapSite::NONE;
        self.call_site = TrapSite::NONE;
        self.outer = std::ptr::null();
        #[cfg(feature = "async")]
        {
            self.waiting = Waiting::default();
        }
        #[cfg(feature = "fibers")]
        {
            self.parked = Parked::NOT;
        }
    }

    /// The activation that has called the function of the host which runs now.
    pub(crate) fn activation(&self) -> OuterActivation {
        OuterActivation {
            outer: self.outer,
            segments: self.segments,
            call_site: self.call_site,
            left_at: self.switch.fiber,
        }
    }

    /// Whether what the record says of places is of the function of the host that runs now, in one of `nesting` calls that are under way.
    pub(crate) fn is_in_host_call(&self, nesting: u32) -> bool {
        #[cfg(feature = "async")]
        if self.waiting.unpolled > 0 {
            return false;
        }
        nesting > 0
    }

    /// Takes back what has not finished further in, and was left for good. Gives what is the embedder's of it, to be dropped where a panic may pass.
    #[cfg(feature = "async")]
    #[must_use]
    pub(crate) fn return_to(&mut self, mark: FiberMark) -> Option<Pending> {
        self.stack_top = mark.stack_top;
        self.exit_point = mark.exit_point;
        self.segments = mark.segments;
        self.catching = std::ptr::null();
        self.trap_site = TrapSite::NONE;
        self.pending.take()
    }

    /// Bytes from a record to what is not 0 where machine code may run, which looks at a limit of its own; else see [`crate::runtime::prepare_native_stack`].
    pub const NATIVE_LIMIT_OFFSET: usize = std::mem::offset_of!(VmFiber, native_limit);

    /// Whether machine code may run.
    pub(crate) fn is_ready_for_native(&self) -> bool {
        self.native_limit != 0
    }

    /// Whether machine code executes the guest's innermost function: in an activation the tiers take turns, the interpreter first.
    pub(crate) fn is_in_machine_code(&self) -> bool {
        self.activation().is_in_machine_code()
    }

    /// Whether there is room for a call on the native stack, where that is left now.
    #[inline(always)]
    pub(crate) fn has_room(&self) -> bool {
        self.switch.fiber >= self.native_stack.limit
    }

    /// Bytes of slots, and of the native stack, that may have been used.
    pub(crate) fn touched_bytes(&self) -> (usize, usize) {
        let native = match self.native_limit {
            // The interpreter's own frames.
            0 => INTERPRETER_BYTES,
            limit => self.native_stack.top - limit,
        };
        // What lies below the limit is used by frames that are not checked; where the limit has never moved nobody was near it, or it is little.
        let native = if native > FiberStack::KEPT_BYTES { native + NATIVE_HEADROOM_BYTES } else { native };
        (self.slots_limit as usize - self.stack_base as usize, native)
    }
}

impl OuterActivation {
    /// As [`VmFiber::is_in_machine_code`].
    pub(crate) fn is_in_machine_code(&self) -> bool {
        let (mut is_in_machine_code, mut segment) = (false, self.segments);
        while !segment.is_null() {
            is_in_machine_code = !is_in_machine_code;
            // SAFETY: whoever has put a segment there takes it out before it goes (`interp/src/op/native.rs`, `jit/src/libcall.rs`).
            segment = unsafe { (*segment).outer };
        }
        is_in_machine_code
    }
}

/// Gives every word of a fiber's native stack in use to `visit`, what its code had in registers included: see [`crate::fiber::switch`]. The fiber is not running.
/// Where no machine code is under way on it there is nothing to see: the interpreter keeps references in slots.
pub(crate) fn scan_native_stack(fiber: &VmFiber, mut visit: impl FnMut(u64)) {
    let mut outermost = fiber.exit_point;
    if outermost == 0 {
        return;
    }
    // SAFETY: the compiling tier has pushed there where the run further out is left (`jit/src/entry.rs`); whoever runs has not been left.
    while let outer @ 1.. = unsafe { *(outermost as *const usize) } {
        outermost = outer;
    }
    let mut word = fiber.switch.fiber;
    while word < outermost {
        // SAFETY: from where it was left to its top the stack is mapped, and in use by the frames of the fiber, which waits.
        visit(unsafe { (word as *const u64).read_volatile() });
        word += size_of::<u64>();
    }
}

/// Bytes of the native stack below the limit that machine code checks: frames of functions that have checked before, or do not, and what the engine itself does there.
/// Functions of the host, collections and compilers run on the host's stack.
pub const NATIVE_HEADROOM_BYTES: usize = 704 << 10;

/// What the interpreter takes of a native stack, where no machine code runs, at the very most.
const INTERPRETER_BYTES: usize = 64 << 10;
