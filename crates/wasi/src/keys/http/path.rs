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
        let is_written_so = path.starts_with('/') && !path.contains('*') && is_plain(path);
        is_written_so.then(|| PathPattern { text: path.into(), is_prefix: false })
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

/// Whether all servers read a path alike: none of its parts is a step (`..`), however it is written, and no slash is hidden.
fn is_plain(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    let is_hidden = ["%2f", "%5c", "\\", "%00", "%252"].iter().any(|hidden| lower.contains(hidden));
    // Some servers take what follows a semicolon for a parameter of the part.
    let is_step =
        |part: &str| matches!(&*part.split(';').next().unwrap_or_default().replace("%2e", "."), "." | "..");
    !is_hidden && !lower.split('/').any(is_step)
}

/// As keys have it.
impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let star = if self.is_prefix { "*" } else { "" };
        write!(f, "{}{star}", self.text)
    }
}
