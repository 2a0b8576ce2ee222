//! Numbers and text in the bytes of a memory, where they stand.

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

/// Bytes that are looked at together: so many that the compiler does it with as many registers of vectors as help.
const BLOCK_BYTES: usize = 128;

/// Whether all bytes are ASCII.
#[must_use]
pub fn is_ascii(bytes: &[u8]) -> bool {
    let (blocks, rest) = bytes.as_chunks::<BLOCK_BYTES>();
    blocks.iter().all(|block| block.iter().fold(0, |all, byte| all | byte) < 0x80) && rest.is_ascii()
}

/// The text that bytes are, as [`std::str::from_utf8`] has it, found sooner where it is long and ASCII.
///
/// # Errors
/// Where they are not UTF-8.
pub fn text_in(bytes: &[u8]) -> Result<&str, std::str::Utf8Error> {
    if bytes.len() < BLOCK_BYTES || !is_ascii(bytes) {
        return std::str::from_utf8(bytes);
    }
    // SAFETY: ASCII is UTF-8.
    Ok(unsafe { std::str::from_utf8_unchecked(bytes) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_what_the_standard_library_has_it_to_be() {
        for length in [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 3 * BLOCK_BYTES + 7] {
            let mut bytes = vec![b'a'; length];
            assert_eq!(text_in(&bytes), std::str::from_utf8(&bytes));
            for at in 0..length {
                for other in ["\u{e9}".as_bytes(), &[0x80], &[0xff], "\u{1f600}".as_bytes()] {
                    let end = length.min(at + other.len());
                    let before = bytes.clone();
                    bytes[at..end].copy_from_slice(&other[..end - at]);
                    assert!(!is_ascii(&bytes));
                    assert_eq!(
                        text_in(&bytes),
                        std::str::from_utf8(&bytes),
                        "{other:x?} at {at} of {length}"
                    );
                    bytes = before;
                }
            }
        }
    }

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
