//! Keys to the three standard streams.
//!
//! Each is inherited from the host process, absent, a file, or an in-memory stand-in. Plain data, except that a
//! [`Capture`] is shared with whoever wants to read what the guest wrote.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use super::custom_stream::{Sink, Source};

/// Standard input of a guest.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum StdinKey {
    /// The host process's standard input.
    Inherit,
    /// Open, and at its end.
    #[default]
    Empty,
    /// Not open: using it is a bad descriptor.
    Closed,
    /// These bytes, then the end.
    Bytes(Vec<u8>),
    /// A file of the host.
    File(PathBuf),
    /// What a reader of the embedder's gives.
    Source(Source),
    /// Read from what was opened already.
    Opened(Arc<OwnedFd>),
    /// A file that was opened already, which each of many guests reads from its beginning.
    OpenedFile(Arc<OwnedFd>),
}

impl PartialEq for StdinKey {
    fn eq(&self, other: &StdinKey) -> bool {
        match (self, other) {
            (StdinKey::Bytes(one), StdinKey::Bytes(other)) => one == other,
            (StdinKey::File(one), StdinKey::File(other)) => one == other,
            (StdinKey::Source(one), StdinKey::Source(other)) => one == other,
            (StdinKey::Opened(one), StdinKey::Opened(other))
            | (StdinKey::OpenedFile(one), StdinKey::OpenedFile(other)) => Arc::ptr_eq(one, other),
            _ => std::mem::discriminant(self) == std::mem::discriminant(other),
        }
    }
}

impl Eq for StdinKey {}

/// Standard output or standard error of a guest.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum StdoutKey {
    /// The host process's stream of the same name.
    Inherit,
    /// Open; what is written disappears.
    #[default]
    Discard,
    /// Not open: using it is a bad descriptor.
    Closed,
    /// Kept in memory.
    Capture(Capture),
    /// Given to a writer or a function of the embedder's.
    Sink(Sink),
    /// Written to what was opened already.
    Opened(Arc<OwnedFd>),
    /// Written to a file of the host, which is created if need be. A symbolic link is not followed: an earlier guest may have left it.
    File {
        /// The file.
        path: PathBuf,
        /// What becomes of what is in it.
        mode: FileMode,
    },
}

/// What becomes of a file that a guest's output goes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FileMode {
    /// It is made empty first.
    #[default]
    Truncate,
    /// The output comes after what is in it.
    Append,
}

/// A bounded buffer that keeps what a guest writes. Clones share the contents.
#[derive(Clone, Debug)]
pub struct Capture {
    contents: Arc<Mutex<Vec<u8>>>,
    capacity_bytes: usize,
}

impl Capture {
    /// A buffer that takes `capacity_bytes` bytes; writing more fails with "no space left".
    #[must_use]
    pub fn new(capacity_bytes: usize) -> Capture {
        Capture { contents: Arc::default(), capacity_bytes }
    }

    /// A copy of what has been written so far.
    #[must_use]
    pub fn contents(&self) -> Vec<u8> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Appends as much of `bytes` as there is room for, and returns how many bytes that was.
    pub(crate) fn append(&self, bytes: &[u8]) -> usize {
        let mut contents = self.contents.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = bytes.len().min(self.capacity_bytes.saturating_sub(contents.len()));
        contents.extend_from_slice(&bytes[..taken]);
        taken
    }
}
