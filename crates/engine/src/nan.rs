//! Canonical NaNs: which instructions may make one, and what takes its place where the configuration asks for the same bits everywhere.
//!
//! Source: core specification 4.3.3 ("NaN Propagation"); its deterministic profile, in which NaNs that instructions make are the positive
//! canonical one.

use wasmparser::Operator;

/// Which bits the NaNs have that instructions make. Those that are loaded, reinterpreted or passed in keep theirs in either case, as does what
/// only moves them or changes the sign.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NanBits {
    /// What the processor gives, as the standard allows: it may differ between processors and between tiers.
    #[default]
    AsComputed,
    /// The positive canonical NaN, as in the standard's deterministic profile.
    Canonical,
}

/// The shape of a result that may be a NaN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FloatResult {
    /// One `f32`.
    F32,
    /// One `f64`.
    F64,
    /// Four `f32`s.
    F32x4,
    /// Two `f64`s.
    F64x2,
}

impl FloatResult {
    /// The shape of the result, if an instruction may make NaNs whose bits the standard leaves open.
    #[must_use]
    pub fn of(operator: &Operator<'_>) -> Option<FloatResult> {
        use Operator as O;
        Some(match operator {
            O::F32Ceil
            | O::F32Floor
            | O::F32Trunc
            | O::F32Nearest
            | O::F32Sqrt
            | O::F32Add
            | O::F32Sub
            | O::F32Mul
            | O::F32Div
            | O::F32Min
            | O::F32Max
            | O::F32DemoteF64 => FloatResult::F32,
            O::F64Ceil
            | O::F64Floor
            | O::F64Trunc
            | O::F64Nearest
            | O::F64Sqrt
            | O::F64Add
            | O::F64Sub
            | O::F64Mul
            | O::F64Div
            | O::F64Min
            | O::F64Max
            | O::F64PromoteF32 => FloatResult::F64,
            O::F32x4Ceil
            | O::F32x4Floor
            | O::F32x4Trunc
            | O::F32x4Nearest
            | O::F32x4Sqrt
            | O::F32x4Add
            | O::F32x4Sub
            | O::F32x4Mul
            | O::F32x4Div
            | O::F32x4Min
            | O::F32x4Max
            | O::F32x4RelaxedMin
            | O::F32x4RelaxedMax
            | O::F32x4RelaxedMadd
            | O::F32x4RelaxedNmadd
            | O::F32x4DemoteF64x2Zero => FloatResult::F32x4,
            O::F64x2Ceil
            | O::F64x2Floor
            | O::F64x2Trunc
            | O::F64x2Nearest
            | O::F64x2Sqrt
            | O::F64x2Add
            | O::F64x2Sub
            | O::F64x2Mul
            | O::F64x2Div
            | O::F64x2Min
            | O::F64x2Max
            | O::F64x2RelaxedMin
            | O::F64x2RelaxedMax
            | O::F64x2RelaxedMadd
            | O::F64x2RelaxedNmadd
            | O::F64x2PromoteLowF32x4 => FloatResult::F64x2,
            _ => return None,
        })
    }
}

/// The value, or the canonical NaN in place of any NaN.
#[inline(always)]
#[must_use]
pub fn canonical_f32(value: f32) -> f32 {
    if value.is_nan() { f32::from_bits(0x7FC0_0000) } else { value }
}

/// As [`canonical_f32`].
#[inline(always)]
#[must_use]
pub fn canonical_f64(value: f64) -> f64 {
    if value.is_nan() { f64::from_bits(0x7FF8_0000_0000_0000) } else { value }
}

#[cfg(test)]
mod tests {
    use super::{canonical_f32, canonical_f64};

    #[test]
    fn only_nans_are_changed() {
        for bits in [0, 0x8000_0000, 0x7F80_0000, 0xFF80_0000, 0x3F80_0000] {
            assert_eq!(canonical_f32(f32::from_bits(bits)).to_bits(), bits);
        }
        for bits in [0x7F80_0001, 0x7FC0_0001, 0xFFC0_0000, 0xFFFF_FFFF] {
            assert_eq!(canonical_f32(f32::from_bits(bits)).to_bits(), 0x7FC0_0000);
        }
        assert_eq!(canonical_f64(-f64::NAN).to_bits(), 0x7FF8 << 48);
        assert_eq!(canonical_f64(-0.0).to_bits(), 1 << 63);
    }
}
