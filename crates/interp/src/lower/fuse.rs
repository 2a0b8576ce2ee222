//! Fusion: pairs of instructions that real programs execute one after the other become one.
//!
//! The pairs were chosen by counting, over `benches/programs`, which instruction follows which. Each saves a dispatch, and where the first's result has no
//! other use, its store as well. Fusion looks at the last instruction only: it is taken back, and the pair emitted in its place.

use super::emit::{Condition, Direction, Fixup, Last, Position, Select, Taken, pair, slots, slots_immediate};
use super::frame::SlotIndex;
use super::stack::{Operand, OperandLocation, Width};
use super::{Lowering, Result};
use crate::machine::{Class, Handler};
use crate::op::{control, fused, variable};

/// How the last instruction's result came about, where the next can make something of it.
#[derive(Clone, Copy)]
pub(super) enum Made {
    Other,
    /// By comparing, testing or masking.
    Condition(Condition),
    /// `i32.add` of a constant.
    Counted {
        from: SlotIndex,
        by: u32,
    },
    /// By multiplying an integer with a constant.
    Multiplied {
        from: SlotIndex,
        by: u64,
    },
    /// As a 32-bit address.
    Address(Address),
    /// By multiplying two floats.
    Product {
        a: SlotIndex,
        b: SlotIndex,
    },
    /// By copying one slot.
    Copied {
        from: SlotIndex,
    },
    /// As a constant.
    Constant(u64),
}

/// A 32-bit address as compilers compute it.
#[derive(Clone, Copy)]
pub(super) enum Address {
    /// `index << shift`, with a shift of 1 to 3.
    Scaled { index: SlotIndex, shift: u32 },
    /// `base + (index << shift)`, with a shift of 0 to 3.
    Indexed { base: SlotIndex, index: SlotIndex, shift: u32 },
}

/// A comparison of a local that was counted just before: `i += by; i < limit`.
#[derive(Clone, Copy)]
pub(super) struct CountedCompare {
    /// Where counting starts.
    start: Position,
    from: SlotIndex,
    by: u32,
    handlers: LoopHandlers,
}

/// The handlers that count, compare and branch back to a loop's header.
#[derive(Clone, Copy)]
pub(super) struct LoopHandlers {
    /// Where the comparison holds.
    pub(super) loop_if: Handler,
    pub(super) loop_unless: Handler,
}

impl CountedCompare {
    pub(super) fn inverted(self) -> CountedCompare {
        let LoopHandlers { loop_if, loop_unless } = self.handlers;
        let handlers = LoopHandlers { loop_if: loop_unless, loop_unless: loop_if };
        CountedCompare { handlers, ..self }
    }
}

/// How a floating-point type's sums fuse with a product that is a term.
pub(super) struct ProductForms {
    /// All operands in slots.
    pub(super) slots: SumHandlers,
    /// A factor in the accumulator.
    pub(super) factor_accumulated: SumHandlers,
    /// The other term in the accumulator.
    pub(super) term_accumulated: SumHandlers,
}

pub(super) struct SumHandlers {
    /// `a * b + c`.
    pub(super) add: Handler,
    /// `a * b - c`.
    pub(super) subtract: Handler,
    /// `c - a * b`.
    pub(super) subtract_from: Handler,
}

