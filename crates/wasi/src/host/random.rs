//! Randomness: the operating system's, or a stream of bytes that a seed determines.

use std::sync::{Mutex, PoisonError};

use super::error::Error;
use super::gate::{Operation, Request};
use super::{Host, sys};
use crate::keys::Random;

/// Where random bytes come from.
#[derive(Debug)]
pub(super) enum RandomSource {
    System,
    /// The output of a hash function of the seed, which goes on for ever.
    Stream(Box<Mutex<blake3::OutputReader>>),
}

impl RandomSource {
    pub(super) fn new(random: Random) -> RandomSource {
        match random {
            Random::Real => RandomSource::System,
            Random::Seeded(seed) => {
                let mut hasher = blake3::Hasher::new_derive_key("innkeeper seeded randomness of a guest");
                hasher.update(&seed.to_le_bytes());
                RandomSource::Stream(Box::new(Mutex::new(hasher.finalize_xof())))
            }
        }
    }
}

impl Host {
    /// Fills `buffer` with unpredictable bytes, in pieces of at most
    /// [`crate::keys::WasiLimits::random_chunk_bytes`]; with those that follow from the seed, if the keys have one.
    ///
    /// # Errors
    /// What the system reports; [`Error::Interrupted`] between two pieces.
    pub fn fill_random(&self, buffer: &mut [u8]) -> Result<(), Error> {
        let permit = self.gate.decide(&Request::ambient(Operation::Random))?;
        for chunk in buffer.chunks_mut(self.limits.random_chunk_bytes.max(1)) {
            self.heed_interrupt()?;
            match &self.random {
                RandomSource::System => {
                    let mut filled = 0;
                    while filled < chunk.len() {
                        filled += sys::random(&permit, &mut chunk[filled..])?;
                    }
                }
                RandomSource::Stream(stream) => {
                    stream.lock().unwrap_or_else(PoisonError::into_inner).fill(chunk);
                }
            }
        }
        Ok(())
    }
}
