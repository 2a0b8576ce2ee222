//! Wide arithmetic. A 128-bit number is two slots, low half first; a result's are neighbours.

use innkeeper_engine::{for_each_wide_opcode, numeric};

use crate::machine::{A, B, C, D, Machine, handlers};

macro_rules! wide_handlers {
    (wide { $($name:ident $_visit:ident $_mnemonic:literal $_encoding:literal ($a:ident $b:ident);)* }) => {
        handlers! {
            $(
                /// `[a a_high b b_high] [r]`; the high halves are not read where operands have 64 bits.
                fn $name(m) {
                    let result = numeric::$name($a::from_halves(m, A, B), $b::from_halves(m, C, D));
                    let to = m.fp.add(m.operand_of(2, A));
                    *to = result as u64;
                    *to.add(1) = (result >> 64) as u64;
                    m.next(3)
                }
            )*
        }
    };
}
for_each_wide_opcode!(wide_handlers);

/// A number whose halves are in two slots.
trait Halves {
    /// # Safety
    /// The contract of [`crate::machine::Handler`].
    unsafe fn from_halves(m: Machine, low: usize, high: usize) -> Self;
}

impl Halves for u64 {
    #[inline(always)]
    unsafe fn from_halves(m: Machine, low: usize, _high: usize) -> u64 {
        // SAFETY: the contract of `Handler`: both operands are slots of the frame, by lowering.
        unsafe { m.get(low) }
    }
}

impl Halves for u128 {
    #[inline(always)]
    unsafe fn from_halves(m: Machine, low: usize, high: usize) -> u128 {
        // SAFETY: the contract of `Handler`: both operands are slots of the frame, by lowering.
        unsafe { u128::from(m.get::<u64>(low)) | u128::from(m.get::<u64>(high)) << 64 }
    }
}
