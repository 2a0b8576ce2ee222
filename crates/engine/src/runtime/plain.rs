//! Numbers in the bytes of a memory, where they stand.

mod sealed {
    pub trait Sealed {}
}

/// A number of which every pattern of bits is a value.
pub trait Plain: sealed::Sealed + Copy + 'static {}

macro_rules! plain {
    ($($ty:ty)*) => {$(
        impl sealed::Sealed for $ty {}
        impl Plain for $ty {}
    )*};
}

plain!(u8 i8 u16 i16 u32 i32 u64 i64);

/// The numbers that bytes are, without copying any: none where the bytes do not begin at a multiple of the numbers' size or end within one, or where the machine has the
/// bytes of a number in another order than guests have.
#[must_use]
pub fn numbers_in<N: Plain>(bytes: &[u8]) -> Option<&[N]> {
    if cfg!(target_endian = "big") && size_of::<N>() > 1 {
        return None;
    }
    // SAFETY: the types that are `Plain` are those above, and no other crate can add one: integers, for which all bits are good. `align_to` has them only where they are
    // aligned and whole.
    let (before, numbers, after) = unsafe { bytes.align_to::<N>() };
    (before.is_empty() && after.is_empty()).then_some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_where_they_are_aligned_and_whole() {
        let words = [0x0403_0201_u32, 0x0807_0605];
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        assert_eq!(numbers_in::<u8>(&bytes), Some(&*bytes));
        // Where an allocation begins is up to the allocator; one of these four places is a multiple of four.
        let padded = [&[0; 3][..], &bytes, &[0; 3]].concat();
        let found = (0..4).filter_map(|at| numbers_in::<u32>(&padded[at..at + 8])).count();
        assert_eq!(found, usize::from(cfg!(target_endian = "little")));
        assert_eq!(numbers_in::<u64>(&bytes[..7]), None);
    }
}
