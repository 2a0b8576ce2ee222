//! The bound on what a guest writes in all.
//!
//! What makes a file longer counts as if it were written, also where nothing is: a length that is set, space that is allocated, the gap before what is written
//! beyond the end. Whoever copies or archives such a file writes it all.

use std::borrow::Cow;
use std::io::IoSlice;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
#[cfg(feature = "component")]
use std::task::Poll;

use super::Host;
use super::error::Error;

/// Bytes that may still be written.
#[derive(Debug)]
pub(super) struct Allowance {
    left: AtomicU64,
    limit_bytes: u64,
    refusals: AtomicU64,
    /// Held from where it is measured how much longer a file becomes until it is: whatever else decides that, another thread's too, comes before or after. That is where a
    /// write goes (positions, whether it appends) and where a file ends.
    measuring: Mutex<()>,
}

impl Allowance {
    pub(super) fn new(bytes: u64) -> Allowance {
        Allowance {
            left: AtomicU64::new(bytes),
            limit_bytes: bytes,
            refusals: AtomicU64::new(0),
            measuring: Mutex::default(),
        }
    }

    /// The limit, if something was refused because of it.
    pub(super) fn exceeded(&self) -> Option<u64> {
        (self.refusals.load(Ordering::Relaxed) > 0).then_some(self.limit_bytes)
    }

    fn refuse(&self) -> Error {
        self.refusals.fetch_add(1, Ordering::Relaxed);
        Error::Quota
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

/// As much of a guest's buffers as it may still write, taken from that.
pub(super) struct Allowed<'a> {
    unwritten: Unwritten<'a>,
    buffers: Cow<'a, [IoSlice<'a>]>,
}

/// What of it has not been written yet, which is given back in the end, also where nobody waits for it any more. So each call of the system's that writes is noted at
/// once, before anything is waited for.
pub(super) struct Unwritten<'a> {
    allowance: Option<&'a Allowance>,
    left: u64,
}

impl<'a> Allowed<'a> {
    /// The buffers, and who is to be told what of them is written.
    pub(super) fn parts(&mut self) -> (&[IoSlice<'a>], &mut Unwritten<'a>) {
        (&self.buffers, &mut self.unwritten)
    }
}

impl Unwritten<'_> {
    /// Notes how many bytes more have been written.
    pub(super) fn settle(&mut self, result: &Result<usize, Error>) {
        self.left = self.left.saturating_sub(*result.as_ref().unwrap_or(&0) as u64);
    }
}

impl Drop for Unwritten<'_> {
    fn drop(&mut self) {
        if let Some(allowance) = self.allowance {
            allowance.give_back(self.left);
        }
    }
}

