//! The guest's memory, and the only place where guest pointers and lengths are checked.
//!
//! Checks are done in 64-bit arithmetic, so nothing wraps. Numbers are little-endian and need no alignment. Nobody else sees the
//! raw bytes. Memory of a guest's own is lent to the system as it is; a memory that threads share is copied from and
//! to, since nobody can borrow what another thread writes.
//!
//! What a call read and wrote can be noted in a journal, for whoever records calls.

use std::borrow::Cow;
use std::io::{IoSlice, IoSliceMut};
use std::ops::Range;

use innkeeper_engine::SharedMemory;

use super::buffers::{
    Buffer, Buffers, Copied, Lent, LentMut, SlicesMut, copy_out, overlap, room_for, split, zeros,
};
use super::errno::Errno;
use super::journal::Journal;

/// Buffers used of one vector; what is beyond them is left to the guest's next call.
const MAX_BUFFERS: u32 = 1024;

/// Bytes of a buffer that are looked at at once to be noted.
const NOTED_BYTES: usize = 1 << 20;

/// Longest path read from a guest, in bytes. None that is longer can exist on the host.
const MAX_PATH_BYTES: u32 = 4095;

/// An address in guest memory: an allegation until a method of [`GuestMemory`] has checked it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pointer(pub u32);

/// The memory of a guest for the time of one call.
#[derive(Debug)]
pub struct GuestMemory<'a> {
    bytes: Bytes<'a>,
    journal: Option<&'a Journal>,
}

