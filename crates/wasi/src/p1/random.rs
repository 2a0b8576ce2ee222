//! Randomness.

use super::context::Context;
use super::errno::Errno;
use super::memory::{GuestMemory, Pointer, element};

/// Bytes that are made at once.
const PORTION_BYTES: u32 = 1 << 20;

/// Fills `length` bytes at `buffer` with unpredictable bytes.
///
/// # Errors
/// `fault`; then nothing is written. `intr` in the middle of very many.
///
/// Specification: `random_get`.
pub(super) fn random_get(
    cx: &mut Context,
    memory: &mut GuestMemory<'_>,
    buffer: Pointer,
    length: u32,
) -> Result<(), Errno> {
    memory.check(buffer, length.into())?;
    // A memory that threads share is written by way of a copy, which had better not be gigabytes long.
    for start in (0..length).step_by(PORTION_BYTES as usize) {
        let portion = PORTION_BYTES.min(length - start);
        let filled = |bytes: &mut [u8]| cx.host.fill_random(bytes).map(|()| bytes.len());
        memory.fill_bytes(element(buffer, start, 1)?, portion, filled)?;
    }
    Ok(())
}