impl Host {
    /// Takes as much of the buffers as the guest may still write.
    ///
    /// # Errors
    /// [`Error::Quota`] if that is nothing.
    pub(super) fn take_allowance<'a>(&'a self, buffers: &'a [IoSlice<'a>]) -> Result<Allowed<'a>, Error> {
        let Some(allowance) = &self.allowance else {
            let unwritten = Unwritten { allowance: None, left: 0 };
            return Ok(Allowed { unwritten, buffers: Cow::Borrowed(buffers) });
        };
        let wanted: u64 = buffers.iter().map(|buffer| buffer.len() as u64).sum();
        let taken = allowance.take(wanted);
        if taken == 0 && wanted > 0 {
            return Err(allowance.refuse());
        }
        let buffers = if taken == wanted { Cow::Borrowed(buffers) } else { Cow::Owned(cut(buffers, taken)) };
        Ok(Allowed { unwritten: Unwritten { allowance: Some(allowance), left: taken }, buffers })
    }

    /// Takes all of the buffers, of which part is of no use.
    ///
    /// # Errors
    /// [`Error::Quota`] if the guest may not write as much.
    pub(super) fn take_whole_allowance<'a>(
        &'a self,
        buffers: &'a [IoSlice<'a>],
    ) -> Result<Allowed<'a>, Error> {
        let allowed = self.take_allowance(buffers)?;
        let length = |buffers: &[IoSlice<'_>]| -> usize { buffers.iter().map(|buffer| buffer.len()).sum() };
        match &self.allowance {
            Some(allowance) if length(&allowed.buffers) < length(buffers) => Err(allowance.refuse()),
            _ => Ok(allowed),
        }
    }

    /// Lets `write` write as much of the buffers as the guest may still write.
    ///
    /// # Errors
    /// [`Error::Quota`] if that is nothing; those of `write`.
    pub(super) fn within_allowance(
        &self,
        buffers: &[IoSlice<'_>],
        write: impl FnOnce(&[IoSlice<'_>]) -> Result<usize, Error>,
    ) -> Result<usize, Error> {
        if self.allowance.is_none() {
            return write(buffers);
        }
        let mut allowed = self.take_allowance(buffers)?;
        let (buffers, unwritten) = allowed.parts();
        let result = write(buffers);
        unwritten.settle(&result);
        result
    }
}

#[cfg(feature = "component")]
impl Host {
    /// Lets `write` write as many of the bytes as the guest may still write, to what is no handle of the system's. Where it cannot now, nothing is used up.
    ///
    /// # Errors
    /// [`Error::Quota`] if the guest may write nothing more.
    pub fn poll_within_allowance<E>(
        &self,
        bytes: &[u8],
        write: impl FnOnce(&[u8]) -> Poll<Result<usize, E>>,
    ) -> Poll<Result<Result<usize, E>, Error>> {
        let buffers = [IoSlice::new(bytes)];
        let mut allowed = match self.take_allowance(&buffers) {
            Ok(allowed) => allowed,
            Err(error) => return Poll::Ready(Err(error)),
        };
        let (buffers, unwritten) = allowed.parts();
        let outcome = write(buffers.first().map_or(&[][..], |buffer| &**buffer));
        if let Poll::Ready(Ok(count)) = &outcome {
            unwritten.settle(&Ok(*count));
        }
        outcome.map(Ok)
    }
}

impl Host {
    /// Lets `write` write to a file as [`Host::within_allowance`] does, after whatever it leaves unwritten between the end of the file and the place where it
    /// writes.
    ///
    /// # Errors
    /// As [`Host::within_allowance`], and those of `gap`, which is asked only where there is a limit.
    pub(super) fn within_allowance_after_gap(
        &self,
        gap: impl FnOnce() -> Result<u64, Error>,
        buffers: &[IoSlice<'_>],
        write: impl FnOnce(&[IoSlice<'_>]) -> Result<usize, Error>,
    ) -> Result<usize, Error> {
        if self.allowance.is_none() || buffers.iter().all(|buffer| buffer.is_empty()) {
            return self.within_allowance(buffers, write);
        }
        self.growing(gap, || self.within_allowance(buffers, write))
    }

    /// Keeps other threads of the guest from changing where writes go and where files end, if there is a limit. Not to be held while something is waited for.
    pub(super) fn alone_with_sizes(&self) -> Option<MutexGuard<'_, ()>> {
        let allowance = self.allowance.as_ref()?;
        Some(allowance.measuring.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Lets `grow` make a file longer by `growth` bytes, if the guest may still write as many.
    ///
    /// # Errors
    /// [`Error::Quota`]; those of `grow`, and of `growth`, which is asked only where there is a limit.
    pub(super) fn growing<T>(
        &self,
        growth: impl FnOnce() -> Result<u64, Error>,
        grow: impl FnOnce() -> Result<T, Error>,
    ) -> Result<T, Error> {
        let Some(allowance) = &self.allowance else {
            return grow();
        };
        let _alone = self.alone_with_sizes();
        let wanted = growth()?;
        let taken = allowance.take(wanted);
        let result = if taken == wanted { grow() } else { Err(allowance.refuse()) };
        if result.is_err() {
            allowance.give_back(taken);
        }
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
