//! Reference instructions: null, functions, casts, `i31`.

use innkeeper_engine::HeapType;
use innkeeper_engine::tier::gc::CastTarget;
use wasmparser::RefType;

use super::emit::{Branches, Condition, Forms, slots, slots_immediate};
use super::stack::OperandLocation;
use super::{Lowering, Result};
use crate::op::numeric::{branch_if, branch_unless, loop_if, loop_unless, s, ss};
use crate::op::reference;

impl Lowering<'_> {
    pub(super) fn visit_ref_null(&mut self, _: wasmparser::HeapType) -> Result {
        self.push_constant(0)
    }

    /// Null is 0, whatever the type.
    pub(super) fn visit_ref_is_null(&mut self) -> Result {
        self.unary(s::i64_eqz)
    }

    pub(super) fn visit_ref_func(&mut self, function_index: u32) -> Result {
        let result = self.stack.push_slot()?;
        self.emit.op(reference::ref_func, slots_immediate(result, 0, function_index));
        Ok(())
    }

    pub(super) fn visit_ref_eq(&mut self) -> Result {
        let (b, a) = (self.pop_slot(), self.pop_slot());
        let start = self.emit.position();
        let result = self.stack.push_slot()?;
        self.emit.op(ss::i64_eq, slots(result, a, b, 0));
        let condition = Condition::branching(
            start,
            Branches {
                branch_if: Forms::slots(branch_if::ss::i64_eq),
                branch_unless: Forms::slots(branch_unless::ss::i64_eq),
                loop_if: Forms::slots(loop_if::ss::i64_eq),
                loop_unless: Forms::slots(loop_unless::ss::i64_eq),
            },
            a,
            b,
        );
        self.emit.wrote(start, result, Some(condition));
        Ok(())
    }

    pub(super) fn visit_ref_as_non_null(&mut self) -> Result {
        self.settle_constant();
        let operand = self.stack.peek(0);
        let slot = self.slot_of(operand);
        self.emit.op(reference::ref_as_non_null, slots(slot, 0, 0, 0));
        Ok(())
    }

    /// Branches where the reference is null, and drops it then.
    pub(super) fn visit_br_on_null(&mut self, relative_depth: u32) -> Result {
        self.settle_constant();
        let operand = self.stack.pop();
        let condition = self.is_null(operand.slot, operand.location);
        self.branch_where(condition, relative_depth)?;
        self.stack.push(operand.location, operand.width)?;
        Ok(())
    }

    /// Branches with the reference where it is not null, and drops it otherwise.
    pub(super) fn visit_br_on_non_null(&mut self, relative_depth: u32) -> Result {
        self.settle_constant();
        let operand = self.stack.peek(0);
        let is_null = self.is_null(operand.slot, operand.location);
        self.branch_where(is_null.inverted(), relative_depth)?;
        self.stack.pop();
        Ok(())
    }

    pub(super) fn visit_ref_test_non_null(&mut self, hty: wasmparser::HeapType) -> Result {
        self.test_type(hty, Null::Excluded)
    }

    pub(super) fn visit_ref_test_nullable(&mut self, hty: wasmparser::HeapType) -> Result {
        self.test_type(hty, Null::Included)
    }

    pub(super) fn visit_ref_cast_non_null(&mut self, hty: wasmparser::HeapType) -> Result {
        self.cast(hty, Null::Excluded)
    }

    pub(super) fn visit_ref_cast_nullable(&mut self, hty: wasmparser::HeapType) -> Result {
        self.cast(hty, Null::Included)
    }

    pub(super) fn visit_br_on_cast(&mut self, relative_depth: u32, _: RefType, to: RefType) -> Result {
        let condition = self.cast_condition(to)?;
        self.branch_where(condition, relative_depth)
    }

    pub(super) fn visit_br_on_cast_fail(&mut self, relative_depth: u32, _: RefType, to: RefType) -> Result {
        let holds = self.cast_condition(to)?;
        self.branch_where(holds.inverted(), relative_depth)
    }

    /// A reference is the same from inside and from outside.
    pub(super) fn visit_any_convert_extern(&mut self) -> Result {
        Ok(())
    }

    /// A reference is the same from inside and from outside.
    pub(super) fn visit_extern_convert_any(&mut self) -> Result {
        Ok(())
    }

    pub(super) fn visit_ref_i31(&mut self) -> Result {
        self.unary(reference::ref_i31)
    }

    pub(super) fn visit_i31_get_s(&mut self) -> Result {
        self.unary(reference::i31_get_s)
    }

    pub(super) fn visit_i31_get_u(&mut self) -> Result {
        self.unary(reference::i31_get_u)
    }

    /// A constant reference is put into its slot, so that it can be named and stays.
    fn settle_constant(&mut self) {
        if matches!(self.stack.peek(0).location, OperandLocation::Constant(_)) {
            self.settle_top(1);
        }
    }

    fn is_null(&self, slot: u16, location: OperandLocation) -> Condition {
        let a = if let OperandLocation::Local { slot, .. } = location { slot } else { slot };
        let branches = Branches {
            branch_if: Forms::slots(branch_if::s::i64_eqz),
            branch_unless: Forms::slots(branch_unless::s::i64_eqz),
            loop_if: Forms::slots(loop_if::s::i64_eqz),
            loop_unless: Forms::slots(loop_unless::s::i64_eqz),
        };
        Condition::branching(self.emit.position(), branches, a, 0)
    }

    fn test_type(&mut self, hty: wasmparser::HeapType, null: Null) -> Result {
        let (ty, word) = self.cast_target(hty, null)?;
        let a = self.pop_slot();
        let result = self.stack.push_slot()?;
        self.emit.op(reference::ref_test, slots_immediate(result, a, ty));
        self.emit.word(word);
        Ok(())
    }

    fn cast(&mut self, hty: wasmparser::HeapType, null: Null) -> Result {
        let (ty, word) = self.cast_target(hty, null)?;
        self.settle_constant();
        let operand = self.stack.peek(0);
        let slot = self.slot_of(operand);
        self.emit.op(reference::ref_cast, slots_immediate(0, slot, ty));
        self.emit.word(word);
        Ok(())
    }

    /// The condition that the topmost reference has a type; the reference stays.
    fn cast_condition(&mut self, to: RefType) -> Result<Condition> {
        let null = if to.is_nullable() { Null::Included } else { Null::Excluded };
        let (ty, word) = self.cast_target(to.heap_type(), null)?;
        self.settle_constant();
        let operand = self.stack.peek(0);
        let slot = self.slot_of(operand);
        let result = self.stack.push_slot()?;
        self.emit.op(reference::ref_test, slots_immediate(result, slot, ty));
        self.emit.word(word);
        Ok(self.take_condition())
    }

    /// The module's type index and the second word of a cast to a heap type.
    fn cast_target(&self, hty: wasmparser::HeapType, null: Null) -> Result<(u32, u64)> {
        let heap = self.module.heap_type(hty)?;
        let index = match hty {
            wasmparser::HeapType::Concrete(index) => index.as_module_index().unwrap_or(0),
            _ => 0,
        };
        let is_func = || {
            let ty = self.module.sub_type(innkeeper_engine::index::TypeIndex(index));
            matches!(heap, HeapType::Concrete(_)) && ty.composite.as_func().is_some()
        };
        let target = CastTarget::of(heap, is_func);
        Ok((index, reference::cast_word(target, null == Null::Included)))
    }
}

/// Whether null belongs to the type of a cast.
#[derive(Clone, Copy, PartialEq)]
enum Null {
    Included,
    Excluded,
}
