//! The part of a file that a client wants: RFC 9110, section 14.

use http::HeaderMap;
use http::header::RANGE;

/// A part of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Range {
    /// From one byte to before another, which is more.
    Bytes { begin: u64, end: u64 },
    /// There is nothing there.
    Unsatisfiable,
}

impl Range {
    /// What a request asks for of a file with so many bytes; none for all, which is also the answer to whoever asks for several parts or in another unit.
    pub(super) fn asked_for(request: &HeaderMap, length: u64) -> Option<Range> {
        let mut lines = request.get_all(RANGE).iter();
        let (Some(value), None) = (lines.next(), lines.next()) else { return None };
        let (unit, set) = value.to_str().ok()?.split_once('=')?;
        let (first, last) = set.split_once('-')?;
        let (first, last) = (first.trim(), last.trim());
        if !unit.trim().eq_ignore_ascii_case("bytes") || set.contains(',') {
            return None;
        }
        let (begin, end) = match (first, last) {
            ("", "") => return None,
            ("", count) => (length.saturating_sub(number(count)?), length),
            (begin, "") => (number(begin)?, length),
            (begin, last) => {
                let (begin, last) = (number(begin)?, number(last)?);
                if last < begin {
                    return None;
                }
                (begin, last.saturating_add(1).min(length))
            }
        };
        Some(if begin < end { Range::Bytes { begin, end } } else { Range::Unsatisfiable })
    }
}

/// Digits alone; what cannot be counted is as good as the most that can.
fn number(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_found_or_the_whole_is_given() {
        let asked = |value: &str, length| {
            let mut request = HeaderMap::new();
            request.insert(RANGE, value.parse().unwrap());
            Range::asked_for(&request, length)
        };
        let bytes = |begin, end| Some(Range::Bytes { begin, end });
        for (value, wanted) in [
            ("bytes=0-0", bytes(0, 1)),
            ("bytes=2-4", bytes(2, 5)),
            ("bytes=2-", bytes(2, 10)),
            ("bytes=-3", bytes(7, 10)),
            ("bytes=-30", bytes(0, 10)),
            ("bytes=9-99999999999999999999", bytes(9, 10)),
            ("Bytes = 1 - 2", bytes(1, 3)),
            ("bytes=10-", Some(Range::Unsatisfiable)),
            ("bytes=10-11", Some(Range::Unsatisfiable)),
            ("bytes=-0", Some(Range::Unsatisfiable)),
            ("bytes=99999999999999999999-", Some(Range::Unsatisfiable)),
            ("bytes=4-2", None),
            ("bytes=0-1,3-4", None),
            ("bytes=-", None),
            ("bytes=+1-2", None),
            ("bytes=a-b", None),
            ("bytes 0-1", None),
            ("lines=0-1", None),
        ] {
            assert_eq!(asked(value, 10), wanted, "{value}");
        }
        assert_eq!(asked("bytes=0-", 0), Some(Range::Unsatisfiable));
    }
}
