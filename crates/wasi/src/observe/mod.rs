//! Watching a guest's calls: traces for people and machines, a summary, recording, replaying.
//!
//! A front end hands over each call as a [`Call`]: which function, with which arguments, what it read from and wrote to guest memory,
//! and how it ended. Nothing here knows a version of WASI or decides anything; while nobody watches, a call costs one comparison.
//!
//! Topics: `trace` (one line a call), `summary` (a table), `record` and `replay` (a file, whose form is in `format`). Calls of components have values of types, and are in
//! `component`.

#[cfg(feature = "component")]
pub(crate) mod component;
mod format;
mod record;
mod replay;
mod summary;
mod trace;

use std::ops::Range;
use std::time::Duration;

#[cfg(feature = "component")]
pub use component::{ComponentRecorder, ComponentReplayer};
pub use format::{RecordError, RecordHeader, is_record};
pub use record::Recorder;
pub use replay::{Divergence, OpenedRecord, ReplayError, Replayer, STOPPED};
pub use summary::Summary;
#[cfg(feature = "component")]
pub(crate) use trace::quoted;
pub use trace::{Argument, TraceForm, TracedCall, Tracer, Value};

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It returned this number: zero for success.
    Returned(i32),
    /// The guest ended itself with this exit code.
    Exited(u32),
}

/// A call that has been made, as it matters to whoever records it.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The function's number, from the front end's own list.
    pub function: u16,
    /// The arguments as 64-bit slots.
    pub arguments: &'a [u64],
    /// The ranges of guest memory that the call read, in order.
    pub read: &'a [Range<usize>],
    /// A checksum of what it read there.
    pub read_checksum: u64,
    /// How it ended.
    pub ending: Ending,
}

/// What a summary counts of a call.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    /// How long it took.
    pub time: Duration,
    /// Bytes read or written for the guest.
    pub bytes: u64,
    /// Whether it ended with an error.
    pub failed: bool,
}

/// A checksum of bytes that a call read, in pieces.
#[derive(Clone, Debug, Default)]
pub struct InputChecksum(blake3::Hasher);

impl InputChecksum {
    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The checksum of all bytes added.
    #[must_use]
    pub fn finish(&self) -> u64 {
        let mut first = [0; 8];
        first.copy_from_slice(&self.0.finalize().as_bytes()[..8]);
        u64::from_le_bytes(first)
    }
}
