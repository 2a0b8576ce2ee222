//! Streams that are the embedder's own: whatever reads, writes, or wants to be called with what a guest writes.
//!
//! A guest that waits for such a stream holds its thread, in a call that can wait too, and is not stopped by a deadline or an interrupt before the stream answers: nobody can
//! tell a reader to give up.
//!
//! One thread at a time is in a stream, and others wait for it. A stream that runs a guest which has the same stream would wait for itself: that guest's operation fails instead.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};

/// What standard input is read from. Clones share it: what one guest has read is gone for the next.
///
/// A reader may run guests of its own. Where one of them reads from the same source, on the reader's thread, it gets an error.
#[derive(Clone)]
pub struct Source(Arc<Turns<dyn Read + Send>>);

/// What an output goes to. Clones share it, so that standard output and error may go to one.
///
/// A writer may run guests of its own. Where one of them writes to the same sink, on the writer's thread, it gets an error.
#[derive(Clone)]
pub struct Sink(Arc<Turns<dyn Write + Send>>);

/// A stream, which one thread at a time uses.
struct Turns<S: ?Sized> {
    /// The thread whose turn it is.
    user: Mutex<Option<ThreadId>>,
    stream: Mutex<S>,
}

/// A thread's turn with a stream, until it is dropped.
struct Turn<'a, S: ?Sized> {
    user: &'a Mutex<Option<ThreadId>>,
    stream: MutexGuard<'a, S>,
}

impl<S: ?Sized> Turns<S> {
    fn new(stream: S) -> Arc<Turns<S>>
    where
        S: Sized,
    {
        Arc::new(Turns { user: Mutex::new(None), stream: Mutex::new(stream) })
    }

    /// Waits for the thread's turn.
    ///
    /// # Errors
    /// Where it has its turn already, and would wait for itself.
    fn take(&self) -> io::Result<Turn<'_, S>> {
        let this = thread::current().id();
        if *lock(&self.user) == Some(this) {
            return Err(io::Error::new(
                io::ErrorKind::Deadlock,
                "the stream is in use by this thread already",
            ));
        }
        let stream = lock(&self.stream);
        *lock(&self.user) = Some(this);
        Ok(Turn { user: &self.user, stream })
    }
}

impl<S: ?Sized> Drop for Turn<'_, S> {
    fn drop(&mut self) {
        // Before the stream is let go of, for which others may be waiting.
        *lock(self.user) = None;
    }
}

impl Source {
    /// A reader.
    pub fn new(reader: impl Read + Send + 'static) -> Source {
        Source(Turns::new(reader))
    }

    /// Reads into the first buffer that has room.
    pub(crate) fn read(&self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let Some(buffer) = buffers.iter_mut().find(|buffer| !buffer.is_empty()) else { return Ok(0) };
        loop {
            match self.0.take()?.stream.read(buffer) {
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
        Sink(Turns::new(writer))
    }

    /// A function that is called with what the guest writes, each time as much as it writes at once.
    pub fn callback(call: impl FnMut(&[u8]) + Send + 'static) -> Sink {
        Sink::new(Callback(call))
    }

    /// Writes all, or what goes before an error. An error that the writer has made itself, and not the system, is told even where something was written: it may be why the
    /// guest ends.
    pub(crate) fn write(&self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut turn = self.0.take()?;
        let writer = &mut turn.stream;
        let mut written = 0;
        for buffer in buffers {
            if let Err(error) = writer.write_all(buffer) {
                let is_told = written == 0 || error.get_ref().is_some();
                return if is_told { Err(error) } else { Ok(written) };
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

#[cfg(test)]
mod tests {
    use std::sync::OnceLock;

    use super::*;

    /// Uses the stream that it is.
    #[derive(Clone, Default)]
    struct Itself<S>(Arc<OnceLock<S>>, Arc<Mutex<Vec<io::ErrorKind>>>);

    impl Write for Itself<Sink> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let written = self.0.get().map(|sink| sink.write(&[IoSlice::new(bytes)]));
            lock(&self.1).extend(written.and_then(Result::err).map(|error| error.kind()));
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Read for Itself<Source> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let read = self.0.get().map(|source| source.read(&mut [IoSliceMut::new(&mut [0; 8])]));
            lock(&self.1).extend(read.and_then(Result::err).map(|error| error.kind()));
            Ok(buffer.len())
        }
    }

    #[test]
    fn streams_that_lead_to_themselves_fail_and_go_on() {
        let itself = Itself::<Sink>(Arc::default(), Arc::default());
        let sink = itself.0.get_or_init(|| Sink::new(itself.clone()));
        let again = Itself::<Source>(Arc::default(), Arc::default());
        let source = again.0.get_or_init(|| Source::new(again.clone()));
        for count in 1..=3 {
            assert!(matches!(sink.write(&[IoSlice::new(b"four")]), Ok(4)));
            assert!(matches!(source.read(&mut [IoSliceMut::new(&mut [0; 4])]), Ok(4)));
            assert_eq!(*lock(&itself.1), vec![io::ErrorKind::Deadlock; count]);
            assert_eq!(*lock(&again.1), vec![io::ErrorKind::Deadlock; count]);
        }
        // Others wait for their turn, which comes.
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| assert!((0..100).all(|_| sink.write(&[IoSlice::new(b"x")]).is_ok())));
            }
        });
    }

    #[test]
    fn what_a_writer_fails_with_is_told_after_bytes_that_it_took() {
        struct Second(Option<io::Error>, usize);
        impl Write for Second {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.1 += 1;
                if self.1 > 1 { self.0.take().map_or(Ok(bytes.len()), Err) } else { Ok(bytes.len()) }
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let both = [IoSlice::new(b"one"), IoSlice::new(b"two")];
        let own = Sink::new(Second(Some(io::Error::other("mine")), 0)).write(&both);
        assert_eq!(own.map_err(|error| error.to_string()), Err(String::from("mine")));
        let systems = Sink::new(Second(Some(io::ErrorKind::BrokenPipe.into()), 0)).write(&both);
        assert!(matches!(systems, Ok(3)));
    }
}
