//! What every numeric instruction computes: one function a row of the opcode table.
//!
//! Written once, for all tiers and for constant folding: a tier only gets there faster. Integers are the bits of a slot (`u32`,
//! `u64`); signedness belongs to the operation. Booleans are results of comparisons. Functions that can trap return the [`Trap`].
//!
//! Source: core specification 4.3 ("Numerics"). Where the specification allows any NaN, the host processor's is taken,
//! quieted, except for the sign-bit operations, which keep every payload bit.

use crate::trap::Trap;

macro_rules! integer {
    ($u:ident $i:ident: $eqz:ident $eq:ident $ne:ident $lt_s:ident $lt_u:ident $gt_s:ident $gt_u:ident $le_s:ident $le_u:ident
     $ge_s:ident $ge_u:ident $clz:ident $ctz:ident $popcnt:ident $add:ident $sub:ident $mul:ident $div_s:ident $div_u:ident
     $rem_s:ident $rem_u:ident $and:ident $or:ident $xor:ident $shl:ident $shr_s:ident $shr_u:ident $rotl:ident $rotr:ident) => {
        integer!(@test $u $eqz a: a == 0);
        integer!(@compare $u a b: $eq a == b, $ne a != b, $lt_u a < b, $gt_u a > b, $le_u a <= b, $ge_u a >= b);
        integer!(@compare $u a b: $lt_s (a as $i) < b as $i, $gt_s (a as $i) > b as $i, $le_s (a as $i) <= b as $i, $ge_s (a as $i) >= b as $i);
        integer!(@unary $u a: $clz a.leading_zeros(), $ctz a.trailing_zeros(), $popcnt a.count_ones());
        integer!(@binary $u a b: $add a.wrapping_add(b), $sub a.wrapping_sub(b), $mul a.wrapping_mul(b), $and a & b, $or a | b, $xor a ^ b);
        // Shift distances count modulo the width; the cast keeps the low bits, which is all that the modulus needs.
        integer!(@binary $u a b: $shl a.wrapping_shl(b as u32), $shr_u a.wrapping_shr(b as u32), $shr_s (a as $i).wrapping_shr(b as u32) as $u);
        integer!(@binary $u a b: $rotl a.rotate_left(b as u32 % $u::BITS), $rotr a.rotate_right(b as u32 % $u::BITS));

        /// Signed division, towards zero.
        #[inline(always)]
        pub fn $div_s(a: $u, b: $u) -> Result<$u, Trap> {
            if b == 0 {
                return Err(Trap::IntegerDivideByZero);
            }
            (a as $i).checked_div(b as $i).map(|quotient| quotient as $u).ok_or(Trap::IntegerOverflow)
        }

        /// Unsigned division.
        #[inline(always)]
        pub fn $div_u(a: $u, b: $u) -> Result<$u, Trap> {
            a.checked_div(b).ok_or(Trap::IntegerDivideByZero)
        }

        /// Remainder with the sign of the dividend.
        #[inline(always)]
        pub fn $rem_s(a: $u, b: $u) -> Result<$u, Trap> {
            if b == 0 {
                return Err(Trap::IntegerDivideByZero);
            }
            Ok((a as $i).wrapping_rem(b as $i) as $u)
        }

        /// Unsigned remainder.
        #[inline(always)]
        pub fn $rem_u(a: $u, b: $u) -> Result<$u, Trap> {
            a.checked_rem(b).ok_or(Trap::IntegerDivideByZero)
        }
    };
    (@test $u:ident $name:ident $a:ident: $value:expr) => {
        #[doc = concat!("`", stringify!($name), "`")]
        #[inline(always)]
        #[must_use]
        pub fn $name($a: $u) -> bool {
            $value
        }
    };
    (@compare $u:ident $a:ident $b:ident: $($name:ident $value:expr),*) => {$(
        #[doc = concat!("`", stringify!($name), "`")]
        #[inline(always)]
        #[must_use]
        pub fn $name($a: $u, $b: $u) -> bool {
            $value
        }
    )*};
    (@unary $u:ident $a:ident: $($name:ident $value:expr),*) => {$(
        #[doc = concat!("`", stringify!($name), "`")]
        #[inline(always)]
        #[must_use]
        pub fn $name($a: $u) -> $u {
            $u::from($value)
        }
    )*};
    (@binary $u:ident $a:ident $b:ident: $($name:ident $value:expr),*) => {$(
        #[doc = concat!("`", stringify!($name), "`")]
        #[inline(always)]
        #[must_use]
        pub fn $name($a: $u, $b: $u) -> $u {
            $value
        }
    )*};
}

