//! `Content-Length`, which a guest may set, and what it promises.

use http::{HeaderMap, header};

/// What `Content-Length` promises: nothing where there is none.
///
/// # Errors
/// Where it is no one number.
pub(crate) fn promised(headers: &HeaderMap) -> Result<Option<u64>, ()> {
    let mut values = headers.get_all(header::CONTENT_LENGTH).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let digits = value.to_str().map_err(drop)?;
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number || values.next().is_some() {
        return Err(());
    }
    digits.parse().map(Some).map_err(drop)
}

/// Whether a message can be sent as its headers say.
pub(crate) fn is_sendable(headers: &HeaderMap) -> bool {
    promised(headers).is_ok()
}
