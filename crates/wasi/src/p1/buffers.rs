//! The buffers of a vector, and copies of what is in them.
//!
//! Whoever makes a [`Buffer`] has checked that it lies in the guest's memory.

use std::io::{IoSlice, IoSliceMut};
use std::ops::{Deref, Range};

use innkeeper_engine::{BudgetKind, Charge, SharedMemory};

use super::errno::Errno;
use super::journal::Journal;

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

/// The host's copy of bytes of a shared memory, charged to the guest's budget.
pub(super) struct Copied {
    pub(super) bytes: Vec<u8>,
    _charge: Charge,
}

/// Room for a copy of `length` bytes of a memory.
///
/// # Errors
/// `nomem` where the guest's budget or the system refuses it.
pub(super) fn zeros(memory: &SharedMemory, length: usize) -> Result<Copied, Errno> {
    let charge = memory.budget().hold(BudgetKind::Buffer, length as u64).map_err(|_| Errno::NoMem)?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(length).map_err(|_| Errno::NoMem)?;
    bytes.resize(length, 0);
    Ok(Copied { bytes, _charge: charge })
}

pub(super) fn room_for(memory: &SharedMemory, buffers: &[Buffer]) -> Result<Copied, Errno> {
    let total: usize = buffers.iter().map(|buffer| buffer.length).sum();
    zeros(memory, total.min(MAX_COPY_BYTES))
}

pub(super) fn copy_out(memory: &SharedMemory, buffers: &[Buffer]) -> Result<Copied, Errno> {
    let mut copy = room_for(memory, buffers)?;
    let mut rest = &mut copy.bytes[..];
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

/// What is in buffers: see [`super::GuestMemory::lend`].
pub(super) enum Lent<'a> {
    One([IoSlice<'a>; 1]),
    Many(Vec<IoSlice<'a>>),
    /// Of a memory that threads share.
    Copy(Copied),
}

/// Slices of what is lent.
pub(super) enum Slices<'a> {
    Lent(&'a [IoSlice<'a>]),
    Copy([IoSlice<'a>; 1]),
}

impl Lent<'_> {
    pub(super) fn slices(&self) -> Slices<'_> {
        match self {
            Lent::One(one) => Slices::Lent(one),
            Lent::Many(many) => Slices::Lent(many),
            Lent::Copy(copy) => Slices::Copy([IoSlice::new(&copy.bytes)]),
        }
    }
}

impl<'a> Deref for Slices<'a> {
    type Target = [IoSlice<'a>];

    fn deref(&self) -> &[IoSlice<'a>] {
        match self {
            Slices::Lent(slices) => slices,
            Slices::Copy(slices) => slices,
        }
    }
}

/// Buffers to be read into: see [`super::GuestMemory::lend_mut`].
pub(super) struct LentMut<'a> {
    pub(super) shown: &'a [Buffer],
    pub(super) slices: SlicesMut<'a>,
    /// The memory that threads share, where the slices are of a copy.
    pub(super) shared: Option<&'a SharedMemory>,
    pub(super) journal: Option<&'a Journal>,
}

/// Slices of what is lent to be read into.
pub(super) enum SlicesMut<'a> {
    One([IoSliceMut<'a>; 1]),
    Many(Vec<IoSliceMut<'a>>),
}

impl<'a> LentMut<'a> {
    pub(super) fn slices(&mut self) -> &mut [IoSliceMut<'a>] {
        match &mut self.slices {
            SlicesMut::One(one) => one,
            SlicesMut::Many(many) => many,
        }
    }

    /// Notes that the first `count` bytes have been read, which it gives back; where they are in a copy, they are put into the guest's memory now.
    ///
    /// # Errors
    /// `fault`.
    pub(super) fn filled(mut self, count: usize) -> Result<usize, Errno> {
        let shown = self.shown;
        if let Some(memory) = self.shared
            && let [copy] = self.slices()
        {
            let there = count.min(copy.len());
            copy_in(memory, shown, &copy[..there])?;
        }
        if let Some(journal) = self.journal {
            let mut left = count;
            for buffer in self.shown {
                let taken = buffer.length.min(left);
                journal.note_written(&(buffer.start..buffer.start + taken));
                left -= taken;
            }
        }
        Ok(count)
    }
}