integer!(u32 i32: i32_eqz i32_eq i32_ne i32_lt_s i32_lt_u i32_gt_s i32_gt_u i32_le_s i32_le_u i32_ge_s i32_ge_u i32_clz i32_ctz
    i32_popcnt i32_add i32_sub i32_mul i32_div_s i32_div_u i32_rem_s i32_rem_u i32_and i32_or i32_xor i32_shl i32_shr_s
    i32_shr_u i32_rotl i32_rotr);
integer!(u64 i64: i64_eqz i64_eq i64_ne i64_lt_s i64_lt_u i64_gt_s i64_gt_u i64_le_s i64_le_u i64_ge_s i64_ge_u i64_clz i64_ctz
    i64_popcnt i64_add i64_sub i64_mul i64_div_s i64_div_u i64_rem_s i64_rem_u i64_and i64_or i64_xor i64_shl i64_shr_s
    i64_shr_u i64_rotl i64_rotr);

macro_rules! float {
    ($f:ident $quiet_bit:literal: $eq:ident $ne:ident $lt:ident $gt:ident $le:ident $ge:ident $abs:ident $neg:ident $ceil:ident $floor:ident
     $trunc:ident $nearest:ident $sqrt:ident $add:ident $sub:ident $mul:ident $div:ident $min:ident $max:ident $copysign:ident) => {
        integer!(@compare $f a b: $eq a == b, $ne a != b, $lt a < b, $gt a > b, $le a <= b, $ge a >= b);
        integer!(@binary $f a b: $add a + b, $sub a - b, $mul a * b, $div a / b, $copysign a.copysign(b));
        integer!(@unary $f a: $abs a.abs(), $neg -a, $sqrt a.sqrt());
        integer!(@unary $f a: $ceil quiet_or!($f a $quiet_bit, a.ceil()), $floor quiet_or!($f a $quiet_bit, a.floor()));
        integer!(@unary $f a: $trunc quiet_or!($f a $quiet_bit, a.trunc()), $nearest quiet_or!($f a $quiet_bit, a.round_ties_even()));

        /// The lesser operand; NaN if either is, and -0 is less than +0.
        #[inline(always)]
        #[must_use]
        pub fn $min(a: $f, b: $f) -> $f {
            // Choices without side effects, not branches, so that vectors of it become vector instructions.
            let least = if a < b { a } else { b };
            let ordered = if a == b { $f::from_bits(a.to_bits() | b.to_bits()) } else { least };
            if a.is_nan() || b.is_nan() { a + b } else { ordered }
        }

        /// The greater operand; NaN if either is, and +0 is greater than -0.
        #[inline(always)]
        #[must_use]
        pub fn $max(a: $f, b: $f) -> $f {
            let greatest = if a > b { a } else { b };
            let ordered = if a == b { $f::from_bits(a.to_bits() & b.to_bits()) } else { greatest };
            if a.is_nan() || b.is_nan() { a + b } else { ordered }
        }
    };
}

/// The value, unless `$a` is NaN: then that NaN, quieted. Library roundings may return a signalling NaN as it came.
macro_rules! quiet_or {
    ($f:ident $a:ident $quiet_bit:literal, $value:expr) => {
        if $a.is_nan() { $f::from_bits($a.to_bits() | $quiet_bit) } else { $value }
    };
}

