//! Sizes, durations and addresses as people write them, in flags and policies.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::network::parse_address;

/// Bytes: a number, or text with a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub u64);

/// A duration: a number of seconds, or text with a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Time(pub Duration);

/// Reads a size in bytes: a number, or one with a unit, as in `64KiB`, `1.5GiB`, `10MB` or `1G` (`K`, `M`, `G` and `T` alone are powers of 1024).
///
/// # Errors
/// What is wrong, and what is expected.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text.trim());
    let factor: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        "kb" => 1000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        _ => return Err(format!("`{text}` is not a size: write bytes, or a number with KiB, MiB or GiB")),
    };
    let not_a_number = || format!("`{text}` is not a size: write a number, as in 64MiB or 1.5GiB");
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let whole: u64 = whole.parse().map_err(|_| not_a_number())?;
    let too_large = || format!("`{text}` is larger than any memory");
    let bytes = whole.checked_mul(factor).ok_or_else(too_large)?;
    if part.is_empty() && !number.contains('.') {
        return Ok(bytes);
    }
    if factor == 1 || part.is_empty() || part.len() > 9 || !part.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(not_a_number());
    }
    let numerator: u128 = part.parse().map_err(|_| not_a_number())?;
    let of_part = numerator * u128::from(factor) / 10_u128.pow(part.len() as u32);
    bytes.checked_add(of_part as u64).ok_or_else(too_large)
}

/// Reads a duration: a number of seconds, or ones with units, as in `500ms`, `1.5s`, `2m` or `1h30m`.
///
/// # Errors
/// What is wrong, and what is expected.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let mut rest = text.trim();
    let mut seconds = 0.0;
    let mut smallest = f64::INFINITY;
    loop {
        let (number, after) = split(rest);
        let end = after
            .find(|character: char| character.is_ascii_digit() || character == '.')
            .unwrap_or(after.len());
        let unit = after[..end].trim();
        let factor = match unit {
            "" | "s" => 1.0,
            "ms" => 1e-3,
            "us" => 1e-6,
            "ns" => 1e-9,
            "m" | "min" => 60.0,
            "h" => 3600.0,
            _ => {
                return Err(format!(
                    "`{text}` is not a duration: write seconds, or numbers with ms, s, m or h"
                ));
            }
        };
        let number: f64 = number
            .parse()
            .map_err(|_| format!("`{text}` is not a duration: write a number, as in 1.5s or 1h30m"))?;
        // Larger units come first, and only a number alone has none.
        if factor >= smallest || (unit.is_empty() && (smallest.is_finite() || end < after.len())) {
            return Err(format!("`{text}` is not a duration: write larger units first, as in 1h30m"));
        }
        seconds += number * factor;
        smallest = factor;
        rest = after[end..].trim();
        if rest.is_empty() {
            break;
        }
    }
    Duration::try_from_secs_f64(seconds).map_err(|_| format!("`{text}` is not a duration that passes"))
}

/// A duration as people write it, which [`parse_duration`] reads back.
#[must_use]
pub fn duration_in_words(duration: Duration) -> String {
    if duration.is_zero() { String::from("0s") } else { format!("{duration:?}").replace('µ', "u") }
}

/// The number at the beginning, and what follows.
fn split(text: &str) -> (&str, &str) {
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

/// An address as text, or a port of this machine's as a number.
struct Address;

impl serde::de::Visitor<'_> for Address {
    type Value = SocketAddr;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an address, as in 8080 or \"127.0.0.1:8080\"")
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<SocketAddr, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<SocketAddr, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<SocketAddr, E> {
        parse_address(text).map_err(E::custom)
    }
}

/// Reads a list of addresses, each as a flag has it.
pub(super) fn addresses<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<SocketAddr>, D::Error> {
    struct Element(SocketAddr);
    impl<'de> Deserialize<'de> for Element {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Element, D::Error> {
            deserializer.deserialize_any(Address).map(Element)
        }
    }
    let elements = Vec::<Element>::deserialize(deserializer)?;
    Ok(elements.into_iter().map(|Element(address)| address).collect())
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
    fn durations_in_words_are_read_back() {
        for (nanoseconds, words) in
            [(0, "0s"), (1, "1ns"), (1500, "1.5us"), (20_000_000, "20ms"), (90_000_000_000, "90s")]
        {
            let duration = Duration::from_nanos(nanoseconds);
            assert_eq!(duration_in_words(duration), words);
            assert_eq!(parse_duration(words), Ok(duration), "{words}");
        }
    }

    #[test]
    fn sizes_have_units() {
        for (text, bytes) in [
            ("0", 0),
            ("17", 17),
            ("1k", 1024),
            ("64 MiB", 64 << 20),
            ("2GB", 2_000_000_000),
            ("1.5GiB", 3 << 29),
            ("0.25k", 256),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for text in ["", "x", "1.5", "1.k", ".5k", "1.5.5k", "-1", "99999999999T", "1 potato"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_have_units() {
        for (text, ms) in [
            ("1", 1000),
            ("1.5s", 1500),
            ("20ms", 20),
            ("2m", 120_000),
            ("0", 0),
            ("1h30m", 5_400_000),
            ("1m 2.5s", 62_500),
            ("1h1ms", 3_600_001),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "s", "1y", "-1s", "1e300h", ".", "1m1h", "1s1s", "5 5", "1h30", "1h 30"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }
}
