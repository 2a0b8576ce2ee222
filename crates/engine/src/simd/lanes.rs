//! Making vectors of numbers and memory cells, and taking them apart.

use super::{V128, each};

/// `i8x16_swizzle`: the lanes of `a` that `lanes` names; 0 for numbers from 16.
#[inline(always)]
#[must_use]
pub fn i8x16_swizzle(a: V128, lanes: V128) -> V128 {
    let (bytes, lanes) = (a.to_bytes(), lanes.to_bytes());
    let padded: [u8; 32] = each(|i| if i < 16 { bytes[i % 16] } else { 0 });
    V128::from_bytes(each(|i| padded[usize::from(lanes[i].min(16))]))
}

/// `i8x16_shuffle`: lanes 0 to 15 are those of `a`, 16 to 31 those of `b`.
#[inline(always)]
#[must_use]
pub fn i8x16_shuffle(a: V128, b: V128, lanes: V128) -> V128 {
    let (a, b, lanes) = (a.to_bytes(), b.to_bytes(), lanes.to_bytes());
    let both: [u8; 32] = each(|i| if i < 16 { a[i % 16] } else { b[i % 16] });
    V128::from_bytes(each(|i| both[usize::from(lanes[i] % 32)]))
}

macro_rules! splat_and_replace {
    ($([$lane:ident; $n:literal] { $splat:ident $replace:ident($scalar:ty) })*) => {$(
        #[doc = concat!("`", stringify!($splat), "`: every lane has the value.")]
        #[inline(always)]
        #[must_use]
        pub fn $splat(value: $scalar) -> V128 {
            V128::from_lanes([value as $lane; $n])
        }

        #[doc = concat!("`", stringify!($replace), "`: the vector with another value in one lane.")]
        #[inline(always)]
        #[must_use]
        pub fn $replace(a: V128, lane: u8, value: $scalar) -> V128 {
            let mut lanes: [$lane; $n] = a.lanes();
            lanes[usize::from(lane) % $n] = value as $lane;
            V128::from_lanes(lanes)
        }
    )*};
}

splat_and_replace! {
    [u8; 16] { i8x16_splat i8x16_replace_lane(u32) }
    [u16; 8] { i16x8_splat i16x8_replace_lane(u32) }
    [u32; 4] { i32x4_splat i32x4_replace_lane(u32) }
    [u64; 2] { i64x2_splat i64x2_replace_lane(u64) }
    [f32; 4] { f32x4_splat f32x4_replace_lane(f32) }
    [f64; 2] { f64x2_splat f64x2_replace_lane(f64) }
}

macro_rules! extract {
    ($($extract:ident([$lane:ident; $n:literal]) -> $scalar:ty;)*) => {$(
        #[doc = concat!("`", stringify!($extract), "`: the value in one lane.")]
        #[inline(always)]
        #[must_use]
        pub fn $extract(a: V128, lane: u8) -> $scalar {
            let lanes: [$lane; $n] = a.lanes();
            lanes[usize::from(lane) % $n] as $scalar
        }
    )*};
}

extract! {
    i8x16_extract_lane_s([i8; 16]) -> u32;
    i8x16_extract_lane_u([u8; 16]) -> u32;
    i16x8_extract_lane_s([i16; 8]) -> u32;
    i16x8_extract_lane_u([u16; 8]) -> u32;
    i32x4_extract_lane([u32; 4]) -> u32;
    i64x2_extract_lane([u64; 2]) -> u64;
    f32x4_extract_lane([f32; 4]) -> f32;
    f64x2_extract_lane([f64; 2]) -> f64;
}

/// `v128_load`: the cell as it is.
#[inline(always)]
#[must_use]
pub fn v128_load(cell: [u8; 16]) -> V128 {
    V128::from_bytes(cell)
}

/// `v128_store`: the cell as it will be.
#[inline(always)]
#[must_use]
pub fn v128_store(a: V128) -> [u8; 16] {
    a.to_bytes()
}

