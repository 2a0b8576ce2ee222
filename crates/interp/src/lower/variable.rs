//! Locals, globals, constants, and bringing values into slots.

use innkeeper_engine::Error;
use innkeeper_engine::index::GlobalIndex;

use super::emit::{slots, slots_immediate};
use super::frame::{LocalSlot, SlotIndex};
use super::fuse::Made;
use super::stack::{Operand, OperandLocation, Readers, Width};
use super::{Lowering, Result};
use crate::machine::{Class, Handler};
use crate::op::{control, variable};

impl Lowering<'_> {
    pub(super) fn visit_local_get(&mut self, local_index: u32) -> Result {
        let local = self.frame.local(local_index);
        match local.slot {
            LocalSlot::Near(slot) => {
                self.stack.push(OperandLocation::Local { index: local_index, slot }, local.width)?;
            }
            LocalSlot::Far(far) => {
                let slot = self.stack.push(OperandLocation::Slot, local.width)?;
                let handler = one_or_two(local.width, variable::get_far, variable::get_far2);
                self.emit.op(handler, slots_immediate(slot, 0, far));
            }
        }
        Ok(())
    }

    pub(super) fn visit_local_set(&mut self, local_index: u32) -> Result {
        let value = self.stack.pop();
        self.assign(local_index, value)?;
        Ok(())
    }

    pub(super) fn visit_local_tee(&mut self, local_index: u32) -> Result {
        let value = self.stack.pop();
        let location = self.assign(local_index, value)?;
        self.stack.push(location, value.width)?;
        Ok(())
    }

    pub(super) fn visit_global_get(&mut self, global_index: u32) -> Result {
        let width = Width::of_engine(self.module.global_type(GlobalIndex(global_index)).content);
        let slot = self.stack.push(OperandLocation::Slot, width)?;
        let operands = slots_immediate(slot, 0, global_index);
        match width {
            Width::One => {
                self.emit.op_through(variable::global_get, operands, Class::Integer, Made::Other);
            }
            Width::Two => self.emit.op_writing(variable::global_get2, operands, Made::Other),
        }
        Ok(())
    }

    pub(super) fn visit_global_set(&mut self, global_index: u32) -> Result {
        let value = self.stack.pop();
        let handler = one_or_two(value.width, variable::global_set, variable::global_set2);
        let value = self.slot_of(value);
        self.emit.op_keeping(handler, slots_immediate(value, 0, global_index));
        Ok(())
    }

    pub(super) fn visit_i32_const(&mut self, value: i32) -> Result {
        self.push_constant(u64::from(value.cast_unsigned()))
    }

    pub(super) fn visit_i64_const(&mut self, value: i64) -> Result {
        self.push_constant(value.cast_unsigned())
    }

    pub(super) fn visit_f32_const(&mut self, value: wasmparser::Ieee32) -> Result {
        self.push_constant(u64::from(value.bits()))
    }

    pub(super) fn visit_f64_const(&mut self, value: wasmparser::Ieee64) -> Result {
        self.push_constant(value.bits())
    }

    pub(super) fn visit_drop(&mut self) -> Result {
        self.stack.pop();
        Ok(())
    }

    pub(super) fn visit_select(&mut self) -> Result {
        let condition = self.stack.pop();
        let (b, a) = (self.stack.pop(), self.stack.pop());
        if a.width == Width::Two {
            let condition = self.slot_of(condition);
            let (b, slot) = (self.slot_of(b), self.slot_of(a));
            let result = self.stack.push(OperandLocation::Slot, Width::Two)?;
            self.emit.op_writing(control::select2, slots(result, slot, b, condition), Made::Other);
            return Ok(());
        }
        if self.fuse_select(condition, a, b)? {
            return Ok(());
        }
        let condition = self.slot_of(condition);
        let (b, a) = (self.slot_of(b), self.slot_of(a));
        let handler: Handler = match self.emit.is_accumulated(condition, Class::Integer) {
            true => control::select_by::acc::u32,
            false => control::select_by::slot::u32,
        };
        let result = self.stack.push_slot()?;
        self.emit.op_through(handler, slots(result, a, b, condition), Class::Integer, Made::Other);
        Ok(())
    }

    pub(super) fn visit_typed_select(&mut self, _: wasmparser::ValType) -> Result {
        self.visit_select()
    }

    pub(super) fn visit_typed_select_multi(&mut self, _: Vec<wasmparser::ValType>) -> Result {
        self.visit_select()
    }

    pub(super) fn push_constant(&mut self, bits: u64) -> Result {
        self.stack.push(OperandLocation::Constant(bits), Width::One)?;
        Ok(())
    }

    /// Pops a value and names a slot that holds it.
    pub(super) fn pop_slot(&mut self) -> SlotIndex {
        let operand = self.stack.pop();
        self.slot_of(operand)
    }

    /// A slot that holds the value; a constant is put into its canonical slot.
    pub(super) fn slot_of(&mut self, operand: Operand) -> SlotIndex {
        match operand.location {
            OperandLocation::Slot => operand.slot,
            OperandLocation::Local { slot, .. } => slot,
            OperandLocation::Constant(_) => {
                self.move_to(operand, operand.slot);
                operand.slot
            }
        }
    }

    /// Puts the value into slot `to`.
    pub(super) fn move_to(&mut self, operand: Operand, to: SlotIndex) {
        match operand.location {
            OperandLocation::Slot if operand.slot == to => {}
            OperandLocation::Slot => self.copy(operand.slot, to, operand.width),
            OperandLocation::Local { slot, .. } => self.copy(slot, to, operand.width),
            OperandLocation::Constant(bits) => match u32::try_from(bits) {
                Ok(bits) => {
                    let operands = slots_immediate(to, 0, bits);
                    let made = Made::Constant(bits.into());
                    self.emit.op_through(variable::constant32, operands, Class::Integer, made);
                }
                Err(_) => {
                    let operands = slots(to, 0, 0, 0);
                    let made = Made::Constant(bits);
                    self.emit.op_through(variable::constant64, operands, Class::Integer, made);
                    self.emit.word(bits);
                }
            },
        }
    }

    /// Puts the `count` topmost values into their canonical slots.
    pub(super) fn settle_top(&mut self, count: usize) {
        for position in self.stack.len() - count..self.stack.len() {
            let operand = self.stack.at(position);
            if operand.location != OperandLocation::Slot {
                self.move_to(operand, operand.slot);
                self.stack.settle_at(position);
            }
        }
    }

    /// Puts every value that stands for a local into its canonical slot, because control is about to fork.
    pub(super) fn settle_locals(&mut self) {
        self.settle(self.stack.unsettled());
        self.stack.all_settled();
    }

    /// Gives the local the value, which was just popped, and says where the value can be read afterwards.
    fn assign(&mut self, local: u32, value: Operand) -> Result<OperandLocation, Error> {
        let near = match self.frame.local(local).slot {
            LocalSlot::Near(slot) => slot,
            LocalSlot::Far(far) => {
                let slot = self.slot_of(value);
                let handler = one_or_two(value.width, variable::set_far, variable::set_far2);
                self.emit.op(handler, slots_immediate(slot, 0, far));
                // The value was a slot or a constant, which is in its canonical slot now: far locals are never read in place.
                return Ok(match value.location {
                    OperandLocation::Constant(_) => OperandLocation::Slot,
                    location => location,
                });
            }
        };
        if self.stack.has_readers(local) {
            self.settle(self.stack.readers_of(local));
            // What was just emitted stands between the value's computation and here, so that it cannot be redirected.
        } else if value.location == OperandLocation::Slot && self.emit.redirect(value.slot, near) {
            return Ok(OperandLocation::Local { index: local, slot: near });
        }
        match value.location {
            OperandLocation::Local { index, .. } if index == local => {}
            _ => self.move_to(value, near),
        }
        Ok(match value.location {
            OperandLocation::Slot => OperandLocation::Local { index: local, slot: near },
            location => location,
        })
    }

    fn settle(&mut self, readers: Readers) {
        for position in readers.from..readers.to {
            let operand = self.stack.at(position);
            if let OperandLocation::Local { index, .. } = operand.location
                && readers.only.is_none_or(|only| only == index)
            {
                self.move_to(operand, operand.slot);
                self.stack.settle_at(position);
            }
        }
    }
}

fn one_or_two(width: Width, one: Handler, two: Handler) -> Handler {
    match width {
        Width::One => one,
        Width::Two => two,
    }
}
