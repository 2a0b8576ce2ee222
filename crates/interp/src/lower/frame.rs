//! Where everything stands in a function's frame.
//!
//! ```text
//! | parameters / results | header | other locals | operand stack |                                          ordinary
//! | parameters / results | header | other locals | parameters | (unused) | operand stack |                  with very many locals
//!                                                ^ the window
//! ```
//!
//! Operands name slots with 16 bits. A function with so many locals that the operand stack would not fit behind them moves its frame
//! pointer beyond them when it is entered: to its *window*, which looks like the frame of a function without other locals. Those lie below the window and
//! are moved by instructions of their own. Calls, allocations and handlers of exceptions need to know nothing of it; what leaves the frame does
//! (`call.rs`, [`Window`]).
//!
//! Must stay true: a callee's frame, which begins among the caller's operands, begins behind every local of the caller's ([`FrameLayout::check_callee`]).

use std::ops::Range;

use innkeeper_engine::FuncType;
use innkeeper_engine::tier::frame::{HEADER_SLOTS, MAX_NEAR_LOCAL_SLOTS};
use wasmparser::FunctionBody;

use super::stack::Width;
use super::{Result, too_large};

/// A slot that operands can name.
pub(super) type SlotIndex = u16;

pub(super) struct FrameLayout {
    locals: Vec<Local>,
    param_slots: SlotIndex,
    header: SlotIndex,
    zero_from: u32,
    zero_count: u32,
    stack_base: u32,
    window: Option<u32>,
}

/// Where a local is.
#[derive(Clone, Copy)]
pub(super) struct Local {
    pub(super) slot: LocalSlot,
    pub(super) width: Width,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LocalSlot {
    /// The slot, from the frame pointer on.
    Near(SlotIndex),
    /// How many slots below the window.
    Far(u32),
}

/// Where a function with very many locals has its frame pointer.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    /// Slots from the frame's start to the window.
    pub(crate) distance: u32,
    /// Words of the code that are executed with the frame pointer at the frame's start: on the way in and on the ways out.
    pub(crate) outside: Vec<Range<usize>>,
}

impl Window {
    /// Slots from the frame's start to the frame pointer, at the instruction whose code `word` belongs to or where a call returns to.
    pub(crate) fn distance_at(&self, word: usize) -> usize {
        if self.outside.iter().any(|range| range.contains(&word)) { 0 } else { self.distance as usize }
    }
}

impl FrameLayout {
    pub(super) fn new(ty: &FuncType, body: &FunctionBody<'_>) -> Result<FrameLayout> {
        let mut locals = Vec::new();
        let mut at = 0;
        for param in ty.params() {
            locals.push(Local { slot: LocalSlot::Near(near(at)?), width: Width::of_engine(*param) });
            at += param.slots();
        }
        let param_slots = near(at)?;
        let header = ty.call_slots();
        let first = header + HEADER_SLOTS;
        let mut widths: Vec<(u32, Width)> = Vec::new();
        for group in body.get_locals_reader()? {
            let (count, ty) = group?;
            widths.push((count, Width::of(ty)));
        }
        let count: u32 = widths.iter().map(|(count, width)| count * width.slots()).sum();
        let locals_end = first + count;
        let window = (count > MAX_NEAR_LOCAL_SLOTS).then_some(locals_end);
        let mut at = first;
        for (count, width) in widths {
            for _ in 0..count {
                let slot = match window {
                    Some(window) => LocalSlot::Far(window - at),
                    None => LocalSlot::Near(near(at)?),
                };
                locals.push(Local { slot, width });
                at += width.slots();
            }
        }
        Ok(FrameLayout {
            locals,
            param_slots,
            header: near(header)?,
            zero_from: first,
            zero_count: count,
            stack_base: if window.is_some() { first } else { locals_end },
            window,
        })
    }

    pub(super) fn local(&self, index: u32) -> Local {
        self.locals[index as usize]
    }

    pub(super) fn local_count(&self) -> usize {
        self.locals.len()
    }

    /// The slot of this function's header.
    pub(super) fn header(&self) -> SlotIndex {
        self.header
    }

    /// The first slot of the operand stack.
    pub(super) fn stack_base(&self) -> u32 {
        self.stack_base
    }

    /// The first slot to be set to zero on entry, and how many.
    pub(super) fn zeros(&self) -> (u32, u32) {
        (self.zero_from, self.zero_count)
    }

    /// Slots that parameters take.
    pub(super) fn param_slots(&self) -> SlotIndex {
        self.param_slots
    }

    /// Slots from the frame's start to the window; none where the frame pointer stays at the start.
    pub(super) fn window(&self) -> Option<u32> {
        self.window
    }

    /// Slots of the whole frame, where the operand stack and calls reach up to `stack_end`.
    pub(super) fn size(&self, stack_end: u32) -> u32 {
        self.window.unwrap_or(0) + stack_end.max(self.stack_base)
    }

    /// Refuses a callee's frame that would begin among this function's locals.
    ///
    /// It never does as long as operands lie behind locals. It is checked all the same, once for each call instruction, because nothing else would
    /// stop a callee from writing into its caller's locals.
    pub(super) fn check_callee(&self, start: u32) -> Result {
        if start < self.stack_base {
            return Err(too_large("the frame of a function that it calls would overlap its own"));
        }
        Ok(())
    }
}

/// The slot as an operand can name it.
pub(super) fn near(slot: u32) -> Result<SlotIndex> {
    SlotIndex::try_from(slot).map_err(|_| too_large("it needs more than 65,536 slots for its operands"))
}
