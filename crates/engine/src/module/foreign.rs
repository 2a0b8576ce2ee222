//! Bytes that are no module from the first one on: what they are instead, as far as it can be seen.
//!
//! What this is not: the command's list of kinds of files, which knows many more and has a mend for each.

use crate::error::{Error, ErrorKind};

/// What every module and component begins with.
const WASM: &[u8] = b"\0asm";

/// What files of `Module::serialize` begin with, in whichever version.
const SERIALIZED: &[u8] = b"\0innkeeper code";

/// Refuses what does not begin as a module does, in words that name it. A beginning of one that is cut off is left to the decoder.
pub(super) fn refuse(bytes: &[u8]) -> Result<(), Error> {
    let message = if bytes.is_empty() {
        "there are no bytes at all".to_owned()
    } else if WASM.starts_with(bytes) || bytes.starts_with(WASM) {
        return Ok(());
    } else if bytes.starts_with(SERIALIZED) {
        "it is a module together with its machine code, which `Module::deserialize` and `Module::deserialize_file` take".to_owned()
    } else {
        let begins = bytes[..bytes.len().min(WASM.len())].escape_ascii();
        format!("it begins with the bytes `{begins}`, where a module has `\\0asm`")
    };
    Err(Error::new(ErrorKind::Malformed { offset_bytes: 0, message }))
}
