//! Finds where machine code catches an exception.
//!
//! Frames are walked as for a backtrace. What a call inside a `try` block catches is in the code's tables; tags are identified through the context that
//! the frame keeps for it. There may be very many frames: the search polls, and where it is interrupted, the trap takes the exception's place.

use innkeeper_engine::Trap;
use innkeeper_engine::tier::{
    ActivationSegment, KnownPlaces, NativeHandler, VmContext, VmObject, VmStore, VmTag, runtime,
};

use crate::region::{self, Returning};
use crate::tables::FoundSite;

/// What catches an exception among the frames of a run of machine code, from the one at `frame` on, where the call returns to `return_address`.
///
/// # Errors
/// As [`runtime::heed_stop_in`].
///
/// # Safety
/// The frames are there, and the reference is to an exception of the store whose record `vm` is.
pub(crate) unsafe fn search(
    vm: *mut VmStore,
    return_address: usize,
    frame: usize,
    exception: u64,
) -> Result<Option<NativeHandler>, Trap> {
    let (mut pc, mut frame) = (return_address, frame);
    let mut is_innermost = true;
    // Places of calls that catch nothing, whichever instance they are in: a deep stack has many frames and few places.
    let mut catch_nothing = KnownPlaces::default();
    // SAFETY: `trap::stopped` passes a site that machine code has noted, below which its frames still are; compiled functions keep frame pointers, and say truly
    // what their frames hold.
    unsafe {
        loop {
            runtime::heed_stop_in(vm)?;
            if catch_nothing.get(pc, 0).is_some() {
                (frame, pc) = (*(frame as *const usize), *(frame as *const usize).add(1));
                continue;
            }
            let mut has_site = false;
            let found = region::catch_site(pc, |start, site| {
                has_site = true;
                find(start, &site, frame, exception)
            });
            match found {
                None => return Ok(None),
                Some(Returning::Function(Some(handler))) => return Ok(Some(handler)),
                Some(Returning::Function(None)) if has_site => {}
                Some(Returning::Function(None)) => catch_nothing.put(pc, 0, 0),
                // The trampoline that called what threw; another one is where the run was entered.
                Some(Returning::Trampoline) if is_innermost => {}
                Some(Returning::Trampoline) => return Ok(None),
            }
            is_innermost = false;
            (frame, pc) = (*(frame as *const usize), *(frame as *const usize).add(1));
        }
    }
}

/// The handler of a call that catches an exception, in a function that starts at `start`.
///
/// # Safety
/// As [`search`]; the call is the one under way in the frame.
unsafe fn find(start: usize, site: &FoundSite<'_>, frame: usize, exception: u64) -> Option<NativeHandler> {
    let stack_pointer = frame - site.frame_bytes as usize;
    // SAFETY: `search` and `catches` pass a frame and the call that is under way in it; an exception's contents begin with its tag.
    let caught = unsafe {
        let ctx = *((stack_pointer + site.context as usize) as *const *mut VmContext);
        let tag = *VmObject::contents(exception as usize as *mut VmObject).cast::<*mut VmTag>();
        let is_tag = |index: u32| *(*ctx).tags.add(index as usize) == tag;
        site.catches().find(|catch| catch.tag.is_none_or(is_tag))?
    };
    Some(NativeHandler { pc: start + caught.handler as usize, frame, stack_pointer })
}

/// Whether suspended machine code catches an exception.
///
/// # Errors
/// As [`runtime::heed_stop_in`].
///
/// # Safety
/// The segment is of this tier, and suspended; the reference is to an exception of the store whose record `vm` is.
pub(crate) unsafe fn catches(
    segment: &ActivationSegment,
    vm: *mut VmStore,
    exception: u64,
) -> Result<bool, Trap> {
    // SAFETY: `libcall::suspend`, which alone names this function, makes the segment from a trampoline's frame; `catching_segment` asks while that waits.
    let found =
        unsafe { search(vm, segment.site.position as usize, segment.site.frame as usize, exception)? };
    Ok(found.is_some())
}
