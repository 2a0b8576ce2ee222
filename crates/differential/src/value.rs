//! Values as every oracle can tell them, and the numbers that functions are called with.

use crate::random::Random;

/// A value, without what only one engine could say about it. Floats are bits: modules are generated so that their NaNs are canonical.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Value {
    /// 32-bit integer.
    I32(u32),
    /// 64-bit integer.
    I64(u64),
    /// Bits of a 32-bit float.
    F32(u32),
    /// Bits of a 64-bit float.
    F64(u64),
    /// Vector.
    V128(u128),
    /// A null reference.
    Null,
    /// Some function.
    Func,
    /// The host's object with this number.
    Extern(u32),
    /// A 31-bit integer.
    I31(i32),
    /// Some structure.
    Struct,
    /// Some array.
    Array,
    /// An object of the host's seen from inside, or one of the guest's seen from outside.
    Foreign,
    /// An exception.
    Exception,
}

/// A 32-bit number that is likely to matter: small, an edge, a power of two or anything.
pub(crate) fn word32(random: &mut Random) -> u32 {
    const EDGES: [u32; 8] = [0, 1, u32::MAX, 0x7fff_ffff, 0x8000_0000, 0xffff, 0x80, 0xffff_fffe];
    match random.draw() % 4 {
        0 => random.pick(&EDGES),
        1 => random.draw() as u32 % 256,
        2 => 1 << (random.draw() % 32),
        _ => random.draw() as u32,
    }
}

/// The same for 64 bits.
pub(crate) fn word64(random: &mut Random) -> u64 {
    const EDGES: [u64; 6] = [0, 1, u64::MAX, i64::MAX as u64, 1 << 63, 0xffff_ffff];
    match random.draw() % 4 {
        0 => random.pick(&EDGES),
        1 => random.draw() % 256,
        2 => 1 << (random.draw() % 64),
        _ => random.draw(),
    }
}

/// Bits of a 32-bit float: an edge (zeros, infinities, NaNs, bounds of integers), a small number or anything.
pub(crate) fn float32(random: &mut Random) -> u32 {
    const EDGES: [f32; 10] = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        f32::INFINITY,
        f32::NEG_INFINITY,
        2147483648.0,
        -2147483648.0,
        4294967296.0,
        0.5,
    ];
    match random.draw() % 4 {
        0 => random.pick(&EDGES).to_bits(),
        1 => random.pick(&[0x7fc0_0000, 0xffc0_0000, 0x7fc0_1234, 0x7f7f_ffff, 1, 0x8000_0001]),
        2 => ((random.draw() % 2000) as f32 / 4.0 - 250.0).to_bits(),
        _ => random.draw() as u32,
    }
}

/// The same for 64 bits.
pub(crate) fn float64(random: &mut Random) -> u64 {
    const EDGES: [f64; 10] = [
        0.0,
        -0.0,
        1.0,
        -1.5,
        f64::INFINITY,
        2147483648.0,
        -2147483649.0,
        9223372036854775808.0,
        -9223372036854775808.0,
        18446744073709551616.0,
    ];
    match random.draw() % 4 {
        0 => random.pick(&EDGES).to_bits(),
        1 => random.pick(&[0x7ff8 << 48, 0xfff8 << 48, (0x7ff8 << 48) | 77, 0x7fef_ffff_ffff_ffff, 1]),
        2 => ((random.draw() % 2000) as f64 / 4.0 - 250.0).to_bits(),
        _ => random.draw(),
    }
}

/// Bits of a vector.
pub(crate) fn vector(random: &mut Random) -> u128 {
    match random.draw() % 3 {
        0 => (0..4).fold(0, |bits, _| bits << 32 | u128::from(float32(random))),
        1 => u128::from(float64(random)) << 64 | u128::from(float64(random)),
        _ => u128::from(word64(random)) << 64 | u128::from(word64(random)),
    }
}
