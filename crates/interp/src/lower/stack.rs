//! The operand stack as lowering sees it: where each value is, not what it is.
//!
//! A value sits in its canonical slot (the slot of its position), or still in the local it was read from, or is a constant. A
//! value that stands for a local must be moved to its canonical slot before the local changes, and before control can branch
//! (otherwise one path would have moved it and another not).

use innkeeper_engine::ValType;

use super::Result;
use super::frame::{FrameLayout, SlotIndex, near};

/// Where a value is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum OperandLocation {
    /// In its canonical slot.
    Slot,
    /// In a local that operands can name, and has not changed since.
    Local { index: u32, slot: SlotIndex },
    /// Nowhere yet: the bits of a constant of one slot.
    Constant(u64),
}

/// A value on the stack.
#[derive(Clone, Copy, Debug)]
pub(super) struct Operand {
    pub(super) location: OperandLocation,
    /// The canonical slot, the first of two for a vector.
    pub(super) slot: SlotIndex,
    pub(super) width: Width,
}

/// How many slots a value takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Width {
    One,
    Two,
}

impl Width {
    pub(super) fn of(ty: wasmparser::ValType) -> Width {
        if ty == wasmparser::ValType::V128 { Width::Two } else { Width::One }
    }

    pub(super) fn of_engine(ty: ValType) -> Width {
        if ty.slots() == 2 { Width::Two } else { Width::One }
    }

    pub(super) fn slots(self) -> u32 {
        match self {
            Width::One => 1,
            Width::Two => 2,
        }
    }
}

#[derive(Default)]
pub(super) struct OperandStack {
    operands: Vec<Operand>,
    base: u32,
    /// One past the highest slot that operands or calls have reached.
    end: u32,
    /// Operands below this position are known not to stand for locals.
    settled: usize,
    /// How many operands stand for each local.
    readers: Vec<u32>,
}

/// More operands than this are not searched for readers of a local; all are settled instead, which keeps lowering linear.
const MAX_SEARCH: usize = 32;

impl OperandStack {
    pub(super) fn reset(&mut self, frame: &FrameLayout) {
        self.operands.clear();
        self.base = frame.stack_base();
        self.end = self.base;
        self.settled = 0;
        self.readers.clear();
        self.readers.resize(frame.local_count(), 0);
    }

    pub(super) fn len(&self) -> usize {
        self.operands.len()
    }

    /// The slot that the next value pushed gets.
    pub(super) fn top_slot(&self) -> u32 {
        self.operands.last().map_or(self.base, |top| u32::from(top.slot) + top.width.slots())
    }

    /// The canonical slot of the value at a position, or of the next one.
    pub(super) fn slot_at(&self, position: usize) -> Result<SlotIndex> {
        match self.operands.get(position) {
            Some(operand) => Ok(operand.slot),
            None => near(self.top_slot()),
        }
    }

    /// One past the highest slot reached.
    pub(super) fn end(&self) -> u32 {
        self.end
    }

    /// Notes that slots up to `end` are used.
    pub(super) fn reserve(&mut self, end: u32) {
        self.end = self.end.max(end);
    }

    /// Pushes a value of one slot that is in its canonical slot, and returns that.
    pub(super) fn push_slot(&mut self) -> Result<SlotIndex> {
        self.push(OperandLocation::Slot, Width::One)
    }

    /// Pushes a value and returns its canonical slot.
    pub(super) fn push(&mut self, location: OperandLocation, width: Width) -> Result<SlotIndex> {
        let slot = near(self.top_slot())?;
        if let OperandLocation::Local { index, .. } = location {
            self.readers[index as usize] += 1;
        }
        self.operands.push(Operand { location, slot, width });
        self.reserve(u32::from(slot) + width.slots());
        Ok(slot)
    }

    pub(super) fn pop(&mut self) -> Operand {
        // Validation guarantees the operand; were it missing, slot 0 would be read, which every frame has.
        let operand = self.operands.pop().unwrap_or(Operand {
            location: OperandLocation::Slot,
            slot: 0,
            width: Width::One,
        });
        if let OperandLocation::Local { index, .. } = operand.location {
            self.readers[index as usize] -= 1;
        }
        self.settled = self.settled.min(self.operands.len());
        operand
    }

    /// The value `depth` below the top.
    pub(super) fn peek(&self, depth: usize) -> Operand {
        self.operands[self.operands.len() - 1 - depth]
    }

    /// Drops values until `len` remain.
    pub(super) fn truncate(&mut self, len: usize) {
        while self.operands.len() > len {
            self.pop();
        }
    }

    /// Says that the value at `position` is in its canonical slot now.
    pub(super) fn settle_at(&mut self, position: usize) {
        if let OperandLocation::Local { index, .. } = self.operands[position].location {
            self.readers[index as usize] -= 1;
        }
        self.operands[position].location = OperandLocation::Slot;
    }

    pub(super) fn at(&self, position: usize) -> Operand {
        self.operands[position]
    }

    /// Whether some value stands for the local.
    pub(super) fn has_readers(&self, local: u32) -> bool {
        self.readers[local as usize] > 0
    }

    /// The positions that must be settled before the local changes, and their number at least.
    pub(super) fn readers_of(&self, local: u32) -> Readers {
        let top = self.operands.len();
        if top - self.settled > MAX_SEARCH {
            return Readers { from: self.settled, to: top, only: None };
        }
        Readers { from: self.settled, to: top, only: Some(local) }
    }

    /// The positions that must be settled before control can branch.
    pub(super) fn unsettled(&self) -> Readers {
        Readers { from: self.settled, to: self.operands.len(), only: None }
    }

    /// Says that no value stands for a local any more.
    pub(super) fn all_settled(&mut self) {
        self.settled = self.operands.len();
    }
}

/// Positions on the stack, bottom first.
#[derive(Clone, Copy)]
pub(super) struct Readers {
    pub(super) from: usize,
    pub(super) to: usize,
    /// Only values that stand for this local.
    pub(super) only: Option<u32>,
}