#[derive(Debug)]
enum Bytes<'a> {
    Own(&'a mut [u8]),
    Shared(&'a SharedMemory),
}

impl<'a> GuestMemory<'a> {
    /// The memory with these bytes.
    #[must_use]
    pub fn new(bytes: &'a mut [u8]) -> GuestMemory<'a> {
        GuestMemory { bytes: Bytes::Own(bytes), journal: None }
    }

    /// A memory that threads share.
    #[must_use]
    pub fn shared(memory: &'a SharedMemory) -> GuestMemory<'a> {
        GuestMemory { bytes: Bytes::Shared(memory), journal: None }
    }

    /// The same memory, noting in `journal` what is read and written.
    #[must_use]
    pub(super) fn with_journal(self, journal: &'a Journal) -> GuestMemory<'a> {
        GuestMemory { journal: Some(journal), ..self }
    }

    /// The same memory, noting nothing any more.
    pub(super) fn without_journal(self) -> GuestMemory<'a> {
        GuestMemory { journal: None, ..self }
    }

    /// Checks that `length` bytes at `pointer` lie in memory.
    ///
    /// # Errors
    /// `fault` if not.
    #[inline]
    pub fn check(&self, pointer: Pointer, length: u64) -> Result<(), Errno> {
        self.range(u64::from(pointer.0), length).map(drop)
    }

    /// `length` bytes at `pointer`.
    ///
    /// # Errors
    /// `fault` if they do not lie in memory, `nomem` if they cannot be copied.
    pub fn bytes(&self, pointer: Pointer, length: u32) -> Result<Cow<'_, [u8]>, Errno> {
        let range = self.range(pointer.0.into(), length.into())?;
        let bytes = self.get(range.clone())?;
        self.note_read(&range, &bytes);
        Ok(bytes)
    }

    /// A path: text of a length that a path can have.
    ///
    /// # Errors
    /// `fault`, `nametoolong`, and `ilseq` if it is not UTF-8.
    pub fn path(&self, pointer: Pointer, length: u32) -> Result<Cow<'_, [u8]>, Errno> {
        self.check(pointer, length.into())?;
        if length > MAX_PATH_BYTES {
            return Err(Errno::NameTooLong);
        }
        let bytes = self.bytes(pointer, length)?;
        match std::str::from_utf8(&bytes) {
            Ok(_) => Ok(bytes),
            Err(_) => Err(Errno::Ilseq),
        }
    }

    /// Copies `bytes` to `pointer`.
    ///
    /// # Errors
    /// `fault` if they do not fit there; then nothing is written.
    #[inline]
    pub fn write(&mut self, pointer: Pointer, bytes: &[u8]) -> Result<(), Errno> {
        let range = self.range(pointer.0.into(), bytes.len() as u64)?;
        self.note_written(&range);
        self.set(range, bytes)
    }

    /// Writes a 32-bit number.
    ///
    /// # Errors
    /// `fault`.
    #[inline]
    pub fn write_u32(&mut self, pointer: Pointer, value: u32) -> Result<(), Errno> {
        self.write_array(pointer, value.to_le_bytes())
    }

    /// Writes a 64-bit number.
    ///
    /// # Errors
    /// `fault`.
    #[inline]
    pub fn write_u64(&mut self, pointer: Pointer, value: u64) -> Result<(), Errno> {
        self.write_array(pointer, value.to_le_bytes())
    }

    /// As [`GuestMemory::write`], for a length that is known beforehand.
    #[inline]
    fn write_array<const N: usize>(&mut self, pointer: Pointer, bytes: [u8; N]) -> Result<(), Errno> {
        let start = pointer.0 as usize;
        if let (Bytes::Own(memory), None) = (&mut self.bytes, self.journal)
            && let Some(place) = memory.get_mut(start..).and_then(<[u8]>::first_chunk_mut)
        {
            *place = bytes;
            return Ok(());
        }
        self.write(pointer, &bytes)
    }

    /// Copies `N` bytes from `pointer`.
    ///
    /// # Errors
    /// `fault`.
    pub fn read<const N: usize>(&self, pointer: Pointer) -> Result<[u8; N], Errno> {
        let range = self.range(pointer.0.into(), N as u64)?;
        let mut copy = [0; N];
        match &self.bytes {
            Bytes::Own(bytes) => copy.copy_from_slice(&bytes[range.clone()]),
            Bytes::Shared(memory) => {
                memory.read(range.start as u64, &mut copy).map_err(|_| Errno::Fault)?;
            }
        }
        self.note_read(&range, &copy);
        Ok(copy)
    }

    /// Reads a 32-bit number.
    ///
    /// # Errors
    /// `fault`.
    pub fn read_u32(&self, pointer: Pointer) -> Result<u32, Errno> {
        self.read(pointer).map(u32::from_le_bytes)
    }

    /// Reads a vector of buffers (`iovec` or `ciovec`) and checks each. At most 1024 are used: a
    /// longer vector is read or written in part.
    ///
    /// # Errors
    /// `fault` if the vector or a buffer does not lie in memory; `inval` if the buffers' lengths add up
    /// to more than a result can say.
    pub(super) fn buffers(&self, vector: Pointer, count: u32) -> Result<Buffers, Errno> {
        self.check(vector, u64::from(count) * 8)?;
        if count == 1 {
            return self.buffer(self.read(vector)?).map(Buffers::One);
        }
        let mut total = 0_u64;
        let buffers: Result<Vec<Buffer>, Errno> = (0..count.min(MAX_BUFFERS))
            .map(|index| {
                let buffer = self.buffer(self.read(element(vector, index, 8)?)?)?;
                total += buffer.length as u64;
                if total > u64::from(u32::MAX) { Err(Errno::Inval) } else { Ok(buffer) }
            })
            .collect();
        buffers.map(Buffers::Many)
    }

    /// Lets `write` take bytes out of the buffers, as [`GuestMemory::lend`] has it.
    ///
    /// # Errors
    /// Those of `write`; `fault`.
    #[inline]
    pub(super) fn gather<R, E>(
        &self,
        buffers: &Buffers,
        write: impl FnOnce(&[IoSlice<'_>]) -> Result<R, E>,
    ) -> Result<R, Errno>
    where
        Errno: From<E>,
    {
        // What most calls have needs nothing that could hold all there may be.
        if let (Bytes::Own(bytes), Buffers::One(buffer), None) = (&self.bytes, buffers, self.journal) {
            return Ok(write(&[IoSlice::new(&bytes[buffer.range()])])?);
        }
        Ok(write(&self.lend(buffers)?.slices())?)
    }

    /// What is in the buffers, in order, for whoever writes it. They may overlap. Of a shared memory it may be less than all.
    ///
    /// # Errors
    /// `fault`, and `nomem` if a shared memory's bytes cannot be copied.
    pub(super) fn lend(&self, buffers: &Buffers) -> Result<Lent<'_>, Errno> {
        if self.journal.is_some() {
            for buffer in buffers.as_slice() {
                self.note_buffer(buffer)?;
            }
        }
        Ok(match (&self.bytes, buffers) {
            (Bytes::Own(bytes), Buffers::One(buffer)) => Lent::One([IoSlice::new(&bytes[buffer.range()])]),
            (Bytes::Own(bytes), Buffers::Many(buffers)) => {
                Lent::Many(buffers.iter().map(|buffer| IoSlice::new(&bytes[buffer.range()])).collect())
            }
            (Bytes::Shared(memory), buffers) => Lent::Copy(copy_out(memory, buffers.as_slice())?),
        })
    }

    /// Lets `read` put bytes into the buffers, as [`GuestMemory::lend_mut`] has it, and say how many it put.
    ///
    /// # Errors
    /// Those of `read`; `fault`.
    #[inline]
    pub(super) fn fill<E>(
        &mut self,
        buffers: &Buffers,
        read: impl FnOnce(&mut [IoSliceMut<'_>]) -> Result<usize, E>,
    ) -> Result<usize, Errno>
    where
        Errno: From<E>,
    {
        if let (Bytes::Own(bytes), Buffers::One(buffer), None) = (&mut self.bytes, buffers, self.journal) {
            return Ok(read(&mut [IoSliceMut::new(&mut bytes[buffer.range()])])?);
        }
        let mut copy = None;
        let mut lent = self.lend_mut(buffers, &mut copy)?;
        let count = read(lent.slices())?;
        lent.filled(count)
    }

    /// The buffers, in order, for whoever reads into them and then says how much ([`LentMut::filled`]). If any overlap, it is only the first that is not empty:
    /// reading less than all is always allowed. Of a shared memory it is room in `copy`, maybe for less than all, too.
    ///
    /// # Errors
    /// `nomem` if a shared memory's bytes cannot be copied.
    pub(super) fn lend_mut<'m>(
        &'m mut self,
        buffers: &'m Buffers,
        copy: &'m mut Option<Copied>,
    ) -> Result<LentMut<'m>, Errno> {
        let shown = match buffers.as_slice() {
            many if many.len() > 1 && overlap(many) => {
                let first = many.iter().position(|buffer| buffer.length > 0);
                first.map_or(&[][..], |first| &many[first..=first])
            }
            buffers => buffers,
        };
        let (slices, shared) = match &mut self.bytes {
            Bytes::Own(bytes) => match shown {
                [buffer] => (SlicesMut::One([IoSliceMut::new(&mut bytes[buffer.range()])]), None),
                buffers => (SlicesMut::Many(split(bytes, buffers)), None),
            },
            Bytes::Shared(memory) => {
                let copy = copy.insert(room_for(memory, shown)?);
                (SlicesMut::One([IoSliceMut::new(&mut copy.bytes)]), Some(*memory))
            }
        };
        Ok(LentMut { shown, slices, shared, journal: self.journal })
    }

    /// Lets `fill` write all of `length` bytes at `pointer`, or the first so many as it says.
    ///
    /// # Errors
    /// Those of `fill`; `fault`, and `nomem` if a shared memory's bytes cannot be copied.
    pub(super) fn fill_bytes<E>(
        &mut self,
        pointer: Pointer,
        length: u32,
        fill: impl FnOnce(&mut [u8]) -> Result<usize, E>,
    ) -> Result<usize, Errno>
    where
        Errno: From<E>,
    {
        let range = self.range(pointer.0.into(), length.into())?;
        let start = range.start;
        let count = match &mut self.bytes {
            Bytes::Own(bytes) => fill(&mut bytes[range])?,
            Bytes::Shared(memory) => {
                let mut copy = zeros(memory, range.len())?;
                let count = fill(&mut copy.bytes)?;
                memory.write(start as u64, &copy.bytes[..count]).map_err(|_| Errno::Fault)?;
                count
            }
        };
        self.note_written(&(start..start + count));
        Ok(count)
    }

    /// The bytes of a range that lies in memory, copied where need be.
    pub(super) fn get(&self, range: Range<usize>) -> Result<Cow<'_, [u8]>, Errno> {
        match &self.bytes {
            Bytes::Own(bytes) => bytes.get(range).map(Cow::Borrowed).ok_or(Errno::Fault),
            Bytes::Shared(memory) => {
                let mut copy = zeros(memory, range.len())?;
                memory.read(range.start as u64, &mut copy.bytes).map_err(|_| Errno::Fault)?;
                // Charged while it was made: what is kept is a path, or what somebody who watches prints.
                Ok(Cow::Owned(copy.bytes))
            }
        }
    }

    /// Overwrites a range that lies in memory.
    pub(super) fn set(&mut self, range: Range<usize>, from: &[u8]) -> Result<(), Errno> {
        match &mut self.bytes {
            Bytes::Own(bytes) => bytes.get_mut(range).ok_or(Errno::Fault)?.copy_from_slice(from),
            Bytes::Shared(memory) => memory.write(range.start as u64, from).map_err(|_| Errno::Fault)?,
        }
        Ok(())
    }

    /// Notes that a buffer is read, a portion at a time: of a shared memory each is copied.
    fn note_buffer(&self, buffer: &Buffer) -> Result<(), Errno> {
        let (mut start, end) = (buffer.start, buffer.start + buffer.length);
        while start < end {
            let portion = start..end.min(start + NOTED_BYTES);
            self.note_read(&portion, &self.get(portion.clone())?);
            start = portion.end;
        }
        Ok(())
    }

    fn length(&self) -> u64 {
        match &self.bytes {
            Bytes::Own(bytes) => bytes.len() as u64,
            Bytes::Shared(memory) => memory.pages() * memory.ty().page_bytes(),
        }
    }

    fn buffer(&self, entry: [u8; 8]) -> Result<Buffer, Errno> {
        let [start, length] = halves(entry);
        let range = self.range(start.into(), length.into())?;
        Ok(Buffer { start: range.start, length: range.len() })
    }

    #[inline]
    fn range(&self, start: u64, length: u64) -> Result<Range<usize>, Errno> {
        let end = start.checked_add(length).ok_or(Errno::Fault)?;
        if end > self.length() {
            return Err(Errno::Fault);
        }
        let (Ok(start), Ok(end)) = (usize::try_from(start), usize::try_from(end)) else {
            return Err(Errno::Fault);
        };
        Ok(start..end)
    }

    #[inline]
    fn note_read(&self, range: &Range<usize>, bytes: &[u8]) {
        if let Some(journal) = self.journal {
            journal.note_read(range, bytes);
        }
    }

    #[inline]
    fn note_written(&self, range: &Range<usize>) {
        if let Some(journal) = self.journal {
            journal.note_written(range);
        }
    }
}

/// The address of element `index` of an array whose elements have `size` bytes.
pub(super) fn element(array: Pointer, index: u32, size: u32) -> Result<Pointer, Errno> {
    let address = u64::from(array.0) + u64::from(index) * u64::from(size);
    u32::try_from(address).map(Pointer).map_err(|_| Errno::Fault)
}

fn halves(entry: [u8; 8]) -> [u32; 2] {
    let [a, b, c, d, e, f, g, h] = entry;
    [u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h])]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_never_wrap() {
        let mut bytes = [0; 16];
        let mut memory = GuestMemory::new(&mut bytes);
        assert_eq!(memory.check(Pointer(16), 0), Ok(()));
        assert_eq!(memory.check(Pointer(17), 0), Err(Errno::Fault));
        assert_eq!(memory.check(Pointer(15), 2), Err(Errno::Fault));
        assert_eq!(memory.check(Pointer(u32::MAX), u64::MAX), Err(Errno::Fault));
        assert_eq!(memory.write_u64(Pointer(9), 1), Err(Errno::Fault));
        assert_eq!(memory.write_u32(Pointer(11), 0x0403_0201), Ok(()));
        assert_eq!(memory.bytes(Pointer(11), 4).as_deref(), Ok(&[1, 2, 3, 4][..]));
    }

    /// The lengths that a reader is shown of these buffers.
    fn shown(buffers: &[Buffer]) -> Vec<usize> {
        let mut bytes = [0; 16];
        let mut lengths = Vec::new();
        let count = GuestMemory::new(&mut bytes).fill(&Buffers::Many(buffers.to_vec()), |slices| {
            lengths = slices.iter().map(|slice| slice.len()).collect();
            Ok::<usize, Errno>(0)
        });
        assert_eq!(count, Ok(0));
        lengths
    }

    #[test]
    fn disjoint_buffers_keep_their_order_and_overlapping_ones_shrink() {
        let buffer = |start, length| Buffer { start, length };
        assert_eq!(shown(&[buffer(8, 3), buffer(0, 2), buffer(2, 0), buffer(2, 1)]), [3, 2, 0, 1]);
        assert_eq!(shown(&[buffer(8, 0), buffer(4, 4), buffer(7, 4)]), [4]);
    }
}
