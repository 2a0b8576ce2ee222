//! Canonical NaNs, where the configuration asks for them.

use innkeeper_engine::nan::FloatResult;
use wasmparser::OperatorsReader;

use super::emit::slots;
use super::fuse::Made;
use super::{Lowering, Result};
use crate::machine::{Class, Handler};
use crate::op::nan;

impl Lowering<'_> {
    /// What the next instruction may make NaNs of, if they are to be canonical.
    pub(super) fn float_result(&self, operators: &OperatorsReader<'_>) -> Result<Option<FloatResult>> {
        if !self.canonical_nans {
            return Ok(None);
        }
        Ok(FloatResult::of(&operators.clone().read()?))
    }

    /// Puts the canonical NaN in the place of any other in the result on the stack's top.
    pub(super) fn make_canonical(&mut self, shape: FloatResult) -> Result {
        let (handler, class): (Handler, Class) = match shape {
            FloatResult::F32 => (nan::f32, Class::F32),
            FloatResult::F64 => (nan::f64, Class::F64),
            FloatResult::F32x4 => return self.vector_of_one(nan::f32x4),
            FloatResult::F64x2 => return self.vector_of_one(nan::f64x2),
        };
        let a = self.pop_slot();
        let result = self.stack.push_slot()?;
        self.emit.op_through(handler, slots(result, a, 0, 0), class, Made::Other);
        Ok(())
    }
}
