//! Instructions on single lanes, on memory, and those that take several of the compiler's.

use cranelift_codegen::ir::types::{F32X4, F64X2, I8X16, I16X8, I32X4, I64X2};
use cranelift_codegen::ir::{InstBuilder, types};
use wasmparser::Operator;

use super::Widen;
use crate::translate::{Result, Translator};

impl Translator<'_, '_> {
    /// Single lanes, and memory.
    pub(super) fn lanes(&mut self, operator: &Operator<'_>) -> Result<bool> {
        match operator {
            Operator::I8x16Splat => self.splat(I8X16),
            Operator::I16x8Splat => self.splat(I16X8),
            Operator::I32x4Splat => self.splat(I32X4),
            Operator::I64x2Splat => self.splat(I64X2),
            Operator::F32x4Splat => self.splat(F32X4),
            Operator::F64x2Splat => self.splat(F64X2),
            Operator::I8x16ReplaceLane { lane } => self.replace_lane(I8X16, *lane),
            Operator::I16x8ReplaceLane { lane } => self.replace_lane(I16X8, *lane),
            Operator::I32x4ReplaceLane { lane } => self.replace_lane(I32X4, *lane),
            Operator::I64x2ReplaceLane { lane } => self.replace_lane(I64X2, *lane),
            Operator::F32x4ReplaceLane { lane } => self.replace_lane(F32X4, *lane),
            Operator::F64x2ReplaceLane { lane } => self.replace_lane(F64X2, *lane),
            Operator::I32x4ExtractLane { lane } => {
                let value = self.extract_lane(I32X4, *lane)?;
                self.push(value)
            }
            Operator::I64x2ExtractLane { lane } => {
                let value = self.extract_lane(I64X2, *lane)?;
                self.push(value)
            }
            Operator::F32x4ExtractLane { lane } => {
                let value = self.extract_lane(F32X4, *lane)?;
                self.push(value)
            }
            Operator::F64x2ExtractLane { lane } => {
                let value = self.extract_lane(F64X2, *lane)?;
                self.push(value)
            }
            Operator::I8x16ExtractLaneS { lane } => {
                let value = self.extract_lane(I8X16, *lane)?;
                let value = self.b.ins().sextend(types::I32, value);
                self.push(value)
            }
            Operator::I8x16ExtractLaneU { lane } => {
                let value = self.extract_lane(I8X16, *lane)?;
                let value = self.b.ins().uextend(types::I32, value);
                self.push(value)
            }
            Operator::I16x8ExtractLaneS { lane } => {
                let value = self.extract_lane(I16X8, *lane)?;
                let value = self.b.ins().sextend(types::I32, value);
                self.push(value)
            }
            Operator::I16x8ExtractLaneU { lane } => {
                let value = self.extract_lane(I16X8, *lane)?;
                let value = self.b.ins().uextend(types::I32, value);
                self.push(value)
            }
            Operator::V128Load { memarg } => {
                let value = self.load(memarg, I8X16)?;
                self.push(value)
            }
            Operator::V128Store { memarg } => {
                let value = self.pop()?;
                self.store_to(memarg, value)
            }
            Operator::V128Load8x8S { memarg } => self.load_widened(memarg, I8X16, Widen::LowSigned),
            Operator::V128Load8x8U { memarg } => self.load_widened(memarg, I8X16, Widen::LowUnsigned),
            Operator::V128Load16x4S { memarg } => self.load_widened(memarg, I16X8, Widen::LowSigned),
            Operator::V128Load16x4U { memarg } => self.load_widened(memarg, I16X8, Widen::LowUnsigned),
            Operator::V128Load32x2S { memarg } => self.load_widened(memarg, I32X4, Widen::LowSigned),
            Operator::V128Load32x2U { memarg } => self.load_widened(memarg, I32X4, Widen::LowUnsigned),
            Operator::V128Load8Splat { memarg } => self.load_splat(memarg, I8X16),
            Operator::V128Load16Splat { memarg } => self.load_splat(memarg, I16X8),
            Operator::V128Load32Splat { memarg } => self.load_splat(memarg, I32X4),
            Operator::V128Load64Splat { memarg } => self.load_splat(memarg, I64X2),
            Operator::V128Load32Zero { memarg } => self.load_zero(memarg, I32X4),
            Operator::V128Load64Zero { memarg } => self.load_zero(memarg, I64X2),
            Operator::V128Load8Lane { memarg, lane } => self.load_lane(memarg, I8X16, *lane),
            Operator::V128Store8Lane { memarg, lane } => self.store_lane(memarg, I8X16, *lane),
            Operator::V128Load16Lane { memarg, lane } => self.load_lane(memarg, I16X8, *lane),
            Operator::V128Store16Lane { memarg, lane } => self.store_lane(memarg, I16X8, *lane),
            Operator::V128Load32Lane { memarg, lane } => self.load_lane(memarg, I32X4, *lane),
            Operator::V128Store32Lane { memarg, lane } => self.store_lane(memarg, I32X4, *lane),
            Operator::V128Load64Lane { memarg, lane } => self.load_lane(memarg, I64X2, *lane),
            Operator::V128Store64Lane { memarg, lane } => self.store_lane(memarg, I64X2, *lane),
            Operator::V128Const { value } => {
                let constant = self.b.func.dfg.constants.insert(value.bytes().to_vec().into());
                let value = self.b.ins().vconst(I8X16, constant);
                self.push(value)
            }
            Operator::I8x16Shuffle { lanes } => self.shuffle(lanes),
            _ => return Ok(false),
        }?;
        Ok(true)
    }