impl Lowering<'_> {
    /// The operand's slot, and how its value came about if nobody else needs it there.
    fn made(&self, operand: Operand) -> Option<Made> {
        match operand.location {
            OperandLocation::Slot => self.emit.made_in(operand.slot).map(|(_, made)| made),
            _ => None,
        }
    }

    /// The address that an operand is, if the last instruction computed it.
    pub(super) fn made_address(&self, operand: Operand) -> Option<Address> {
        match self.made(operand) {
            Some(Made::Address(address)) => Some(address),
            _ => None,
        }
    }

    /// The local that an operand stands for, with what it was counted from and by, if the last instruction did that; takes it back.
    pub(super) fn take_counted(&mut self, operand: Operand) -> Option<(SlotIndex, SlotIndex, u32)> {
        let OperandLocation::Local { slot, .. } = operand.location else { return None };
        let last = self.emit.last().filter(|last| last.kept && last.result == slot)?;
        let Made::Counted { from, by } = last.made else { return None };
        self.emit.take_back_last();
        Some((slot, from, by))
    }

    /// `i32.add`: of a constant to what a constant was added to before, or of a scaled index to a base.
    pub(super) fn fuse_add(&mut self, a: Operand, b: Operand) -> Result<bool> {
        if let OperandLocation::Constant(by) = b.location {
            let from = match a.location {
                OperandLocation::Local { slot, .. } => slot,
                _ => return Ok(false),
            };
            let Some(last) = self.emit.last() else { return Ok(false) };
            let Made::Counted { from: first_from, by: first_by } = last.made else { return Ok(false) };
            if !last.kept {
                return Ok(false);
            }
            self.emit.take_back_last();
            let result = self.stack.push_slot()?;
            let operands = slots(result, from, last.result, first_from);
            self.emit.op_through(fused::count_two, operands, Class::Integer, Made::Other);
            self.emit.word(pair(by as u32, first_by));
            return Ok(true);
        }
        for (scaled, base) in [(b, a), (a, b)] {
            let Some(Address::Scaled { index, shift }) = self.made_address(scaled) else { continue };
            let base = match base.location {
                OperandLocation::Local { slot, .. } => slot,
                OperandLocation::Slot => base.slot,
                OperandLocation::Constant(_) => continue,
            };
            self.emit.take_back_last();
            let result = self.stack.push_slot()?;
            let handler: Handler = match shift {
                1 => fused::index1,
                2 => fused::index2,
                _ => fused::index3,
            };
            let made = Made::Address(Address::Indexed { base, index, shift });
            self.emit.op_through(handler, slots(result, base, index, 0), Class::Integer, made);
            return Ok(true);
        }
        Ok(false)
    }

    /// A constant added to a multiple that nobody else needs, as generators of numbers do; false where it is something else.
    pub(super) fn fuse_multiple(
        &mut self,
        forms: (Handler, Handler),
        a: Operand,
        b: Operand,
    ) -> Result<bool> {
        let (Some(Made::Multiplied { from, by }), OperandLocation::Constant(plus)) =
            (self.made(a), b.location)
        else {
            return Ok(false);
        };
        self.emit.take_back_last();
        let handler = if self.emit.is_accumulated(from, Class::Integer) { forms.1 } else { forms.0 };
        let result = self.stack.push_slot()?;
        self.emit.op_through(handler, slots(result, from, 0, 0), Class::Integer, Made::Other);
        self.emit.word(by);
        self.emit.word(plus);
        Ok(true)
    }

    /// `a + b` or `a - b` of floats, where one operand is a product that nobody else needs.
    pub(super) fn fuse_product(
        &mut self,
        forms: &ProductForms,
        class: Class,
        subtract: bool,
        a: Operand,
        b: Operand,
    ) -> Result<bool> {
        let pick: fn(&SumHandlers, bool) -> Handler = match subtract {
            false => |handlers, _| handlers.add,
            true => |handlers, first| if first { handlers.subtract } else { handlers.subtract_from },
        };
        for (product, other, first) in [(b, a, false), (a, b, true)] {
            let Some(Made::Product { a: x, b: y }) = self.made(product) else { continue };
            let other = match other.location {
                OperandLocation::Local { slot, .. } => slot,
                OperandLocation::Slot => other.slot,
                OperandLocation::Constant(_) => continue,
            };
            self.emit.take_back_last();
            let accumulated = |slot| self.emit.is_accumulated(slot, class);
            let (handlers, x, y) = match () {
                () if accumulated(y) => (&forms.factor_accumulated, x, y),
                () if accumulated(x) => (&forms.factor_accumulated, y, x),
                () if accumulated(other) => (&forms.term_accumulated, x, y),
                () => (&forms.slots, x, y),
            };
            let handler = pick(handlers, first);
            let result = self.stack.push_slot()?;
            self.emit.op_through(handler, slots(result, x, y, other), class, Made::Other);
            return Ok(true);
        }
        Ok(false)
    }

    /// What the comparison about to be emitted, of `a` with something, was counted by.
    pub(super) fn counted_compare(&self, a: SlotIndex, handlers: LoopHandlers) -> Option<CountedCompare> {
        let last = self.emit.last().filter(|last| last.kept && last.result == a)?;
        match last.made {
            Made::Counted { from, by } => Some(CountedCompare { start: last.start, from, by, handlers }),
            _ => None,
        }
    }

    /// Goes back to a loop's header on a comparison of what was just counted; none where the condition is another.
    pub(super) fn branch_on_counted(&mut self, taken: Taken, condition: Condition) -> Option<Fixup> {
        let counted = condition.counted.filter(|_| self.emit.position() == condition.start)?;
        self.emit.take_back(counted.start);
        let at = self.emit.position();
        let handler = match taken {
            Taken::If => counted.handlers.loop_if,
            Taken::Unless => counted.handlers.loop_unless,
        };
        self.emit.op(handler, slots(condition.a, counted.from, 0, 0));
        self.emit
            .word(pair(counted.by, condition.constant.map_or(u32::from(condition.b), |bits| bits as u32)));
        Some(Fixup::Operand { at })
    }

    /// Branches to a loop's header while a local that was just counted is not zero; none where the condition is another.
    pub(super) fn branch_on_count(&mut self, condition: Operand) -> Option<Fixup> {
        let (slot, from, by) = self.take_counted(condition)?;
        let at = self.emit.position();
        self.emit.op(fused::count_loop, slots(slot, from, 0, 0));
        self.emit.word(pair(by, 0));
        Some(Fixup::Operand { at })
    }

    /// Selects by a condition that was just computed; false where it must be a value.
    pub(super) fn fuse_select(&mut self, condition: Operand, a: Operand, b: Operand) -> Result<bool> {
        let Some(Made::Condition(of)) = self.made(condition) else { return Ok(false) };
        match of.select {
            Select::Value => Ok(false),
            Select::Inverted { slot, in_slot, accumulated } => {
                self.emit.take_back_last();
                let (x, y) = (self.slot_of(b), self.slot_of(a));
                let result = self.stack.push_slot()?;
                let handler = match self.emit.is_accumulated(slot, Class::Integer) {
                    true => accumulated,
                    false => in_slot,
                };
                self.emit.op_through(handler, slots(result, x, y, slot), Class::Integer, Made::Other);
                Ok(true)
            }
            Select::Compare(forms) => {
                self.emit.take_back_last();
                let start = self.emit.position();
                let (y, x) = (self.slot_of(b), self.slot_of(a));
                // What was emitted since the condition was taken back used the accumulator.
                let handler = if self.emit.position() == start { forms.handler() } else { forms.slots };
                let result = self.stack.push_slot()?;
                self.emit.op_through(handler, slots(result, x, y, of.a), Class::Integer, Made::Other);
                self.emit.word(of.constant.unwrap_or_else(|| slots(of.b, 0, 0, 0)));
                Ok(true)
            }
        }
    }

    /// Copies a value; two copies in a row are one instruction.
    pub(super) fn copy(&mut self, from: SlotIndex, to: SlotIndex, width: Width) {
        if width == Width::Two {
            self.emit.op_writing(variable::copy2, slots(to, from, 0, 0), Made::Other);
            return;
        }
        match self.emit.last() {
            Some(Last { made: Made::Copied { from: first_from }, result: first_to, .. }) => {
                self.emit.take_back_last();
                let operands = slots(to, from, first_to, first_from);
                self.emit.op_through(fused::copy_two, operands, Class::Integer, Made::Other);
            }
            _ => {
                let made = Made::Copied { from };
                self.emit.op_through(variable::copy, slots(to, from, 0, 0), Class::Integer, made);
            }
        }
    }

    /// Emits an unconditional branch; a copy or a constant just before becomes part of it.
    pub(super) fn branch(&mut self, direction: Direction) -> Fixup {
        let with = |on: Handler, back: Handler| if direction == Direction::Back { back } else { on };
        match self.emit.last() {
            Some(Last { made: Made::Copied { from }, result, .. }) => {
                self.emit.take_back_last();
                let handler = with(fused::copy_branch, fused::copy_loop);
                self.emit.op(handler, slots(result, from, 0, 0));
                Fixup::Operand { at: self.emit.position() - 2 }
            }
            Some(Last { made: Made::Constant(bits), result, .. }) => {
                self.emit.take_back_last();
                self.emit.op(with(fused::constant_branch, fused::constant_loop), slots(result, 0, 0, 0));
                self.emit.word(bits);
                Fixup::Operand { at: self.emit.position() - 3 }
            }
            _ => {
                self.emit.op(with(control::branch, control::back_edge), 0);
                Fixup::Operand { at: self.emit.position() - 2 }
            }
        }
    }

    /// `i32.and` of a constant with the sum of another; false where the operand is no such sum.
    pub(super) fn fuse_mask(&mut self, a: Operand, b: Operand) -> Result<bool> {
        let (Some(Made::Counted { from, by }), OperandLocation::Constant(mask)) = (self.made(a), b.location)
        else {
            return Ok(false);
        };
        self.emit.take_back_last();
        let handler: Handler = match self.emit.is_accumulated(from, Class::Integer) {
            true => fused::add_mask_acc,
            false => fused::add_mask,
        };
        let result = self.stack.push_slot()?;
        self.emit.op_through(handler, slots_immediate(result, from, by), Class::Integer, Made::Other);
        self.emit.word(mask);
        Ok(true)
    }
}
