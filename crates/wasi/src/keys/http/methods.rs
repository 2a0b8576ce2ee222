//! Methods of requests.

use std::collections::BTreeSet;
use std::fmt;

/// Methods that a key is for: some, or every one. They are compared as they are written: `get` is another than `GET`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HttpMethods(Option<BTreeSet<Box<str>>>);

/// Characters of a method beyond which nobody looks at it.
const MOST_CHARS: usize = 32;

impl HttpMethods {
    /// Every method.
    #[must_use]
    pub fn all() -> HttpMethods {
        HttpMethods(None)
    }

    /// One method, if keys can have it: guests may send any token.
    pub(super) fn of(name: &str) -> Option<HttpMethods> {
        Some(HttpMethods(Some([method(name).ok()?].into())))
    }

    /// Whether `method` is one of them.
    #[must_use]
    pub fn contains(&self, method: &str) -> bool {
        self.0.as_ref().is_none_or(|methods| methods.contains(method))
    }

    /// Reads methods: `GET`, `GET,POST`, or `*`.
    ///
    /// # Errors
    /// What is wrong, and what is expected.
    pub(super) fn parse(text: &str) -> Result<HttpMethods, String> {
        if text == "*" {
            return Ok(HttpMethods::all());
        }
        let methods: BTreeSet<Box<str>> = text.split(',').map(method).collect::<Result<_, _>>()?;
        Ok(HttpMethods(Some(methods)))
    }
}

/// Reads one method.
fn method(text: &str) -> Result<Box<str>, String> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'+-.^_`|~".contains(&byte);
    if text.is_empty() || text.len() > MOST_CHARS || !text.bytes().all(is_token) {
        return Err(format!("`{text}` is no method: write GET, a list such as GET,POST, or * for all"));
    }
    if text.bytes().all(|byte| byte.is_ascii_lowercase()) {
        return Err(format!("methods are written in capitals: write {}", text.to_ascii_uppercase()));
    }
    Ok(text.into())
}

/// As keys have it.
impl fmt::Display for HttpMethods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(methods) = &self.0 else { return f.write_str("*") };
        for (index, method) in methods.iter().enumerate() {
            let between = if index == 0 { "" } else { "," };
            write!(f, "{between}{method}")?;
        }
        Ok(())
    }
}
