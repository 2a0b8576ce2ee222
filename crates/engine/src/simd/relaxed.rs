//! Relaxed instructions: those whose results the specification leaves to the host within bounds.
//!
//! They give the results of the deterministic profile, which are those of the instruction that is not relaxed: products and sums are
//! rounded separately, selection is by bits, and numbers out of range saturate. A guest computes the same everywhere, and no tier
//! can differ from another.
//!
//! Source: core specification 4.3 ("Numerics", "Relaxed Operations") and appendix, "Profiles".

use super::{V128, across, lanewise};
use crate::simd::{
    f32x4_max, f32x4_min, f64x2_max, f64x2_min, i8x16_swizzle, i16x8_q15mulr_sat_s, i32x4_add,
    i32x4_extadd_pairwise_i16x8_s, i32x4_trunc_sat_f32x4_s, i32x4_trunc_sat_f32x4_u,
    i32x4_trunc_sat_f64x2_s_zero, i32x4_trunc_sat_f64x2_u_zero, v128_bitselect,
};

macro_rules! same_as {
    ($($name:ident($($arg:ident),+) = $strict:ident;)*) => {$(
        #[doc = concat!("`", stringify!($name), "`: as [`", stringify!($strict), "`].")]
        #[inline(always)]
        #[must_use]
        pub fn $name($($arg: V128),+) -> V128 {
            $strict($($arg),+)
        }
    )*};
}

same_as! {
    i8x16_relaxed_swizzle(a, lanes) = i8x16_swizzle;
    i32x4_relaxed_trunc_f32x4_s(a) = i32x4_trunc_sat_f32x4_s;
    i32x4_relaxed_trunc_f32x4_u(a) = i32x4_trunc_sat_f32x4_u;
    i32x4_relaxed_trunc_f64x2_s_zero(a) = i32x4_trunc_sat_f64x2_s_zero;
    i32x4_relaxed_trunc_f64x2_u_zero(a) = i32x4_trunc_sat_f64x2_u_zero;
    i8x16_relaxed_laneselect(a, b, mask) = v128_bitselect;
    i16x8_relaxed_laneselect(a, b, mask) = v128_bitselect;
    i32x4_relaxed_laneselect(a, b, mask) = v128_bitselect;
    i64x2_relaxed_laneselect(a, b, mask) = v128_bitselect;
    f32x4_relaxed_min(a, b) = f32x4_min;
    f32x4_relaxed_max(a, b) = f32x4_max;
    f64x2_relaxed_min(a, b) = f64x2_min;
    f64x2_relaxed_max(a, b) = f64x2_max;
    i16x8_relaxed_q15mulr_s(a, b) = i16x8_q15mulr_sat_s;
}

lanewise! {
    [f32; 4] -> [f32; 4] {
        f32x4_relaxed_madd(a, b, c) = a * b + c;
        f32x4_relaxed_nmadd(a, b, c) = -a * b + c;
    }
    [f64; 2] -> [f64; 2] {
        f64x2_relaxed_madd(a, b, c) = a * b + c;
        f64x2_relaxed_nmadd(a, b, c) = -a * b + c;
    }
}

across! {
    // Both operands count as signed. Only the sum of two products of the lowest number with itself does not fit, and wraps.
    i16x8_relaxed_dot_i8x16_i7x16_s(a: [i8; 16], b: [i8; 16]) -> [i16; 8] = |i| {
        let product = |i: usize| i16::from(a[i]) * i16::from(b[i]);
        product(2 * i).wrapping_add(product(2 * i + 1))
    };
}

/// `i32x4_relaxed_dot_i8x16_i7x16_add_s`: the dot product's lanes added in pairs, and to those of `c`.
#[inline(always)]
#[must_use]
pub fn i32x4_relaxed_dot_i8x16_i7x16_add_s(a: V128, b: V128, c: V128) -> V128 {
    i32x4_add(i32x4_extadd_pairwise_i16x8_s(i16x8_relaxed_dot_i8x16_i7x16_s(a, b)), c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_rounded_before_they_are_added() {
        // (1 + e)(1 - e) - 1 is -e² fused, and 0 with the product rounded.
        let (a, b) = (1.0 + f32::EPSILON, 1.0 - f32::EPSILON);
        let madd = f32x4_relaxed_madd(
            V128::from_lanes([a; 4]),
            V128::from_lanes([b; 4]),
            V128::from_lanes([-1.0f32; 4]),
        );
        assert_eq!(madd, V128::from_lanes([0.0f32; 4]));
    }

    #[test]
    fn dot_products_wrap_where_the_sum_does_not_fit() {
        let lowest = V128::from_lanes([i8::MIN; 16]);
        assert_eq!(i16x8_relaxed_dot_i8x16_i7x16_s(lowest, lowest), V128::from_lanes([i16::MIN; 8]));
    }
}
