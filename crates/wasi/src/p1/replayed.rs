//! The output of a guest that is replayed: what it writes to its standard streams, found in its memory.
//!
//! No descriptor is open in a replay. Which of them is a standard stream follows from the recorded calls: 1 and 2 are at first, and closing, renumbering and opening
//! change that. Nothing but [`fd_write`](super::fd::fd_write) can write to a standard stream.
//!
//! Must stay true: only what the recorded host took of a write is written here, so that the output is as long as it was.

use std::fmt;
use std::io::{self, Write};

use super::buffers::Buffers;
use super::errno::Errno;
use super::functions::Function;
use super::memory::{GuestMemory, Pointer};

/// Where the output of a replayed guest goes.
pub struct ReplayedStreams {
    streams: Vec<Stream>,
    error: Option<io::Error>,
}

/// A standard stream, with the descriptor that it is at the moment.
struct Stream {
    descriptor: u32,
    to: Box<dyn Write + Send>,
}

/// What a guest hands to a standard stream, of which the host may take less than all: where it lies.
pub(super) struct Output {
    descriptor: u32,
    buffers: Buffers,
}

impl ReplayedStreams {
    /// Standard output goes to `stdout`, standard error to `stderr`. Each write of the guest's is one write and a flush.
    #[must_use]
    pub fn new(stdout: Box<dyn Write + Send>, stderr: Box<dyn Write + Send>) -> ReplayedStreams {
        let streams = vec![Stream { descriptor: 1, to: stdout }, Stream { descriptor: 2, to: stderr }];
        ReplayedStreams { streams, error: None }
    }

    /// Both go nowhere.
    #[must_use]
    pub fn discard() -> ReplayedStreams {
        ReplayedStreams { streams: Vec::new(), error: None }
    }

    /// What a call would write to a standard stream, if it is one that writes.
    pub(super) fn output(
        &self,
        memory: &GuestMemory<'_>,
        function: &Function,
        arguments: &[u64],
    ) -> Option<Output> {
        let [descriptor, vector, count, _] = *arguments else { return None };
        let descriptor = descriptor as u32;
        if function.name != "fd_write" || !self.streams.iter().any(|it| it.descriptor == descriptor) {
            return None;
        }
        let buffers = memory.buffers(Pointer(vector as u32), count as u32).ok()?;
        Some(Output { descriptor, buffers })
    }

    /// Writes the first `taken` bytes of `output`, from where they lie.
    pub(super) fn write(&mut self, memory: &GuestMemory<'_>, output: &Output, taken: usize) {
        let Some(stream) = self.streams.iter_mut().find(|it| it.descriptor == output.descriptor) else {
            return;
        };
        let mut result = Ok(());
        let write = |slices: &[io::IoSlice<'_>]| {
            let mut left = taken;
            result = slices.iter().try_for_each(|slice| {
                let count = slice.len().min(left);
                left -= count;
                stream.to.write_all(&slice[..count])
            });
            Ok::<_, Errno>(())
        };
        let gathered = memory.gather(&output.buffers, write);
        let result = match gathered {
            Ok(()) => result.and_then(|()| stream.to.flush()),
            Err(_) => Err(io::ErrorKind::OutOfMemory.into()),
        };
        if let Err(error) = result
            && error.kind() != io::ErrorKind::BrokenPipe
        {
            self.error.get_or_insert(error);
        }
    }

    /// Notes what a call that succeeded has made of the descriptors.
    pub(super) fn follow(&mut self, memory: &GuestMemory<'_>, function: &Function, arguments: &[u64]) {
        match (function.name, arguments) {
            ("fd_close", [descriptor]) => self.close(*descriptor as u32),
            ("fd_renumber", [from, to]) if from != to => {
                self.close(*to as u32);
                let moved = self.streams.iter_mut().find(|it| it.descriptor == *from as u32);
                if let Some(stream) = moved {
                    stream.descriptor = *to as u32;
                }
            }
            // A stream that was closed from the start can have its number taken.
            _ => {
                let parameters = function.parameters.iter().zip(arguments);
                for (_, at) in parameters.filter(|((name, _), _)| ["opened_fd", "accepted"].contains(name)) {
                    if let Ok(descriptor) = memory.read_u32(Pointer(*at as u32)) {
                        self.close(descriptor);
                    }
                }
            }
        }
    }

    /// What writing reported.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        self.error.take().map_or(Ok(()), Err)
    }

    fn close(&mut self, descriptor: u32) {
        self.streams.retain(|stream| stream.descriptor != descriptor);
    }
}

impl fmt::Debug for ReplayedStreams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let descriptors: Vec<u32> = self.streams.iter().map(|stream| stream.descriptor).collect();
        f.debug_struct("ReplayedStreams").field("descriptors", &descriptors).finish_non_exhaustive()
    }
}
