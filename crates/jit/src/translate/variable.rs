//! Locals, globals, constants and selection.

use std::mem::offset_of;

use cranelift_codegen::ir::immediates::{Ieee32, Ieee64};
use cranelift_codegen::ir::{InstBuilder, MemFlagsData, Value, types};
use innkeeper_engine::Mutability;
use innkeeper_engine::index::GlobalIndex;
use innkeeper_engine::tier::VmContext;
use wasmparser::Operator;

use super::{Result, Translator, fixed_flags};
use crate::abi;

impl Translator<'_, '_> {
    pub(super) fn variable(&mut self, operator: &Operator<'_>) -> Result<bool> {
        match operator {
            Operator::LocalGet { local_index } => {
                let value = self.b.use_var(self.locals[*local_index as usize]);
                self.push(value)
            }
            Operator::LocalSet { local_index } => {
                let value = self.pop()?;
                self.b.def_var(self.locals[*local_index as usize], value);
                Ok(())
            }
            Operator::LocalTee { local_index } => {
                let value = self.pop()?;
                self.b.def_var(self.locals[*local_index as usize], value);
                self.push(value)
            }
            Operator::GlobalGet { global_index } => {
                let (record, offset, flags) = self.global(*global_index);
                let ty = abi::value_type(self.module.global_type(GlobalIndex(*global_index)).content);
                let value = self.b.ins().load(ty, flags, record, offset);
                self.push(value)
            }
            Operator::GlobalSet { global_index } => {
                let value = self.pop()?;
                let (record, offset, flags) = self.global(*global_index);
                // Whole slots: references to globals from elsewhere read them so.
                let whole = super::widen(&mut self.b, value);
                self.b.ins().store(flags, whole, record, offset);
                Ok(())
            }
            Operator::Drop => self.pop().map(drop),
            Operator::Select | Operator::TypedSelect { .. } => {
                let (a, b, condition) = self.pop3()?;
                let value = self.b.ins().select(condition, a, b);
                self.push(value)
            }
            Operator::I32Const { value } => {
                let value = self.int(types::I32, i64::from(value.cast_unsigned()));
                self.push(value)
            }
            Operator::I64Const { value } => {
                let value = self.int(types::I64, *value);
                self.push(value)
            }
            Operator::F32Const { value } => {
                let value = self.b.ins().f32const(Ieee32::with_bits(value.bits()));
                self.push(value)
            }
            Operator::F64Const { value } => {
                let value = self.b.ins().f64const(Ieee64::with_bits(value.bits()));
                self.push(value)
            }
            _ => return Ok(false),
        }?;
        Ok(true)
    }

    /// Where a global lies: at an offset from a record. Those that the module defines are behind the context.
    fn global(&mut self, index: u32) -> (Value, i32, MemFlagsData) {
        let global = GlobalIndex(index);
        let own = self
            .module
            .own_global(global)
            .and_then(|i| i32::try_from(VmContext::own_global_offset_bytes(i)).ok());
        let (record, offset) = match own {
            Some(offset) => (self.ctx, offset),
            None => (self.fixed_element(offset_of!(VmContext, globals), index), 0),
        };
        let flags = match self.module.global_type(global).mutability {
            Mutability::Const => fixed_flags(),
            Mutability::Var => MemFlagsData::trusted().with_alias_region(Some(self.regions.global)),
        };
        (record, offset, flags)
    }
}
