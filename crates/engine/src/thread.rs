//! Threads beside guests that may take all the memory there is: where the system has nothing left for one more, that is an error.
//!
//! A new thread maps a stack for signal handlers before it runs the first line of ours, and the standard and the C library note what is to be dropped at its end;
//! the process aborts where they cannot. So there is a look before whether they can, a thread whose number guests choose is only started once the one before has come
//! so far, and guests wait until the host's own threads have.

use std::io;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

use crate::{fork, sys};

/// Starts a thread as `builder` does.
///
/// # Errors
/// Where the system refuses the thread, or what it needs to begin.
pub fn spawn<R: Send + 'static>(
    builder: Builder,
    work: impl FnOnce() -> R + Send + 'static,
) -> io::Result<JoinHandle<R>> {
    /// Disconnected when the thread that was started last has begun.
    static LAST: Mutex<Option<(u32, Receiver<()>)>> = Mutex::new(None);
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((generation, begun)) = last.take() {
        // Nothing is ever sent: the end of the other side is the message. In a fork of the process that has started it, there is no such thread.
        if generation == fork::generation() {
            let _ = begun.recv();
        }
    }
    if !sys::has_room_for_thread() {
        return Err(io::Error::from(io::ErrorKind::OutOfMemory));
    }
    let (beginning, begun) = channel::<()>();
    let thread = builder.spawn(move || {
        drop(beginning);
        work()
    })?;
    *last = Some((fork::generation(), begun));
    Ok(thread)
}

/// Starts a thread of the host's own, which is not joined. Where memory is limited, it has what it needs to begin when this returns, and no guest can take that
/// meanwhile; without a limit nobody waits.
///
/// # Errors
/// Where the system refuses the thread, or what it needs to begin.
pub fn spawn_for_host(builder: Builder, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    if !sys::is_memory_limited() {
        return builder.spawn(work).map(drop);
    }
    if !sys::has_room_for_thread() {
        return Err(io::Error::from(io::ErrorKind::OutOfMemory));
    }
    let (beginning, begun) = channel::<()>();
    builder.spawn(move || {
        drop(beginning);
        work();
    })?;
    // Nothing is ever sent: the end of the other side is the message.
    let _ = begun.recv();
    Ok(())
}
