//! Instructions on vectors that are one of the compiler's, and comparisons.

use cranelift_codegen::ir::InstBuilder;
use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::types::{F32X4, F64X2, I8X16, I16X8, I32X4, I64X2};
use wasmparser::Operator;

use crate::translate::{Result, Translator};

impl Translator<'_, '_> {
    pub(in crate::translate) fn simd(&mut self, operator: &Operator<'_>) -> Result<bool> {
        Ok(self.lanewise(operator)?
            || self.comparison(operator)?
            || self.lanes(operator)?
            || self.expanded(operator)?)
    }

    /// Instructions that are one of the compiler's.
    pub(super) fn lanewise(&mut self, operator: &Operator<'_>) -> Result<bool> {
        macro_rules! unary {
            ($shape:ident $ins:ident) => {{
                let vector = self.pop_vector($shape)?;
                let value = self.b.ins().$ins(vector);
                self.push_vector(value)
            }};
        }
        macro_rules! binary {
            ($shape:ident $ins:ident) => {{
                let (a, b) = self.pop_vectors($shape)?;
                let value = self.b.ins().$ins(a, b);
                self.push_vector(value)
            }};
        }
        match operator {
            Operator::I8x16Abs => unary!(I8X16 iabs),
            Operator::I8x16Neg => unary!(I8X16 ineg),
            Operator::I16x8Abs => unary!(I16X8 iabs),
            Operator::I16x8Neg => unary!(I16X8 ineg),
            Operator::I32x4Abs => unary!(I32X4 iabs),
            Operator::I32x4Neg => unary!(I32X4 ineg),
            Operator::I64x2Abs => unary!(I64X2 iabs),
            Operator::I64x2Neg => unary!(I64X2 ineg),
            Operator::I8x16Popcnt => unary!(I8X16 popcnt),
            Operator::V128Not => unary!(I8X16 bnot),
            Operator::F32x4Abs => unary!(F32X4 fabs),
            Operator::F32x4Neg => unary!(F32X4 fneg),
            Operator::F32x4Sqrt => unary!(F32X4 sqrt),
            Operator::F32x4Ceil => unary!(F32X4 ceil),
            Operator::F32x4Floor => unary!(F32X4 floor),
            Operator::F32x4Trunc => unary!(F32X4 trunc),
            Operator::F32x4Nearest => unary!(F32X4 nearest),
            Operator::F64x2Abs => unary!(F64X2 fabs),
            Operator::F64x2Neg => unary!(F64X2 fneg),
            Operator::F64x2Sqrt => unary!(F64X2 sqrt),
            Operator::F64x2Ceil => unary!(F64X2 ceil),
            Operator::F64x2Floor => unary!(F64X2 floor),
            Operator::F64x2Trunc => unary!(F64X2 trunc),
            Operator::F64x2Nearest => unary!(F64X2 nearest),
            Operator::I16x8ExtendLowI8x16S => unary!(I8X16 swiden_low),
            Operator::I16x8ExtendHighI8x16S => unary!(I8X16 swiden_high),
            Operator::I16x8ExtendLowI8x16U => unary!(I8X16 uwiden_low),
            Operator::I16x8ExtendHighI8x16U => unary!(I8X16 uwiden_high),
            Operator::I32x4ExtendLowI16x8S => unary!(I16X8 swiden_low),
            Operator::I32x4ExtendHighI16x8S => unary!(I16X8 swiden_high),
            Operator::I32x4ExtendLowI16x8U => unary!(I16X8 uwiden_low),
            Operator::I32x4ExtendHighI16x8U => unary!(I16X8 uwiden_high),
            Operator::I64x2ExtendLowI32x4S => unary!(I32X4 swiden_low),
            Operator::I64x2ExtendHighI32x4S => unary!(I32X4 swiden_high),
            Operator::I64x2ExtendLowI32x4U => unary!(I32X4 uwiden_low),
            Operator::I64x2ExtendHighI32x4U => unary!(I32X4 uwiden_high),
            Operator::F32x4DemoteF64x2Zero => unary!(F64X2 fvdemote),
            Operator::F64x2PromoteLowF32x4 => unary!(F32X4 fvpromote_low),
            Operator::I8x16Add => binary!(I8X16 iadd),
            Operator::I8x16Sub => binary!(I8X16 isub),
            Operator::I16x8Add => binary!(I16X8 iadd),
            Operator::I16x8Sub => binary!(I16X8 isub),
            Operator::I32x4Add => binary!(I32X4 iadd),
            Operator::I32x4Sub => binary!(I32X4 isub),
            Operator::I64x2Add => binary!(I64X2 iadd),
            Operator::I64x2Sub => binary!(I64X2 isub),
            Operator::F32x4Add => binary!(F32X4 fadd),
            Operator::F32x4Sub => binary!(F32X4 fsub),
            Operator::F32x4Mul => binary!(F32X4 fmul),
            Operator::F32x4Div => binary!(F32X4 fdiv),
            Operator::F32x4Min => binary!(F32X4 fmin),
            Operator::F32x4Max => binary!(F32X4 fmax),
            Operator::F32x4RelaxedMin => binary!(F32X4 fmin),
            Operator::F32x4RelaxedMax => binary!(F32X4 fmax),
            Operator::F64x2Add => binary!(F64X2 fadd),
            Operator::F64x2Sub => binary!(F64X2 fsub),
            Operator::F64x2Mul => binary!(F64X2 fmul),
            Operator::F64x2Div => binary!(F64X2 fdiv),
            Operator::F64x2Min => binary!(F64X2 fmin),
            Operator::F64x2Max => binary!(F64X2 fmax),
            Operator::F64x2RelaxedMin => binary!(F64X2 fmin),
            Operator::F64x2RelaxedMax => binary!(F64X2 fmax),
            Operator::I16x8Mul => binary!(I16X8 imul),
            Operator::I32x4Mul => binary!(I32X4 imul),
            Operator::I64x2Mul => binary!(I64X2 imul),
            Operator::I8x16MinS => binary!(I8X16 smin),
            Operator::I8x16MinU => binary!(I8X16 umin),
            Operator::I8x16MaxS => binary!(I8X16 smax),
            Operator::I8x16MaxU => binary!(I8X16 umax),
            Operator::I16x8MinS => binary!(I16X8 smin),
            Operator::I16x8MinU => binary!(I16X8 umin),
            Operator::I16x8MaxS => binary!(I16X8 smax),
            Operator::I16x8MaxU => binary!(I16X8 umax),
            Operator::I32x4MinS => binary!(I32X4 smin),
            Operator::I32x4MinU => binary!(I32X4 umin),
            Operator::I32x4MaxS => binary!(I32X4 smax),
            Operator::I32x4MaxU => binary!(I32X4 umax),
            Operator::I8x16AddSatS => binary!(I8X16 sadd_sat),
            Operator::I8x16AddSatU => binary!(I8X16 uadd_sat),
            Operator::I8x16SubSatS => binary!(I8X16 ssub_sat),
            Operator::I8x16SubSatU => binary!(I8X16 usub_sat),
            Operator::I8x16AvgrU => binary!(I8X16 avg_round),
            Operator::I16x8AddSatS => binary!(I16X8 sadd_sat),
            Operator::I16x8AddSatU => binary!(I16X8 uadd_sat),
            Operator::I16x8SubSatS => binary!(I16X8 ssub_sat),
            Operator::I16x8SubSatU => binary!(I16X8 usub_sat),
            Operator::I16x8AvgrU => binary!(I16X8 avg_round),
            Operator::V128And => binary!(I8X16 band),
            Operator::V128Or => binary!(I8X16 bor),
            Operator::V128Xor => binary!(I8X16 bxor),
            Operator::V128AndNot => binary!(I8X16 band_not),
            Operator::I8x16Swizzle => binary!(I8X16 swizzle),
            Operator::I8x16RelaxedSwizzle => binary!(I8X16 swizzle),
            Operator::I16x8Q15MulrSatS => binary!(I16X8 sqmul_round_sat),
            Operator::I16x8RelaxedQ15mulrS => binary!(I16X8 sqmul_round_sat),
            Operator::I8x16NarrowI16x8S => binary!(I16X8 snarrow),
            Operator::I8x16NarrowI16x8U => binary!(I16X8 unarrow),
            Operator::I16x8NarrowI32x4S => binary!(I32X4 snarrow),
            Operator::I16x8NarrowI32x4U => binary!(I32X4 unarrow),
            _ => return Ok(false),
        }?;
        Ok(true)
    }

