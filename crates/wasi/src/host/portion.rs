//! Calls of the system that move as many bytes as a guest says, in portions: between two of them an interrupt is heard.
//!
//! Must stay true: what moved before an interrupt is told of, as it is after a signal; an interrupt that came before the first byte is an error.

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::BorrowedFd;

use super::error::Error;
use super::gate::Permit;
use super::{Host, sys};

/// As many bytes are moved at once: some milliseconds, also where the system has to find memory for each page of them.
pub(super) const PORTION_BYTES: usize = 1 << 20;

/// As much of a file changes its size at once. On a file system in memory that takes some milliseconds.
pub(super) const RESIZED_BYTES: u64 = 64 << 20;

/// Whether all of the buffers are moved, or as much of them as is there at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HowMuch {
    /// All that the buffers have room for, where nothing ends before.
    All,
    /// One portion at most: where more may have to be waited for.
    Some,
}

impl Host {
    /// Whether the guest's waits are to end.
    pub(super) fn is_interrupted(&self) -> bool {
        self.interrupt.get().is_some_and(super::Interrupt::is_raised)
            || self.store.as_ref().is_some_and(super::StoreStop::is_asked)
    }

    /// An error where the guest's waits are to end, for what does not wait and may take long.
    ///
    /// # Errors
    /// [`Error::Interrupted`].
    pub(super) fn heed_interrupt(&self) -> Result<(), Error> {
        if self.is_interrupted() { Err(Error::Interrupted) } else { Ok(()) }
    }

    /// Fills the buffers with `read`, which is given those of one portion and how many bytes came before; less than it has room for is the end.
    ///
    /// # Errors
    /// Those of `read`, and [`Error::Interrupted`], if nothing came before.
    pub(super) fn read_in_portions(
        &self,
        how_much: HowMuch,
        buffers: &mut [IoSliceMut<'_>],
        mut read: impl FnMut(&mut [IoSliceMut<'_>], u64) -> Result<usize, Error>,
    ) -> Result<usize, Error> {
        if total(buffers) <= PORTION_BYTES {
            return read(buffers, 0);
        }
        let chunks = buffers.iter_mut().flat_map(|buffer| buffer.chunks_mut(PORTION_BYTES));
        self.move_chunks(how_much, chunks, |chunk, before| {
            let wanted = chunk.len();
            Ok((wanted, read(&mut [IoSliceMut::new(chunk)], before)?))
        })
    }

    /// As [`Host::read_in_portions`], for writing.
    ///
    /// # Errors
    /// Those of `write`, and [`Error::Interrupted`], if nothing was written before.
    pub(super) fn write_in_portions(
        &self,
        buffers: &[IoSlice<'_>],
        mut write: impl FnMut(&[IoSlice<'_>], u64) -> Result<usize, Error>,
    ) -> Result<usize, Error> {
        if total(buffers) <= PORTION_BYTES {
            return write(buffers, 0);
        }
        let chunks = buffers.iter().flat_map(|buffer| buffer.chunks(PORTION_BYTES));
        self.move_chunks(HowMuch::All, chunks, |chunk, before| {
            Ok((chunk.len(), write(&[IoSlice::new(chunk)], before)?))
        })
    }

    /// Cuts or grows a file of the system's. A long one is cut in portions: what it frees is given back at once.
    pub(super) fn set_size_in_portions(
        &self,
        permit: &Permit,
        fd: BorrowedFd<'_>,
        size_bytes: u64,
    ) -> Result<(), Error> {
        let mut now = sys::stat(permit, fd)?.size_bytes;
        while now > size_bytes.saturating_add(RESIZED_BYTES) {
            self.heed_interrupt()?;
            now -= RESIZED_BYTES;
            sys::set_size(permit, fd, now)?;
        }
        sys::set_size(permit, fd, size_bytes)
    }

    /// Makes sure of space, portion by portion. Where there turns out to be too little, the file has the size that it had.
    pub(super) fn allocate_in_portions(
        &self,
        permit: &Permit,
        fd: BorrowedFd<'_>,
        offset: u64,
        length: u64,
    ) -> Result<(), Error> {
        let end = offset.checked_add(length).filter(|end| i64::try_from(*end).is_ok());
        let end = end.ok_or(Error::FileTooLarge)?;
        if length <= RESIZED_BYTES {
            return sys::allocate(permit, fd, offset, length);
        }
        let size_before = sys::stat(permit, fd)?.size_bytes;
        let mut start = offset;
        while start < end {
            let portion = RESIZED_BYTES.min(end - start);
            let done = self.heed_interrupt().and_then(|()| sys::allocate(permit, fd, start, portion));
            if let Err(error) = done {
                if start > size_before {
                    // The reason why there is no space says more than a failure to give back what there was of it.
                    let _ = sys::set_size(permit, fd, size_before);
                }
                return Err(error);
            }
            start += portion;
        }
        Ok(())
    }

    /// Moves chunk by chunk; `step` says how many bytes were wanted and how many moved.
    fn move_chunks<C>(
        &self,
        how_much: HowMuch,
        chunks: impl Iterator<Item = C>,
        mut step: impl FnMut(C, u64) -> Result<(usize, usize), Error>,
    ) -> Result<usize, Error> {
        let mut moved = 0;
        for chunk in chunks {
            let done = self.heed_interrupt().and_then(|()| step(chunk, moved as u64));
            match done {
                Err(_) if moved > 0 => break,
                Err(error) => return Err(error),
                Ok((wanted, count)) => {
                    moved += count;
                    if count < wanted || how_much == HowMuch::Some && moved > 0 {
                        break;
                    }
                }
            }
        }
        Ok(moved)
    }
}

/// Bytes of buffers, all together.
fn total<B: std::ops::Deref<Target = [u8]>>(buffers: &[B]) -> usize {
    buffers.iter().map(|buffer| buffer.len()).sum()
}
