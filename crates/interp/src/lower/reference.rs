//! Reference instructions.

use super::emit::slots_immediate;
use super::{Lowering, Result};
use crate::op::numeric::s;
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
}
