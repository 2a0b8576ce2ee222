//! The guest's memory, and the only place where guest pointers and lengths are checked.
//!
//! Checks are done in 64-bit arithmetic, so nothing wraps. Numbers are little-endian and need no alignment. Nobody else sees the
//! raw bytes: a shared memory, whose bytes cannot be lent, could stand behind the same methods.

use std::io::{IoSlice, IoSliceMut};
use std::ops::Range;

use super::errno::Errno;

/// Buffers used of one vector; what is beyond them is left to the guest's next call.
const MAX_BUFFERS: u32 = 1024;

/// Longest path read from a guest, in bytes. None that is longer can exist on the host.
const MAX_PATH_BYTES: u32 = 4095;

/// An address in guest memory: an allegation until a method of [`GuestMemory`] has checked it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pointer(pub u32);

/// One buffer of a vector, checked to lie in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Buffer {
    start: usize,
    length: usize,
}

/// The memory of a guest for the time of one call.
#[derive(Debug)]
pub struct GuestMemory<'a> {
    bytes: &'a mut [u8],
}

impl<'a> GuestMemory<'a> {
    /// The memory with these bytes.
    #[must_use]
    pub fn new(bytes: &'a mut [u8]) -> GuestMemory<'a> {
        GuestMemory { bytes }
    }

    /// Checks that `length` bytes at `pointer` lie in memory.
    ///
    /// # Errors
    /// `fault` if not.
    pub fn check(&self, pointer: Pointer, length: u64) -> Result<(), Errno> {
        self.range(u64::from(pointer.0), length).map(drop)
    }

    /// `length` bytes at `pointer`.
    ///
    /// # Errors
    /// `fault` if they do not lie in memory.
    pub fn bytes(&self, pointer: Pointer, length: u32) -> Result<&[u8], Errno> {
        let range = self.range(pointer.0.into(), length.into())?;
        Ok(&self.bytes[range])
    }

    /// `length` bytes at `pointer`, to be changed.
    ///
    /// # Errors
    /// `fault` if they do not lie in memory.
    pub fn bytes_mut(&mut self, pointer: Pointer, length: u32) -> Result<&mut [u8], Errno> {
        let range = self.range(pointer.0.into(), length.into())?;
        Ok(&mut self.bytes[range])
    }

    /// A path: text of a length that a path can have.
    ///
    /// # Errors
    /// `fault`, `nametoolong`, and `ilseq` if it is not UTF-8.
    pub fn path(&self, pointer: Pointer, length: u32) -> Result<&[u8], Errno> {
        let bytes = self.bytes(pointer, length)?;
        if length > MAX_PATH_BYTES {
            return Err(Errno::NameTooLong);
        }
        match std::str::from_utf8(bytes) {
            Ok(_) => Ok(bytes),
            Err(_) => Err(Errno::Ilseq),
        }
    }

    /// Copies `bytes` to `pointer`.
    ///
    /// # Errors
    /// `fault` if they do not fit there; then nothing is written.
    pub fn write(&mut self, pointer: Pointer, bytes: &[u8]) -> Result<(), Errno> {
        let range = self.range(pointer.0.into(), bytes.len() as u64)?;
        self.bytes[range].copy_from_slice(bytes);
        Ok(())
    }

    /// Writes a 32-bit number.
    ///
    /// # Errors
    /// `fault`.
    pub fn write_u32(&mut self, pointer: Pointer, value: u32) -> Result<(), Errno> {
        self.write(pointer, &value.to_le_bytes())
    }

    /// Writes a 64-bit number.
    ///
    /// # Errors
    /// `fault`.
    pub fn write_u64(&mut self, pointer: Pointer, value: u64) -> Result<(), Errno> {
        self.write(pointer, &value.to_le_bytes())
    }

    /// Copies `N` bytes from `pointer`.
    ///
    /// # Errors
    /// `fault`.
    pub fn read<const N: usize>(&self, pointer: Pointer) -> Result<[u8; N], Errno> {
        let range = self.range(pointer.0.into(), N as u64)?;
        let mut copy = [0; N];
        copy.copy_from_slice(&self.bytes[range]);
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
    pub(super) fn buffers(&self, vector: Pointer, count: u32) -> Result<Vec<Buffer>, Errno> {
        self.check(vector, u64::from(count) * 8)?;
        let mut total = 0_u64;
        (0..count.min(MAX_BUFFERS))
            .map(|index| {
                let entry: [u8; 8] = self.read(element(vector, index, 8)?)?;
                let [start, length] = halves(entry);
                total += u64::from(length);
                if total > u64::from(u32::MAX) {
                    return Err(Errno::Inval);
                }
                let range = self.range(start.into(), length.into())?;
                Ok(Buffer { start: range.start, length: range.len() })
            })
            .collect()
    }

    /// The contents of checked buffers, in order. They may overlap.
    pub(super) fn slices(&self, buffers: &[Buffer]) -> Vec<IoSlice<'_>> {
        buffers.iter().map(|buffer| IoSlice::new(&self.bytes[buffer.range()])).collect()
    }

    /// The contents of checked buffers, in order, to be changed. If any overlap, only the first that is not
    /// empty: reading less than all is always allowed.
    pub(super) fn slices_mut(&mut self, buffers: &[Buffer]) -> Vec<IoSliceMut<'_>> {
        let mut sorted: Vec<(usize, Buffer)> = buffers.iter().copied().enumerate().collect();
        sorted.sort_by_key(|(_, buffer)| (buffer.start, buffer.length));
        let overlap = sorted.windows(2).any(|pair| pair[0].1.start + pair[0].1.length > pair[1].1.start);
        if overlap {
            let first = buffers.iter().find(|buffer| buffer.length > 0);
            return first
                .map(|buffer| IoSliceMut::new(&mut self.bytes[buffer.range()]))
                .into_iter()
                .collect();
        }
        let mut slices = Vec::with_capacity(buffers.len());
        let mut rest = &mut *self.bytes;
        let mut rest_start = 0;
        for (index, buffer) in sorted {
            let (_, tail) = rest.split_at_mut(buffer.start - rest_start);
            let (slice, tail) = tail.split_at_mut(buffer.length);
            slices.push((index, IoSliceMut::new(slice)));
            rest = tail;
            rest_start = buffer.start + buffer.length;
        }
        slices.sort_by_key(|(index, _)| *index);
        slices.into_iter().map(|(_, slice)| slice).collect()
    }

