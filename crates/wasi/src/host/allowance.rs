//! The bound on what a guest writes in all.

use std::io::IoSlice;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Host;
use super::error::Error;

/// Bytes that may still be written.
#[derive(Debug)]
pub(super) struct Allowance {
    left: AtomicU64,
}

impl Allowance {
    pub(super) fn new(bytes: u64) -> Allowance {
        Allowance { left: AtomicU64::new(bytes) }
    }

    /// Takes up to `wanted` bytes.
    fn take(&self, wanted: u64) -> u64 {
        let mut taken = 0;
        // The closure always gives a value.
        let _ = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
            taken = wanted.min(left);
            Some(left - taken)
        });
        taken
    }

    fn give_back(&self, bytes: u64) {
        self.left.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl Host {
    /// Lets `write` write as much of the buffers as the guest may still write.
    ///
    /// # Errors
    /// [`Error::Quota`] if that is nothing; those of `write`.
    pub(super) fn within_allowance(
        &self,
        buffers: &[IoSlice<'_>],
        write: impl FnOnce(&[IoSlice<'_>]) -> Result<usize, Error>,
    ) -> Result<usize, Error> {
        let Some(allowance) = &self.allowance else {
            return write(buffers);
        };
        let wanted: u64 = buffers.iter().map(|buffer| buffer.len() as u64).sum();
        let taken = allowance.take(wanted);
        let result = match taken {
            0 if wanted > 0 => Err(Error::Quota),
            _ if taken == wanted => write(buffers),
            _ => write(&cut(buffers, taken)),
        };
        allowance.give_back(taken.saturating_sub(*result.as_ref().unwrap_or(&0) as u64));
        result
    }
}

/// The first `length` bytes of the buffers.
fn cut<'a>(buffers: &'a [IoSlice<'_>], length: u64) -> Vec<IoSlice<'a>> {
    let mut left = usize::try_from(length).unwrap_or(usize::MAX);
    let mut cut = Vec::with_capacity(buffers.len());
    for buffer in buffers {
        let count = buffer.len().min(left);
        cut.push(IoSlice::new(&buffer[..count]));
        left -= count;
    }
    cut
}
