//! Walks frames of machine code, innermost first, along frame pointers.
//!
//! A run of frames ends where a return address is not that of a compiled function: at the trampoline through which it was entered.

use innkeeper_engine::Error;
pub(crate) use innkeeper_engine::tier::FramePosition;
use innkeeper_engine::tier::{ActivationSegment, KnownPlaces};

use crate::Jit;
use crate::region::{self, Described};

impl Jit {
    /// Appends the frames of machine code that has called a function of the host: the one at `frame`, where that goes on at `pc`, and those that have led there.
    ///
    /// # Safety
    /// The function has not returned, and machine code of this process has called it from there.
    pub unsafe fn describe_caller(&self, pc: usize, frame: usize, error: &mut Error) {
        // SAFETY: the same contract.
        unsafe { append(error, pc, frame, FramePosition::Return) };
    }
}

/// Appends the frames from the one at `frame`, which executes at `pc`.
///
/// # Safety
/// The frames are there.
pub(crate) unsafe fn append(error: &mut Error, pc: usize, frame: usize, place: FramePosition) {
    let (mut pc, mut frame, mut place) = (pc, frame, place);
    if place == FramePosition::Return && region::is_trampoline(pc) {
        // That of a callee in another tier, or in the host, which is no function of its own.
        // SAFETY: the site was noted by machine code that has stopped or called (`entry::leave`, the signal handler), whose frames stay until the run is left;
        // trampolines keep frame pointers too.
        unsafe { (frame, pc) = (*(frame as *const usize), *(frame as *const usize).add(1)) };
    }
    let mut walk = Walk::default();
    while walk.append(error, if place == FramePosition::Return { pc - 1 } else { pc }) {
        // SAFETY: compiled functions keep frame pointers: a frame begins with the caller's and the return address.
        unsafe { (frame, pc) = (*(frame as *const usize), *(frame as *const usize).add(1)) };
        place = FramePosition::Return;
    }
}

/// What is known of places that a walk has come by.
#[derive(Default)]
struct Walk {
    /// The place before, if it was a compiled function's.
    last: Option<(usize, Described)>,
    /// How many frames each place stands for.
    frames: KnownPlaces,
}

impl Walk {
    /// Appends the frames that the machine code at `pc` stands for. False where it is no compiled function's, or there are too many to go on.
    fn append(&mut self, error: &mut Error, pc: usize) -> bool {
        if let Some((last, described)) = self.last
            && last == pc
            && described.are_same
        {
            error.backtrace_mut().push_same(described.frames);
            return true;
        }
        let is_counted_only = !error.backtrace().wants_frames();
        if is_counted_only && let Some(frames) = self.frames.get(pc, 0) {
            error.backtrace_mut().push_omitted(frames);
            return true;
        }
        let Some(described) = region::describe(pc, error) else { return false };
        self.last = Some((pc, described));
        self.frames.put(pc, 0, described.frames);
        !is_counted_only || error.backtrace_mut().note_look_up(described.work)
    }
}

/// Appends the frames of suspended machine code.
///
/// # Safety
/// The segment is of this tier, and suspended.
pub(crate) unsafe fn describe(segment: &ActivationSegment, error: &mut Error) {
    // SAFETY: `libcall::suspend`, which alone names this function, makes the segment from a trampoline's frame, and it is told of only while that waits.
    unsafe {
        append(error, segment.site.position as usize, segment.site.frame as usize, FramePosition::Return)
    };
}
