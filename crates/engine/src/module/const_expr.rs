//! Constant expressions: initial values of globals, tables and segments (core specification 3.4.12, "Constant Expressions").
//!
//! Kept as a short list of operations, evaluated once an instantiation. They are validated with the module, so that evaluating
//! needs no checks of its own.

use wasmparser::Operator;

use crate::error::{Error, ErrorKind};
use crate::index::{FuncIndex, GlobalIndex};
use crate::simd::V128;

#[derive(Clone, Debug)]
pub(crate) struct ConstExpr(pub(crate) Box<[ConstOp]>);

/// One operation of a constant expression, on a stack of values.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ConstOp {
    /// A number of one slot, or a null reference (0).
    Slot(u64),
    Vector([u64; 2]),
    GlobalGet(GlobalIndex),
    RefFunc(FuncIndex),
    Binary(fn(u64, u64) -> u64),
}

impl ConstExpr {
    pub(super) fn decode(expr: &wasmparser::ConstExpr<'_>) -> Result<ConstExpr, Error> {
        let mut ops = Vec::with_capacity(1);
        let mut reader = expr.get_operators_reader();
        while !reader.eof() {
            ops.push(match reader.read()? {
                Operator::I32Const { value } => ConstOp::Slot(u64::from(value.cast_unsigned())),
                Operator::I64Const { value } => ConstOp::Slot(value.cast_unsigned()),
                Operator::F32Const { value } => ConstOp::Slot(u64::from(value.bits())),
                Operator::F64Const { value } => ConstOp::Slot(value.bits()),
                Operator::V128Const { value } => ConstOp::Vector(V128::from_bytes(*value.bytes()).to_slots()),
                Operator::RefNull { .. } => ConstOp::Slot(0),
                Operator::RefFunc { function_index } => ConstOp::RefFunc(FuncIndex(function_index)),
                Operator::GlobalGet { global_index } => ConstOp::GlobalGet(GlobalIndex(global_index)),
                Operator::I32Add => ConstOp::Binary(|a, b| u64::from((a as u32).wrapping_add(b as u32))),
                Operator::I32Sub => ConstOp::Binary(|a, b| u64::from((a as u32).wrapping_sub(b as u32))),
                Operator::I32Mul => ConstOp::Binary(|a, b| u64::from((a as u32).wrapping_mul(b as u32))),
                Operator::I64Add => ConstOp::Binary(u64::wrapping_add),
                Operator::I64Sub => ConstOp::Binary(u64::wrapping_sub),
                Operator::I64Mul => ConstOp::Binary(u64::wrapping_mul),
                Operator::End => break,
                other => {
                    let message = format!("{other:?} in a constant expression");
                    return Err(Error::new(ErrorKind::Unsupported(message)));
                }
            });
        }
        Ok(ConstExpr(ops.into_boxed_slice()))
    }

    /// The value's slots, of which all but vectors use the first only, given what globals and function references of the instance are.
    pub(crate) fn evaluate(
        &self,
        global: impl Fn(GlobalIndex) -> [u64; 2],
        func_ref: impl Fn(FuncIndex) -> u64,
    ) -> [u64; 2] {
        let mut stack: Vec<[u64; 2]> = Vec::new();
        for op in &self.0 {
            let value = match *op {
                ConstOp::Slot(value) => [value, 0],
                ConstOp::Vector(value) => value,
                ConstOp::GlobalGet(index) => global(index),
                ConstOp::RefFunc(index) => [func_ref(index), 0],
                ConstOp::Binary(apply) => {
                    let ([b, _], [a, _]) = (stack.pop().unwrap_or_default(), stack.pop().unwrap_or_default());
                    [apply(a, b), 0]
                }
            };
            stack.push(value);
        }
        stack.pop().unwrap_or_default()
    }
}
