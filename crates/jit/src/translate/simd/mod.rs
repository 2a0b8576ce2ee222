//! Vectors.
//!
//! On the operand stack every vector is `i8x16`; an instruction casts its operands to the shape that it works on. Relaxed instructions give the
//! results of the deterministic profile, as everywhere in this engine.

mod expanded;
mod lanewise;

use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::types::{F64X2, I8X16, I64X2};
use cranelift_codegen::ir::{Endianness, InstBuilder, MemFlagsData, Type, Value, types};
use wasmparser::MemArg;

use crate::translate::memory::AccessTarget;
use crate::translate::{Result, Translator};

/// Lanes are little-endian, whatever the shape.
pub(in crate::translate) fn cast_flags() -> MemFlagsData {
    MemFlagsData::new().with_endianness(Endianness::Little)
}

/// How the halves of a vector are widened.
#[derive(Clone, Copy)]
pub(super) enum Widen {
    LowSigned,
    LowUnsigned,
    HighSigned,
    HighUnsigned,
}

impl Translator<'_, '_> {
    pub(in crate::translate) fn cast(&mut self, value: Value, shape: Type) -> Value {
        if self.b.func.dfg.value_type(value) == shape {
            return value;
        }
        self.b.ins().bitcast(shape, cast_flags(), value)
    }

    pub(super) fn pop_vector(&mut self, shape: Type) -> Result<Value> {
        let value = self.pop()?;
        Ok(self.cast(value, shape))
    }

    pub(super) fn pop_vectors(&mut self, shape: Type) -> Result<(Value, Value)> {
        let b = self.pop_vector(shape)?;
        Ok((self.pop_vector(shape)?, b))
    }

    pub(super) fn push_vector(&mut self, value: Value) -> Result {
        let value = self.cast(value, I8X16);
        self.push(value)
    }

    pub(super) fn compare_lanes(&mut self, shape: Type, cc: IntCC) -> Result {
        let (a, b) = self.pop_vectors(shape)?;
        let value = self.b.ins().icmp(cc, a, b);
        self.push_vector(value)
    }

    pub(super) fn compare_float_lanes(&mut self, shape: Type, cc: FloatCC) -> Result {
        let (a, b) = self.pop_vectors(shape)?;
        let value = self.b.ins().fcmp(cc, a, b);
        self.push_vector(value)
    }

    pub(super) fn splat(&mut self, shape: Type) -> Result {
        let value = self.pop()?;
        let lane = shape.lane_type();
        let is_cut = lane.bits() < 32;
        let value = if is_cut { self.b.ins().ireduce(lane, value) } else { value };
        let value = self.b.ins().splat(shape, value);
        self.push_vector(value)
    }

    pub(super) fn replace_lane(&mut self, shape: Type, lane: u8) -> Result {
        let value = self.pop()?;
        let vector = self.pop_vector(shape)?;
        let is_cut = shape.lane_type().bits() < 32;
        let value = if is_cut { self.b.ins().ireduce(shape.lane_type(), value) } else { value };
        let value = self.b.ins().insertlane(vector, value, lane);
        self.push_vector(value)
    }

    pub(super) fn extract_lane(&mut self, shape: Type, lane: u8) -> Result<Value> {
        let vector = self.pop_vector(shape)?;
        Ok(self.b.ins().extractlane(vector, lane))
    }

    /// Shifts count modulo the width of a lane.
    pub(super) fn shift(
        &mut self,
        shape: Type,
        operation: impl FnOnce(&mut Self, Value, Value) -> Value,
    ) -> Result {
        let by = self.pop()?;
        let vector = self.pop_vector(shape)?;
        let value = operation(self, vector, by);
        self.push_vector(value)
    }

    pub(super) fn all_true(&mut self, shape: Type) -> Result {
        let vector = self.pop_vector(shape)?;
        let holds = self.b.ins().vall_true(vector);
        self.push_bool(holds)
    }

    pub(super) fn bitmask(&mut self, shape: Type) -> Result {
        let vector = self.pop_vector(shape)?;
        let value = self.b.ins().vhigh_bits(types::I32, vector);
        self.push(value)
    }