    pub(super) fn comparison(&mut self, operator: &Operator<'_>) -> Result<bool> {
        match operator {
            Operator::I8x16Eq => self.compare_lanes(I8X16, IntCC::Equal),
            Operator::I8x16Ne => self.compare_lanes(I8X16, IntCC::NotEqual),
            Operator::I8x16LtS => self.compare_lanes(I8X16, IntCC::SignedLessThan),
            Operator::I8x16LtU => self.compare_lanes(I8X16, IntCC::UnsignedLessThan),
            Operator::I8x16GtS => self.compare_lanes(I8X16, IntCC::SignedGreaterThan),
            Operator::I8x16GtU => self.compare_lanes(I8X16, IntCC::UnsignedGreaterThan),
            Operator::I8x16LeS => self.compare_lanes(I8X16, IntCC::SignedLessThanOrEqual),
            Operator::I8x16LeU => self.compare_lanes(I8X16, IntCC::UnsignedLessThanOrEqual),
            Operator::I8x16GeS => self.compare_lanes(I8X16, IntCC::SignedGreaterThanOrEqual),
            Operator::I8x16GeU => self.compare_lanes(I8X16, IntCC::UnsignedGreaterThanOrEqual),
            Operator::I16x8Eq => self.compare_lanes(I16X8, IntCC::Equal),
            Operator::I16x8Ne => self.compare_lanes(I16X8, IntCC::NotEqual),
            Operator::I16x8LtS => self.compare_lanes(I16X8, IntCC::SignedLessThan),
            Operator::I16x8LtU => self.compare_lanes(I16X8, IntCC::UnsignedLessThan),
            Operator::I16x8GtS => self.compare_lanes(I16X8, IntCC::SignedGreaterThan),
            Operator::I16x8GtU => self.compare_lanes(I16X8, IntCC::UnsignedGreaterThan),
            Operator::I16x8LeS => self.compare_lanes(I16X8, IntCC::SignedLessThanOrEqual),
            Operator::I16x8LeU => self.compare_lanes(I16X8, IntCC::UnsignedLessThanOrEqual),
            Operator::I16x8GeS => self.compare_lanes(I16X8, IntCC::SignedGreaterThanOrEqual),
            Operator::I16x8GeU => self.compare_lanes(I16X8, IntCC::UnsignedGreaterThanOrEqual),
            Operator::I32x4Eq => self.compare_lanes(I32X4, IntCC::Equal),
            Operator::I32x4Ne => self.compare_lanes(I32X4, IntCC::NotEqual),
            Operator::I32x4LtS => self.compare_lanes(I32X4, IntCC::SignedLessThan),
            Operator::I32x4LtU => self.compare_lanes(I32X4, IntCC::UnsignedLessThan),
            Operator::I32x4GtS => self.compare_lanes(I32X4, IntCC::SignedGreaterThan),
            Operator::I32x4GtU => self.compare_lanes(I32X4, IntCC::UnsignedGreaterThan),
            Operator::I32x4LeS => self.compare_lanes(I32X4, IntCC::SignedLessThanOrEqual),
            Operator::I32x4LeU => self.compare_lanes(I32X4, IntCC::UnsignedLessThanOrEqual),
            Operator::I32x4GeS => self.compare_lanes(I32X4, IntCC::SignedGreaterThanOrEqual),
            Operator::I32x4GeU => self.compare_lanes(I32X4, IntCC::UnsignedGreaterThanOrEqual),
            Operator::I64x2Eq => self.compare_lanes(I64X2, IntCC::Equal),
            Operator::I64x2Ne => self.compare_lanes(I64X2, IntCC::NotEqual),
            Operator::I64x2LtS => self.compare_lanes(I64X2, IntCC::SignedLessThan),
            Operator::I64x2GtS => self.compare_lanes(I64X2, IntCC::SignedGreaterThan),
            Operator::I64x2LeS => self.compare_lanes(I64X2, IntCC::SignedLessThanOrEqual),
            Operator::I64x2GeS => self.compare_lanes(I64X2, IntCC::SignedGreaterThanOrEqual),
            Operator::F32x4Eq => self.compare_float_lanes(F32X4, FloatCC::Equal),
            Operator::F32x4Ne => self.compare_float_lanes(F32X4, FloatCC::NotEqual),
            Operator::F32x4Lt => self.compare_float_lanes(F32X4, FloatCC::LessThan),
            Operator::F32x4Gt => self.compare_float_lanes(F32X4, FloatCC::GreaterThan),
            Operator::F32x4Le => self.compare_float_lanes(F32X4, FloatCC::LessThanOrEqual),
            Operator::F32x4Ge => self.compare_float_lanes(F32X4, FloatCC::GreaterThanOrEqual),
            Operator::F64x2Eq => self.compare_float_lanes(F64X2, FloatCC::Equal),
            Operator::F64x2Ne => self.compare_float_lanes(F64X2, FloatCC::NotEqual),
            Operator::F64x2Lt => self.compare_float_lanes(F64X2, FloatCC::LessThan),
            Operator::F64x2Gt => self.compare_float_lanes(F64X2, FloatCC::GreaterThan),
            Operator::F64x2Le => self.compare_float_lanes(F64X2, FloatCC::LessThanOrEqual),
            Operator::F64x2Ge => self.compare_float_lanes(F64X2, FloatCC::GreaterThanOrEqual),
            _ => return Ok(false),
        }?;
        Ok(true)
    }
}
