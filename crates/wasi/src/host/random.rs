//! Randomness from the operating system.

use super::error::Error;
use super::gate::{Operation, Request};
use super::{Host, sys};

impl Host {
    /// Fills `buffer` with unpredictable bytes, in pieces of at most
    /// [`crate::keys::Limits::random_chunk_bytes`].
    ///
    /// # Errors
    /// What the system reports.
    pub fn fill_random(&self, buffer: &mut [u8]) -> Result<(), Error> {
        let permit = self.gate.decide(&Request::ambient(Operation::Random))?;
        for chunk in buffer.chunks_mut(self.limits.random_chunk_bytes.max(1)) {
            let mut filled = 0;
            while filled < chunk.len() {
                filled += sys::random(&permit, &mut chunk[filled..])?;
            }
        }
        Ok(())
    }
}
