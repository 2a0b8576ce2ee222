//! Finds where an exception is caught.
//!
//! Each lowered function has a table of the ranges of its code that are tried, innermost first, with what they catch. Unwinding walks
//! frames as a backtrace does, and ends at the activation's first frame: beyond it, the host passes the exception on as an error. There may be very many
//! frames: the search polls, and where it is interrupted, the trap takes the exception's place.

use innkeeper_engine::Trap;
use innkeeper_engine::index::TagIndex;
use innkeeper_engine::tier::{KnownPlaces, Pending, TrapSite, VmContext, VmObject, VmStore, VmTag, runtime};

use crate::activation::host_return_address;
use crate::backtrace::{FramePosition, Shape, caller};
use crate::code::{ModuleCode, Word};

/// An entry of a function's exception table: a range of its code, and what catches there.
#[derive(Clone, Debug)]
pub(crate) struct ExceptionEntry {
    /// Orders the blocks of the function by where they were opened; a block inside another has the higher number.
    pub(crate) block: u32,
    /// First word and the one after the last.
    pub(crate) from: u32,
    pub(crate) to: u32,
    pub(crate) catches: Box<[Catch]>,
    /// Exceptions go on with the ranges of this block and those outside it.
    pub(crate) delegate: Option<u32>,
}

/// What a range catches, in order, and where control goes then.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Catch {
    /// The tag; any exception without one.
    pub(crate) tag: Option<TagIndex>,
    /// The first slot that gets the exception's values, where it is caught by tag.
    pub(crate) values: u16,
    /// The slot that gets the exception itself.
    pub(crate) exception: Option<u16>,
    /// The word where control goes on.
    pub(crate) target: u32,
}

/// Makes an exception pending. Not inlined: what was pending has to be dropped, which would keep handlers from jumping to each other.
///
/// # Safety
/// `exception` is a reference to an exception of the store whose record `vm` is, and the running activation has exclusive use of that.
#[cold]
#[inline(never)]
pub(crate) unsafe fn throw(exception: u64, vm: *mut VmStore) {
    // SAFETY: the handlers of `op/exception.rs` pass the record of their own store, which no other thread has.
    unsafe { (*vm).fiber.pending = Some(Pending::Exception(exception)) };
}

/// Where the pending exception is caught, or null; the frame and its context are then in the record's `trap_site`. Anything
/// else that is pending is caught nowhere. Where the search is interrupted, a trap is pending, which has no backtrace yet.
///
/// # Safety
/// The arguments are those of the machine at the instruction that throws, or, after a call, at the one that follows.
#[cold]
#[inline(never)]
pub(crate) unsafe fn catch(
    position: *const Word,
    frame: *mut u64,
    ctx: *mut VmContext,
    place: FramePosition,
    vm: *mut VmStore,
) -> *const Word {
    // SAFETY: the machine passes its own position, frame and context (`machine.rs`, `op/native.rs`); frames and contexts of the activation are alive.
    unsafe {
        let site = TrapSite { position, frame, ctx };
        let Some(Pending::Exception(exception)) = (*vm).fiber.pending else { return std::ptr::null() };
        let (caught, site) = match search(vm, site, place, exception) {
            Ok(Some(found)) => found,
            Ok(None) => return std::ptr::null(),
            Err(trap) => {
                (*vm).fiber.pending = Some(Pending::Trap(trap));
                return std::ptr::null();
            }
        };
        deliver(exception as usize as *mut VmObject, caught, site.frame);
        (*vm).fiber.pending = None;
        (*vm).fiber.catching = std::ptr::null();
        (*vm).fiber.trap_site = site;
        site.position.cast()
    }
}

/// What catches the exception among the frames from `site` on, and where it goes on then.
///
/// # Errors
/// As [`runtime::heed_stop_in`].
///
/// # Safety
/// As [`catch`]; `exception` is a reference to an exception.
pub(crate) unsafe fn search(
    vm: *mut VmStore,
    site: TrapSite,
    place: FramePosition,
    exception: u64,
) -> Result<Option<(Catch, TrapSite)>, Trap> {
    // SAFETY: `catch` and `catching_segment` pass frames of activations that are under way, and the reference that `throw` has put into the record.
    unsafe {
        let exception = exception as usize as *mut VmObject;
        let tag = *VmObject::contents(exception).cast::<*mut VmTag>();
        let TrapSite { mut position, mut frame, mut ctx } = site;
        let mut returning = u64::from(matches!(place, FramePosition::Return));
        // Places that do not catch it, with the shapes of frames.
        let mut known = KnownPlaces::default();
        while position != host_return_address() {
            runtime::heed_stop_in(vm)?;
            if returning == 1
                && let Some(shape) = known.get(position as usize, ctx as usize)
            {
                let shape = Shape::from_number(shape);
                (position, frame, ctx) = caller(frame, shape.header, ctx, shape.window);
                continue;
            }
            let module = runtime::module(ctx);
            let Some(code) = ModuleCode::of(module) else { return Ok(None) };
            let Some((func, word)) = code.locate(position) else { return Ok(None) };
            let shape = Shape::of(module, code, func, word);
            let word = (word as u64 - returning) as u32;
            let caught = code.with_exception_table(func, |start, table| {
                let found = find(table, word, |index| *(*ctx).tags.add(index.index()) == tag)?;
                Some((start.add(found.target as usize), found))
            });
            if let Some((position, found)) = caught {
                return Ok(Some((found, TrapSite { position, frame, ctx })));
            }
            if returning == 1 {
                known.put(position as usize, ctx as usize, shape.number());
            }
            (position, frame, ctx) = caller(frame, shape.header, ctx, shape.window);
            returning = 1;
        }
        Ok(None)
    }
}

/// What catches an exception that was thrown at `word`.
fn find(table: &[ExceptionEntry], word: u32, is_tag: impl Fn(TagIndex) -> bool) -> Option<Catch> {
    let mut within = u32::MAX;
    for range in table {
        if range.block > within || !(range.from..range.to).contains(&word) {
            continue;
        }
        if let Some(block) = range.delegate {
            within = block;
            continue;
        }
        let caught = range.catches.iter().find(|catch| catch.tag.is_none_or(&is_tag));
        if let Some(catch) = caught {
            return Some(*catch);
        }
    }
    None
}

/// Writes what a handler gets into its frame.
///
/// # Safety
/// `frame` is the frame of the function that the handler is in.
unsafe fn deliver(exception: *mut VmObject, catch: Catch, frame: *mut u64) {
    // SAFETY: lowering has made the frame large enough for the tag's values.
    unsafe {
        if catch.tag.is_some() {
            let values = VmObject::contents(exception).cast::<u64>().add(1);
            let count = (*exception).len as usize - 1;
            frame.add(usize::from(catch.values)).copy_from_nonoverlapping(values, count);
        }
        if let Some(slot) = catch.exception {
            *frame.add(usize::from(slot)) = exception as usize as u64;
        }
    }
}
