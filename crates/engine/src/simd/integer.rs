//! Integer vectors.

use super::{V128, across, each, lanewise};

lanewise! {
    [u8; 16] -> [u8; 16] {
        i8x16_add(a, b) = a.wrapping_add(b);
        i8x16_sub(a, b) = a.wrapping_sub(b);
        i8x16_add_sat_u(a, b) = a.saturating_add(b);
        i8x16_sub_sat_u(a, b) = a.saturating_sub(b);
        i8x16_avgr_u(a, b) = ((u16::from(a) + u16::from(b) + 1) >> 1) as u8;
        i8x16_min_u(a, b) = a.min(b);
        i8x16_max_u(a, b) = a.max(b);
        i8x16_popcnt(a) = a.count_ones() as u8;
        i8x16_eq(a, b) = if a == b { !0 } else { 0 };
        i8x16_ne(a, b) = if a != b { !0 } else { 0 };
        i8x16_lt_u(a, b) = if a < b { !0 } else { 0 };
        i8x16_gt_u(a, b) = if a > b { !0 } else { 0 };
        i8x16_le_u(a, b) = if a <= b { !0 } else { 0 };
        i8x16_ge_u(a, b) = if a >= b { !0 } else { 0 };
    }
    [i8; 16] -> [i8; 16] {
        i8x16_abs(a) = a.wrapping_abs();
        i8x16_neg(a) = a.wrapping_neg();
        i8x16_add_sat_s(a, b) = a.saturating_add(b);
        i8x16_sub_sat_s(a, b) = a.saturating_sub(b);
        i8x16_min_s(a, b) = a.min(b);
        i8x16_max_s(a, b) = a.max(b);
        i8x16_lt_s(a, b) = if a < b { !0 } else { 0 };
        i8x16_gt_s(a, b) = if a > b { !0 } else { 0 };
        i8x16_le_s(a, b) = if a <= b { !0 } else { 0 };
        i8x16_ge_s(a, b) = if a >= b { !0 } else { 0 };
    }
    [u16; 8] -> [u16; 8] {
        i16x8_add(a, b) = a.wrapping_add(b);
        i16x8_sub(a, b) = a.wrapping_sub(b);
        i16x8_mul(a, b) = a.wrapping_mul(b);
        i16x8_add_sat_u(a, b) = a.saturating_add(b);
        i16x8_sub_sat_u(a, b) = a.saturating_sub(b);
        i16x8_avgr_u(a, b) = ((u32::from(a) + u32::from(b) + 1) >> 1) as u16;
        i16x8_min_u(a, b) = a.min(b);
        i16x8_max_u(a, b) = a.max(b);
        i16x8_eq(a, b) = if a == b { !0 } else { 0 };
        i16x8_ne(a, b) = if a != b { !0 } else { 0 };
        i16x8_lt_u(a, b) = if a < b { !0 } else { 0 };
        i16x8_gt_u(a, b) = if a > b { !0 } else { 0 };
        i16x8_le_u(a, b) = if a <= b { !0 } else { 0 };
        i16x8_ge_u(a, b) = if a >= b { !0 } else { 0 };
    }
    [i16; 8] -> [i16; 8] {
        i16x8_abs(a) = a.wrapping_abs();
        i16x8_neg(a) = a.wrapping_neg();
        i16x8_add_sat_s(a, b) = a.saturating_add(b);
        i16x8_sub_sat_s(a, b) = a.saturating_sub(b);
        i16x8_min_s(a, b) = a.min(b);
        i16x8_max_s(a, b) = a.max(b);
        // One product overflows: that of the lowest number with itself.
        i16x8_q15mulr_sat_s(a, b) = ((i32::from(a) * i32::from(b) + 0x4000) >> 15).min(0x7FFF) as i16;
        i16x8_lt_s(a, b) = if a < b { !0 } else { 0 };
        i16x8_gt_s(a, b) = if a > b { !0 } else { 0 };
        i16x8_le_s(a, b) = if a <= b { !0 } else { 0 };
        i16x8_ge_s(a, b) = if a >= b { !0 } else { 0 };
    }
    [u32; 4] -> [u32; 4] {
        i32x4_add(a, b) = a.wrapping_add(b);
        i32x4_sub(a, b) = a.wrapping_sub(b);
        i32x4_mul(a, b) = a.wrapping_mul(b);
        i32x4_min_u(a, b) = a.min(b);
        i32x4_max_u(a, b) = a.max(b);
        i32x4_eq(a, b) = if a == b { !0 } else { 0 };
        i32x4_ne(a, b) = if a != b { !0 } else { 0 };
        i32x4_lt_u(a, b) = if a < b { !0 } else { 0 };
        i32x4_gt_u(a, b) = if a > b { !0 } else { 0 };
        i32x4_le_u(a, b) = if a <= b { !0 } else { 0 };
        i32x4_ge_u(a, b) = if a >= b { !0 } else { 0 };
    }
    [i32; 4] -> [i32; 4] {
        i32x4_abs(a) = a.wrapping_abs();
        i32x4_neg(a) = a.wrapping_neg();
        i32x4_min_s(a, b) = a.min(b);
        i32x4_max_s(a, b) = a.max(b);
        i32x4_lt_s(a, b) = if a < b { !0 } else { 0 };
        i32x4_gt_s(a, b) = if a > b { !0 } else { 0 };
        i32x4_le_s(a, b) = if a <= b { !0 } else { 0 };
        i32x4_ge_s(a, b) = if a >= b { !0 } else { 0 };
    }
    [u64; 2] -> [u64; 2] {
        i64x2_add(a, b) = a.wrapping_add(b);
        i64x2_sub(a, b) = a.wrapping_sub(b);
        i64x2_mul(a, b) = a.wrapping_mul(b);
        i64x2_eq(a, b) = if a == b { !0 } else { 0 };
        i64x2_ne(a, b) = if a != b { !0 } else { 0 };
    }
    [i64; 2] -> [i64; 2] {
        i64x2_abs(a) = a.wrapping_abs();
        i64x2_neg(a) = a.wrapping_neg();
        i64x2_lt_s(a, b) = if a < b { !0 } else { 0 };
        i64x2_gt_s(a, b) = if a > b { !0 } else { 0 };
        i64x2_le_s(a, b) = if a <= b { !0 } else { 0 };
        i64x2_ge_s(a, b) = if a >= b { !0 } else { 0 };
    }
    [u64; 2] -> [u64; 2] {
        v128_not(a) = !a;
        v128_and(a, b) = a & b;
        v128_andnot(a, b) = a & !b;
        v128_or(a, b) = a | b;
        v128_xor(a, b) = a ^ b;
        v128_bitselect(a, b, mask) = (a & mask) | (b & !mask);
    }
}