float!(f32 0x0040_0000: f32_eq f32_ne f32_lt f32_gt f32_le f32_ge f32_abs f32_neg f32_ceil f32_floor f32_trunc f32_nearest f32_sqrt f32_add
    f32_sub f32_mul f32_div f32_min f32_max f32_copysign);
float!(f64 0x0008_0000_0000_0000: f64_eq f64_ne f64_lt f64_gt f64_le f64_ge f64_abs f64_neg f64_ceil f64_floor f64_trunc f64_nearest f64_sqrt
    f64_add f64_sub f64_mul f64_div f64_min f64_max f64_copysign);

macro_rules! convert {
    ($($name:ident($a:ident: $from:ty) -> $to:ty = $value:expr;)*) => {$(
        #[doc = concat!("`", stringify!($name), "`")]
        #[inline(always)]
        #[must_use]
        pub fn $name($a: $from) -> $to {
            $value
        }
    )*};
}

// Rust's float-to-integer `as` saturates and turns NaN into 0, which is what `trunc_sat` asks for.
convert! {
    i32_wrap_i64(a: u64) -> u32 = a as u32;
    i64_extend_i32_s(a: u32) -> u64 = a as i32 as u64;
    i64_extend_i32_u(a: u32) -> u64 = u64::from(a);
    f32_convert_i32_s(a: u32) -> f32 = a as i32 as f32;
    f32_convert_i32_u(a: u32) -> f32 = a as f32;
    f32_convert_i64_s(a: u64) -> f32 = a as i64 as f32;
    f32_convert_i64_u(a: u64) -> f32 = a as f32;
    f32_demote_f64(a: f64) -> f32 = a as f32;
    f64_convert_i32_s(a: u32) -> f64 = f64::from(a as i32);
    f64_convert_i32_u(a: u32) -> f64 = f64::from(a);
    f64_convert_i64_s(a: u64) -> f64 = a as i64 as f64;
    f64_convert_i64_u(a: u64) -> f64 = a as f64;
    f64_promote_f32(a: f32) -> f64 = f64::from(a);
    i32_reinterpret_f32(a: f32) -> u32 = a.to_bits();
    i64_reinterpret_f64(a: f64) -> u64 = a.to_bits();
    f32_reinterpret_i32(a: u32) -> f32 = f32::from_bits(a);
    f64_reinterpret_i64(a: u64) -> f64 = f64::from_bits(a);
    i32_extend8_s(a: u32) -> u32 = a as i8 as u32;
    i32_extend16_s(a: u32) -> u32 = a as i16 as u32;
    i64_extend8_s(a: u64) -> u64 = a as i8 as u64;
    i64_extend16_s(a: u64) -> u64 = a as i16 as u64;
    i64_extend32_s(a: u64) -> u64 = a as i32 as u64;
    i32_trunc_sat_f32_s(a: f32) -> u32 = a as i32 as u32;
    i32_trunc_sat_f32_u(a: f32) -> u32 = a as u32;
    i32_trunc_sat_f64_s(a: f64) -> u32 = a as i32 as u32;
    i32_trunc_sat_f64_u(a: f64) -> u32 = a as u32;
    i64_trunc_sat_f32_s(a: f32) -> u64 = a as i64 as u64;
    i64_trunc_sat_f32_u(a: f32) -> u64 = a as u64;
    i64_trunc_sat_f64_s(a: f64) -> u64 = a as i64 as u64;
    i64_trunc_sat_f64_u(a: f64) -> u64 = a as u64;
}

macro_rules! truncate {
    ($($name:ident($from:ident) -> $to:ident as $bits:ident: $low:literal < a < $high:literal;)*) => {$(
        #[doc = concat!("`", stringify!($name), "`: towards zero; traps on NaN and outside the integer's range.")]
        #[inline(always)]
        pub fn $name(a: $from) -> Result<$bits, Trap> {
            if a.is_nan() {
                return Err(Trap::InvalidConversionToInteger);
            }
            // The bounds are exact in the float's type: the first values whose truncation is out of range.
            if a > $low && a < $high { Ok(a as $to as $bits) } else { Err(Trap::IntegerOverflow) }
        }
    )*};
}

