//! Deadlines: a thread that sleeps until a guest's time is up, or its owner has no more use for it.
//!
//! Must stay true: a deadline that has been lifted stops nobody, also where its time was up a moment before and no guest has seen it yet.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::error::{Error, ErrorKind};
use crate::vmctx::record::InterruptHandle;

/// A deadline that is running, or has struck. Dropping it lifts it.
pub(crate) struct Deadline {
    handle: InterruptHandle,
    /// Held while the deadline strikes, so that it is either lifted before that or taken back after it.
    is_lifted: Arc<Mutex<bool>>,
    /// Its end wakes the thread.
    _alive: Sender<()>,
}

impl Deadline {
    /// Stops the guests of `handle`'s store when `after` has passed.
    pub(crate) fn start(handle: InterruptHandle, after: Duration) -> Result<Deadline, Error> {
        let (alive, ended) = channel();
        let is_lifted = Arc::new(Mutex::new(false));
        let deadline = Deadline { handle: handle.clone(), is_lifted: is_lifted.clone(), _alive: alive };
        let watch = move || {
            if ended.recv_timeout(after) == Err(RecvTimeoutError::Timeout) {
                let is_lifted = is_lifted.lock().unwrap_or_else(PoisonError::into_inner);
                if !*is_lifted {
                    handle.strike();
                }
            }
        };
        // Little is done on it, and there may be many.
        let thread = std::thread::Builder::new().name("deadline".to_owned()).stack_size(64 << 10);
        let spawned = thread.spawn(watch);
        spawned.map_err(|error| {
            Error::new(ErrorKind::Os(format!("starting a thread for a deadline: {error}")))
        })?;
        Ok(deadline)
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        *self.is_lifted.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.handle.take_back_strike();
    }
}
