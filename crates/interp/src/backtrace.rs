//! Walks guest frames after a stop, innermost first.
//!
//! # Safety
//! What is read of a frame is its header: the return address and the caller's context. Who says that they are there: `op/control.rs::enter` and its kin have written them
//! before the function's first instruction, at the slot that the function's type gives ([`Shape::of`], the same computation as in lowering); nothing is removed from
//! the guest's stack between a stop and this walk, which the activation makes before it returns; contexts belong to instances, which stay as long as the store.
//!
//! A frame's header lies at a place that depends on its function's type, and the function is found from the position in its code. Wasm
//! offsets are not kept beside the code: a function is lowered a second time with positions recorded when somebody asks.

use innkeeper_engine::index::DefinedFuncIndex;
pub(crate) use innkeeper_engine::tier::FramePosition;
use innkeeper_engine::tier::{KnownPlaces, ModuleParts, TrapSite, VmContext, runtime};
use innkeeper_engine::{Error, FrameInfo, FrameTier};

use crate::activation::host_return_address;
use crate::code::{ModuleCode, Word};
use crate::{lower, op};

/// Appends the frames from `site` down to the one that returns to the host, or to machine code.
///
/// # Safety
/// `site` is where the run of frames stopped or was suspended, and they are as they were then.
pub(crate) unsafe fn append(error: &mut Error, site: TrapSite, mut place: FramePosition) {
    let TrapSite { mut position, mut frame, mut ctx } = site;
    // Shapes of frames by their places.
    let (mut known, mut offsets) = (KnownPlaces::default(), Offsets::default());
    // Where the frame before this one returned to: recursion has hundreds of thousands of frames that return to one place.
    let mut last = (std::ptr::null(), Shape::default());
    while !position.is_null() && position != host_return_address() {
        let backtrace = error.backtrace_mut();
        let is_counted_only = !backtrace.wants_frames();
        let shape = if position == last.0 {
            backtrace.push_same(1);
            last.1
        } else if let Some(shape) = known.get(position as usize, ctx as usize).filter(|_| is_counted_only) {
            backtrace.push_omitted(1);
            Shape::from_number(shape)
        } else {
            // SAFETY: the first context is `site`'s, that of an instruction which has been executing; each further one is of a header, or the same as before
            // where the call stayed in its instance. All are of instances of the store that is being left.
            let module = unsafe { runtime::module(ctx) };
            let Some(code) = ModuleCode::of(module) else { return };
            let Some((func, word)) = code.locate(position) else { return };
            if is_counted_only {
                backtrace.push_omitted(1);
                if !backtrace.note_look_up(1) {
                    return;
                }
            } else {
                let mut info = describe(module, func);
                if backtrace.wants_offsets() {
                    info.offset_bytes = offsets.find(module, func, word, place);
                }
                backtrace.push(info);
            }
            let shape = Shape::of(module, code, func, word);
            known.put(position as usize, ctx as usize, shape.number());
            shape
        };
        // The instruction that stopped is another place than the one that follows it.
        last = if matches!(place, FramePosition::Return) {
            (position, shape)
        } else {
            (std::ptr::null(), shape)
        };
        // SAFETY: the shape is that of the one function whose code holds the position: `locate` has found it now, or before for the same position, which is no other
        // function's as long as the module lives. `frame` is that function's frame pointer: `site`'s, or what `caller` has computed from the callee's.
        unsafe { (position, frame, ctx) = caller(frame, shape.header, ctx, shape.window) };
        place = FramePosition::Return;
    }
}

/// Where things are in the frame of a function that is at a place.
#[derive(Clone, Copy, Default)]
pub(crate) struct Shape {
    /// The slot that the header begins with.
    pub(crate) header: usize,
    /// Slots from the frame's start to its frame pointer.
    pub(crate) window: usize,
}

impl Shape {
    /// That of the frame of a function that is at word `word` of its code.
    pub(crate) fn of(module: &ModuleParts, code: &ModuleCode, func: DefinedFuncIndex, word: usize) -> Shape {
        let ty = module.func_type(module.type_of_func(module.func_index(func)));
        Shape { header: ty.call_slots() as usize, window: code.window_distance(func, word) }
    }

    /// Both in one number: validation bounds the first, and the size of code the second.
    pub(crate) fn number(self) -> usize {
        debug_assert!(self.header < 1 << 24);
        self.window << 24 | self.header
    }

    pub(crate) fn from_number(number: usize) -> Shape {
        Shape { header: number & ((1 << 24) - 1), window: number >> 24 }
    }
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
    // SAFETY: `append` and `unwind` pass the frame pointer of a function that has been entered, with the shape that lowering gave its code, so that the header is written
    // at that slot of the frame. The call's handler has tagged the return address where it has put the caller's context into the next slot. The word before a
    // return address is the last one of the call, the distance to the caller's frame (`op/call.rs`); that of the host has such a word too.
    unsafe {
        let frame = frame.sub(window);
        let tagged = *frame.add(header);
        let ctx = if op::call::is_tagged(tagged) { *frame.add(header + 1) as *mut VmContext } else { ctx };
        let position = op::call::untag(tagged);
        (position, frame.sub(op::call::distance(position)), ctx)
    }
}

fn describe(module: &ModuleParts, func: DefinedFuncIndex) -> FrameInfo {
    FrameInfo::of(module, module.func_index(func), None, FrameTier::Interpreted)
}

/// Where instructions lie in the module's bytes, of functions that a walk has come by.
#[derive(Default)]
struct Offsets(Vec<(*const ModuleParts, DefinedFuncIndex, lower::Starts)>);

impl Offsets {
    fn find(
        &mut self,
        module: &ModuleParts,
        func: DefinedFuncIndex,
        word: usize,
        place: FramePosition,
    ) -> Option<usize> {
        let word = match place {
            FramePosition::Instruction => word,
            FramePosition::Return => word.saturating_sub(1),
        };
        let key = (std::ptr::from_ref(module), func);
        let known = self.0.iter().position(|(module, func, _)| (*module, *func) == key);
        let known = known.unwrap_or_else(|| {
            self.0.push((key.0, func, lower::Starts::of(module, func)));
            self.0.len() - 1
        });
        self.0[known].2.offset_of(word)
    }
}