    /// What takes several instructions, or other operands.
    pub(super) fn expanded(&mut self, operator: &Operator<'_>) -> Result<bool> {
        match operator {
            Operator::I8x16Shl => self.shift(I8X16, |t, a, by| t.b.ins().ishl(a, by)),
            Operator::I8x16ShrS => self.shift(I8X16, |t, a, by| t.b.ins().sshr(a, by)),
            Operator::I8x16ShrU => self.shift(I8X16, |t, a, by| t.b.ins().ushr(a, by)),
            Operator::I8x16AllTrue => self.all_true(I8X16),
            Operator::I8x16Bitmask => self.bitmask(I8X16),
            Operator::I16x8Shl => self.shift(I16X8, |t, a, by| t.b.ins().ishl(a, by)),
            Operator::I16x8ShrS => self.shift(I16X8, |t, a, by| t.b.ins().sshr(a, by)),
            Operator::I16x8ShrU => self.shift(I16X8, |t, a, by| t.b.ins().ushr(a, by)),
            Operator::I16x8AllTrue => self.all_true(I16X8),
            Operator::I16x8Bitmask => self.bitmask(I16X8),
            Operator::I32x4Shl => self.shift(I32X4, |t, a, by| t.b.ins().ishl(a, by)),
            Operator::I32x4ShrS => self.shift(I32X4, |t, a, by| t.b.ins().sshr(a, by)),
            Operator::I32x4ShrU => self.shift(I32X4, |t, a, by| t.b.ins().ushr(a, by)),
            Operator::I32x4AllTrue => self.all_true(I32X4),
            Operator::I32x4Bitmask => self.bitmask(I32X4),
            Operator::I64x2Shl => self.shift(I64X2, |t, a, by| t.b.ins().ishl(a, by)),
            Operator::I64x2ShrS => self.shift(I64X2, |t, a, by| t.b.ins().sshr(a, by)),
            Operator::I64x2ShrU => self.shift(I64X2, |t, a, by| t.b.ins().ushr(a, by)),
            Operator::I64x2AllTrue => self.all_true(I64X2),
            Operator::I64x2Bitmask => self.bitmask(I64X2),
            Operator::V128AnyTrue => {
                let vector = self.pop()?;
                let holds = self.b.ins().vany_true(vector);
                self.push_bool(holds)
            }
            Operator::I16x8ExtMulLowI8x16S => self.extended_product(I8X16, Widen::LowSigned),
            Operator::I16x8ExtMulHighI8x16S => self.extended_product(I8X16, Widen::HighSigned),
            Operator::I16x8ExtMulLowI8x16U => self.extended_product(I8X16, Widen::LowUnsigned),
            Operator::I16x8ExtMulHighI8x16U => self.extended_product(I8X16, Widen::HighUnsigned),
            Operator::I32x4ExtMulLowI16x8S => self.extended_product(I16X8, Widen::LowSigned),
            Operator::I32x4ExtMulHighI16x8S => self.extended_product(I16X8, Widen::HighSigned),
            Operator::I32x4ExtMulLowI16x8U => self.extended_product(I16X8, Widen::LowUnsigned),
            Operator::I32x4ExtMulHighI16x8U => self.extended_product(I16X8, Widen::HighUnsigned),
            Operator::I64x2ExtMulLowI32x4S => self.extended_product(I32X4, Widen::LowSigned),
            Operator::I64x2ExtMulHighI32x4S => self.extended_product(I32X4, Widen::HighSigned),
            Operator::I64x2ExtMulLowI32x4U => self.extended_product(I32X4, Widen::LowUnsigned),
            Operator::I64x2ExtMulHighI32x4U => self.extended_product(I32X4, Widen::HighUnsigned),
            Operator::I16x8ExtAddPairwiseI8x16S => {
                self.pairwise_sum(I8X16, Widen::LowSigned, Widen::HighSigned)
            }
            Operator::I16x8ExtAddPairwiseI8x16U => {
                self.pairwise_sum(I8X16, Widen::LowUnsigned, Widen::HighUnsigned)
            }
            Operator::I32x4ExtAddPairwiseI16x8S => {
                self.pairwise_sum(I16X8, Widen::LowSigned, Widen::HighSigned)
            }
            Operator::I32x4ExtAddPairwiseI16x8U => {
                self.pairwise_sum(I16X8, Widen::LowUnsigned, Widen::HighUnsigned)
            }
            Operator::I32x4DotI16x8S => {
                let (a, b) = self.pop_vectors(I16X8)?;
                let value = self.dot(a, b);
                self.push_vector(value)
            }
            Operator::I16x8RelaxedDotI8x16I7x16S => {
                let (a, b) = self.pop_vectors(I8X16)?;
                let value = self.dot(a, b);
                self.push_vector(value)
            }
            Operator::I32x4RelaxedDotI8x16I7x16AddS => {
                let c = self.pop_vector(I32X4)?;
                let (a, b) = self.pop_vectors(I8X16)?;
                let pairs = self.dot(a, b);
                let (low, high) = (self.widen(pairs, Widen::LowSigned), self.widen(pairs, Widen::HighSigned));
                let sums = self.b.ins().iadd_pairwise(low, high);
                let value = self.b.ins().iadd(sums, c);
                self.push_vector(value)
            }
            Operator::V128Bitselect
            | Operator::I8x16RelaxedLaneselect
            | Operator::I16x8RelaxedLaneselect
            | Operator::I32x4RelaxedLaneselect
            | Operator::I64x2RelaxedLaneselect => self.select_bits(),
            Operator::F32x4PMin => self.pseudo(F32X4, false),
            Operator::F32x4PMax => self.pseudo(F32X4, true),
            Operator::F64x2PMin => self.pseudo(F64X2, false),
            Operator::F64x2PMax => self.pseudo(F64X2, true),
            Operator::F32x4RelaxedMadd => self.multiply_add(F32X4, false),
            Operator::F32x4RelaxedNmadd => self.multiply_add(F32X4, true),
            Operator::F64x2RelaxedMadd => self.multiply_add(F64X2, false),
            Operator::F64x2RelaxedNmadd => self.multiply_add(F64X2, true),
            Operator::I32x4TruncSatF32x4S | Operator::I32x4RelaxedTruncF32x4S => {
                let vector = self.pop_vector(F32X4)?;
                let value = self.b.ins().fcvt_to_sint_sat(I32X4, vector);
                self.push_vector(value)
            }
            Operator::I32x4TruncSatF32x4U | Operator::I32x4RelaxedTruncF32x4U => {
                let vector = self.pop_vector(F32X4)?;
                let value = self.b.ins().fcvt_to_uint_sat(I32X4, vector);
                self.push_vector(value)
            }
            Operator::I32x4TruncSatF64x2SZero | Operator::I32x4RelaxedTruncF64x2SZero => {
                self.truncate_doubles(true)
            }
            Operator::I32x4TruncSatF64x2UZero | Operator::I32x4RelaxedTruncF64x2UZero => {
                self.truncate_doubles(false)
            }
            Operator::F32x4ConvertI32x4S => {
                let vector = self.pop_vector(I32X4)?;
                let value = self.b.ins().fcvt_from_sint(F32X4, vector);
                self.push_vector(value)
            }
            Operator::F32x4ConvertI32x4U => {
                let vector = self.pop_vector(I32X4)?;
                let value = self.b.ins().fcvt_from_uint(F32X4, vector);
                self.push_vector(value)
            }
            Operator::F64x2ConvertLowI32x4S => {
                let vector = self.pop_vector(I32X4)?;
                let wide = self.b.ins().swiden_low(vector);
                let value = self.b.ins().fcvt_from_sint(F64X2, wide);
                self.push_vector(value)
            }
            Operator::F64x2ConvertLowI32x4U => {
                let vector = self.pop_vector(I32X4)?;
                let wide = self.b.ins().uwiden_low(vector);
                let value = self.b.ins().fcvt_from_uint(F64X2, wide);
                self.push_vector(value)
            }
            _ => return Ok(false),
        }?;
        Ok(true)
    }
}
