//! Deadlines: a thread that sleeps until a guest's time is up, or its owner has no more use for it.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

use crate::error::{Error, ErrorKind};
use crate::vmctx::record::{InterruptHandle, Request};

/// A deadline that is running. Dropping it lifts it.
pub(crate) struct Deadline {
    /// Its end wakes the thread.
    _alive: Sender<()>,
}

impl Deadline {
    /// Stops the guests of `handle`'s store when `after` has passed.
    pub(crate) fn start(handle: InterruptHandle, after: Duration) -> Result<Deadline, Error> {
        let (alive, ended) = channel();
        let watch = move || {
            if ended.recv_timeout(after) == Err(RecvTimeoutError::Timeout) {
                handle.request(Request::Deadline);
            }
        };
        // Little is done on it, and there may be many.
        let thread = std::thread::Builder::new().name("deadline".to_owned()).stack_size(64 << 10);
        let spawned = thread.spawn(watch);
        spawned.map_err(|error| {
            Error::new(ErrorKind::Os(format!("starting a thread for a deadline: {error}")))
        })?;
        Ok(Deadline { _alive: alive })
    }
}
