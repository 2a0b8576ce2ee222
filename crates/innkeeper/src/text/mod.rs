//! Modules in the text format.

mod items;
mod place;

use std::borrow::Cow;

pub use place::message_in_text;

use innkeeper_engine::{Config, Error, ErrorKind};

/// Bytes of address space that translating one byte of text takes at most, with what the allocator cannot use: a tag without a type, in five bytes, takes the most.
const BYTES_OF_TEXT_BYTE: usize = 224;

/// What [`to_binary`] takes at most for so many bytes of text. Its allocations do not fail gently: whoever may have less asks the system before.
#[must_use]
pub const fn text_memory_bytes(text_bytes: usize) -> usize {
    text_bytes.saturating_mul(BYTES_OF_TEXT_BYTE).saturating_add(64 << 10)
}

/// The binary format of `bytes`, which are a module in either format.
///
/// # Errors
/// [`ErrorKind::Text`] with line, column and reason where the text is not a module, or a component with so many items that it would take very long.
pub fn to_binary(bytes: &[u8]) -> Result<Cow<'_, [u8]>, Error> {
    if let Ok(text) = std::str::from_utf8(bytes)
        && !bytes.starts_with(b"\0")
    {
        items::check(text)?;
    }
    wat::parse_bytes(bytes).map_err(|error| Error::new(ErrorKind::Text(error.to_string())))
}

/// [`to_binary`] for an engine, of text that it may take the memory for.
pub(crate) fn translate(config: &Config, text: &[u8]) -> Result<Vec<u8>, Error> {
    let (needed, limit) = (text_memory_bytes(text.len()), config.limits.memory_bytes);
    if let Some(limit) = limit
        && needed as u64 > limit
    {
        return Err(Error::limit(format!(
            "a module of {} bytes of text may take {needed} bytes to be read, and the limit is {limit} (Limits::memory_bytes)",
            text.len()
        )));
    }
    to_binary(text).map(Cow::into_owned)
}
