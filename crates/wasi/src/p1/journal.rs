//! What one host call read from guest memory and what it wrote there.
//!
//! Whoever records or replays calls learns here what a call's input was beyond its parameters, and what its output was.
//! Of what was read a checksum is taken; what was written is where it was written.

use std::cell::RefCell;
use std::ops::Range;

use crate::observe::InputChecksum;

/// The ranges of memory that a call has used, in order.
#[derive(Debug, Default)]
pub(super) struct Journal {
    read: RefCell<Vec<Range<usize>>>,
    read_checksum: RefCell<InputChecksum>,
    written: RefCell<Vec<Range<usize>>>,
}

impl Journal {
    /// Notes a range that is read, with the bytes in it now: they may be overwritten before the call is over.
    pub(super) fn note_read(&self, range: &Range<usize>, bytes: &[u8]) {
        note(&mut self.read.borrow_mut(), range);
        self.read_checksum.borrow_mut().update(bytes);
    }

    pub(super) fn note_written(&self, range: &Range<usize>) {
        note(&mut self.written.borrow_mut(), range);
    }

    /// What the call read.
    pub(super) fn read(&self) -> Vec<Range<usize>> {
        self.read.borrow().clone()
    }

    /// A checksum of all bytes read.
    pub(super) fn read_checksum(&self) -> u64 {
        self.read_checksum.borrow().finish()
    }

    /// What the call wrote.
    pub(super) fn written(&self) -> Vec<Range<usize>> {
        self.written.borrow().clone()
    }
}

/// Adds a range; one that goes on where the last one ends makes that longer.
fn note(ranges: &mut Vec<Range<usize>>, range: &Range<usize>) {
    if range.is_empty() {
        return;
    }
    match ranges.last_mut() {
        Some(last) if last.end == range.start => last.end = range.end,
        _ => ranges.push(range.clone()),
    }
}
