//! Output that nobody reads any more: natively, whoever goes on writing it would have been ended by a signal.

use std::sync::atomic::Ordering;

use super::Host;
use super::error::Error;
use super::stdio::Stream;

/// What is done when a guest writes on to a stream that nobody reads.
pub(super) struct Unread(Box<dyn Fn() + Send + Sync>);

impl std::fmt::Debug for Unread {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Unread")
    }
}

impl Host {
    /// Tells whoever wants to know it that a guest goes on writing where it has been told that nobody reads.
    pub(super) fn note_unread(&self, stream: &Stream, result: &Result<usize, Error>) {
        if *result == Err(Error::Pipe)
            && stream.is_unread.swap(true, Ordering::Relaxed)
            && let Some(Unread(act)) = self.unread.get()
        {
            act();
        }
    }

    /// Has `act` done each time that the guest writes to a standard stream of which it has been told before that nobody reads it: natively, it would have been
    /// ended by a signal the first time. Only the first `act` counts.
    pub fn on_unread_output(&self, act: impl Fn() + Send + Sync + 'static) {
        let _ = self.unread.set(Unread(Box::new(act)));
    }
}
