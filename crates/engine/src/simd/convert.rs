//! Conversions between integer and floating-point vectors.

use super::{across, lanewise};

// Rust's float-to-integer `as` saturates and turns NaN into 0, which is what `trunc_sat` asks for.
lanewise! {
    [f32; 4] -> [i32; 4] {
        i32x4_trunc_sat_f32x4_s(a) = a as i32;
    }
    [f32; 4] -> [u32; 4] {
        i32x4_trunc_sat_f32x4_u(a) = a as u32;
    }
    [i32; 4] -> [f32; 4] {
        f32x4_convert_i32x4_s(a) = a as f32;
    }
    [u32; 4] -> [f32; 4] {
        f32x4_convert_i32x4_u(a) = a as f32;
    }
}

across! {
    i32x4_trunc_sat_f64x2_s_zero(a: [f64; 2]) -> [i32; 4] = |i| if i < 2 { a[i] as i32 } else { 0 };
    i32x4_trunc_sat_f64x2_u_zero(a: [f64; 2]) -> [u32; 4] = |i| if i < 2 { a[i] as u32 } else { 0 };
    f64x2_convert_low_i32x4_s(a: [i32; 4]) -> [f64; 2] = |i| f64::from(a[i]);
    f64x2_convert_low_i32x4_u(a: [u32; 4]) -> [f64; 2] = |i| f64::from(a[i]);
    f32x4_demote_f64x2_zero(a: [f64; 2]) -> [f32; 4] = |i| if i < 2 { a[i] as f32 } else { 0.0 };
    f64x2_promote_low_f32x4(a: [f32; 4]) -> [f64; 2] = |i| f64::from(a[i]);
}
