//! Calls and returns.

use innkeeper_engine::FuncType;
use innkeeper_engine::index::{FuncIndex, TypeIndex};
use innkeeper_engine::tier::frame::HEADER_SLOTS;

use super::emit::{pair, slots, slots_immediate};
use super::frame::{SlotIndex, near};
use super::stack::{OperandLocation, Width};
use super::{Lowering, Result};
use crate::machine::Handler;
use crate::op::{call, control};

/// Where a call's arguments start in the frame, and the callee's header.
struct CallSlots {
    base: SlotIndex,
    header: SlotIndex,
}

/// Where a tail call's arguments start in the frame, and the operands of its instruction.
struct TailCall {
    base: SlotIndex,
    operands: u64,
}

impl<'a> Lowering<'a> {
    pub(super) fn visit_call(&mut self, function_index: u32) -> Result {
        let func = FuncIndex(function_index);
        let ty = self.module.func_type(self.module.type_of_func(func));
        let CallSlots { base, header } = self.arguments(ty)?;
        match self.module.defined(func) {
            Some(defined) => self.emit.op(call::call, call_word(base, header, defined.0)),
            None => self.emit.op(call::call_import, call_word(base, header, func.0)),
        }
        self.results(ty)
    }

    pub(super) fn visit_call_indirect(&mut self, type_index: u32, table_index: u32) -> Result {
        let index = self.pop_table_index(table_index);
        let (ty, signature) = self.callee(type_index);
        let CallSlots { base, header } = self.arguments(ty)?;
        self.emit.op(call::call_indirect, slots_immediate(index, 0, table_index));
        self.emit.word(call_word(base, header, signature));
        self.results(ty)
    }

    pub(super) fn visit_return(&mut self) -> Result {
        self.settle_results();
        self.emit_return()?;
        self.end_reachable();
        Ok(())
    }

    /// Emits a return of the topmost values, which stay on the operand stack. Several values are in their canonical slots.
    pub(super) fn emit_return(&mut self) -> Result {
        if let Some(distance) = self.frame.window() {
            return self.return_from_window(distance);
        }
        let header = self.frame.header();
        match self.function_results() {
            0 => self.emit.op(call::return0, slots(header, 0, 0, 0)),
            1 if self.stack.peek(0).width == Width::One => {
                let value = self.stack.peek(0);
                match value.location {
                    OperandLocation::Constant(bits) => {
                        self.emit.op(call::return_constant, slots(header, 0, 0, 0));
                        self.emit.word(bits);
                    }
                    OperandLocation::Slot => self.emit.op(call::return1, slots(value.slot, header, 0, 0)),
                    OperandLocation::Local { slot, .. } => {
                        self.emit.op(call::return1, slots(slot, header, 0, 0))
                    }
                }
            }
            count => {
                let from = self.stack.at(self.stack.len() - count).slot;
                let slot_count = near(self.stack.top_slot() - u32::from(from))?;
                self.emit.op(call::return_many, slots(from, slot_count, header, 0));
            }
        }
        Ok(())
    }

    /// As [`Lowering::emit_return`], of a function with a window: its results are moved to the frame's start first.
    fn return_from_window(&mut self, distance: u32) -> Result {
        let first = self.stack.len() - self.function_results();
        let from = self.stack.slot_at(first)?;
        for position in first..self.stack.len() {
            let operand = self.stack.at(position);
            self.move_to(operand, operand.slot);
        }
        let count = near(self.stack.top_slot() - u32::from(from))?;
        self.outside_window(distance, from, count, |lowering| {
            lowering.emit.op(call::return_many, slots(from, count, lowering.frame.header(), 0));
        });
        Ok(())
    }

    /// Moves the frame pointer to the frame's start, and `count` slots from `from` on along with it; emits the instruction that leaves the frame from there.
    fn outside_window(
        &mut self,
        distance: u32,
        from: SlotIndex,
        count: SlotIndex,
        leave: impl FnOnce(&mut Self),
    ) {
        self.emit.op(control::leave_window, slots_immediate(from, 0, count.into()));
        self.emit.word(distance.into());
        let start = self.emit.position();
        leave(self);
        self.outside.push(start..self.emit.position());
    }

    /// Emits a tail call whose arguments, and whatever else it takes from behind them, are in the `count` slots from its base on.
    fn tail_call(&mut self, call: &TailCall, count: u32, emit: impl FnOnce(&mut Self, u64)) -> Result {
        match self.frame.window() {
            None => emit(self, call.operands),
            Some(distance) => {
                self.outside_window(distance, call.base, near(count)?, |lowering| {
                    emit(lowering, call.operands)
                });
            }
        }
        Ok(())
    }

