//! Paths of requests, and what is known of how servers read them.

use std::fmt;

/// Paths that a key is for: one, those that begin with what is before a `*` at the end, or every one (`/*`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PathPattern {
    /// It begins with `/`; of a pattern of several it ends with `/`.
    text: Box<str>,
    is_prefix: bool,
}

/// Every path.
impl Default for PathPattern {
    fn default() -> PathPattern {
        PathPattern { text: "/".into(), is_prefix: true }
    }
}

impl PathPattern {
    /// Whether it stands for `path`, which has no query.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        if *self == PathPattern::default() {
            return true;
        }
        is_plain(path)
            && match self.is_prefix {
                true => path.starts_with(&*self.text),
                false => *path == *self.text,
            }
    }

    /// The pattern that stands for `path` alone, if there is one.
    pub(super) fn of(path: &str) -> Option<PathPattern> {
        let pattern = PathPattern::parse(path).ok()?;
        (!pattern.is_prefix && *pattern.text == *path).then_some(pattern)
    }

    /// Reads a pattern, which is empty or begins with `/`.
    ///
    /// # Errors
    /// What is wrong, and what is expected.
    pub(super) fn parse(text: &str) -> Result<PathPattern, String> {
        if text.is_empty() {
            return Ok(PathPattern::default());
        }
        if let Some(mark) = text.chars().find(|mark| matches!(mark, '?' | '#')) {
            return Err(format!(
                "`{text}` has `{mark}` in it, and a key ends with a path, whatever the query: leave it away"
            ));
        }
        let is_path = |byte: u8| byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte);
        if let Some(letter) = text.chars().find(|letter| !u8::try_from(*letter).is_ok_and(is_path)) {
            return Err(format!(
                "`{text}` is no path of a URL, as it has {letter:?} in it: write it escaped, as in %20"
            ));
        }
        let (before, is_prefix) = match text.strip_suffix('*') {
            Some(before) => (before, true),
            None => (text, false),
        };
        if before.contains('*') || (is_prefix && !before.ends_with('/')) {
            return Err(format!(
                "`{text}`: a * stands after the last /, for whatever comes there: write one as in /v1/*"
            ));
        }
        if !is_plain(before) {
            return Err(format!("`{text}` leads to another path, as servers read it: write that one"));
        }
        Ok(PathPattern { text: before.into(), is_prefix })
    }
}

/// Whether all servers read a path alike: none of its parts is a step (`..`), however it is written, and no slash is hidden, nor an escape that some servers read in another way.
fn is_plain(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    // Overlong UTF-8 begins with C0 or C1, and some servers know escapes of four digits.
    let is_hidden =
        ["%2f", "%5c", "\\", "%00", "%252", "%c0", "%c1", "%u"].iter().any(|it| lower.contains(it));
    !is_hidden && !lower.split('/').any(may_be_step)
}

/// Whether a server could take a part of a path for a step: what follows a semicolon is a parameter to some, and spaces and control characters at the end are nothing.
fn may_be_step(part: &str) -> bool {
    let part = unescaped(part);
    let name = part.split(|byte| *byte == b';').next().unwrap_or_default();
    let end =
        name.iter().rposition(|byte| byte.is_ascii_graphic() || *byte >= 0x80).map_or(0, |last| last + 1);
    matches!(&name[..end], b"." | b"..")
}

/// A part as it is meant, where what is escaped is well escaped.
fn unescaped(part: &str) -> Vec<u8> {
    let mut rest = part.as_bytes();
    let mut bytes = Vec::with_capacity(rest.len());
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..2).filter(|_| *first == b'%').and_then(|digits| str::from_utf8(digits).ok());
        let escaped = digits.filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        match escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    bytes
}

/// As keys have it.
impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let star = if self.is_prefix { "*" } else { "" };
        write!(f, "{}{star}", self.text)
    }
}
