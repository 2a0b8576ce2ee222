//! What one host call read from guest memory and what it wrote there.
//!
//! Whoever records or replays calls learns here what a call's input was beyond its parameters, and what its output was.
//! Only ranges are noted; the bytes are where they were.

use std::cell::RefCell;
use std::ops::Range;

/// The ranges of memory that a call has used, in order.
#[derive(Debug, Default)]
pub(super) struct Journal {
    read: RefCell<Vec<Range<usize>>>,
    written: RefCell<Vec<Range<usize>>>,
}

impl Journal {
    /// Forgets everything, for the next call.
    pub(super) fn clear(&self) {
        self.read.borrow_mut().clear();
        self.written.borrow_mut().clear();
    }

    pub(super) fn note_read(&self, range: &Range<usize>) {
        note(&mut self.read.borrow_mut(), range);
    }

    pub(super) fn note_written(&self, range: &Range<usize>) {
        note(&mut self.written.borrow_mut(), range);
    }

    /// What the call read.
    pub(super) fn read(&self) -> Vec<Range<usize>> {
        self.read.borrow().clone()
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
