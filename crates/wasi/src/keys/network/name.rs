//! Names of hosts, and patterns of them.
//!
//! A name has one form: small letters, no dot at its end. What the system's resolver would read as an address, such as `127.1` or `0x7f000001`, is no name: it would
//! lead where no key for that address was given.

use std::fmt;

use crate::keys::policy::matches_pattern;

/// Characters that a name and a part of one may have (RFC 1035).
const MOST_CHARS: usize = 253;
const MOST_LABEL_CHARS: usize = 63;

/// A host's name in its one form.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostName(Box<str>);

/// Names, part by part. In each part `*` stands for any text, so that `*.example.com` is `a.example.com`, and neither `example.com` nor `a.b.example.com`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NamePattern(Box<str>);

impl HostName {
    /// Reads a name.
    ///
    /// # Errors
    /// What is wrong, and what is expected.
    pub fn parse(text: &str) -> Result<HostName, String> {
        Ok(HostName(checked(text, |byte| byte == b'*')?))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is `localhost`.
    #[must_use]
    pub fn is_localhost(&self) -> bool {
        &*self.0 == "localhost"
    }
}

impl NamePattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// What is wrong, and what is expected.
    pub(super) fn parse(text: &str) -> Result<NamePattern, String> {
        match checked(text, |_| false)? {
            // Printed, it would be every name of any number of parts, and every address.
            name if &*name == "*" => {
                Err(format!("`{text}` has one part that is anything: write * for every host"))
            }
            name => Ok(NamePattern(name)),
        }
    }

    /// Whether it stands for `name`.
    #[must_use]
    pub fn matches(&self, name: &HostName) -> bool {
        let (mut parts, mut labels) = (self.0.split('.'), name.0.split('.'));
        loop {
            match (parts.next(), labels.next()) {
                (None, None) => return true,
                (Some(part), Some(label)) if matches_pattern(part, label) => {}
                _ => return false,
            }
        }
    }

    pub(in crate::keys) fn is_localhost(&self) -> bool {
        &*self.0 == "localhost"
    }

    /// Whether it stands for more than one name.
    #[must_use]
    pub fn has_wildcard(&self) -> bool {
        self.0.contains('*')
    }
}

impl From<&HostName> for NamePattern {
    fn from(name: &HostName) -> NamePattern {
        NamePattern(name.0.clone())
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A name in its one form, if it is one.
fn checked(text: &str, is_refused: impl Fn(u8) -> bool) -> Result<Box<str>, String> {
    let name = text.strip_suffix('.').unwrap_or(text);
    if name.is_empty() {
        return Err(format!("`{text}` is no name: write one such as example.com"));
    }
    if !name.is_ascii() {
        return Err(format!(
            "`{text}` has letters that names do not have on the wire: write the name in its ASCII form, xn--..."
        ));
    }
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'*' | b'.');
    if let Some(byte) = name.bytes().find(|&byte| !is_allowed(byte) || is_refused(byte)) {
        return Err(format!(
            "`{text}` is no name, as it has {:?} in it: write one such as example.com",
            char::from(byte)
        ));
    }
    if name.len() > MOST_CHARS
        || name.split('.').any(|label| label.is_empty() || label.len() > MOST_LABEL_CHARS)
    {
        return Err(format!(
            "`{text}` is no name: it has at most {MOST_CHARS} characters, and between two dots at least one and at most {MOST_LABEL_CHARS}"
        ));
    }
    if is_numeric(name.rsplit('.').next().unwrap_or(name)) {
        return Err(format!(
            "`{text}` ends in a number and is no address: write one as 192.0.2.1 or [2001:db8::1]"
        ));
    }
    Ok(name.to_ascii_lowercase().into())
}

/// Whether the last part of a name has the name read as an address.
fn is_numeric(label: &str) -> bool {
    let hexadecimal = label.strip_prefix("0x").or_else(|| label.strip_prefix("0X"));
    match hexadecimal {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => label.bytes().all(|byte| byte.is_ascii_digit()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_one_form() {
        for (text, name) in [
            ("Example.COM", "example.com"),
            ("example.com.", "example.com"),
            ("localhost", "localhost"),
            ("_dns.example", "_dns.example"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("1.2.3.4.example", "1.2.3.4.example"),
        ] {
            assert_eq!(HostName::parse(text).map(|name| name.to_string()), Ok(name.to_owned()), "{text}");
        }
        let long = "a".repeat(64);
        let longer = ["abc"; 80].join(".");
        for text in [
            "",
            ".",
            "..",
            "a..b",
            ".a",
            "b\u{fc}cher.example",
            "a b",
            "a/b",
            "a:b",
            "a\0b",
            "user@a",
            "*.a",
            "127.1",
            "1.2.3.4",
            "2130706433",
            "0x7f000001",
            "a.0X7F",
            "a.0x",
            "1.2.3.4.",
            &long,
            &longer,
        ] {
            assert!(HostName::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_star_stays_within_its_part() {
        for (pattern, name, expected) in [
            ("*.example.com", "a.example.com", true),
            ("*.example.com", "example.com", false),
            ("*.example.com", "a.b.example.com", false),
            ("*.example.com", "a.example.com.evil.net", false),
            ("api-*.example.com", "api-1.example.com", true),
            ("api-*.example.com", "www.example.com", false),
            ("*.*", "example.com", true),
            ("*.*", "localhost", false),
            ("EXAMPLE.com.", "example.com", true),
            ("a*b.c", "ab.c", true),
            ("a*b.c", "a.b.c", false),
        ] {
            let pattern = NamePattern::parse(pattern).expect("pattern");
            assert_eq!(pattern.matches(&HostName::parse(name).expect("name")), expected, "{pattern} {name}");
        }
    }
}