    pub(super) fn widen(&mut self, value: Value, widen: Widen) -> Value {
        match widen {
            Widen::LowSigned => self.b.ins().swiden_low(value),
            Widen::LowUnsigned => self.b.ins().uwiden_low(value),
            Widen::HighSigned => self.b.ins().swiden_high(value),
            Widen::HighUnsigned => self.b.ins().uwiden_high(value),
        }
    }

    pub(super) fn extended_product(&mut self, shape: Type, widen: Widen) -> Result {
        let (a, b) = self.pop_vectors(shape)?;
        let (a, b) = (self.widen(a, widen), self.widen(b, widen));
        let value = self.b.ins().imul(a, b);
        self.push_vector(value)
    }

    pub(super) fn pairwise_sum(&mut self, shape: Type, low: Widen, high: Widen) -> Result {
        let vector = self.pop_vector(shape)?;
        let (low, high) = (self.widen(vector, low), self.widen(vector, high));
        let value = self.b.ins().iadd_pairwise(low, high);
        self.push_vector(value)
    }

    /// The sums of pairs of products of signed lanes.
    pub(super) fn dot(&mut self, a: Value, b: Value) -> Value {
        let (a_low, b_low) = (self.widen(a, Widen::LowSigned), self.widen(b, Widen::LowSigned));
        let low = self.b.ins().imul(a_low, b_low);
        let (a_high, b_high) = (self.widen(a, Widen::HighSigned), self.widen(b, Widen::HighSigned));
        let high = self.b.ins().imul(a_high, b_high);
        self.b.ins().iadd_pairwise(low, high)
    }

    /// `pmin` and `pmax`: the first operand, unless the comparison holds.
    pub(super) fn pseudo(&mut self, shape: Type, is_max: bool) -> Result {
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
    pub(super) fn multiply_add(&mut self, shape: Type, negate: bool) -> Result {
        let c = self.pop_vector(shape)?;
        let (a, b) = self.pop_vectors(shape)?;
        let a = if negate { self.b.ins().fneg(a) } else { a };
        let product = self.b.ins().fmul(a, b);
        let value = self.b.ins().fadd(product, c);
        self.push_vector(value)
    }

    pub(super) fn select_bits(&mut self) -> Result {
        let (a, b, mask) = self.pop3()?;
        let value = self.b.ins().bitselect(mask, a, b);
        self.push(value)
    }

    /// Truncates doubles into the low lanes; the others are zero.
    pub(super) fn truncate_doubles(&mut self, is_signed: bool) -> Result {
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

    pub(super) fn shuffle(&mut self, lanes: &[u8; 16]) -> Result {
        let (a, b) = self.pop_vectors(I8X16)?;
        let mask = self.b.func.dfg.immediates.push(lanes.to_vec().into());
        let value = self.b.ins().shuffle(a, b, mask);
        self.push(value)
    }

    pub(super) fn load_widened(&mut self, argument: &MemArg, shape: Type, widen: Widen) -> Result {
        let cell = self.load(argument, types::I64)?;
        let vector = self.b.ins().scalar_to_vector(I64X2, cell);
        let vector = self.cast(vector, shape);
        let value = self.widen(vector, widen);
        self.push_vector(value)
    }

    pub(super) fn load_splat(&mut self, argument: &MemArg, shape: Type) -> Result {
        let cell = self.load(argument, shape.lane_type())?;
        let value = self.b.ins().splat(shape, cell);
        self.push_vector(value)
    }

    pub(super) fn load_zero(&mut self, argument: &MemArg, shape: Type) -> Result {
        let cell = self.load(argument, shape.lane_type())?;
        let value = self.b.ins().scalar_to_vector(shape, cell);
        self.push_vector(value)
    }

    pub(super) fn load_lane(&mut self, argument: &MemArg, shape: Type, lane: u8) -> Result {
        let vector = self.pop_vector(shape)?;
        let bytes = u64::from(shape.lane_type().bytes());
        self.note_load(argument, bytes)?;
        let AccessTarget { address, offset, flags } = self.access(argument, bytes)?;
        // A load of its own: one that is folded into the insertion would read more than the lane.
        let cell = self.b.ins().load(shape.lane_type(), flags, address, offset);
        let value = self.b.ins().insertlane(vector, cell, lane);
        self.push_vector(value)
    }

    pub(super) fn store_lane(&mut self, argument: &MemArg, shape: Type, lane: u8) -> Result {
        let cell = self.extract_lane(shape, lane)?;
        self.store_to(argument, cell)
    }
}
