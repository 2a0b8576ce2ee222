//! Constant expressions: initial values of globals, tables and segments (core specification 3.4.12, "Constant Expressions").
//!
//! Kept as a short list of operations, evaluated once an instantiation by `crate::instance`. They are validated with the module, so that
//! evaluating needs no checks of its own.

use wasmparser::Operator;

use crate::error::{Error, ErrorKind};
use crate::index::{FuncIndex, GlobalIndex, TypeIndex};
use crate::simd::V128;

use super::no_memory;

#[derive(Clone, Debug)]
pub(crate) enum ConstExpr {
    /// Nearly all are one operation: segments have millions of them, which want no allocations of their own.
    One(ConstOp),
    Many(Box<[ConstOp]>),
}

/// One operation of a constant expression, on a stack of values of two slots, of which all but vectors use the first.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ConstOp {
    /// A number, or a null reference (0).
    Value([u64; 2]),
    GlobalGet(GlobalIndex),
    RefFunc(FuncIndex),
    Binary(fn(u64, u64) -> u64),
    RefI31,
    /// Takes the fields' values.
    StructNew(TypeIndex),
    StructNewDefault(TypeIndex),
    /// Takes an element and a length.
    ArrayNew(TypeIndex),
    /// Takes a length.
    ArrayNewDefault(TypeIndex),
    /// Takes so many elements.
    ArrayNewFixed(TypeIndex, u32),
}

impl ConstExpr {
    pub(super) fn decode(expr: &wasmparser::ConstExpr<'_>) -> Result<ConstExpr, Error> {
        let mut ops = operations(expr);
        let first = ops.next().transpose()?;
        let Some(second) = ops.next() else {
            return Ok(first.map_or_else(|| ConstExpr::Many(Box::default()), ConstExpr::One));
        };
        let (first, second) = (first.into_iter().map(Ok), std::iter::once(second));
        // Counted first, because lists that grow take several times as much.
        let mut all = Vec::new();
        let count = operations(expr).count();
        all.try_reserve_exact(count).map_err(|_| no_memory(count, "operations of an expression"))?;
        for op in first.chain(second).chain(ops) {
            all.push(op?);
        }
        Ok(ConstExpr::Many(all.into()))
    }

    /// The operations in order.
    pub(crate) fn ops(&self) -> &[ConstOp] {
        match self {
            ConstExpr::One(op) => std::slice::from_ref(op),
            ConstExpr::Many(ops) => ops,
        }
    }
}

fn operations<'a>(
    expr: &wasmparser::ConstExpr<'a>,
) -> impl Iterator<Item = Result<ConstOp, Error>> + use<'a> {
    let mut reader = expr.get_operators_reader();
    let mut is_over = false;
    std::iter::from_fn(move || {
        while !is_over && !reader.eof() {
            match reader.read() {
                Ok(Operator::End) => break,
                // A reference is the same from inside and from outside.
                Ok(Operator::AnyConvertExtern | Operator::ExternConvertAny) => {}
                Ok(op) => return Some(const_op(&op)),
                Err(error) => {
                    is_over = true;
                    return Some(Err(error.into()));
                }
            }
        }
        is_over = true;
        None
    })
}

fn const_op(op: &Operator<'_>) -> Result<ConstOp, Error> {
    let slot = |slot| ConstOp::Value([slot, 0]);
    Ok(match *op {
        Operator::I32Const { value } => slot(u64::from(value.cast_unsigned())),
        Operator::I64Const { value } => slot(value.cast_unsigned()),
        Operator::F32Const { value } => slot(u64::from(value.bits())),
        Operator::F64Const { value } => slot(value.bits()),
        Operator::V128Const { value } => ConstOp::Value(V128::from_bytes(*value.bytes()).to_slots()),
        Operator::RefNull { .. } => slot(0),
        Operator::RefFunc { function_index } => ConstOp::RefFunc(FuncIndex(function_index)),
        Operator::GlobalGet { global_index } => ConstOp::GlobalGet(GlobalIndex(global_index)),
        Operator::I32Add => ConstOp::Binary(|a, b| u64::from((a as u32).wrapping_add(b as u32))),
        Operator::I32Sub => ConstOp::Binary(|a, b| u64::from((a as u32).wrapping_sub(b as u32))),
        Operator::I32Mul => ConstOp::Binary(|a, b| u64::from((a as u32).wrapping_mul(b as u32))),
        Operator::I64Add => ConstOp::Binary(u64::wrapping_add),
        Operator::I64Sub => ConstOp::Binary(u64::wrapping_sub),
        Operator::I64Mul => ConstOp::Binary(u64::wrapping_mul),
        Operator::RefI31 => ConstOp::RefI31,
        Operator::StructNew { struct_type_index } => ConstOp::StructNew(TypeIndex(struct_type_index)),
        Operator::StructNewDefault { struct_type_index } => {
            ConstOp::StructNewDefault(TypeIndex(struct_type_index))
        }
        Operator::ArrayNew { array_type_index } => ConstOp::ArrayNew(TypeIndex(array_type_index)),
        Operator::ArrayNewDefault { array_type_index } => {
            ConstOp::ArrayNewDefault(TypeIndex(array_type_index))
        }
        Operator::ArrayNewFixed { array_type_index, array_size } => {
            ConstOp::ArrayNewFixed(TypeIndex(array_type_index), array_size)
        }
        ref other => {
            return Err(Error::new(ErrorKind::Unsupported(format!("{other:?} in a constant expression"))));
        }
    })
}
