//! Finds where machine code catches an exception.
//!
//! Frames are walked as for a backtrace. What a call inside a tried block catches is in the code's tables; tags are identified through the context that
//! the frame keeps for it.

use innkeeper_engine::tier::{Layer, NativeHandler, VmContext, VmObject, VmTag};

use crate::region::{self, CatchSite, Returning};

/// What catches an exception among the frames of a run of machine code, from the one at `frame` on, where the call returns to `return_address`.
///
/// # Safety
/// The frames are there, and the reference is to an exception.
pub(crate) unsafe fn search(return_address: usize, frame: usize, exception: u64) -> Option<NativeHandler> {
    let (mut pc, mut frame) = (return_address, frame);
    let mut is_innermost = true;
    // SAFETY: as the caller promises; compiled functions keep frame pointers, and say truly what their frames hold.
    unsafe {
        loop {
            match region::catch_site(pc)? {
                Returning::Function(start, site) => {
                    if let Some(site) = site
                        && let Some(handler) = find(&site, frame, exception)
                    {
                        let stack_pointer = frame - site.frame_bytes as usize;
                        return Some(NativeHandler { pc: start + handler as usize, frame, stack_pointer });
                    }
                }
                // The adapter that called what threw; another one is where the run was entered.
                Returning::Adapter if is_innermost => {}
                Returning::Adapter => return None,
            }
            is_innermost = false;
            (frame, pc) = (*(frame as *const usize), *(frame as *const usize).add(1));
        }
    }
}

/// The handler of a call that catches an exception.
///
/// # Safety
/// As [`search`]; the call is the one under way in the frame.
unsafe fn find(site: &CatchSite, frame: usize, exception: u64) -> Option<u32> {
    // SAFETY: as the caller promises; an exception's contents begin with its tag.
    unsafe {
        let ctx = *((frame - site.frame_bytes as usize + site.context as usize) as *const *mut VmContext);
        let tag = *VmObject::contents(exception as usize as *mut VmObject).cast::<*mut VmTag>();
        let is_tag = |index: u32| *(*ctx).tags.add(index as usize) == tag;
        site.catches.iter().find(|catch| catch.tag.is_none_or(is_tag)).map(|catch| catch.handler)
    }
}

/// Whether suspended machine code catches an exception.
///
/// # Safety
/// The layer is of this tier, and suspended; the reference is to an exception.
pub(crate) unsafe fn catches(layer: &Layer, exception: u64) -> bool {
    // SAFETY: as the caller promises.
    unsafe { search(layer.site.position as usize, layer.site.frame as usize, exception).is_some() }
}
