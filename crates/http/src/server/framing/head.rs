//! The lines of a head, as far as they say how long the body is.

use super::Ambiguous;

/// A body that is longer is none.
const MOST_BYTES: u64 = u64::MAX >> 1;

/// What the lines of a head have said so far.
#[derive(Debug, Default)]
pub(super) struct Head {
    has_begun: bool,
    /// Before HTTP/1.1, nothing but a number of bytes can say where a body ends.
    is_old: bool,
    length: Option<u64>,
    is_chunked: bool,
}

/// How long a body is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum BodyLength {
    Bytes(u64),
    Chunked,
}

impl Head {
    /// Whether there was a line that is not empty.
    pub(super) fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// The next line: the request's own, or a field. Empty ones before all others count for nothing.
    pub(super) fn line(&mut self, line: &[u8]) -> Result<(), Ambiguous> {
        if line.is_empty() {
            return Ok(());
        }
        if !std::mem::replace(&mut self.has_begun, true) {
            self.is_old = !line.ends_with(b" HTTP/1.1");
            return Ok(());
        }
        let (name, value) = field(line)?;
        if name.eq_ignore_ascii_case(b"content-length") {
            let length = decimal(value).ok_or(Ambiguous)?;
            if self.length.replace(length).is_some() {
                return Err(Ambiguous);
            }
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            let is_first = !std::mem::replace(&mut self.is_chunked, true);
            if !is_first || self.is_old || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(Ambiguous);
            }
        }
        Ok(())
    }

    /// What they have said, when all have.
    pub(super) fn body_length(&self) -> Result<BodyLength, Ambiguous> {
        match (self.is_chunked, self.length) {
            (true, Some(_)) => Err(Ambiguous),
            (true, None) => Ok(BodyLength::Chunked),
            (false, length) => Ok(BodyLength::Bytes(length.unwrap_or(0))),
        }
    }
}

/// A line's name and value. No line continues the one before (obs-fold), and nothing is between name and colon.
pub(super) fn field(line: &[u8]) -> Result<(&[u8], &[u8]), Ambiguous> {
    let colon = line.iter().position(|byte| *byte == b':').ok_or(Ambiguous)?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    match !name.is_empty() && name.iter().all(|byte| is_token(*byte)) {
        true => Ok((name, trimmed(value))),
        false => Err(Ambiguous),
    }
}

/// RFC 9110, section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Without spaces and tabs around it, which alone count as such.
fn trimmed(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

fn decimal(value: &[u8]) -> Option<u64> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    str::from_utf8(value).ok()?.parse().ok().filter(|length| *length <= MOST_BYTES)
}
