//! The end of Python's interpreter, in the middle of which guests may run on other threads.
//!
//! Up to version 3.13 Python ends a thread that asks for its lock then, by unwinding the thread's stack, whatever is on it (later versions leave the thread where it is). What Rust
//! has on it would be dropped without the lock, which Python answers by aborting the process.
//!
//! Must stay true: whatever may ask for Python's lock below a guest, or to go on after one, is in [`or_stay`].

use std::mem;
use std::thread;

/// Does `work`. If Python ends the thread in it, the thread stays there for ever, which is not long: the process ends.
pub(crate) fn or_stay<R>(work: impl FnOnce() -> R) -> R {
    let stays = Stays;
    let result = apart(work);
    mem::forget(stays);
    result
}

/// A call of its own, so that there is a place which it is left from.
#[inline(never)]
fn apart<R>(work: impl FnOnce() -> R) -> R {
    work()
}

struct Stays;

impl Drop for Stays {
    fn drop(&mut self) {
        // A panic goes on as everywhere else.
        while !thread::panicking() {
            thread::park();
        }
    }
}
