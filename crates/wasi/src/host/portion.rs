//! Calls of the system that move as many bytes as a guest says, in portions: between two of them an interrupt is heard.
//!
//! Must stay true: what moved before an interrupt is told of, as it is after a signal; an interrupt that came before the first byte is an error.

use std::io::{IoSlice, IoSliceMut};
use std::ops::{ControlFlow, Deref};
use std::os::fd::BorrowedFd;

use super::error::Error;
use super::gate::Permit;
use super::{Host, sys};

/// As many bytes are moved at once: some milliseconds, also where the system has to find memory for each page of them.
pub(super) const PORTION_BYTES: usize = 1 << 20;

/// As much of a file changes its size at once. On a file system in memory that takes some milliseconds.
pub(super) const RESIZED_BYTES: u64 = 64 << 20;

/// What of a vector of buffers is written at once.
pub(super) enum Portion<'a> {
    /// All of it, where that is little.
    All(&'a [IoSlice<'a>]),
    Chunk([IoSlice<'a>; 1]),
}

impl<'a> Deref for Portion<'a> {
    type Target = [IoSlice<'a>];

    fn deref(&self) -> &[IoSlice<'a>] {
        match self {
            Portion::All(buffers) => buffers,
            Portion::Chunk(chunk) => chunk,
        }
    }
}

/// Buffers in portions, in order.
pub(super) fn portions<'a>(buffers: &'a [IoSlice<'a>]) -> impl Iterator<Item = Portion<'a>> {
    let is_little = total(buffers) <= PORTION_BYTES;
    let chunked = if is_little { &[] } else { buffers };
    let chunks = chunked.iter().flat_map(|buffer| buffer.chunks(PORTION_BYTES));
    let chunks = chunks.map(|chunk| Portion::Chunk([IoSlice::new(chunk)]));
    is_little.then_some(Portion::All(buffers)).into_iter().chain(chunks)
}

/// How much has been moved of what a guest says, portion by portion.
#[derive(Default)]
pub(super) struct Moved {
    pub(super) bytes: usize,
}

impl Moved {
    /// Adds what has come of a portion of `wanted` bytes; breaks where it was the last.
    ///
    /// # Errors
    /// That of the portion, if nothing moved before it.
    pub(super) fn add(
        &mut self,
        wanted: usize,
        done: Result<usize, Error>,
    ) -> Result<ControlFlow<()>, Error> {
        match done {
            Err(error) if self.bytes == 0 => Err(error),
            Err(_) => Ok(ControlFlow::Break(())),
            Ok(count) => {
                self.bytes += count;
                Ok(if count < wanted { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
            }
        }
    }
}

impl Host {
    /// Whether the guest's waits are to end.
    pub(crate) fn is_interrupted(&self) -> bool {
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

    /// As [`Host::heed_interrupt`], before each of several portions.
    pub(super) fn heed_before(&self, portion: &Portion<'_>) -> Result<(), Error> {
        match portion {
            Portion::All(_) => Ok(()),
            Portion::Chunk(_) => self.heed_interrupt(),
        }
    }

    /// The first portion of buffers that are more than one, where what comes after it may have to be waited for.
    ///
    /// # Errors
    /// [`Error::Interrupted`].
    pub(super) fn first_portion<'a>(
        &self,
        buffers: &'a mut [IoSliceMut<'_>],
    ) -> Result<Option<IoSliceMut<'a>>, Error> {
        if total(buffers) <= PORTION_BYTES {
            return Ok(None);
        }
        self.heed_interrupt()?;
        let first = buffers.iter_mut().find(|buffer| !buffer.is_empty());
        Ok(first.and_then(|buffer| buffer.chunks_mut(PORTION_BYTES).next()).map(IoSliceMut::new))
    }

    /// Fills the buffers with `read`, which is given those of one portion and how many bytes came before; less than it has room for is the end.
    ///
    /// # Errors
    /// Those of `read`, and [`Error::Interrupted`], if nothing came before.
    pub(super) fn read_in_portions(
        &self,
        buffers: &mut [IoSliceMut<'_>],
        mut read: impl FnMut(&mut [IoSliceMut<'_>], u64) -> Result<usize, Error>,
    ) -> Result<usize, Error> {
        if total(buffers) <= PORTION_BYTES {
            return read(buffers, 0);
        }
        let chunks = buffers.iter_mut().flat_map(|buffer| buffer.chunks_mut(PORTION_BYTES));
        let mut moved = Moved::default();
        for chunk in chunks {
            let (wanted, before) = (chunk.len(), moved.bytes as u64);
            let done = self.heed_interrupt().and_then(|()| read(&mut [IoSliceMut::new(chunk)], before));
            if moved.add(wanted, done)?.is_break() {
                break;
            }
        }
        Ok(moved.bytes)
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
        let mut moved = Moved::default();
        for portion in portions(buffers) {
            let before = moved.bytes as u64;
            let done = self.heed_before(&portion).and_then(|()| write(&portion, before));
            if moved.add(total(&portion), done)?.is_break() {
                break;
            }
        }
        Ok(moved.bytes)
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
}

/// Bytes of buffers, all together.
pub(super) fn total<B: std::ops::Deref<Target = [u8]>>(buffers: &[B]) -> usize {
    buffers.iter().map(|buffer| buffer.len()).sum()
}
