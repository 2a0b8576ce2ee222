//! Runs something in a fork of the test's process, where there is none of its other threads.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

/// How long a child may take, on a machine that is busy.
const SOON: Duration = Duration::from_secs(40);

/// Has `check` called in a child, and checks that it returns there. The caller holds no locks that it needs, and no other thread holds any.
pub(crate) fn in_fork(what: &str, check: impl FnOnce()) {
    // SAFETY: the child calls what is checked, and leaves without running anything of this process's.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "{what}: no fork");
    if child == 0 {
        let outcome = catch_unwind(AssertUnwindSafe(check));
        // SAFETY: it does not return.
        unsafe { libc::_exit(i32::from(outcome.is_err())) };
    }
    let begin = Instant::now();
    let mut status = 0;
    // SAFETY: the place is ours, and so is the child.
    while unsafe { libc::waitpid(child, &raw mut status, libc::WNOHANG) } == 0 {
        if begin.elapsed() > SOON {
            // SAFETY: nobody has waited for it, so that it is still there.
            unsafe { libc::kill(child, libc::SIGKILL) };
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    assert_eq!(status, 0, "{what}, in a fork: it failed (256), or did not end (9)");
}
