//! Floating-point vectors.
//!
//! Each lane is what the scalar instruction of [`crate::numeric`] gives.

use super::lanewise;
use crate::{nan, numeric};

lanewise! {
    [f32; 4] -> [u32; 4] {
        f32x4_eq(a, b) = if a == b { !0 } else { 0 };
        f32x4_ne(a, b) = if a != b { !0 } else { 0 };
        f32x4_lt(a, b) = if a < b { !0 } else { 0 };
        f32x4_gt(a, b) = if a > b { !0 } else { 0 };
        f32x4_le(a, b) = if a <= b { !0 } else { 0 };
        f32x4_ge(a, b) = if a >= b { !0 } else { 0 };
    }
    [f32; 4] -> [f32; 4] {
        f32x4_add(a, b) = numeric::f32_add(a, b);
        f32x4_sub(a, b) = numeric::f32_sub(a, b);
        f32x4_mul(a, b) = numeric::f32_mul(a, b);
        f32x4_div(a, b) = numeric::f32_div(a, b);
        f32x4_min(a, b) = numeric::f32_min(a, b);
        f32x4_max(a, b) = numeric::f32_max(a, b);
        f32x4_pmin(a, b) = if b < a { b } else { a };
        f32x4_pmax(a, b) = if a < b { b } else { a };
        f32x4_abs(a) = numeric::f32_abs(a);
        f32x4_neg(a) = numeric::f32_neg(a);
        f32x4_sqrt(a) = numeric::f32_sqrt(a);
        f32x4_ceil(a) = numeric::f32_ceil(a);
        f32x4_floor(a) = numeric::f32_floor(a);
        f32x4_trunc(a) = numeric::f32_trunc(a);
        f32x4_nearest(a) = numeric::f32_nearest(a);
        canonical_f32x4(a) = nan::canonical_f32(a);
    }
    [f64; 2] -> [u64; 2] {
        f64x2_eq(a, b) = if a == b { !0 } else { 0 };
        f64x2_ne(a, b) = if a != b { !0 } else { 0 };
        f64x2_lt(a, b) = if a < b { !0 } else { 0 };
        f64x2_gt(a, b) = if a > b { !0 } else { 0 };
        f64x2_le(a, b) = if a <= b { !0 } else { 0 };
        f64x2_ge(a, b) = if a >= b { !0 } else { 0 };
    }
    [f64; 2] -> [f64; 2] {
        f64x2_add(a, b) = numeric::f64_add(a, b);
        f64x2_sub(a, b) = numeric::f64_sub(a, b);
        f64x2_mul(a, b) = numeric::f64_mul(a, b);
        f64x2_div(a, b) = numeric::f64_div(a, b);
        f64x2_min(a, b) = numeric::f64_min(a, b);
        f64x2_max(a, b) = numeric::f64_max(a, b);
        f64x2_pmin(a, b) = if b < a { b } else { a };
        f64x2_pmax(a, b) = if a < b { b } else { a };
        f64x2_abs(a) = numeric::f64_abs(a);
        f64x2_neg(a) = numeric::f64_neg(a);
        f64x2_sqrt(a) = numeric::f64_sqrt(a);
        f64x2_ceil(a) = numeric::f64_ceil(a);
        f64x2_floor(a) = numeric::f64_floor(a);
        f64x2_trunc(a) = numeric::f64_trunc(a);
        f64x2_nearest(a) = numeric::f64_nearest(a);
        canonical_f64x2(a) = nan::canonical_f64(a);
    }
}
