//! Vectors.
//!
//! On the operand stack every vector is `i8x16`; an instruction casts its operands to the shape that it works on. Relaxed instructions give the
//! results of the deterministic profile, as everywhere in this engine.

use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::types::{F32X4, F64X2, I8X16, I16X8, I32X4, I64X2};
use cranelift_codegen::ir::{Endianness, InstBuilder, MemFlagsData, Type, Value, types};
use wasmparser::{MemArg, Operator};

use super::memory::Place;
use super::{Result, Translator};

/// Lanes are little-endian, whatever the shape.
pub(super) fn cast_flags() -> MemFlagsData {
    MemFlagsData::new().with_endianness(Endianness::Little)
}

/// How the halves of a vector are widened.
#[derive(Clone, Copy)]
enum Widen {
    LowSigned,
    LowUnsigned,
    HighSigned,
    HighUnsigned,
}

impl Translator<'_> {
    fn cast(&mut self, value: Value, shape: Type) -> Value {
        if self.b.func.dfg.value_type(value) == shape {
            return value;
        }
        self.b.ins().bitcast(shape, cast_flags(), value)
    }

    fn pop_vector(&mut self, shape: Type) -> Result<Value> {
        let value = self.pop()?;
        Ok(self.cast(value, shape))
    }

    fn pop_vectors(&mut self, shape: Type) -> Result<(Value, Value)> {
        let b = self.pop_vector(shape)?;
        Ok((self.pop_vector(shape)?, b))
    }

    fn push_vector(&mut self, value: Value) -> Result {
        let value = self.cast(value, I8X16);
        self.push(value)
    }

    fn compare_lanes(&mut self, shape: Type, cc: IntCC) -> Result {
        let (a, b) = self.pop_vectors(shape)?;
        let value = self.b.ins().icmp(cc, a, b);
        self.push_vector(value)
    }

    fn compare_float_lanes(&mut self, shape: Type, cc: FloatCC) -> Result {
        let (a, b) = self.pop_vectors(shape)?;
        let value = self.b.ins().fcmp(cc, a, b);
        self.push_vector(value)
    }

    fn splat(&mut self, shape: Type) -> Result {
        let value = self.pop()?;
        let lane = shape.lane_type();
        let is_cut = lane.bits() < 32;
        let value = if is_cut { self.b.ins().ireduce(lane, value) } else { value };
        let value = self.b.ins().splat(shape, value);
        self.push_vector(value)
    }

    fn replace_lane(&mut self, shape: Type, lane: u8) -> Result {
        let value = self.pop()?;
        let vector = self.pop_vector(shape)?;
        let is_cut = shape.lane_type().bits() < 32;
        let value = if is_cut { self.b.ins().ireduce(shape.lane_type(), value) } else { value };
        let value = self.b.ins().insertlane(vector, value, lane);
        self.push_vector(value)
    }

    fn extract_lane(&mut self, shape: Type, lane: u8) -> Result<Value> {
        let vector = self.pop_vector(shape)?;
        Ok(self.b.ins().extractlane(vector, lane))
    }

    /// Shifts count modulo the width of a lane.
    fn shift(&mut self, shape: Type, operation: impl FnOnce(&mut Self, Value, Value) -> Value) -> Result {
        let by = self.pop()?;
        let vector = self.pop_vector(shape)?;
        let value = operation(self, vector, by);
        self.push_vector(value)
    }

    fn all_true(&mut self, shape: Type) -> Result {
        let vector = self.pop_vector(shape)?;
        let holds = self.b.ins().vall_true(vector);
        self.push_bool(holds)
    }

    fn bitmask(&mut self, shape: Type) -> Result {
        let vector = self.pop_vector(shape)?;
        let value = self.b.ins().vhigh_bits(types::I32, vector);
        self.push(value)
    }

    fn widen(&mut self, value: Value, widen: Widen) -> Value {
        match widen {
            Widen::LowSigned => self.b.ins().swiden_low(value),
            Widen::LowUnsigned => self.b.ins().uwiden_low(value),
            Widen::HighSigned => self.b.ins().swiden_high(value),
            Widen::HighUnsigned => self.b.ins().uwiden_high(value),
        }
    }

    fn extended_product(&mut self, shape: Type, widen: Widen) -> Result {
        let (a, b) = self.pop_vectors(shape)?;
        let (a, b) = (self.widen(a, widen), self.widen(b, widen));
        let value = self.b.ins().imul(a, b);
        self.push_vector(value)
    }

    fn pairwise_sum(&mut self, shape: Type, low: Widen, high: Widen) -> Result {
        let vector = self.pop_vector(shape)?;
        let (low, high) = (self.widen(vector, low), self.widen(vector, high));
        let value = self.b.ins().iadd_pairwise(low, high);
        self.push_vector(value)
    }

    /// The sums of pairs of products of signed lanes.
    fn dot(&mut self, a: Value, b: Value) -> Value {
        let (a_low, b_low) = (self.widen(a, Widen::LowSigned), self.widen(b, Widen::LowSigned));
        let low = self.b.ins().imul(a_low, b_low);
        let (a_high, b_high) = (self.widen(a, Widen::HighSigned), self.widen(b, Widen::HighSigned));
        let high = self.b.ins().imul(a_high, b_high);
        self.b.ins().iadd_pairwise(low, high)
    }

    /// `pmin` and `pmax`: the first operand, unless the comparison holds.
    fn pseudo(&mut self, shape: Type, is_max: bool) -> Result {
        let (a, b) = self.pop_vectors(shape)?;
        let takes_b = if is_max {
            self.b.ins().fcmp(FloatCC::LessThan, a, b)
        } else {
            self.b.ins().fcmp(FloatCC::LessThan, b, a)
        };
        let mask = self.cast(takes_b, shape);
        let value = self.b.ins().bitselect(mask, b, a);
        self.push_vector(value)
    }

    /// The product is rounded before it is added.
    fn multiply_add(&mut self, shape: Type, negate: bool) -> Result {
        let c = self.pop_vector(shape)?;
        let (a, b) = self.pop_vectors(shape)?;
        let a = if negate { self.b.ins().fneg(a) } else { a };
        let product = self.b.ins().fmul(a, b);
        let value = self.b.ins().fadd(product, c);
        self.push_vector(value)
    }

    fn select_bits(&mut self) -> Result {
        let (a, b, mask) = self.pop3()?;
        let value = self.b.ins().bitselect(mask, a, b);
        self.push(value)
    }

    /// Truncates doubles into the low lanes; the others are zero.
    fn truncate_doubles(&mut self, is_signed: bool) -> Result {
        let vector = self.pop_vector(F64X2)?;
        let wide = if is_signed {
            self.b.ins().fcvt_to_sint_sat(I64X2, vector)
        } else {
            self.b.ins().fcvt_to_uint_sat(I64X2, vector)
        };
        let zero = self.b.func.dfg.constants.insert(vec![0; 16].into());
        let zero = self.b.ins().vconst(I64X2, zero);
        let value =
            if is_signed { self.b.ins().snarrow(wide, zero) } else { self.b.ins().uunarrow(wide, zero) };
        self.push_vector(value)
    }

    fn shuffle(&mut self, lanes: &[u8; 16]) -> Result {
        let (a, b) = self.pop_vectors(I8X16)?;
        let mask = self.b.func.dfg.immediates.push(lanes.to_vec().into());
        let value = self.b.ins().shuffle(a, b, mask);
        self.push(value)
    }

    fn load_widened(&mut self, argument: &MemArg, shape: Type, widen: Widen) -> Result {
        let cell = self.load(argument, types::I64)?;
        let vector = self.b.ins().scalar_to_vector(I64X2, cell);
        let vector = self.cast(vector, shape);
        let value = self.widen(vector, widen);
        self.push_vector(value)
    }

    fn load_splat(&mut self, argument: &MemArg, shape: Type) -> Result {
        let cell = self.load(argument, shape.lane_type())?;
        let value = self.b.ins().splat(shape, cell);
        self.push_vector(value)
    }

    fn load_zero(&mut self, argument: &MemArg, shape: Type) -> Result {
        let cell = self.load(argument, shape.lane_type())?;
        let value = self.b.ins().scalar_to_vector(shape, cell);
        self.push_vector(value)
    }

    fn load_lane(&mut self, argument: &MemArg, shape: Type, lane: u8) -> Result {
        let vector = self.pop_vector(shape)?;
        let Place { address, offset, flags } = self.access(argument, u64::from(shape.lane_type().bytes()))?;
        // A load of its own: one that is folded into the insertion would read more than the lane.
        let cell = self.b.ins().load(shape.lane_type(), flags, address, offset);
        let value = self.b.ins().insertlane(vector, cell, lane);
        self.push_vector(value)
    }

    fn store_lane(&mut self, argument: &MemArg, shape: Type, lane: u8) -> Result {
        let cell = self.extract_lane(shape, lane)?;
        self.store_to(argument, cell)
    }

    pub(super) fn simd(&mut self, operator: &Operator<'_>) -> Result<bool> {
        Ok(self.lanewise(operator)?
            || self.comparison(operator)?
            || self.lanes(operator)?
            || self.other(operator)?)
    }

    /// Instructions that are one of the compiler's.
    fn lanewise(&mut self, operator: &Operator<'_>) -> Result<bool> {
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

    fn comparison(&mut self, operator: &Operator<'_>) -> Result<bool> {
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

    /// Single lanes, and memory.
    fn lanes(&mut self, operator: &Operator<'_>) -> Result<bool> {
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
    fn other(&mut self, operator: &Operator<'_>) -> Result<bool> {
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
