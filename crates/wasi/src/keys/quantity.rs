//! Sizes and durations as people write them, in flags and policies.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Bytes: a number, or text with a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub u64);

/// A duration: a number of seconds, or text with a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Time(pub Duration);

/// Reads a size in bytes: a number, or one with a unit, as in `64KiB`, `10MB` or `1G` (`K`, `M`, `G` and `T` alone are powers of 1024).
///
/// # Errors
/// What is wrong, and what is expected.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text);
    let factor = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        "kb" => 1000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        _ => return Err(format!("`{text}` is not a size: write bytes, or a number with KiB, MiB or GiB")),
    };
    let number: u64 =
        number.parse().map_err(|_| format!("`{text}` is not a size: write a whole number, as in 64MiB"))?;
    number.checked_mul(factor).ok_or_else(|| format!("`{text}` is larger than any memory"))
}

/// Reads a duration: a number of seconds, or one with a unit, as in `500ms`, `1.5s`, `2m` or `1h`.
///
/// # Errors
/// What is wrong, and what is expected.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text);
    let factor = match unit {
        "" | "s" => 1.0,
        "ms" => 1e-3,
        "us" => 1e-6,
        "ns" => 1e-9,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => {
            return Err(format!("`{text}` is not a duration: write seconds, or a number with ms, s, m or h"));
        }
    };
    let number: f64 =
        number.parse().map_err(|_| format!("`{text}` is not a duration: write a number, as in 1.5s"))?;
    Duration::try_from_secs_f64(number * factor)
        .map_err(|_| format!("`{text}` is not a duration that passes"))
}

fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let unit =
        text.find(|character: char| !character.is_ascii_digit() && character != '.').unwrap_or(text.len());
    (&text[..unit], text[unit..].trim())
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Size, D::Error> {
        deserializer
            .deserialize_any(Quantity {
                what: "a size, as in 1048576 or \"64MiB\"",
                parse: parse_size,
                whole: |number| number,
            })
            .map(Size)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Time, D::Error> {
        deserializer
            .deserialize_any(Quantity {
                what: "a duration, as in 10 or \"500ms\"",
                parse: parse_duration,
                whole: Duration::from_secs,
            })
            .map(Time)
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0)
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("{}ms", self.0.as_millis()))
    }
}

/// Reads a whole number or text.
struct Quantity<T> {
    what: &'static str,
    parse: fn(&str) -> Result<T, String>,
    whole: fn(u64) -> T,
}

impl<T> serde::de::Visitor<'_> for Quantity<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what)
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<T, E> {
        u64::try_from(number).map(self.whole).map_err(|_| E::custom(format!("{number} is below zero")))
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<T, E> {
        Ok((self.whole)(number))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        (self.parse)(text).map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        for (text, bytes) in
            [("0", 0), ("17", 17), ("1k", 1024), ("64 MiB", 64 << 20), ("2GB", 2_000_000_000)]
        {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for text in ["", "x", "1.5k", "-1", "99999999999T", "1 potato"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_have_units() {
        for (text, ms) in [("1", 1000), ("1.5s", 1500), ("20ms", 20), ("2m", 120_000), ("0", 0)] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "s", "1y", "-1s", "1e300h", "."] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }
}
