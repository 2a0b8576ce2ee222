//! Modules in the text format.

use std::borrow::Cow;

use innkeeper_engine::{Error, ErrorKind};

/// The binary format of `bytes`, which are a module in either format.
///
/// # Errors
/// [`ErrorKind::Text`] with line, column and reason where the text is not a module.
pub fn to_binary(bytes: &[u8]) -> Result<Cow<'_, [u8]>, Error> {
    wat::parse_bytes(bytes).map_err(|error| Error::new(ErrorKind::Text(error.to_string())))
}
