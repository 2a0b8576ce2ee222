//! The vector value, and its views as lanes.

use super::each;

/// A 128-bit vector: sixteen bytes as they stand in memory, lowest lane first, whatever the host's byte order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct V128([u8; 16]);

impl V128 {
    /// The vector with these bytes, lowest lane first.
    #[inline(always)]
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> V128 {
        V128(bytes)
    }

    /// The bytes, lowest lane first.
    #[inline(always)]
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0
    }

    /// The vector that stands in two slots, low half first.
    #[inline(always)]
    #[must_use]
    pub fn from_slots(slots: [u64; 2]) -> V128 {
        V128::from_lanes(slots)
    }

    /// The two slots, low half first.
    #[inline(always)]
    #[must_use]
    pub fn to_slots(self) -> [u64; 2] {
        self.lanes()
    }

    #[inline(always)]
    pub(super) fn lanes<L: Lanes>(self) -> L {
        L::of(self)
    }

    #[inline(always)]
    pub(super) fn from_lanes<L: Lanes>(lanes: L) -> V128 {
        lanes.vector()
    }
}

/// The lanes of a vector in one of its shapes.
pub(super) trait Lanes {
    fn of(vector: V128) -> Self;
    fn vector(self) -> V128;
}

macro_rules! shapes {
    ($([$lane:ident; $n:literal])*) => {$(
        impl Lanes for [$lane; $n] {
            #[inline(always)]
            fn of(vector: V128) -> Self {
                const BYTES: usize = size_of::<$lane>();
                each(|i| $lane::from_le_bytes(each(|j| vector.0[i * BYTES + j])))
            }

            #[inline(always)]
            fn vector(self) -> V128 {
                let mut bytes = [0; 16];
                for (cell, lane) in bytes.as_chunks_mut().0.iter_mut().zip(self) {
                    // Array by array: copying a slice is a call that the optimizer does not always inline, see `each`.
                    *cell = lane.to_le_bytes();
                }
                V128(bytes)
            }
        }
    )*};
}
shapes! { [i8; 16] [u8; 16] [i16; 8] [u16; 8] [i32; 4] [u32; 4] [i64; 2] [u64; 2] [f32; 4] [f64; 2] }

#[cfg(test)]
mod tests {
    use super::V128;

    #[test]
    fn lanes_are_little_endian() {
        let vector = V128::from_bytes(std::array::from_fn(|i| i as u8));
        assert_eq!(vector.lanes::<[u16; 8]>()[1], 0x0302);
        assert_eq!(vector.to_slots(), [0x0706_0504_0302_0100, 0x0F0E_0D0C_0B0A_0908]);
        assert_eq!(V128::from_slots(vector.to_slots()), vector);
        assert_eq!(V128::from_lanes(vector.lanes::<[i32; 4]>()), vector);
    }
}