truncate! {
    i32_trunc_f64_s(f64) -> i32 as u32: -2147483649.0 < a < 2147483648.0;
    i32_trunc_f64_u(f64) -> u32 as u32: -1.0 < a < 4294967296.0;
    i32_trunc_f32_u(f32) -> u32 as u32: -1.0 < a < 4294967296.0;
    i64_trunc_f32_u(f32) -> u64 as u64: -1.0 < a < 18446744073709551616.0;
    i64_trunc_f64_u(f64) -> u64 as u64: -1.0 < a < 18446744073709551616.0;
    // No float lies between the lowest integer and the one below it, so the bound is the next float down.
    i32_trunc_f32_s(f32) -> i32 as u32: -2147483904.0 < a < 2147483648.0;
    i64_trunc_f32_s(f32) -> i64 as u64: -9223373136366403584.0 < a < 9223372036854775808.0;
    i64_trunc_f64_s(f64) -> i64 as u64: -9223372036854777856.0 < a < 9223372036854775808.0;
}

/// 128-bit addition, modulo 2^128.
#[inline(always)]
#[must_use]
pub fn i64_add128(a: u128, b: u128) -> u128 {
    a.wrapping_add(b)
}

/// 128-bit subtraction, modulo 2^128.
#[inline(always)]
#[must_use]
pub fn i64_sub128(a: u128, b: u128) -> u128 {
    a.wrapping_sub(b)
}

/// The whole product of two signed numbers.
#[inline(always)]
#[must_use]
pub fn i64_mul_wide_s(a: u64, b: u64) -> u128 {
    (i128::from(a.cast_signed()) * i128::from(b.cast_signed())).cast_unsigned()
}

/// The whole product of two unsigned numbers.
#[inline(always)]
#[must_use]
pub fn i64_mul_wide_u(a: u64, b: u64) -> u128 {
    u128::from(a) * u128::from(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn truncation_bounds_are_the_first_floats_out_of_range() {
        assert_eq!(i32_trunc_f32_s(-2147483648.0), Ok(0x8000_0000));
        assert_eq!(i32_trunc_f32_s((-2147483648.0f32).next_down()), Err(Trap::IntegerOverflow));
        assert_eq!(i64_trunc_f64_s(-9223372036854775808.0), Ok(1 << 63));
        assert_eq!(i64_trunc_f64_s((-9223372036854775808.0f64).next_down()), Err(Trap::IntegerOverflow));
        assert_eq!(i64_trunc_f32_s((-9223372036854775808.0f32).next_down()), Err(Trap::IntegerOverflow));
        assert_eq!(i32_trunc_f64_s(-2147483648.9), Ok(0x8000_0000));
        assert_eq!(i32_trunc_f64_u(-0.9), Ok(0));
        assert_eq!(i32_trunc_f64_u(f64::NAN), Err(Trap::InvalidConversionToInteger));
    }

    #[test]
    fn min_and_max_order_zeros_and_keep_nan() {
        assert_eq!(f32_min(0.0, -0.0).to_bits(), (-0.0f32).to_bits());
        assert_eq!(f32_max(-0.0, 0.0).to_bits(), 0.0f32.to_bits());
        assert!(f64_min(f64::NAN, 1.0).is_nan() && f64_max(1.0, f64::NAN).is_nan());
    }

    #[test]
    fn signed_division_edge_cases() {
        assert_eq!(i32_div_s(0x8000_0000, u32::MAX), Err(Trap::IntegerOverflow));
        assert_eq!(i32_rem_s(0x8000_0000, u32::MAX), Ok(0));
        assert_eq!(i64_div_s(7, 0), Err(Trap::IntegerDivideByZero));
    }
}
