//! Walks frames of machine code, innermost first, along frame pointers.
//!
//! A run of frames ends where a return address is not that of a compiled function: at the adapter through which it was entered.

use innkeeper_engine::Error;
use innkeeper_engine::tier::Layer;

use crate::region;

/// What a place in machine code is.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Place {
    /// That of the instruction that stopped.
    Instruction,
    /// The one after a call.
    Return,
}

/// Appends the frames from the one at `frame`, which executes at `pc`.
///
/// # Safety
/// The frames are there.
pub(crate) unsafe fn append(error: &mut Error, pc: usize, frame: usize, place: Place) {
    let (mut pc, mut frame, mut place) = (pc, frame, place);
    if place == Place::Return && region::is_adapter(pc) {
        // That of a callee in another tier, or in the host, which is no function of its own.
        // SAFETY: as the caller promises; adapters keep frame pointers too.
        unsafe { (frame, pc) = (*(frame as *const usize), *(frame as *const usize).add(1)) };
    }
    loop {
        let at = if place == Place::Return { pc - 1 } else { pc };
        if !region::describe(at, error) {
            return;
        }
        // SAFETY: compiled functions keep frame pointers: a frame begins with the caller's and the return address.
        unsafe { (frame, pc) = (*(frame as *const usize), *(frame as *const usize).add(1)) };
        place = Place::Return;
    }
}

/// Appends the frames of suspended machine code.
///
/// # Safety
/// The layer is of this tier, and suspended.
pub(crate) unsafe fn describe(layer: &Layer, error: &mut Error) {
    // SAFETY: as the caller promises.
    unsafe { append(error, layer.site.position as usize, layer.site.frame as usize, Place::Return) };
}
