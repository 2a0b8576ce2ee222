//! Evaluates constant expressions while a module is instantiated.
//!
//! Values stand on a stack in the store, where collections see them.

use std::ptr::NonNull;

use crate::composite::CompositeType;
use crate::error::Error;
use crate::index::TypeIndex;
use crate::module::{ConstExpr, ConstOp};
use crate::runtime::gc;
use crate::store::{InstanceId, StoreCore};
use crate::trap::Trap;
use crate::vmctx::VmObject;
use crate::vmctx::object::Allocation;

impl StoreCore {
    /// The value of an expression of the instance's module.
    pub(crate) fn evaluate(&mut self, id: InstanceId, expr: &ConstExpr) -> Result<[u64; 2], Error> {
        let height = self.evaluation.len();
        let result = expr.ops().iter().try_for_each(|op| self.evaluate_op(id, *op));
        let value = self.evaluation.last().copied().unwrap_or_default();
        self.evaluation.truncate(height);
        result.map(|()| value)
    }

    fn evaluate_op(&mut self, id: InstanceId, op: ConstOp) -> Result<(), Error> {
        let value = match op {
            ConstOp::Value(value) => value,
            ConstOp::GlobalGet(index) => {
                let global = self.instances[id].get().global_ids[index.index()];
                self.globals[global].slots()
            }
            ConstOp::RefFunc(index) => {
                let func = self.instances[id].get().func_ref(index);
                [func.map_or(0, |record| record as usize as u64), 0]
            }
            ConstOp::Binary(apply) => {
                let (b, a) = (self.pop(), self.pop());
                [apply(a[0], b[0]), 0]
            }
            ConstOp::RefI31 => {
                let value = self.pop()[0] as u32;
                [u64::from(value << 1 | 1), 0]
            }
            ConstOp::StructNew(ty) => return self.struct_new(id, ty),
            ConstOp::StructNewDefault(ty) => {
                let slots = gc::struct_slots(&self.instances[id].get().module.0.sub_type(ty).composite);
                return self.push_object(id, ty, slots).map(drop);
            }
            ConstOp::ArrayNew(ty) => {
                let len = self.pop()[0] as u32;
                let array = self.push_object(id, ty, len)?;
                let element = self.evaluation.len() - 2;
                gc::fill_array(array, 0, self.evaluation[element], len, || self.stop_if_asked())?;
                self.evaluation.swap_remove(element);
                return Ok(());
            }
            ConstOp::ArrayNewDefault(ty) => {
                let len = self.pop()[0] as u32;
                return self.push_object(id, ty, len).map(drop);
            }
            ConstOp::ArrayNewFixed(ty, len) => {
                let array = self.push_object(id, ty, len)?;
                let first = self.evaluation.len() - 1 - len as usize;
                for i in 0..len {
                    gc::fill_array(array, i, self.evaluation[first + i as usize], 1, || Ok(()))?;
                }
                return self.replace_operands(first);
            }
        };
        self.evaluation.push(value);
        Ok(())
    }

    fn struct_new(&mut self, id: InstanceId, ty: TypeIndex) -> Result<(), Error> {
        let module = self.instances[id].get().module.clone();
        let CompositeType::Struct(fields) = &module.0.sub_type(ty).composite else { return Ok(()) };
        let object = self.push_object(id, ty, gc::struct_slots(&module.0.sub_type(ty).composite))?;
        let first = self.evaluation.len() - 1 - fields.len();
        let mut at = 0;
        for (i, field) in fields.iter().enumerate() {
            let width = field.storage.unpacked().slots();
            // Packed fields are cut to size when they are read.
            gc::write_slots(object, at, &self.evaluation[first + i][..width as usize]);
            at += width;
        }
        self.replace_operands(first)
    }

    /// Leaves the topmost value where the operands started.
    fn replace_operands(&mut self, first: usize) -> Result<(), Error> {
        let value = self.pop();
        self.evaluation.truncate(first);
        self.evaluation.push(value);
        Ok(())
    }

    /// Allocates an object and pushes a reference to it, so that it is kept.
    fn push_object(&mut self, id: InstanceId, ty: TypeIndex, len: u32) -> Result<NonNull<VmObject>, Error> {
        let record = std::sync::Arc::as_ptr(&self.instances[id].get().module.0.types[ty.index()]);
        let live_end = self.stack_top();
        let object = self.allocate(Allocation::Typed(record, len), live_end);
        self.stop_if_asked()?;
        let object = object.ok_or(Trap::AllocationTooLarge)?;
        self.evaluation.push([object.as_ptr() as usize as u64, 0]);
        Ok(object)
    }

    fn pop(&mut self) -> [u64; 2] {
        // Validation guarantees the operand.
        self.evaluation.pop().unwrap_or_default()
    }
}
