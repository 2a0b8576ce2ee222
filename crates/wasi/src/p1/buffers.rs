//! The buffers of a vector, and copies of what is in them.
//!
//! Whoever makes a [`Buffer`] has checked that it lies in the guest's memory.

use std::io::IoSliceMut;
use std::ops::Range;

use innkeeper_engine::SharedMemory;

use super::errno::Errno;

/// Bytes copied at once between a shared memory and the system: reading or writing less than all is always allowed.
const MAX_COPY_BYTES: usize = 1 << 20;

/// One buffer of a vector, checked to lie in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Buffer {
    pub(super) start: usize,
    pub(super) length: usize,
}

/// The buffers of a vector. One alone, which is what most calls have, takes no allocation.
#[derive(Debug)]
pub(super) enum Buffers {
    One(Buffer),
    Many(Vec<Buffer>),
}

impl Buffers {
    pub(super) fn as_slice(&self) -> &[Buffer] {
        match self {
            Buffers::One(buffer) => std::slice::from_ref(buffer),
            Buffers::Many(buffers) => buffers,
        }
    }

    /// The first buffer that is not empty, alone.
    pub(super) fn first(&self) -> Option<Buffers> {
        self.as_slice().iter().find(|buffer| buffer.length > 0).copied().map(Buffers::One)
    }
}

impl Buffer {
    pub(super) fn range(self) -> Range<usize> {
        self.start..self.start + self.length
    }
}

pub(super) fn overlap(buffers: &[Buffer]) -> bool {
    let mut sorted = buffers.to_vec();
    sorted.sort_by_key(|buffer| (buffer.start, buffer.length));
    sorted.windows(2).any(|pair| pair[0].start + pair[0].length > pair[1].start)
}

/// Disjoint buffers as slices, in their own order.
pub(super) fn split<'a>(bytes: &'a mut [u8], buffers: &[Buffer]) -> Vec<IoSliceMut<'a>> {
    let mut sorted: Vec<(usize, Buffer)> = buffers.iter().copied().enumerate().collect();
    sorted.sort_by_key(|(_, buffer)| (buffer.start, buffer.length));
    let mut slices = Vec::with_capacity(buffers.len());
    let mut rest = bytes;
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

pub(super) fn zeros(length: usize) -> Result<Vec<u8>, Errno> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(length).map_err(|_| Errno::NoMem)?;
    bytes.resize(length, 0);
    Ok(bytes)
}

pub(super) fn room_for(total: usize) -> Result<Vec<u8>, Errno> {
    zeros(total.min(MAX_COPY_BYTES))
}

pub(super) fn copy_out(memory: &SharedMemory, buffers: &[Buffer]) -> Result<Vec<u8>, Errno> {
    let mut copy = room_for(buffers.iter().map(|buffer| buffer.length).sum())?;
    let mut rest = &mut copy[..];
    for buffer in buffers {
        let (part, tail) = rest.split_at_mut(buffer.length.min(rest.len()));
        memory.read(buffer.start as u64, part).map_err(|_| Errno::Fault)?;
        rest = tail;
    }
    Ok(copy)
}

pub(super) fn copy_in(memory: &SharedMemory, buffers: &[Buffer], mut from: &[u8]) -> Result<(), Errno> {
    for buffer in buffers {
        let (part, tail) = from.split_at(buffer.length.min(from.len()));
        memory.write(buffer.start as u64, part).map_err(|_| Errno::Fault)?;
        from = tail;
    }
    Ok(())
}
