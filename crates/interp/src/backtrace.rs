//! Walks guest frames after a stop, innermost first.
//!
//! A frame's header lies at a place that depends on its function's type, and the function is found from the position in its code. Wasm
//! offsets are not kept beside the code: a function is lowered a second time with positions recorded when somebody asks.

use innkeeper_engine::index::DefinedFuncIndex;
use innkeeper_engine::tier::{ModuleParts, TrapSite, VmContext, runtime};
use innkeeper_engine::{Error, FrameInfo};

use crate::activation::host_return_address;
use crate::code::{ModuleCode, Word};
use crate::{lower, op};

/// Appends the frames from `site` down to the one that returns to the host, or to machine code.
///
/// # Safety
/// `site` is where the run of frames stopped or was suspended, and they are as they were then.
pub(crate) unsafe fn append(error: &mut Error, site: TrapSite, mut place: Place) {
    let TrapSite { mut position, mut frame, mut ctx } = site;
    while !position.is_null() && position != host_return_address() {
        // SAFETY: the context is alive: its store is.
        let module = unsafe { runtime::module(ctx) };
        let Some(code) = ModuleCode::of(module) else { return };
        let Some((func, word)) = code.locate(position) else { return };
        if error.backtrace().has_room() {
            let mut info = describe(module, func);
            if error.backtrace().wants_offsets() {
                info.offset_bytes = offset(module, func, word, place);
            }
            error.backtrace_mut().push(info);
        } else {
            error.backtrace_mut().push_omitted();
        }
        let header = module.func_type(module.type_of_func(module.func_index(func))).call_slots() as usize;
        // SAFETY: the frame has its header at that slot: its function's type put it there.
        unsafe { (position, frame, ctx) = caller(frame, header, ctx, code.window_distance(func, word)) };
        place = Place::Return;
    }
}

/// What a position is.
#[derive(Clone, Copy)]
pub(crate) enum Place {
    /// That of the instruction that stopped.
    Instruction,
    /// The one after a call.
    Return,
}

/// Where the caller goes on, and its frame pointer and context.
///
/// # Safety
/// `frame` is the frame pointer of a function of the activation, `window` slots beyond the frame's start, which has its header at slot `header`.
pub(crate) unsafe fn caller(
    frame: *mut u64,
    header: usize,
    ctx: *mut VmContext,
    window: usize,
) -> (*const Word, *mut u64, *mut VmContext) {
    // SAFETY: as the caller promises; a tagged return address says that the next slot has the caller's context.
    unsafe {
        let frame = frame.sub(window);
        let tagged = *frame.add(header);
        let ctx = if op::call::is_tagged(tagged) { *frame.add(header + 1) as *mut VmContext } else { ctx };
        let position = op::call::untag(tagged);
        (position, frame.sub(op::call::distance(position)), ctx)
    }
}

fn describe(module: &ModuleParts, func: DefinedFuncIndex) -> FrameInfo {
    let index = module.func_index(func);
    FrameInfo {
        module_name: module.module_name().map(str::to_owned),
        func: index,
        func_name: module.func_name(index).map(str::to_owned),
        offset_bytes: None,
    }
}

fn offset(module: &ModuleParts, func: DefinedFuncIndex, word: usize, place: Place) -> Option<usize> {
    let word = match place {
        Place::Instruction => word,
        Place::Return => word.saturating_sub(1),
    };
    lower::offset_of_word(module, func, word)
}