across! {
    i16x8_extend_low_i8x16_s(a: [i8; 16]) -> [i16; 8] = |i| i16::from(a[i]);
    i16x8_extend_high_i8x16_s(a: [i8; 16]) -> [i16; 8] = |i| i16::from(a[8 + i]);
    i16x8_extmul_low_i8x16_s(a: [i8; 16], b: [i8; 16]) -> [i16; 8] = |i| i16::from(a[i]) * i16::from(b[i]);
    i16x8_extmul_high_i8x16_s(a: [i8; 16], b: [i8; 16]) -> [i16; 8] = |i| i16::from(a[8 + i]) * i16::from(b[8 + i]);
    i16x8_extadd_pairwise_i8x16_s(a: [i8; 16]) -> [i16; 8] = |i| i16::from(a[2 * i]) + i16::from(a[2 * i + 1]);
    i16x8_extend_low_i8x16_u(a: [u8; 16]) -> [u16; 8] = |i| u16::from(a[i]);
    i16x8_extend_high_i8x16_u(a: [u8; 16]) -> [u16; 8] = |i| u16::from(a[8 + i]);
    i16x8_extmul_low_i8x16_u(a: [u8; 16], b: [u8; 16]) -> [u16; 8] = |i| u16::from(a[i]) * u16::from(b[i]);
    i16x8_extmul_high_i8x16_u(a: [u8; 16], b: [u8; 16]) -> [u16; 8] = |i| u16::from(a[8 + i]) * u16::from(b[8 + i]);
    i16x8_extadd_pairwise_i8x16_u(a: [u8; 16]) -> [u16; 8] = |i| u16::from(a[2 * i]) + u16::from(a[2 * i + 1]);
    i32x4_extend_low_i16x8_s(a: [i16; 8]) -> [i32; 4] = |i| i32::from(a[i]);
    i32x4_extend_high_i16x8_s(a: [i16; 8]) -> [i32; 4] = |i| i32::from(a[4 + i]);
    i32x4_extmul_low_i16x8_s(a: [i16; 8], b: [i16; 8]) -> [i32; 4] = |i| i32::from(a[i]) * i32::from(b[i]);
    i32x4_extmul_high_i16x8_s(a: [i16; 8], b: [i16; 8]) -> [i32; 4] = |i| i32::from(a[4 + i]) * i32::from(b[4 + i]);
    i32x4_extadd_pairwise_i16x8_s(a: [i16; 8]) -> [i32; 4] = |i| i32::from(a[2 * i]) + i32::from(a[2 * i + 1]);
    i32x4_extend_low_i16x8_u(a: [u16; 8]) -> [u32; 4] = |i| u32::from(a[i]);
    i32x4_extend_high_i16x8_u(a: [u16; 8]) -> [u32; 4] = |i| u32::from(a[4 + i]);
    i32x4_extmul_low_i16x8_u(a: [u16; 8], b: [u16; 8]) -> [u32; 4] = |i| u32::from(a[i]) * u32::from(b[i]);
    i32x4_extmul_high_i16x8_u(a: [u16; 8], b: [u16; 8]) -> [u32; 4] = |i| u32::from(a[4 + i]) * u32::from(b[4 + i]);
    i32x4_extadd_pairwise_i16x8_u(a: [u16; 8]) -> [u32; 4] = |i| u32::from(a[2 * i]) + u32::from(a[2 * i + 1]);
    i64x2_extend_low_i32x4_s(a: [i32; 4]) -> [i64; 2] = |i| i64::from(a[i]);
    i64x2_extend_high_i32x4_s(a: [i32; 4]) -> [i64; 2] = |i| i64::from(a[2 + i]);
    i64x2_extmul_low_i32x4_s(a: [i32; 4], b: [i32; 4]) -> [i64; 2] = |i| i64::from(a[i]) * i64::from(b[i]);
    i64x2_extmul_high_i32x4_s(a: [i32; 4], b: [i32; 4]) -> [i64; 2] = |i| i64::from(a[2 + i]) * i64::from(b[2 + i]);
    i64x2_extend_low_i32x4_u(a: [u32; 4]) -> [u64; 2] = |i| u64::from(a[i]);
    i64x2_extend_high_i32x4_u(a: [u32; 4]) -> [u64; 2] = |i| u64::from(a[2 + i]);
    i64x2_extmul_low_i32x4_u(a: [u32; 4], b: [u32; 4]) -> [u64; 2] = |i| u64::from(a[i]) * u64::from(b[i]);
    i64x2_extmul_high_i32x4_u(a: [u32; 4], b: [u32; 4]) -> [u64; 2] = |i| u64::from(a[2 + i]) * u64::from(b[2 + i]);
    i8x16_narrow_i16x8_s(a: [i16; 8], b: [i16; 8]) -> [i8; 16] = |i| {
        let lane = if i < 8 { a[i] } else { b[i - 8] };
        lane.clamp(i8::MIN as i16, i8::MAX as i16) as i8
    };
    i8x16_narrow_i16x8_u(a: [i16; 8], b: [i16; 8]) -> [u8; 16] = |i| {
        let lane = if i < 8 { a[i] } else { b[i - 8] };
        lane.clamp(u8::MIN as i16, u8::MAX as i16) as u8
    };
    i16x8_narrow_i32x4_s(a: [i32; 4], b: [i32; 4]) -> [i16; 8] = |i| {
        let lane = if i < 4 { a[i] } else { b[i - 4] };
        lane.clamp(i16::MIN as i32, i16::MAX as i32) as i16
    };
    i16x8_narrow_i32x4_u(a: [i32; 4], b: [i32; 4]) -> [u16; 8] = |i| {
        let lane = if i < 4 { a[i] } else { b[i - 4] };
        lane.clamp(u16::MIN as i32, u16::MAX as i32) as u16
    };
    i32x4_dot_i16x8_s(a: [i16; 8], b: [i16; 8]) -> [i32; 4] = |i| {
        let product = |i: usize| i32::from(a[i]) * i32::from(b[i]);
        product(2 * i).wrapping_add(product(2 * i + 1))
    };
}

