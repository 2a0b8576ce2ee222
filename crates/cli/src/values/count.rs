//! Counts as people write them.

use std::num::NonZeroUsize;

/// Reads a count: a whole number, also in thousands, millions or thousands of millions, as in 10k, 5M or 2G.
pub(crate) fn parse_count<T: TryFrom<u64>>(value: &str) -> Result<T, String> {
    let text = value.trim();
    let (digits, factor) = match text.char_indices().next_back() {
        Some((at, 'k' | 'K')) => (&text[..at], 1_000),
        Some((at, 'M')) => (&text[..at], 1_000_000),
        Some((at, 'G')) => (&text[..at], 1_000_000_000),
        _ => (text, 1),
    };
    let is_number = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    if !is_number {
        return Err(format!("`{value}` is no count: write a whole number, as in 1000, 10k or 5M"));
    }
    let count = digits.parse::<u64>().ok().and_then(|count| count.checked_mul(factor));
    count
        .and_then(|count| T::try_from(count).ok())
        .ok_or_else(|| format!("`{value}` is larger than any that is counted here"))
}

/// Reads how many there are to be: a count of at least one.
pub(crate) fn parse_positive(value: &str) -> Result<NonZeroUsize, String> {
    NonZeroUsize::new(parse_count(value)?)
        .ok_or_else(|| format!("`{value}` would be nothing: write 1 or more"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_as_people_write_them() {
        for (value, count) in
            [("0", 0), ("17", 17), ("10k", 10_000), ("5M", 5_000_000), ("2G", 2_000_000_000)]
        {
            assert_eq!(parse_count::<u32>(value), Ok(count), "{value}");
        }
        for value in ["", "k", "-1", "1.5k", "x", "0x10", "5G", "99999999999999999999", "1 0"] {
            assert!(parse_count::<u32>(value).is_err(), "{value}");
        }
    }
}
