//! What every vector instruction computes: one function a row of [`crate::for_each_simd_opcode!`].
//!
//! Written once, for all tiers, as [`crate::numeric`] is for numbers. Functions are short loops over arrays of lanes, which the optimizer turns
//! into vector instructions where the host has them. Lanes are little-endian by definition; lane numbers are immediates that validation has
//! checked, and count modulo the number of lanes here.
//!
//! Relaxed instructions give the results of the deterministic profile, on every host (`relaxed.rs`).
//!
//! Source: core specification 4.3 ("Numerics", "Vector Operations"). NaNs follow the rule of [`crate::numeric`].

mod convert;
mod float;
mod integer;
mod lanes;
mod relaxed;
mod v128;

pub use convert::*;
pub use float::*;
pub use integer::*;
pub use lanes::*;
pub use relaxed::*;
pub use v128::V128;

/// Defines functions that compute each lane of the result from the same lanes of the operands:
/// `operand lanes -> result lanes { name(operands) = lane; }`.
macro_rules! lanewise {
    ($([$from:ty; $n:literal] -> [$to:ty; $_n:literal] { $($name:ident($($arg:ident),+) = $value:expr;)* })*) => {$($(
        #[doc = concat!("`", stringify!($name), "`, lane by lane.")]
        #[inline(always)]
        #[must_use]
        pub fn $name($($arg: $crate::simd::V128),+) -> $crate::simd::V128 {
            $(let $arg: [$from; $n] = $arg.lanes();)+
            let lanes: [$to; $n] = $crate::simd::each(|i| {
                $(let $arg = $arg[i];)+
                $value
            });
            $crate::simd::V128::from_lanes(lanes)
        }
    )*)*};
}
use lanewise;

/// Defines functions that compute the lanes of the result from all lanes of the operands:
/// `name(operands of lanes) -> lanes = |lane number| lane;`.
macro_rules! across {
    ($($name:ident($($arg:ident: $from:ty),+) -> $to:ty = |$i:ident| $value:expr;)*) => {$(
        #[doc = concat!("`", stringify!($name), "`")]
        #[inline(always)]
        #[must_use]
        pub fn $name($($arg: $crate::simd::V128),+) -> $crate::simd::V128 {
            $(let $arg: $from = $arg.lanes();)+
            let lanes: $to = $crate::simd::each(|$i| $value);
            $crate::simd::V128::from_lanes(lanes)
        }
    )*};
}
use across;

/// An array of what `element` gives for each position.
///
/// As `std::array::from_fn`, whose inner functions the optimizer does not always inline: then handlers of the interpreter would hand out addresses of
/// their locals, and could not end in a jump.
#[inline(always)]
fn each<T: Copy + Default, const N: usize>(element: impl Fn(usize) -> T) -> [T; N] {
    let mut array = [T::default(); N];
    for (i, cell) in array.iter_mut().enumerate() {
        *cell = element(i);
    }
    array
}
