//! Python's lock, while a guest runs: let go of, unless Python can see the guest's memory.

use std::cell::Cell;

use pyo3::ffi;

use crate::finalizing::or_stay;

thread_local! {
    /// Whether the innermost guest on this thread has Python's lock, and what to let go of it with; none outside of guests.
    static LOCK: Cell<Option<Held>> = const { Cell::new(None) };
}

/// Whether a guest has Python's lock.
type Held = Option<ffi::PyGILState_STATE>;

/// A guest's call, until this is dropped; if it has Python's lock then, that is let go. What holds for the guest that has called this one through Python is put back.
pub(crate) struct PythonsLock(Option<Held>);

impl PythonsLock {
    /// For a guest that is called now, by a thread that has given the lock up.
    pub(crate) fn given_up() -> PythonsLock {
        PythonsLock(LOCK.replace(Some(None)))
    }

    /// Takes the lock for the guest, or lets it go.
    pub(crate) fn hold(is_wanted: bool) {
        let Some(held) = LOCK.get() else { return };
        LOCK.set(Some(match (held, is_wanted) {
            // SAFETY: Python is there, since it has called the guest, and this thread has given its lock up, which `Store::run` sees to. Each is let go of once, below, in the
            // opposite order: guests that call each other through Python end one by one.
            (None, true) => Some(or_stay(|| unsafe { ffi::PyGILState_Ensure() })),
            (Some(state), false) => {
                // SAFETY: it is what taking it has given, on this thread.
                unsafe { ffi::PyGILState_Release(state) };
                None
            }
            (held, _) => held,
        }));
    }
}

impl Drop for PythonsLock {
    fn drop(&mut self) {
        PythonsLock::hold(false);
        LOCK.set(self.0);
    }
}
