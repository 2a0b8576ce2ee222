//! What is called when the process forks.

#[cfg(not(miri))]
use std::sync::Once;

/// Has these called whenever the process forks, by the thread that does: before, and afterwards in the parent, or in the child. The first call counts.
#[cfg(not(miri))]
pub(crate) fn at_fork(before: extern "C" fn(), in_parent: extern "C" fn(), in_child: extern "C" fn()) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: they are functions of this library, which is not unloaded while the process lives, or the system forgets them with it. Where there is no memory for
        // them, they are not called, as before.
        unsafe { libc::pthread_atfork(Some(before), Some(in_parent), Some(in_child)) };
    });
}

/// Nothing: there is one process.
#[cfg(miri)]
pub(crate) fn at_fork(_: extern "C" fn(), _: extern "C" fn(), _: extern "C" fn()) {}
