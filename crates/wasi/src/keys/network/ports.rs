//! Sets of ports.

use std::fmt;
use std::ops::RangeInclusive;

/// Ports: single ones, ranges, or all.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortSet {
    /// First and last, in order; none touches the next.
    ranges: Vec<(u16, u16)>,
}

impl PortSet {
    /// Every port, and 0, by which the system is asked to choose one.
    #[must_use]
    pub fn all() -> PortSet {
        PortSet { ranges: vec![(0, u16::MAX)] }
    }

    /// One port.
    #[must_use]
    pub fn single(port: u16) -> PortSet {
        PortSet { ranges: vec![(port, port)] }
    }

    /// Whether `port` is one of them.
    #[must_use]
    pub fn contains(&self, port: u16) -> bool {
        self.ranges.iter().any(|&(first, last)| (first..=last).contains(&port))
    }

    /// The port, if it is only one.
    #[must_use]
    pub fn as_single(&self) -> Option<u16> {
        match self.ranges[..] {
            [(first, last)] if first == last => Some(first),
            _ => None,
        }
    }

    fn of(ranges: impl IntoIterator<Item = RangeInclusive<u16>>) -> PortSet {
        let mut sorted: Vec<(u16, u16)> = ranges.into_iter().map(RangeInclusive::into_inner).collect();
        sorted.sort_unstable();
        let mut ranges: Vec<(u16, u16)> = Vec::new();
        for (first, last) in sorted {
            match ranges.last_mut() {
                Some(before) if first <= before.1.saturating_add(1) => before.1 = before.1.max(last),
                _ => ranges.push((first, last)),
            }
        }
        PortSet { ranges }
    }

    /// Reads ports: `80`, `80,443`, `8000-8999`, or `*`.
    ///
    /// # Errors
    /// What is wrong, and what is expected.
    pub(in crate::keys) fn parse(text: &str) -> Result<PortSet, String> {
        if text == "*" {
            return Ok(PortSet::all());
        }
        let ranges: Vec<_> = text.split(',').map(range).collect::<Result<_, _>>()?;
        Ok(PortSet::of(ranges))
    }
}

/// Reads a port or a range of them.
fn range(text: &str) -> Result<RangeInclusive<u16>, String> {
    let port = |digits: &str| {
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let number = digits.parse().ok().filter(|_| is_number);
        number.ok_or_else(|| match is_number {
            true => format!("there is no port {digits}: ports go up to 65535"),
            false => format!("`{text}` is no port: write a number, a range such as 8000-8999, a list such as 80,443, or * for all"),
        })
    };
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (port(first)?, port(last)?),
        None => (port(text)?, port(text)?),
    };
    if first > last {
        return Err(format!("the range {text} ends before it begins: write {last}-{first}"));
    }
    Ok(first..=last)
}

/// As keys have it.
impl fmt::Display for PortSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == PortSet::all() {
            return f.write_str("*");
        }
        for (index, &(first, last)) in self.ranges.iter().enumerate() {
            let between = if index == 0 { "" } else { "," };
            match first == last {
                true => write!(f, "{between}{first}")?,
                false => write!(f, "{between}{first}-{last}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_single_ones_ranges_and_lists() {
        for (text, printed) in [
            ("80", "80"),
            ("443,80", "80,443"),
            ("1-3,4,5-9,7-12", "1-12"),
            ("8000-8999", "8000-8999"),
            ("*", "*"),
            ("0-65535", "*"),
            ("65535,0-65534", "*"),
            ("5-5", "5"),
        ] {
            assert_eq!(PortSet::parse(text).map(|ports| ports.to_string()), Ok(printed.to_owned()), "{text}");
        }
        for (text, reason) in [
            ("", "`` is no port"),
            ("http", "`http` is no port"),
            ("+1", "`+1` is no port"),
            ("80,", "`` is no port"),
            ("1-", "`1-` is no port"),
            ("70000", "ports go up to 65535"),
            ("9-1", "write 1-9"),
        ] {
            let error = PortSet::parse(text).expect_err(text);
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    /// Beside a set of all numbers.
    #[test]
    fn a_set_contains_what_was_put_in() {
        let mut state = 88_172_645_463_325_252_u64;
        let mut next = |bound: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % bound
        };
        for _ in 0..300 {
            let mut plain = std::collections::BTreeSet::new();
            let ranges: Vec<RangeInclusive<u16>> = (0..next(6) + 1)
                .map(|_| {
                    let first = next(200) as u16;
                    let last = first + next(30) as u16;
                    plain.extend(first..=last);
                    first..=last
                })
                .collect();
            let set = PortSet::of(ranges);
            assert!((0..300).all(|port| set.contains(port) == plain.contains(&port)), "{set}");
            assert_eq!(PortSet::parse(&set.to_string()), Ok(set));
        }
    }
}
