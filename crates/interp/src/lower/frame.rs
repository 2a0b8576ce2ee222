//! Where everything stands in a function's frame.
//!
//! ```text
//! | parameters / results | header | other locals | operand stack |                     ordinary
//! | parameters / results | header | operand stack ...  | other locals                 with very many locals
//! ```
//!
//! Operands name slots with 16 bits. A function with so many locals that the operand stack would not fit beside them keeps its locals
//! beyond what 16 bits reach, and moves them with instructions of their own.

use innkeeper_engine::FuncType;
use wasmparser::FunctionBody;

use super::stack::Width;
use super::{Result, too_large};
use crate::activation::HEADER_SLOTS;

/// A slot that operands can name.
pub(super) type SlotIndex = u16;

/// Slots of locals up to which the ordinary layout is used.
const MAX_NEAR_LOCAL_SLOTS: u32 = 30_000;
/// Where locals start that operands cannot name.
const FAR_LOCALS: u32 = 1 << 16;

pub(super) struct FrameLayout {
    locals: Vec<Local>,
    header: SlotIndex,
    zero_from: u32,
    zero_count: u32,
    stack_base: u32,
    locals_end: u32,
}

/// Where a local is.
#[derive(Clone, Copy)]
pub(super) struct Local {
    pub(super) slot: LocalSlot,
    pub(super) width: Width,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LocalSlot {
    Near(SlotIndex),
    Far(u32),
}

impl FrameLayout {
    pub(super) fn new(ty: &FuncType, body: &FunctionBody<'_>) -> Result<FrameLayout> {
        let mut locals = Vec::new();
        let mut at = 0;
        for param in ty.params() {
            locals.push(Local { slot: LocalSlot::Near(near(at)?), width: Width::of_engine(*param) });
            at += param.slots();
        }
        let header = ty.call_slots();
        let first = header + HEADER_SLOTS;
        let mut widths: Vec<(u32, Width)> = Vec::new();
        for group in body.get_locals_reader()? {
            let (count, ty) = group?;
            widths.push((count, Width::of(ty)));
        }
        let count: u32 = widths.iter().map(|(count, width)| count * width.slots()).sum();
        let far = count > MAX_NEAR_LOCAL_SLOTS;
        let zero_from = if far { FAR_LOCALS } else { first };
        let mut at = zero_from;
        for (count, width) in widths {
            for _ in 0..count {
                let slot = if far { LocalSlot::Far(at) } else { LocalSlot::Near(near(at)?) };
                locals.push(Local { slot, width });
                at += width.slots();
            }
        }
        let stack_base = if far { first } else { at };
        Ok(FrameLayout {
            locals,
            header: near(header)?,
            zero_from,
            zero_count: count,
            stack_base,
            locals_end: at,
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

    /// Slots of the whole frame, where the operand stack and calls reach up to `stack_end`.
    pub(super) fn size(&self, stack_end: u32) -> u32 {
        stack_end.max(self.locals_end)
    }
}

/// The slot as an operand can name it.
pub(super) fn near(slot: u32) -> Result<SlotIndex> {
    SlotIndex::try_from(slot).map_err(|_| too_large("it needs more than 65,536 slots for its operands"))
}