macro_rules! shift {
    ($([$lane:ident; $n:literal] { $($name:ident = $shift:ident;)* })*) => {$($(
        #[doc = concat!("`", stringify!($name), "`: distances count modulo the width of a lane.")]
        #[inline(always)]
        #[must_use]
        pub fn $name(a: V128, distance: u32) -> V128 {
            let a: [$lane; $n] = a.lanes();
            let distance = distance % $lane::BITS;
            V128::from_lanes::<[$lane; $n]>(each(|i| a[i].$shift(distance)))
        }
    )*)*};
}

shift! {
    [u8; 16] {
        i8x16_shl = wrapping_shl;
        i8x16_shr_u = wrapping_shr;
    }
    [i8; 16] {
        i8x16_shr_s = wrapping_shr;
    }
    [u16; 8] {
        i16x8_shl = wrapping_shl;
        i16x8_shr_u = wrapping_shr;
    }
    [i16; 8] {
        i16x8_shr_s = wrapping_shr;
    }
    [u32; 4] {
        i32x4_shl = wrapping_shl;
        i32x4_shr_u = wrapping_shr;
    }
    [i32; 4] {
        i32x4_shr_s = wrapping_shr;
    }
    [u64; 2] {
        i64x2_shl = wrapping_shl;
        i64x2_shr_u = wrapping_shr;
    }
    [i64; 2] {
        i64x2_shr_s = wrapping_shr;
    }
}

