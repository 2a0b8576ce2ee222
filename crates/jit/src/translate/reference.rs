//! References: null, functions, casts, `i31`.

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{BlockArg, InstBuilder, Value, types};
use innkeeper_engine::index::TypeIndex;
use innkeeper_engine::tier::gc::CastTarget;
use innkeeper_engine::{HeapType, Trap};
use wasmparser::Operator;

use super::{Result, Translator, Unsupported};
use crate::libcall::Libcall;
use crate::trap;

impl Translator<'_, '_> {
    pub(super) fn reference(&mut self, operator: &Operator<'_>) -> Result<bool> {
        match operator {
            Operator::RefNull { .. } => {
                let null = self.int(types::I64, 0);
                self.push(null)
            }
            Operator::RefIsNull => {
                let reference = self.pop()?;
                let is_null = self.is_null(reference);
                self.push_bool(is_null)
            }
            Operator::RefFunc { function_index } => {
                let func = self.i32(*function_index);
                let Some(record) = self.libcall(Libcall::RefFunc, &[self.ctx, func]) else {
                    return Err(Unsupported::Malformed);
                };
                self.push(record)
            }
            Operator::RefEq => {
                let (a, b) = self.pop2()?;
                let is_same = self.b.ins().icmp(IntCC::Equal, a, b);
                self.push_bool(is_same)
            }
            Operator::RefAsNonNull => {
                let reference = self.pop()?;
                self.b.ins().trapz(reference, trap::code(Trap::NullReference));
                self.push(reference)
            }
            Operator::BrOnNull { relative_depth } => {
                let reference = self.pop()?;
                let is_null = self.is_null(reference);
                self.branch_if(is_null, *relative_depth)?;
                self.push(reference)
            }
            Operator::BrOnNonNull { relative_depth } => {
                let reference = self.pop()?;
                self.push(reference)?;
                let is_null = self.b.ins().icmp_imm_s(IntCC::NotEqual, reference, 0);
                self.branch_if(is_null, *relative_depth)?;
                self.pop().map(drop)
            }
            Operator::RefTestNonNull { hty } => self.test(*hty, false),
            Operator::RefTestNullable { hty } => self.test(*hty, true),
            Operator::RefCastNonNull { hty } => self.check_cast(*hty, false),
            Operator::RefCastNullable { hty } => self.check_cast(*hty, true),
            Operator::BrOnCast { relative_depth, to_ref_type, .. } => {
                let reference = self.pop()?;
                let is = self.is_of_type(reference, to_ref_type.heap_type(), to_ref_type.is_nullable())?;
                self.push(reference)?;
                self.branch_if(is, *relative_depth)
            }
            Operator::BrOnCastFail { relative_depth, to_ref_type, .. } => {
                let reference = self.pop()?;
                let is = self.is_of_type(reference, to_ref_type.heap_type(), to_ref_type.is_nullable())?;
                let is_not = self.b.ins().icmp_imm_s(IntCC::Equal, is, 0);
                self.push(reference)?;
                self.branch_if(is_not, *relative_depth)
            }
            // A reference is the same from inside and from outside.
            Operator::AnyConvertExtern | Operator::ExternConvertAny => Ok(()),
            Operator::RefI31 => {
                let value = self.pop()?;
                let shifted = self.b.ins().ishl_imm_u(value, 1);
                let tagged = self.b.ins().bor_imm_u(shifted, 1);
                let reference = self.b.ins().uextend(types::I64, tagged);
                self.push(reference)
            }
            Operator::I31GetS => {
                let bits = self.i31()?;
                let value = self.b.ins().sshr_imm_u(bits, 1);
                self.push(value)
            }
            Operator::I31GetU => {
                let bits = self.i31()?;
                let value = self.b.ins().ushr_imm_u(bits, 1);
                self.push(value)
            }
            _ => return Ok(false),
        }?;
        Ok(true)
    }

    fn is_null(&mut self, reference: Value) -> Value {
        self.b.ins().icmp_imm_s(IntCC::Equal, reference, 0)
    }

    fn i31(&mut self) -> Result<Value> {
        let reference = self.pop()?;
        self.b.ins().trapz(reference, trap::code(Trap::NullI31));
        Ok(self.b.ins().ireduce(types::I32, reference))
    }

    fn test(&mut self, ty: wasmparser::HeapType, takes_null: bool) -> Result {
        let reference = self.pop()?;
        let is = self.is_of_type(reference, ty, takes_null)?;
        self.push(is)
    }

    fn check_cast(&mut self, ty: wasmparser::HeapType, takes_null: bool) -> Result {
        let reference = self.pop()?;
        let is = self.is_of_type(reference, ty, takes_null)?;
        self.b.ins().trapz(is, trap::code(Trap::CastFailure));
        self.push(reference)
    }

    /// Whether a reference is of a type, as an `i32`.
    fn is_of_type(&mut self, reference: Value, ty: wasmparser::HeapType, takes_null: bool) -> Result<Value> {
        let heap = self.module.heap_type(ty)?;
        let index = match ty {
            wasmparser::HeapType::Concrete(index) => index.as_module_index().unwrap_or(0),
            _ => 0,
        };
        let is_func = || {
            matches!(heap, HeapType::Concrete(_))
                && self.module.sub_type(TypeIndex(index)).composite.as_func().is_some()
        };
        let target = CastTarget::of(heap, is_func);
        let (some, done) = (self.b.create_block(), self.b.create_block());
        let is = self.b.append_block_param(done, types::I32);
        let of_null = self.int(types::I32, i64::from(takes_null));
        self.b.ins().brif(reference, some, &[], done, &[BlockArg::Value(of_null)]);
        self.b.switch_to_block(some);
        self.b.seal_block(some);
        let (number, index) = (self.i32(target as u32), self.i32(index));
        let Some(of_some) = self.libcall(Libcall::ReferenceIs, &[self.ctx, reference, number, index]) else {
            return Err(Unsupported::Malformed);
        };
        self.b.ins().jump(done, &[BlockArg::Value(of_some)]);
        self.b.switch_to_block(done);
        self.b.seal_block(done);
        Ok(is)
    }
}
