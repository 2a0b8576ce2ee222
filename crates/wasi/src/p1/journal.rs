//! What one host call read from guest memory and what it wrote there.
//!
//! Whoever records or replays calls learns here what a call's input was beyond its parameters, and what its output was.
//! Of what was read a checksum is taken; what was written is where it was written.

use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::observe::InputChecksum;

/// The ranges of memory that a call has used, in order. A call that waits may go on on another thread.
#[derive(Debug, Default)]
pub(super) struct Journal(Mutex<Used>);

#[derive(Debug, Default)]
struct Used {
    read: Vec<Range<usize>>,
    read_checksum: InputChecksum,
    written: Vec<Range<usize>>,
}

impl Journal {
    /// Notes a range that is read, with the bytes in it now: they may be overwritten before the call is over.
    pub(super) fn note_read(&self, range: &Range<usize>, bytes: &[u8]) {
        let mut used = self.used();
        note(&mut used.read, range);
        used.read_checksum.update(bytes);
    }

    pub(super) fn note_written(&self, range: &Range<usize>) {
        note(&mut self.used().written, range);
    }

    /// What the call read.
    pub(super) fn read(&self) -> Vec<Range<usize>> {
        self.used().read.clone()
    }

    /// A checksum of all bytes read.
    pub(super) fn read_checksum(&self) -> u64 {
        self.used().read_checksum.finish()
    }

    /// What the call wrote.
    pub(super) fn written(&self) -> Vec<Range<usize>> {
        self.used().written.clone()
    }

    fn used(&self) -> MutexGuard<'_, Used> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
