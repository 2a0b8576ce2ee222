//! Randomness.

use super::context::Context;
use super::errno::Errno;
use super::memory::{GuestMemory, Pointer};

/// Fills `length` bytes at `buffer` with unpredictable bytes.
///
/// # Errors
/// `fault`; then nothing is written.
///
/// Specification: `random_get`.
pub fn random_get(
    cx: &mut Context,
    memory: &mut GuestMemory<'_>,
    buffer: Pointer,
    length: u32,
) -> Result<(), Errno> {
    memory.fill_bytes(buffer, length, |bytes| cx.host.fill_random(bytes).map(|()| bytes.len())).map(drop)
}
