//! Signals by which the system tells of faults.

/// Has the calling thread take the signals that faults raise (SIGSEGV, SIGBUS, SIGILL, SIGFPE), if it has blocked them, as threads of servers do that leave signals to others: a fault while its signal is blocked ends the process,
/// whatever handler there is, and faults of machine code are how guests trap and are stopped.
pub(crate) fn unblock_faults() {
    #[cfg(all(unix, not(miri)))]
    // SAFETY: the set is emptied before anything is added, and the mask is the calling thread's own.
    unsafe {
        let mut faults = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigemptyset(faults.as_mut_ptr());
        for signal in [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE] {
            libc::sigaddset(faults.as_mut_ptr(), signal);
        }
        libc::pthread_sigmask(libc::SIG_UNBLOCK, faults.as_ptr(), std::ptr::null_mut());
    }
}