    fn range(&self, start: u64, length: u64) -> Result<Range<usize>, Errno> {
        let end = start.checked_add(length).ok_or(Errno::Fault)?;
        if end > self.bytes.len() as u64 {
            return Err(Errno::Fault);
        }
        let (Ok(start), Ok(end)) = (usize::try_from(start), usize::try_from(end)) else {
            return Err(Errno::Fault);
        };
        Ok(start..end)
    }
}

impl Buffer {
    pub(super) fn is_empty(self) -> bool {
        self.length == 0
    }

    fn range(self) -> Range<usize> {
        self.start..self.start + self.length
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
        assert_eq!(memory.bytes(Pointer(11), 4), Ok(&[1, 2, 3, 4][..]));
    }

    #[test]
    fn disjoint_buffers_keep_their_order_and_overlapping_ones_shrink() {
        let mut bytes = [0; 16];
        let mut memory = GuestMemory::new(&mut bytes);
        let buffer = |start, length| Buffer { start, length };
        let slices = memory.slices_mut(&[buffer(8, 3), buffer(0, 2), buffer(2, 0), buffer(2, 1)]);
        assert_eq!(slices.iter().map(|slice| slice.len()).collect::<Vec<_>>(), [3, 2, 0, 1]);
        let slices = memory.slices_mut(&[buffer(8, 0), buffer(4, 4), buffer(7, 4)]);
        assert_eq!(slices.iter().map(|slice| slice.len()).collect::<Vec<_>>(), [4]);
    }
}