macro_rules! test {
    ($([$lane:ident; $n:literal] { $all_true:ident $bitmask:ident })*) => {$(
        #[doc = concat!("`", stringify!($all_true), "`: whether no lane is zero.")]
        #[inline(always)]
        #[must_use]
        pub fn $all_true(a: V128) -> u32 {
            let a: [$lane; $n] = a.lanes();
            u32::from(a.iter().fold(true, |all, lane| all & (*lane != 0)))
        }

        #[doc = concat!("`", stringify!($bitmask), "`: the sign bits of the lanes, that of the first lane lowest.")]
        #[inline(always)]
        #[must_use]
        pub fn $bitmask(a: V128) -> u32 {
            const SIGN_BITS: SignBits = SignBits::of_lanes($lane::BITS);
            let [low, high]: [u64; 2] = a.lanes();
            SIGN_BITS.gather(low) | SIGN_BITS.gather(high) << ($n / 2)
        }
    )*};
}

test! {
    [u8; 16] { i8x16_all_true i8x16_bitmask }
    [u16; 8] { i16x8_all_true i16x8_bitmask }
    [u32; 4] { i32x4_all_true i32x4_bitmask }
    [u64; 2] { i64x2_all_true i64x2_bitmask }
}

/// How the sign bits of the lanes in half a vector are gathered.
struct SignBits {
    width: u32,
    /// The lowest bit of each lane.
    lowest: u64,
    /// The factor that moves the lowest bit of lane `i` to `i` above that of the last lane. Other products land elsewhere, each for itself,
    /// so that nothing carries.
    moves: u64,
}

impl SignBits {
    const fn of_lanes(width: u32) -> SignBits {
        let last = 64 - width;
        let (mut lowest, mut moves, mut i) = (0, 0, 0);
        while i * width < 64 {
            lowest |= 1 << (i * width);
            moves |= 1 << (last - i * (width - 1));
            i += 1;
        }
        SignBits { width, lowest, moves }
    }

    #[inline(always)]
    fn gather(&self, half: u64) -> u32 {
        let signs = half >> (self.width - 1) & self.lowest;
        (signs.wrapping_mul(self.moves) >> (64 - self.width)) as u32 & ((1 << (64 / self.width)) - 1)
    }
}

/// `v128_any_true`: whether any bit is set.
#[inline(always)]
#[must_use]
pub fn v128_any_true(a: V128) -> u32 {
    let [low, high]: [u64; 2] = a.lanes();
    u32::from(low | high != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn saturating_products_and_dot_products_keep_to_their_extremes() {
        let lowest = V128::from_lanes([i16::MIN; 8]);
        assert_eq!(i16x8_q15mulr_sat_s(lowest, lowest), V128::from_lanes([i16::MAX; 8]));
        assert_eq!(i32x4_dot_i16x8_s(lowest, lowest), V128::from_lanes([i32::MIN; 4]));
        assert_eq!(
            i16x8_extmul_low_i8x16_s(V128::from_lanes([i8::MIN; 16]), V128::from_lanes([i8::MIN; 16])),
            V128::from_lanes([0x4000i16; 8])
        );
    }

    #[test]
    fn masks_take_the_sign_bits() {
        for i in 0..16 {
            let one = V128::from_lanes::<[u8; 16]>(std::array::from_fn(|j| if i == j { 0x80 } else { 0x7F }));
            let sign = |width: usize| if i % width == width - 1 { 1 << (i / width) } else { 0 };
            let masks = [i8x16_bitmask(one), i16x8_bitmask(one), i32x4_bitmask(one), i64x2_bitmask(one)];
            assert_eq!(masks, [sign(1), sign(2), sign(4), sign(8)]);
        }
        assert_eq!(i8x16_bitmask(V128::from_bytes([0xFF; 16])), 0xFFFF);
        assert_eq!(i16x8_bitmask(V128::from_bytes([0xFF; 16])), 0xFF);
        assert_eq!(i32x4_bitmask(V128::from_bytes([0xFF; 16])), 0xF);
        let a = V128::from_lanes([-1i8, 0, 0, -128, 127, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1]);
        assert_eq!(i8x16_bitmask(a), 0b1000_0000_0000_1001);
        assert_eq!((i8x16_all_true(a), v128_any_true(a), v128_any_true(V128::default())), (0, 1, 0));
    }
}
