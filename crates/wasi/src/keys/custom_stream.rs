//! Streams that are the embedder's own: whatever reads, writes, or wants to be called with what a guest writes.
//!
//! A guest that waits for such a stream holds its thread, in a call that can wait too, and is not stopped by a deadline or an interrupt before the stream answers: nobody can
//! tell a reader to give up.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What standard input is read from. Clones share it: what one guest has read is gone for the next.
#[derive(Clone)]
pub struct Source(Arc<Mutex<dyn Read + Send>>);

/// What an output goes to. Clones share it, so that standard output and error may go to one.
#[derive(Clone)]
pub struct Sink(Arc<Mutex<dyn Write + Send>>);

impl Source {
    /// A reader.
    pub fn new(reader: impl Read + Send + 'static) -> Source {
        Source(Arc::new(Mutex::new(reader)))
    }

    /// Reads into the first buffer that has room.
    pub(crate) fn read(&self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let Some(buffer) = buffers.iter_mut().find(|buffer| !buffer.is_empty()) else { return Ok(0) };
        loop {
            match lock(&self.0).read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // A reader that says to have read more than it was asked for is not believed.
                result => return result.map(|count| count.min(buffer.len())),
            }
        }
    }
}

impl Sink {
    /// A writer. It is flushed after each write of the guest's, so that nothing waits in it.
    pub fn new(writer: impl Write + Send + 'static) -> Sink {
        Sink(Arc::new(Mutex::new(writer)))
    }

    /// A function that is called with what the guest writes, each time as much as it writes at once.
    pub fn callback(call: impl FnMut(&[u8]) + Send + 'static) -> Sink {
        Sink::new(Callback(call))
    }

    /// Writes all, or what goes before an error.
    pub(crate) fn write(&self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut writer = lock(&self.0);
        let mut written = 0;
        for buffer in buffers {
            if let Err(error) = writer.write_all(buffer) {
                return if written > 0 { Ok(written) } else { Err(error) };
            }
            written += buffer.len();
        }
        writer.flush()?;
        Ok(written)
    }
}

fn lock<S: ?Sized>(stream: &Mutex<S>) -> MutexGuard<'_, S> {
    stream.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Callback<F>(F);

impl<F: FnMut(&[u8])> Write for Callback<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !bytes.is_empty() {
            (self.0)(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").finish_non_exhaustive()
    }
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sink").finish_non_exhaustive()
    }
}

impl PartialEq for Source {
    /// Whether both are the same.
    fn eq(&self, other: &Source) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Source {}
