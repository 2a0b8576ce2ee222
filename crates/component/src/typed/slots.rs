//! Core values on their way, 64 bits each; of narrower ones the upper bits are zero when they are handed over, and mean nothing when they are taken.

use crate::abi::MAX_FLAT_PARAMS;

/// Core values that are taken one after the other.
#[derive(Clone, Debug)]
pub struct Slots<'a>(&'a [u64]);

impl<'a> Slots<'a> {
    pub(crate) fn new(slots: &'a [u64]) -> Slots<'a> {
        Slots(slots)
    }

    /// The next; zero where none is left, which no checked function comes to.
    #[inline]
    pub fn next_slot(&mut self) -> u64 {
        match self.0.split_first() {
            Some((first, rest)) => {
                self.0 = rest;
                *first
            }
            None => 0,
        }
    }

    /// The next so many, which are those of a variant's payload: of any case, so that some may mean nothing.
    #[inline]
    #[must_use]
    pub fn payload(&mut self, width: usize) -> Slots<'a> {
        let (payload, rest) = self.0.split_at(width.min(self.0.len()));
        self.0 = rest;
        Slots(payload)
    }
}

/// Core values that are handed over.
#[derive(Clone, Debug, Default)]
pub struct SlotsMut {
    slots: [u64; MAX_FLAT_PARAMS],
    length: usize,
}

impl SlotsMut {
    /// Adds one.
    #[inline]
    pub fn push(&mut self, slot: u64) {
        // No checked function has more.
        if let Some(to) = self.slots.get_mut(self.length) {
            *to = slot;
            self.length += 1;
        }
    }

    /// How many there are.
    #[must_use]
    pub fn length(&self) -> usize {
        self.length
    }

    /// Adds zeros until there are so many, for what other cases of a variant would have passed.
    #[inline]
    pub fn fill_to(&mut self, length: usize) {
        self.length = length.min(MAX_FLAT_PARAMS).max(self.length);
    }

    pub(crate) fn as_slice(&self) -> &[u64] {
        &self.slots[..self.length]
    }

    /// All of them, with those that are not there yet.
    pub(crate) fn all_mut(&mut self) -> &mut [u64; MAX_FLAT_PARAMS] {
        &mut self.slots
    }
}
