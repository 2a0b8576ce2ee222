//! Frames on the guest's stack: where a frame's parts lie, how far it reaches, and where the next one may begin.
//!
//! ```text
//! | parameters / results | header | locals and operands of the function ...
//! ^ start                ^        ^ header_end
//!                        call_end
//! ```
//!
//! A frame begins at the callee's first argument, inside the caller's operands. A function of the host owns the first part only, a guest's
//! function the header and whatever its tier puts behind it.
//!
//! Must stay true: the end of a frame's parts, and the stack's top for whoever runs next, are computed here and nowhere else. A collection
//! scans the stack from its start to that top, so a top that is too low loses references, and a callee's frame that begins too low
//! overwrites its caller's locals. What a tier keeps behind the header is the tier's business (`interp/src/lower/frame.rs`).

use super::VmStore;

/// Slots of a frame's header: the return address, and the caller's context where the call came from another instance.
pub const HEADER_SLOTS: u32 = 2;

/// Slots of locals, parameters apart, up to which a function is compiled, and its locals lie where operands of the interpreter reach them.
pub const MAX_NEAR_LOCAL_SLOTS: u32 = 30_000;

/// The part of a frame that caller and callee share. Addresses only: nothing is read or written through it.
#[derive(Clone, Copy, Debug)]
pub struct CallFrame {
    start: *mut u64,
    call_slots: usize,
}

impl CallFrame {
    /// The frame that starts at `start`, of a function whose parameters and results share `call_slots` slots.
    #[inline(always)]
    #[must_use]
    pub fn new(start: *mut u64, call_slots: usize) -> CallFrame {
        CallFrame { start, call_slots }
    }

    /// The first slot of the header, which is one past the parameters and results.
    #[inline(always)]
    #[must_use]
    pub fn call_end(self) -> *mut u64 {
        self.start.wrapping_add(self.call_slots)
    }

    /// One past the header.
    #[inline(always)]
    #[must_use]
    pub fn header_end(self) -> *mut u64 {
        self.call_end().wrapping_add(HEADER_SLOTS as usize)
    }

    /// Lets a function of the host run on this frame: the stack is in use up to the end of its parameters and results.
    ///
    /// # Safety
    /// `vm` is the record of the store that the frame belongs to, of which the running activation has exclusive use.
    #[inline(always)]
    pub unsafe fn run_host(self, vm: *mut VmStore) {
        // SAFETY: the tiers pass the record of the store that they run for (`op/call.rs`, `op/native.rs`), which no other thread has.
        unsafe { (*vm).fiber.stack_top = self.call_end() };
    }

    /// Lets machine code run for the function of this frame: the stack is in use up to the end of its header.
    ///
    /// # Safety
    /// As [`CallFrame::run_host`].
    #[inline(always)]
    pub unsafe fn run_native(self, vm: *mut VmStore) {
        // SAFETY: the tiers pass the record of the store that they run for (`op/call.rs`, `op/native.rs`), which no other thread has.
        unsafe { (*vm).fiber.stack_top = self.header_end() };
    }
}