    /// Brings the topmost value to its canonical slot, where a window is left: only what lies behind a base is moved along.
    fn settle_for_leaving(&mut self) {
        if self.frame.window().is_some() {
            self.settle_top(1);
        }
    }

    pub(super) fn visit_return_call(&mut self, function_index: u32) -> Result {
        let func = FuncIndex(function_index);
        let ty = self.module.func_type(self.module.type_of_func(func));
        let tail = self.tail_arguments(ty)?;
        let (handler, callee): (Handler, _) = match self.module.defined(func) {
            Some(defined) => (call::return_call, defined.0),
            None => (call::return_call_import, func.0),
        };
        self.tail_call(&tail, ty.param_slots(), |lowering, operands| {
            lowering.emit.op(handler, operands);
            lowering.emit.word(pair(callee, ty.result_slots()));
        })?;
        self.end_reachable();
        Ok(())
    }

    pub(super) fn visit_return_call_indirect(&mut self, type_index: u32, table_index: u32) -> Result {
        self.settle_for_leaving();
        // The index stays where it is while the arguments below it are settled.
        let index = self.pop_table_index(table_index);
        let (ty, signature) = self.callee(type_index);
        let tail = self.tail_arguments(ty)?;
        self.tail_call(&tail, ty.param_slots() + 1, |lowering, operands| {
            lowering.emit.op(call::return_call_indirect, operands);
            lowering.emit.word(slots_immediate(index, 0, ty.result_slots()));
            lowering.emit.word(pair(table_index, signature));
        })?;
        self.end_reachable();
        Ok(())
    }

    pub(super) fn visit_call_ref(&mut self, type_index: u32) -> Result {
        let callee = self.pop_slot();
        let ty = self.module.func_type(TypeIndex(type_index));
        let CallSlots { base, header } = self.arguments(ty)?;
        self.emit.op(call::call_ref, slots(callee, 0, 0, 0));
        self.emit.word(call_word(base, header, 0));
        self.results(ty)
    }

    pub(super) fn visit_return_call_ref(&mut self, type_index: u32) -> Result {
        self.settle_for_leaving();
        let callee = self.pop_slot();
        let ty = self.module.func_type(TypeIndex(type_index));
        let tail = self.tail_arguments(ty)?;
        self.tail_call(&tail, ty.param_slots() + 1, |lowering, operands| {
            lowering.emit.op(call::return_call_ref, operands);
            lowering.emit.word(slots_immediate(callee, 0, ty.result_slots()));
        })?;
        self.end_reachable();
        Ok(())
    }

    fn callee(&self, type_index: u32) -> (&'a FuncType, u32) {
        let index = TypeIndex(type_index);
        (self.module.func_type(index), self.module.type_id(index).number().0)
    }

    /// Puts the arguments of a call into their canonical slots, which become the callee's parameters, and pops them.
    fn arguments(&mut self, ty: &FuncType) -> Result<CallSlots> {
        let count = ty.params().len();
        self.settle_top(count);
        let end = self.stack.top_slot();
        let base = end - ty.param_slots();
        self.frame.check_callee(base)?;
        let header = base + ty.call_slots();
        self.stack.reserve(header + HEADER_SLOTS);
        self.stack.truncate(self.stack.len() - count);
        Ok(CallSlots { base: near(base)?, header: near(header - base)? })
    }

    /// As [`Lowering::arguments`], for a call that replaces this frame.
    fn tail_arguments(&mut self, ty: &FuncType) -> Result<TailCall> {
        let CallSlots { base, header } = self.arguments(ty)?;
        // The callee's header goes where the callee expects it, in what was this frame.
        self.stack.reserve(u32::from(header) + HEADER_SLOTS);
        let operands = slots(base, near(ty.param_slots())?, self.frame.header(), header);
        Ok(TailCall { base, operands })
    }

    fn results(&mut self, ty: &FuncType) -> Result {
        for ty in ty.results() {
            self.stack.push(OperandLocation::Slot, Width::of_engine(*ty))?;
        }
        Ok(())
    }

    /// Results other than one of one slot are returned from their canonical slots.
    pub(super) fn settle_results(&mut self) {
        let results = self.function_results();
        if results > 1 || results == 1 && self.stack.peek(0).width == Width::Two {
            self.settle_top(results);
        }
    }
}

fn call_word(base: SlotIndex, header: SlotIndex, callee: u32) -> u64 {
    slots_immediate(base, header, callee)
}