macro_rules! load {
    (extend { $($extend:ident([$part:ident; $bytes:literal]) -> [$lane:ident; $n:literal];)* }
     splat { $($splat:ident($whole:ident) -> $splat_n:literal;)* }
     zero { $($zero:ident($zero_bytes:literal);)* }) => {
        $(
            #[doc = concat!("`", stringify!($extend), "`: the cell's numbers, each extended to a lane.")]
            #[inline(always)]
            #[must_use]
            pub fn $extend(cell: [u8; 8]) -> V128 {
                V128::from_lanes::<[$lane; $n]>(each(|i| {
                    $lane::from($part::from_le_bytes(each(|j| cell[i * $bytes + j])))
                }))
            }
        )*
        $(
            #[doc = concat!("`", stringify!($splat), "`: the cell in every lane.")]
            #[inline(always)]
            #[must_use]
            pub fn $splat(cell: [u8; size_of::<$whole>()]) -> V128 {
                V128::from_lanes([$whole::from_le_bytes(cell); $splat_n])
            }
        )*
        $(
            #[doc = concat!("`", stringify!($zero), "`: the cell in the lowest lane, zeros in the others.")]
            #[inline(always)]
            #[must_use]
            pub fn $zero(cell: [u8; $zero_bytes]) -> V128 {
                V128::from_bytes(each(|i| if i < $zero_bytes { cell[i % $zero_bytes] } else { 0 }))
            }
        )*
    };
}

load! {
    extend {
        v128_load8x8_s([i8; 1]) -> [i16; 8];
        v128_load8x8_u([u8; 1]) -> [u16; 8];
        v128_load16x4_s([i16; 2]) -> [i32; 4];
        v128_load16x4_u([u16; 2]) -> [u32; 4];
        v128_load32x2_s([i32; 4]) -> [i64; 2];
        v128_load32x2_u([u32; 4]) -> [u64; 2];
    }
    splat {
        v128_load8_splat(u8) -> 16;
        v128_load16_splat(u16) -> 8;
        v128_load32_splat(u32) -> 4;
        v128_load64_splat(u64) -> 2;
    }
    zero {
        v128_load32_zero(4);
        v128_load64_zero(8);
    }
}

macro_rules! lane_cells {
    ($([$lane:ident; $n:literal] { $load:ident $store:ident })*) => {$(
        #[doc = concat!("`", stringify!($load), "`: the vector with a cell in one lane.")]
        #[inline(always)]
        #[must_use]
        pub fn $load(a: V128, lane: u8, cell: [u8; size_of::<$lane>()]) -> V128 {
            let mut lanes: [$lane; $n] = a.lanes();
            lanes[usize::from(lane) % $n] = $lane::from_le_bytes(cell);
            V128::from_lanes(lanes)
        }

        #[doc = concat!("`", stringify!($store), "`: the cell that one lane becomes.")]
        #[inline(always)]
        #[must_use]
        pub fn $store(a: V128, lane: u8) -> [u8; size_of::<$lane>()] {
            let lanes: [$lane; $n] = a.lanes();
            lanes[usize::from(lane) % $n].to_le_bytes()
        }
    )*};
}

lane_cells! {
    [u8; 16] { v128_load8_lane v128_store8_lane }
    [u16; 8] { v128_load16_lane v128_store16_lane }
    [u32; 4] { v128_load32_lane v128_store32_lane }
    [u64; 2] { v128_load64_lane v128_store64_lane }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shuffles_name_lanes_of_both_operands() {
        let (a, b) = (V128::from_bytes([1; 16]), V128::from_bytes([2; 16]));
        let lanes = V128::from_bytes([0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 15, 31]);
        assert_eq!(i8x16_shuffle(a, b, lanes), V128::from_lanes([0x0201u16; 8]));
        assert_eq!(i8x16_swizzle(lanes, V128::from_lanes([16u8; 16])), V128::default());
    }

    #[test]
    fn cells_extend_by_their_sign() {
        let cell = [0xFF, 0x7F, 0, 0x80, 1, 0, 0, 0];
        assert_eq!(v128_load16x4_s(cell), V128::from_lanes([0x7FFFi32, -0x8000, 1, 0]));
        assert_eq!(v128_load32x2_u(cell), V128::from_lanes([0x8000_7FFFu64, 1]));
        assert_eq!(v128_load32_zero([1, 2, 3, 4]), V128::from_lanes([0x0403_0201u32, 0, 0, 0]));
    }
}
