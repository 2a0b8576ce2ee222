//! The conventions between compiled functions, the engine's records and the rest of the world.
//!
//! A compiled function takes the callee's context, the entry that it was called through, and the parameters in registers; results come
//! back in registers too. Where there are many results, a third argument says where to write them, laid out as slots. References
//! are 64-bit integers, vectors `i8x16`. The store's record stays in the pinned register while machine code runs.

use cranelift_codegen::ir::{AbiParam, Signature, Type, types};
use cranelift_codegen::isa::CallConv;
use innkeeper_engine::{FuncType, ValType};

/// How a value of a type is held in machine code.
pub(crate) fn value_type(ty: ValType) -> Type {
    match ty {
        ValType::I32 => types::I32,
        ValType::F32 => types::F32,
        ValType::F64 => types::F64,
        ValType::V128 => types::I8X16,
        ValType::I64 | ValType::Ref(_) => types::I64,
    }
}

/// As [`value_type`], for the decoder's types.
pub(crate) fn decoded_type(ty: wasmparser::ValType) -> Type {
    match ty {
        wasmparser::ValType::I32 => types::I32,
        wasmparser::ValType::F32 => types::F32,
        wasmparser::ValType::F64 => types::F64,
        wasmparser::ValType::V128 => types::I8X16,
        wasmparser::ValType::I64 | wasmparser::ValType::Ref(_) => types::I64,
    }
}

/// How results come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Results {
    Registers,
    /// In memory that the caller provides, laid out as slots.
    Memory,
}

/// As many results of each class of registers come back in registers; the processor's convention has at least these.
const MAX_RESULTS_OF_CLASS: usize = 4;

pub(crate) fn results(ty: &FuncType) -> Results {
    let floats = ty.results().iter().filter(|ty| matches!(ty, ValType::F32 | ValType::F64 | ValType::V128));
    let floats = floats.count();
    if floats > MAX_RESULTS_OF_CLASS || ty.results().len() - floats > MAX_RESULTS_OF_CLASS {
        return Results::Memory;
    }
    Results::Registers
}

/// The signature of compiled functions of a type. Callees preserve the registers that functions of the host preserve, except where an exception is caught: so callers keep references in them over calls, and whoever
/// leaves machine code puts them where collections look (the engine's `fiber/switch`).
pub(crate) fn signature(ty: &FuncType) -> Signature {
    let mut signature = Signature::new(CallConv::Tail);
    signature.params.extend([AbiParam::new(types::I64), AbiParam::new(types::I64)]);
    if results(ty) == Results::Memory {
        signature.params.push(AbiParam::new(types::I64));
    } else {
        signature.returns.extend(ty.results().iter().map(|ty| AbiParam::new(value_type(*ty))));
    }
    signature.params.extend(ty.params().iter().map(|ty| AbiParam::new(value_type(*ty))));
    signature
}

/// Whether a function of the host can be called by [`crate::entry::call_host`].
pub(crate) fn is_in_registers(ty: &FuncType) -> bool {
    let is_integer = |ty: &ValType| matches!(ty, ValType::I32 | ValType::I64 | ValType::Ref(_));
    ty.params().len() <= 4
        && ty.results().len() <= 1
        && ty.params().iter().chain(ty.results()).all(is_integer)
}

/// The signature of what enters machine code: context, frame, code.
pub(crate) fn entry_signature() -> Signature {
    let mut signature = Signature::new(CallConv::SystemV);
    signature.params.extend([AbiParam::new(types::I64); 3]);
    signature
}
