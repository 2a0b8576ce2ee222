//! Bytes as a person reads them: 64 MiB, not 67108864.
//!
//! For messages only; what is computed with stays a number.

use std::fmt;

/// A number of bytes that is printed with the largest unit that it fills, and one place after the point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteCount(pub u64);

const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

impl fmt::Display for ByteCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ByteCount(bytes) = *self;
        let mut power = bytes.checked_ilog2().unwrap_or(0) / 10;
        if power == 0 {
            return write!(f, "{bytes} {}", if bytes == 1 { "byte" } else { "bytes" });
        }
        let tenths_of = |power: u32| {
            let unit = 1_u128 << (10 * power);
            (u128::from(bytes) * 10 + unit / 2) / unit
        };
        // 1023.96 KiB are 1 MiB.
        if tenths_of(power) >= 10_240 && (power as usize) < UNITS.len() {
            power += 1;
        }
        let tenths = tenths_of(power);
        let unit = UNITS[power as usize - 1];
        match tenths % 10 {
            0 => write!(f, "{} {unit}", tenths / 10),
            tenth => write!(f, "{}.{tenth} {unit}", tenths / 10),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ByteCount;

    #[test]
    fn bytes_have_the_largest_unit_that_they_fill() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (1, "1 byte"),
            (1023, "1023 bytes"),
            (1024, "1 KiB"),
            (1536, "1.5 KiB"),
            ((1 << 20) - 1, "1 MiB"),
            (65_536_000, "62.5 MiB"),
            (64 << 20, "64 MiB"),
            (u64::MAX, "16 EiB"),
        ] {
            assert_eq!(ByteCount(bytes).to_string(), text, "{bytes}");
        }
    }
}
